//! Room: what the traces take, what they may take, and what the file system has left.

use super::super::Check;
use super::super::options::Options;
use crate::store::{self, Store, StoreError, StoreStats};
use crate::trace::WallMicros;

const DAY_US: u64 = 86_400_000_000;
/// Days ahead at which a disk that fills is told.
const SOON: u64 = 7;
/// Below this share of free octets or inodes, in a hundred, all is about to end.
const LEAST: u64 = 3;

pub(super) fn checks(options: &Options, store: &Store, now: WallMicros) -> Result<Vec<Check>, StoreError> {
    let stats = store.stats()?;
    let taken = stats.journal_octets + stats.index_octets;
    let a_day = a_day(&stats, taken, now);
    let mut checks = vec![size(options, &stats, taken, a_day)];
    checks.push(free(options, taken, a_day));
    Ok(checks)
}

/// Octets that a day of traces takes, by the days there are.
fn a_day(stats: &StoreStats, taken: u64, now: WallMicros) -> u64 {
    let days = stats.days.max(1);
    // Today isn't over.
    let today = now % DAY_US;
    let us = (days - 1).saturating_mul(DAY_US).saturating_add(today).max(DAY_US / 24);
    u64::try_from(u128::from(taken) * u128::from(DAY_US) / u128::from(us)).unwrap_or(u64::MAX)
}

fn size(options: &Options, stats: &StoreStats, taken: u64, a_day: u64) -> Check {
    let why = "when the limit is reached the oldest dialogues and days go: it should hold as long as you want to look back";
    let check = Check::asking("own.store_size", format!("size of the store in {}", options.store.dir.display()), why);
    let days = if stats.days == 1 { "1 day".to_owned() } else { format!("{} days", stats.days) };
    let facts = format!("{} of {days} ({} records), some {} a day", octets(taken), stats.records, octets(a_day));
    let (limit, keep) = (options.store.keep_octets, u64::from(options.store.keep_days));
    if limit == 0 {
        let bound = if keep == 0 { "no limit at all: it grows for ever" } else { "no limit by size" };
        let answer = format!("{facts}; {bound}");
        return match keep {
            0 => check.warn(answer, "Set `keep_days` or `keep_size` in [store]."),
            _ => check.ok(format!("{answer}, {keep} days are kept: some {} in the end", octets(a_day.saturating_mul(keep)))),
        };
    }
    let holds = limit / a_day.max(1);
    let answer = format!("{facts}; the limit of {} holds {holds} days of that", octets(limit));
    if keep > 0 && holds < keep {
        return check.warn(
            answer,
            format!(
                "`keep_days = {keep}` can't be held with `keep_size`: raise it to {}, or lower `keep_days`.",
                octets(a_day.saturating_mul(keep))
            ),
        );
    }
    check.ok(answer)
}

fn free(options: &Options, taken: u64, a_day: u64) -> Check {
    let why = "on a full disk records are lost, and with `on_store_failure = \"defer\"` mail stops";
    let check = Check::asking("own.disk", format!("free space where {} is", options.store.dir.display()), why);
    let Ok(found) = rustix::fs::statvfs(&options.store.dir) else { return check.skipped("the file system doesn't tell") };
    let (free, all) = (found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize).max(1));
    let (inodes_free, inodes) = (found.f_favail, found.f_files);
    let percent = u64::try_from(u128::from(free) * 100 / u128::from(all)).unwrap_or(100);
    let days = free / a_day.max(1);
    let mut answer = format!("{} free of {} ({percent} %)", octets(free), octets(all));
    let fix = "Make room, set `keep_size` or `keep_free_size` in [store] (traces then give way), or move the store.";
    if inodes > 0 && inodes_free.saturating_mul(100) / inodes < LEAST {
        answer.push_str(&format!("; only {inodes_free} of {inodes} inodes are free"));
        return check.fail(answer, "Something makes very many small files there: `df -i`, then `find DIR -xdev | wc -l` by folder.");
    }
    if percent < LEAST {
        return check.fail(answer, fix);
    }
    if days < SOON && fills(&options.store, taken, a_day, free) {
        answer.push_str(&format!("; full in {days} days at {} a day", octets(a_day)));
        return check.warn(answer, fix);
    }
    check.ok(answer)
}

/// Whether the traces take all that is free before the first of them go by their age. Today isn't counted among the days that are kept.
fn fills(store: &store::Options, taken: u64, a_day: u64, free: u64) -> bool {
    if store.keep_octets > 0 || store.keep_free_octets > 0 {
        return false;
    }
    let days = u64::from(store.keep_days.max(store.keep_failures_days));
    days == 0 || a_day.saturating_mul(days + 1) > taken.saturating_add(free)
}

/// "1.2 GB".
pub(super) fn octets(count: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)];
    match UNITS.iter().find(|(_, size)| count >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", count / size, count % size * 10 / size),
        None => format!("{count} octets"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_fills_only_where_traces_are_kept_for_too_long() {
        let store = |keep_days, keep_failures_days| store::Options { keep_days, keep_failures_days, ..store::Options::new("/nowhere") };
        // 28 days of 100 octets are there, and room for 5 more.
        let fills = |store: store::Options| fills(&store, 2_800, 100, 500);
        assert!(!fills(store(30, 0)) && !fills(store(32, 0)) && fills(store(33, 0)));
        assert!(fills(store(30, 90)) && fills(store(0, 0)));
        assert!(!fills(store::Options { keep_octets: 1, ..store(0, 0) }) && !fills(store::Options { keep_free_octets: 1, ..store(90, 0) }));
    }
}
