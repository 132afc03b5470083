//! OCSF: the class of each record has its required attributes, and none that the schema doesn't know, all of the right type.

use std::collections::BTreeMap;

use relayscope::export::format::Format;
use serde_json::Value;

use super::{encoded, records};

const FACTS: &str = include_str!("facts/ocsf-1.6.0.txt");

#[derive(Default)]
struct Shape {
    /// Name → type, list, required, numbers.
    attributes: BTreeMap<&'static str, (&'static str, bool, bool, Vec<i64>)>,
    any: Vec<&'static str>,
    category: i64,
}

/// Classes by number, objects by name.
fn facts() -> BTreeMap<&'static str, Shape> {
    let (mut shapes, mut name) = (BTreeMap::<&str, Shape>::new(), "");
    for line in FACTS.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[0] {
            "class" | "object" => {
                name = words[1];
                shapes.entry(name).or_default().category = words.get(2).map_or(0, |it| it.parse().unwrap());
            }
            "any:" => shapes.get_mut(name).unwrap().any = words[1..].to_vec(),
            attribute => {
                let kind = words[1].trim_end_matches('!');
                let numbers = words.get(2).map(|it| it.split(',').map(|it| it.parse().unwrap()).collect()).unwrap_or_default();
                let fact = (kind.trim_end_matches("[]"), kind.ends_with("[]"), words[1].ends_with('!'), numbers);
                shapes.get_mut(name).unwrap().attributes.insert(attribute, fact);
            }
        }
    }
    shapes
}

fn check(shapes: &BTreeMap<&str, Shape>, shape: &str, value: &Value, place: &str, hostile: bool) {
    let of = shapes.get(shape).unwrap_or_else(|| panic!("{place}: {shape} is not among the facts"));
    let object = value.as_object().unwrap_or_else(|| panic!("{place} is no object"));
    for (name, (_, _, required, _)) in &of.attributes {
        assert!(!required || object.contains_key(*name), "{place} has no {name}");
    }
    assert!(of.any.is_empty() || of.any.iter().any(|name| object.contains_key(*name)), "{place} has none of {:?}", of.any);
    for (name, value) in object {
        let place = format!("{place}.{name}");
        let (kind, list, _, numbers) = of.attributes.get(name.as_str()).unwrap_or_else(|| panic!("{place} is no attribute of {shape}"));
        assert_eq!(value.is_array(), *list, "{place}: a list or not");
        for value in if *list { value.as_array().unwrap().as_slice() } else { std::slice::from_ref(value) } {
            assert!(numbers.is_empty() || numbers.contains(&value.as_i64().unwrap()), "{place} may not be {value}");
            match *kind {
                "integer_t" => assert!(value.as_i64().is_some_and(|it| i32::try_from(it).is_ok()), "{place}: {value}"),
                "long_t" | "timestamp_t" => assert!(value.is_i64(), "{place}: {value}"),
                "port_t" => assert!(value.as_u64().is_some_and(|it| it <= 65_535), "{place}: {value}"),
                "boolean_t" => assert!(value.is_boolean(), "{place}: {value}"),
                "ip_t" => assert!(value.as_str().unwrap().parse::<std::net::IpAddr>().is_ok(), "{place}: {value}"),
                "email_t" => assert!(hostile || is_address(value.as_str().unwrap()), "{place}: {value}"),
                "string_t" | "hostname_t" | "username_t" | "resource_uid_t" => assert!(value.is_string(), "{place}: {value}"),
                "object" => assert!(value.is_object(), "{place}: {value}"),
                shape => check(shapes, shape, value, &place, hostile),
            }
        }
    }
}

/// The schema's own pattern of `email_t`.
fn is_address(text: &str) -> bool {
    regex::Regex::new(r"^[a-zA-Z0-9!#$%&'*+\-/=?^_`{|}~.]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9-.]+$").unwrap().is_match(text)
}

#[test]
fn events_are_valid_in_their_class() {
    let shapes = facts();
    let drawn = records::drawn(300).map(|record| ("drawn at random", record));
    for (name, record) in records::all().into_iter().chain(drawn) {
        let event: Value = serde_json::from_slice(&encoded(Format::Ocsf, &record).0).unwrap();
        let (class, activity) = (event["class_uid"].as_i64().unwrap(), event["activity_id"].as_i64().unwrap());
        assert_eq!(event["type_uid"], class * 100 + activity, "{name}");
        assert_eq!(event["category_uid"], shapes[class.to_string().as_str()].category, "{name}");
        // A message without one valid address keeps the one that it has.
        check(&shapes, &class.to_string(), &event, name, ["hostile", "drawn at random"].contains(&name));
    }
}

#[test]
fn each_kind_has_its_class() {
    let classes: Vec<(&str, i64)> = records::all()
        .into_iter()
        .map(|(name, record)| {
            let event: Value = serde_json::from_slice(&encoded(Format::Ocsf, &record).0).unwrap();
            (name, event["type_uid"].as_i64().unwrap())
        })
        .collect();
    let expected = [
        ("accepted", 400_905),
        ("deferred", 400_905),
        ("rejected", 400_905),
        ("partial", 400_905),
        ("auth_failure", 300_201),
        ("refused", 400_105),
        ("incident_opened", 200_401),
        ("incident_resolved", 200_403),
        ("audit", 600_208),
        ("gap", 600_801),
        ("amendment", 99),
        ("hostile", 400_905),
    ];
    assert_eq!(classes, expected);
}
