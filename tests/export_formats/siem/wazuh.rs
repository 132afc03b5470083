//! Wazuh: the decoders find in every event what is there, and nothing that only pretends to be; the rules name what the decoders give.

use std::collections::{BTreeMap, BTreeSet};

use fancy_regex::Regex;
use relayscope::export::format::Format;

use super::super::parsers::cef;
use super::splunk::escaped;
use super::{events, msgids, read};

/// The file has several roots, as Wazuh's files do.
fn document(file: &str) -> String {
    format!("<all>{}</all>", read(file))
}

/// Pattern, and the fields that it gives.
fn decoders() -> Vec<(Regex, Vec<String>)> {
    let text = document("wazuh/relayscope_decoders.xml");
    let xml = roxmltree::Document::parse(&text).unwrap();
    let text_of = |node: roxmltree::Node<'_, '_>, tag: &str| {
        node.children().find(|it| it.has_tag_name(tag)).and_then(|it| it.text().map(str::to_owned))
    };
    let children = xml.descendants().filter(|it| it.has_tag_name("decoder") && text_of(*it, "parent").as_deref() == Some("relayscope"));
    children
        .map(|it| {
            assert_eq!(it.attribute("name"), Some("relayscope-fields"), "siblings have one name");
            let order = text_of(it, "order").unwrap().split(',').map(|name| name.trim().to_owned()).collect();
            (Regex::new(&text_of(it, "regex").unwrap()).unwrap(), order)
        })
        .collect()
}

fn decoded(event: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    for (pattern, order) in decoders() {
        if let Some(found) = pattern.captures(event).unwrap() {
            for (at, name) in order.iter().enumerate() {
                fields.insert(name.clone(), found.get(at + 1).unwrap().as_str().to_owned());
            }
        }
    }
    fields
}

#[test]
fn decoders_give_the_fields_of_each_event() {
    let keys = [
        ("id", "externalId"),
        ("srcuser", "suid"),
        ("action", "act"),
        ("status", "outcome"),
        ("relayscope.node", "dvchost"),
        ("relayscope.sender", "suser"),
        ("relayscope.recipients", "duser"),
        ("relayscope.message_id", "cs1"),
        ("relayscope.stage", "cs3"),
        ("relayscope.who_must_act", "cs4"),
        ("relayscope.reply_code", "cn3"),
        ("relayscope.reason", "reason"),
        ("relayscope.flags", "RelayscopeFlags"),
        ("relayscope.anomaly", "RelayscopeAnomaly"),
        ("relayscope.incident_severity", "RelayscopeSeverity"),
        ("relayscope.message", "msg"),
    ];
    for (name, event) in events(Format::Cef) {
        // As it comes by syslog.
        let (parsed, fields) = (cef(&event), decoded(&format!("<134>1 2026-11-23T10:02:11Z relay1 relayscope - - - {event}")));
        assert_eq!(fields["relayscope.event"], parsed.header[4], "{name}");
        for (field, key) in keys {
            assert_eq!(fields.get(field).cloned(), parsed.value(key).map(escaped), "{name}: {field}");
        }
        for (field, four, six) in [("srcip", "src", "c6a2"), ("dstip", "dst", "c6a3")] {
            assert_eq!(fields.get(field).map(String::as_str), parsed.value(four).or(parsed.value(six)), "{name}: {field}");
        }
        assert_eq!(fields.len(), fields.keys().collect::<BTreeSet<_>>().len());
    }
}

#[test]
fn rules_say_what_they_should() {
    let text = document("wazuh/relayscope_rules.xml");
    let xml = roxmltree::Document::parse(&text).unwrap();
    let given: BTreeSet<String> = decoders().into_iter().flat_map(|(_, order)| order).collect();
    let rules: Vec<_> = xml.descendants().filter(|it| it.has_tag_name("rule")).collect();
    let ids: BTreeSet<&str> = rules.iter().map(|it| it.attribute("id").unwrap()).collect();
    assert!(ids.len() == rules.len() && ids.iter().all(|id| ("100500".."100600").contains(id)), "{ids:?}");
    for rule in &rules {
        for parent in rule.children().filter(|it| it.has_tag_name("if_sid") || it.has_tag_name("if_matched_sid")) {
            assert!(ids.contains(parent.text().unwrap()), "{parent:?}");
        }
        for field in rule.children().filter(|it| it.has_tag_name("field")) {
            assert!(given.contains(field.attribute("name").unwrap()), "{field:?}");
        }
        let description = rule.children().find(|it| it.has_tag_name("description")).unwrap().text().unwrap();
        for name in
            Regex::new(r"\$\(([^)]+)\)").unwrap().captures_iter(description).map(|it| it.unwrap().get(1).unwrap().as_str().to_owned())
        {
            assert!(given.contains(&name), "{description}");
        }
    }
    // The rules that an event's own fields decide.
    let fires = |event: &str| -> Vec<&str> {
        let fields = decoded(event);
        let fits = |rule: &roxmltree::Node<'_, '_>| {
            let mut wanted = rule.children().filter(|it| it.has_tag_name("field"));
            wanted.clone().count() > 0
                && wanted.all(|it| {
                    let value = fields.get(it.attribute("name").unwrap()).map(String::as_str).unwrap_or_default();
                    Regex::new(it.text().unwrap()).unwrap().is_match(value).unwrap()
                })
        };
        rules.iter().filter(|rule| fits(rule)).map(|rule| rule.attribute("id").unwrap()).collect()
    };
    let found: Vec<(&str, Vec<&str>)> = events(Format::Cef).iter().map(|(name, event)| (*name, fires(event))).collect();
    let expected: Vec<(&str, Vec<&str>)> = vec![
        ("accepted", vec![]),
        ("deferred", vec![]),
        ("rejected", vec!["100501"]),
        ("partial", vec![]),
        ("auth_failure", vec!["100510"]),
        ("refused", vec!["100512"]),
        ("incident_opened", vec!["100520", "100521"]),
        ("incident_resolved", vec!["100521", "100522"]),
        ("audit", vec!["100531"]),
        ("gap", vec!["100530"]),
        ("amendment", vec![]),
        ("hostile", vec!["100501"]),
    ];
    // 100521 stands below 100520, and only fires where that does.
    assert_eq!(found, expected);
    let named: BTreeSet<&str> = msgids();
    for rule in rules.iter().flat_map(|it| it.children()).filter(|it| it.attribute("name") == Some("relayscope.event")) {
        let pattern = Regex::new(rule.text().unwrap()).unwrap();
        assert!(named.iter().any(|name| pattern.is_match(name).unwrap()), "{pattern:?} is no event");
    }
}
