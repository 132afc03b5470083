//! `relayscope classify` as an admin types it, and laws that hold for every reply.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::process::{Command, Output};

use proptest::prelude::*;
use relayscope::diagnose::{Cause, Facts, Rules};

fn classify(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relayscope")).arg("classify").args(arguments).output().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

#[test]
fn replies_of_many_servers_are_understood() {
    let table = include_str!("fixtures/replies.tsv");
    let done = classify(&["--tsv", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/replies.tsv")]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let wrong: Vec<String> = text(&done.stdout)
        .lines()
        .zip(table.lines().skip(1))
        .filter(|(answer, row)| answer.split('\t').nth(1) != row.split('\t').nth(1))
        .map(|(answer, row)| format!("{answer} for {row}"))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
    assert_eq!(text(&done.stdout).lines().count(), table.lines().count() - 1);
}

#[test]
fn a_table_that_cannot_be_written_is_a_failure() {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/replies.tsv");
    let dir = tempfile::tempdir().unwrap();
    let short = dir.path().join("short.tsv");
    std::fs::write(&short, "id\tstage\tcode\tenhanced\ttext\na\trcpt\t550\t\tx\n").unwrap();
    // In the middle of it, and where all of it waits for the last flush.
    for table in [table, short.to_str().unwrap()] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relayscope"));
        let done = command.args(["classify", "--tsv", table]).stdout(full.try_clone().unwrap()).output().unwrap();
        assert_eq!(done.status.code(), Some(3), "{table}");
        assert!(text(&done.stderr).starts_with("relayscope: standard output: "), "{}", text(&done.stderr));
    }
}

#[test]
fn one_reply_is_explained() {
    let done = classify(&["550 5.1.1 <ann@x.example>: Recipient address rejected: User unknown"]);
    let said = text(&done.stdout);
    assert!(done.status.success());
    for line in ["cause       recipient_unknown", "who acts    sender", "rule        text/recipient-unknown", "spoken by   Postfix"] {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
    let json: serde_json::Value = serde_json::from_slice(&classify(&["--json", "--stage", "auth", "535 no"]).stdout).unwrap();
    assert_eq!((&json["cause"], &json["stage"]), (&"auth_failed".into(), &"auth".into()));
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("t.tsv");
    let told = |content: &str| {
        std::fs::write(&file, content).unwrap();
        let done = classify(&["--tsv", file.to_str().unwrap()]);
        assert_eq!(done.status.code(), Some(2));
        text(&done.stderr)
    };
    assert!(told("id\ttext\n").contains("t.tsv:1: there is no column \"stage\""));
    assert!(
        told("id\tstage\tcode\tenhanced\ttext\na\trcpt\t550\t\tx\nb\trcpt\tfive\t\tx\n").contains("t.tsv:3: \"five\" is no reply code")
    );
    assert!(told("").contains("the file is empty"));
    assert_eq!(classify(&[]).status.code(), Some(2));
    assert!(text(&classify(&["--stage", "nowhere", "550 x"]).stderr).contains("\"nowhere\" is no stage; stages are connect"));
    std::fs::write(dir.path().join("own.toml"), "[[rule]]\nid = \"own/x\"\ncause = \"spam\"\n").unwrap();
    let done = classify(&["--rules", dir.path().to_str().unwrap(), "550 x"]);
    assert!(done.status.code() == Some(2) && text(&done.stderr).contains("own.toml:3: `spam` is no cause"), "{}", text(&done.stderr));
}

#[test]
fn the_example_of_own_rules_can_be_used_as_it_stands() {
    let text = include_str!("../config/rules.example.toml");
    let live: Vec<&str> = text.lines().map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line)).collect();
    let rules = Rules::with_own(&[("rules.example.toml".to_owned(), live.join("\n"))]).unwrap();
    let verdict = rules.classify(&Facts { text: "550 Contract 4711 has ended", ..Facts::default() });
    assert_eq!(verdict.rule, "own/partner-contract");
}

proptest! {
    #[test]
    fn no_reply_is_too_strange(text in ".{0,300}", host in proptest::option::of("[a-z.]{0,20}")) {
        let facts = Facts { text: &text, host: host.as_deref(), banner: Some(&text), ..Facts::default() };
        let verdict = Rules::builtin().classify(&facts);
        let explained = Rules::builtin().explain(&facts);
        prop_assert_eq!((verdict.cause, verdict.rule), (explained.cause, explained.rule.as_str()));
    }

    #[test]
    fn addresses_decide_nothing(local in "[a-z][a-z0-9_-]{0,20}", domain in "[a-z][a-z0-9-]{0,15}[a-z]\\.example", known in 0_usize..3) {
        let (before, after, cause) = [
            ("550 5.1.1 <", ">: user unknown", Cause::RecipientUnknown),
            ("452 4.2.2 <", ">: mailbox is full", Cause::MailboxFull),
            ("554 computer says no to <", ">", Cause::Unclassified),
        ][known];
        let text = format!("{before}{local}@{domain}{after}");
        prop_assert_eq!(Rules::builtin().classify(&Facts { text: &text, ..Facts::default() }).cause, cause);
    }
}
