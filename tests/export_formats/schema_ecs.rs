//! ECS: every field is one of the schema's, of its type, with its values; or stands in the documented `smtp.*` extension.

use std::collections::BTreeMap;

use relayscope::export::format::Format;
use relayscope::trace::Record;
use serde_json::Value;

use super::parsers::leaves;
use super::{encoded, records};

const FACTS: &str = include_str!("facts/ecs-8.17.txt");

struct Fact {
    kind: &'static str,
    list: bool,
    values: Vec<&'static str>,
}

fn facts() -> (BTreeMap<&'static str, Fact>, BTreeMap<&'static str, Vec<&'static str>>) {
    let (mut fields, mut categories) = (BTreeMap::new(), BTreeMap::new());
    for line in FACTS.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let values = |at: usize| words.get(at).map(|it: &&str| it.split(',').collect()).unwrap_or_default();
        match words[0] {
            "category" => drop(categories.insert(words[1], values(2))),
            name => {
                let kind = words[1].trim_end_matches("[]");
                fields.insert(name, Fact { kind, list: words[1] != kind, values: values(2) });
            }
        }
    }
    (fields, categories)
}

/// The value at a dotted name.
fn at<'v>(event: &'v Value, name: &str) -> &'v Value {
    name.split('.').fold(event, |value, key| &value[key])
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "long" => value.is_i64(),
        "boolean" => value.is_boolean(),
        "ip" => value.as_str().is_some_and(|it| it.parse::<std::net::IpAddr>().is_ok()),
        "date" => value.as_str().is_some_and(|it| it.parse::<jiff::Timestamp>().is_ok()),
        "keyword" | "wildcard" | "match_only_text" => value.is_string(),
        other => panic!("a type that the test doesn't know: {other}"),
    }
}

#[test]
fn fields_are_the_schemas_or_documented_ones() {
    let (facts, categories) = facts();
    let drawn = records::drawn(300).map(|record| ("drawn at random", record));
    for (name, record) in records::all().into_iter().chain(drawn) {
        let event: Value = serde_json::from_slice(&encoded(Format::Ecs, &record).0).unwrap();
        let mut found = Vec::new();
        leaves(&event, "", &mut found);
        for (field, value) in found.iter().filter(|(field, _)| !field.starts_with("smtp.")) {
            let fact = facts.get(field.as_str()).unwrap_or_else(|| panic!("{name}: {field} is no field of ECS"));
            assert!(is_of(fact.kind, value), "{name}: {field} is {value}, and not {}", fact.kind);
            assert_eq!(at(&event, field).is_array(), fact.list, "{name}: {field} is a list or not");
            let word = value.as_str().unwrap_or_default();
            assert!(fact.values.is_empty() || fact.values.contains(&word), "{name}: {field} may not be {word:?}");
        }
        let list = |field: &str| -> Vec<String> { serde_json::from_value(at(&event, field).clone()).unwrap() };
        for category in list("event.category") {
            for kind in list("event.type") {
                let allowed = categories.get(category.as_str()).is_some_and(|kinds| kinds.contains(&kind.as_str()));
                assert!(allowed, "{name}: event.type {kind} doesn't stand beside event.category {category}");
            }
        }
        for field in ["@timestamp", "ecs.version", "event.id", "event.kind", "event.action", "event.outcome", "message"] {
            assert!(!at(&event, field).is_null(), "{name} has no {field}");
        }
        assert_eq!(at(&event, "event.kind") == "alert", matches!(record, Record::Incident(_)), "{name}");
    }
}

#[test]
fn durations_are_nanoseconds() {
    let event: Value = serde_json::from_slice(&encoded(Format::Ecs, &records::all()[0].1).0).unwrap();
    assert_eq!(at(&event, "event.duration"), 41_982_000);
    assert_eq!(at(&event, "event.end"), "2026-11-23T10:02:11.084799Z");
    assert_eq!(at(&event, "email.from.address")[0], "anna@corp.example");
}
