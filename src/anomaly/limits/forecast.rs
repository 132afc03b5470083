//! When a quota will be used up, and when it has room again.

use super::account::Limit;
use super::counted::{Counted, SLOT};
use super::options::{DayBoundary, Period};
use crate::anomaly::volume::usual::Usual;
use crate::anomaly::window::{DAY, HOUR, MINUTE};
use crate::trace::WallMicros;

/// A rate of the last hour that is at most so many times that of the same hour of the week, or of yesterday, is going to go on as that did.
const ALIKE: f64 = 1.5;

/// What the next hours are taken to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The same hours of the week, known from so many weeks.
    Week(u32),
    /// Yesterday's hours.
    Yesterday,
    /// The last hour: it was like neither, or nothing is known yet.
    Now,
}

impl std::fmt::Display for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Week(1) => f.write_str("the next hours taken as usual at these hours of the week, from 1 week"),
            Self::Week(weeks) => write!(f, "the next hours taken as usual at these hours of the week, from {weeks} weeks"),
            Self::Yesterday => f.write_str("the next hours taken as yesterday's"),
            Self::Now => f.write_str("the next hours taken as this one"),
        }
    }
}

/// How a quota stands, and where it is going.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    pub used: u64,
    /// An hour's use, by the last one.
    pub rate: f64,
    pub pace: Pace,
    /// When it is used up, if that happens within the period.
    pub used_up: Option<WallMicros>,
}

/// Looks ahead, a quarter of an hour at a time.
pub fn forecast(counted: &Counted, usual: &Usual, limit: &Limit, day: DayBoundary, now: WallMicros) -> Forecast {
    let used = counted.used(now, limit.per, day, limit.counts);
    let rate = lately(counted, limit, now);
    let yesterday = counted.between(now.saturating_sub(DAY + HOUR), now.saturating_sub(DAY), limit.counts);
    let of_week = f64::from(usual.between(now.saturating_sub(HOUR), now));
    let (pace, before) = match () {
        () if limit.per == Period::Hour => (Pace::Now, 0.0),
        () if usual.weeks() > 0 && rate <= of_week * ALIKE => (Pace::Week(usual.weeks()), of_week),
        () if now >= counted.began + DAY && yesterday > 0.0 && rate <= yesterday * ALIKE => (Pace::Yesterday, yesterday),
        () => (Pace::Now, 0.0),
    };
    let factor = if before > 0.0 { (rate / before).clamp(0.5, ALIKE) } else { 1.0 };
    let (mut sum, mut at) = (used as f64, now);
    let horizon = now + if limit.per == Period::Day { DAY } else { HOUR };
    let mut used_up = (used >= limit.limit).then_some(now);
    while used_up.is_none() && at < horizon {
        let step = if limit.per == Period::Day { SLOT } else { 5 * MINUTE };
        let grows = match pace {
            Pace::Week(_) => f64::from(usual.between(at, at + step)) * factor,
            Pace::Yesterday => counted.between(at.saturating_sub(DAY), (at + step).saturating_sub(DAY), limit.counts) * factor,
            Pace::Now => rate * step as f64 / HOUR as f64,
        };
        match (limit.per, day) {
            (Period::Day, DayBoundary::Rolling) => {
                sum -= counted.between(at.saturating_sub(DAY), (at + step).saturating_sub(DAY), limit.counts);
            }
            (Period::Day, DayBoundary::Utc) if (at + step) / DAY > now / DAY => break,
            (Period::Day, DayBoundary::Utc) => {}
            (Period::Hour, _) => {
                let ages = (at + step).saturating_sub(HOUR).min(now);
                sum -= counted.lately(now, now.saturating_sub(at.saturating_sub(HOUR)), limit.counts)
                    - counted.lately(now, now.saturating_sub(ages), limit.counts);
            }
        }
        let after = sum + grows;
        if after >= limit.limit as f64 && grows > 0.0 {
            let part = ((limit.limit as f64 - sum) / grows).clamp(0.0, 1.0);
            used_up = Some(at + (part * step as f64) as u64);
        }
        (sum, at) = (after, at + step);
    }
    Forecast { used, rate, pace, used_up }
}

/// An hour's use as it is now: of the last ten minutes for an hour's quota, of the last hour for a day's.
fn lately(counted: &Counted, limit: &Limit, now: WallMicros) -> f64 {
    match limit.per {
        Period::Hour => counted.lately(now, 10 * MINUTE, limit.counts) * 6.0,
        Period::Day => counted.lately(now, HOUR, limit.counts),
    }
}

/// When a quota that is used up has room again.
pub fn room_again(counted: &Counted, limit: &Limit, day: DayBoundary, now: WallMicros) -> WallMicros {
    if (limit.per, day) == (Period::Day, DayBoundary::Utc) {
        return now - now % DAY + DAY;
    }
    let (span, step) = if limit.per == Period::Day { (DAY, SLOT) } else { (HOUR, 5 * MINUTE) };
    let mut used = counted.used(now, limit.per, day, limit.counts) as f64;
    let mut at = now;
    while used >= limit.limit as f64 && at < now + span {
        used -= counted.between(at.saturating_sub(span), (at + step).saturating_sub(span), limit.counts);
        at += step;
    }
    at.max(now + step)
}
