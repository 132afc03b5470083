//! `where` over whole logs of servers, as they write them: whose lines are one message's, and what became of each recipient.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

mod stories;

use jiff::tz::TimeZone;
use relayscope::import::{Format, Options, Reader};
use relayscope::path::answer::{Confidence, JoinedBy, MessagePath, PathState, Side};
use relayscope::trace::Record;
use stories::golden::ask;
use stories::{Shelf, Tale, at};

/// What is read of a log; `10:02:03 smtp[1]: …` stands for a line of Postfix's.
fn postfix(lines: &[&str]) -> Vec<Record> {
    let whole = |line: &&str| {
        let (time, rest) = line.split_once(' ').unwrap();
        format!("2026-11-23T{time}.000000+00:00 smtp.example.net postfix/{rest}\n")
    };
    read(Format::Postfix, &lines.iter().map(whole).collect::<String>())
}

fn exim(lines: &[&str]) -> Vec<Record> {
    read(Format::Exim, &lines.iter().map(|line| format!("2026-11-23 {line}\n")).collect::<String>())
}

fn read(format: Format, text: &str) -> Vec<Record> {
    let mut reader = Reader::new(Options { until: at("23:59:59"), ..Options::new(format, TimeZone::UTC) });
    let mut entries = Vec::new();
    reader.feed(text.as_bytes(), &mut entries);
    reader.finish(&mut entries);
    assert_eq!(reader.take_unreadable(), [], "{text}");
    entries.into_iter().map(|entry| entry.into_record(format)).collect()
}

/// Taken in from Alice: queue id and Message-ID.
fn taken(time: &str, id: &str, message_id: &str) -> [String; 3] {
    [
        format!("{time} smtpd[1]: {id}: client=mail.example.com[192.0.2.10]"),
        format!("{time} cleanup[1]: {id}: message-id=<{message_id}>"),
        format!("{time} qmgr[1]: {id}: from=<alice@example.com>, size=1234, nrcpt=1 (queue active)"),
    ]
}

fn went(time: &str, id: &str, to: &str, status: &str) -> String {
    format!("{time} smtp[1]: {id}: to=<{to}>, relay=mx.example.org[203.0.113.5]:25, delay=1, delays=0/0/0/1, dsn=0.0.0, status={status}")
}

