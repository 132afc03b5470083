//! The store's disk is full or read-only: mail flows, the failure is loud; auditors who asked for it get a 451.

use std::time::Duration;

use relayscope::trace::{Record, State};

use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::mount::Mount;
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::records;
use crate::support::relayscope::{Relayscope, command};
use crate::support::sink::{Manner, Sink};

/// More messages than fit into what a file system rounds up.
const MANY: usize = 60;

fn config(sink: &Sink, policy: &str) -> String {
    format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nhosts = [\"{}\"]\n[store]\non_store_failure = \"{policy}\"\n",
        sink.address
    )
}

#[test]
fn mail_flows_while_the_disk_is_full() {
    let place = Place::new();
    let Some(mount) = Mount::new(&place, "store", 8 << 20) else { return };
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::configured(&place, &config(&sink, "pass"));
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("before")).unwrap().code, 250);
    // Who asks has it brought to the journal; until then it lies in memory.
    let (code, said) = run(&mut command(&place, &["where", "--store", "store", "before@msg.example"]));
    assert_eq!(code, 0, "{said}");
    mount.fill();
    for number in 0..MANY {
        assert_eq!(client.deliver(&Message::named(&format!("full{number}"))).unwrap().code, 250);
    }
    relayscope.output().expect("the trace store can't be written");
    // The hole that is being made is told of as well.
    let (code, said) = run(&mut command(&place, &["where", "--store", "store", "never@msg.example"]));
    assert!(code == 1 && said.contains("The trace has holes") && said.contains("No space left"), "{code}: {said}");
    // So do those that ask what is wrong, or what passed, although nothing can be recorded of it.
    let (code, said) = run(&mut command(&place, &["anomalies", "--store", "store"]));
    assert!(code == 1 && said.contains("critical: tracing_gap") && said.contains("records are being lost since"), "{code}: {said}");
    for asked in ["stats", "search"] {
        let (_, said) = run(&mut command(&place, &[asked, "--store", "store"]));
        assert!(said.contains("records are being lost since"), "{asked}: {said}");
    }
    let (code, said) = run(&mut command(&place, &["doctor", "self", "--store", "store"]));
    assert!(code == 1 && said.contains("those of the hole that is being made"), "{code}: {said}");
    // Who is told of it finds it under that id, now and once there is room again.
    let told = relayscope.output().expect("tracing_gap");
    let id = told.split_once("incident=").and_then(|(_, rest)| rest.split_whitespace().next()).unwrap().to_owned();
    let is_told_by_its_id = || {
        let (code, said) = run(&mut command(&place, &["anomalies", "--store", "store", "--json"]));
        assert!(code == 1 && said.contains(&id), "{id} {code}: {said}");
        let (code, said) = run(&mut command(&place, &["anomalies", "--store", "store", &id]));
        assert!(code == 0 && said.contains("tracing_gap"), "{id} {code}: {said}");
    };
    is_told_by_its_id();
    mount.empty();
    relayscope.output().expect("the trace store can be written again");
    assert_eq!(client.deliver(&Message::named("after")).unwrap().code, 250);
    // At once, and after the watch has looked again.
    is_told_by_its_id();
    std::thread::sleep(Duration::from_secs(3));
    is_told_by_its_id();
    client.quit();
    assert_eq!(sink.taken().len(), MANY + 2, "every message was delivered, once");

    let store = relayscope.stop();
    let records = records::all(&store);
    let lost: u64 = records.iter().filter_map(|it| if let Record::Gap(gap) = it { Some(gap.records_lost) } else { None }).sum();
    let opened = records.iter().filter(|it| matches!(it, Record::Incident(entry) if entry.id.to_string() == id)).count();
    assert_eq!(opened, 1, "the entry that opens it is in the journal");
    let known = records::transactions(&store).len();
    assert!(lost > 0 && known >= 2, "{lost} lost, {known} known");
    records::one(&store, "before@msg.example");
    assert_eq!(records::one(&store, "after@msg.example").outcome.state, State::Accepted);
    // Whoever looks for what was lost is told that it may have passed, unless they mean another time.
    let lost = format!("full{}@msg.example", MANY - 1);
    let (code, said) = run(&mut command(&place, &["where", "--store", "store", &lost]));
    assert!(code == 1 && said.contains("The trace has holes") && said.contains("mail passed without a record"), "{code}: {said}");
    let (code, said) = run(&mut command(&place, &["where", "--store", "store", &lost, "until:2020-01-01"]));
    assert!(code == 1 && !said.contains("The trace has holes"), "{code}: {said}");
}

