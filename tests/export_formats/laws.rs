//! Whatever stands in a record, an event is one line of inert text, and who parses it gets the same facts back.

use std::sync::Arc;

use proptest::prelude::*;
use relayscope::export::format::{Context, Encoder, Format, inert};
use relayscope::trace::record::{Client, Message, Reply, Transaction};
use relayscope::trace::{Record, State};
use serde_json::Value;

use super::dice::Dice;
use super::parsers::{cef, leef};
use super::records::{self, IntoRecord, TRAPS};
use super::{context, encoded, encoded_with};

/// Texts that formats stumble over.
fn wild() -> impl Strategy<Value = String> {
    let trap = prop::sample::select(vec![
        "\\",
        "|",
        "=",
        "\"",
        "'",
        "]",
        "\n",
        "\r\n",
        "\r",
        "\t",
        "\0",
        "\u{1b}]0;x\u{7}",
        "\u{7f}",
        "\u{9b}",
        "\u{202e}",
        "\u{2028}",
        "\u{2029}",
        "\u{2066}",
        "\u{feff}",
        "\u{fffd}",
        "\u{e0041}",
        "\u{fffe}",
        "😀",
        "ü",
        " ",
        "  ",
        " src=",
        " act=",
        "|x09|",
        "},{",
        "CEF:0|",
        "LEEF:2.0|",
        "%s",
        "${jndi:x}",
        "<>",
        ",",
        TRAPS,
    ]);
    let piece = prop_oneof![4 => trap.prop_map(str::to_owned), 2 => any::<char>().prop_map(String::from), 2 => "[ -~]{0,12}"];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

fn transaction() -> impl Strategy<Value = Transaction> {
    (wild(), wild(), wild(), wild(), wild(), prop::collection::vec(wild(), 0..6)).prop_map(|(helo, path, subject, line, node, to)| {
        let mut it = records::rejected();
        it.origin = Arc::new(relayscope::trace::record::Origin { node, ..(**it.origin).clone() }.into());
        it.client = Arc::new(Client { helo: Some(helo), ..records::client() }.into());
        it.envelope.reverse_path = path;
        it.message = Message { subject: Some(subject.clone()), message_id: Some(subject), ..Message::default() };
        it.outcome.reply = Some(Reply { code: 550, enhanced: None, lines: vec![line] });
        it.envelope.recipients =
            to.iter().map(|address| records::recipient(address, State::Rejected, records::reply(550, (5, 0, 0), address))).collect();
        it
    })
}

/// One line, readable by anything: no character that does something.
#[track_caller]
fn is_inert(format: Format, event: &[u8]) -> &str {
    let text = std::str::from_utf8(event).expect("UTF-8");
    let acts = text.chars().find(|&c| inert::is_hostile(c) && (format, c) != (Format::Leef, '\t'));
    assert_eq!(acts, None, "{format:?}: {text:?}");
    text
}

#[track_caller]
fn json(event: &str) -> Value {
    // Reads one value and refuses whatever follows.
    serde_json::from_str(event).unwrap_or_else(|error| panic!("{error}: {event}"))
}

/// What a format without an escape for a character shows in its place.
fn visible(text: &str, but: &[char]) -> String {
    text.chars()
        .map(|c| match c {
            c if !inert::is_hostile(c) || but.contains(&c) => c.to_string(),
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            '\t' => "\\t".to_owned(),
            c if c.is_ascii() => format!("\\x{:02x}", c as u32),
            c => format!("\\u{{{:x}}}", c as u32),
        })
        .collect()
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(it in transaction()) {
        let helo = it.client.helo.clone().unwrap();
        let subject = it.message.subject.clone().unwrap();
        let line = it.outcome.reply.as_ref().unwrap().lines[0].clone();
        let path = if it.envelope.reverse_path.is_empty() { "<>".to_owned() } else { it.envelope.reverse_path.clone() };
        let to: Vec<String> = it.envelope.recipients.iter().map(|it| it.address.clone()).collect();
        let node = it.origin.node.clone();
        let record = it.into_record();
        let of = |format| is_inert(format, &encoded(format, &record).0).to_owned();

        let event = cef(&of(Format::Cef));
        let shown = |text: &str, most| Some(visible(inert::cut(text, most), &['\n', '\r']));
        prop_assert_eq!(event.header.len(), 7);
        prop_assert_eq!(event.value("shost").map(str::to_owned), shown(&helo, 1023));
        prop_assert_eq!(event.value("cs2").map(str::to_owned), shown(&subject, 4000));
        prop_assert_eq!(event.value("suser").map(str::to_owned), shown(&path, 1023));
        prop_assert_eq!(event.value("RelayscopeReply").map(str::to_owned), shown(&line, 1023));
        prop_assert_eq!(event.value("dvchost").map(str::to_owned), shown(&node, 100));
        prop_assert_eq!(event.value("act"), Some("rejected"));
        prop_assert_eq!(event.value("src"), Some("192.0.2.25"));
        let mut keys: Vec<_> = event.pairs.iter().map(|(key, _)| key).collect();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(keys.len(), event.pairs.len(), "no key stands there twice");

        let event = leef(&of(Format::Leef));
        let shown = |text: &str| Some(visible(text, &[]));
        prop_assert_eq!(event.value("helo").map(str::to_owned), shown(&helo));
        prop_assert_eq!(event.value("subject").map(str::to_owned), shown(&subject));
        prop_assert_eq!(event.value("sender").map(str::to_owned), shown(&path));
        prop_assert_eq!(event.value("reply").map(str::to_owned), shown(&line));
        prop_assert_eq!(event.value("node").map(str::to_owned), shown(&node));
        prop_assert_eq!(event.value("src"), Some("192.0.2.25"));
        if !to.is_empty() {
            prop_assert_eq!(event.value("recipients").map(str::to_owned), shown(&to.join(",")));
        }

        let event = json(&of(Format::Gelf));
        prop_assert_eq!(event["_helo"].as_str(), Some(helo.as_str()));
        prop_assert_eq!(event["_email_subject"].as_str(), Some(subject.as_str()));
        prop_assert_eq!(event["_reply"].as_str(), Some(line.as_str()));
        prop_assert_eq!(event["host"].as_str(), Some(node.as_str()));

        let event = json(&of(Format::Ecs));
        prop_assert_eq!(event["source"]["domain"].as_str(), Some(helo.as_str()));
        prop_assert_eq!(event["email"]["subject"].as_str(), Some(subject.as_str()));
        prop_assert_eq!(texts(&event["email"]["to"]["address"]), to.clone());
        prop_assert_eq!(texts(&event["smtp"]["reply"]["lines"]), [line.as_str()]);

        let event = json(&of(Format::Ocsf));
        prop_assert_eq!(event["smtp_hello"].as_str(), Some(helo.as_str()));
        prop_assert_eq!(event["email"]["subject"].as_str(), Some(subject.as_str()));
        let kept: Vec<&str> = event["unmapped"]["smtp"]["recipients"].as_array().into_iter().flatten().filter_map(|it| it["address"].as_str()).collect();
        prop_assert_eq!(kept, to);

        // Our own shape reads back whole.
        let event = of(Format::Json);
        let back = relayscope::trace::json::read(event.as_bytes()).unwrap();
        prop_assert_eq!(back, relayscope::trace::json::Record::from(&record));
    }

    #[test]
    fn any_record_is_one_inert_event_within_its_bound(
        octets in prop::collection::vec(any::<u8>(), 0..2_000),
        most in prop::sample::select(vec![0, 1_024, 1_500, 2_048, 8_192, 65_536]),
        timeline in any::<bool>(),
    ) {
        let record = Dice(&octets).record();
        for format in Format::ALL {
            let context = Context { max_event: most, timeline, ..context() };
            let mut event = Vec::new();
            if Encoder::new(format, context).encode(&record, &mut event).is_none() {
                prop_assert!(event.is_empty() && matches!(record, Record::Mark(_) | Record::Log(_)));
                continue;
            }
            prop_assert!(event.len() <= most.max(1_024), "{} octets: {}", event.len(), String::from_utf8_lossy(&event));
            let event = is_inert(format, &event);
            match format {
                Format::Cef => drop(cef(event)),
                Format::Leef => drop(leef(event)),
                _ => prop_assert!(json(event).is_object()),
            }
        }
    }
}

#[test]
fn a_megabyte_in_each_place_is_bounded_too() {
    let long = "é\\|=\n\u{202e}".repeat(100_000);
    let mut it = records::hostile();
    it.message.subject = Some(long.clone());
    it.envelope.reverse_path = long.clone();
    it.envelope.recipients[0].address = long.clone();
    it.outcome.reply = Some(Reply { code: 550, enhanced: None, lines: vec![long.clone(); 3] });
    it.listener = long.clone();
    it.origin = Arc::new(relayscope::trace::record::Origin { node: long, ..(**it.origin).clone() }.into());
    let record = it.into_record();
    for format in Format::ALL {
        for max_event in [1_024, 8_192, 65_536] {
            let (event, _) = encoded_with(format, &record, Context { max_event, ..context() });
            assert!(event.len() <= max_event, "{format:?}: {}", event.len());
            let event = is_inert(format, &event);
            assert!(event.contains("truncated") || event.contains("Truncated"), "{format:?} of {max_event}: it isn't said: {event}");
        }
    }
}
