//! Syslog over UDP, TCP and TLS to rsyslog and syslog-ng: what arrives, and that nothing is missing after they were killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use super::mail::{deliver, exporting, ids, smart_host, transactions, until};
use crate::support::certificates;
use crate::support::log_server::{Kind, LogServer, Way, have};
use crate::support::place::Place;

/// An export to that port, with more options.
fn export(url: &str, more: &str) -> String {
    format!("[[export]]\nname = \"siem\"\nkind = \"syslog\"\nurl = \"{url}\"\nlinger = \"0s\"\n{more}")
}

/// Everything delivered arrives, whole, with header and structured data in their places.
fn arrives(test: &str, kind: Kind, way: Way, more: &str) {
    if !have(test, kind) {
        return;
    }
    let place = Place::new();
    let made = certificates::make(&place, "tls", &["localhost"]);
    fs::set_permissions(&made.key, fs::Permissions::from_mode(0o600)).unwrap();
    let mut server = LogServer::new(&place, kind, way, Some(&made));
    server.start();
    let scheme = match way {
        Way::Udp => "udp",
        Way::Tcp => "tcp",
        Way::Tls => "tls",
    };
    let tls = format!(
        "ca_file = \"{}\"\ncertificate = \"{}\"\nkey = \"{}\"\n",
        made.authority.display(),
        made.certificate.display(),
        made.key.display()
    );
    let more = if way == Way::Tls { tls + more } else { more.to_owned() };
    let sink = smart_host();
    let relayscope = exporting(&place, &sink, &export(&format!("{scheme}://localhost:{}", server.port), &more));
    deliver(&relayscope, "one", 20);
    until(&format!("20 events at {kind:?}: {}\n{}", relayscope.output().text(), server.says()), || {
        transactions(&server.text()).0.len() == 20
    });
    let text = server.text();
    let store = relayscope.stop();
    assert_eq!(transactions(&text).0, ids(&store));
    let line = text.lines().find(|line| line.contains("transaction.accepted")).unwrap();
    let fields: Vec<&str> = line.splitn(8, '|').collect();
    let &[facility, severity, at, host, program, message_id, data, event] = fields.as_slice() else { panic!("{line}") };
    assert_eq!((facility, severity, host, program, message_id), ("mail", "info", "relay.example", "relayscope", "transaction.accepted"));
    let event: serde_json::Value = serde_json::from_str(event.trim_start()).unwrap();
    assert!(data.contains(event["id"].as_str().unwrap()) && data.contains("relayscope@32473"), "{data}");
    assert_eq!(event["v"], 1);
    assert!(at.contains('T'), "{at}");
}

#[test]
fn rsyslog_takes_it_over_udp() {
    arrives("rsyslog_takes_it_over_udp", Kind::Rsyslog, Way::Udp, "max_event = \"16 KiB\"\n");
}

#[test]
fn rsyslog_takes_it_over_tcp_by_octet_counting() {
    arrives("rsyslog_takes_it_over_tcp_by_octet_counting", Kind::Rsyslog, Way::Tcp, "");
}

#[test]
fn rsyslog_takes_it_over_tcp_by_lines() {
    arrives("rsyslog_takes_it_over_tcp_by_lines", Kind::Rsyslog, Way::Tcp, "framing = \"lf\"\n");
}

#[test]
fn rsyslog_takes_it_over_tls_both_sides_verified() {
    arrives("rsyslog_takes_it_over_tls_both_sides_verified", Kind::Rsyslog, Way::Tls, "");
}

#[test]
fn syslog_ng_takes_it_over_udp() {
    arrives("syslog_ng_takes_it_over_udp", Kind::SyslogNg, Way::Udp, "max_event = \"16 KiB\"\n");
}

#[test]
fn syslog_ng_takes_it_over_tcp() {
    arrives("syslog_ng_takes_it_over_tcp", Kind::SyslogNg, Way::Tcp, "");
}

#[test]
fn syslog_ng_takes_it_over_tls_both_sides_verified() {
    arrives("syslog_ng_takes_it_over_tls_both_sides_verified", Kind::SyslogNg, Way::Tls, "");
}

