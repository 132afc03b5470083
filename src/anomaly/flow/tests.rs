//! Circles, harvests, waves of bounces, duplicates, unknown addresses and full mailboxes.

use super::*;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::samples::{MONDAY, Sample, id, mail};
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{MINUTE, SECOND};
use crate::diagnose::Cause;
use crate::smtp::Stage;
use crate::trace::{AboutKind, Amendment, Anomaly, Digest, Flag, Record, Severity, State, WallMicros};

/// Lets a detector see records; what it raises at last.
fn raised(detector: &mut dyn Detector, records: impl IntoIterator<Item = Record>) -> Vec<Finding> {
    let mut last = 0;
    for record in records {
        let seen = Seen::of(&record);
        last = seen.at;
        detector.observe(&seen);
    }
    judged(detector, last + 10 * SECOND).raised
}

fn judged(detector: &mut dyn Detector, now: WallMicros) -> Findings {
    let mut findings = Findings::default();
    detector.judge(now, &mut findings);
    findings
}

/// So many, a minute apart.
fn many(count: u64, change: impl Fn(u64, Sample) -> Sample) -> Vec<Record> {
    (0..count).map(|no| change(no, mail(MONDAY + no * MINUTE, no)).record()).collect()
}

#[track_caller]
fn only(found: Vec<Finding>) -> Finding {
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    finding.clone()
}

#[test]
fn a_message_that_comes_back_with_more_lines_goes_round() {
    let mut looping = looping::Looping::new(Options::default());
    let again = |count: u64, step: u64| {
        many(count, move |no, it| {
            it.with(|it| {
                it.message.message_id = Some("round@our.example".to_owned());
                it.message.received_count = 1 + (no * step) as u32;
            })
        })
    };
    // An application that uses one id for all its mail.
    assert_eq!(raised(&mut looping, again(50, 0)), []);
    let finding = only(raised(&mut looping, again(6, 3)));
    assert_eq!((finding.anomaly, finding.cause, finding.about[0].value.as_str()), (Anomaly::MailLoop, Some(Cause::MailLoop), "x.example"));
    assert!(finding.summary.starts_with("mail to x.example goes round in a circle (for example round@our.example)"), "{}", finding.summary);
}

#[test]
fn a_server_that_counts_too_many_hops_is_believed() {
    let mut looping = looping::Looping::new(Options::default());
    let finding = only(raised(&mut looping, many(1, |_, it| it.refused(Stage::EndOfData, 554, "5.4.6 Too many hops", Cause::MailLoop))));
    assert!(finding.arithmetic.contains("the server says: 5.4.6 Too many hops"), "{}", finding.arithmetic);
    let mut looping = looping::Looping::new(Options::default());
    assert_eq!(raised(&mut looping, many(1, |_, it| it.with(|it| it.message.received_count = 26))).len(), 1);
}

#[test]
fn who_names_many_unknown_recipients_collects_addresses() {
    let unknown = |it: Sample, no: u64| {
        let address = format!("a{no}@our.example");
        it.inbound().client("203.0.113.9").to(&[&address]).refused(Stage::RcptTo, 550, "5.1.1 unknown", Cause::RecipientUnknown)
    };
    let mut harvest = harvest::Harvest::new(Options::default());
    let finding = only(raised(&mut harvest, many(25, |no, it| unknown(it, no))));
    assert_eq!((finding.anomaly, finding.about[0].value.as_str()), (Anomaly::DirectoryHarvest, "203.0.113.9"));
    assert_eq!(finding.summary, "203.0.113.9 tries addresses: 25 unknown recipients since 00:00 UTC");
    // The same address again and again is a list's dead subscriber; a few among many good ones are nothing.
    let mut harvest = harvest::Harvest::new(Options::default());
    assert_eq!(raised(&mut harvest, many(50, |_, it| unknown(it, 1))), []);
    let mut harvest = harvest::Harvest::new(Options::default());
    assert_eq!(raised(&mut harvest, many(59, |no, it| if no % 3 == 0 { unknown(it, no) } else { it.inbound().client("203.0.113.9") })), []);
}

