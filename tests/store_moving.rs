//! What moves a store, with the true binary: backups of a running proxy's store and of a stopped one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

mod stories;

use std::path::Path;
use std::process::{Command, Output};

use stories::Proxy;

fn relayscope(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relayscope")).args(arguments).env("TZ", "UTC").env_remove("RELAYSCOPE_TOKEN").output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What it prints, once it has ended with that status.
#[track_caller]
fn ends(arguments: &[&str], expected: i32) -> String {
    let output = relayscope(arguments);
    assert_eq!(output.status.code(), Some(expected), "{arguments:?}\n{}\n{}", out(&output), err(&output));
    if expected == 0 { out(&output) } else { err(&output) }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What the commands say of a stopped store.
fn answers(store: &Path) -> Vec<String> {
    let questions: [&[&str]; 4] = [
        &["where", "<accepted.1@mail.example.com>"],
        &["where", "nobody@example.org", "--json"],
        &["search", "--json"],
        &["where", "Grand offer"],
    ];
    questions.iter().map(|question| ends(&[*question, &["--store", text(store)]].concat(), 0)).collect()
}

#[test]
fn a_backup_of_a_running_and_of_a_stopped_store_answers_like_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let [store, running, stopped] = ["store", "running", "stopped"].map(|name| dir.path().join(name));
    let proxy = Proxy::start(&store, false);
    let said = ends(&["store", "backup", text(&running), "--store", text(&store)], 0);
    assert!(said.contains("Copied: 1 file") && said.contains(&format!("store check --store {}", text(&running))), "{said}");
    let refused = ends(&["store", "backup", text(&running), "--store", text(&store)], 2);
    assert!(refused.contains("something in it already"), "{refused}");
    let refused = ends(&["store", "backup", text(&stopped), "--api", &proxy.url()], 2);
    assert!(refused.contains("api.sock") && !stopped.exists(), "{refused}");
    proxy.stop();

    let said = ends(&["store", "backup", text(&stopped), "--store", text(&store), "--json"], 0);
    assert!(said.contains("\"copied\":1"), "{said}");
    for backup in [&running, &stopped] {
        assert!(!backup.join("lock").exists() && !backup.join("api.sock").exists());
        ends(&["store", "check", "--store", text(backup)], 0);
        assert_eq!(answers(backup), answers(&store));
    }
}