#[test]
fn with_defer_nothing_passes_untraced() {
    let place = Place::new();
    let Some(mount) = Mount::new(&place, "store", 4 << 20) else { return };
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::configured(&place, &config(&sink, "defer"));
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("before")).unwrap().code, 250);
    mount.fill();
    let mut acknowledged = 1;
    let refused = (0..MANY).find_map(|number| {
        let reply = deliver_or_refusal(&mut client, &Message::named(&format!("full{number}")));
        if reply.starts_with("250") {
            acknowledged += 1
        }
        (!reply.starts_with("250")).then_some(reply)
    });
    let refused = refused.unwrap();
    assert!(refused.starts_with("451 4.3.0 relayscope: "), "{refused}");
    assert!(sink.taken().len() <= acknowledged + 1, "{} taken, {acknowledged} acknowledged", sink.taken().len());
    relayscope.output().expect("the trace store can't be written");
    let mut other = Client::ready(relayscope.address());
    other.command("MAIL FROM:<ann@from.example>", 451);
    other.quit();

    mount.empty();
    relayscope.output().expect("the trace store can be written again");
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("after")).unwrap().code, 250);
    client.quit();
    let store = relayscope.stop();
    records::one(&store, "after@msg.example");
    // The mark at least was written before a message was let go.
    let known: Vec<_> = records::transactions(&store).into_iter().map(|it| it.envelope.reverse_path).collect();
    for taken in sink.taken() {
        assert!(known.contains(&taken.reverse_path), "{} passed untraced; known are {known:?}", taken.reverse_path);
    }
}

/// The first reply that isn't the usual one, or the final one.
fn deliver_or_refusal(client: &mut Client, message: &Message) -> String {
    for (line, wanted) in [
        (format!("MAIL FROM:<{}>\r\n", message.reverse_path), 250),
        (format!("RCPT TO:<{}>\r\n", message.recipient), 250),
        ("DATA\r\n".to_owned(), 354),
    ] {
        let reply = client.exchange(line).unwrap();
        if reply.code != wanted {
            return reply.text;
        }
    }
    client.exchange([&*message.on_the_wire(), b".\r\n"].concat()).unwrap().text
}

#[test]
fn a_read_only_store_is_said_and_taken_up_later() {
    let place = Place::new();
    let Some(mount) = Mount::new(&place, "store", 4 << 20) else { return };
    mount.remount("ro");
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::configured(&place, &config(&sink, "pass"));
    relayscope.output().expect("the trace store can't be opened");
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("untraced")).unwrap().code, 250);
    let (code, said) = run(&mut command(&place, &["where", "--store", "store", "untraced@msg.example"]));
    assert_ne!(code, 0, "no answer is pretended: {said}");

    mount.remount("rw");
    relayscope.output().expect("the trace store can be written again");
    assert_eq!(client.deliver(&Message::named("traced")).unwrap().code, 250);
    client.quit();
    let store = relayscope.stop();
    records::one(&store, "traced@msg.example");
    assert_eq!(sink.taken().len(), 2);
    assert!(mount.path().join("lock").exists());
}

#[test]
fn a_read_only_store_with_defer() {
    let place = Place::new();
    let Some(mount) = Mount::new(&place, "store", 4 << 20) else { return };
    mount.remount("ro");
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::configured(&place, &config(&sink, "defer"));
    let mut client = Client::ready(relayscope.address());
    let refused = client.command("MAIL FROM:<ann@from.example>", 451);
    assert!(refused.text.contains("(trace "), "{}", refused.text);
    client.quit();
    assert!(sink.taken().is_empty());
    relayscope.stop();
}

/// A broken index is made anew, a damaged journal is stepped over: it starts, mail flows, and it says what is wrong.
#[test]
fn starts_on_a_damaged_store() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let send = |name: &str| {
        let relayscope = Relayscope::simple(&place, sink.address);
        let mut client = Client::ready(relayscope.address());
        assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
        client.quit();
        relayscope
    };
    let relayscope = send("one");
    // Whoever asks gets what is in the journal: now it is there, and not in memory.
    let (code, said) = run(&mut command(&place, &["where", "--store", "store", "one@msg.example"]));
    assert_eq!(code, 0, "{said}");
    let store = relayscope.kill();
    for (path, octets) in crate::support::place::files_under(&store) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.components().any(|it| it.as_os_str() == "index") {
            std::fs::write(&path, b"not an index").unwrap();
        } else if name.ends_with(".log") {
            std::fs::write(&path, [&octets[..], b"a torn frame at the end"].concat()).unwrap();
        }
    }
    let relayscope = send("two");
    relayscope.output().expect("torn");
    let store = relayscope.stop();
    for name in ["one", "two"] {
        assert_eq!(records::one(&store, &format!("{name}@msg.example")).outcome.state, State::Accepted);
        let (code, said) = run(&mut command(&place, &["where", "--store", "store", &format!("{name}@msg.example")]));
        assert_eq!(code, 0, "{said}");
    }
}
