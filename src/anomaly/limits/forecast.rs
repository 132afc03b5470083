//! When a quota will be used up, and when it has room again.

use super::account::Limit;
use super::counted::{Counted, SLOT};
use super::options::{DayBoundary, Period};
use crate::anomaly::window::{DAY, HOUR, MINUTE};
use crate::trace::WallMicros;

/// A rate of the last hour that is at most so many times that of the same hour yesterday is going to go on as yesterday.
const LIKE_YESTERDAY: f64 = 1.5;

/// How a quota stands, and where it is going.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    pub used: u64,
    /// An hour's use, by the last one.
    pub rate: f64,
    /// The next hours are taken from yesterday's, as the last hour was like it.
    pub as_yesterday: bool,
    /// When it is used up, if that happens within the period.
    pub used_up: Option<WallMicros>,
}

/// Looks ahead, a quarter of an hour at a time.
pub fn forecast(counted: &Counted, limit: &Limit, day: DayBoundary, now: WallMicros) -> Forecast {
    let used = counted.used(now, limit.per, day, limit.counts);
    let rate = lately(counted, limit, now);
    let before = counted.between(now.saturating_sub(DAY + HOUR), now.saturating_sub(DAY), limit.counts);
    let as_yesterday = limit.per == Period::Day && now >= counted.began + DAY && before > 0.0 && rate <= before * LIKE_YESTERDAY;
    let factor = if before > 0.0 { (rate / before).clamp(0.5, LIKE_YESTERDAY) } else { 1.0 };
    let (mut sum, mut at) = (used as f64, now);
    let horizon = now + if limit.per == Period::Day { DAY } else { HOUR };
    let mut used_up = (used >= limit.limit).then_some(now);
    while used_up.is_none() && at < horizon {
        let step = if limit.per == Period::Day { SLOT } else { 5 * MINUTE };
        let mut grows = rate * step as f64 / HOUR as f64;
        if as_yesterday {
            grows = counted.between(at.saturating_sub(DAY), (at + step).saturating_sub(DAY), limit.counts) * factor;
        }
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
    Forecast { used, rate, as_yesterday, used_up }
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
