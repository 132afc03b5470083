//! Weeks of mail, and what stands out.

use super::*;
use crate::anomaly::finding::Finding;
use crate::anomaly::samples::{MONDAY, Sample, mail};
use crate::anomaly::window::{DAY, HOUR};
use crate::diagnose::Cause;
use crate::smtp::Stage;
use crate::trace::{AboutKind, Anomaly, Audit, Severity};

/// Three weeks later.
const LATER: WallMicros = MONDAY + 21 * DAY;

/// Judged every minute; what was raised last.
struct Run {
    volume: Volume,
    now: WallMicros,
    no: u64,
    raised: Vec<Finding>,
    cleared: usize,
    /// Whom it is over for.
    ended: Vec<String>,
}

impl Run {
    fn new() -> Self {
        Self { volume: Volume::new(Options::default()), now: MONDAY, no: 0, raised: Vec::new(), cleared: 0, ended: Vec::new() }
    }

    fn until(&mut self, until: WallMicros) {
        while self.now < until {
            self.now += MINUTE;
            let mut findings = Findings::default();
            self.volume.judge(self.now, &mut findings);
            self.cleared += findings.cleared.len();
            self.ended.extend(findings.cleared.iter().flat_map(|it| &it.about).map(|about| about.value.clone()));
            self.raised = findings.raised;
        }
    }

    fn send(&mut self, at: WallMicros, change: impl Fn(Sample) -> Sample) {
        self.until(at);
        self.no += 1;
        let record = change(mail(at, self.no)).record();
        self.volume.observe(&Seen::of(&record));
    }

    /// Forty an hour from 8 to 18 on workdays, by user ann from 10.0.0.12.
    fn office(&mut self, from: WallMicros, until: WallMicros) {
        for hour in 0..(until - from) / HOUR {
            let at = from + hour * HOUR;
            if (at - MONDAY) / DAY % 7 < 5 && (8..18).contains(&(at / HOUR % 24)) {
                for no in 0..40 {
                    self.send(at + no * 90_000_000, |it| it.user("ann", "succeeded"));
                    assert_eq!(self.raised, [], "{}", self.now);
                }
            }
        }
        self.until(until);
        assert_eq!(self.raised, []);
    }
}

#[test]
fn a_stolen_account_is_one_finding_with_its_signs() {
    let mut run = Run::new();
    run.office(MONDAY, LATER);
    let began = LATER + 3 * HOUR;
    let (mut counted, mut judged) = (0, run.now);
    for no in 0..400 {
        let address = format!("victim{no}@d{}.example", no % 90);
        run.send(began + no * 2_000_000, |it| {
            let it = it.user("ann", "succeeded").to(&[&address]);
            if no % 3 == 0 { it.refused(Stage::RcptTo, 550, "5.1.1 no such user", Cause::RecipientUnknown) } else { it }
        });
        if run.now != std::mem::replace(&mut judged, run.now) {
            counted += run.raised.iter().map(|it| it.fresh).sum::<u64>();
        }
    }
    let [finding] = run.raised.as_slice() else { panic!("{:?}", run.raised) };
    assert_eq!((finding.anomaly, finding.severity, finding.about[0].kind), (Anomaly::VolumeSpike, Severity::Critical, AboutKind::User));
    assert!(finding.summary.starts_with("user ann sent "), "{}", finding.summary);
    assert!(counted <= 400, "{counted} are counted of 400");
    assert!(finding.summary.contains("as if somebody else used the account"), "{}", finding.summary);
    assert!(finding.arithmetic.contains("limit 200: the largest of 200, 5 × 0 usual"), "{}", finding.arithmetic);
    assert_eq!(finding.baseline.as_deref(), Some("0 recipients an hour at this hour of the week, 40 in the busiest hour, from 2 weeks"));
    assert!(finding.since >= began && finding.samples.len() == 6);
    // An hour and a bit later it is over, and was not learnt.
    run.until(began + 3 * HOUR);
    assert_eq!(run.raised, []);
    let peak = run.volume.habits.by[&WhoseRef::User("ann")].usual.peak;
    assert!((39.0..=41.0).contains(&peak), "{peak}");
}

#[test]
fn what_is_usual_at_that_hour_is_no_spike() {
    let mut run = Run::new();
    for day in 0..21 {
        for no in 0..3_000 {
            run.send(MONDAY + day * DAY + 2 * HOUR + (day * 7 % 10) * MINUTE + no * 500_000, |it| it.from("news@our.example"));
            assert!(run.raised.iter().all(|it| it.anomaly != Anomaly::VolumeSpike), "{:?}", run.raised);
        }
    }
}

