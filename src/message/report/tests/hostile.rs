//! No octets panic, no nesting grows, and what is cut never names others than the whole.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::more::MORE;
use super::most::MOST;
use super::samples::{ALL, DSN};
use crate::message::report::{MOST_RECIPIENTS, MOST_TEXT, Report, read};

fn addresses(report: Option<&Report>) -> BTreeSet<String> {
    report.iter().flat_map(|it| &it.recipients).map(|it| it.address.to_ascii_lowercase()).collect()
}

fn is_bounded(report: &Report) -> bool {
    let texts = report
        .recipients
        .iter()
        .filter_map(|it| it.text.as_ref())
        .chain(&report.original_message_id)
        .chain(&report.original_subject)
        .chain(&report.envid)
        .chain(&report.reporting_mta);
    report.recipients.len() <= MOST_RECIPIENTS && texts.into_iter().all(|it| it.len() <= MOST_TEXT)
}

#[track_caller]
fn read_bounded(octets: &[u8]) -> Option<Report> {
    let report = read(octets);
    assert!(report.as_ref().is_none_or(is_bounded));
    report
}

#[test]
fn multiparts_that_nest_without_end() {
    let mut octets = String::from("Return-Path: <>\nFrom: mailer-daemon@x.example\n");
    for level in 0..5_000 {
        octets.push_str(&format!("Content-Type: multipart/report; report-type=delivery-status; boundary=b{level}\n\n--b{level}\n"));
    }
    octets.push_str("\nFinal-Recipient: rfc822; bob@y.example\n");
    assert!(read_bounded(octets.as_bytes()).is_some_and(|it| it.cut));
}

#[test]
fn messages_in_messages_without_end() {
    let octets = format!("{}{}", DSN.split("Message-ID").next().unwrap(), "Content-Type: message/rfc822\n\n".repeat(200_000));
    assert_eq!(addresses(read_bounded(octets.as_bytes()).as_ref()).len(), 2);
}

#[test]
fn thousands_of_parts() {
    let octets = format!("{}{}", DSN.split("--b1/relay--").next().unwrap(), "--b1/relay\r\n\r\nx\r\n".repeat(100_000));
    let report = read_bounded(octets.as_bytes()).unwrap();
    assert!(report.cut && report.recipients.len() == 2);
}

#[test]
fn thousands_of_recipients_are_counted() {
    let groups: String = (0..1_000).map(|at| format!("Final-Recipient: rfc822; u{at}@y.example\nAction: failed\n\n")).collect();
    let octets = format!(
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\nContent-Type: message/delivery-status\n\n{groups}--b--\n"
    );
    let report = read_bounded(octets.as_bytes()).unwrap();
    assert_eq!((report.recipients.len(), report.recipients_cut), (MOST_RECIPIENTS, 900));
    let list: String = (0..1_000).map(|at| format!("<u{at}@y.example>: 550 5.1.1 no\n")).collect();
    let report =
        read_bounded(format!("Return-Path: <>\nFrom: mailer-daemon@x.example\nSubject: failure notice\n\n{list}").as_bytes()).unwrap();
    assert_eq!((report.recipients.len(), report.recipients_cut), (MOST_RECIPIENTS, 900));
}

#[test]
fn nul_octets_change_nothing_but_the_text() {
    let octets = DSN.replace("no such user", "no \0 such \0 user");
    assert_eq!(addresses(read_bounded(octets.as_bytes()).as_ref()).len(), 2);
}

#[test]
fn no_cut_names_others_than_the_whole() {
    // Each octet of one report for each form; of the further ones each that a small prime meets.
    let all = ALL.iter().map(|it| (it, 1)).chain(MORE.iter().chain(MOST).map(|it| (it, 17)));
    for (sample, step) in all {
        let whole = addresses(read(sample.octets.as_bytes()).as_ref());
        for at in (0..sample.octets.len()).step_by(step) {
            let cut = addresses(read(&sample.octets.as_bytes()[..at]).as_ref());
            assert!(cut.is_subset(&whole), "{} cut at {at}: {cut:?}, not {whole:?}", sample.name);
        }
    }
}

proptest! {
    #[test]
    fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        prop_assert!(read(&octets).as_ref().is_none_or(is_bounded));
    }

    #[test]
    fn no_damaged_report_panics(sample in 0..ALL.len(), damage in proptest::collection::vec((any::<u16>(), any::<u8>(), any::<bool>()), 0..20)) {
        let mut octets = ALL[sample].octets.as_bytes().to_vec();
        for (at, octet, delete) in damage {
            let at = usize::from(at) % octets.len();
            if delete { octets.remove(at); } else { octets[at] = octet; }
        }
        prop_assert!(read(&octets).as_ref().is_none_or(is_bounded));
    }

    #[test]
    fn no_words_of_reports_panic(words in proptest::collection::vec(proptest::sample::select(vec![
        "From: mailer-daemon@x\n", "Return-Path: <>\n", "\n", "\r\n", "--b", "--b--\n", "Content-Type: multipart/report; boundary=b\n", "Content-Type: message/delivery-status\n", "Content-Transfer-Encoding: base64\n",
        "Content-Transfer-Encoding: quoted-printable\n", "Final-Recipient: ", "rfc822;", "a@b.example", "<", ">", "\"", "550 ", "5.1.1", "=", "=C3", "ü", "\\x{", "}", ">>> RCPT TO:", "<<< ", "----- ", "Original message follows.\n", "{", "\"Message\"", ":", "@", "[", "]", " ", "\t", "charset=iso-2022-jp\n",
    ]), 0..120)) {
        prop_assert!(read(words.concat().as_bytes()).as_ref().is_none_or(is_bounded));
    }
}
