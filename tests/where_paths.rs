//! `where` over all that is known of a message: retries, hops, reports and lines of logs, and what of it counts.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

mod stories;

use relayscope::path::answer::{Confidence, JoinedBy, MessagePath, PathState};
use relayscope::trace::{Action, Actor, Cause, Flag, LogEvent, Outcome, Record, RecordId, Stage, State};
use stories::golden::{ask, golden};
use stories::told::{comes_in, failed, goes_out, line, report, sent_on};
use stories::{Shelf, Tale, morning};

fn shelf(more: impl IntoIterator<Item = Record>) -> Shelf {
    let mut records = morning();
    records.extend(more);
    Shelf { records, running: true }
}

#[track_caller]
fn one(shelf: &Shelf, question: &str) -> MessagePath {
    let answer = ask(shelf, question);
    assert_eq!(answer.messages.len(), 1, "{question}: {:#?}", answer.messages.iter().map(|it| &it.verdict).collect::<Vec<_>>());
    answer.messages.into_iter().next().unwrap()
}

fn bounce() -> Record {
    report(40, "10:04:00", |it| it.recipients.push(failed("bob@example.org"))).record()
}

/// As the recipient's state in the path of the message accepted at 10:02.
#[track_caller]
fn state_of(path: &MessagePath, address: &str) -> PathState {
    path.recipients.iter().find(|fate| fate.address == address).unwrap().state.0
}

fn log_of_the_way() -> Vec<Record> {
    vec![
        line(50, "10:02:11.200", LogEvent::Received, |_| {}),
        line(51, "10:02:12", LogEvent::Sent, sent_on),
        line(52, "10:02:13", LogEvent::Delivered, |log| {
            sent_on(log);
            (log.host, log.queue_id, log.next_queue_id) = (Some("mx.example.org".into()), Some("0B5D00C1".into()), None);
            (log.relay_host, log.reply, log.message_id) = (None, None, None);
        }),
        line(53, "10:02:14", LogEvent::Deferred, |log| {
            log.recipient = Some("carol@example.org".into());
            log.reply = Some(stories::reply("451 4.3.0 Try again later"));
        }),
    ]
}

#[test]
fn answers_with_what_came_later_are_as_in_the_golden_files() {
    golden("bounced", &ask(&shelf([bounce()]), "<accepted.1@mail.example.com>"));
    golden("delivered_by_log", &ask(&shelf(log_of_the_way()), "<accepted.1@mail.example.com>"));
    golden("stuck", &ask(&shelf(stuck_by_log()), "<accepted.1@mail.example.com>"));
    golden("duplicate_likely", &ask(&shelf([]), "twice.10"));
    golden("two_passages", &ask(&shelf([comes_in(60, "10:02:11").record(), goes_out(61, "10:02:12").record()]), "round.1"));
    golden("forged_report", &ask(&shelf([forged()]), "<never.sent@mail.example.com>"));
}

#[test]
fn a_report_by_message_id_bounces_its_recipient_only() {
    let path = one(&shelf([bounce()]), "<accepted.1@mail.example.com>");
    assert_eq!(state_of(&path, "bob@example.org"), PathState::Bounced);
    assert_eq!(state_of(&path, "carol@example.org"), PathState::Accepted);
    assert_eq!(path.state.0, PathState::Partial);
    let bob = path.recipients.iter().find(|fate| fate.address == "bob@example.org").unwrap();
    assert_eq!(bob.cause.map(|cause| cause.0), Some(Cause::MailboxFull));
    assert_eq!(bob.host.as_deref(), Some("mx.example.org"));
    assert!(
        path.verdict.starts_with(
            "Bounced: accepted 2026-11-23 10:02:11 UTC by smtp.example.net as queue id 4F1C21A0B7, given back 2026-11-23 10:04:00 UTC: \
         mailbox full (552 5.2.2 Mailbox is over its quota) by mx.example.org"
        ),
        "{}",
        path.verdict
    );
}

