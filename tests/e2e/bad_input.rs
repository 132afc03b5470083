//! Bad input over real sockets: each gets its reply or its close, a record, and the next client is served.

use std::net::SocketAddr;

use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};

/// What the peer hears after its bad input.
enum Hears {
    /// This, and the session goes on.
    Reply(&'static str),
    /// This, and then the end of the connection.
    Last(&'static str),
    /// Nothing but the end of the connection.
    Close,
}
use Hears::{Close, Last, Reply};

#[test]
fn bad_commands() {
    let long = [b"NOOP ".repeat(2000), b"\r\n".to_vec()].concat();
    let endless = [vec![b'x'; 3 << 20], b"\r\n".to_vec()].concat();
    let tls_hello = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03random random random random random".to_vec();
    let cases: Vec<(&str, Vec<u8>, Hears)> = vec![
        ("over-long line", long, Reply("500 5.5.2 ")),
        ("3 MB without a line end", endless, Reply("500 5.5.2 ")),
        ("bare LF", b"NOOP\nNOOP\r\n".to_vec(), Last("421 4.5.2 ")),
        ("bare CR", b"NOOP\rNOOP\r\n".to_vec(), Last("421 4.5.2 ")),
        ("NUL", b"NO\0OP\r\n".to_vec(), Reply("500 5.5.2 ")),
        ("only NULs", b"\0\0\0\0\r\n".to_vec(), Reply("500 5.5.2 ")),
        ("8 bits in a verb", b"N\xd6\xd6P\r\n".to_vec(), Reply("500 ")),
        ("an empty line", b"\r\n".to_vec(), Reply("500 ")),
        ("TLS hello", tls_hello, Close),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: relay.example\r\n\r\n".to_vec(), Close),
        ("HTTP with mail in it", b"POST / HTTP/1.1\r\n\r\nEHLO x\r\nMAIL FROM:<a@b>\r\n".to_vec(), Close),
        ("octets behind STARTTLS", b"STARTTLS\r\nMAIL FROM:<a@from.example>\r\n".to_vec(), Last("421 4.7.0 ")),
        ("a chunk of no size", b"BDAT all LAST\r\n".to_vec(), Last("421 4.5.4 ")),
        ("a chunk beyond all sizes", b"BDAT 99999999999999999999999999 LAST\r\n".to_vec(), Last("421 4.5.4 ")),
    ];
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::simple(&place, sink.address);
    for (name, octets, hears) in &cases {
        // HTTP and TLS come from peers that never say EHLO.
        let mut client = Client::connect(relayscope.address());
        client.expect(220);
        if !matches!(hears, Close) {
            client.command("EHLO client.example", 250);
        }
        client.try_send(octets);
        match hears {
            Reply(wanted) => {
                let reply = client.reply().unwrap();
                assert!(reply.text.starts_with(wanted), "{name}: {}", reply.text);
                client.command("NOOP", 250);
                assert_eq!(client.deliver(&Message::named("same")).unwrap().code, 250, "{name}: the session goes on");
                client.quit();
            }
            Last(wanted) => {
                let rest = client.rest();
                assert!(rest.starts_with(wanted) && rest.lines().count() == 1, "{name}: {rest}");
            }
            Close => assert_eq!(client.rest(), "", "{name}"),
        }
        next_is_served(relayscope.address());
    }
    let store = relayscope.stop();
    let ended = records::sessions(&store).len();
    let cut = cases.iter().filter(|(.., hears)| !matches!(hears, Reply(_))).count();
    assert!(ended >= cut, "{ended} session records of {cut} sessions that ended badly");
}

/// Endings of a body that a careless server could take for its end (PITFALLS of smuggling): refused, and nothing goes on.
#[test]
fn smuggling_attempts() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::simple(&place, sink.address);
    for ending in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n\0.\r\n", "\r\n.\0\r\n"] {
        let mut client = Client::ready(relayscope.address());
        client.open_data(&Message::named("smuggler"));
        let smuggled = "MAIL FROM:<root@to.example>\r\nRCPT TO:<bob@to.example>\r\nDATA\r\nsmuggled";
        client.try_send(format!("Subject: innocent\r\n\r\ntext{ending}{smuggled}\r\n.\r\n"));
        let reply = client.reply().unwrap();
        assert!(reply.text.starts_with("554 5.6.0 "), "{ending:?}: {}", reply.text);
        drop(client);
        next_is_served(relayscope.address());
    }
    assert!(sink.taken().iter().all(|it| it.reverse_path == "next@from.example"), "nothing of it arrived");
    relayscope.stop();
}

#[test]
fn reset_at_every_step() {
    let message = Message::named("reset");
    let body = String::from_utf8(message.octets.clone()).unwrap();
    let steps = [
        "EHLO client.example\r\n",
        "MAIL FROM:<reset@from.example>\r\n",
        "RCPT TO:<bob@to.example>\r\n",
        "DATA\r\n",
        body.as_str(),
        ".\r\n",
        "QUIT\r\n",
    ];
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let relayscope = Relayscope::simple(&place, sink.address);
    for last in 0..=steps.len() {
        // Both with the reply to the step read and with it still on its way.
        for read in [true, false] {
            let mut client = Client::connect(relayscope.address());
            if last > 0 || read {
                client.expect(220);
            }
            for (number, step) in steps.iter().take(last).enumerate() {
                client.send(step);
                if step != &body && (read || number + 1 < last) {
                    client.reply();
                }
            }
            client.reset();
            next_is_served(relayscope.address());
        }
    }
    let whole = sink.taken().iter().filter(|it| it.reverse_path == message.reverse_path).count();
    assert!((3..=4).contains(&whole), "the message was whole in 4 runs, of one the end may not have left: {whole} arrived");
    let transactions = records::transactions(&relayscope.stop());
    let known = transactions.iter().filter(|it| it.envelope.reverse_path == message.reverse_path).count();
    assert!(known >= whole, "{known} records of {whole} messages");
}

#[track_caller]
fn next_is_served(address: SocketAddr) {
    let mut client = Client::ready(address);
    assert_eq!(client.deliver(&Message::named("next")).unwrap().code, 250);
    client.quit();
}
