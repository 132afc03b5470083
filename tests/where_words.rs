//! `where`: whose word decides, of several servers, logs and copies of one message.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

mod stories;

use relayscope::path::answer::{Confidence, Fate, JoinedBy, MessagePath, PathState};
use relayscope::trace::{Actor, Log, LogEvent, Record, Stage, State};
use stories::golden::{ask, look};
use stories::told::{comes_in, failed, goes_out, line, report, sent_on};
use stories::{Shelf, Tale, reply};

#[track_caller]
fn one(records: impl IntoIterator<Item = Record>, question: &str) -> MessagePath {
    let answer = ask(&Shelf { records: records.into_iter().collect(), running: true }, question);
    assert_eq!(answer.messages.len(), 1, "{question}: {:#?}", answer.messages.iter().map(|it| &it.verdict).collect::<Vec<_>>());
    answer.messages.into_iter().next().unwrap()
}

#[track_caller]
fn fate<'a>(path: &'a MessagePath, address: &str) -> &'a Fate {
    path.recipients.iter().find(|fate| fate.address == address).unwrap()
}

fn sent(number: u64, clock: &str, queue_id: &str) -> Tale {
    Tale::new(number, clock, "alice@example.com")
        .to("bob@example.org", "250 2.1.5 Ok")
        .header("once.more@mail.example.com", "Once more")
        .end_of_data(&format!("250 2.0.0 Ok: queued as {queue_id}"), Some(queue_id))
}

/// A line of the smart host on Bob's copy.
fn on_bob(number: u64, clock: &str, event: LogEvent, queue_id: &str, text: Option<&str>) -> Record {
    line(number, clock, event, |log| {
        (log.queue_id, log.message_id) = (Some(queue_id.into()), None);
        (log.recipient, log.reply) = (Some("bob@example.org".into()), text.map(reply));
    })
}

/// Postfix' qmgr names the sender only.
fn expired(number: u64, clock: &str, change: impl FnOnce(&mut Log)) -> Record {
    line(number, clock, LogEvent::Expired, |log| {
        log.message_id = None;
        change(log);
    })
}

#[test]
fn what_was_said_of_the_first_copy_is_not_said_of_the_second() {
    let bounced = || on_bob(2, "10:05:00", LogEvent::Bounced, "AAA111", Some("550 5.1.1 No such user"));
    let first = || sent(1, "10:00:00", "AAA111").record();
    let path = one([first(), bounced()], "once.more@mail.example.com");
    assert_eq!(fate(&path, "bob@example.org").state.0, PathState::Bounced);
    let path = one([first(), bounced(), sent(3, "11:00:00", "BBB222").record()], "once.more@mail.example.com");
    assert_eq!(fate(&path, "bob@example.org").state.0, PathState::Accepted, "{}", path.verdict);
    // Its own word, though its clock is behind.
    let own = on_bob(4, "10:58:00", LogEvent::Bounced, "BBB222", Some("550 5.1.1 No such user"));
    let path = one([first(), bounced(), sent(3, "11:00:00", "BBB222").record(), own], "once.more@mail.example.com");
    assert_eq!(fate(&path, "bob@example.org").state.0, PathState::Bounced, "{}", path.verdict);
}

#[test]
fn an_entry_that_expires_is_given_back_for_whom_it_still_held() {
    let deferred = || on_bob(2, "10:05:00", LogEvent::Deferred, "AAA111", Some("451 4.3.0 Try again later"));
    let over = || expired(3, "10:05:00", |log| log.queue_id = Some("AAA111".into()));
    let first = || sent(1, "10:00:00", "AAA111").record();
    let path = one([first(), deferred(), over()], "once.more@mail.example.com");
    assert_eq!(fate(&path, "bob@example.org").state.0, PathState::Bounced, "{}", path.verdict);
    // Who had it is left alone.
    let done = on_bob(2, "10:04:00", LogEvent::Sent, "AAA111", Some("250 2.0.0 Ok"));
    let path = one([first(), done, over()], "once.more@mail.example.com");
    assert_eq!(fate(&path, "bob@example.org").state.0, PathState::Accepted, "{}", path.verdict);
    // A message that only the log knows.
    let received = line(1, "10:00:00", LogEvent::Received, |log| {
        (log.queue_id, log.message_id) = (Some("AAA111".into()), Some("once.more@mail.example.com".into()));
    });
    let path = one([received, deferred(), over()], "once.more@mail.example.com");
    assert_eq!(fate(&path, "bob@example.org").state.0, PathState::Bounced, "{}", path.verdict);
}

