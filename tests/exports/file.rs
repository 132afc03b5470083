//! Lines of a file: turned over by size, nothing lost, and only what was asked for.

use std::fs;

use super::mail::{deliver, exporting, ids, smart_host, transactions, until};
use crate::support::place::Place;

#[test]
fn a_file_has_a_line_for_each_event_and_is_turned_over() {
    let place = Place::new();
    let path = place.path("out/traces.jsonl");
    let sink = smart_host();
    let exports =
        format!("[[export]]\nname = \"file\"\nkind = \"file\"\npath = \"{}\"\nrotate_size = \"1 MiB\"\nkeep = 2\n", path.display());
    let relayscope = exporting(&place, &sink, &exports);
    let all = || {
        let old = (1..=3).rev().map(|number| fs::read_to_string(format!("{}.{number}", path.display())).unwrap_or_default());
        old.chain([fs::read_to_string(&path).unwrap_or_default()]).collect::<String>()
    };
    deliver(&relayscope, "one", 50);
    until("fifty lines", || transactions(&all()).0.len() == 50);
    // Somebody's own program turned it over meanwhile.
    fs::rename(&path, place.path("out/taken-away")).unwrap();
    deliver(&relayscope, "two", 50);
    until("fifty more", || transactions(&all()).0.len() == 50);
    let (mut arrived, lines) = transactions(&all());
    assert_eq!(lines, 50, "none twice");
    arrived.extend(transactions(&fs::read_to_string(place.path("out/taken-away")).unwrap()).0);
    assert_eq!(arrived, ids(&relayscope.stop()));
}

#[test]
fn filters_and_redaction_hold() {
    let place = Place::new();
    let path = place.path("traces.jsonl");
    let sink = smart_host();
    let exports = format!(
        "[[export]]\nname = \"file\"\nkind = \"file\"\npath = \"{}\"\nexclude = \"message-id:two-0@msg.example or kind:audit\"\n\
         [export.redact]\naddresses = \"hashed\"\nsubject = \"off\"\nclients = \"hashed\"\n",
        path.display()
    );
    let relayscope = exporting(&place, &sink, &exports);
    deliver(&relayscope, "one", 2);
    deliver(&relayscope, "two", 1);
    deliver(&relayscope, "three", 1);
    let text = || fs::read_to_string(&path).unwrap_or_default();
    until("what was asked for", || text().contains("three-0"));
    let store = relayscope.stop();
    let (text, records) = (text(), crate::support::records::transactions(&store));
    for record in &records {
        for address in record.envelope.recipients.iter().map(|it| &it.address).chain([&record.envelope.reverse_path]) {
            assert!(!text.contains(address.as_str()), "{address} is in\n{text}");
        }
        assert!(!text.contains(&format!("\"client\":{{\"ip\":\"{}\"", record.client.ip)), "{text}");
        assert!(record.message.subject.as_ref().is_none_or(|subject| !text.contains(subject.as_str())), "{text}");
    }
    let domain = records[0].envelope.recipients[0].address.rsplit_once('@').unwrap().1;
    assert!(text.contains(&format!("@{domain}")), "{text}");
    assert!(!text.contains("two-0") && !text.contains("\"audit\""), "{text}");
}
