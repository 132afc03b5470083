//! A place in the journal that stays valid: across sealing, restarts and new records.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::day::Day;

/// A day and the number of a record within it. Reading forward starts with that record, paging backward ends before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor {
    pub(super) day: Day,
    pub(super) number: u32,
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is not a cursor: 2026-11-23.17 is the form")]
pub struct NotACursor(String);

impl Cursor {
    /// Where that day begins.
    pub fn at_start_of(day: Day) -> Self {
        Self { day, number: 0 }
    }

    /// Behind all that will ever be in that day.
    pub fn at_end_of(day: Day) -> Self {
        Self { day, number: u32::MAX }
    }

    pub fn day(self) -> Day {
        self.day
    }

    pub(super) fn next(self) -> Self {
        Self { day: self.day, number: self.number.saturating_add(1) }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.day, self.number)
    }
}

impl FromStr for Cursor {
    type Err = NotACursor;

    fn from_str(text: &str) -> Result<Self, NotACursor> {
        let parse = || {
            let (day, number) = text.split_once('.')?;
            Some(Self { day: day.parse().ok()?, number: number.parse().ok()? })
        };
        parse().ok_or_else(|| NotACursor(text.chars().take(64).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let cursor = Cursor { day: Day::of(1_795_392_000_000_000), number: 65_536 };
        assert_eq!(cursor.to_string(), "2026-11-23.65536");
        assert_eq!("2026-11-23.65536".parse(), Ok(cursor));
        for text in ["", "2026-11-23", "2026-11-23.", "2026-11-23.-1", "x.1", "2026-11-23.4294967296"] {
            assert!(text.parse::<Cursor>().is_err(), "{text}");
        }
    }
}
