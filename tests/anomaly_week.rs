//! Detectors on a simulated clock: two ordinary weeks without false alarms, then each trouble, named in time.

use relayscope::anomaly::{Book, Options, Watch};
use relayscope::trace;
use relayscope::trace::{Incident, IncidentStep};

#[path = "../src/anomaly/samples.rs"]
#[allow(dead_code, reason = "shared with the detectors' own tests")]
mod samples;
#[path = "support/week/mod.rs"]
mod week;

use samples::MONDAY;
use week::{DAY, HOUR, Traffic};

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

#[test]
fn an_ordinary_fortnight_alarms_nobody() {
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
}
