//! Logs of all servers, line by line, and laws that hold for whatever octets come.

mod exchange;
mod exim;
mod follow;
mod laws;
mod postfix;
mod source;
mod syslog;
mod windows;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Counts, Entry, Format, Identified, Options, Reader, Unreadable};

/// All that a log gives. Times that name no zone are UTC, those without a year of 2026.
struct Given {
    entries: Vec<Identified>,
    counts: Counts,
    unreadable: Vec<Unreadable>,
}

fn options(format: Format) -> Options {
    let until: Timestamp = "2026-11-27T00:00:00Z".parse().unwrap();
    Options { until: u64::try_from(until.as_microsecond()).unwrap(), ..Options::new(format, TimeZone::UTC) }
}

fn given(format: Format, octets: &[u8]) -> Given {
    let (mut reader, mut entries) = (Reader::new(options(format)), Vec::new());
    reader.feed(octets, &mut entries);
    reader.finish(&mut entries);
    Given { entries, counts: reader.counts(), unreadable: reader.take_unreadable() }
}

/// Each entry in a line: event, and whatever is known, by name.
#[track_caller]
fn check(format: Format, log: &str, expected: &[&str]) {
    let given = given(format, log.as_bytes());
    assert_eq!(given.unreadable, [], "{log}");
    let shown: Vec<String> = given.entries.iter().map(|it| shown(&it.entry)).collect();
    assert_eq!(shown, expected, "{log}");
}

fn shown(entry: &Entry) -> String {
    let mut words = vec![entry.event.word().to_owned()];
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.push(format!("{name}={value}"));
        }
    };
    add("id", entry.queue_id.clone());
    add("next", entry.next_queue_id.clone());
    add("mid", entry.message_id.clone());
    add("from", entry.reverse_path.clone());
    add("to", entry.recipient.clone());
    add("orig", entry.original_recipient.clone());
    add("subject", entry.subject.clone());
    add("size", entry.size.map(|it| it.to_string()));
    let host = |name: &Option<String>, ip: Option<std::net::IpAddr>, port: Option<u16>| {
        let parts = [name.clone(), ip.map(|it| it.to_string()), port.map(|it| it.to_string())];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("/"))
    };
    add("client", host(&entry.client_host, entry.client_ip, None));
    add("relay", host(&entry.relay_host, entry.relay_ip, entry.relay_port));
    add("delay", entry.delay_us.map(|it| format!("{}ms", it / 1_000)));
    add("fate", entry.fate.map(|it| format!("{}/{}/{}", it.state, it.stage, it.by)));
    add("reply", entry.reply.as_ref().map(|it| format!("{} {}", it.code, it.lines.join("|"))));
    add("detail", entry.detail.clone());
    words.join(" ")
}

#[test]
fn every_format_is_recognised_by_its_lines() {
    for (format, log) in samples() {
        assert_eq!(super::format::recognise(log.as_bytes()), Some(format), "{log}");
    }
    assert_eq!(super::format::recognise(b""), None);
    assert_eq!(super::format::recognise(b"Nov 26 10:02:03 host kernel: eth0 is up\n"), None);
}

/// A few lines of each server.
fn samples() -> Vec<(Format, &'static str)> {
    vec![
        (Format::Postfix, postfix::POSTFIX),
        (Format::Exim, exim::EXIM),
        (Format::Sendmail, syslog::SENDMAIL),
        (Format::Courier, syslog::COURIER),
        (Format::Exchange, exchange::EXCHANGE),
        (Format::HMailServer, windows::HMAILSERVER),
        (Format::Domino, windows::DOMINO),
        (Format::James, windows::JAMES),
    ]
}
