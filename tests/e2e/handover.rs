//! A restart that nobody notices: the next process takes listening sockets and store over from the one that runs.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use relayscope::net::channel::Channel;
use relayscope::trace::{Flag, State, Transaction};

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::ports;
use crate::support::process::{Process, run};
use crate::support::programs::{need, path_of};
use crate::support::records;
use crate::support::relayscope::{Relayscope, command};
use crate::support::sink::{Manner, Sink};

const MESSAGES: usize = 8_000;

fn config(sink: &Sink, more: &str) -> String {
    format!("{more}\n[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nhosts = [\"{}\"]\n", sink.address)
}

/// Asks the running proxy; again, while it is on its way to answer.
fn ask(place: &Place, arguments: &[&str]) -> (i32, String) {
    let end = Instant::now() + PATIENCE;
    loop {
        let (code, said) = run(&mut command(place, &[arguments, &["--store", "store"]].concat()));
        if code != 3 || Instant::now() > end {
            return (code, said);
        }
    }
}

/// Waits until the answer is yes.
#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the store has of each sender, once nobody holds it.
fn by_sender(store: &Path) -> BTreeMap<String, Vec<Transaction>> {
    let mut found: BTreeMap<String, Vec<Transaction>> = BTreeMap::new();
    for transaction in records::transactions(store) {
        found.entry(transaction.envelope.reverse_path.clone()).or_default().push(transaction);
    }
    found
}

#[test]
fn smtp_source_notices_nothing() {
    need!("smtp-source");
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let mut serving = Relayscope::configured(&place, &config(&sink, "workers = 2"));
    let address = serving.address();
    // A connection for each message, eight at a time. It ends at the first that is refused or told to go.
    let source = std::thread::spawn(move || {
        let mut source = Command::new(path_of("smtp-source"));
        source.args(["-s", "8", "-m", &MESSAGES.to_string(), "-l", "2000", "-f", "ann@from.example", "-t", "bob@to.example"]);
        run(source.arg(address.to_string()))
    });
    let mut former = Vec::new();
    for (round, workers) in [3, 1, 2, 2].iter().enumerate() {
        sink.wait_taken((round + 1) * MESSAGES / 8);
        let next = Relayscope::taking_over(&place, &config(&sink, &format!("workers = {workers}")));
        assert_eq!(next.address(), address);
        former.push(std::mem::replace(&mut serving, next));
    }
    assert!(sink.taken().len() < MESSAGES, "the last hand-over came too late to show anything");
    let (code, said) = source.join().unwrap();
    assert_eq!(code, 0, "{said}");
    for mut process in former {
        assert!(process.wait().success());
        assert!(!process.output().text().contains("ERROR"), "{}", process.output().text());
    }
    assert_eq!(sink.taken().len(), MESSAGES);

    // The last process knows them all, each once.
    let (code, exported) = ask(&place, &["store", "export", "kind:transaction"]);
    assert_eq!(code, 0, "{exported}");
    let mut ids: Vec<String> = exported
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|record| Some(record["message"]["message_id"].as_str()?.to_owned()))
        .collect();
    ids.sort();
    let before = ids.len();
    ids.dedup();
    assert_eq!((before, ids.len()), (MESSAGES, MESSAGES));
    let (code, said) = ask(&place, &["where", &format!("<{}>", ids[MESSAGES / 2])]);
    assert_eq!(code, 0, "{said}");
    let transactions = records::transactions(&serving.stop());
    assert_eq!(transactions.len(), MESSAGES);
    assert!(transactions.iter().all(|it| it.outcome.state == State::Accepted));
    assert!(fs::read_dir(place.path("store/draining")).unwrap().next().is_none(), "all of it was taken in");
}

