//! The store's disk dies with EIO and comes back, or stalls: mail flows, what is lost is told, and nobody need restart anything.

use std::time::{Duration, Instant};

use relayscope::trace::{Flag, Gap, Record, State};

use crate::support::client::Client;
use crate::support::disk::Disk;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::records;
use crate::support::relayscope::{Relayscope, command};
use crate::support::sink::{Manner, Sink};

fn config(sink: &Sink, store: &str) -> String {
    format!("[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nhosts = [\"{}\"]\n[store]\n{store}\n", sink.address)
}

fn gaps(records: &[Record]) -> Vec<&Gap> {
    records.iter().filter_map(|it| if let Record::Gap(gap) = it { Some(gap) } else { None }).collect()
}

/// Delivers until the proxy says that the store can't be written, and some more; how many.
fn deliver_until_lost(client: &mut Client, relayscope: &Relayscope) -> usize {
    let mut sent = 0;
    while relayscope.output().count("the trace store can't be written") == 0 || sent < 20 {
        sent += 1;
        assert_eq!(client.deliver(&Message::named(&format!("dead{sent}"))).unwrap().code, 250);
    }
    sent
}

/// The final reply, or the first that says no.
fn outcome(client: &mut Client, message: &Message) -> u16 {
    for line in [format!("MAIL FROM:<{}>\r\n", message.reverse_path), format!("RCPT TO:<{}>\r\n", message.recipient), "DATA\r\n".to_owned()]
    {
        let reply = client.exchange(line).unwrap();
        if reply.code >= 400 {
            return reply.code;
        }
    }
    client.exchange([&*message.on_the_wire(), b".\r\n"].concat()).unwrap().code
}

#[test]
fn mail_flows_while_the_disk_answers_with_errors() {
    let place = Place::new();
    let Some(mut disk) = Disk::new(&place, "store") else { return };
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::configured(&place, &config(&sink, "on_store_failure = \"pass\""));
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("before")).unwrap().code, 250);
    let (code, said) = run(&mut command(&place, &["where", "--store", "store", "before@msg.example"]));
    assert_eq!(code, 0, "{said}");
    disk.die();
    let sent = deliver_until_lost(&mut client, &relayscope);
    disk.come_back();
    relayscope.output().expect("the trace store can be written again");
    assert_eq!(client.deliver(&Message::named("after")).unwrap().code, 250);
    client.quit();
    assert_eq!(sink.taken().len(), sent + 2, "every message was delivered, once");

    let store = relayscope.stop();
    let all = records::all(&store);
    let lost: u64 = gaps(&all).iter().map(|gap| gap.records_lost).sum();
    assert!(lost > 0 && gaps(&all).iter().any(|gap| gap.why.contains("Input/output error")), "{:?}", gaps(&all));
    records::one(&store, "before@msg.example");
    assert_eq!(records::one(&store, "after@msg.example").outcome.state, State::Accepted);
    // Whoever looks for what was lost is told that it may have passed.
    let (code, said) = run(&mut command(&place, &["where", "--store", "store", &format!("dead{sent}@msg.example")]));
    assert!(code == 1 && said.contains("The trace has holes") && said.contains("mail passed without a record"), "{code}: {said}");
}

#[test]
fn mail_flows_while_the_disk_has_turned_read_only() {
    let place = Place::new();
    let Some(mut disk) = Disk::new(&place, "store") else { return };
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::configured(&place, &config(&sink, "on_store_failure = \"pass\""));
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("before")).unwrap().code, 250);
    disk.turn_read_only();
    let sent = deliver_until_lost(&mut client, &relayscope);
    disk.come_back();
    relayscope.output().expect("the trace store can be written again");
    assert_eq!(client.deliver(&Message::named("after")).unwrap().code, 250);
    client.quit();
    assert_eq!(sink.taken().len(), sent + 2, "every message was delivered, once");
    let store = relayscope.stop();
    let all = records::all(&store);
    assert!(
        gaps(&all).iter().any(|gap| gap.records_lost > 0 && (gap.why.contains("Read-only") || gap.why.contains("Input/output"))),
        "{:?}",
        gaps(&all)
    );
    records::one(&store, "after@msg.example");
}

#[test]
fn with_defer_a_disk_that_answers_with_errors_stops_mail_until_it_is_back() {
    let place = Place::new();
    let Some(mut disk) = Disk::new(&place, "store") else { return };
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::configured(&place, &config(&sink, "on_store_failure = \"defer\""));
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("before")).unwrap().code, 250);
    disk.die();
    assert_eq!(outcome(&mut client, &Message::named("dead1")), 451);
    relayscope.output().expect("the trace store can't be written");
    let mut client = Client::ready(relayscope.address());
    assert_eq!(outcome(&mut client, &Message::named("dead2")), 451);
    client.quit();
    disk.come_back();
    relayscope.output().expect("the trace store can be written again");
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("after")).unwrap().code, 250);
    client.quit();
    assert_eq!(sink.taken().len(), 2, "{:?}", sink.taken());
    let store = relayscope.stop();
    records::one(&store, "after@msg.example");
}

/// Without staging, so that replies would wait for the disk if they could.
#[test]
fn a_stalled_disk_delays_a_reply_by_store_wait_at_most() {
    const MESSAGES: usize = 4;
    let place = Place::new();
    let Some(disk) = Disk::new(&place, "store") else { return };
    let sink = Sink::start(Manner::Take);
    let store = "on_store_failure = \"pass\"\nstaging = \"off\"\nstore_wait = \"200ms\"";
    let relayscope = Relayscope::configured(&place, &config(&sink, store));
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("before")).unwrap().code, 250);
    let frozen = disk.freeze();
    let begun = Instant::now();
    for number in 0..MESSAGES {
        // Who waits for the disk waits in vain: it stands still until all of them have had their reply.
        assert_eq!(client.deliver(&Message::named(&format!("stalled{number}"))).unwrap().code, 250);
    }
    assert!(begun.elapsed() > Duration::from_millis(200), "the disk did not stall");
    drop(frozen);
    assert_eq!(client.deliver(&Message::named("after")).unwrap().code, 250);
    client.quit();
    let store = relayscope.stop();
    // It only came late: nothing was lost.
    assert_eq!(gaps(&records::all(&store)), Vec::<&Gap>::new());
    for number in 0..MESSAGES {
        let transaction = records::one(&store, &format!("stalled{number}@msg.example"));
        assert_eq!(transaction.outcome.state, State::Accepted);
        assert!(transaction.flags.contains(&Flag::StoredLate) || number > 0, "{:?}", transaction.flags);
    }
    records::one(&store, "after@msg.example");
}

#[test]
fn a_stalled_disk_with_defer_lets_nothing_pass_untraced() {
    let place = Place::new();
    let Some(disk) = Disk::new(&place, "store") else { return };
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::configured(&place, &config(&sink, "on_store_failure = \"defer\"\nstore_wait = \"2s\""));
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("before")).unwrap().code, 250);
    let frozen = disk.freeze();
    assert_eq!(outcome(&mut client, &Message::named("stalled")), 451);
    assert_eq!(sink.taken().len(), 1);
    drop(frozen);
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("after")).unwrap().code, 250);
    client.quit();
    let store = relayscope.stop();
    records::one(&store, "after@msg.example");
}