#[test]
fn the_message_is_found_by_its_report_as_well() {
    let shelf = shelf([bounce()]);
    let by_report = ask(&shelf, "report.40@smtp.example.net");
    assert_eq!(by_report.messages.len(), 1);
    assert!(by_report.messages[0].reports_on.as_ref().unwrap().hop.is_some(), "{}", by_report.messages[0].verdict);
    for question in ["state:bounced", "state:bounced from:alice@example.com", "state:bounced cause:mailbox_full to:bob@example.org"] {
        let path = one(&shelf, question);
        assert_eq!(path.message_id.as_deref(), Some("accepted.1@mail.example.com"), "{question}");
    }
    assert!(ask(&shelf, "state:bounced from:newsletter@example.com").messages.is_empty());
    assert!(ask(&shelf, "state:delivered").messages.is_empty());
}

#[test]
fn what_is_delayed_is_told_and_changes_nothing() {
    let delayed = report(41, "10:04:00", |it| {
        it.recipients.push(relayscope::trace::record::Reported { action: Action::Delayed, ..failed("bob@example.org") });
    });
    let path = one(&shelf([delayed.record()]), "<accepted.1@mail.example.com>");
    assert_eq!(path.state.0, PathState::Accepted);
    assert!(path.verdict.contains("delayed for bob@example.org"), "{}", path.verdict);
}

fn forged() -> Record {
    report(42, "10:04:00", |it| {
        it.original_message_id = Some("never.sent@mail.example.com".into());
        it.recipients.push(failed("bob@example.org"));
    })
    .record()
}

#[test]
fn a_report_proves_nothing_that_was_not_seen() {
    let cases = [
        ("a recipient that it never had", report(43, "10:04:00", |it| it.recipients.push(failed("mallory@example.org")))),
        ("before the message", report(44, "10:01:00", |it| it.recipients.push(failed("bob@example.org")))),
    ];
    for (what, tale) in cases {
        let path = one(&shelf([tale.record()]), "<accepted.1@mail.example.com>");
        assert_eq!(path.state.0, PathState::Accepted, "{what}");
        let told = path.reports().next().unwrap();
        assert_eq!((told.tie.confidence, told.why_not.is_some()), (Confidence::Unproven, true), "{what}");
        assert!(path.verdict.contains("Unproven"), "{}", path.verdict);
    }
    let path = one(&shelf([forged()]), "<accepted.1@mail.example.com>");
    assert_eq!((path.state.0, path.reports().count()), (PathState::Accepted, 0));
    let refused = report(45, "10:08:00", |it| {
        it.original_message_id = Some("spam.4@mail.example.com".into());
        it.recipients.push(failed("erin@example.org"));
    });
    let path = one(&shelf([refused.record()]), "<spam.4@mail.example.com>");
    assert_eq!(path.state.0, PathState::Rejected, "nobody had accepted it");
}

#[test]
fn what_the_sending_server_gives_up_is_given_up() {
    let sent = || {
        Tale::new(70, "10:20:00", "alice@example.com")
            .to("bob@example.org", "250 2.1.5 Ok")
            .to("full@example.org", "452 4.2.2 <full@example.org>: the mailbox is full")
            .header("gave.up@mail.example.com", "Patience")
            .end_of_data("250 2.0.0 Ok: queued as 8D5066E4F0", Some("8D5066E4F0"))
    };
    let mut gave_up = report(71, "18:00:00", |it| {
        it.original_message_id = Some("gave.up@mail.example.com".into());
        it.recipients.push(failed("full@example.org"));
    })
    .record();
    let theirs = gave_up.clone();
    if let (Record::Transaction(report), Record::Transaction(message)) = (&mut gave_up, sent().record()) {
        (report.client, report.direction) = (message.client, message.direction);
    }
    let path = one(&shelf([sent().record(), gave_up]), "<gave.up@mail.example.com>");
    assert_eq!(state_of(&path, "full@example.org"), PathState::Bounced, "{}", path.verdict);
    assert_eq!(path.reports().next().unwrap().tie.confidence, Confidence::Strong);
    // Anybody else can't know.
    let path = one(&shelf([sent().record(), theirs]), "<gave.up@mail.example.com>");
    assert_eq!(state_of(&path, "full@example.org"), PathState::Deferred);
    assert_eq!(path.reports().next().unwrap().tie.confidence, Confidence::Unproven);
}

#[test]
fn a_report_without_ids_is_probable_and_says_so() {
    let bare = report(46, "10:04:00", |it| {
        it.original_message_id = None;
        it.recipients.push(failed("bob@example.org"));
    });
    let path = one(&shelf([bare.record()]), "<accepted.1@mail.example.com>");
    let told = path.reports().next().unwrap();
    assert_eq!((told.tie.joined_by, told.tie.confidence), (JoinedBy::Recipient, Confidence::Probable));
    assert_eq!(state_of(&path, "bob@example.org"), PathState::Bounced);
    assert!(path.verdict.contains("probably about this message (by recipient and time)"), "{}", path.verdict);
}

