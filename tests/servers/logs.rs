//! A server's own log, imported: each message is found in it with what became of it.

use std::fs;
use std::path::Path;

use relayscope::trace::{Log, LogEvent, Record, State};

use crate::support::certificates;
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::records;
use crate::support::relayscope::command;

use super::mail::Mail;
use super::receiving::rsa_key;
use super::sending::{Scene, Start};
use super::server::{Receiving, Server, until};

/// A message delivered, one refused and one put off by the next hop; the proxy between them runs, and takes the logs of both sides.
pub fn of_sending(server: &str, start: &Start<'_>) {
    let scene = Scene::new();
    let front = start(&scene.sending("front", false));
    let [plain, gone, later] = messages();
    [&plain, &gone, &later].iter().for_each(|mail| {
        mail.submit(&mut front.client());
    });
    scene.arrived(front.log(), "bob", &plain.id());
    until("a bounce", front.log(), || scene.mail("ann", "unknown@to.example"));
    front.log().expect("come back later");
    let (own, behind) = (front.log_text(), scene.behind.log().text() + "\n");
    drop(front);
    import(&scene.place, server, "front.log", &own, "store");
    import(&scene.place, "postfix", "behind.log", &behind, "store");
    let logs = logs(&scene.relayscope.stop());
    let of_front: Vec<&Log> = logs.iter().filter(|it| it.host.as_deref() != Some("behind")).collect();

    let sent = one(&of_front, LogEvent::Sent, "bob@to.example");
    assert_eq!(state(sent), Some(State::Accepted));
    known(server, sent, &plain);
    let next = sent.next_queue_id.as_deref().unwrap_or_else(|| panic!("the next queue id: {sent:?}"));
    let arrived = logs.iter().find(|it| it.queue_id.as_deref() == Some(next)).unwrap_or_else(|| panic!("{next} in the other log"));
    assert_eq!(arrived.message_id, Some(plain.id()), "both logs speak of one message");
    let bounced = one(&of_front, LogEvent::Bounced, "unknown@to.example");
    assert_eq!(state(bounced), Some(State::Rejected));
    assert_eq!(bounced.reply.as_ref().map(|it| it.code), Some(550), "{bounced:?}");
    known(server, bounced, &gone);
    let deferred = one(&of_front, LogEvent::Deferred, "later@to.example");
    assert_eq!(state(deferred), Some(State::Deferred));
    assert_eq!(deferred.reply.as_ref().map(|it| it.code), Some(450), "{deferred:?}");
    known(server, deferred, &later);
    for it in [bounced, deferred] {
        assert!(it.outcome.as_ref().is_some_and(|it| it.cause.is_some() && it.rule.is_some()), "it is diagnosed: {it:?}");
    }
    let received = of_front.iter().filter(|it| matches!(it.event, LogEvent::Received | LogEvent::Queued));
    assert!(received.filter(|it| it.queue_id == sent.queue_id).count() >= 1, "it is told that it came in");
}

