//! Messages whose final reply hasn't come: what `where` tells of them meanwhile, and what is left if the proxy is killed then.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::relayscope::{Relayscope, command};
use crate::support::sink::{Manner, Sink};

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
    let sink = Sink::start(Manner::Hold);
    let relayscope = Relayscope::simple(&place, sink.address);
    let mut client = Client::ready(relayscope.address());
    let message = Message::named("slow");
    client.hand_in(&message);

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

    sink.set(Manner::Take);
    client.expect(250);
    let (code, said) = ask(&place, "<slow@msg.example>", |answer| !is_under_way(answer));
    assert_eq!((code, &said["messages"][0]["state"]), (0, &Value::from("accepted")), "{said}");
    relayscope.stop();
}

#[test]
fn a_killed_proxy_leaves_what_it_knew_of_the_message() {
    let place = Place::new();
    let sink = Sink::start(Manner::Hold);
    let relayscope = Relayscope::simple(&place, sink.address);
    let mut client = Client::ready(relayscope.address());
    let message = Message::named("doubt");
    client.hand_in(&message);
    ask(&place, "<doubt@msg.example>", is_under_way);
    relayscope.kill();
    let (code, said) = run(&mut command(&place, &["where", "<doubt@msg.example>", "--no-dns", "--store", "store"]));
    assert!(code == 0 && said.starts_with("In doubt since"), "{code}: {said}");
}
