//! The proxy dies or is told to go: no trace of an acknowledged message is lost, and what was past its dot is finished.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};

use relayscope::trace::{Flag, State, Transaction};

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};

const SESSIONS: usize = 6;

/// Message names that the proxy acknowledged with 250.
#[derive(Default)]
struct Acknowledged {
    names: Mutex<Vec<String>>,
    more: Condvar,
}

impl Acknowledged {
    fn add(&self, name: String) {
        self.names.lock().unwrap().push(name);
        self.more.notify_all();
    }

    fn wait(&self, wanted: usize) {
        let names = self.names.lock().unwrap();
        let (names, late) = self.more.wait_timeout_while(names, PATIENCE, |names| names.len() < wanted).unwrap();
        assert!(!late.timed_out(), "{} of {wanted} messages acknowledged", names.len());
    }

    fn len(&self) -> usize {
        self.names.lock().unwrap().len()
    }
}

#[test]
fn kill_9_under_load_loses_no_acknowledged_trace() {
    kill_9_under_load("written");
}

#[test]
fn kill_9_under_load_with_synced_store() {
    kill_9_under_load("synced");
}

fn kill_9_under_load(durability: &str) {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nhosts = [\"{}\"]\n[store]\ndurability = \"{durability}\"\n\
         segment_size = \"1 MiB\"\n",
        sink.address
    );
    let acknowledged = Arc::new(Acknowledged::default());
    for round in 0..3 {
        let relayscope = Relayscope::configured(&place, &config);
        let wanted = acknowledged.len() + 120;
        let senders: Vec<_> = (0..SESSIONS)
            .map(|session| {
                let (address, acknowledged) = (relayscope.address(), acknowledged.clone());
                std::thread::spawn(move || send_until_it_dies(address, &format!("r{round}s{session}"), &acknowledged))
            })
            .collect();
        acknowledged.wait(wanted);
        relayscope.kill();
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    }
    // It starts on what was left, and serves.
    let relayscope = Relayscope::configured(&place, &config);
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("after")).unwrap().code, 250);
    client.quit();
    let transactions = records::transactions(&relayscope.stop());

    let mut by_sender: HashMap<&str, Vec<&Transaction>> = HashMap::new();
    for transaction in &transactions {
        by_sender.entry(&transaction.envelope.reverse_path).or_default().push(transaction);
    }
    for name in acknowledged.names.lock().unwrap().iter().chain([&"after".to_owned()]) {
        let found = by_sender.get(format!("{name}@from.example").as_str()).cloned().unwrap_or_default();
        let accepted: Vec<_> = found.iter().filter(|it| it.outcome.state == State::Accepted).collect();
        assert_eq!(accepted.len(), 1, "{name} was acknowledged: {found:#?}");
        assert_eq!(accepted[0].message.message_id.as_deref(), Some(format!("{name}@msg.example").as_str()));
    }
    // Whatever the smart host took is known as well, if only as in doubt.
    for taken in sink.taken() {
        let found = by_sender.get(taken.reverse_path.as_str()).cloned().unwrap_or_default();
        assert_eq!(found.len(), 1, "{} reached the smart host: {found:#?}", taken.reverse_path);
        let state = found[0].outcome.state;
        assert!(state == State::Accepted || state == State::Unknown && found[0].flags.contains(&Flag::InDoubt), "{:#?}", found[0]);
    }
}

/// Five messages a connection, connection after connection, until the proxy is gone.
fn send_until_it_dies(proxy: SocketAddr, name: &str, acknowledged: &Acknowledged) {
    let mut number = 0;
    while let Some(mut client) = Client::try_connect(proxy) {
        let mut deliver = || -> Option<()> {
            client.reply()?;
            client.exchange("EHLO client.example\r\n")?;
            for _ in 0..5 {
                number += 1;
                let message = Message::sized(&format!("{name}n{number}"), 4096);
                client.exchange(format!("MAIL FROM:<{}>\r\n", message.reverse_path))?;
                client.exchange("RCPT TO:<bob@to.example>\r\n")?;
                client.exchange("DATA\r\n")?;
                let reply = client.exchange([&*message.on_the_wire(), b".\r\n"].concat())?;
                assert_eq!(reply.code, 250, "{}", reply.text);
                acknowledged.add(format!("{name}n{number}"));
            }
            client.exchange("QUIT\r\n").map(drop)
        };
        if deliver().is_none() {
            return;
        }
    }
}