#[test]
fn sessions_end_with_the_process_that_began_them() {
    let place = Place::new();
    let sink = Sink::start(Manner::Hold);
    let mut former = Relayscope::configured(&place, &config(&sink, ""));
    let mut idle = Client::ready(former.address());
    let mut busy = Client::ready(former.address());
    let late = Message::named("late");
    busy.hand_in(&late);
    sink.wait_held(1);

    let next = Relayscope::taking_over(&place, &config(&sink, ""));
    next.output().expect("took over");
    former.output().expect("handed over");
    // No doubt about what is under way elsewhere.
    let (code, said) = ask(&place, &["where", "ann@from.example"]);
    assert_eq!(code, 1, "{said}");
    let told = idle.expect(421);
    assert!(told.text.starts_with("421 4.3.2 "), "{}", told.text);
    assert!(former.process().is_running());
    // New sessions are the next one's, and are served meanwhile.
    sink.set(Manner::Take);
    let reply = busy.expect(250);
    assert_eq!(reply.text, format!("250 2.0.0 Ok: queued as {}", sink.taken()[0].queue_id));
    let mut client = next.client();
    client.expect(220);
    client.command("EHLO client.example", 250);
    assert_eq!(client.deliver(&Message::named("new")).unwrap().code, 250);
    client.quit();
    // Found through the next process while the former may still be there.
    let (code, said) = ask(&place, &["where", "<late@msg.example>"]);
    assert_eq!(code, 0, "{said}");
    assert!(former.wait().success());

    let found = by_sender(&next.stop());
    assert_eq!(found.values().map(Vec::len).collect::<Vec<_>>(), [1, 1], "{found:#?}");
    assert!(found.values().flatten().all(|it| it.outcome.state == State::Accepted), "{found:#?}");
}

#[test]
fn a_successor_that_cannot_start_changes_nothing() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let mut serving = Relayscope::configured(&place, &config(&sink, ""));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let good = config(&sink, "");
    place.file("not.pem", "no certificate");
    let broken = [
        (format!("{good}[limits]\nsesions = 5\n"), 2, "sesions"),
        (good.replace("\n[[upstream]]", "\ncertificate = \"not.pem\"\nkey = \"not.pem\"\n[[upstream]]"), 2, "not.pem"),
        (good.replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string()), 3, "in use"),
    ];
    for (number, (config, code, words)) in broken.iter().enumerate() {
        let file = place.file(&format!("broken{number}.toml"), config);
        let arguments = ["run", "--config", file.to_str().unwrap(), "--store", "store", "--http", "off", "--take-over"];
        let (ended, said) = run(&mut command(&place, &arguments));
        assert_eq!(ended, *code, "{said}");
        assert!(said.contains(words), "{said}");
        let mut client = serving.client();
        client.expect(220);
        client.command("EHLO client.example", 250);
        let name = format!("after{number}");
        assert_eq!(client.deliver(&Message::named(&name)).unwrap().code, 250);
        client.quit();
        assert_eq!(ask(&place, &["where", &format!("<{name}@msg.example>")]).0, 0);
    }
    assert!(serving.process().is_running());
    assert_eq!(records::transactions(&serving.stop()).len(), broken.len());
}

