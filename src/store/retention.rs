//! Which days are kept: so many days, so many octets; the oldest go first, today never.

use std::fs;
use std::path::Path;

use super::day::Day;
use super::live::Live;
use crate::trace::WallMicros;

/// A day being removed has this added to its name, so that a crash leaves no half of a day behind.
const REMOVED: &str = "removed";

/// Removes what is beyond the limits.
pub(super) fn apply(live: &Live, now: WallMicros) {
    let options = &live.options;
    if options.keep_days == 0 && options.keep_octets == 0 {
        return;
    }
    let days: Vec<_> =
        live.journal.days().iter().map(|day| (day.day, if options.keep_octets == 0 { 0 } else { octets_in(&day.dir) })).collect();
    for day in expired(&days, Day::of(now), options.keep_days, options.keep_octets) {
        live.journal.forget(day);
        live.index.forget(day);
        let dir = options.dir.join(day.to_string());
        let aside = dir.with_extension(REMOVED);
        match fs::rename(&dir, &aside).and_then(|()| fs::remove_dir_all(&aside)) {
            Ok(()) => tracing::info!(%day, "a day of traces was removed: it is beyond what is kept"),
            Err(error) => tracing::error!(%day, %error, "a day of traces could not be removed"),
        }
    }
}

/// Removes what an earlier removal left behind.
pub(super) fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let is_day = path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem.parse::<Day>().is_ok());
        if is_day && path.extension().is_some_and(|extension| extension == REMOVED) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// The days, out of days in order with their octets, that have to go.
fn expired(days: &[(Day, u64)], today: Day, keep_days: u32, keep_octets: u64) -> Vec<Day> {
    let mut total: u64 = days.iter().map(|(_, octets)| octets).sum();
    let mut expired = Vec::new();
    for (position, &(day, octets)) in days.iter().enumerate() {
        let last = position + 1 == days.len();
        let too_old = keep_days != 0 && today.number().saturating_sub(day.number()) > keep_days;
        let too_much = keep_octets != 0 && total > keep_octets;
        if last || day >= today || !(too_old || too_much) {
            break;
        }
        total -= octets;
        expired.push(day);
    }
    expired
}

/// Octets of all files below a directory.
pub(super) fn octets_in(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => octets_in(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Octets of a file.
pub(super) fn octets_of(file: &Path) -> u64 {
    fs::metadata(file).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_days_go_first_and_today_never() {
        let day = |number: u64| Day::of(number * 86_400_000_000);
        let days: Vec<_> = [10, 11, 14, 15].map(|number| (day(number), 100)).to_vec();
        let today = day(15);
        for (keep_days, keep_octets, gone) in
            [(0, 0, 0), (30, 0, 0), (5, 0, 0), (4, 0, 1), (1, 0, 2), (0, 400, 0), (0, 399, 1), (0, 150, 3), (0, 1, 3), (4, 250, 2)]
        {
            let expected: Vec<_> = days.iter().take(gone).map(|(day, _)| *day).collect();
            assert_eq!(expired(&days, today, keep_days, keep_octets), expected, "{keep_days} days, {keep_octets} octets");
        }
    }
}
