//! In which order the journal was written, where that isn't the order of its days.
//!
//! A clock that is days ahead names days that are yet to come; once it is right again, records go to a day before those. Whoever follows the
//! journal must get to them all the same: after the last record of the days ahead comes what was written since the return. The returns
//! stand in `STORE/returns.json`; most stores never have one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Serialize};

use super::cursor::Cursor;
use super::day::Day;
use super::locks::{reading, writing};
use crate::replace::{ANYBODY, Outlives, replace};

pub(super) const NAME: &str = "returns.json";
/// Days before another of which some have records where the clock went on day by day: there are holidays.
const NEAR: u32 = 7;

/// The order of one journal, as far as it is known to the disk.
#[derive(Debug)]
pub(super) struct Order {
    path: PathBuf,
    laps: RwLock<Arc<Laps>>,
}

/// What was written between two returns is a lap: within it days follow each other, and the laps follow each other.
#[derive(Debug, Clone, Default)]
pub(super) struct Laps {
    /// One before each lap but the first.
    returns: Vec<Return>,
}

/// The clock went back by days, and the journal with it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Return {
    /// The first place that was written then.
    at: Cursor,
    /// Later days that were there already, and from which number on each could be written since.
    ahead: BTreeMap<Day, u32>,
}

/// A return as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    at: String,
    ahead: BTreeMap<String, u32>,
}

impl Order {
    /// The order of the journal in `dir`. Where it can't be read, days follow each other.
    pub fn read(dir: &Path) -> Self {
        let path = dir.join(NAME);
        let laps = match read(&path) {
            Ok(laps) => laps,
            Err(error) => {
                tracing::error!(
                    file = %path.display(), %error,
                    "which days were written by a clock that was ahead can't be told: exports may stop at those, or send records twice"
                );
                Laps::default()
            }
        };
        Self { path, laps: RwLock::new(Arc::new(laps)) }
    }

    pub fn laps(&self) -> Arc<Laps> {
        reading(&self.laps).clone()
    }

    /// A new file is begun in that day: the number of its first record. `ends`: the days that there are, with their next numbers. A return
    /// is on the disk before anything is written behind it.
    ///
    /// # Errors
    /// It can't be written down.
    pub fn begin(&self, day: Day, ends: &BTreeMap<Day, u32>) -> io::Result<u32> {
        let laps = self.laps();
        let end = ends.get(&day).copied().unwrap_or_default();
        if laps.can_go_on_in(day, ends) {
            return Ok(laps.first_free(day, end));
        }
        // One number stays free: a place at the end of what was written before is another one than the first of what follows, and the
        // beginning of a day is what it was.
        let behind = |end: u32| end.saturating_add(1);
        let at = Cursor { day, number: behind(end) };
        let ahead = ends.range(day.later(1)..).filter(|&(_, &end)| end > 0).map(|(&day, &end)| (day, behind(end))).collect();
        let mut returns = laps.returns.clone();
        returns.retain(|it| ends.contains_key(&it.at.day) || it.ahead.keys().any(|day| ends.contains_key(day)));
        returns.push(Return { at, ahead });
        let laps = Laps { returns };
        write(&self.path, &laps)?;
        *writing(&self.laps) = Arc::new(laps);
        Ok(at.number)
    }
}

impl Laps {
    fn last(&self) -> usize {
        self.returns.len()
    }

    /// Where the lap begins in that day; `None`: it has nothing there.
    fn from(&self, lap: usize, day: Day) -> Option<u32> {
        let Some(it) = lap.checked_sub(1).and_then(|before| self.returns.get(before)) else { return Some(0) };
        match day.cmp(&it.at.day) {
            std::cmp::Ordering::Less => None,
            std::cmp::Ordering::Equal => Some(it.at.number),
            std::cmp::Ordering::Greater => Some(it.ahead.get(&day).copied().unwrap_or(1)),
        }
    }

    /// Where what was written in later laps begins in that day.
    fn until(&self, lap: usize, day: Day) -> u32 {
        (lap + 1..=self.last()).filter_map(|later| self.from(later, day)).min().unwrap_or(u32::MAX)
    }