/// It wrote whole seconds: the attempt ended within the one in which it gave up.
#[test]
fn the_server_in_front_gives_up() {
    let tried = Tale::new(1, "10:00:00.700", "alice@example.com").to("bob@example.org", "450 4.2.0 Greylisted").ends_at_rcpt().with(|it| {
        it.message.client_queue_id = Some("FFF000".into());
    });
    let given_up = expired(2, "10:00:00", |log| (log.host, log.queue_id) = (Some("mail.example.com".into()), Some("FFF000".into())));
    let path = one([tried.record(), given_up], "bob@example.org");
    assert_eq!(fate(&path, "bob@example.org").state.0, PathState::Bounced, "{}", path.verdict);
}

/// Of an attempt that never came here only the log in front tells; what was answered here is known better from here.
#[test]
fn the_server_in_front_no_longer_gets_here() {
    let tried = || {
        let tale = Tale::new(1, "10:00:00.700", "alice@example.com").to("bob@example.org", "450 4.2.0 Greylisted").ends_at_rcpt();
        tale.with(|it| it.message.client_queue_id = Some("FFF000".into())).record()
    };
    let put_off = |number: u64, clock: &str, answer: Option<&str>| {
        line(number, clock, LogEvent::Deferred, |log| {
            (log.host, log.queue_id, log.message_id) = (Some("mail.example.com".into()), Some("FFF000".into()), None);
            (log.recipient, log.reply) = (Some("bob@example.org".into()), answer.map(reply));
            log.detail = answer.is_none().then(|| "connect to 127.0.0.1[127.0.0.1]:2525: Connection refused".into());
        })
    };
    let of_it = put_off(2, "10:00:01", Some("450 4.2.0 Greylisted"));
    let path = one([tried(), of_it], "bob@example.org");
    assert!(path.verdict.starts_with("Deferred at smtp.example.net, RCPT TO, "), "{}", path.verdict);
    assert_eq!(fate(&path, "bob@example.org").attempts, 1);
    let path = one([tried(), put_off(2, "10:07:00", None)], "bob@example.org");
    assert!(
        path.verdict.starts_with("Deferred in the queue of mail.example.com, 2026-11-23 10:07:00 UTC: connect to 127.0.0.1"),
        "{}",
        path.verdict
    );
    assert_eq!(fate(&path, "bob@example.org").attempts, 2);
    let step = "Nothing is lost: it waits in the queue of mail.example.com (queue id FFF000). At 2026-11-23 10:07:00 UTC it did not get through to Relayscope";
    assert!(path.next.iter().any(|it| it.starts_with(step)), "{:?}", path.next);
}

#[test]
fn a_server_between_two_passages_speaks_of_what_it_sends() {
    let refused = goes_out(2, "10:02:12").with(|it| {
        (it.outcome.state, it.outcome.reply) = (State::Deferred, Some(reply("451 4.3.0 Try again later")));
        it.outcome.upstream_queue_id = None;
        it.envelope.recipients[0].state = State::Deferred;
    });
    let between = |number: u64, clock: &str, event: LogEvent, to: Option<&str>| {
        line(number, clock, event, |log| {
            (log.host, log.queue_id, log.message_id) = (Some("mail.example.com".into()), Some("1D2E3F".into()), None);
            (log.reverse_path, log.recipient) = (Some("eve@elsewhere.example".into()), to.map(str::to_owned));
        })
    };
    let deferred = between(3, "10:02:13", LogEvent::Deferred, Some("trent@lists.example.com"));
    let over = between(4, "18:00:00", LogEvent::Expired, None);
    let path = one([comes_in(1, "10:02:11").record(), refused.record(), deferred, over], "round.1@elsewhere.example");
    assert_eq!(fate(&path, "trent@lists.example.com").state.0, PathState::Bounced, "{}", path.verdict);
    // What it put off before it got through is over.
    let deferred = between(3, "10:02:20", LogEvent::Deferred, Some("trent@lists.example.com"));
    let path = one([comes_in(1, "10:02:11").record(), goes_out(2, "10:30:00").record(), deferred], "round.1@elsewhere.example");
    assert_eq!(fate(&path, "trent@lists.example.com").state.0, PathState::Accepted, "{}", path.verdict);
    assert!(path.verdict.starts_with("Accepted by smtp.example.net as queue id 77AA88"), "{}", path.verdict);
}

#[test]
fn the_next_server_has_the_last_word_whatever_its_clock_says() {
    let path = one(
        [
            sent(1, "10:00:00", "4F1C21A0B7").record(),
            line(2, "10:00:05", LogEvent::Sent, |log| {
                sent_on(log);
                log.message_id = None;
            }),
            line(3, "09:58:00", LogEvent::Bounced, |log| {
                sent_on(log);
                (log.host, log.queue_id, log.next_queue_id) = (Some("mx.example.org".into()), Some("0B5D00C1".into()), None);
                (log.relay_host, log.message_id, log.reply) = (None, None, Some(reply("552 5.2.2 Mailbox full")));
            }),
        ],
        "once.more@mail.example.com",
    );
    assert_eq!(fate(&path, "bob@example.org").state.0, PathState::Bounced, "{}", path.verdict);
}

