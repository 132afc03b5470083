//! The smart host fails in every way: the mail stays with its server, and is delivered once when the host is back.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};

use relayscope::trace::{EndHow, Flag, Stage, State};
use socket2::SockRef;

use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::ports::Refusing;
use crate::support::postfix::Postfix;
use crate::support::programs::need;
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};

#[test]
fn mail_waits_in_postfix_while_the_host_refuses() {
    need!("postfix", "root");
    let place = Place::new();
    let host = Refusing::new();
    let relayscope = Relayscope::simple(&place, host.address);
    let front = Postfix::front(&place, relayscope.address(), "");
    let mut client = front.client();
    assert_eq!(client.deliver(&Message::named("patient")).unwrap().code, 250);
    client.quit();
    let deferred = front.log().expect("status=deferred");
    assert!(deferred.contains("smart host 127.0.0.1"), "Postfix's log says why: {deferred}");
    assert_eq!(queue_names(&front), ["deferred"]);

    let sink = Sink::on(host.open(), Manner::Take);
    front.flush();
    front.log().expect("status=sent");
    front.log().expect(": removed");
    assert!(front.queue().is_empty());
    assert_eq!(sink.taken().len(), 1, "delivered, and once");
    drop(front);
    let store = relayscope.stop();
    assert_eq!(records::one(&store, "patient@msg.example").outcome.state, State::Accepted);
    let refused: Vec<_> = records::sessions(&store).into_iter().filter(|it| it.ended.how == EndHow::ConnectFailure).collect();
    assert!(!refused.is_empty(), "the vain attempt is a record too");
    assert_eq!(refused[0].ended.stage, Stage::Connect);
}

#[test]
fn mail_waits_in_postfix_while_the_host_talks_nonsense() {
    delivered_once_after(Manner::Garbage);
}

#[test]
fn mail_waits_in_postfix_while_the_host_closes_in_data() {
    delivered_once_after(Manner::CloseInData);
}

fn delivered_once_after(manner: Manner) {
    need!("postfix", "root");
    let place = Place::new();
    let sink = Sink::start(manner);
    let relayscope = Relayscope::simple(&place, sink.address);
    let front = Postfix::front(&place, relayscope.address(), "");
    let mut client = front.client();
    assert_eq!(client.deliver(&Message::named("patient")).unwrap().code, 250);
    client.quit();
    front.log().expect("status=deferred");
    assert_eq!(queue_names(&front), ["deferred"]);
    assert!(sink.taken().is_empty());

    sink.set(Manner::Take);
    front.flush();
    front.log().expect("status=sent");
    front.log().expect(": removed");
    assert!(front.queue().is_empty());
    let taken = sink.taken();
    assert_eq!(taken.len(), 1, "delivered, and once");
    assert!(taken[0].content.ends_with(b"Text of patient.\r\n"));
    drop(front);
    let accepted = records::transactions(&relayscope.stop()).into_iter().filter(|it| it.outcome.state == State::Accepted).count();
    assert_eq!(accepted, 1);
}

/// A Postfix behind that is stopped and comes back with the same port.
#[test]
fn mail_waits_while_postfix_behind_is_away() {
    need!("postfix", "root");
    let place = Place::new();
    let behind = Postfix::behind(&place, "");
    let relayscope = Relayscope::simple(&place, behind.address);
    let front = Postfix::front(&place, relayscope.address(), "");
    let away = behind.stop();
    let mut client = front.client();
    assert_eq!(client.deliver(&Message::named("away")).unwrap().code, 250);
    client.quit();
    front.log().expect("status=deferred");

    let behind = away.start(&place);
    front.flush();
    front.log().expect("status=sent");
    behind.log().expect("status=sent (delivered to maildir)");
    assert_eq!(behind.mailbox("bob").len(), 1);
    assert!(front.queue().is_empty());
    drop(front);
    assert_eq!(records::one(&relayscope.stop(), "away@msg.example").outcome.state, State::Accepted);
}

#[test]
fn the_second_host_takes_what_the_first_does_not() {
    for first in ["refuses", "talks nonsense", "is too busy", "closes"] {
        let place = Place::new();
        let (refusing, sink) = (Refusing::new(), Sink::start(Manner::Take));
        let address = match first {
            "refuses" => refusing.address,
            "talks nonsense" => host_that_says(b"\0\xff nonsense\n"),
            "is too busy" => host_that_says(b"421 busy.example come back later\r\n"),
            _ => host_that_says(b""),
        };
        let config = format!("[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nhosts = [\"{address}\", \"{}\"]\n", sink.address);
        let relayscope = Relayscope::configured(&place, &config);
        for name in ["one", "two"] {
            let mut client = Client::ready(relayscope.address());
            assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250, "the first host {first}");
            client.quit();
        }
        assert_eq!(sink.taken().len(), 2);
        let transaction = records::one(&relayscope.stop(), "one@msg.example");
        assert!(transaction.flags.contains(&Flag::FailedOver), "the first host {first}: {:?}", transaction.flags);
        assert_eq!(transaction.upstream.port, Some(sink.address.port()));
        assert_eq!(transaction.upstream.tried.len(), 1);
        assert_eq!(transaction.upstream.tried[0].port, address.port());
    }
}

/// The smart host's connection is reset after each step: the client hears a temporary failure, never a 250 that was not given.
#[test]
fn the_host_resets_at_every_step() {
    const STEPS: [&str; 6] = ["", "EHLO client.example", "MAIL FROM:<ann@from.example>", "RCPT TO:<bob@to.example>", "DATA", "."];
    for last in 0..STEPS.len() {
        let place = Place::new();
        let host = host_that_resets_after(last);
        let relayscope = Relayscope::simple(&place, host);
        let mut client = Client::connect(relayscope.address());
        let mut codes = Vec::new();
        for step in STEPS {
            if step == "." {
                client.try_send(b"Subject: reset\r\n\r\ntext\r\n");
            }
            let reply = if step.is_empty() { client.reply() } else { client.exchange(format!("{step}\r\n")) };
            let Some(reply) = reply else { break };
            codes.push(reply.code);
            if reply.code >= 400 {
                break;
            }
        }
        assert!(matches!(codes.last(), Some(421 | 451)), "reset at step {last}: {codes:?}");
        assert!(codes.len() > last || last == 4, "reset at step {last}: {codes:?}");
        drop(client);
        let records = records::all(&relayscope.stop());
        assert!(!records.is_empty(), "reset at step {last}");
    }
}

fn queue_names(postfix: &Postfix) -> Vec<String> {
    postfix.queue().iter().map(|entry| entry["queue_name"].as_str().unwrap().to_owned()).collect()
}

/// Says that, and closes.
fn host_that_says(octets: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.write_all(octets);
        }
    });
    address
}

/// Answers so many steps properly (greeting, EHLO, MAIL, RCPT, DATA), then resets at the next thing it hears.
fn host_that_resets_after(steps: usize) -> SocketAddr {
    use std::io::{BufRead, BufReader};
    const REPLIES: [&str; 5] = ["220 reset.example ESMTP\r\n", "250 reset.example\r\n", "250 ok\r\n", "250 ok\r\n", "354 go on\r\n"];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for (step, reply) in REPLIES.iter().take(steps).enumerate() {
                if step > 0 {
                    lines.next();
                }
                let _ = stream.write_all(reply.as_bytes());
            }
            if steps > 0 {
                lines.next();
            }
            SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        }
    });
    address
}