    fn lap(&self, at: Cursor) -> usize {
        (1..=self.last()).rev().find(|&lap| self.from(lap, at.day).is_some_and(|from| at.number >= from)).unwrap_or_default()
    }

    /// Whether the present lap can go on in that day; otherwise that would be a return.
    fn can_go_on_in(&self, day: Day, ends: &BTreeMap<Day, u32>) -> bool {
        let lap = self.last();
        let is_ahead = |(&later, &end): (&Day, &u32)| self.from(lap, later).is_some_and(|from| end > from);
        self.from(lap, day).is_some() && !ends.range(day.later(1)..).any(is_ahead)
    }

    /// The first number that a new file of that day may have; `end`: the next number there.
    pub fn first_free(&self, day: Day, end: u32) -> u32 {
        (1..=self.last()).filter_map(|lap| self.from(lap, day)).fold(end, u32::max)
    }

    /// Whether that day was there already, and later, when the clock went back last.
    pub fn is_ahead(&self, day: Day) -> bool {
        self.returns.last().is_some_and(|it| it.ahead.contains_key(&day))
    }

    /// Which of two places was written first.
    pub fn compare(&self, one: Cursor, other: Cursor) -> std::cmp::Ordering {
        (self.lap(one), one).cmp(&(self.lap(other), other))
    }

    /// The newest of the days up to `until` that were there when something was last written to that day: then a clock that was behind named
    /// it, and it isn't as old as it says. `end_of` tells each day's next number.
    ///
    /// Those that a clock ahead had named are come to day by day; a clock that was behind is set right, and leaps.
    pub fn written_behind(&self, day: Day, until: Day, end_of: impl Fn(Day) -> u32) -> Option<Day> {
        let is_written = |lap: usize, day: Day| self.from(lap, day).is_some_and(|from| end_of(day) > from);
        let is_leapt_to = |lap: usize, ahead: Day| {
            let near = ahead.earlier(NEAR).max(day.later(1)).number()..ahead.number();
            !near.map(Day::numbered).any(|before| is_written(lap, before))
        };
        let since = self.returns.iter().zip(1..).filter(|&(_, lap)| is_written(lap, day));
        let ahead = since.flat_map(|(it, lap)| it.ahead.range(day.later(1)..).map(move |(&ahead, _)| (lap, ahead)));
        ahead.filter(|&(lap, ahead)| ahead <= until && is_leapt_to(lap, ahead)).map(|(_, ahead)| ahead).max()
    }

    /// The earliest day on which something may stand that was written after a record of that day, or of one of the two that follow: a record
    /// may have begun a day before it was written.
    pub fn earliest_behind(&self, day: Day) -> Day {
        let returns = self.returns.iter().filter(|it| it.ahead.range(day..=day.later(2)).next().is_some());
        returns.map(|it| it.at.day).fold(day, Day::min)
    }

    /// The parts of days that come from there on, in their order: a day, and numbers of it. `days`: those that there are, in order.
    pub fn parts_from<'a>(&'a self, at: Cursor, days: &'a [Day]) -> impl Iterator<Item = (Day, std::ops::Range<u32>)> + 'a {
        let here = self.lap(at);
        (here..=self.last()).flat_map(move |lap| {
            let first = if lap == here { at.day } else { Day::of(0) };
            days.iter().filter(move |&&day| day >= first).filter_map(move |&day| {
                let from = if lap == here && day == at.day { at.number } else { self.from(lap, day)? };
                let until = self.until(lap, day);
                (from < until).then_some((day, from..until))
            })
        })
    }

    /// The day that is written at present, and where it ends.
    pub fn end(&self, ends: &BTreeMap<Day, u32>) -> Option<Cursor> {
        let lap = self.last();
        let written = ends.iter().rev().find(|&(&day, &end)| self.from(lap, day).is_some_and(|from| end > from || lap == 0));
        let written = written.map(|(&day, &end)| Cursor { day, number: end });
        // Nothing yet, since the clock went back.
        written.or_else(|| self.returns.last().map(|it| it.at)).filter(|_| !ends.is_empty())
    }
}

