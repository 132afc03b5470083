//! CEF's dictionary with its lengths, LEEF's and GELF's rules.

use std::collections::BTreeSet;

use relayscope::export::format::Format;
use relayscope::export::format::flat::{self, Cef};
use serde_json::Value;

use super::parsers::{cef, leef};
use super::{encoded, records};

/// Of ArcSight's extension dictionary (revision 25): the keys that are used, and the most characters of their values.
const CEF: &[(&str, usize)] = &[
    ("act", 63),
    ("app", 31),
    ("c6a2", 45),
    ("c6a2Label", 1023),
    ("c6a3", 45),
    ("c6a3Label", 1023),
    ("cat", 1023),
    ("cn1", 20),
    ("cn1Label", 1023),
    ("cn2", 20),
    ("cn2Label", 1023),
    ("cn3", 20),
    ("cn3Label", 1023),
    ("cnt", 20),
    ("cs1", 4000),
    ("cs1Label", 1023),
    ("cs2", 4000),
    ("cs2Label", 1023),
    ("cs3", 4000),
    ("cs3Label", 1023),
    ("cs4", 4000),
    ("cs4Label", 1023),
    ("cs5", 4000),
    ("cs5Label", 1023),
    ("cs6", 4000),
    ("cs6Label", 1023),
    ("destinationServiceName", 1023),
    ("deviceDirection", 1),
    ("deviceExternalId", 255),
    ("deviceFacility", 1023),
    ("dhost", 1023),
    ("dpt", 5),
    ("dst", 15),
    ("duser", 1023),
    ("dvchost", 100),
    ("end", 20),
    ("externalId", 40),
    ("msg", 1023),
    ("outcome", 63),
    ("proto", 31),
    ("reason", 1023),
    ("rt", 20),
    ("shost", 1023),
    ("spt", 5),
    ("src", 15),
    ("start", 20),
    ("suid", 1023),
    ("suser", 1023),
];

/// What QRadar normalizes, or has a predefined meaning for.
const LEEF: &[&str] = &["cat", "devTime", "devTimeFormat", "proto", "sev", "src", "dst", "srcPort", "dstPort", "usrName", "policy"];

#[test]
fn cef_keys_are_the_dictionarys_or_carry_our_name() {
    for (name, record) in records::all() {
        let text = String::from_utf8(encoded(Format::Cef, &record).0).unwrap();
        let event = cef(&text);
        assert_eq!(event.header[..4], ["0", "Relayscope", "Relayscope", "0.1.0"], "{name}");
        assert!(event.header[6].parse::<u8>().is_ok_and(|it| it <= 10), "{name}: severity {}", event.header[6]);
        for (key, value) in &event.pairs {
            let most = CEF.iter().find(|(known, _)| known == key).map(|(_, most)| *most);
            let most = most.or_else(|| key.starts_with("Relayscope").then_some(1023)).unwrap_or_else(|| panic!("{name}: {key} is no key"));
            // A character that is made visible takes more room than it had.
            let room = if name == "hostile" { most * 8 } else { most };
            assert!(value.chars().count() <= room, "{name}: {key} is longer than {most}");
        }
        for (key, _) in event.pairs.iter().filter(|(key, _)| key.starts_with("cs") || key.starts_with("cn") || key.starts_with("c6a")) {
            assert!(key.ends_with("Label") || key == "cnt" || event.value(&format!("{key}Label")).is_some(), "{name}: {key} has no label");
        }
        for key in ["src", "dst"] {
            assert!(event.value(key).is_none_or(|it| it.parse::<std::net::Ipv4Addr>().is_ok()), "{name}: {key} takes IPv4 only");
        }
        assert!(event.value("rt").is_some_and(|it| it.len() == 13), "{name}: milliseconds");
    }
}

#[test]
fn names_are_the_formats() {
    let (mut gelf, mut own) = (BTreeSet::new(), BTreeSet::new());
    for (_, field) in flat::ALL {
        if let Some(name) = field.gelf {
            assert!(name != "id" && name.bytes().all(|it| it.is_ascii_lowercase() || it == b'_'), "{name}");
            gelf.insert(name);
        }
        if let Cef::Key(key, _) | Cef::Slot(key, ..) = field.cef {
            own.insert(key);
        }
        if let Some(name) = field.leef {
            let ours = name.bytes().all(|it| it.is_ascii_alphanumeric()) && name.starts_with(|it: char| it.is_ascii_lowercase());
            assert!(ours || LEEF.contains(&name), "{name}");
        }
    }
    assert!(gelf.len() > 50 && own.len() > 50);
}

#[test]
fn leef_declares_its_delimiter_and_how_time_is_written() {
    for (name, record) in records::all() {
        let text = String::from_utf8(encoded(Format::Leef, &record).0).unwrap();
        let event = leef(&text);
        assert!(text.contains("|x09|devTime="), "{name}: {text}");
        assert_eq!(event.header[..4], ["2.0", "Relayscope", "Relayscope", "0.1.0"]);
        assert_eq!(event.value("devTimeFormat"), Some("yyyy-MM-dd'T'HH:mm:ss.SSSZ"));
        let time = event.value("devTime").unwrap();
        let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000+0000", "{name}");
        assert!(event.value("sev").unwrap().parse::<u8>().is_ok_and(|it| (1..=10).contains(&it)), "{name}");
        for key in ["src", "dst"] {
            assert!(event.value(key).is_none_or(|it| it.parse::<std::net::IpAddr>().is_ok()), "{name}");
        }
        let mut keys: Vec<_> = event.pairs.iter().map(|(key, _)| key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), event.pairs.len(), "{name}: no key stands there twice");
    }
}

#[test]
fn gelf_has_what_it_must_and_nothing_it_may_not() {
    for (name, record) in records::all() {
        let event: Value = serde_json::from_slice(&encoded(Format::Gelf, &record).0).unwrap();
        assert_eq!(event["version"], "1.1");
        assert!(event["host"].as_str().is_some_and(|it| !it.is_empty()), "{name}");
        assert!(event["short_message"].as_str().is_some_and(|it| !it.trim().is_empty()), "{name}");
        assert!(event["timestamp"].is_f64() && event["level"].as_u64().is_some_and(|it| it <= 7), "{name}");
        for (key, value) in event.as_object().unwrap() {
            let known = ["version", "host", "short_message", "full_message", "timestamp", "level"].contains(&key.as_str());
            assert!(known || key.starts_with('_') && key != "_id", "{name}: {key}");
            assert!(key.bytes().all(|it| it.is_ascii_alphanumeric() || b"_.-".contains(&it)), "{name}: {key}");
            assert!(value.is_string() || value.is_number(), "{name}: {key} is {value}");
            assert!(value.as_str().is_none_or(|it| it.len() < 32_766), "{name}: {key} is too long for an exact value");
        }
    }
}
