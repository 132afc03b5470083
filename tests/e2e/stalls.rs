//! Peers that stop in the middle of a handshake or a message, or take their time: who makes no progress is given up, who does isn't.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use relayscope::trace::{EndHow, Stage, State};
use socket2::SockRef;

use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};

fn config(listener: &str, smart_host: SocketAddr, timeouts: &str) -> String {
    format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"{listener}\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{smart_host}\"]\ntls = \"off\"\n\
         [limits.timeouts]\n{timeouts}\n"
    )
}

/// A smart host of one connection, which takes little at a time: it greets, and goes on as `then` says.
fn smart_host(then: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).set_recv_buffer_size(16 << 10).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 slow.example ESMTP\r\n").unwrap();
        then(stream);
    });
    address
}

/// Answers each line until one begins with `last`, which is left to the caller.
fn answer_until(stream: &mut TcpStream, last: &[u8]) {
    let mut line = Vec::new();
    let mut octet = [0];
    while stream.read(&mut octet).is_ok_and(|count| count == 1) {
        line.push(octet[0]);
        if octet == *b"\n" {
            if line.starts_with(last) {
                return;
            }
            stream.write_all(b"250 2.0.0 ok\r\n").unwrap();
            line.clear();
        }
    }
}

#[test]
fn a_client_that_never_shakes_hands_is_given_up() {
    let sink = Sink::start(Manner::Take);
    for listener in ["offered", "implicit"] {
        let place = Place::new();
        let relayscope = Relayscope::configured(&place, &config(listener, sink.address, "tls_handshake = \"1s\""));
        let mut client = match listener {
            "offered" => Client::ready(relayscope.address()),
            _ => Client::connect(relayscope.address()),
        };
        if listener == "offered" {
            client.command("STARTTLS", 220);
        }
        assert_eq!(client.rest(), "", "{listener}: the connection ends");
        let sessions = records::sessions(&relayscope.stop());
        let ended: Vec<_> = sessions.iter().map(|it| (it.ended.stage, it.ended.how)).collect();
        assert_eq!(ended, [(Stage::StartTls, EndHow::Timeout)], "{listener}");
    }
}

#[test]
fn a_smart_host_that_leaves_during_the_clients_handshake_takes_the_session_with_it() {
    let place = Place::new();
    let (leave, left) = mpsc::channel::<()>();
    let address = smart_host(move |mut stream| {
        let mut line = [0; 512];
        let _ = stream.read(&mut line).unwrap();
        stream.write_all(b"250 slow.example\r\n").unwrap();
        let _ = left.recv();
    });
    let relayscope = Relayscope::configured(&place, &config("offered", address, ""));
    let mut client = Client::ready(relayscope.address());
    client.command("STARTTLS", 220);
    drop(leave);
    assert_eq!(client.rest(), "");
    relayscope.stop();
}

#[test]
fn a_smart_host_that_is_slow_but_takes_is_waited_for() {
    let place = Place::new();
    let address = smart_host(|mut stream| {
        answer_until(&mut stream, b"DATA");
        stream.write_all(b"354 go ahead\r\n").unwrap();
        let (mut buffer, mut end) = (vec![0; 16 << 10], Vec::new());
        while !end.ends_with(b"\r\n.\r\n") {
            thread::sleep(Duration::from_millis(50)); // its speed
            let count = stream.read(&mut buffer).unwrap();
            end.extend_from_slice(&buffer[..count]);
            end.drain(..end.len().saturating_sub(5));
        }
        stream.write_all(b"250 2.0.0 Ok: queued as SLOW1\r\n").unwrap();
        answer_until(&mut stream, b"never");
    });
    // While the smart host takes its time the client isn't read: its own time stands still.
    let relayscope = Relayscope::configured(&place, &config("off", address, "write = \"3s\"\nclient_data = \"1s\""));
    let mut client = Client::ready(relayscope.address());
    client.open_data(&Message::named("slow"));
    client.send(format!("Message-ID: <slow@msg.example>\r\n\r\n{}.\r\n", format!("{}\r\n", "x".repeat(76)).repeat(30_000)));
    client.expect(250);
    let transaction = records::one(&relayscope.stop(), "slow@msg.example");
    assert_eq!(transaction.outcome.state, State::Accepted);
}

#[test]
fn a_smart_host_that_takes_nothing_any_more_is_given_up() {
    let place = Place::new();
    let (end, ended) = mpsc::channel::<()>();
    let address = smart_host(move |mut stream| {
        answer_until(&mut stream, b"DATA");
        stream.write_all(b"354 go ahead\r\n").unwrap();
        let _ = ended.recv();
    });
    let relayscope = Relayscope::configured(&place, &config("off", address, "write = \"1s\""));
    let mut client = Client::ready(relayscope.address());
    client.open_data(&Message::named("stalled"));
    client.send(format!("Message-ID: <stalled@msg.example>\r\n\r\n{}.\r\n", format!("{}\r\n", "x".repeat(76)).repeat(200_000)));
    let reply = client.reply().unwrap();
    assert!(reply.text.starts_with("451 4.4.2 relayscope: the smart host took nothing any more within the message"), "{}", reply.text);
    drop(end);
    let transaction = records::one(&relayscope.stop(), "stalled@msg.example");
    assert_eq!(transaction.outcome.state, State::Deferred);
}