#[test]
fn a_list_fares_as_its_worst_member() {
    let member = |number: u64, clock: &str, to: &str, event: LogEvent, text: &str| {
        line(number, clock, event, |log| {
            (log.queue_id, log.message_id) = (Some("AAA111".into()), None);
            (log.recipient, log.original_recipient) = (Some(to.into()), Some("bob@example.org".into()));
            log.reply = Some(reply(text));
        })
    };
    let lines = [
        member(2, "10:01:00", "ann@inside.example", LogEvent::Bounced, "550 5.1.1 No such user"),
        member(3, "10:01:01", "ben@inside.example", LogEvent::Delivered, "250 2.0.0 Ok"),
    ];
    let path = one([sent(1, "10:00:00", "AAA111").record()].into_iter().chain(lines), "once.more@mail.example.com");
    let bob = fate(&path, "bob@example.org");
    assert_eq!((bob.state.0, bob.member.as_deref()), (PathState::Bounced, Some("ann@inside.example")), "{}", path.verdict);
    assert!(path.verdict.contains("(behind it: ann@inside.example)"), "{}", path.verdict);
}

#[test]
fn an_attempt_without_header_is_of_the_message_that_its_retry_was() {
    let tale = |number: u64, clock: &str| Tale::new(number, clock, "alice@example.com");
    let header = |tale: Tale, queue_id: &str| {
        tale.header("legs.1@mail.example.com", "Legs").end_of_data("250 2.0.0 Ok: queued as 1", Some(queue_id))
    };
    let records = [
        header(tale(1, "10:00:00").to("carol@example.net", "250 2.1.5 Ok"), "C1").record(),
        tale(2, "10:00:01").to("bob@example.org", "450 4.2.0 Greylisted").ends_at_rcpt().record(),
        header(tale(3, "10:10:00").to("bob@example.org", "250 2.1.5 Ok"), "B1").record(),
    ];
    let path = one(records, "legs.1@mail.example.com");
    let bob = fate(&path, "bob@example.org");
    assert_eq!((bob.state.0, bob.attempts), (PathState::Accepted, 2), "{}", path.verdict);
    let tie = path.relays().nth(1).unwrap().tie;
    assert_eq!((tie.joined_by, tie.confidence), (JoinedBy::Envelope, Confidence::Probable));
}

#[test]
fn a_line_goes_to_the_namesake_that_came_before_it() {
    let namesake = |number: u64, clock: &str, queue_id: &str, date: &str| {
        sent(number, clock, queue_id).with(|it| {
            (it.message.date, it.message.body_digest) = (Some(date.into()), None);
            it.message.client_queue_id = None;
        })
    };
    let known = line(3, "10:00:30", LogEvent::Bounced, |log| {
        (log.host, log.queue_id) = (Some("far.example.org".into()), None);
        (log.message_id, log.recipient) = (Some("once.more@mail.example.com".into()), Some("bob@example.org".into()));
    });
    let records = [
        namesake(1, "10:00:00", "AAA111", "Mon, 23 Nov 2026 10:00:00 +0000").record(),
        namesake(2, "11:00:00", "BBB222", "Mon, 23 Nov 2026 11:00:00 +0000").record(),
        known,
    ];
    let answer = ask(&Shelf { records: records.into(), running: true }, "once.more@mail.example.com");
    let states: Vec<_> = answer.messages.iter().map(|it| it.state.0).collect();
    assert_eq!(states, [PathState::Accepted, PathState::Bounced], "newest first");
}

/// Copies and doubts of others aren't Bob's, nor are those of an earlier passage.
#[test]
fn only_its_own_copies_make_a_duplicate() {
    let path = one([comes_in(1, "10:02:11").record(), goes_out(2, "10:02:12").record()], "round.1@elsewhere.example");
    assert!(!path.verdict.contains("duplicate"), "{}", path.verdict);
    let twice = [sent(1, "10:00:00", "AAA111").record(), sent(2, "10:10:00", "BBB222").record()];
    let path = one(twice, "once.more@mail.example.com");
    assert_eq!(fate(&path, "bob@example.org").copies, 2);
    assert!(path.verdict.contains("It was accepted 2 times"), "{}", path.verdict);
}

