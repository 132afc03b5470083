//! Detectors on a simulated clock: two ordinary weeks without false alarms, then each trouble, named in time, and what is none, left alone.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use std::collections::BTreeSet;
use std::time::Instant;

use relayscope::anomaly::Watch;
use relayscope::trace;
use relayscope::trace::{Anomaly, Incident, IncidentStep};

#[path = "../src/anomaly/samples.rs"]
#[allow(dead_code, reason = "shared with the detectors' own tests")]
mod samples;
#[path = "support/week/mod.rs"]
mod week;

use samples::MONDAY;
use week::score::Scores;
use week::situation::{Moment, Situation};
use week::trial::{Outcome, Point, in_parallel, name, watch};
use week::troubles::{self, Begin};
use week::{HOUR, SECOND, Traffic};

/// False alarms that an ordinary week may have.
const MOST_FALSE: usize = 2;
/// A trouble is named within so long after its last record.
const WITHIN: u64 = 60 * SECOND;

/// What opens while ordinary mail passes, from one hour to another.
fn ordinary(watch: &mut Watch, traffic: &mut Traffic, hours: std::ops::Range<u64>) -> Vec<Incident> {
    let mut entries = Vec::new();
    for hour in hours.clone() {
        for record in traffic.hour(MONDAY + hour * HOUR) {
            watch.observe(&record, &mut entries);
        }
    }
    watch.tick(MONDAY + hours.end * HOUR, &mut entries);
    entries.retain(|entry| matches!(entry.step, IncidentStep::Opened | IncidentStep::Reopened));
    entries
}

/// Two ordinary weeks and a bit, and what was known at some moments.
struct Course {
    watch: Watch,
    traffic: Traffic,
    hour: u64,
    opened: Vec<Incident>,
}

impl Course {
    fn until(&mut self, hour: u64) -> Point {
        self.opened.extend(ordinary(&mut self.watch, &mut self.traffic, self.hour..hour));
        self.hour = hour;
        Point::of(MONDAY + hour * HOUR, &self.watch, &self.traffic)
    }

    /// The end of a week: how it was.
    fn week(&mut self, name: &str, began: Instant, before: (u64, usize)) {
        let opened = self.opened.get(before.1..).unwrap();
        let transactions = self.traffic.transactions - before.0;
        println!("{name} week: {transactions} transactions, {} false alarms, {:.1} s", opened.len(), began.elapsed().as_secs_f32());
        for entry in opened {
            println!("  {} {} {:?}: {}\n    {}", entry.anomaly, entry.severity, entry.about, entry.summary, entry.arithmetic);
        }
        assert!(transactions >= 500_000, "{transactions}");
        assert!(opened.len() <= MOST_FALSE, "{} false alarms", opened.len());
    }
}

fn situations(points: &[(Moment, &Point)]) -> Vec<(usize, Situation)> {
    let of = |(no, (moment, point)): (usize, &(Moment, &Point))| {
        troubles::all(*moment, point.at).into_iter().map(move |situation| (no, situation)).collect::<Vec<_>>()
    };
    points.iter().enumerate().flat_map(of).collect()
}

#[test]
fn an_ordinary_fortnight_alarms_nobody_and_each_trouble_is_named() {
    let mut course = Course { watch: watch(), traffic: Traffic::new(1), hour: 0, opened: Vec::new() };
    let began = Instant::now();
    course.until(7 * 24);
    course.week("first, nothing known", began, (0, 0));
    let (began, before) = (Instant::now(), (course.traffic.transactions, course.opened.len()));
    let weekend = course.until(12 * 24 + 13);
    let monday = course.until(14 * 24);
    course.week("second", began, before);
    let busy = course.until(14 * 24 + 10);
    let tuesday = course.until(15 * 24 + 1);
    let night = course.until(15 * 24 + 3);

    let began = Instant::now();
    let points = [(Moment::Busy, &busy), (Moment::Night, &night), (Moment::Weekend, &weekend)];
    let hours = points.map(|(_, point)| point.ordinary(2, |_| {}));
    let quick = situations(&points);
    let slow = troubles::slowly(monday.at);
    let mut outcomes: Vec<Outcome> = in_parallel(&quick, |(no, situation)| {
        // Each has a restart in its middle once.
        name(&points[*no].1.kept, &hours[*no], situation, points[*no].0 == Moment::Busy)
    });
    outcomes.extend(in_parallel(&slow, |it| {
        let point = if it.begin == Begin::Monday { &monday } else { &tuesday };
        let hours = (it.situation.until - point.at).div_ceil(HOUR);
        name(&point.kept, &point.ordinary(hours, it.traffic), &it.situation, true)
    }));
    println!("{} situations, those of the busiest hour with a restart as well: {:.1} s", outcomes.len(), began.elapsed().as_secs_f32());

    let mut scores = Scores::default();
    course.opened.iter().for_each(|entry| scores.wrong(entry.anomaly));
    outcomes.iter().for_each(|outcome| scores.add(outcome));
    let none = outcomes.iter().filter(|outcome| outcome.anomaly.is_none()).count();
    println!("{none} situations that are no trouble, {} false alarms in the weeks", course.opened.len());
    scores.print();
    let mut bad = 0;
    for outcome in &outcomes {
        let called = outcome.anomaly.map_or("nothing", Anomaly::word);
        let mut say = |what: String| {
            bad += 1;
            println!("{called}: {}: {what}", outcome.name);
        };
        if outcome.anomaly.is_some() && outcome.after.is_none_or(|us| us > WITHIN) && !outcome.is_long() {
            say(format!("not named within a minute, but after {:?} s", outcome.after.map(|us| us / SECOND)));
        }
        outcome.wrong.iter().for_each(|(anomaly, words)| say(format!("wrongly {anomaly}: {words}")));
        if let Some(difference) = &outcome.restart {
            say(format!("a restart in its middle makes a difference: {difference}"));
        }
    }
    let known: BTreeSet<&str> = outcomes.iter().filter_map(|it| it.anomaly).map(Anomaly::word).collect();
    let missing: Vec<&str> = Anomaly::ALL.iter().map(|it| it.word()).filter(|it| !known.contains(it)).collect();
    assert!(missing.is_empty(), "no trouble for {missing:?}");
    assert_eq!(bad, 0, "see above");
    for (name, score) in &scores.0 {
        assert!(score.precision() >= 1.0 && score.recall() >= 1.0, "{name}: {score:?}");
    }
}