#[test]
fn kill_9_between_dot_and_reply_leaves_a_doubt() {
    let place = Place::new();
    let sink = Sink::start(Manner::Hold);
    let relayscope = Relayscope::simple(&place, sink.address);
    let mut client = Client::ready(relayscope.address());
    let message = Message::named("doubt");
    client.hand_in(&message);
    sink.wait_held(1);
    relayscope.kill();
    assert_eq!(client.reply(), None, "no reply that the smart host has not given");

    let relayscope = Relayscope::simple(&place, sink.address);
    relayscope.output().expect("recorded as `unknown`");
    let transactions = records::transactions(&relayscope.stop());
    assert_eq!(transactions.len(), 1);
    assert_eq!(transactions[0].envelope.reverse_path, message.reverse_path);
    assert_eq!(transactions[0].outcome.state, State::Unknown);
    assert!(transactions[0].flags.contains(&Flag::InDoubt));
}

#[test]
fn smart_host_gone_between_dot_and_reply_leaves_a_doubt() {
    let place = Place::new();
    let sink = Sink::start(Manner::CloseAfterDot);
    let relayscope = Relayscope::simple(&place, sink.address);
    let mut client = Client::ready(relayscope.address());
    let reply = client.deliver(&Message::named("doubt")).unwrap();
    assert_eq!(reply.code, 451, "{}", reply.text);
    assert!(reply.text.starts_with("451 4.4.2 relayscope: "), "{}", reply.text);
    let transaction = records::one(&relayscope.stop(), "doubt@msg.example");
    assert_eq!(transaction.outcome.state, State::Unknown);
    assert!(transaction.flags.contains(&Flag::InDoubt));
}

#[test]
fn sigterm_lets_a_transaction_past_the_dot_finish() {
    let place = Place::new();
    let sink = Sink::start(Manner::Hold);
    let mut relayscope = Relayscope::simple(&place, sink.address);
    let address = relayscope.address();
    let mut idle = Client::ready(address);
    let mut busy = Client::ready(address);
    let message = Message::named("late");
    busy.hand_in(&message);
    sink.wait_held(1);

    relayscope.process().signal("TERM");
    let told = idle.expect(421);
    assert!(told.text.starts_with("421 4.3.2 "), "{}", told.text);
    assert_eq!(idle.rest(), "");
    relayscope.output().expect("draining");
    assert!(Client::try_connect(address).is_none_or(|mut it| it.reply().is_none_or(|reply| reply.code == 421)), "no new sessions");
    assert!(relayscope.process().is_running());

    sink.set(Manner::Take);
    assert_eq!(busy.expect(250).text, format!("250 2.0.0 Ok: queued as {}", sink.taken()[0].queue_id));
    assert!(relayscope.wait().success());
    let transaction = records::one(&place.path("store"), "late@msg.example");
    assert_eq!(transaction.outcome.state, State::Accepted);
}

/// Who says that it listens must also be ready to be told to stop.
#[test]
fn sigterm_in_the_first_moment_is_heard() {
    let sink = Sink::start(Manner::Take);
    for _ in 0..10 {
        let place = Place::new();
        let relayscope = Relayscope::simple(&place, sink.address);
        let output = relayscope.output().clone();
        relayscope.stop();
        assert!(output.whole().contains("stopped"), "{}", output.text());
    }
}

#[test]
fn the_late_reply_is_recorded_when_the_client_has_gone() {
    let place = Place::new();
    let sink = Sink::start(Manner::Hold);
    let relayscope = Relayscope::simple(&place, sink.address);
    let mut client = Client::ready(relayscope.address());
    let message = Message::named("gone");
    client.hand_in(&message);
    sink.wait_held(1);
    client.reset();
    sink.set(Manner::Take);
    let transaction = records::one(&relayscope.stop(), "gone@msg.example");
    assert_eq!(transaction.outcome.state, State::Accepted, "what the smart host said counts: {transaction:#?}");
    assert_eq!(transaction.outcome.upstream_queue_id.as_deref(), Some("SINK000000"));
}

/// Promise 1: a message cut off never looks whole to the smart host.
#[test]
fn a_client_gone_in_the_body_completes_nothing() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::simple(&place, sink.address);
    for ending in ["close", "reset"] {
        for text in ["Half a line", "A line\r\n", "A line\r\n.", "A line\r\n.\r"] {
            let mut client = Client::ready(relayscope.address());
            client.open_data(&Message::named("cut"));
            client.send(text);
            if ending == "reset" { client.reset() } else { drop(client) }
        }
    }
    let transactions = records::transactions(&relayscope.stop());
    assert_eq!(transactions.len(), 8);
    assert!(transactions.iter().all(|it| it.outcome.state == State::Aborted), "{transactions:#?}");
    assert!(sink.taken().is_empty(), "{:?}", sink.taken());
}