fn read(path: &Path) -> io::Result<Laps> {
    let octets = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Laps::default()),
        octets => octets?,
    };
    let bad = |why: String| io::Error::new(ErrorKind::InvalidData, why);
    let written: Vec<Written> = serde_json::from_slice(&octets).map_err(|error| bad(error.to_string()))?;
    let return_of = |written: Written| {
        let at = written.at.parse().map_err(|error: super::cursor::NotACursor| bad(error.to_string()))?;
        let day = |(day, from): (String, u32)| Ok((day.parse().map_err(|error: super::day::NotADay| bad(error.to_string()))?, from));
        Ok(Return { at, ahead: written.ahead.into_iter().map(day).collect::<io::Result<_>>()? })
    };
    Ok(Laps { returns: written.into_iter().map(return_of).collect::<io::Result<_>>()? })
}

fn write(path: &Path, laps: &Laps) -> io::Result<()> {
    let day = |(day, from): (&Day, &u32)| (day.to_string(), *from);
    let written = laps.returns.iter().map(|it| Written { at: it.at.to_string(), ahead: it.ahead.iter().map(day).collect() });
    let text = serde_json::to_string(&written.collect::<Vec<_>>())?;
    replace(path, text.as_bytes(), ANYBODY, Outlives::PowerCut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(number: u32) -> Day {
        Day::numbered(number)
    }

    fn at(day: u32, number: u32) -> Cursor {
        Cursor { day: Day::numbered(day), number }
    }

    fn ends<const N: usize>(of: [(u32, u32); N]) -> BTreeMap<Day, u32> {
        of.into_iter().map(|(number, end)| (day(number), end)).collect()
    }

    fn parts(laps: &Laps, from: Cursor, days: &[u32]) -> Vec<(u32, u32, u32)> {
        let days: Vec<Day> = days.iter().map(|&number| day(number)).collect();
        laps.parts_from(from, &days).map(|(day, numbers)| (day.number(), numbers.start, numbers.end)).collect()
    }

    const ON: u32 = u32::MAX;

    #[test]
    fn without_a_return_days_follow_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let order = Order::read(dir.path());
        assert_eq!(order.begin(day(5), &ends([])).unwrap(), 0);
        assert_eq!(order.begin(day(5), &ends([(4, 9), (5, 3)])).unwrap(), 3);
        assert_eq!(order.begin(day(6), &ends([(4, 9), (5, 3)])).unwrap(), 0);
        assert_eq!(parts(&order.laps(), at(4, 2), &[3, 4, 6]), [(4, 2, ON), (6, 0, ON)]);
        assert_eq!(order.laps().end(&ends([(4, 9), (6, 0)])), Some(at(6, 0)));
        assert_eq!(order.laps().end(&ends([])), None);
        assert!(!dir.path().join(NAME).exists());
    }

    #[test]
    fn what_is_written_after_a_return_follows_the_days_ahead() {
        let dir = tempfile::tempdir().unwrap();
        let order = Order::read(dir.path());
        // Day 5 had nine records before the clock went to day 90.
        let there = ends([(4, 2), (5, 9), (90, 7)]);
        assert_eq!(order.begin(day(5), &there).unwrap(), 10);
        assert_eq!(order.laps().end(&there), Some(at(5, 10)), "nothing is written yet");
        for order in [order, Order::read(dir.path())] {
            let laps = order.laps();
            let days = [4, 5, 90];
            assert_eq!(parts(&laps, at(4, 1), &days), [(4, 1, ON), (5, 0, 10), (90, 0, 8), (5, 10, ON), (90, 8, ON)]);
            assert_eq!(parts(&laps, at(90, 7), &days), [(90, 7, 8), (5, 10, ON), (90, 8, ON)], "whoever was at the end goes on");
            assert_eq!(parts(&laps, at(5, 9), &days), [(5, 9, 10), (90, 0, 8), (5, 10, ON), (90, 8, ON)], "whoever was before it too");
            assert_eq!(parts(&laps, at(5, 10), &days), [(5, 10, ON), (90, 8, ON)], "and nothing twice");
            assert!(laps.compare(at(90, 7), at(5, 10)).is_lt());
            assert!(laps.compare(at(5, 9), at(90, 0)).is_lt());
            // Further files and days are no returns.
            assert_eq!(order.begin(day(5), &ends([(4, 2), (5, 12), (90, 7)])).unwrap(), 12);
            assert_eq!(order.begin(day(6), &ends([(4, 2), (5, 12), (90, 7)])).unwrap(), 1);
            assert_eq!(laps.end(&ends([(4, 2), (5, 12), (6, 3), (90, 7)])), Some(at(6, 3)));
        }
    }

    #[test]
    fn a_day_that_a_clock_behind_named_is_told_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let order = Order::read(dir.path());
        // The clock began at day 0; later it is right again.
        let mut ends = ends([(97, 4), (98, 9)]);
        let behind = |ends: &BTreeMap<Day, u32>, of: u32, until: u32| {
            let end_of = |day: Day| ends.get(&day).copied().unwrap_or_default();
            order.laps().written_behind(day(of), day(until), end_of).map(Day::number)
        };
        order.begin(day(0), &ends).unwrap();
        ends.insert(day(0), 1);
        assert_eq!(behind(&ends, 0, 120), None, "nothing was written yet");
        ends.extend([(day(0), 3), (day(1), 3), (day(99), 7)]);
        assert_eq!(behind(&ends, 0, 120), Some(98));
        assert_eq!(behind(&ends, 1, 120), Some(98), "it went on for a day");
        assert_eq!(behind(&ends, 97, 120), None);
        assert_eq!(behind(&ends, 99, 120), None);
        // It was ahead, and is right again: no day has come yet that it named.
        ends.insert(day(400), 2);
        order.begin(day(99), &ends).unwrap();
        ends.insert(day(99), 9);
        assert_eq!(behind(&ends, 99, 120), None);
        assert_eq!(behind(&ends, 0, 120), Some(98));
        // Those days come, one after the other, but for holidays.
        ends.extend((100..398).map(|number| (day(number), 5)));
        ends.insert(day(400), 9);
        for of in [99, 100, 300, 396] {
            assert_eq!(behind(&ends, of, 401), None, "day {of}");
        }
        assert_eq!(behind(&ends, 0, 401), Some(98));
    }

    #[test]
    fn the_days_ahead_are_reached_and_left_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let order = Order::read(dir.path());
        order.begin(day(5), &ends([(90, 7)])).unwrap();
        // The clock is wrong again, by more.
        assert_eq!(order.begin(day(90), &ends([(5, 4), (90, 7)])).unwrap(), 8, "no return: a day further on");
        assert_eq!(order.begin(day(91), &ends([(5, 4), (90, 9)])).unwrap(), 1);
        assert_eq!(order.begin(day(6), &ends([(5, 4), (90, 9), (91, 2)])).unwrap(), 1);
        let days = [5, 6, 90, 91];
        let expected = [(90, 0, 8), (91, 0, 1), (5, 1, ON), (90, 8, 10), (91, 1, 3), (6, 1, ON), (90, 10, ON), (91, 3, ON)];
        assert_eq!(parts(&order.laps(), at(90, 0), &days), expected);
        // A return of which nothing is left is forgotten with the next.
        order.begin(day(6), &ends([(6, 3), (200, 1)])).unwrap();
        assert_eq!(Order::read(dir.path()).laps().returns.len(), 2);
    }

    #[test]
    fn a_file_that_does_not_read_is_said_and_days_follow_each_other() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{}", "[{\"at\":\"x\",\"ahead\":{}}]", "[{\"at\":\"2026-11-23.1\",\"ahead\":{\"soon\":1}}]"] {
            fs::write(dir.path().join(NAME), text).unwrap();
            assert_eq!(Order::read(dir.path()).laps().returns, []);
        }
    }
}
