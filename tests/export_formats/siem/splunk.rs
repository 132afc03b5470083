//! Splunk: aliases, calculated fields and searches name fields that are sent; the patterns for CEF find what is there.

use std::collections::BTreeMap;

use regex::Regex;
use relayscope::export::format::Format;

use super::super::parsers::cef;
use super::{cef_keys, events, names, read};

const DEFAULT: &str = "splunk/TA-relayscope/default";

/// Stanza → settings, in order.
fn conf(file: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let (mut stanzas, mut stanza) = (BTreeMap::<String, Vec<_>>::new(), None);
    for line in read(&format!("{DEFAULT}/{file}")).lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        match line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(name) => {
                stanzas.entry(name.to_owned()).or_default();
                stanza = Some(name.to_owned());
            }
            None => {
                let (key, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{file}: {line:?} is no setting"));
                let of = stanza.as_ref().unwrap_or_else(|| panic!("{file}: {line:?} stands in no stanza"));
                stanzas.get_mut(of).unwrap().push((key.to_owned(), value.to_owned()));
            }
        }
    }
    stanzas
}

fn setting(stanzas: &BTreeMap<String, Vec<(String, String)>>, stanza: &str, key: &str) -> String {
    stanzas[stanza].iter().find(|(name, _)| name == key).map(|(_, value)| value.clone()).unwrap_or_else(|| panic!("[{stanza}] {key}"))
}

/// Splunk writes `{}` where a list stands.
fn plain(name: &str) -> String {
    name.replace("{}", "")
}

#[test]
fn json_fields_are_sent() {
    let (sent, props) = (names(Format::Json), conf("props.conf"));
    let known = |name: &str| sent.contains(&plain(name));
    let quoted = Regex::new(r"'([^']+)'").unwrap();
    let mut aliases = 0;
    for (key, value) in &props["relayscope:json"] {
        let words: Vec<&str> = value.split_whitespace().collect();
        if key.starts_with("FIELDALIAS") {
            for alias in words.chunks(3) {
                assert!(alias.len() == 3 && alias[1] == "AS" && known(alias[0]), "{key}: {alias:?}");
                aliases += 1;
            }
        }
        if key.starts_with("EVAL") {
            for field in quoted.captures_iter(value) {
                assert!(known(&field[1]), "{key}: {}", &field[1]);
            }
        }
    }
    assert!(aliases > 10);
    let view = read(&format!("{DEFAULT}/data/ui/views/relayscope.xml"));
    let view = roxmltree::Document::parse(&view).unwrap();
    let mut searches: Vec<String> =
        view.descendants().filter(|it| it.has_tag_name("query")).map(|it| it.text().unwrap().to_owned()).collect();
    assert_eq!(searches.len(), 6);
    searches.extend(conf("savedsearches.conf").into_values().flatten().filter(|(key, _)| key == "search").map(|(_, value)| value));
    searches.extend(conf("eventtypes.conf").into_values().flatten().map(|(_, value)| value));
    let dotted = Regex::new(r"[a-z_]+(?:\{\})?(?:\.[a-z_]+(?:\{\})?)+").unwrap();
    for search in &searches {
        for field in dotted.find_iter(search) {
            assert!(known(field.as_str()), "{} of {search}", field.as_str());
        }
    }
}

#[test]
fn times_are_found() {
    let props = conf("props.conf");
    for (name, format) in [("relayscope:json", Format::Json), ("relayscope:cef", Format::Cef)] {
        let prefix = Regex::new(&setting(&props, name, "TIME_PREFIX")).unwrap();
        for (record, event) in events(format) {
            let rest = prefix.find(&event).map(|it| &event[it.end()..]).unwrap_or_else(|| panic!("{record}: no time in {event}"));
            let shape: String = rest.chars().take(14).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            let expected = if format == Format::Cef { "0000000000000 " } else { "0000-00-00T00:" };
            assert_eq!(shape, expected, "{record}");
        }
    }
}

#[test]
fn the_patterns_for_cef_find_every_field_and_no_other() {
    let (props, transforms) = (conf("props.conf"), conf("transforms.conf"));
    for (key, value) in props["relayscope:cef"].iter().filter(|(key, _)| key.starts_with("REPORT")) {
        assert!(transforms.contains_key(value), "{key}");
    }
    let header = Regex::new(&setting(&transforms, "relayscope_cef_header", "REGEX")).unwrap();
    let pairs = fancy_regex::Regex::new(&setting(&transforms, "relayscope_cef_pairs", "REGEX")).unwrap();
    for (name, event) in events(Format::Cef) {
        let parsed = cef(&event);
        let found = header.captures(&event).unwrap();
        assert_eq!((&found["signature_id"], &found["signature"]), (parsed.header[4].as_str(), parsed.header[5].as_str()), "{name}");
        let mut fields: Vec<(String, String)> = Vec::new();
        // Splunk goes on where the match before ended; the space before a key belongs to the next match.
        for found in pairs.captures_iter(&event) {
            let found = found.unwrap();
            let group = |name: &str| found.name(name).unwrap().as_str().to_owned();
            fields.push((group("_KEY_1"), group("_VAL_1")));
        }
        let expected: Vec<(String, String)> = parsed.pairs.iter().map(|(key, value)| (key.clone(), escaped(value))).collect();
        assert_eq!(fields, expected, "{name}");
    }
    let known = cef_keys();
    for (key, value) in props["relayscope:cef"].iter().filter(|(key, _)| key.starts_with("FIELDALIAS")) {
        let words: Vec<&str> = value.split_whitespace().collect();
        for alias in words.chunks(3) {
            assert!(known.contains(alias[0]), "{key}: {alias:?}");
        }
    }
}

/// As CEF writes a value.
pub fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('=', "\\=").replace('\n', "\\n").replace('\r', "\\r")
}
