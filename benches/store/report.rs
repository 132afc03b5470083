//! What a process has used, and times in a line.

use std::path::Path;
use std::time::Duration;

pub fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    format!("p50 {:>8.0}  p90 {:>8.0}  p99 {:>8.0}  max {:>8.0}  µs", at(0.5), at(0.9), at(0.99), at(1.0))
}

fn ticks(stat: &str) -> Duration {
    let fields: Vec<_> = stat.split_whitespace().collect();
    Duration::from_millis((fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) * 10)
}

/// Of all threads of this process.
pub fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    ticks(stat.rsplit_once(')').unwrap().1)
}

/// Of the threads that are alive.
pub fn threads() -> Vec<(String, Duration)> {
    let of = |stat: String| {
        let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
        (name.to_owned(), ticks(rest))
    };
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.map(|task| of(std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap())).collect()
}

/// MiB.
pub fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

pub fn octets_in(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| if entry.path().is_dir() { octets_in(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}
