//! Days on which it is quiet: those that the configuration names, and those that show it by themselves.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::usual::Usual;
use crate::anomaly::window::HOUR;
use crate::trace::WallMicros;

/// Hours before a batch that are looked at with it.
const BEFORE: u32 = 8;
/// Hours of which it is known how much came.
const KNOWN: u32 = 24;
/// Where less than that is usual, quiet says nothing. Messages.
const LEAST: f32 = 100.0;
/// It is quiet where at most this share of what is usual comes.
const SHARE: f32 = 0.3;

/// A day of one year, or of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holiday {
    year: Option<i16>,
    month: i8,
    day: i8,
}

impl FromStr for Holiday {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no day: write \"2026-12-25\", or \"12-25\" for each year");
        let parts: Vec<&str> = text.split('-').collect();
        let (year, month, day) = match parts.as_slice() {
            [year, month, day] => (Some(year.parse::<i16>().map_err(|_| wrong())?), month, day),
            [month, day] => (None, month, day),
            _ => return Err(wrong()),
        };
        let (month, day) = (month.parse().map_err(|_| wrong())?, day.parse().map_err(|_| wrong())?);
        // A year that has a 29 February.
        Date::new(year.unwrap_or(2024), month, day).map_err(|_| wrong())?;
        Ok(Self { year, month, day })
    }
}

/// Days on which nobody misses a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Holidays {
    pub days: Vec<Holiday>,
    /// Where these days begin and end.
    pub zone: TimeZone,
}

impl Default for Holidays {
    fn default() -> Self {
        Self { days: Vec::new(), zone: TimeZone::UTC }
    }
}

impl Holidays {
    /// Whether some of that time lies on one of them.
    pub fn touch(&self, from: WallMicros, until: WallMicros) -> bool {
        let on = |at: WallMicros| {
            let at = Timestamp::from_microsecond(i64::try_from(at).ok()?).ok()?;
            Some(self.zone.to_datetime(at).date())
        };
        !self.days.is_empty()
            && [on(from), on(until.saturating_sub(1))].into_iter().flatten().any(|date| {
                let is = |it: &Holiday| it.year.is_none_or(|year| year == date.year()) && (it.month, it.day) == (date.month(), date.day());
                self.days.iter().any(is)
            })
    }
}

/// What came in all, by the hour since 1970.
#[derive(Debug, Default)]
pub(super) struct Whole {
    hours: BTreeMap<u32, Hour>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Hour {
    /// When it began: afterwards it is part of what is usual itself.
    usual: f32,
    came: u32,
}

/// How much came beside a batch, of how much.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Quiet {
    pub since: WallMicros,
    pub came: u32,
    pub usual: f32,
}

impl Whole {
    pub fn count(&mut self, at: WallMicros) {
        let hour = self.hour((at / HOUR) as u32);
        hour.came = hour.came.saturating_add(1);
    }

    /// An hour begins, in which all listeners together usually have so much.
    pub fn begin(&mut self, hour: u32, usual: f32) {
        self.hour(hour).usual = usual;
    }

    fn hour(&mut self, hour: u32) -> &mut Hour {
        while self.hours.len() > KNOWN as usize {
            self.hours.pop_first();
        }
        self.hours.entry(hour).or_default()
    }

    /// Whether nearly nothing of what else is usual came, from some hours before a batch's `hours` on. `own`: what is usual of whoever sends
    /// the batch, which is what is missing.
    pub fn quiet(&self, own: &Usual, hours: Range<u32>, up_since: WallMicros) -> Option<Quiet> {
        let up = up_since.div_ceil(HOUR) as u32;
        let from = hours.start.saturating_sub(BEFORE).max(up).min(hours.end);
        let (mut usual, mut came) = (0.0, 0_u32);
        for (hour, it) in self.hours.range(from..hours.end) {
            usual += (it.usual - own.at_hour(*hour)).max(0.0);
            came = came.saturating_add(it.came);
        }
        (usual >= LEAST && came as f32 <= usual * SHARE).then_some(Quiet { since: u64::from(from) * HOUR, came, usual })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::samples::MONDAY;
    use crate::anomaly::window::DAY;

    #[test]
    fn days_are_read_and_what_is_none_is_refused() {
        for text in ["2026-12-25", "12-25", "02-29", "2028-02-29"] {
            assert!(text.parse::<Holiday>().is_ok(), "{text}");
        }
        for text in ["", "christmas", "13-01", "2027-02-29", "12-32", "25.12.", "1-2-3-4", "-12-25"] {
            let error = text.parse::<Holiday>().unwrap_err();
            assert!(error.contains("write \"2026-12-25\""), "{error}");
        }
    }

    #[test]
    fn a_day_is_the_zones_own() {
        // MONDAY is 00:00 UTC.
        let date = TimeZone::UTC.to_datetime(Timestamp::from_microsecond(MONDAY as i64).unwrap()).date();
        let of = |zone: TimeZone, day: String| Holidays { days: vec![day.parse().unwrap()], zone };
        let in_utc = of(TimeZone::UTC, date.to_string());
        assert!(in_utc.touch(MONDAY, MONDAY + HOUR) && in_utc.touch(MONDAY - HOUR, MONDAY + HOUR));
        assert!(!in_utc.touch(MONDAY - HOUR, MONDAY) && !in_utc.touch(MONDAY + DAY, MONDAY + DAY + HOUR));
        let yearly = of(TimeZone::UTC, date.strftime("%m-%d").to_string());
        assert!(yearly.touch(MONDAY, MONDAY + HOUR));
        assert!(yearly.touch(MONDAY + 365 * DAY, MONDAY + 365 * DAY + HOUR), "a year with as many days");
        // An hour east the day began at 23:00 UTC.
        let east = of(TimeZone::fixed(jiff::tz::offset(1)), date.to_string());
        assert!(east.touch(MONDAY - HOUR, MONDAY) && !east.touch(MONDAY + 23 * HOUR, MONDAY + DAY));
    }
}