fn log(lines: impl IntoIterator<Item = String>) -> Vec<Record> {
    let lines: Vec<String> = lines.into_iter().collect();
    postfix(&lines.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn one(records: Vec<Record>, question: &str) -> MessagePath {
    let answer = ask(&Shelf { records, running: true }, question);
    assert_eq!(answer.messages.len(), 1, "{question}: {:#?}", answer.messages.iter().map(|it| &it.verdict).collect::<Vec<_>>());
    answer.messages.into_iter().next().unwrap()
}

/// `bob@example.org bounced, …`.
fn fates(path: &MessagePath) -> String {
    let mut fates: Vec<String> = path.recipients.iter().map(|fate| format!("{} {}", fate.address, fate.state.0)).collect();
    fates.sort();
    fates.join(", ")
}

/// The same over all messages of that Message-ID.
fn fates_of_all(records: Vec<Record>) -> Vec<String> {
    let answer = ask(&Shelf { records, running: true }, "<1@example.com>");
    let fates = answer.messages.iter().flat_map(|path| &path.recipients).map(|it| format!("{} {}", it.address, it.state.0));
    let mut fates: Vec<String> = fates.collect();
    fates.sort();
    fates
}

const QUEUED: &str = "sent (250 2.0.0 Ok: queued as 0B5D00C1)";
const UNKNOWN: &str = "bounced (host mx.example.org[203.0.113.5] said: 550 5.1.1 User unknown (in reply to RCPT TO command))";
const REFUSED: &str = "deferred (connect to mx.example.org[203.0.113.5]:25: Connection refused)";

#[test]
fn a_report_to_the_sender_is_a_message_of_its_own() {
    for what in ["sender non-delivery notification", "sender delay notification"] {
        let mut lines: Vec<String> = taken("10:02:03", "A1B2C3D4E5", "1@example.com").into();
        lines.extend([
            went("10:02:04", "A1B2C3D4E5", "bob@example.org", UNKNOWN),
            format!("10:02:04 bounce[1]: A1B2C3D4E5: {what}: D4E5F6A7B8"),
            "10:02:04 cleanup[1]: D4E5F6A7B8: message-id=<2@smtp.example.net>".to_owned(),
            "10:02:04 qmgr[1]: D4E5F6A7B8: from=<>, size=3456, nrcpt=1 (queue active)".to_owned(),
            "10:02:04 qmgr[1]: A1B2C3D4E5: removed".to_owned(),
            "10:02:05 local[1]: D4E5F6A7B8: to=<alice@example.com>, relay=local, delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, status=sent \
             (delivered to mailbox)"
                .to_owned(),
            "10:02:05 qmgr[1]: D4E5F6A7B8: removed".to_owned(),
        ]);
        let path = one(log(lines), "<1@example.com>");
        assert_eq!(fates(&path), "bob@example.org bounced", "{what}: {}", path.verdict);
    }
    let path = one(
        exim(&[
            "10:02:03 1r5abc-0003Xy-2B <= alice@example.com H=mail.example.com [192.0.2.10] P=esmtp S=1234 id=1@example.com",
            "10:02:04 1r5abc-0003Xy-2B ** bob@example.org R=dnslookup T=remote_smtp H=mx.example.org [203.0.113.5]: SMTP error from remote mail server after RCPT TO:<bob@example.org>: 550 5.1.1 User unknown",
            "10:02:04 1r5abd-0003Xz-3C <= <> R=1r5abc-0003Xy-2B U=Debian-exim P=local S=900",
            "10:02:05 1r5abd-0003Xz-3C => alice <alice@example.com> R=local_user T=maildir",
            "10:02:05 1r5abd-0003Xz-3C Completed",
            "10:02:05 1r5abc-0003Xy-2B Completed",
        ]),
        "<1@example.com>",
    );
    assert_eq!(fates(&path), "bob@example.org bounced", "{}", path.verdict);
}

#[test]
fn a_refusal_for_now_is_no_final_one() {
    let records = || {
        postfix(&[
            "10:02:03 smtpd[1]: NOQUEUE: reject: RCPT from mail.example.com[192.0.2.10]: 450 4.2.0 <bob@example.org>: Recipient address \
             rejected: Greylisted; from=<alice@example.com> to=<bob@example.org> proto=ESMTP helo=<mail.example.com>",
        ])
    };
    let path = one(records(), "to:bob@example.org");
    assert_eq!(path.state.0, PathState::Deferred);
    assert!(path.verdict.starts_with("Put off by smtp.example.net, 2026-11-23 10:02:03"), "{}", path.verdict);
    assert!(path.next.iter().any(|step| step.contains("its sender is to try again")), "{:?}", path.next);
    assert_eq!(one(records(), "state:deferred").state.0, PathState::Deferred);
}

#[test]
fn a_queue_id_that_is_used_again_is_another_messages() {
    let mut lines: Vec<String> = taken("10:02:03", "4F1A2B3C4D", "1@example.com").into();
    lines.push(went("10:02:04", "4F1A2B3C4D", "bob@example.org", QUEUED));
    lines.push("10:02:04 qmgr[1]: 4F1A2B3C4D: removed".to_owned());
    lines.extend(taken("10:30:03", "4F1A2B3C4D", "2@example.com"));
    lines.push(went("10:30:04", "4F1A2B3C4D", "bob@example.org", REFUSED));
    assert_eq!(fates(&one(log(lines.clone()), "<1@example.com>")), "bob@example.org accepted");
    assert_eq!(fates(&one(log(lines.clone()), "<2@example.com>")), "bob@example.org deferred");
    // Nobody logs a Message-ID: it came in once the first had gone.
    lines.retain(|line| !line.contains("message-id="));
    let answer = ask(&Shelf { records: log(lines), running: true }, "4F1A2B3C4D");
    assert_eq!(answer.messages.iter().map(fates).collect::<Vec<_>>(), ["bob@example.org deferred", "bob@example.org accepted"]);
}

/// A message for two, of which one has it.
fn half_way() -> Vec<String> {
    let mut lines: Vec<String> = taken("10:02:03", "A1B2C3D4E5", "1@example.com").into();
    lines.push(went("10:02:04", "A1B2C3D4E5", "bob@example.org", QUEUED));
    lines.push(went("10:02:04", "A1B2C3D4E5", "carol@example.org", REFUSED));
    lines
}

#[test]
fn what_the_administrator_deletes_or_holds_waits_no_longer() {
    let with = |more: &[&str]| {
        let mut lines = half_way();
        lines.extend(more.iter().map(|it| (*it).to_owned()));
        one(log(lines), "<1@example.com>")
    };
    assert_eq!(fates(&with(&[])), "bob@example.org accepted, carol@example.org deferred");
    let path = with(&["10:20:00 postsuper[1]: A1B2C3D4E5: removed"]);
    assert_eq!(fates(&path), "bob@example.org accepted, carol@example.org discarded");
    assert!(path.verdict.starts_with("Thrown away by smtp.example.net, "), "{}", path.verdict);
    assert!(path.verdict.contains("(deleted from the queue by postsuper), says its log: nobody will deliver it"), "{}", path.verdict);
    let path = with(&["10:20:00 postsuper[1]: A1B2C3D4E5: placed on hold"]);
    assert_eq!(fates(&path), "bob@example.org accepted, carol@example.org stuck");
    let path = with(&["10:20:00 postsuper[1]: A1B2C3D4E5: placed on hold", "10:21:00 postsuper[1]: A1B2C3D4E5: released from hold"]);
    assert_eq!(fates(&path), "bob@example.org accepted, carol@example.org deferred");
    // Held, then deleted.
    let path = with(&["10:20:00 postsuper[1]: A1B2C3D4E5: placed on hold", "10:21:00 postsuper[1]: A1B2C3D4E5: removed"]);
    assert!(path.verdict.contains("deleted from the queue"), "{}", path.verdict);
    let frozen = [
        "10:02:03 1r5abc-0003Xy-2B <= alice@example.com H=mail.example.com [192.0.2.10] P=esmtp S=1234 id=1@example.com",
        "10:02:04 1r5abc-0003Xy-2B == bob@example.org routing defer (-51): retry time not reached",
        "10:20:00 1r5abc-0003Xy-2B Frozen",
        "10:21:00 1r5abc-0003Xy-2B Unfrozen by forced delivery",
        "10:22:00 1r5abc-0003Xy-2B removed by root",
        "10:22:00 1r5abc-0003Xy-2B Completed",
    ];
    for (lines, expected) in [(3, "stuck"), (4, "deferred"), (6, "discarded")] {
        let path = one(exim(&frozen[..lines]), "<1@example.com>");
        assert_eq!(fates(&path), format!("bob@example.org {expected}"), "{lines}: {}", path.verdict);
    }
}

/// smtpd and cleanup name the recipient that came last; all of the message is meant.
#[test]
fn what_is_thrown_away_before_the_queue_is_so_for_all() {
    let tale = |number, clock: &str, to: &[&str], id: &str| {
        let tale = to.iter().fold(Tale::new(number, clock, "alice@example.com"), |tale, to| tale.to(to, "250 2.1.5 Ok"));
        let ok = format!("250 2.0.0 Ok: queued as {id}");
        tale.header("1@example.com", "Prize").end_of_data(&ok, Some(id)).record()
    };
    let discard = |id: &str| {
        format!(
            "10:02:03 cleanup[1]: {id}: milter-discard: END-OF-MESSAGE from mail.example.com[192.0.2.10]: milter triggers DISCARD action; \
             from=<alice@example.com> to=<carol@example.org> proto=ESMTP helo=<mail.example.com>"
        )
    };
    let mut records = log([discard("A1B2C3D4E5")]);
    records.push(tale(70, "10:02:02", &["bob@example.org", "carol@example.org"], "A1B2C3D4E5"));
    let path = one(records, "<1@example.com>");
    assert_eq!(fates(&path), "bob@example.org discarded, carol@example.org discarded", "{}", path.verdict);
    assert!(path.verdict.starts_with("Thrown away by smtp.example.net"), "{}", path.verdict);
    // Another was refused within the same transaction.
    let refused = "10:02:02 smtpd[1]: A1B2C3D4E5: reject: RCPT from mail.example.com[192.0.2.10]: 550 5.1.1 <eve@example.org>: Recipient \
                   address rejected: User unknown; from=<alice@example.com> to=<eve@example.org> proto=ESMTP helo=<mail.example.com>";
    let mut records = log([refused.to_owned(), discard("A1B2C3D4E5")]);
    records.push(tale(70, "10:02:02", &["carol@example.org"], "A1B2C3D4E5"));
    assert_eq!(fates(&one(records, "<1@example.com>")), "carol@example.org discarded");
    // Behind the smart host, the entry of one of two ways.
    let mut records = log([
        went("10:02:04", "A1B2C3D4E5", "carol@example.org", "sent (250 2.0.0 Ok: queued as C1B2C3D4E5)"),
        discard("C1B2C3D4E5").replace("10:02:03", "10:02:05"),
    ]);
    records.push(tale(70, "10:02:02", &["carol@example.org"], "A1B2C3D4E5"));
    records.push(tale(71, "10:02:02", &["bob@example.org"], "B1B2C3D4E5"));
    assert_eq!(fates_of_all(records), ["bob@example.org accepted", "carol@example.org discarded"]);
    // Each recipient went to the smart host by itself: only one of the two was thrown away there.
    let mut records = log([discard("A1B2C3D4E5")]);
    records.push(tale(70, "10:02:02", &["carol@example.org"], "A1B2C3D4E5"));
    records.push(tale(71, "10:02:02", &["bob@example.org"], "B1B2C3D4E5"));
    assert_eq!(fates_of_all(records), ["bob@example.org accepted", "carol@example.org discarded"]);
}

#[test]
fn what_was_given_up_tells_why_it_had_to_wait() {
    let mut lines = half_way();
    lines.push("10:50:00 qmgr[1]: A1B2C3D4E5: from=<alice@example.com>, status=expired, returned to sender".to_owned());
    let path = one(log(lines), "<1@example.com>");
    assert_eq!(fates(&path), "bob@example.org accepted, carol@example.org bounced");
    assert!(path.verdict.contains("given up and given back 2026-11-23 10:50:00"), "{}", path.verdict);
    assert!(path.verdict.contains("connect to mx.example.org[203.0.113.5]:25: Connection refused"), "{}", path.verdict);
}

#[test]
fn tries_that_only_a_log_tells_are_counted() {
    let mut lines: Vec<String> = taken("10:02:03", "A1B2C3D4E5", "1@example.com").into();
    lines.extend([
        went("10:02:04", "A1B2C3D4E5", "bob@example.org", REFUSED),
        went("10:02:05", "A1B2C3D4E5", "carol@example.org", QUEUED),
        went("10:12:04", "A1B2C3D4E5", "bob@example.org", UNKNOWN),
    ]);
    let path = one(log(lines), "<1@example.com>");
    let mut tries: Vec<(&str, u32)> = path.recipients.iter().map(|fate| (fate.address.as_str(), fate.attempts)).collect();
    tries.sort_unstable();
    assert_eq!(tries, [("bob@example.org", 2), ("carol@example.org", 1)], "{}", path.verdict);
}

/// Who refuses a stranger has nothing to mend.
#[test]
fn a_refusal_to_relay_for_a_stranger_is_nobodys_business() {
    let mut records = postfix(&[
        "10:02:03 smtpd[1]: NOQUEUE: reject: RCPT from unknown[203.0.113.9]: 554 5.7.1 <who@other.example>: Relay access denied; \
         from=<spam@bad.example> to=<who@other.example> proto=ESMTP helo=<bad>",
    ]);
    records.iter_mut().for_each(|record| relayscope::trace::diagnosis::diagnose(record, relayscope::diagnose::Rules::builtin()));
    let path = one(records, "to:who@other.example");
    let step = &path.next[0];
    assert!(step.starts_with("Nobody need do anything (relaying denied): That server refused a client"), "{step}");
    assert_eq!(path.recipients[0].attempts, 1);
}

/// Postfix's discard(8) takes what a transport map sends it, and that is all.
#[test]
fn what_is_discarded_is_gone_and_not_held() {
    let lines = |id: &str, message_id: &str, to: &str, daemon: &str, relay: &str, status: &str| {
        let mut lines: Vec<String> = taken("10:02:03", id, message_id).into();
        lines.push(format!(
            "10:02:04 {daemon}[1]: {id}: to=<{to}>, relay={relay}, delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, status=sent ({status})"
        ));
        lines.push(format!("10:02:04 qmgr[1]: {id}: removed"));
        lines
    };
    let mut all = lines("A1B2C3D4E5", "1@example.com", "carol@ok.example", "discard", "none", "ok.example");
    all.push("10:05:00 cleanup[1]: B1B2C3D4E5: message-id=<2@example.com>".to_owned());
    all.push("10:05:00 qmgr[1]: B1B2C3D4E5: from=<alice@example.com>, size=1234, nrcpt=1 (queue active)".to_owned());
    all.push("10:05:01 postsuper[1]: B1B2C3D4E5: placed on hold".to_owned());
    let path = one(log(all.clone()), "<1@example.com>");
    assert_eq!(fates(&path), "carol@ok.example discarded", "{}", path.verdict);
    assert!(
        path.verdict.starts_with("Thrown away by smtp.example.net, 2026-11-23 10:02:04 UTC (ok.example), says its log"),
        "{}",
        path.verdict
    );
    assert!(path.verdict.contains("nobody will deliver it") && !path.verdict.contains("Held"), "{}", path.verdict);
    let step = "See which setting of smtp.example.net throws it away".to_lowercase();
    assert!(path.next.iter().any(|it| it.to_lowercase().contains(&step)), "{:?}", path.next);
    let found = |question: &str| -> Vec<Option<String>> {
        ask(&Shelf { records: log(all.clone()), running: true }, question).messages.into_iter().map(|it| it.message_id).collect()
    };
    assert_eq!(found("state:discarded"), [Some("1@example.com".to_owned())]);
    assert!(!found("state:stuck").contains(&Some("1@example.com".to_owned())), "{:?}", found("state:stuck"));
}

const NO_MAILBOX: &str = "550 5.1.1 <bob@example.org>: Recipient address rejected: User unknown";

/// An attempt that ended at RCPT: no Message-ID, no queue id.
fn refused(number: u64, clock: &str, to: &str, text: &str) -> Tale {
    Tale::new(number, clock, "alice@example.com").to(to, text).ends_at_rcpt()
}

/// What the Postfix in front, whose smart host Relayscope is, writes of a message.
fn front(id: &str, message_id: &str, time: &str, to: &str, status: &str) -> Vec<String> {
    let mut lines: Vec<String> = taken("10:02:03", id, message_id).into();
    lines.push(format!(
        "{time} smtp[1]: {id}: to=<{to}>, relay=127.0.0.1[127.0.0.1]:2525, delay=1, delays=0/0/0/1, dsn=0.0.0, status={status}"
    ));
    lines
}

fn bounced(text: &str) -> String {
    format!("bounced (host 127.0.0.1[127.0.0.1] said: {text} (in reply to RCPT TO command))")
}

#[test]
fn a_refusal_and_the_log_in_front_are_one_message() {
    let mut lines = front("A1B2C3D4E5", "1@example.com", "10:02:04", "bob@example.org", &bounced(NO_MAILBOX));
    lines.push("10:02:04 bounce[1]: A1B2C3D4E5: sender non-delivery notification: D4E5F6A7B8".to_owned());
    lines.push("10:02:04 qmgr[1]: A1B2C3D4E5: removed".to_owned());
    let mut records = log(lines);
    // As the smart host's own log has it.
    records.extend(postfix(&["10:02:03 smtpd[1]: NOQUEUE: reject: RCPT from relay1[192.0.2.1]: 550 5.1.1 <bob@example.org>: Recipient \
                              address rejected: User unknown; from=<alice@example.com> to=<bob@example.org> proto=ESMTP helo=<mail>"]));
    let refusal = refused(60, "10:02:03.900", "bob@example.org", NO_MAILBOX);
    let id = refusal.transaction.id;
    records.push(refusal.record());
    // By any of its names.
    for question in ["to:bob@example.org", "<1@example.com>", "A1B2C3D4E5", &format!("id:{id}")] {
        let path = one(records.clone(), question);
        assert_eq!((path.relays().count(), path.message_id.as_deref()), (1, Some("1@example.com")), "{question}");
        let tying = path.logs().find(|line| line.relay_host.is_some()).unwrap();
        assert_eq!((tying.tie.joined_by, tying.tie.confidence), (JoinedBy::Reply, Confidence::Probable), "{question}");
        assert!(path.logs().all(|line| line.tie.confidence == Confidence::Probable), "no surer than what ties them");
        assert_eq!(path.logs().filter(|line| line.side == Some(Side::After)).count(), 1, "{question}");
        // The line of the log has no dialogue.
        assert!(path.next.contains(&format!("The whole dialogue: relayscope show {id}")), "{:?}", path.next);
    }
}

#[test]
fn what_the_administrator_in_front_deletes_does_not_come_again() {
    const FULL: &str = "452 4.2.2 <bob@example.org>: Mailbox full";
    let status = format!("deferred (host 127.0.0.1[127.0.0.1] said: {FULL} (in reply to RCPT TO command))");
    let mut lines = front("A1B2C3D4E5", "1@example.com", "10:02:04", "bob@example.org", &status);
    let with = |lines: &[String]| {
        let mut records = log(lines.to_vec());
        records.push(refused(60, "10:02:03.900", "bob@example.org", FULL).record());
        fates(&one(records, "<1@example.com>"))
    };
    assert_eq!(with(&lines), "bob@example.org deferred");
    lines.push("10:20:00 postsuper[1]: A1B2C3D4E5: removed".to_owned());
    assert_eq!(with(&lines), "bob@example.org discarded");
}

#[test]
fn a_line_that_quotes_the_trace_id_is_certainly_of_that_attempt() {
    let text = |id: &str| format!("451 4.7.1 relayscope: sending limit: 500 an hour (trace {id})");
    let attempt = |number, clock: &str| {
        let mut tale = Tale::new(number, clock, "alice@example.com");
        let text = text(&tale.transaction.id.to_string());
        tale = tale.to("bob@example.org", &text).ends_at_rcpt();
        tale
    };
    // Another message to the same recipient came at the same time, and its line is lost.
    let (other, ours) = (attempt(60, "10:02:03.100"), attempt(61, "10:02:03.800"));
    let ours_id = ours.transaction.id;
    let status = format!("deferred (host 127.0.0.1[127.0.0.1] said: {} (in reply to RCPT TO command))", text(&ours_id.to_string()));
    let mut records = log(front("A1B2C3D4E5", "1@example.com", "10:02:03", "bob@example.org", &status));
    let other = other.with(|it| it.envelope.reverse_path = "eve@example.com".to_owned());
    records.extend([other.record(), ours.record()]);
    let path = one(records, "<1@example.com>");
    assert_eq!(path.relays().map(|hop| hop.id.0).collect::<Vec<_>>(), [ours_id]);
    let tying = path.logs().find(|line| line.relay_host.is_some()).unwrap();
    assert_eq!((tying.tie.joined_by, tying.tie.confidence), (JoinedBy::TraceId, Confidence::Proof));
}

#[test]
fn refusals_at_the_same_time_each_have_their_own_line() {
    let mut lines = front("A1B2C3D4E5", "1@example.com", "10:02:04", "bob@example.org", &bounced(NO_MAILBOX));
    lines.extend(front("B1B2C3D4E5", "2@example.com", "10:02:07", "bob@example.org", &bounced(NO_MAILBOX)));
    let mut records = log(lines);
    let (first, second) =
        (refused(60, "10:02:03.950", "bob@example.org", NO_MAILBOX), refused(61, "10:02:06.950", "bob@example.org", NO_MAILBOX));
    let ids = [first.transaction.id, second.transaction.id];
    records.extend([first.record(), second.record()]);
    for (message_id, id) in ["<1@example.com>", "<2@example.com>"].into_iter().zip(ids) {
        let path = one(records.clone(), message_id);
        assert_eq!(path.relays().map(|hop| hop.id.0).collect::<Vec<_>>(), [id], "{message_id}");
    }
    // With one attempt only, the nearer line has it, and the other is left alone.
    records.retain(|record| record.id() != ids[1]);
    assert_eq!(one(records.clone(), "<1@example.com>").relays().count(), 1);
    assert_eq!(one(records, "<2@example.com>").relays().count(), 0);
}

#[test]
fn a_line_on_something_else_is_not_taken_for_the_refusals() {
    let joined = |time: &str, to: &str, text: &str, relay: &str, from: &str| {
        let lines = front("A1B2C3D4E5", "1@example.com", time, to, &bounced(text));
        let lines = lines.into_iter().map(|line| line.replace("127.0.0.1[127.0.0.1]:2525", relay).replace("alice@example.com", from));
        let mut records = log(lines);
        records.push(refused(60, "10:02:03.900", "bob@example.org", NO_MAILBOX).record());
        one(records, "<1@example.com>").relays().count() == 1
    };
    const PROXY: &str = "127.0.0.1[127.0.0.1]:2525";
    assert!(joined("10:02:04", "Bob@example.org", NO_MAILBOX, PROXY, "alice@example.com"));
    assert!(!joined("10:02:34", "bob@example.org", NO_MAILBOX, PROXY, "alice@example.com"), "half a minute later");
    assert!(!joined("10:02:04", "eve@example.org", NO_MAILBOX, PROXY, "alice@example.com"), "another recipient");
    assert!(!joined("10:02:04", "bob@example.org", "552 5.2.2 Mailbox full", PROXY, "alice@example.com"), "another reply");
    assert!(!joined("10:02:04", "bob@example.org", NO_MAILBOX, PROXY, "eve@example.com"), "another sender");
    assert!(
        !joined("10:02:04", "bob@example.org", NO_MAILBOX, "smtp.example.net[198.51.100.25]:587", "alice@example.com"),
        "straight to the smart host"
    );
}

#[test]
fn where_nothing_passed_here_the_line_is_no_dialogue() {
    let path = one(log(half_way()), "<1@example.com>");
    assert!(path.next.iter().any(|step| step.starts_with("The line of the log: relayscope show ")), "{:?}", path.next);
    assert!(!path.next.iter().any(|step| step.contains("dialogue")), "{:?}", path.next);
}