#[test]
fn bounces_to_a_forged_address_are_told_from_those_to_a_sender() {
    let bounce = |it: Sample| it.inbound().from("").to(&["ann@our.example"]).flag(Flag::Report);
    let wave = |with_sender: bool| {
        let mut records: Vec<Record> = Vec::new();
        if with_sender {
            records.push(mail(MONDAY, 9_999).from("ann@our.example").record());
        }
        records.extend((0..60).map(|no| bounce(mail(MONDAY + no * 30 * SECOND, no)).record()));
        only(raised(&mut bounces::Bounces::new(Options::default()), records))
    };
    let forged = wave(false);
    assert_eq!((forged.anomaly, forged.severity), (Anomaly::BounceWave, Severity::Warning));
    assert!(forged.summary.contains("its name is forged (backscatter)"), "{}", forged.summary);
    assert!(wave(true).summary.contains("it sent mail itself lately"));
}

#[test]
fn a_steady_wave_does_not_excuse_itself() {
    let mut bounces = bounces::Bounces::new(Options::default());
    let bounce = |at, no| mail(at, no).inbound().from("").to(&["ann@our.example"]).flag(Flag::Report).record();
    // Two weeks in which a few come each day: what is usual is known.
    for day in 0..14 {
        let found = raised(&mut bounces, (0..6).map(|no| bounce(MONDAY + day * DAY + 10 * HOUR + no * MINUTE, no)));
        assert_eq!(found, []);
    }
    let begun = MONDAY + 14 * DAY + 10 * HOUR;
    for hour in 0..8 {
        let found = raised(&mut bounces, (0..90).map(|no| bounce(begun + hour * HOUR + no * 40 * SECOND, no)));
        assert_eq!(only(found).anomaly, Anomaly::BounceWave, "hour {hour}");
        let mut next = bounces::Bounces::new(Options::default());
        assert!(next.restore(&bounces.keep()));
        bounces = next;
    }
}

#[test]
fn a_newsletter_that_bounces_every_night_is_no_wave() {
    let mut bounces = bounces::Bounces::new(Options::default());
    for day in 0..14 {
        let at = MONDAY + day * DAY + 2 * HOUR;
        let records = (0..80).map(|no| mail(at + no * 20 * SECOND, no).inbound().from("").to(&["news@our.example"]).record());
        let found = raised(&mut bounces, records);
        assert_eq!(found.len(), usize::from(day < 1), "day {day}: {found:?}");
        judged(&mut bounces, at + 3 * HOUR);
    }
}

#[test]
fn what_is_taken_again_after_doubt_is_doubled() {
    let digest = |it: Sample| it.with(|it| it.message.body_digest = Some(Digest([7; 32])));
    let lost = |at| digest(mail(at, 1)).with(|it| it.outcome.state = State::Unknown).record();
    let again = digest(mail(MONDAY + 5 * MINUTE, 2)).record();
    let mut doubled = doubled::Doubled::default();
    let finding = only(raised(&mut doubled, [lost(MONDAY), again.clone()]));
    assert_eq!((finding.anomaly, finding.severity, finding.samples.len()), (Anomaly::Duplicates, Severity::Notice, 2));
    assert!(finding.arithmetic.ends_with("the latest to x.example, 5 min later"), "{}", finding.arithmetic);
    // Once more is no news of that pair.
    assert_eq!(raised(&mut doubled, [again.clone()]).len(), 1);
    assert_eq!(judged(&mut doubled, MONDAY + 3 * HOUR).raised, []);
    // The late reply was a refusal: nobody has it twice.
    let late = Amendment {
        id: id(MONDAY, 3),
        of: lost(MONDAY).id(),
        at: MONDAY + MINUTE,
        outcome: mail(MONDAY, 1).refused(Stage::EndOfData, 451, "4.3.0 try again", Cause::RemoteSystemError).0.outcome,
        flags: Vec::new(),
        recipients: Vec::new(),
        reported: Vec::new(),
    };
    let mut doubled = doubled::Doubled::default();
    assert_eq!(raised(&mut doubled, [lost(MONDAY), Record::Amendment(Box::new(late)), again]), []);
}

