//! Quotas from the first mail to the refusal, and what is said of them.

use super::*;
use crate::anomaly::samples::{MONDAY, Sample, mail};
use crate::anomaly::trial::judge;
use crate::anomaly::window::{DAY, HOUR, MINUTE, SECOND};
use crate::anomaly::{Detector, Findings, Seen};
use crate::trace::{Anomaly, Cause, Severity, Stage, UpstreamKind};

fn feed(limits: &mut Limits, sample: Sample) {
    let record = sample.record();
    limits.observe(&Seen::of(&record));
}

fn configured(limit: u64, per: Period) -> Options {
    let configured = Configured { upstream: "main".to_owned(), user: None, per, count: Counts::Recipients, limit };
    Options { limits: vec![configured], ..Options::default() }
}

#[test]
fn a_quota_that_is_nearly_used_up_is_forecast() {
    let mut limits = Limits::new(&configured(1_000, Period::Day));
    let noon = MONDAY + 12 * HOUR;
    for no in 0..600 {
        feed(&mut limits, mail(noon + no * 6 * SECOND, no));
    }
    let now = noon + HOUR;
    let found = judge(&mut limits, now);
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((finding.anomaly, finding.severity), (Anomaly::SendingLimitNear, Severity::Warning));
    assert_eq!(
        finding.summary,
        "Upstream main has used 600 of the quota of 1,000 recipients a day; at this rate the 1,000 a day are used up at 13:40 UTC"
    );
    assert_eq!(
        finding.arithmetic,
        "600 of 1,000 (60 %) recipients used, over the last 24 h; 600 an hour now, the next hours taken as this one; threshold 80 %, or used up within 2 h"
    );
    assert!(finding.baseline.as_deref().is_some_and(|it| it.ends_with("as configured")));
}

#[test]
fn what_passed_before_a_quota_was_known_is_no_news() {
    let mut limits = Limits::new(&Options::default());
    for no in 0..600 {
        feed(&mut limits, mail(MONDAY + no * 6 * SECOND, no));
    }
    assert_eq!(judge(&mut limits, MONDAY + HOUR), []);
    let kept = limits.keep();
    let mut limits = Limits::new(&configured(1_000, Period::Day));
    assert!(limits.restore(&kept));
    for no in 600..605 {
        feed(&mut limits, mail(MONDAY + HOUR + (no - 600) * SECOND, no));
    }
    assert_eq!(judge(&mut limits, MONDAY + HOUR + 2 * MINUTE).iter().map(|it| it.fresh).collect::<Vec<_>>(), [5]);
}

#[test]
fn a_newsletter_that_came_yesterday_as_well_is_no_forecast() {
    let mut limits = Limits::new(&configured(1_000, Period::Day));
    for day in 0..3 {
        let start = MONDAY + day * DAY + 2 * HOUR;
        for no in 0..600 {
            let at = start + no * 6 * SECOND;
            feed(&mut limits, mail(at, day * 1_000 + no));
            if day > 0 && no % 100 == 99 {
                assert_eq!(judge(&mut limits, at), [], "day {day}, {no}");
            }
        }
    }
}

#[test]
fn the_hour_of_the_week_is_known_better_than_yesterday() {
    let mut limits = Limits::new(&configured(1_000, Period::Day));
    // A newsletter of 900 on Mondays at ten, and 10 an hour otherwise: on Tuesdays, yesterday says little.
    let mut no = 0;
    for hour in 0..15 * 24 + 11 {
        let newsletter = hour % 168 == 10;
        for minute in 0..if newsletter { 900 } else { 10 } {
            no += 1;
            feed(&mut limits, mail(MONDAY + hour * HOUR + minute * SECOND, no));
        }
    }
    // On the third Tuesday at eleven, the use of a day is that of 24 hours: the newsletter has just gone out of it.
    let now = MONDAY + (15 * 24 + 11) * HOUR;
    assert_eq!(judge(&mut limits, now), []);
    // On Monday at eight a quarter is used; that the newsletter comes at ten is known, though it didn't come on Sunday.
    let mut limits = Limits::new(&configured(1_000, Period::Day));
    for hour in 0..14 * 24 + 9 {
        let newsletter = hour % 168 == 10;
        for minute in 0..if newsletter { 900 } else { 12 } {
            no += 1;
            feed(&mut limits, mail(MONDAY + hour * HOUR + minute * SECOND, no));
        }
    }
    let found = judge(&mut limits, MONDAY + (14 * 24 + 9) * HOUR - MINUTE);
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert!(finding.summary.contains("are used up at 10:"), "{}", finding.summary);
    assert!(finding.arithmetic.contains("taken as usual at these hours of the week, from 2 weeks"), "{}", finding.arithmetic);
}