#[test]
fn a_server_that_seldom_sends_on_is_not_stuck() {
    let delivered = |number: u64| {
        comes_in(number, &format!("09:{number:02}:00")).with(|it| {
            it.message.message_id = Some(format!("mailbox.{number}@elsewhere.example"));
            it.outcome.upstream_queue_id = Some(format!("M{number}"));
        })
    };
    let forwarded = goes_out(62, "09:30:00").with(|it| {
        it.message.message_id = Some("another@elsewhere.example".into());
        it.message.client_queue_id = Some("000AAA".into());
    });
    let records = (1..10).map(|number| delivered(number).record()).chain([forwarded.record(), comes_in(60, "10:02:11").record()]);
    let path = one(records, "round.1@elsewhere.example");
    assert_eq!(path.state.0, PathState::Accepted, "{}", path.verdict);
}

/// Another server's log goes on; this one's ends with the message.
#[test]
fn a_log_that_ends_tells_nothing_of_what_came_after() {
    let taken = |host: &'static str| {
        line(2, "10:00:01", LogEvent::Received, move |log| {
            (log.queue_id, log.host) = (Some("AAA111".into()), Some(host.into()));
            log.message_id = None;
        })
    };
    let later = line(3, "10:50:00", LogEvent::Removed, |log| (log.queue_id, log.message_id) = (Some("ELSE".into()), None));
    let path = one([sent(1, "10:00:00", "AAA111").record(), taken("other.example.net"), later.clone()], "once.more@mail.example.com");
    assert_eq!(path.state.0, PathState::Accepted, "{}", path.verdict);
    let path = one([sent(1, "10:00:00", "AAA111").record(), taken("smtp.example.net"), later], "once.more@mail.example.com");
    assert_eq!(path.state.0, PathState::Stuck, "{}", path.verdict);
}

#[test]
fn an_attempt_in_doubt_is_part_of_what_to_do_next() {
    let header = |tale: Tale| tale.header("doubt.1@mail.example.com", "Twice?");
    let doubt = header(Tale::new(1, "10:00:00", "alice@example.com").to("bob@example.org", "250 2.1.5 Ok"));
    let doubt = doubt.breaks(State::Unknown, Stage::EndOfData, Actor::Upstream, "the smart host closed the connection").record();
    let refused = header(Tale::new(2, "10:10:00", "alice@example.com").to("bob@example.org", "250 2.1.5 Ok"));
    let refused = refused.end_of_data("550 5.7.1 no way", None).record();
    let path = one([doubt, refused], "bob@example.org");
    assert!(path.verdict.contains("An earlier attempt, "), "{}", path.verdict);
    let step = "Before it is sent again, ask the admin of smtp.example.net whether it has the message from the attempt in doubt";
    assert!(path.next.iter().any(|it| it.starts_with(step)), "{:?}", path.next);
}

/// Of what was cut off only the beginning is known.
#[test]
fn what_is_not_known_took_no_time() {
    let cut = Tale::new(1, "10:00:00", "alice@example.com").to("bob@example.org", "250 2.1.5 Ok");
    let cut = cut.breaks(State::Unknown, Stage::EndOfData, Actor::Proxy, "relayscope ended").with(|it| {
        (it.duration_us, it.message.size) = (0, 0);
    });
    let answer = ask(&Shelf { records: vec![cut.record()], running: true }, "bob@example.org");
    let said = relayscope::cli::locate::render(&answer, false, &look(None)).as_str().to_owned();
    assert!(said.contains("TOOK") && !said.contains("0 µs") && !said.contains("0 octets"), "{said}");
}

/// A report has both of the message that it speaks of: Message-ID and subject.
#[test]
fn a_report_on_what_was_never_seen_is_found_by_words_too() {
    let brought = report(40, "10:04:00", |it| {
        it.original_message_id = Some("q3.report.77@corp.example".into());
        it.original_subject = Some("Quarterly numbers".into());
        it.recipients.push(failed("erin@example.net"));
    });
    let shelf = Shelf { records: vec![brought.record()], running: true };
    for (question, expected) in [
        ("<q3.report.77@corp.example>", 1),
        ("q3.report.77", 1),
        ("message-id:q3.report", 1),
        ("'Quarterly numbers'", 1),
        ("numbers quarterly", 1),
        ("subject:quarterly", 1),
        ("q3.report.78", 0),
        ("Quarterly losses", 0),
    ] {
        let seen = ask(&shelf, question.trim_matches('\'')).never_seen.unwrap();
        assert_eq!(seen.reports.len(), expected, "{question}: {}", seen.verdict);
        assert_eq!(
            seen.verdict.contains("A report that passed 2026-11-23 10:04:00 UTC speaks of it"),
            expected == 1,
            "{question}: {}",
            seen.verdict
        );
    }
}