#[test]
fn a_machine_that_falls_silent_is_told_and_comes_back() {
    let mut run = Run::new();
    run.office(MONDAY, LATER + 11 * HOUR);
    let last = LATER + 10 * HOUR + 39 * 90_000_000;
    let mut first = None;
    while first.is_none() && run.now < LATER + 16 * HOUR {
        run.until(run.now + MINUTE);
        first = (!run.raised.is_empty()).then_some(run.now);
    }
    let within = first.map(|at| (at - last) / MINUTE);
    assert!(within.is_some_and(|minutes| (15..60).contains(&minutes)), "{within:?}");
    // The listener has no other client: all of its mail is missing, and that is one finding.
    let [finding] = run.raised.as_slice() else { panic!("{:?}", run.raised) };
    assert_eq!((finding.anomaly, finding.severity), (Anomaly::Silence, Severity::Warning));
    assert_eq!(finding.summary, "no mail at all on listener submission since 10:58 UTC; usual at this time: 40 an hour");
    assert!(finding.arithmetic.starts_with("0 messages in "), "{}", finding.arithmetic);
    run.send(LATER + 16 * HOUR, |it| it.user("ann", "succeeded"));
    run.until(LATER + 16 * HOUR + 2 * MINUTE);
    assert_eq!((run.cleared, run.raised.len()), (1, 0));
}

#[test]
fn one_of_several_machines_is_missed_by_name() {
    let mut run = Run::new();
    let both = |run: &mut Run, from: WallMicros, until: WallMicros, second: bool| {
        for at in (from..until).step_by(60_000_000) {
            run.send(at, |it| it.client("10.0.0.1"));
            if second {
                run.send(at, |it| it.client("10.0.0.2"));
            }
        }
    };
    both(&mut run, MONDAY, MONDAY + 8 * DAY, true);
    assert_eq!(run.raised, []);
    both(&mut run, MONDAY + 8 * DAY, MONDAY + 8 * DAY + HOUR, false);
    let [finding] = run.raised.as_slice() else { panic!("{:?}", run.raised) };
    assert_eq!(finding.summary, "no mail from 10.0.0.2 since 2026-11-30 23:59 UTC; usual at this time: 60 an hour");
}

#[test]
fn nobody_is_silent_while_the_proxy_was_down() {
    let mut run = Run::new();
    run.office(MONDAY, LATER + 9 * HOUR);
    let (down, up) = (LATER + 9 * HOUR, LATER + 15 * HOUR);
    let started = Audit {
        id: crate::anomaly::samples::id(up, 1),
        at: up,
        origin: crate::anomaly::samples::origin(),
        event: AuditEvent::Started,
        who: None,
        since: Some(down),
        detail: None,
    };
    run.now = up;
    run.volume.observe(&Seen::of(&Record::Audit(Box::new(started))));
    run.until(up + 14 * MINUTE);
    assert_eq!(run.raised, []);
}

#[test]
fn a_machine_that_is_switched_off_on_friday_is_missed_until_it_is_back() {
    let mut run = Run::new();
    let friday = LATER + 4 * DAY + 16 * HOUR;
    let of_machine = |run: &Run| run.raised.iter().filter(|it| it.about.iter().any(|about| about.value == "10.0.0.30")).count();
    for hour in 0..(friday + 4 * DAY - MONDAY) / HOUR {
        let at = MONDAY + hour * HOUR;
        let works = (at - MONDAY) / DAY % 7 < 5 && (8..18).contains(&(at / HOUR % 24)) && at < friday;
        for no in 0..40 {
            // Another one keeps the listener busy day and night.
            let is_other = no % 4 == 0;
            if is_other || works {
                run.send(at + no * 90_000_000, |it| it.client(if is_other { "10.0.0.12" } else { "10.0.0.30" }));
            }
        }
        assert_eq!(of_machine(&run), usize::from(at >= friday), "{}", run.now);
    }
    assert!(run.raised[0].summary.ends_with("usual at this time: 30 an hour"), "{}", run.raised[0].summary);
}

#[test]
fn a_newsletter_that_is_new_becomes_usual_within_weeks() {
    let mut run = Run::new();
    let small = |run: &mut Run, from: u64, until: u64| {
        for day in from..until {
            run.send(MONDAY + day * DAY + 9 * HOUR, |it| it.from("news@our.example"));
        }
    };
    small(&mut run, 0, 21);
    let mut told = Vec::new();
    for week in 3..13 {
        let mut is_told = false;
        for no in 0..2_000 {
            run.send(MONDAY + week * 7 * DAY + 2 * HOUR + no * 700_000, |it| it.from("news@our.example"));
            is_told |= run.raised.iter().any(|it| it.about[0].kind == AboutKind::Sender);
        }
        told.push(is_told);
        small(&mut run, week * 7, week * 7 + 7);
    }
    assert_eq!(told, [true, true, true, true, false, false, false, false, false, false]);
}