#[test]
fn logs_lead_from_server_to_server() {
    let path = one(&shelf(log_of_the_way()), "<accepted.1@mail.example.com>");
    assert_eq!(state_of(&path, "bob@example.org"), PathState::Delivered);
    assert_eq!(state_of(&path, "carol@example.org"), PathState::Deferred);
    assert_eq!(path.logs().count(), 4);
    assert!(path.logs().all(|line| line.tie.joined_by == JoinedBy::QueueId));
    let of_bob = one(&shelf(log_of_the_way()), "0B5D00C1");
    assert_eq!(of_bob.message_id.as_deref(), Some("accepted.1@mail.example.com"));
}

#[test]
fn a_clock_that_is_off_is_told_and_put_right() {
    let minutes_ahead = |clock: &str| line(54, clock, LogEvent::Received, |_| {});
    let path = one(
        &shelf([minutes_ahead("10:05:11.500"), line(55, "10:05:13", LogEvent::Sent, sent_on), bounce()]),
        "<accepted.1@mail.example.com>",
    );
    let ahead = path.logs().next().unwrap().clock_ahead_us.unwrap();
    assert!((179_000_000..182_000_000).contains(&ahead), "{ahead}");
    assert_eq!(state_of(&path, "bob@example.org"), PathState::Bounced, "the report came after the line, by our clock");
    // Behind: the line is older than the message.
    let path = one(&shelf([minutes_ahead("09:59:11.500")]), "<accepted.1@mail.example.com>");
    assert!(path.logs().next().unwrap().clock_ahead_us.unwrap() < -179_000_000);
}

fn stuck_by_log() -> Vec<Record> {
    vec![
        line(56, "10:02:11.200", LogEvent::Received, |_| {}),
        line(57, "10:50:00", LogEvent::Removed, |log| {
            (log.queue_id, log.message_id) = (Some("ELSE99".into()), Some("else@example.com".into()));
        }),
    ]
}

#[test]
fn what_a_log_has_taken_and_never_sent_on_is_stuck() {
    let shelf = shelf(stuck_by_log());
    let path = one(&shelf, "<accepted.1@mail.example.com>");
    assert_eq!(path.state.0, PathState::Stuck);
    assert!(path.verdict.starts_with("Stuck in smtp.example.net for 57 min"), "{}", path.verdict);
    assert_eq!(one(&shelf, "state:stuck").message_id.as_deref(), Some("accepted.1@mail.example.com"));
}

/// Servers that log whole seconds: an imported line's id is by chance.
#[test]
fn lines_of_one_second_are_in_the_order_of_what_a_server_does() {
    for ids in [[56, 57, 58], [58, 57, 56], [57, 58, 56]] {
        let events = [LogEvent::Received, LogEvent::Sent, LogEvent::Removed];
        let mut log: Vec<Record> = ids
            .iter()
            .zip(events)
            .map(|(&id, event)| {
                line(id, "10:02:12", event, |log| {
                    if event == LogEvent::Sent {
                        sent_on(log)
                    }
                })
            })
            .collect();
        log.extend(stuck_by_log().into_iter().skip(1).map(|record| match record {
            Record::Log(mut log) => {
                log.id = RecordId::from_parts(log.at / 1000, 99);
                Record::Log(log)
            }
            other => other,
        }));
        let path = one(&shelf(log), "<accepted.1@mail.example.com>");
        assert_eq!(state_of(&path, "bob@example.org"), PathState::Accepted, "{ids:?}: {}", path.verdict);
        assert_eq!(path.logs().map(|hop| hop.event.0).collect::<Vec<_>>(), events, "{ids:?}");
    }
}

