//! `relayscope export`: how it stands, sending again, and a sink that was taken away and came back.

use std::fs;

use super::mail::{deliver, exporting, smart_host, transactions, until};
use crate::support::place::Place;
use crate::support::process::run;
use crate::support::relayscope::command;

fn export(place: &Place) -> String {
    format!("[[export]]\nname = \"archive\"\nkind = \"file\"\npath = \"{}\"\n", place.path("traces.jsonl").display())
}

#[test]
fn its_state_is_told_and_a_replay_sends_again() {
    let place = Place::new();
    let sink = smart_host();
    let ask = |more: &[&str]| run(&mut command(&place, &[&["export"], more, &["--store", "store"]].concat()));
    let text = || fs::read_to_string(place.path("traces.jsonl")).unwrap_or_default();

    let relayscope = exporting(&place, &sink, "");
    let (code, said) = ask(&["list"]);
    assert!(code == 1 && said.contains("Nothing is exported"), "{said}");
    deliver(&relayscope, "before", 5);
    relayscope.stop();

    let relayscope = exporting(&place, &sink, &export(&place));
    relayscope.output().expect("a new export begins with what is recorded from now on");
    deliver(&relayscope, "one", 3);
    until("three lines", || transactions(&text()).0.len() == 3);
    let mut said = String::new();
    until("nothing waits", || {
        said = ask(&["list"]).1;
        said.contains("nothing waits")
    });
    assert!(said.contains("archive") && said.contains("traces.jsonl"), "{said}");
    let (_, json) = ask(&["list", "--json"]);
    let it: serde_json::Value = serde_json::from_str(json.trim()).unwrap();
    assert_eq!((it["state"].as_str(), it["kind"].as_str(), it["failures"].as_u64()), (Some("sending"), Some("file"), Some(0)));

    let (code, said) = ask(&["replay", "--sink", "archive", "--since", "1d"]);
    assert!(code == 0 && said.contains("archive sends again what was recorded since"), "{said}");
    until("all eight, three of them twice", || transactions(&text()).0.len() == 8 && transactions(&text()).1 == 11);
    let (code, said) = ask(&["replay", "--sink", "other", "--since", "1d"]);
    assert!(code == 2 && said.contains("other"), "{said}");
    let (code, said) = ask(&["forget", "archive"]);
    assert!(code == 2 && said.contains("runs"), "{said}");
    relayscope.stop();
    let (code, said) = ask(&["list"]);
    assert!(code == 0 && said.contains("archive: ") && said.contains("No proxy runs"), "{said}");
}

#[test]
fn a_sink_that_comes_back_goes_on_where_it_was() {
    let place = Place::new();
    let sink = smart_host();
    let text = || fs::read_to_string(place.path("traces.jsonl")).unwrap_or_default();
    let relayscope = exporting(&place, &sink, &export(&place));
    deliver(&relayscope, "one", 2);
    until("two lines", || transactions(&text()).0.len() == 2);
    relayscope.stop();

    let relayscope = exporting(&place, &sink, "");
    relayscope.output().expect("has a place in the journal, but isn't configured");
    deliver(&relayscope, "two", 2);
    relayscope.stop();

    let relayscope = exporting(&place, &sink, &export(&place));
    relayscope.output().expect("the export goes on where it was");
    until("what it missed", || transactions(&text()) == transactions(&text()) && transactions(&text()).0.len() == 4);
    assert_eq!(transactions(&text()).1, 4, "none twice");
    relayscope.stop();
}