#[test]
fn quiet_systems_are_left_alone() {
    let mut run = Run::new();
    for day in 0..30 {
        for no in 0..10 {
            run.send(MONDAY + day * DAY + 8 * HOUR + no * 50 * MINUTE + (day * 13 % 17) * MINUTE, |it| it);
            assert_eq!(run.raised, []);
        }
    }
    run.until(MONDAY + 31 * DAY);
    assert_eq!(run.raised, []);
}

/// 200 messages between two and three every night but on Sundays, and a client that sends now and then.
fn batches(run: &mut Run, days: std::ops::Range<u64>) {
    for day in days.filter(|day| day % 7 != 6) {
        let begin = MONDAY + day * DAY + 2 * HOUR + day % 4 * 4 * MINUTE;
        (0..200).for_each(|no| run.send(begin + no * 10_000_000, |it| it.client("10.0.0.30").from("batch@our.example")));
    }
}

#[test]
fn a_batch_that_does_not_come_is_missed_by_name_when_its_hours_are_over() {
    let mut run = Run::new();
    batches(&mut run, 0..15);
    assert_eq!(run.raised, []);
    // Late by three quarters of an hour, within the margin: nothing.
    let day = MONDAY + 15 * DAY;
    (0..200).for_each(|no| run.send(day + 2 * HOUR + 45 * MINUTE + no * 10_000_000, |it| it.client("10.0.0.30").from("batch@our.example")));
    run.until(day + DAY + 3 * HOUR + 55 * MINUTE);
    assert_eq!(run.raised, []);
    run.until(day + DAY + 4 * HOUR + MINUTE);
    let [finding] = run.raised.as_slice() else { panic!("{:?}", run.raised) };
    assert_eq!((finding.anomaly, finding.severity, finding.about[0].kind), (Anomaly::Silence, Severity::Warning, AboutKind::Client));
    assert!(finding.summary.starts_with("10.0.0.30 sent nothing between 02:00 UTC and "), "{}", finding.summary);
    assert!(finding.arithmetic.contains("times in a row at that hour, 1 times on that day of the week"), "{}", finding.arithmetic);
    assert!(finding.arithmetic.starts_with("0 since an hour before 02:00 UTC"), "{}", finding.arithmetic);
    run.send(day + DAY + 6 * HOUR, |it| it.client("10.0.0.30").from("batch@our.example"));
    run.until(day + DAY + 6 * HOUR + 2 * MINUTE);
    assert_eq!((run.raised.as_slice(), run.cleared), (&[][..], 2), "the machine and its sender");
}

#[test]
fn batches_that_come_now_and_then_are_not_missed() {
    let mut run = Run::new();
    // Every other week, at the same time.
    for week in [0, 2, 4, 6] {
        let begin = MONDAY + week * 7 * DAY + 2 * HOUR;
        (0..200).for_each(|no| run.send(begin + no * 10_000_000, |it| it.client("10.0.0.30")));
    }
    run.until(MONDAY + 55 * DAY);
    assert_eq!(run.raised, []);
    // A night without one is known for each Sunday.
    let mut run = Run::new();
    batches(&mut run, 0..20);
    run.until(MONDAY + 21 * DAY);
    assert_eq!(run.raised, []);
}

#[test]
fn no_batch_is_missed_while_the_proxy_was_down() {
    let mut run = Run::new();
    batches(&mut run, 0..16);
    run.until(MONDAY + 16 * DAY);
    let up = MONDAY + 16 * DAY + 3 * HOUR;
    run.volume.habits.hole(MONDAY + 16 * DAY + HOUR, up);
    run.until(MONDAY + 17 * DAY);
    assert_eq!(run.raised, []);
}

/// As [`batches`], by day: 200 between ten and eleven, while 40 messages an hour of others come from 6 to 18.
fn by_day(run: &mut Run, days: std::ops::Range<u64>) {
    for day in days {
        for hour in 6..18 {
            let at = MONDAY + day * DAY + hour * HOUR;
            let mut messages: Vec<(WallMicros, bool)> = (0..40).map(|no| (at + no * 90_000_000, false)).collect();
            if hour == 10 {
                messages.extend((0..200).map(|no| (at + no * 10_000_000, true)));
            }
            messages.sort_unstable();
            for (at, is_batch) in messages {
                run.send(at, |it| if is_batch { it.client("10.0.0.30").from("batch@our.example") } else { it.client("10.0.0.12") });
            }
        }
    }
}

