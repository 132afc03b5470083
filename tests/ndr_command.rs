//! `relayscope ndr` as it is typed: what it prints for reports, mailboxes and messages that are none, and how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on should stop where it is")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

const BOUNCE: &str = "Return-Path: <>\r\nFrom: MAILER-DAEMON@relay.x.example (Mail Delivery System)\r\nTo: ann@x.example\r\nSubject: Undelivered Mail Returned to Sender\r\n\r\nThis is the mail system at host relay.x.example.\r\n\r\n<bob@y.example>: host mx.y.example[192.0.2.4] said: 552 5.2.2\r\n    Mailbox full \x1b[31m (in reply to RCPT TO command)\r\n\r\n--- Below this line is a copy of the message.\r\n\r\nMessage-ID: <1.a@x.example>\r\nFrom: Ann <ann@x.example>\r\nTo: bob@y.example\r\nSubject: Invoice\r\n\r\nHello\r\n";

const VACATION: &str =
    "From: Bob <bob@y.example>\nTo: ann@x.example\nSubject: Automatic reply: Invoice\nAuto-Submitted: auto-replied\n\nI am away.\n";

fn ndr(arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_relayscope"))
        .arg("ndr")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_report_is_told_to_people() {
    let (code, out, err) = ndr(&["-"], BOUNCE);
    assert_eq!((code, err.as_str()), (0, ""));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.first(), Some(&"-: delivery report by relay.x.example (form: postfix)"), "{out}");
    assert_eq!(lines.get(1), Some(&"  bob@y.example: failed, 552 5.2.2, said by mx.y.example"), "{out}");
    assert!(out.contains("    cause mailbox_full; "), "{out}");
    assert!(out.contains(r"Mailbox full \x1b[31m (in reply to RCPT TO command)"), "{out}");
    assert!(out.ends_with("  next: relayscope where message-id:1.a@x.example\n"), "{out}");
}

#[test]
fn a_report_is_told_to_programs() {
    let (code, out, _) = ndr(&["-", "--json"], BOUNCE);
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert_eq!((&told["file"], &told["format"], &told["kind"]), (&"-".into(), &"postfix".into(), &"delivery_status".into()));
    assert_eq!((&told["original_message_id"], &told["reporting_mta"]), (&"1.a@x.example".into(), &"relay.x.example".into()));
    let bob = &told["recipients"][0];
    assert_eq!((&bob["address"], &bob["status"], &bob["reply_code"]), (&"bob@y.example".into(), &"5.2.2".into(), &552.into()));
    assert_eq!((&bob["cause"], &bob["action"]), (&"mailbox_full".into(), &"failed".into()));
    // What isn't known isn't there.
    assert!(told.get("envid").is_none() && !out.contains("null") && !out.contains('\x1b'), "{out}");
}

#[test]
fn what_is_no_report_is_said_so() {
    let (code, out, err) = ndr(&["-", "--json"], VACATION);
    assert_eq!((code, out.as_str()), (1, "{\"file\":\"-\",\"error\":\"no delivery report\",\"recipients\":[]}\n"));
    assert!(err.starts_with("relayscope: -: no delivery report: "), "{err}");
    let (code, out, _) = ndr(&["-"], "");
    assert_eq!((code, out.as_str()), (1, ""));
}

#[test]
fn a_file_that_cannot_be_read_does_not_hide_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (good, missing) = (dir.path().join("a.eml"), dir.path().join("b.eml"));
    std::fs::write(&good, BOUNCE).unwrap();
    let (code, out, err) = ndr(&[missing.to_str().unwrap(), good.to_str().unwrap(), "--json"], "");
    assert_eq!((code, out.lines().count()), (3, 1));
    assert!(err.contains("b.eml: No such file"), "{err}");
}

#[test]
fn a_mailbox_holds_several() {
    let mailbox = format!("From MAILER-DAEMON Mon Nov 23 10:02:11 2026\n{BOUNCE}\nFrom bob Mon Nov 23 10:02:12 2026\n{VACATION}\n");
    let (code, out, err) = ndr(&["-", "--json"], &mailbox);
    let told: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((code, told.len()), (1, 2), "{out}");
    assert_eq!((&told[0]["message"], &told[1]["message"]), (&1.into(), &2.into()));
    assert_eq!(told[1]["recipients"], serde_json::json!([]));
    assert!(err.contains("-, message 2: no delivery report"), "{err}");
}

#[test]
fn a_report_that_a_person_passed_on_is_marked() {
    let quoted: String = BOUNCE.lines().skip(1).map(|line| format!("> {line}\n")).collect();
    let message = format!(
        "From: Ann <ann@x.example>\nTo: admin@x.example\nSubject: Fwd: Undelivered Mail\n\nWhat is that?\n\nBegin forwarded message:\n\n{quoted}"
    );
    let (code, out, _) = ndr(&["-"], &message);
    assert_eq!(code, 0);
    assert!(out.contains("A person passed it on") && out.contains("bob@y.example: failed, 552 5.2.2"), "{out}");
    let (_, out, _) = ndr(&["-", "--json"], &message);
    assert!(out.contains("\"forwarded\":true"), "{out}");
}