/// A message for a mailbox of the server's own, and one for nobody.
pub fn of_receiving(server: &str, start: &dyn Fn(&Receiving<'_>) -> Box<dyn Server>) {
    let place = Place::new();
    let certificates = certificates::make_for(&place, "tls", &["localhost", "127.0.0.1"], &rsa_key());
    let behind = start(&Receiving { place: &place, name: "behind", certificates: &certificates });
    behind.relent();
    let [plain, gone, _] = messages();
    plain.submit(&mut behind.client());
    behind.expect_mail("bob", &plain.id());
    let mut client = behind.client();
    client.command(&gone.mail_from(), 250);
    let refusals = gone.rcpt_to().map(|command| {
        client.send(format!("{command}\r\n"));
        client.reply().unwrap().code
    });
    assert_eq!(refusals.collect::<Vec<_>>(), [550]);
    client.quit();
    let done = || {
        let text = behind.log_text();
        let given = run_import(&place, server, &text, &["--dry-run", "--json"]);
        (given.contains("\"event\":\"delivered\"") && given.contains("\"event\":\"rejected\"")).then_some(text)
    };
    let log = until("delivery and refusal in the log", behind.log(), done);
    import(&place, server, "behind.log", &log, "logs");
    let logs = logs(&place.path("logs"));
    let all: Vec<&Log> = logs.iter().collect();
    let delivered = one(&all, LogEvent::Delivered, "bob@to.example");
    assert_eq!(state(delivered), Some(State::Accepted));
    known(server, delivered, &plain);
    let rejected = one(&all, LogEvent::Rejected, "unknown@to.example");
    assert_eq!(state(rejected), Some(State::Rejected));
    // Exim tells no code, Sendmail neither code nor client.
    match server {
        "exim" => assert_eq!(rejected.detail.as_deref(), Some("relay not permitted")),
        "sendmail" => assert_eq!(rejected.detail.as_deref(), Some("User unknown")),
        _ => assert_eq!(rejected.reply.as_ref().map(|it| it.code), Some(550), "{rejected:?}"),
    }
    assert!(server == "sendmail" || rejected.client_ip.is_some_and(|ip| ip.is_loopback()), "{rejected:?}");
    assert!(rejected.outcome.as_ref().is_some_and(|it| it.cause.is_some()), "{rejected:?}");
}

fn messages() -> [Mail; 3] {
    let to = |name: &str, recipient: &str| Mail::new(name).with("", &[(recipient, "")]);
    [Mail::new("plain"), to("gone", "unknown@to.example"), to("later", "later@to.example")]
}

fn run_import(place: &Place, server: &str, log: &str, more: &[&str]) -> String {
    let file = place.file("looked-at.log", log);
    let arguments = [&["import", server, file.to_str().unwrap(), "--timezone", "UTC"], more].concat();
    run(&mut command(place, &arguments)).1
}

/// Imports the log twice: the second time, and with the format left open, nothing is added.
fn import(place: &Place, server: &str, name: &str, log: &str, store: &str) {
    let file = place.file(name, log);
    let again = |format: &str| {
        let arguments = ["import", format, file.to_str().unwrap(), "--timezone", "UTC", "--store", store];
        let (code, said) = run(&mut command(place, &arguments));
        assert_eq!(code, 0, "{said}\n{log}");
        said
    };
    let first = again(server);
    eprintln!("--- {server}: {first}");
    assert!(first.contains(" 0 unreadable."), "{first}\n{log}");
    assert!(!first.contains("\n0 records added"), "{first}\n{log}");
    let second = again("auto");
    assert!(second.contains("\n0 records added"), "{second}\n{log}");
}

fn logs(store: &Path) -> Vec<Log> {
    assert!(fs::metadata(store).is_ok());
    records::all(store).into_iter().filter_map(|record| if let Record::Log(it) = record { Some(*it) } else { None }).collect()
}

/// The first entry of that kind for the recipient.
#[track_caller]
fn one<'a>(logs: &[&'a Log], event: LogEvent, recipient: &str) -> &'a Log {
    let fits = |it: &&&Log| it.event == event && it.recipient.as_deref().is_some_and(|it| it.eq_ignore_ascii_case(recipient));
    logs.iter().find(fits).unwrap_or_else(|| {
        let all: Vec<String> = logs.iter().map(|it| format!("{} {:?} {:?} {:?}", it.event, it.queue_id, it.recipient, it.detail)).collect();
        panic!("{event} of {recipient} among:\n{}", all.join("\n"))
    })
}

/// Whose it is stands in the entry, though the line itself may not say so.
#[track_caller]
fn known(server: &str, log: &Log, mail: &Mail) {
    // Courier tells no Message-ID.
    assert_eq!(log.message_id, Some(mail.id()).filter(|_| server != "courier"), "{log:?}");
    assert_eq!(log.reverse_path.as_ref(), Some(&mail.reverse_path), "{log:?}");
    assert!(log.queue_id.is_some(), "{log:?}");
}

fn state(log: &Log) -> Option<State> {
    log.outcome.as_ref().map(|it| it.state)
}