/// The first attempt ended in doubt, the second was put off: a word from behind proves that the first got there.
#[test]
fn what_was_in_doubt_and_is_proven_is_not_waited_for() {
    let sent = |number: u64, clock: &str| {
        Tale::new(number, clock, "alice@example.com").to("bob@example.org", "250 2.1.5 Ok").header("doubt.1@mail.example.com", "Doubt")
    };
    let doubt = sent(80, "10:20:00").with(|it| {
        it.outcome.state = State::Unknown;
        it.outcome.stage = Stage::EndOfData;
        it.envelope.recipients[0].state = State::Unknown;
        it.envelope.recipients[0].stage = Stage::EndOfData;
    });
    let later = sent(81, "10:30:00").end_of_data("451 4.3.0 Try again later", None);
    let attempts = || [doubt.transaction.clone(), later.transaction.clone()].map(|it| Record::Transaction(Box::new(it)));
    let path = one(&shelf(attempts()), "<doubt.1@mail.example.com>");
    assert_eq!(state_of(&path, "bob@example.org"), PathState::Deferred);
    assert!(path.verdict.contains("ended in doubt: smtp.example.net may have it already"), "{}", path.verdict);
    let bounce = report(82, "10:21:00", |it| {
        it.original_message_id = Some("doubt.1@mail.example.com".into());
        it.recipients.push(failed("bob@example.org"));
    });
    let path = one(&shelf(attempts().into_iter().chain([bounce.record()])), "<doubt.1@mail.example.com>");
    assert_eq!(state_of(&path, "bob@example.org"), PathState::Bounced, "{}", path.verdict);
    assert_eq!(path.recipients[0].accepted.map(|id| id.0), Some(doubt.transaction.id));
}

/// By LMTP each recipient has a word of its own at the end, and the client hears one for all.
#[test]
fn each_recipient_of_a_mail_store_has_its_own_word() {
    let sent = Tale::new(83, "10:20:00", "alice@example.com")
        .to("bob@example.org", "250 2.1.5 Ok")
        .to("carl@example.org", "250 2.1.5 Ok")
        .header("store.1@mail.example.com", "Store")
        .end_of_data("451 4.2.0 of 2 recipients one was put off, and one refused", None)
        .with(|it| {
            let words = [(State::Rejected, "552 5.2.2 Quota exceeded"), (State::Deferred, "451 4.2.0 Later")];
            for (recipient, (state, word)) in it.envelope.recipients.iter_mut().zip(words) {
                (recipient.state, recipient.stage, recipient.reply) = (state, Stage::EndOfData, Some(stories::reply(word)));
            }
        });
    let path = one(&shelf([sent.record()]), "<store.1@mail.example.com>");
    let codes: Vec<_> = path.recipients.iter().map(|fate| fate.reply.as_ref().map(|reply| reply.code)).collect();
    assert_eq!(codes, [Some(552), Some(451)]);
    let next = format!("{:?}", path.next);
    assert!(!next.contains("A 5xx is final") && next.contains("it sends it to all of them once more"), "{next}");
}

/// Its own reply took it: what ended the transaction is why it got nothing.
#[test]
fn a_recipient_that_was_taken_tells_what_ended_its_transaction() {
    let ended = |outcome: Outcome| {
        Tale::new(84, "10:20:00", "alice@example.com").to("zoe@example.org", "250 2.1.5 Ok").with(move |it| {
            for recipient in &mut it.envelope.recipients {
                (recipient.state, recipient.stage, recipient.by) = (outcome.state, Stage::RcptTo, outcome.by);
            }
            it.outcome = outcome.clone();
        })
    };
    let told = |outcome: Outcome| {
        let fate = one(&shelf([ended(outcome).record()]), "zoe@example.org").recipients.remove(0);
        (fate.reply.map(|reply| reply.code), fate.detail)
    };
    let left = Outcome::of(State::Aborted, Stage::RcptTo, Actor::Client, None, Some("the client sent QUIT before the message".into()));
    assert_eq!(told(left), (None, Some("the client sent QUIT before the message".into())));
    let reply = stories::reply("421 4.7.0 relayscope: too many errors");
    let cut = Outcome::of(State::Deferred, Stage::RcptTo, Actor::Client, Some(reply), Some("too many refused commands".into()));
    assert_eq!(told(cut), (Some(421), Some("too many refused commands".into())));
}

