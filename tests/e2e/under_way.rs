//! Messages whose final reply hasn't come: what `where` tells of them meanwhile, and what is left if the proxy is killed then.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::relayscope::{Relayscope, command};

/// Takes one message, and answers its end-of-data once it is told to.
fn slow_host() -> (SocketAddr, mpsc::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (answer, asked) = mpsc::channel();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"220 slow.example ESMTP\r\n").unwrap();
        let (mut seen, mut octet, mut in_text) = (Vec::new(), [0], false);
        while stream.read(&mut octet).is_ok_and(|count| count == 1) {
            seen.push(octet[0]);
            let reply: &[u8] = match in_text {
                true if seen.ends_with(b"\r\n.\r\n") => {
                    in_text = false;
                    let _ = asked.recv();
                    b"250 2.0.0 Ok: queued as SLOW1\r\n"
                }
                false if seen.ends_with(b"DATA\r\n") => {
                    in_text = true;
                    b"354 go ahead\r\n"
                }
                false if seen.ends_with(b"\r\n") => b"250 2.0.0 ok\r\n",
                _ => continue,
            };
            seen.clear();
            if stream.write_all(reply).is_err() {
                return;
            }
        }
    });
    (address, answer)
}

/// Asks the running proxy until `is_it` holds of the answer; the answer and its exit code.
fn ask(place: &Place, what: &str, is_it: impl Fn(&Value) -> bool) -> (i32, Value) {
    let until = Instant::now() + PATIENCE;
    loop {
        let (code, said) = run(&mut command(place, &["where", what, "--no-dns", "--json", "--store", "store"]));
        let answer: Value = serde_json::from_str(&said).unwrap_or_default();
        if is_it(&answer) {
            return (code, answer);
        }
        assert!(Instant::now() < until, "{what}: {said}");
        thread::sleep(Duration::from_millis(20)); // the pace of the questions
    }
}

fn is_under_way(answer: &Value) -> bool {
    answer["under_way"].as_array().is_some_and(|all| all.len() == 1)
}

#[test]
fn a_message_whose_reply_is_awaited_is_under_way_and_then_on_record() {
    let place = Place::new();
    let (smart_host, answer) = slow_host();
    let relayscope = Relayscope::simple(&place, smart_host);
    let mut client = Client::ready(relayscope.address());
    let message = Message::named("slow");
    client.open_data(&message);
    client.send(message.on_the_wire());
    client.send(b".\r\n");

    // By what the envelope says at once, by what the text says soon after.
    let (code, said) = ask(&place, &format!("to:{}", message.recipient), is_under_way);
    assert_eq!((code, &said["never_seen"], said["messages"].as_array().map(Vec::len)), (0, &Value::Null, Some(0)), "{said}");
    let (code, said) = ask(&place, "<slow@msg.example>", is_under_way);
    let it = &said["under_way"][0];
    assert_eq!((code, &it["whole"], &it["message_id"]), (0, &Value::Bool(true), &Value::from("slow@msg.example")), "{said}");
    assert_eq!(it["recipients"], Value::from(vec![message.recipient.clone()]), "{said}");
    let (code, said) = run(&mut command(&place, &["where", "<slow@msg.example>", "--no-dns", "--store", "store"]));
    assert!(code == 0 && said.starts_with("Under way: the whole message ("), "{code}: {said}");
    // Another message isn't.
    let (code, said) = run(&mut command(&place, &["where", "<other@msg.example>", "--no-dns", "--store", "store"]));
    assert!(code == 1 && !said.contains("Under way"), "{code}: {said}");

    answer.send(()).unwrap();
    client.expect(250);
    let (code, said) = ask(&place, "<slow@msg.example>", |answer| !is_under_way(answer));
    assert_eq!((code, &said["messages"][0]["state"]), (0, &Value::from("accepted")), "{said}");
    relayscope.stop();
}

#[test]
fn a_killed_proxy_leaves_what_it_knew_of_the_message() {
    let place = Place::new();
    let (smart_host, _answer) = slow_host();
    let relayscope = Relayscope::simple(&place, smart_host);
    let mut client = Client::ready(relayscope.address());
    let message = Message::named("doubt");
    client.open_data(&message);
    client.send(message.on_the_wire());
    client.send(b".\r\n");
    ask(&place, "<doubt@msg.example>", is_under_way);
    relayscope.kill();
    let (code, said) = run(&mut command(&place, &["where", "<doubt@msg.example>", "--no-dns", "--store", "store"]));
    assert!(code == 0 && said.starts_with("In doubt since"), "{code}: {said}");
}