#[test]
fn the_reply_to_the_message_is_quoted_not_the_one_to_the_recipient() {
    let mut limits = Limits::new(&Options::default());
    for no in 0..5 {
        let text = "5.4.5 Daily sending quota of 2000 messages exceeded";
        feed(&mut limits, mail(MONDAY + no * SECOND, no).refused(Stage::EndOfData, 550, text, Cause::SendingLimitReached));
    }
    let found = judge(&mut limits, MONDAY + MINUTE);
    assert!(found[0].summary.contains("Daily sending quota of 2000 messages"), "{}", found[0].summary);
}

#[test]
fn a_refusal_names_the_limit_and_is_remembered() {
    let mut limits = Limits::new(&Options::default());
    let at = MONDAY + 15 * HOUR;
    for no in 0..40 {
        feed(&mut limits, mail(at + no * SECOND, no).user("bob@our.example", "succeeded"));
    }
    let refused = |at, no| {
        let sample = mail(at, no).user("bob@our.example", "succeeded");
        sample.refused(Stage::MailFrom, 550, "5.4.5 Daily sending quota of 2000 messages exceeded", Cause::SendingLimitReached)
    };
    feed(&mut limits, refused(at + MINUTE, 100));
    let found = judge(&mut limits, at + MINUTE + 10 * SECOND);
    let [finding] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((finding.anomaly, finding.severity), (Anomaly::SendingLimitReached, Severity::Critical));
    assert_eq!(
        finding.summary,
        "bob@our.example at upstream main can't send: the quota of 2,000 messages a day is used up (1 refusal since 15:01 UTC); \
         the provider says: 5.4.5 Daily sending quota of 2000 messages exceeded"
    );
    // 40 of 2,000 were counted: the proxy can't know when there is room.
    assert!(!finding.advice.contains("room again from") && finding.advice.ends_with("the provider alone knows."), "{}", finding.advice);
    let words: Vec<&str> = finding.about.iter().map(|it| it.value.as_str()).collect();
    assert_eq!(words, ["main", "bob@our.example", "day"]);
    let exhausted = limits.exhausted(at + 2 * MINUTE);
    assert_eq!(exhausted.len(), 1, "{exhausted:?}");
    assert_eq!(exhausted[0].user.as_deref(), Some("bob@our.example"));
    assert!(exhausted[0].reason.contains("Daily sending quota"), "{exhausted:?}");
    // The number outlives the process.
    let mut next = Limits::new(&Options::default());
    assert!(next.restore(&limits.keep()));
    let uses = next.uses(at + 2 * MINUTE);
    assert!(uses.iter().any(|it| it.used == 40 && it.limit.limit == 2_000 && it.limit.learned.is_some_and(|it| it.stated)), "{uses:?}");
    assert!(!next.restore(&[9, 9]) && !next.restore(&[]));
    // Mail passes again: over.
    feed(&mut limits, mail(at + 20 * MINUTE, 200).user("bob@our.example", "succeeded"));
    let mut findings = Findings::default();
    limits.judge(at + 21 * MINUTE, &mut findings);
    assert_eq!(findings.raised(), []);
    assert_eq!(limits.exhausted(at + 21 * MINUTE), []);
}

#[test]
fn a_limit_is_learned_from_use_and_given_up_when_it_proves_wrong() {
    let mut limits = Limits::new(&Options::default());
    for no in 0..500 {
        feed(&mut limits, mail(MONDAY + no * 5 * MINUTE, no));
    }
    let at = MONDAY + 500 * 5 * MINUTE;
    let refused = mail(at, 501).refused(Stage::MailFrom, 452, "4.3.1 quota exceeded, try tomorrow", Cause::SendingLimitReached);
    feed(&mut limits, refused);
    let used = limits.uses(at)[0].clone();
    assert!(used.limit.learned.is_some_and(|it| !it.stated && (287..=289).contains(&it.limit)), "{used:?}");
    for no in 0..20 {
        feed(&mut limits, mail(at + MINUTE + no, 600 + no));
    }
    assert_eq!(limits.uses(at + 2 * MINUTE), [], "more went through than was learned");
}

