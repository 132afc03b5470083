//! `where` on a morning of stories: each answer as programs get it, held by golden files.
//!
//! `RELAYSCOPE_BLESS=1 cargo test --test where_answers` writes them anew; read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

mod stories;

use relayscope::cli::locate;
use relayscope::cli::screen::columns;
use relayscope::trace::Cause;
use stories::golden::{ask, golden, look};
use stories::{Shelf, Tale, greylisted, morning};

fn whole_morning() -> Shelf {
    Shelf { records: morning(), running: true }
}

#[track_caller]
fn verdict(shelf: &Shelf, question: &str, expected: &str) {
    let answer = ask(shelf, question);
    let found = answer.messages.first().map(|message| message.verdict.as_str());
    assert_eq!(found, Some(expected), "{question}");
}

#[test]
fn answers_are_as_in_the_golden_files() {
    let shelf = whole_morning();
    golden("accepted", &ask(&shelf, "<accepted.1@mail.example.com>"));
    golden("rejected", &ask(&shelf, "nobody@example.org"));
    golden("partly_rejected", &ask(&shelf, "5A2D33B1C8"));
    golden("deferred_with_retries", &ask(&shelf, "to:judy@example.org"));
    golden("dropped_by_client", &ask(&shelf, "subject:\"large plan\""));
    golden("in_doubt", &ask(&shelf, "doubt.9"));
    golden("many", &ask(&shelf, "alice@example.com"));
    golden("never_seen_message_id", &ask(&shelf, "<lost.77@mail.example.com>"));
    golden("never_seen", &ask(&shelf, "bob@exmaple.org"));
}

#[test]
fn the_first_sentence_says_it() {
    let shelf = whole_morning();
    let show = |question: &str| ask(&shelf, question).messages.first().map(|message| message.verdict.clone()).unwrap_or_default();
    let questions = [
        "accepted.1@mail.example.com",
        "nobody@example.org",
        "partly.3@mail.example.com",
        "Grand offer",
        "frank@example.org",
        "grace@example.org",
        "twice.10@mail.example.com",
        "judy@example.org",
        "stage:mail_from",
    ];
    for question in questions {
        println!("{question}\n    {}", show(question));
    }
    verdict(
        &shelf,
        "partly.3@mail.example.com",
        "Stopped at smtp.example.net, RCPT TO, 2026-11-23 10:05:02 UTC: 550 5.1.1 No such user; 1 of 3 recipients (dvae@example.org); \
         bob@example.org and carol@example.org were accepted as queue id 5A2D33B1C8.",
    );
}

#[test]
fn attempts_without_a_header_are_joined_to_the_one_that_passed() {
    let shelf = Shelf { records: greylisted(3, true), running: true };
    for question in ["judy@example.org", "<greylisted.5@mail.example.com>"] {
        let answer = ask(&shelf, question);
        assert_eq!(answer.messages.len(), 1, "{question}");
        let message = &answer.messages[0];
        assert_eq!((message.hops.len(), message.recipients[0].attempts), (3, 3), "{question}");
        assert_eq!(message.state.0, relayscope::path::answer::PathState::Accepted, "{question}");
    }
}

#[test]
fn one_message_id_can_be_two_messages() {
    let answer = ask(&whole_morning(), "<1@localhost>");
    let subjects: Vec<_> = answer.messages.iter().map(|message| message.subject.as_deref()).collect();
    assert_eq!(subjects, [Some("Report number B"), Some("Report A")]);
}

#[test]
fn a_refusal_for_good_is_not_continued_by_the_next_message() {
    let mut records = greylisted(1, false);
    for record in &mut records {
        if let relayscope::trace::Record::Transaction(transaction) = record {
            transaction.outcome.state = relayscope::trace::State::Rejected;
            transaction.envelope.recipients[0].state = relayscope::trace::State::Rejected;
        }
    }
    records.extend(greylisted(3, true).split_off(2));
    let answer = ask(&Shelf { records, running: true }, "judy@example.org");
    assert_eq!(answer.messages.len(), 2);
}