/// An alias that a server expanded: each member has its own fate.
#[test]
fn members_of_an_alias_have_their_own_fates() {
    let sent = Tale::new(84, "10:20:00", "alice@example.com")
        .to("team@example.org", "250 2.1.5 Ok")
        .header("team.1@mail.example.com", "Team")
        .end_of_data("250 2.0.0 Ok: queued as 4F1C99", Some("4F1C99"));
    let members = Tale::new(85, "10:20:05", "alice@example.com")
        .to("ann@example.org", "250 2.1.5 Ok")
        .to("ben@example.net", "550 5.1.1 No such user")
        .header("team.1@mail.example.com", "Team")
        .end_of_data("250 2.0.0 Ok: queued as 5A6B7C", Some("5A6B7C"))
        .with(|it| {
            it.listener = "outbound".into();
            it.message.client_queue_id = Some("4F1C99".into());
            it.envelope.recipients.iter_mut().for_each(|it| it.orcpt = Some("rfc822;team@example.org".into()));
        });
    let path = one(&shelf([sent.record(), members.record()]), "<team.1@mail.example.com>");
    assert_eq!(state_of(&path, "ann@example.org"), PathState::Accepted, "{}", path.verdict);
    assert_eq!(state_of(&path, "ben@example.net"), PathState::Rejected, "{}", path.verdict);
}

#[test]
fn in_on_one_listener_and_out_on_another_is_one_message() {
    let shelf = shelf([comes_in(60, "10:02:11").record(), goes_out(61, "10:02:12").record()]);
    for question in ["round.1@elsewhere.example", "1D2E3F", "77AA88", "trent@lists.example.com"] {
        let path = one(&shelf, question);
        assert_eq!(path.relays().map(|hop| hop.passage).collect::<Vec<_>>(), [1, 2], "{question}");
        let way = &path.inside[0];
        assert_eq!((way.server.as_str(), way.took_us), ("mail.example.com", 951_790), "{question}");
        assert!(path.verdict.contains("951 ms inside mail.example.com"), "{}", path.verdict);
    }
}

#[test]
fn what_came_in_and_usually_goes_out_again_is_stuck() {
    let earlier = goes_out(62, "10:00:00").with(|it| {
        it.message.message_id = Some("another@elsewhere.example".into());
        it.message.client_queue_id = Some("000AAA".into());
    });
    let shelf = shelf([earlier.record(), comes_in(60, "10:02:11").record()]);
    let path = one(&shelf, "round.1@elsewhere.example");
    assert_eq!(path.state.0, PathState::Stuck, "{}", path.verdict);
    assert_eq!(path.inside[0].out, None);
}

#[test]
fn a_message_that_only_a_log_knows_is_a_path_too() {
    let only = line(58, "10:20:00", LogEvent::Bounced, |log| {
        (log.queue_id, log.message_id) = (Some("LOG1".into()), Some("only.logged@mail.example.com".into()));
        log.recipient = Some("bob@example.org".into());
        log.reply = Some(stories::reply("550 5.1.1 No such user"));
    });
    let path = one(&shelf([only]), "<only.logged@mail.example.com>");
    assert_eq!((path.state.0, path.relays().count(), path.logs().count()), (PathState::Bounced, 0, 1));
    assert!(path.verdict.starts_with("Bounced: given back"), "{}", path.verdict);
}

#[test]
fn first_one_reason_then_another() {
    let attempt = |number: u64, clock: &str, text: &str, cause: Cause| {
        Tale::new(number, clock, "alice@example.com")
            .to("olivia@example.org", text)
            .ends_at_rcpt()
            .with(|it| it.envelope.recipients[0].cause = Some(cause))
            .record()
    };
    let records = [
        attempt(70, "10:10:00", "450 4.2.0 Greylisted", Cause::Greylisted),
        attempt(71, "10:20:00", "450 4.2.0 Greylisted", Cause::Greylisted),
        attempt(72, "10:30:00", "452 4.2.2 Over quota", Cause::MailboxFull),
    ];
    let path = one(&shelf(records), "olivia@example.org");
    assert!(path.verdict.contains("3 attempts since 2026-11-23 10:10:00 UTC: first greylisted, then mailbox full"), "{}", path.verdict);
}

