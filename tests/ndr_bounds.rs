//! Reports without end are read in bounded time.

#![allow(clippy::panic, reason = "a test that fails says where")]

use std::time::Duration;

use relayscope::message::report::{read, read_forwarded};

/// Reads, and says if that needs more of a processor than any message should, even unoptimised.
#[track_caller]
fn quick(octets: &[u8]) {
    let start = on_processor();
    let _ = (read(octets), read_forwarded(octets));
    let needed = on_processor() - start;
    assert!(needed < Duration::from_secs(20), "{needed:?} for {} octets", octets.len());
}

/// Other tests, and other programs, take time but not this thread's.
fn on_processor() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[test]
fn headers_and_lines_without_end() {
    for unit in [
        "X-A: b\n",
        "X-A: b\n c\n",
        "a",
        "@",
        "<a@b>",
        ">",
        "550 5.1.1 ",
        "From: a\n",
        "(",
        "\0",
        "--b\n",
        "=",
        "Received: x\nodd\n",
        "odd\n",
        "a@b.example\n",
        "\n\n",
        "-",
        "\u{1b}$B",
    ] {
        let octets = unit.repeat(50_000_000 / unit.len());
        quick(octets.as_bytes());
        let behind = format!(
            "Return-Path: <>\nFrom: mailer-daemon@x.example\nSubject: failure notice\nContent-Type: text/html; charset=iso-2022-jp\n\n{}",
            unit.repeat(2_000_000 / unit.len())
        );
        quick(behind.as_bytes());
        quick(behind.replace("text/html", "text/plain").as_bytes());
        let status = format!(
            "Content-Type: multipart/report; boundary=c\n\n--c\nContent-Type: message/delivery-status\n\n{}",
            unit.repeat(2_000_000 / unit.len())
        );
        quick(status.as_bytes());
    }
}

/// Every number is one that a status may follow: looking for it behind each of them, for each recipient, would take minutes.
#[test]
fn replies_without_end_for_many_recipients() {
    let failed: Vec<String> = (0..100).map(|number| format!("u{number}@y.example")).collect();
    let header = format!("Return-Path: <>\nFrom: mailer-daemon@x.example\nX-Failed-Recipients: {}\n", failed.join(",\n "));
    let report = read(format!("{header}Subject: failure notice\nContent-Type: text/plain\n\n{}\n", "550 ".repeat(15_000)).as_bytes());
    assert!(report.is_some_and(|report| report.recipients.len() == 100));
}