#[test]
fn an_address_that_does_not_exist_is_compared_with_those_that_took_mail() {
    let unknown = |number, to: &str, cause| {
        let tale = Tale::new(number, "10:05:00", "alice@example.com").to(to, "550 5.1.1 No such user").ends_at_rcpt();
        tale.with(|it| it.envelope.recipients[0].cause = Some(cause)).record()
    };
    let taken = Tale::new(1, "10:00:00", "alice@example.com").to("carol@example.org", "250 2.1.5 Ok");
    let records = vec![
        taken.header("right.1@mail.example.com", "Offer").end_of_data("250 2.0.0 Ok", None).record(),
        unknown(2, "carrol@example.org", Cause::RecipientUnknown),
        unknown(3, "erwin@example.org", Cause::RecipientUnknown),
        unknown(4, "erwin@gmial.com", Cause::DomainNotFound),
    ];
    let shelf = Shelf { records, running: true };
    let of = |address: &str| {
        let message = ask(&shelf, address).messages.remove(0);
        (message.recipients[0].meant.clone(), message.next.join("\n"))
    };
    let (meant, next) = of("carrol@example.org");
    assert_eq!(meant.as_deref(), Some("carol@example.org"));
    assert!(next.contains("Perhaps carol@example.org is meant."), "{next}");
    assert_eq!(of("erwin@example.org").0, None, "a refused address is no better");
    assert_eq!(of("erwin@gmial.com").0.as_deref(), Some("erwin@gmail.com"));
}

#[test]
fn nothing_at_all_is_still_an_answer() {
    let answer = ask(&Shelf { records: Vec::new(), running: false }, "bob@example.org");
    let seen = answer.never_seen.unwrap();
    assert_eq!(
        seen.verdict,
        "Never seen: no message that passed Relayscope matches bob@example.org; the trace is empty. No proxy is adding to this trace now."
    );
}

#[test]
fn every_answer_fits_its_terminal() {
    let shelf = whole_morning();
    for question in ["nobody@example.org", "judy@example.org", "bob@exmaple.org", "alice@example.com", "5A2D33B1C8", "doubt.9"] {
        for width in 80..=200 {
            for full in [false, true] {
                let screen = locate::render(&ask(&shelf, question), full, &look(Some(width)));
                for line in screen.as_str().lines() {
                    // A word that is longer than the line (a trace id in a command) is left whole, to be copied.
                    assert!(columns(line) <= width || line.contains("relayscope "), "{question} at {width}: {line}");
                }
            }
        }
    }
}

#[test]
fn hostile_text_is_shown_and_not_obeyed() {
    let mut records = morning();
    for record in &mut records {
        if let relayscope::trace::Record::Transaction(transaction) = record {
            let evil = "\u{1b}]0;owned\u{7}\u{202e}\r\n250 Accepted\u{9b}31m";
            transaction.message.subject = Some(evil.into());
            transaction.outcome.detail = Some(evil.into());
            transaction.outcome.upstream_queue_id = Some(evil.into());
            std::sync::Arc::make_mut(&mut transaction.client).helo = Some(evil.into());
            std::sync::Arc::make_mut(&mut transaction.upstream).host = Some(evil.into());
            for recipient in &mut transaction.envelope.recipients {
                recipient.reply.iter_mut().for_each(|reply| reply.lines = vec![evil.into()]);
            }
        }
    }
    let shelf = Shelf { records, running: true };
    for question in ["alice@example.com", "judy@example.org", "bob@exmaple.org"] {
        for width in [None, Some(80)] {
            let answer = ask(&shelf, question);
            let screen = locate::render(&answer, true, &look(width));
            for c in screen.as_str().chars() {
                assert!(c == '\n' || !(c.is_control() || c == '\u{202e}'), "{question}: {c:?}");
            }
            assert!(!screen.as_str().lines().any(|line| line.trim_start().starts_with("250 Accepted")));
        }
    }
}