#[test]
fn forwards_and_blind_copies_stay_apart() {
    let forward = Tale::new(80, "10:12:00", "bob@example.org")
        .to("zoe@elsewhere.example", "250 2.1.5 Ok")
        .header("accepted.1@mail.example.com", "Fwd: Minutes of Monday")
        .end_of_data("250 2.0.0 Ok: queued as F00BA4", Some("F00BA4"))
        .with(|it| it.message.date = Some("Mon, 23 Nov 2026 10:11:00 +0000".into()));
    let answer = ask(&shelf([forward.record()]), "<accepted.1@mail.example.com>");
    assert_eq!(answer.messages.len(), 2);
    let leg = |queue_id: &str| {
        Tale::new(81, "10:02:11.300", "alice@example.com")
            .to("secret@elsewhere.example", "250 2.1.5 Ok")
            .header("accepted.1@mail.example.com", "Minutes of Monday")
            .end_of_data("250 2.0.0 Ok: queued as B11ND", Some("B11ND"))
            .with(|it| it.message.client_queue_id = Some(queue_id.to_owned()))
            .record()
    };
    assert_eq!(ask(&shelf([leg("0THER")]), "<accepted.1@mail.example.com>").messages.len(), 2);
    let of_one_queue_entry = one(&shelf([leg("3C1A2200D7")]), "<accepted.1@mail.example.com>");
    assert_eq!(of_one_queue_entry.recipients.len(), 4);
}

#[test]
fn thousands_with_one_message_id_are_bounded_and_said() {
    let many = (0..3_000u64).map(|number| {
        let minute = 10 + number % 50;
        Tale::new(1_000 + number, &format!("10:{minute:02}:00.{:06}", number), &format!("app{number}@example.com"))
            .to(&format!("user{number}@example.org"), "250 2.1.5 Ok")
            .header("same@localhost", &format!("Number {number}"))
            .end_of_data(&format!("250 2.0.0 Ok: queued as Q{number}"), Some(&format!("Q{number}")))
            .with(|it| it.message.client_queue_id = Some(format!("C{number}")))
            .record()
    });
    let shelf = shelf(many);
    let begun = std::time::Instant::now();
    let answer = ask(&shelf, "Q17");
    assert_eq!(answer.messages.len(), 1);
    assert!(answer.notes.iter().any(|note| note.contains("same@localhost")), "{:?}", answer.notes);
    println!("{:?}", begun.elapsed());
    let answer = ask(&shelf, "<same@localhost>");
    assert_eq!((answer.messages.len(), answer.more), (20, true));
}

#[test]
fn reports_are_found_as_reports() {
    let shelf = shelf([bounce()]);
    let path = one(&shelf, "kind:report");
    assert!(path.reports_on.is_some(), "a report is told of with its message, unless it alone is asked for");
    assert!(path.relays().any(|hop| hop.flags.iter().any(|flag| flag.0 == Flag::Report)));
    assert_eq!(one(&shelf, "state:unknown to:grace@example.org").relays().next().unwrap().state.0, State::Unknown);
}

#[test]
fn the_state_asked_for_is_the_last_one() {
    let mut records = stories::greylisted(3, true);
    records.extend(morning().into_iter().filter(
        |record| !matches!(record, Record::Transaction(it) if it.envelope.recipients.iter().any(|to| to.address == "judy@example.org")),
    ));
    let shelf = Shelf { records, running: true };
    let of = |question: &str| ask(&shelf, question).messages.len();
    assert_eq!(of("to:judy@example.org state:deferred"), 0);
    assert_eq!(of("to:judy@example.org ever:deferred"), 1);
    assert_eq!(of("to:judy@example.org state:accepted"), 1);
    let all = ask(&shelf, "state:accepted");
    assert!(all.messages.windows(2).all(|pair| pair[0].last_at >= pair[1].last_at));
    assert!(ask(&shelf, "to:judy@example.org state:deferred").notes[0].contains("ever:deferred"));
}

/// An address is anybody's words: pasted into a shell, the proposal runs nothing and asks for that address.
#[test]
fn a_proposal_with_an_address_is_safe_to_paste() {
    for (address, asked, written) in [
        ("bo`id`@example.org", "bo`ie`@example.org", "relayscope where 'bo`id`@example.org'"),
        ("o'brien@example.org", "o'brian@example.org", r"relayscope where 'o'\''brien@example.org'"),
        ("a:bcdef@example.org", "a:bcdeg@example.org", "relayscope where '\"a:bcdef@example.org\"'"),
    ] {
        let records = vec![Tale::new(1, "10:00:00", "alice@example.com").to(address, "250 2.1.5 Ok").end_of_data("250 Ok", None).record()];
        let answer = ask(&Shelf { records, running: true }, &format!("to:\"{asked}\""));
        let next = answer.never_seen.unwrap().next;
        assert!(next[0].ends_with(written), "{next:?}");
    }
}