/// It has the sockets, it has the store, and dies before it serves.
#[test]
fn a_successor_that_dies_half_way_is_survived() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let serving = Relayscope::configured(&place, &config(&sink, ""));
    let deliver = |name: &str| {
        let mut client = serving.client();
        client.expect(220);
        client.command("EHLO client.example", 250);
        assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
        client.quit();
    };
    deliver("before");
    for round in 0..2 {
        let channel = Channel::connect(&place.path("store/handover.sock"), PATIENCE).unwrap().unwrap();
        assert_eq!(channel.peer, serving.pid());
        channel.send(br#"{"say":"hello","protocol":1,"version":"0"}"#, None).unwrap();
        let mut sockets = Vec::new();
        loop {
            match channel.receive().unwrap() {
                (_, Some(socket)) => sockets.push(socket),
                (words, None) => break assert_eq!(String::from_utf8_lossy(&words), r#"{"say":"all"}"#),
            }
        }
        assert!(sockets.iter().all(|it| it.local_addr().unwrap() == serving.address()), "{sockets:?}");
        channel.send(br#"{"say":"give_up"}"#, None).unwrap();
        assert_eq!(String::from_utf8_lossy(&channel.receive().unwrap().0), r#"{"say":"yours"}"#);
        // Mail is served and recorded all the while.
        deliver(&format!("between{round}"));
        assert_eq!(ask(&place, &["store", "stats"]).0, 0, "nobody holds the store");
        drop(channel);
        until("the store is had back", || serving.output().count("is this process's again") > round);
        deliver(&format!("after{round}"));
        until("all is found", || ask(&place, &["where", &format!("<after{round}@msg.example>")]).0 == 0);
        let (code, said) = ask(&place, &["where", &format!("<between{round}@msg.example>")]);
        assert_eq!(code, 0, "{said}");
    }
    let found = by_sender(&serving.stop());
    assert_eq!(found.values().map(Vec::len).collect::<Vec<_>>(), [1; 5], "{:?}", found.keys());
}

#[test]
fn another_protocol_is_refused_with_a_word() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let serving = Relayscope::configured(&place, &config(&sink, ""));
    for words in [r#"{"say":"hello","protocol":99,"version":"9.9"}"#, "GET / HTTP/1.0", r#"{"say":"serving"}"#, r#"{"say":"give_up"}"#] {
        let channel = Channel::connect(&place.path("store/handover.sock"), PATIENCE).unwrap().unwrap();
        channel.send(words.as_bytes(), None).unwrap();
        match channel.receive() {
            Ok((refused, None)) => assert!(String::from_utf8_lossy(&refused).contains("version 9.9"), "{refused:?}"),
            Ok(_) => panic!("a socket for {words}"),
            Err(_) => assert!(!words.contains("protocol"), "{words}"),
        }
    }
    serving.output().expect_lines("it does not take over", 4);
    assert_eq!(serving.client().expect(220).code, 220);
    serving.stop();
}

#[test]
fn kill_9_of_the_former_process_while_it_drains() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let former = Relayscope::configured(&place, &config(&sink, ""));
    let mut first = Client::ready(former.address());
    let mut second = Client::ready(former.address());
    let next = Relayscope::taking_over(&place, &config(&sink, ""));
    former.output().expect("handed over");
    // Both belong to the former process, which may be given a message for a moment longer.
    assert_eq!(first.deliver(&Message::named("acknowledged")).unwrap().code, 250);
    sink.set(Manner::Hold);
    let doubt = Message::named("doubt");
    second.hand_in(&doubt);
    sink.wait_held(1);
    former.kill();

    let (code, said) = ask(&place, &["where", "<acknowledged@msg.example>"]);
    assert_eq!(code, 0, "{said}");
    until("it is in doubt", || ask(&place, &["search", "state:unknown"]).0 == 0);
    let found = by_sender(&next.stop());
    let of = |name: &str| found.get(&format!("{name}@from.example")).cloned().unwrap_or_default();
    assert_eq!(of("acknowledged").len(), 1, "{found:#?}");
    assert_eq!(of("acknowledged")[0].outcome.state, State::Accepted);
    assert_eq!(of("doubt").len(), 1, "{found:#?}");
    assert_eq!(of("doubt")[0].outcome.state, State::Unknown);
    assert!(of("doubt")[0].flags.contains(&Flag::InDoubt));
}

#[test]
fn kill_9_of_the_next_process_while_the_former_drains() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let mut former = Relayscope::configured(&place, &config(&sink, ""));
    let mut first = Client::ready(former.address());
    let mut second = Client::ready(former.address());
    let next = Relayscope::taking_over(&place, &config(&sink, ""));
    former.output().expect("handed over");
    assert_eq!(first.deliver(&Message::named("early")).unwrap().code, 250);
    // The next process has it, and so has the file that it comes from.
    assert_eq!(ask(&place, &["where", "<early@msg.example>"]).0, 0);
    sink.set(Manner::Hold);
    let late = Message::named("late");
    second.hand_in(&late);
    sink.wait_held(1);
    next.kill();

    let third = Relayscope::taking_over(&place, &config(&sink, ""));
    assert_eq!(ask(&place, &["search", "state:unknown"]).0, 1, "its process lives");
    sink.set(Manner::Take);
    assert_eq!(second.expect(250).code, 250);
    drop((first, second));
    assert!(former.wait().success());
    let (code, said) = ask(&place, &["where", "<late@msg.example>"]);
    assert_eq!(code, 0, "{said}");
    let found = by_sender(&third.stop());
    assert_eq!(found.values().map(Vec::len).collect::<Vec<_>>(), [1, 1], "{found:#?}");
    assert!(found.values().flatten().all(|it| it.outcome.state == State::Accepted), "{found:#?}");
}