/// Killed and restarted while mail passes, three times: nothing is missing at the end.
fn survives(test: &str, kind: Kind, end: fn(&mut LogServer)) {
    if !have(test, kind) {
        return;
    }
    let place = Place::new();
    let made = certificates::make(&place, "tls", &["localhost"]);
    fs::set_permissions(&made.key, fs::Permissions::from_mode(0o600)).unwrap();
    let mut server = LogServer::new(&place, kind, Way::Tls, Some(&made));
    server.start();
    let tls = format!(
        "ca_file = \"{}\"\ncertificate = \"{}\"\nkey = \"{}\"\n",
        made.authority.display(),
        made.certificate.display(),
        made.key.display()
    );
    let sink = smart_host();
    let relayscope = exporting(&place, &sink, &export(&format!("tls://localhost:{}", server.port), &tls));
    for round in 0..3 {
        let sending = std::thread::scope(|scope| {
            let sender = scope.spawn(|| deliver(&relayscope, &format!("round{round}"), 150));
            until("some arrive", || transactions(&server.text()).0.len() > round * 150 + 20);
            end(&mut server);
            sender.join()
        });
        sending.unwrap();
        server.start();
    }
    until(&format!("all 450 at {kind:?}: {}", relayscope.output().text()), || transactions(&server.text()).0.len() == 450);
    let (arrived, _) = transactions(&server.text());
    assert_eq!(arrived, ids(&relayscope.stop()), "by the records' ids, what came twice counts once");
}

#[test]
fn nothing_is_missing_after_rsyslog_was_killed() {
    survives("nothing_is_missing_after_rsyslog_was_killed", Kind::Rsyslog, LogServer::kill);
}

#[test]
fn nothing_is_missing_after_rsyslog_was_restarted() {
    survives("nothing_is_missing_after_rsyslog_was_restarted", Kind::Rsyslog, LogServer::stop);
}

#[test]
fn nothing_is_missing_after_syslog_ng_was_killed() {
    survives("nothing_is_missing_after_syslog_ng_was_killed", Kind::SyslogNg, LogServer::kill);
}

#[test]
fn a_wrong_certificate_is_said_and_nothing_is_sent() {
    let test = "a_wrong_certificate_is_said_and_nothing_is_sent";
    if !have(test, Kind::Rsyslog) {
        return;
    }
    let place = Place::new();
    let made = certificates::make(&place, "tls", &["other.example"]);
    let mut server = LogServer::new(&place, Kind::Rsyslog, Way::Tls, Some(&made));
    server.start();
    let tls = format!("ca_file = \"{}\"\nreport_after = \"0s\"\n", made.authority.display());
    let sink = smart_host();
    let relayscope = exporting(&place, &sink, &export(&format!("tls://localhost:{}", server.port), &tls));
    deliver(&relayscope, "one", 3);
    let said = relayscope.output().expect("an export isn't taken");
    assert!(said.contains("export=\"siem\"") && said.contains("other.example"), "{said}");
    assert_eq!(server.text(), "");
    let records = crate::support::records::all(&relayscope.stop());
    let audits = records.iter().filter_map(|record| if let relayscope::trace::Record::Audit(it) = record { Some(it) } else { None });
    let failed: Vec<_> = audits.filter(|it| it.event == relayscope::trace::AuditEvent::ExportFailed).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].who.as_deref(), Some("siem"));
}

/// A receiver that reads one line and closes, again and again.
#[test]
fn a_receiver_that_closes_after_each_line_gets_them_all() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut line = String::new();
            if BufReader::with_capacity(1, stream.unwrap()).read_line(&mut line).is_ok_and(|octets| octets > 0)
                && sender.send(line).is_err()
            {
                return;
            }
        }
    });
    let sink = smart_host();
    let relayscope = exporting(&place, &sink, &export(&format!("tcp://127.0.0.1:{port}"), "framing = \"lf\"\n"));
    deliver(&relayscope, "one", 12);
    let mut text = String::new();
    until("twelve lines", || {
        text.extend(lines.try_iter());
        transactions(&text).0.len() == 12
    });
    assert_eq!(transactions(&text).0, ids(&relayscope.stop()));
}

#[test]
fn a_receiver_that_is_gone_costs_mail_nothing_and_gets_everything_later() {
    let test = "a_receiver_that_is_gone_costs_mail_nothing_and_gets_everything_later";
    if !have(test, Kind::Rsyslog) {
        return;
    }
    let place = Place::new();
    let mut server = LogServer::new(&place, Kind::Rsyslog, Way::Tcp, None);
    let sink = smart_host();
    let exports = export(&format!("tcp://127.0.0.1:{}", server.port), "");
    let relayscope = exporting(&place, &sink, &exports);
    deliver(&relayscope, "early", 30);
    relayscope.output().expect("an export isn't taken");
    // The process ends in between as well.
    let store = relayscope.kill();
    let relayscope = exporting(&place, &sink, &exports);
    deliver(&relayscope, "late", 30);
    server.start();
    until("all of both", || transactions(&server.text()).0.len() == 60);
    assert_eq!(store, relayscope.stop());
    assert_eq!(transactions(&server.text()).0, ids(&store));
}
