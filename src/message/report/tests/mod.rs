//! Reports written for these tests, a form at a time; what is no report; and what would like to take the reader apart.

mod exchange;
mod hostile;
mod more;
mod most;
mod samples;

use super::*;
use more::MORE;
use most::MOST;
use samples::{ALL, DSN, NOT};

fn written(status: Option<(u8, u16, u16)>) -> String {
    status.map_or("-".to_owned(), |(class, subject, detail)| format!("{class}.{subject}.{detail}"))
}

#[test]
fn each_form_is_read() {
    for sample in ALL.iter().chain(MORE).chain(MOST) {
        for octets in [sample.octets.to_owned(), sample.octets.replace("\r\n", "\n").replace('\n', "\r\n")] {
            let report = read(octets.as_bytes()).unwrap_or_else(|| panic!("{}: no report", sample.name));
            assert_eq!(report.format, sample.format, "{}", sample.name);
            assert_eq!(report.original_message_id.as_deref().unwrap_or("-"), sample.message_id, "{}", sample.name);
            let recipients: Vec<_> = report
                .recipients
                .iter()
                .map(|it| (it.address.clone(), written(it.status), it.reply_code.map_or("-".to_owned(), |it| it.to_string())))
                .collect();
            let expected: Vec<_> = sample
                .recipients
                .iter()
                .map(|(address, status, code)| ((*address).to_owned(), (*status).to_owned(), (*code).to_owned()))
                .collect();
            assert_eq!(recipients, expected, "{}: {:#?}", sample.name, report.recipients);
            assert!(!report.cut, "{}", sample.name);
            let kind = if sample.format == "arf" { ReportKind::Complaint } else { ReportKind::DeliveryStatus };
            assert_eq!(report.kind, kind, "{}", sample.name);
        }
    }
}

#[test]
fn all_that_a_delivery_status_says_is_kept() {
    let report = read(DSN.as_bytes()).unwrap();
    assert_eq!(report.reporting_mta.as_deref(), Some("relay.x.example"));
    assert_eq!((report.envid.as_deref(), report.queue_id.as_deref()), (Some("QQ+314159"), Some("4F1A2B")));
    assert_eq!(report.arrival.as_deref(), Some("Mon, 23 Nov 2026 10:02:11 +0100"));
    assert_eq!((report.original_subject.as_deref(), report.original_from.as_deref()), (Some("Grüße"), Some("Ann <ann@x.example>")));
    assert_eq!(report.original_to.as_deref(), Some("info@y.example"));
    let [bob, eve] = report.recipients.as_slice() else { panic!("{:?}", report.recipients) };
    assert_eq!((bob.original.as_deref(), bob.action), (Some("info@y.example"), Action::Failed));
    assert_eq!(
        (bob.text.as_deref(), bob.remote_mta.as_deref()),
        (Some("550 5.1.1 no such user (in reply to RCPT TO command)"), Some("mx.y.example"))
    );
    assert_eq!(bob.last_attempt.as_deref(), Some("Mon, 23 Nov 2026 10:02:12 +0100"));
    assert_eq!((eve.action, eve.text.as_deref()), (Action::Delayed, Some("452 4.2.2 over quota")));
    assert_eq!(eve.will_retry_until.as_deref(), Some("Tue, 24 Nov 2026 10:02:12 +0100"));
}

#[test]
fn what_is_no_report_is_none() {
    for (name, octets) in NOT {
        assert_eq!(read(octets.as_bytes()), None, "{name}");
    }
}

#[test]
fn a_delay_is_told_from_a_failure() {
    let notice = "Return-Path: <>\nFrom: MAILER-DAEMON@x.example\nTo: ann@x.example\nSubject: Delayed Mail (still being retried)\n\nTHIS IS A WARNING ONLY. YOU DO NOT NEED TO RESEND YOUR MESSAGE.\n\n<bob@y.example>: connect to mx.y.example[192.0.2.4]:25: Connection timed out\n";
    let report = read(notice.as_bytes()).unwrap();
    assert_eq!(report.recipients.first().map(|it| it.action), Some(Action::Delayed));
}

#[test]
fn a_delivery_status_says_of_success_too() {
    let octets = DSN
        .replace("Action: failed", "Action: relayed")
        .replace("Status: 5.1.1", "Status: 2.0.0")
        .replace("550 5.1.1 no such user\r\nLast", "250 ok\r\nLast");
    let report = read(octets.as_bytes()).unwrap();
    assert_eq!(report.recipients.first().map(|it| (it.action, it.status, it.reply_code)), Some((Action::Relayed, Some((2, 0, 0)), None)));
}

#[test]
fn a_charset_that_lies_or_does_not_exist_is_no_obstacle() {
    for charset in ["utf-16", "x-none", "us-ascii", "iso-2022-jp", "utf-7"] {
        let octets = DSN.replacen("text/plain", &format!("text/plain; charset={charset}"), 1);
        assert_eq!(read(octets.as_bytes()).map(|it| it.recipients.len()), Some(2), "{charset}");
    }
}