#[test]
fn too_fast_is_not_used_up() {
    let mut limits = Limits::new(&Options::default());
    let slow_down = |at, no| mail(at, no).refused(Stage::MailFrom, 451, "4.7.1 Too many messages, slow down", Cause::RateLimited);
    feed(&mut limits, slow_down(MONDAY, 1));
    feed(&mut limits, slow_down(MONDAY + SECOND, 2));
    assert_eq!(judge(&mut limits, MONDAY + 10 * SECOND), []);
    feed(&mut limits, slow_down(MONDAY + 12 * SECOND, 3));
    let found = judge(&mut limits, MONDAY + 20 * SECOND);
    assert_eq!(found.iter().map(|it| it.anomaly).collect::<Vec<_>>(), [Anomaly::RateLimited]);
    assert_eq!(judge(&mut limits, MONDAY + HOUR), []);
}

#[test]
fn an_exchanger_that_throttles_now_and_then_is_everyday() {
    let mut limits = Limits::new(&Options::default());
    let straight = |at, no| mail(at, no).upstream(|it| it.kind = UpstreamKind::Mx);
    let refused = |at, no| straight(at, no).refused(Stage::RcptTo, 451, "4.7.1 Too much mail", Cause::RateLimited);
    for no in 0..100 {
        let at = MONDAY + no * 5 * SECOND;
        feed(&mut limits, if no % 20 == 0 { refused(at, no) } else { straight(at, no) });
    }
    assert_eq!(judge(&mut limits, MONDAY + 9 * MINUTE), []);
    for no in 0..40 {
        feed(&mut limits, refused(MONDAY + 9 * MINUTE + no, 200 + no));
    }
    let found = judge(&mut limits, MONDAY + 9 * MINUTE + 10 * SECOND);
    assert_eq!(found.len(), 1);
    assert!(found[0].summary.starts_with("x.example refuses 45 messages of the last 10 min"), "{}", found[0].summary);
}

#[test]
fn an_hours_quota_counts_the_last_hour() {
    let mut limits = Limits::new(&configured(100, Period::Hour));
    for no in 0..90 {
        feed(&mut limits, mail(MONDAY + no * 20 * SECOND, no));
    }
    let found = judge(&mut limits, MONDAY + 30 * MINUTE);
    assert_eq!(found.len(), 1);
    assert!(found[0].summary.contains("the 100 a hour are used up at 00:3"), "{}", found[0].summary);
    assert_eq!(judge(&mut limits, MONDAY + 2 * HOUR), []);
}

#[test]
fn one_senders_limit_keeps_nobody_else_where_nobody_logs_in() {
    let mut limits = Limits::new(&Options::default());
    let from = |at, no, sender: &str| mail(at, no).from(sender);
    let refused = |at, no, sender: &str| {
        let words = "5.1.90 Your message can't be sent because you've reached your daily limit of 30 messages";
        from(at, no, sender).refused(Stage::EndOfData, 550, words, Cause::SendingLimitReached)
    };
    for no in 0..40 {
        feed(&mut limits, from(MONDAY + no * SECOND, no, ["ann@our.example", "carol@our.example"][no as usize % 2]));
    }
    feed(&mut limits, refused(MONDAY + MINUTE, 50, "ann@our.example"));
    feed(&mut limits, refused(MONDAY + MINUTE + SECOND, 51, "Ann@our.example"));
    let held = limits.exhausted(MONDAY + 2 * MINUTE);
    assert_eq!(held.iter().map(|it| it.sender.as_deref()).collect::<Vec<_>>(), [Some("ann@our.example")]);
    assert_eq!(limits.uses(MONDAY + 2 * MINUTE), [], "the limit of one mailbox is none of the upstream");
    let found = judge(&mut limits, MONDAY + 2 * MINUTE);
    assert!(
        found[0].summary.starts_with("ann@our.example at upstream main can't send: the day's quota is used up"),
        "{}",
        found[0].summary
    );
    // Another passes, and is refused later on: two mailboxes, each with its own.
    feed(&mut limits, from(MONDAY + 3 * MINUTE, 60, "carol@our.example"));
    assert_eq!(limits.exhausted(MONDAY + 3 * MINUTE)[0].sender.as_deref(), Some("ann@our.example"), "carol's mail says nothing of ann's");
    assert!(judge(&mut limits, MONDAY + 3 * MINUTE)[0].summary.starts_with("ann@our.example"));
    feed(&mut limits, refused(MONDAY + 4 * MINUTE, 61, "carol@our.example"));
    assert_eq!(limits.exhausted(MONDAY + 5 * MINUTE)[0].sender.as_deref(), Some("carol@our.example"));
    // Both, and nothing between: it is the upstream that takes no more.
    feed(&mut limits, refused(MONDAY + 6 * MINUTE, 62, "ann@our.example"));
    let mut next = Limits::new(&Options::default());
    assert!(next.restore(&limits.keep()));
    let held = next.exhausted(MONDAY + 7 * MINUTE);
    assert_eq!(held.iter().map(|it| it.sender.as_deref()).collect::<Vec<_>>(), [None]);
}

