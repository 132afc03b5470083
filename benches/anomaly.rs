//! What the detectors cost: µs of a processor for each record of ordinary weeks, by group, and the memory of a hundred thousand senders.

#![allow(clippy::unwrap_used, reason = "a measurement that fails says where")]

use std::fs;

use relayscope::anomaly::{Book, Detector, Options, Watch, auth, flow, limits, peers, protocol, reputation, upstream, volume};
use relayscope::trace::{self, Record};

#[path = "../src/anomaly/samples.rs"]
#[allow(dead_code, reason = "shared with the detectors' own tests")]
mod samples;
#[path = "../tests/support/week/mod.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the test of the weeks")]
mod week;

use samples::MONDAY;
use week::{DAY, HOUR, MINUTE, Traffic};

const SENDERS: u64 = 100_000;
/// Days that are passed before it is measured: the detectors know what is usual, and their tables are full.
const WARM: u64 = 7;
const MEASURED: u64 = 2;

/// Time of this thread on a processor, in ns: the machine may be busy.
fn on_processor() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default()
}

/// Resident octets of this process.
fn resident() -> u64 {
    let stat = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    stat.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4_096
}

fn book() -> Book {
    Book::new(Options::default().book, samples::origin())
}

/// A group's detectors, or all, with the watch of DNS.
fn watch(group: &str) -> Watch {
    let options = Options::default();
    let detectors: Vec<Box<dyn Detector>> = match group {
        "volume" => vec![Box::new(volume::Volume::new(options.volume))],
        "flow" => flow::detectors(&options.flow),
        "peers" => peers::detectors(&options.peers),
        "protocol" => protocol::detectors(&options.protocol),
        "limits" => vec![Box::new(limits::Limits::new(&options.limits))],
        "auth" => auth::detectors(&options.auth),
        "reputation" => reputation::detectors(&options.reputation),
        "upstream" => upstream::detectors(&options.upstream),
        "none" => Vec::new(),
        _ => return Watch::new(&options, book()),
    };
    Watch::with(detectors, book())
}

/// ns of a processor, records, and the costliest hour's ns a record.
fn week(group: &str) -> (u64, u64, u64) {
    let (mut watch, mut traffic, mut entries) = (watch(group), Traffic::new(1), Vec::new());
    let (mut ns, mut count, mut worst) = (0, 0, 0);
    for hour in 0..(WARM + MEASURED) * 24 {
        let records = traffic.hour(MONDAY + hour * HOUR);
        let before = on_processor();
        for record in &records {
            watch.observe(record, &mut entries);
        }
        let took = on_processor() - before;
        if hour >= WARM * 24 {
            (ns, count) = (ns + took, count + records.len() as u64);
            worst = worst.max(took / records.len().max(1) as u64);
        }
    }
    (ns, count, worst)
}

/// A mail of each of them, an hour apart three times, so that all have habits.
fn senders() {
    let mut records: Vec<Record> = Vec::new();
    let before = resident();
    let (mut watch, mut entries) = (watch("volume"), Vec::new());
    for round in 0..3 {
        for no in 0..SENDERS {
            let at = MONDAY + round * 2 * HOUR + no * (HOUR / SENDERS);
            let sender = format!("sender.{no}@department{}.our.example", no % 900);
            records.push(samples::mail(at, no).from(&sender).record());
            if records.len() == 1_000 {
                records.drain(..).for_each(|record| watch.observe(&record, &mut entries));
            }
        }
    }
    watch.tick(MONDAY + 7 * HOUR + MINUTE, &mut entries);
    let taken = resident().saturating_sub(before);
    println!(
        "{SENDERS} senders with habits: {:.1} MiB resident ({} octets each); held to 64 MiB",
        taken as f64 / 1_048_576.0,
        taken / SENDERS
    );
    let began = on_processor();
    watch.tick(MONDAY + DAY, &mut entries);
    println!("  judging for {} h: {:.1} ms of a processor a minute", 17, (on_processor() - began) as f64 / 1e6 / (17.0 * 60.0));
    let began = on_processor();
    let kept = watch.keep();
    let kept_in = on_processor() - began;
    let octets: usize = kept.iter().map(|(_, octets)| octets.len()).sum();
    let began = on_processor();
    let mut other = self::watch("volume");
    assert!(other.restore(&kept).is_empty());
    let ms = |ns: u64| ns as f64 / 1e6;
    println!("  kept in {:.0} ms, {:.1} MiB; taken back in {:.0} ms", ms(kept_in), octets as f64 / 1_048_576.0, ms(on_processor() - began));
}

fn main() {
    // `cargo test --benches` only wants to see that it runs.
    if !std::env::args().any(|it| it == "--bench") {
        return;
    }
    senders();
    println!("µs of a processor for each record, {MEASURED} ordinary days after {WARM} others");
    let (base, count, _) = week("none");
    let of = |ns: u64| ns.saturating_sub(base) as f64 / 1e3 / count as f64;
    for group in ["volume", "flow", "peers", "protocol", "limits", "auth", "reputation", "upstream"] {
        println!("  {group:<12} {:.2}", of(week(group).0));
    }
    let (ns, count, worst) = week("all");
    println!(
        "  {:<12} {:.2} (worst hour {:.2}; held to 3.0), of {count} records",
        "all",
        ns as f64 / 1e3 / count as f64,
        worst as f64 / 1e3
    );
}