#[test]
fn an_address_that_never_was_is_told_with_the_one_that_is_meant() {
    let mut unknown = unknown::Unknown::new(Options::default());
    let wrong = |_: u64, it: Sample| it.to(&["bbo@x.example"]).refused(Stage::RcptTo, 550, "5.1.1 no such user", Cause::RecipientUnknown);
    assert_eq!(raised(&mut unknown, many(3, |_, it| it.to(&["bob@x.example"]))), []);
    assert_eq!(raised(&mut unknown, many(3, wrong)), []);
    let again = wrong(0, mail(MONDAY + 4 * MINUTE, 2)).record();
    assert_eq!(raised(&mut unknown, [again]), [], "the same message once more");
    let finding = only(raised(&mut unknown, [wrong(0, mail(MONDAY + 5 * MINUTE, 4)).record()]));
    assert_eq!(finding.about[0], crate::trace::About { kind: AboutKind::Recipient, value: "bbo@x.example".to_owned() });
    assert!(
        finding.summary.ends_with("there is no such mailbox; bob@x.example is meant, perhaps: mail to it was accepted"),
        "{}",
        finding.summary
    );
    assert!(finding.advice.contains("bob@x.example"));
    // It isn't said again until it happens again.
    assert_eq!(judged(&mut unknown, MONDAY + 2 * HOUR).raised, []);
}

#[test]
fn a_mailbox_is_told_when_it_stays_full_and_when_there_is_room_again() {
    let mut full = full::Full::new(Options::default());
    let try_at =
        |hour: u64| mail(MONDAY + hour * HOUR, hour).refused(Stage::RcptTo, 452, "4.2.2 mailbox full", Cause::MailboxFull).record();
    assert_eq!(raised(&mut full, (0..20).map(try_at)), []);
    let finding = only(raised(&mut full, (20..26).map(try_at)));
    assert_eq!((finding.anomaly, finding.severity, finding.cause), (Anomaly::MailboxStaysFull, Severity::Notice, Some(Cause::MailboxFull)));
    assert!(finding.arithmetic.contains("26 failures over 25 h"), "{}", finding.arithmetic);
    full.observe(&Seen::of(&mail(MONDAY + 30 * HOUR, 99).record()));
    assert_eq!(judged(&mut full, MONDAY + 31 * HOUR).cleared.len(), 1);
}

#[test]
fn what_is_deferred_and_tried_again_is_one_message_and_what_is_accepted_is_forgotten() {
    let wrong = |at, no: u64| mail(at, no).to(&["bbo@x.example"]);
    let mut unknown = unknown::Unknown::new(Options::default());
    let deferred = |at, size: u64| {
        let it = wrong(at, 1).refused(Stage::RcptTo, 450, "4.1.1 no such user", Cause::RecipientUnknown);
        it.with(|it| {
            it.message.message_id = None;
            it.envelope.size_declared = Some(size);
        })
    };
    assert_eq!(raised(&mut unknown, (0..50).map(|no| deferred(MONDAY + no * MINUTE, 4_000).record())), []);
    only(raised(&mut unknown, (0..4).map(|no| deferred(MONDAY + HOUR + no * MINUTE, 5_000 + no).record())));
    unknown.observe(&Seen::of(&wrong(MONDAY + 2 * HOUR, 9).record()));
    assert_eq!(judged(&mut unknown, MONDAY + 2 * HOUR + MINUTE).cleared.len(), 1);
    // One a day is no four within three days.
    let mut unknown = unknown::Unknown::new(Options::default());
    let refused = |at, no| wrong(at, no).refused(Stage::RcptTo, 550, "5.1.1 no such user", Cause::RecipientUnknown).record();
    for day in 0..10 {
        assert_eq!(raised(&mut unknown, [refused(MONDAY + day * DAY, day)]), []);
    }
    assert_eq!(raised(&mut unknown, [refused(MONDAY + 9 * DAY + HOUR, 20)]).len(), 1);
}

#[test]
fn a_dead_list_is_looked_up_a_few_addresses_at_a_time() {
    let mut unknown = unknown::Unknown::new(Options::default());
    for no in 0..200 {
        let address = format!("n{no:03}@x.example");
        for time in 0..4 {
            let it = mail(MONDAY + no * SECOND, no * 10 + time).to(&[&address]);
            unknown.observe(&Seen::of(&it.refused(Stage::RcptTo, 550, "5.1.1 no such user", Cause::RecipientUnknown).record()));
        }
    }
    let told: Vec<usize> = (0..12).map(|no| judged(&mut unknown, MONDAY + HOUR + no * 10 * SECOND).raised.len()).collect();
    assert_eq!((told.iter().sum::<usize>(), told.iter().max()), (200, Some(&20)));
}