/// What the provider says to the only one who sends so far may be his alone; a login's is the login's, whoever sends by it.
#[test]
fn a_limit_of_the_only_sender_keeps_nobody_else() {
    let words = "5.4.5 Daily sending quota of 30 messages exceeded";
    let held = |login: bool| {
        let mut limits = Limits::new(&Options::default());
        let by = |at, no, sender: &str| {
            let mail = mail(at, no).from(sender);
            if login { mail.user("app@our.example", "succeeded") } else { mail }
        };
        for no in 0..30 {
            feed(&mut limits, by(MONDAY + no * SECOND, no, "ann@our.example"));
        }
        feed(&mut limits, by(MONDAY + MINUTE, 50, "ann@our.example").refused(Stage::EndOfData, 550, words, Cause::SendingLimitReached));
        let senders = limits.exhausted(MONDAY + 2 * MINUTE).iter().map(|it| it.sender.clone()).collect::<Vec<_>>();
        feed(&mut limits, by(MONDAY + 3 * MINUTE, 51, "carol@our.example"));
        (senders, limits.uses(MONDAY + 3 * MINUTE).len())
    };
    assert_eq!(held(false), (vec![Some("ann@our.example".to_owned())], 0));
    assert_eq!(held(true), (vec![None], 1), "a second sender by that login changes nothing");
}

#[test]
fn a_limit_for_minutes_is_none_for_a_day_and_holds_as_long() {
    let mut limits = Limits::new(&Options::default());
    let bob = |at, no| mail(at, no).user("bob@our.example", "succeeded");
    for no in 0..60 {
        feed(&mut limits, bob(MONDAY + DAY + no * SECOND, no));
    }
    let at = MONDAY + DAY + 2 * MINUTE;
    let words = "4.7.1 sending limit of 50 messages per 10 minutes reached";
    feed(&mut limits, bob(at, 100).refused(Stage::MailFrom, 450, words, Cause::SendingLimitReached));
    assert_eq!(limits.uses(at), []);
    let held = limits.exhausted(at + MINUTE);
    assert_eq!(held.iter().map(|it| it.until).collect::<Vec<_>>(), [at + 10 * MINUTE]);
    assert!(held[0].reason.starts_with("a quota is used up; the provider said: 4.7.1 sending limit"), "{}", held[0].reason);
    assert_eq!(limits.exhausted(at + 11 * MINUTE), []);
}

#[test]
fn a_limit_that_was_stated_is_kept_for_days_and_one_that_was_passed_is_not_learned() {
    let mut limits = Limits::new(&Options::default());
    let bob = |at, no| mail(at, no).user("bob@our.example", "succeeded");
    let refused =
        |at, no| bob(at, no).refused(Stage::MailFrom, 550, "5.4.5 Daily sending quota of 50 messages exceeded", Cause::SendingLimitReached);
    let send = |limits: &mut Limits, day: u64, count: u64| {
        for no in 0..count {
            feed(limits, bob(MONDAY + day * DAY + no * SECOND, day * 1_000 + no));
        }
    };
    send(&mut limits, 0, 50);
    feed(&mut limits, refused(MONDAY + HOUR, 900));
    let held = |limits: &Limits, day: u64| limits.exhausted(MONDAY + day * DAY + 2 * HOUR).len();
    assert_eq!(held(&limits, 0), 1);
    send(&mut limits, 2, 50);
    assert_eq!(held(&limits, 2), 1);
    // Nothing but mail that passes could prove it wrong.
    send(&mut limits, 5, 50);
    assert_eq!(held(&limits, 5), 0);
    feed(&mut limits, refused(MONDAY + 5 * DAY + HOUR, 901));
    send(&mut limits, 7, 50);
    assert_eq!(held(&limits, 7), 1, "it was said again");
    let mut limits = Limits::new(&Options::default());
    send(&mut limits, 0, 200);
    feed(&mut limits, refused(MONDAY + HOUR, 900));
    assert!(limits.uses(MONDAY + HOUR).iter().all(|it| it.limit.learned.is_some_and(|it| !it.stated)), "200 passed, so 50 is no limit");
}
