//! A UTC day: the unit of retention, and the name of a directory.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::{Date, date};
use thiserror::Error;

use crate::trace::WallMicros;

const DAY_US: u64 = 86_400_000_000;

/// Days since 1970-01-01, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u32);

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a day: 2026-11-23 is the form")]
pub struct NotADay(String);

impl Day {
    pub fn of(at: WallMicros) -> Self {
        // The year 9999 is the last that the directory name can hold.
        Self((at / DAY_US).min(2_932_896) as u32)
    }

    pub fn start(self) -> WallMicros {
        u64::from(self.0) * DAY_US
    }

    pub fn end(self) -> WallMicros {
        self.start() + DAY_US
    }

    /// The day of that number.
    pub(super) fn numbered(number: u32) -> Self {
        Self(number.min(2_932_896))
    }

    pub fn number(self) -> u32 {
        self.0
    }

    pub fn later(self, days: u32) -> Self {
        Self(self.0.saturating_add(days))
    }

    pub fn earlier(self, days: u32) -> Self {
        Self(self.0.saturating_sub(days))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = date(1970, 1, 1).checked_add(i64::from(self.0).days()).unwrap_or(Date::MAX);
        write!(f, "{:04}-{:02}-{:02}", day.year(), day.month(), day.day())
    }
}

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        let refuse = || NotADay(text.chars().take(64).collect());
        if text.len() != 10 {
            return Err(refuse());
        }
        let day: Date = text.parse().map_err(|_| refuse())?;
        let since = day.since(date(1970, 1, 1)).map_err(|_| refuse())?;
        let since = Self(u32::try_from(since.get_days()).map_err(|_| refuse())?);
        // One name per day: what reads back otherwise ("20261123  ") isn't ours.
        if since.to_string() == text { Ok(since) } else { Err(refuse()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_named_by_its_date_and_read_back() {
        for (at, name) in [(0, "1970-01-01"), (951_782_400_000_000, "2000-02-29"), (1_795_392_000_000_000, "2026-11-23")] {
            let day = Day::of(at);
            assert_eq!(day.to_string(), name);
            assert_eq!(name.parse(), Ok(day));
            assert_eq!(Day::of(day.end() - 1), day);
            assert_eq!(Day::of(day.start()), day);
        }
    }

    #[test]
    fn other_names_are_no_days() {
        for name in ["", "state", "2026-13-01", "2026-11-23.removed", "20261123", "1969-12-31", "lock"] {
            assert!(name.parse::<Day>().is_err(), "{name}");
        }
    }
}
