//! Old records and new rules: what changes is appended, what was recorded stays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

mod stories;

use std::process::Command;

use serde_json::{Value, json};
use stories::Proxy;

/// Greylisting by another name.
const RULES: &str = "[[rule]]\nid = \"ours/busy\"\ncause = \"rate_limited\"\ntext = ['greylisted']\nadvice = \"Wait for Tuesday.\"\n";

fn relayscope(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_relayscope")).args(arguments).env("TZ", "UTC").output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// What a search finds.
#[track_caller]
fn found(arguments: &[&str]) -> Vec<Value> {
    let (status, out, err) = relayscope(&[&["search", "--json", "-n", "1000"], arguments].concat());
    assert_eq!(status, Some(0), "{arguments:?}: {out}{err}");
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn json(arguments: &[&str]) -> Value {
    let (status, out, err) = relayscope(&[arguments, &["--json"]].concat());
    assert_eq!(status, Some(0), "{arguments:?}: {out}{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn new_rules_amend_and_rewrite_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, rules) = (dir.path().join("store"), dir.path().join("rules"));
    std::fs::create_dir_all(&store).unwrap();
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("own.toml"), RULES).unwrap();
    let (store, rules) = (store.to_str().unwrap(), rules.to_str().unwrap());
    Proxy::start(store.as_ref(), false).stop();
    let exported = || relayscope(&["store", "export", "--store", store]).1;
    let before = exported();

    let tried = json(&["store", "reclassify", "--store", store, "--rules", rules, "--dry-run"]);
    assert!(tried["changed"].as_u64().unwrap() > 0, "{tried}");
    assert_eq!(exported(), before, "a dry run changes nothing");

    let done = json(&["store", "reclassify", "--store", store, "--rules", rules]);
    assert_eq!(done, tried);
    let busy = done["changes"].as_array().unwrap().iter().find(|change| change["to"] == "rate_limited").unwrap_or_else(|| panic!("{done}"));
    let after = exported();
    assert!(after.starts_with(&before), "what was recorded stands as it stood");
    assert_eq!(after.lines().count() - before.lines().count(), done["changed"].as_u64().unwrap() as usize);
    let found = found(&["cause:rate_limited", "rule:ours/busy", "--store", store]);
    assert_eq!(json!(found.len()), busy["records"]);
    assert_eq!(found[0]["outcome"]["advice"], "Wait for Tuesday.");

    let again = json(&["store", "reclassify", "--store", store, "--rules", rules]);
    assert_eq!((&again["changed"], &again["records"]), (&json!(0), &done["records"]));
    assert_eq!(exported(), after);
}

#[test]
fn a_running_proxy_asks_the_rules_that_it_has() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().to_str().unwrap();
    let proxy = Proxy::start(dir.path(), false);
    let (status, _, err) = relayscope(&["store", "reclassify", "--store", store, "--rules", "/nonexistent"]);
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains("/nonexistent: no such folder"), "{err}");
    let (status, _, err) = relayscope(&["store", "reclassify", "--store", store, "--rules", store]);
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains("SIGHUP"), "{err}");
    let (status, _, err) = relayscope(&["store", "reclassify", "--api", &proxy.url()]);
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains("api.sock"), "{err}");

    let done = json(&["store", "reclassify", "state:deferred", "--store", store]);
    assert!(done["changed"].as_u64().unwrap() > 0, "{done}");
    let records = found(&["state:deferred", "--store", store]);
    assert_eq!(json!(records.len()), done["records"]);
    for record in records.iter().filter(|record| record["kind"] == "transaction") {
        assert!(record["outcome"]["rule"].is_string(), "{record}");
    }
    proxy.stop();
}
