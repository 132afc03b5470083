//! What is cut is cut in order, between characters, before it is escaped, and it is said.

use relayscope::export::format::{Context, Format};
use serde_json::Value;

use super::parsers::{cef, leef};
use super::records::{self, IntoRecord};
use super::{context, encoded_with};

fn event(format: Format, max_event: usize) -> String {
    let mut it = records::partial();
    it.message.subject = Some("Größe ".repeat(400));
    it.upstream = records::rejected().upstream;
    String::from_utf8(encoded_with(format, &it.into_record(), Context { max_event, timeline: true, ..context() }).0).unwrap()
}

/// What an event of at most so many octets says that it lacks.
fn lacks(format: Format, max_event: usize) -> Vec<String> {
    let event = event(format, max_event);
    let list = |value: &Value| value.as_array().into_iter().flatten().filter_map(|it| it.as_str().map(str::to_owned)).collect();
    let words = |text: Option<&str>| text.into_iter().flat_map(|it| it.split(',')).map(str::to_owned).collect();
    let json = |event: &str| serde_json::from_str::<Value>(event).unwrap();
    match format {
        Format::Json => list(&json(&event)["truncated"]),
        Format::Ecs => list(&json(&event)["smtp"]["truncated"]),
        Format::Ocsf => {
            let event = json(&event);
            let words: Vec<String> = list(&event["unmapped"]["smtp"]["truncated"]);
            assert_eq!(event["metadata"]["is_truncated"] == true, !words.is_empty());
            words
        }
        Format::Gelf => words(json(&event)["_truncated"].as_str()),
        Format::Cef => words(cef(&event).value("RelayscopeTruncated")),
        Format::Leef => words(leef(&event).value("truncated")),
    }
}

#[test]
fn parts_go_in_the_documented_order() {
    for format in [Format::Json, Format::Ecs, Format::Ocsf] {
        assert_eq!(lacks(format, 65_536), [""; 0], "{format:?}");
        let whole = event(format, 65_536).len();
        assert_eq!(lacks(format, whole - 1), ["timeline"], "{format:?}");
        let without = event(format, whole - 1).len();
        assert_eq!(lacks(format, without - 1), ["timeline", "detail"], "{format:?}");
        assert_eq!(lacks(format, 16_384), ["timeline", "detail", "items", "text"], "{format:?}");
        assert!(lacks(format, 1_024).contains(&"rest".to_owned()), "{format:?}");
    }
    for format in [Format::Cef, Format::Leef] {
        // Joined lists and single values have bounds of their own there.
        assert!(lacks(format, 65_536).contains(&"items".to_owned()), "{format:?}");
    }
    assert_eq!(lacks(Format::Gelf, 4_096), ["timeline", "items", "text"]);
}

#[test]
fn our_own_shape_counts_what_it_lost() {
    let value: Value = serde_json::from_str(&event(Format::Json, 16_384)).unwrap();
    assert_eq!(value["envelope"]["recipients"].as_array().unwrap().len(), 50);
    assert_eq!(value["envelope"]["recipients_cut"], 100);
    assert_eq!(value["timeline_cut"], 7);
    assert!(value["upstream"].get("offered").is_none());
    let subject = value["message"]["subject"].as_str().unwrap();
    assert!("Größe ".repeat(400).starts_with(subject) && (1_020..=1_024).contains(&subject.len()), "{} octets", subject.len());
    // Ids, words and digests are never cut.
    assert_eq!(value["message"]["body_digest"].as_str().unwrap().len(), 64);
    assert!(relayscope::trace::json::read(event(Format::Json, 16_384).as_bytes()).is_ok(), "it is a record still");
}

#[test]
fn the_number_of_recipients_is_said_whatever_is_cut() {
    for most in [65_536, 8_192, 4_096] {
        assert_eq!(cef(&event(Format::Cef, most)).value("cn1"), Some("150"));
        assert_eq!(leef(&event(Format::Leef, most)).value("recipientCount"), Some("150"));
    }
}

#[test]
fn the_dialogue_comes_only_where_it_is_wanted() {
    let record = records::accepted().into_record();
    let of = |format, timeline| String::from_utf8(encoded_with(format, &record, Context { timeline, ..context() }).0).unwrap();
    for format in [Format::Ecs, Format::Ocsf, Format::Gelf] {
        assert!(!of(format, false).contains("MAIL FROM:"), "{format:?}");
        assert!(of(format, true).contains("2204 client in MAIL FROM:<anna@corp.example>"), "{format:?}");
    }
    assert!(of(Format::Json, false).contains("MAIL FROM:"));
    assert!(!of(Format::Cef, true).contains("MAIL FROM:"));
}