/// What the batch's machine was told of on day 16 at noon.
fn of_batch(run: &mut Run) -> Vec<Finding> {
    run.until(MONDAY + 16 * DAY + 12 * HOUR + 2 * MINUTE);
    let is_batch = |it: &&Finding| it.anomaly == Anomaly::Silence && it.about.iter().any(|about| about.value == "10.0.0.30");
    run.raised.iter().filter(is_batch).cloned().collect()
}

#[test]
fn a_batch_that_is_missing_while_everybody_is_quiet_is_only_worth_a_notice() {
    let told = |pause: WallMicros| {
        let mut run = Run::new();
        by_day(&mut run, 0..16);
        assert_eq!(run.raised, []);
        // The same day, up to the hour in which it is looked at.
        for hour in 6..12 {
            let at = MONDAY + 16 * DAY + hour * HOUR;
            (0..HOUR / pause).for_each(|no| run.send(at + no * pause, |it| it.client("10.0.0.12")));
        }
        let found = of_batch(&mut run);
        let [finding] = found.as_slice() else { panic!("{found:?}") };
        (finding.severity, finding.arithmetic.clone())
    };
    let (severity, arithmetic) = told(30 * MINUTE);
    assert_eq!(severity, Severity::Notice, "{arithmetic}");
    assert!(
        arithmetic.ends_with("; and so is everybody: 12 of usually 240 other messages came in all from 02:00 UTC on, as on a holiday"),
        "{arithmetic}"
    );
    // Nearly the same, and no holiday: the others send as they always do.
    let (severity, arithmetic) = told(90_000_000);
    assert_eq!(severity, Severity::Warning, "{arithmetic}");
    assert!(!arithmetic.contains("everybody"), "{arithmetic}");
}

#[test]
fn nothing_is_missed_on_a_holiday_that_is_named_and_the_row_goes_on() {
    let holiday = |day: u64| {
        let at = jiff::Timestamp::from_microsecond((MONDAY + day * DAY) as i64).unwrap();
        jiff::tz::TimeZone::UTC.to_datetime(at).date().to_string().parse().unwrap()
    };
    let run_with = |days: Vec<holidays::Holiday>| {
        let mut run = Run::new();
        run.volume.options.holidays.days = days;
        batches(&mut run, 0..16);
        run
    };
    let mut run = run_with(vec![holiday(16)]);
    run.until(MONDAY + 17 * DAY);
    assert_eq!(run.raised, []);
    // The day after it is missed as ever: the holiday has broken no row.
    run.until(MONDAY + 17 * DAY + 4 * HOUR + MINUTE);
    let [finding] = run.raised.as_slice() else { panic!("{:?}", run.raised) };
    assert!(finding.arithmetic.contains("it came 8 times in a row at that hour, 1 times"), "{}", finding.arithmetic);
    // Another day is none.
    let mut run = run_with(vec![holiday(17)]);
    run.until(MONDAY + 16 * DAY + 4 * HOUR + MINUTE);
    assert_eq!(run.raised.len(), 1);
}

#[test]
fn a_machine_that_is_silent_and_whose_batch_is_missing_is_one_incident_until_it_is_back() {
    let mut run = Run::new();
    by_day(&mut run, 0..16);
    let others = |run: &mut Run, days: std::ops::Range<u64>| {
        for hour in days.flat_map(|day| (6..18).map(move |hour| day * DAY + hour * HOUR)) {
            (0..40).for_each(|no| run.send(MONDAY + hour + no * 90_000_000, |it| it.client("10.0.0.12")));
        }
    };
    others(&mut run, 16..17);
    assert_eq!(of_batch(&mut run).len(), 1, "{:?}", run.raised);
    let batch = |whose: &Whose| whose.about().value == "10.0.0.30";
    run.volume.habits.by.iter_mut().filter(|(whose, _)| batch(whose)).for_each(|(_, habit)| habit.silent = true);
    // The next batch is due, and it is silent still.
    others(&mut run, 17..18);
    assert!(!run.ended.iter().any(|it| it == "10.0.0.30"), "{:?}", run.ended);
    run.send(MONDAY + 18 * DAY, |it| it.client("10.0.0.30").from("batch@our.example"));
    run.until(MONDAY + 18 * DAY + 2 * MINUTE);
    assert_eq!(run.ended.iter().filter(|it| *it == "10.0.0.30").count(), 1);
}