#[test]
fn what_the_index_does_not_know_is_looked_at_record_by_record() {
    let shelf = whole_morning();
    let count = |question: &str| ask(&shelf, question).messages.len();
    assert_eq!(count("alice@example.com enhanced:5.1.1"), 2);
    assert_eq!(count("enhanced:5.7"), 1);
    assert_eq!(count("reply:\"content scanner\""), 1);
    assert_eq!(count("by:client size:>10k"), 1);
    assert_eq!(count("duration:>20s"), 1);
    assert_eq!(count("tls:unverified"), 0);
    assert_eq!(count("tls:TLSv1.3 state:unknown"), 1, "the other one was accepted at last");
    assert_eq!(count("tls:TLSv1.3 ever:unknown"), 2);
}

#[test]
fn a_hole_in_which_an_attempt_may_be_missing_is_told_beside_the_message() {
    let (mut around, mut before) = (whole_morning(), whole_morning());
    around.records.push(stories::gap("10:00:00", "10:59:00", 7));
    before.records.push(stories::gap("07:00:00", "07:10:00", 7));
    let question = "state:deferred";
    let answer = ask(&around, question);
    assert!(!answer.messages.is_empty() && answer.gaps.iter().any(|gap| gap.records_lost == 7));
    let said = locate::render(&answer, false, &look(Some(100)));
    assert!(said.as_str().contains("Hole in the trace") && said.as_str().contains("attempts may be missing above"), "{}", said.as_str());
    assert!(ask(&before, question).gaps.iter().all(|gap| gap.records_lost != 7));
}

#[test]
fn when_the_proxy_was_down_is_told() {
    let mut shelf = whole_morning();
    shelf.records.push(stories::audit(relayscope::trace::AuditEvent::Crashed, "10:58:00", Some("10:12:00")));
    shelf.records.push(stories::audit(relayscope::trace::AuditEvent::Started, "10:58:00", None));
    let seen = ask(&shelf, "<lost.77@mail.example.com>").never_seen.unwrap();
    assert!(
        seen.verdict.contains("Relayscope was not running from 2026-11-23 10:12:00 UTC to 2026-11-23 10:58:00 UTC"),
        "{}",
        seen.verdict
    );
    let beside = ask(&shelf, "judy@example.org");
    assert!(beside.gaps.iter().any(|gap| gap.down), "{:?}", beside.gaps);
    let said = locate::render(&beside, false, &look(Some(100)));
    assert!(said.as_str().contains("Relayscope was not running: 11:12:00 to 11:58:00"), "{}", said.as_str());
    shelf.running = false;
    shelf.records.push(stories::audit(relayscope::trace::AuditEvent::Stopped, "10:59:00", Some("10:58:00")));
    let seen = ask(&shelf, "<lost.77@mail.example.com>").never_seen.unwrap();
    assert!(
        seen.verdict.ends_with("Relayscope was stopped 2026-11-23 10:59:00 UTC; no proxy is adding to this trace now."),
        "{}",
        seen.verdict
    );
}

#[test]
fn answers_are_as_the_schema_in_the_repository_says() {
    let schema = relayscope::path::Answer::schema();
    let current = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("config/answer.schema.json");
    if std::env::var_os("RELAYSCOPE_BLESS").is_some() {
        std::fs::write(&file, &current).unwrap();
    }
    assert!(std::fs::read_to_string(&file).unwrap() == current, "config/answer.schema.json is not what the types say: bless it");
    let validator = jsonschema::validator_for(schema.as_value()).unwrap();
    for entry in std::fs::read_dir(root.join("tests/golden/where")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let answer: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert!(validator.is_valid(&answer), "{}", path.display());
        }
    }
}
