//! Detectors on a simulated clock: two ordinary weeks without false alarms, then each trouble, named in time.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use relayscope::anomaly::{Book, Options, Watch};
use relayscope::trace;
use relayscope::trace::{Incident, IncidentStep};

#[path = "../src/anomaly/samples.rs"]
#[allow(dead_code, reason = "shared with the detectors' own tests")]
mod samples;
#[path = "support/week/mod.rs"]
mod week;

use samples::MONDAY;
use week::{DAY, HOUR, MINUTE, SECOND, Traffic, troubles};

/// False alarms that an ordinary week may have.
const MOST_FALSE: usize = 2;

fn watch() -> Watch {
    let options = Options::default();
    let book = Book::new(options.book.clone(), samples::origin());
    Watch::new(&options, book)
}

/// What opens while ordinary mail passes, for so many days.
fn ordinary(watch: &mut Watch, traffic: &mut Traffic, days: std::ops::Range<u64>) -> Vec<Incident> {
    let mut entries = Vec::new();
    for hour in days.start * 24..days.end * 24 {
        for record in traffic.hour(MONDAY + hour * HOUR) {
            watch.observe(&record, &mut entries);
        }
    }
    watch.tick(MONDAY + days.end * DAY, &mut entries);
    entries.retain(|entry| matches!(entry.step, IncidentStep::Opened | IncidentStep::Reopened));
    entries
}

/// What a trouble was called, and how soon.
struct Named {
    trouble: relayscope::trace::Anomaly,
    /// µs after its last record.
    after: Option<u64>,
    /// What else opened meanwhile.
    others: Vec<relayscope::trace::Anomaly>,
}

/// An hour of ordinary mail with the trouble in it, for a watch that knows what is usual.
fn name(kept: &[(String, Vec<u8>)], ordinary: &[trace::Record], trouble: troubles::Trouble, until: u64) -> Named {
    let mut watch = watch();
    assert!(watch.restore(kept).is_empty(), "what is kept is read");
    let last = trouble.records.iter().map(week::end).max().unwrap();
    let first = trouble.records.iter().map(week::end).min().unwrap();
    let passes = |record: &&trace::Record| !trouble.stops_mail || week::end(record) < first;
    let mut records: Vec<&trace::Record> = ordinary.iter().filter(passes).chain(&trouble.records).collect();
    records.sort_by_key(|record| week::end(record));
    let mut entries = Vec::new();
    for record in records {
        watch.observe(record, &mut entries);
    }
    // Where nothing passes any more, silence is another trouble, and true.
    watch.tick(if trouble.stops_mail { last + MINUTE } else { until }, &mut entries);
    entries.retain(|entry| matches!(entry.step, IncidentStep::Opened | IncidentStep::Reopened));
    let named = entries.iter().find(|entry| entry.anomaly == trouble.anomaly);
    let others = entries.iter().map(|entry| entry.anomaly).filter(|it| *it != trouble.anomaly).collect();
    Named { trouble: trouble.anomaly, after: named.map(|entry| entry.at.saturating_sub(last)), others }
}

#[test]
fn an_ordinary_fortnight_alarms_nobody_and_each_trouble_is_named() {
    let (mut watch, mut traffic) = (watch(), Traffic::new(1));
    for (name, days) in [("first, nothing known", 0..7), ("second", 7..14)] {
        let (before, began) = (traffic.transactions, std::time::Instant::now());
        let opened = ordinary(&mut watch, &mut traffic, days);
        let transactions = traffic.transactions - before;
        println!("{name} week: {transactions} transactions, {} false alarms, {:.1} s", opened.len(), began.elapsed().as_secs_f32());
        for entry in &opened {
            println!("  {} {} {:?}: {}\n    {}", entry.anomaly, entry.severity, entry.about, entry.summary, entry.arithmetic);
        }
        assert!(transactions >= 500_000, "{transactions}");
        assert!(opened.len() <= MOST_FALSE, "{} false alarms", opened.len());
    }
    // Monday again, at ten: each trouble by itself.
    let kept = watch.keep();
    let at = MONDAY + 14 * DAY + 10 * HOUR;
    // From midnight on, so that nobody has been silent.
    let hours = (0..11).flat_map(|hour| traffic.hour(MONDAY + 14 * DAY + hour * HOUR)).collect::<Vec<_>>();
    let mut missed = Vec::new();
    println!("{:<24} named  after its last record  others", "trouble");
    for trouble in troubles::all(at) {
        let named = name(&kept, &hours, trouble, at + HOUR);
        let after = named.after.map_or("-".to_owned(), |us| format!("{} s", us / SECOND));
        println!("{:<24} {:<6} {after:<22} {:?}", named.trouble.word(), named.after.is_some(), named.others);
        if named.after.is_none_or(|us| us > 60 * SECOND) {
            missed.push(named.trouble);
        }
    }
    assert!(missed.is_empty(), "not named within 60 s: {missed:?}");
}