/// Names of messages that were answered with 250, while processes come and go.
struct Senders {
    acknowledged: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Senders {
    fn start(address: SocketAddr) -> Self {
        let (acknowledged, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let threads = (0..6)
            .map(|sender| {
                let (acknowledged, stop) = (acknowledged.clone(), stop.clone());
                std::thread::spawn(move || {
                    let mut number = 0;
                    while !stop.load(Ordering::SeqCst) {
                        number += 1;
                        let name = format!("s{sender}n{number}");
                        match Client::try_connect(address).and_then(|mut client| send(&mut client, &name)) {
                            Some(250) => acknowledged.lock().unwrap().push(name),
                            // Refused, told to go, or cut off: the next message is another.
                            _ => std::thread::sleep(Duration::from_millis(2)),
                        }
                    }
                })
            })
            .collect();
        Self { acknowledged, stop, threads }
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    fn wait_for_more(&self, more: usize) {
        let wanted = self.count() + more;
        until("messages are acknowledged", || self.count() >= wanted);
    }

    fn finish(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        std::mem::take(&mut *self.acknowledged.lock().unwrap())
    }
}

fn send(client: &mut Client, name: &str) -> Option<u16> {
    let message = Message::sized(name, 2000);
    client.reply().filter(|reply| reply.code == 220)?;
    client.exchange("EHLO client.example\r\n")?;
    client.exchange(format!("MAIL FROM:<{}>\r\n", message.reverse_path))?;
    client.exchange("RCPT TO:<bob@to.example>\r\n")?;
    client.exchange("DATA\r\n").filter(|reply| reply.code == 354)?;
    Some(client.exchange([&*message.on_the_wire(), b".\r\n"].concat())?.code)
}

/// Whichever process dies at whichever step: what was acknowledged is recorded, and nothing twice.
#[test]
fn kill_9_at_every_step_of_a_hand_over() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let address = SocketAddr::from(([127, 0, 0, 1], ports::unused()));
    place.file("relayscope.toml", config(&sink, "workers = 2").replace("127.0.0.1:0", &address.to_string()));
    let start = || {
        let arguments = ["run", "--config", "relayscope.toml", "--store", "store", "--http", "off", "--take-over"];
        Process::start(command(&place, &arguments), false)
    };
    let mut serving = start();
    serving.output.expect("listening listener=");
    let senders = Senders::start(address);
    // The words of either process after which one of them is killed.
    let steps = [
        (Victim::Next, "using a self-signed certificate"),
        (Victim::Next, "another relayscope asks to take over"),
        (Victim::Next, "records are staged in memory"),
        (Victim::Next, "trace store open"),
        (Victim::Next, "took over"),
        (Victim::Former, "records are staged in memory"),
        (Victim::Former, "trace store open"),
        (Victim::Former, "took over"),
        (Victim::Former, "handed over"),
    ];
    for (victim, words) in steps {
        senders.wait_for_more(40);
        let mut next = start();
        let of_former = words.starts_with("another") || words.starts_with("handed");
        if of_former { &serving.output } else { &next.output }.expect(words);
        match victim {
            Victim::Next => next.kill(),
            Victim::Former => serving.kill(),
        }
        // Whoever is left serves, or another is put in its place.
        match victim {
            Victim::Former => {
                let served = next.output.wait_for("serving", |line| line.contains("listening listener=").then_some(())).is_some();
                serving = if served { next } else { started_at_last(&start) };
            }
            Victim::Next if serving.output.count("handed over") > 0 => serving = started_at_last(&start),
            Victim::Next => {}
        }
    }
    senders.wait_for_more(40);
    let acknowledged = senders.finish();
    assert!(serving.terminate().success(), "{}", serving.output.text());
    let found = by_sender(&place.path("store"));
    for name in &acknowledged {
        let records = found.get(&format!("{name}@from.example")).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(records.len(), 1, "{name} was acknowledged: {records:#?}");
        assert_eq!(records[0].outcome.state, State::Accepted, "{records:#?}");
    }
    for taken in sink.taken() {
        let records = found.get(&taken.reverse_path).map(Vec::as_slice).unwrap_or_default();
        assert_eq!(records.len(), 1, "{} reached the smart host: {records:#?}", taken.reverse_path);
        assert!(matches!(records[0].outcome.state, State::Accepted | State::Unknown), "{records:#?}");
    }
}

#[derive(Clone, Copy)]
enum Victim {
    Former,
    Next,
}

/// While a process that was killed is still being cleared away, its store and its addresses may be taken for a moment.
fn started_at_last(start: &impl Fn() -> Process) -> Process {
    let end = Instant::now() + PATIENCE;
    loop {
        let process = start();
        if process.output.wait_for("serving", |line| line.contains("listening listener=").then_some(())).is_some() {
            return process;
        }
        assert!(Instant::now() < end, "{}", process.output.text());
    }
}

/// Ends a process that isn't this one's child, whatever the test comes to.
struct Foreign(u32);

impl Foreign {
    fn is_alive(&self) -> bool {
        Command::new("kill").args(["-0", &self.0.to_string()]).stderr(std::process::Stdio::null()).status().unwrap().success()
    }

    fn terminate(&self) {
        Command::new("kill").args(["-TERM", &self.0.to_string()]).status().unwrap();
        until("it ends", || !self.is_alive());
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        if self.is_alive() {
            let _ = Command::new("kill").args(["-KILL", &self.0.to_string()]).status();
        }
    }
}

#[test]
fn sigusr2_starts_the_successor() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let mut serving = Relayscope::configured(&place, &config(&sink, ""));
    let address = serving.address();
    let good = fs::read_to_string(place.path("relayscope.toml")).unwrap();
    // First one that can't start.
    place.file("relayscope.toml", "nonsense");
    serving.process().signal("USR2");
    serving.output().expect("the successor has ended");
    assert!(serving.process().is_running());
    assert_eq!(Client::connect(address).expect(220).code, 220);

    place.file("relayscope.toml", good);
    serving.process().signal("USR2");
    let line = serving.output().expect_lines("started a successor", 2).pop().unwrap();
    let pid = line.split_once("pid=").unwrap().1.split_whitespace().next().unwrap().parse().unwrap();
    let successor = Foreign(pid);
    serving.output().expect("took over");
    assert!(serving.wait().success(), "it has nothing more to do");
    let mut client = Client::ready(address);
    assert_eq!(client.deliver(&Message::named("next")).unwrap().code, 250);
    client.quit();
    assert_eq!(ask(&place, &["where", "<next@msg.example>"]).0, 0);
    assert_eq!(fs::read_to_string(place.path("store/lock")).unwrap().trim(), pid.to_string());
    successor.terminate();
    records::one(&place.path("store"), "next@msg.example");
}
