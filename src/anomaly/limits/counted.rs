//! What went out over the last 25 hours, in slots of a quarter of an hour, and over the last hour in finer ones.

use serde::{Deserialize, Serialize};

use super::options::{Counts, DayBoundary, Period};
use crate::anomaly::window::{DAY, HOUR, MINUTE};
use crate::trace::WallMicros;

/// A slot of the long ring. µs.
pub const SLOT: u64 = 15 * MINUTE;
/// 25 hours and the slot under way: of yesterday at this time an hour is left to compare with.
const SLOTS: usize = 101;
const FINE: u64 = 5 * MINUTE;
const FINE_SLOTS: usize = 13;

/// Accepted messages and recipients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counted {
    long: Ring,
    fine: Ring,
    /// When counting began.
    pub began: WallMicros,
    pub last: WallMicros,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Ring {
    slot_us: u64,
    /// Number of the newest slot since 1970.
    newest: u64,
    /// Messages and recipients; slot n is at n modulo the length.
    slots: Vec<[u32; 2]>,
}

impl Counted {
    pub fn new(now: WallMicros) -> Self {
        Self { long: Ring::new(SLOTS, SLOT, now), fine: Ring::new(FINE_SLOTS, FINE, now), began: now, last: now }
    }

    /// Whether the rings have the form that this build writes: what was kept by another may not.
    pub fn is_sound(&self) -> bool {
        let sound = |ring: &Ring, slots, slot_us| ring.slots.len() == slots && ring.slot_us == slot_us;
        sound(&self.long, SLOTS, SLOT) && sound(&self.fine, FINE_SLOTS, FINE)
    }

    pub fn add(&mut self, at: WallMicros, recipients: u64) {
        self.long.add(at, recipients);
        self.fine.add(at, recipients);
        self.last = self.last.max(at);
    }

    /// The clock was ahead and is right again: what was counted of later times never was.
    pub fn set_back(&mut self, now: WallMicros) {
        self.long.set_back(now);
        self.fine.set_back(now);
        (self.began, self.last) = (self.began.min(now), self.last.min(now));
    }

    /// What counts against a quota of that period at that time.
    pub fn used(&self, now: WallMicros, per: Period, day: DayBoundary, counts: Counts) -> u64 {
        let used = match (per, day) {
            (Period::Hour, _) => self.fine.between(now.saturating_sub(HOUR), now, counts),
            (Period::Day, DayBoundary::Rolling) => self.long.between(now.saturating_sub(DAY), now, counts),
            (Period::Day, DayBoundary::Utc) => self.long.between(now - now % DAY, now, counts),
        };
        used.round() as u64
    }

    /// Of the slots between two times; those cut in two count in part.
    pub fn between(&self, from: WallMicros, until: WallMicros, counts: Counts) -> f64 {
        self.long.between(from, until, counts)
    }

    /// Of the last minutes, up to an hour.
    pub fn lately(&self, now: WallMicros, span_us: u64, counts: Counts) -> f64 {
        self.fine.between(now.saturating_sub(span_us), now, counts)
    }
}

impl Ring {
    fn new(slots: usize, slot_us: u64, now: WallMicros) -> Self {
        Self { slot_us, newest: now / slot_us, slots: vec![[0; 2]; slots] }
    }

    fn add(&mut self, at: WallMicros, recipients: u64) {
        let slot = at / self.slot_us;
        let length = self.slots.len() as u64;
        if slot > self.newest {
            for passed in (self.newest + 1..=slot).rev().take(self.slots.len()) {
                if let Some(slot) = self.slots.get_mut((passed % length) as usize) {
                    *slot = [0; 2];
                }
            }
            self.newest = slot;
        }
        // What comes late counts in its own slot, if that is still there.
        if slot + length > self.newest
            && let Some([messages, all]) = self.slots.get_mut((slot % length) as usize)
        {
            *messages = messages.saturating_add(1);
            *all = all.saturating_add(u32::try_from(recipients).unwrap_or(u32::MAX));
        }
    }

    fn set_back(&mut self, now: WallMicros) {
        let (newest, length) = (now / self.slot_us, self.slots.len() as u64);
        for ahead in (newest + 1..=self.newest).take(self.slots.len()) {
            if let Some(slot) = self.slots.get_mut((ahead % length) as usize) {
                *slot = [0; 2];
            }
        }
        self.newest = self.newest.min(newest);
    }

    fn between(&self, from: WallMicros, until: WallMicros, counts: Counts) -> f64 {
        let length = self.slots.len() as u64;
        let oldest = (self.newest + 1).saturating_sub(length).max(from / self.slot_us);
        let mut sum = 0.0;
        for number in oldest..=self.newest.min(until / self.slot_us) {
            let Some([messages, recipients]) = self.slots.get((number % length) as usize) else { continue };
            let count = if counts == Counts::Messages { *messages } else { *recipients };
            let start = number * self.slot_us;
            // The slot under way is taken as whole: what is in it has happened.
            let end = if number == self.newest { until.clamp(start + 1, start + self.slot_us) } else { start + self.slot_us };
            let (first, last) = (start.max(from), end.min(until));
            sum += f64::from(count) * last.saturating_sub(first) as f64 / (end - start) as f64;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::samples::MONDAY;

    #[test]
    fn use_is_counted_by_both_boundaries() {
        let mut counted = Counted::new(MONDAY);
        for hour in 0..30 {
            counted.add(MONDAY + hour * HOUR + 10 * MINUTE, 5);
        }
        let now = MONDAY + 29 * HOUR + 30 * MINUTE;
        let used = |per, day, counts| counted.used(now, per, day, counts);
        assert_eq!(used(Period::Day, DayBoundary::Rolling, Counts::Messages), 24);
        assert_eq!(used(Period::Day, DayBoundary::Rolling, Counts::Recipients), 120);
        assert_eq!(used(Period::Day, DayBoundary::Utc, Counts::Messages), 6);
        assert_eq!(used(Period::Hour, DayBoundary::Rolling, Counts::Messages), 1);
        assert_eq!(counted.used(now + 2 * DAY, Period::Day, DayBoundary::Rolling, Counts::Messages), 0);
    }

    #[test]
    fn what_is_counted_now_counts_at_once() {
        let mut counted = Counted::new(MONDAY);
        counted.add(MONDAY + 1, 7);
        assert_eq!(counted.used(MONDAY + 2, Period::Hour, DayBoundary::Rolling, Counts::Recipients), 7);
        assert_eq!(counted.used(MONDAY + 2, Period::Day, DayBoundary::Utc, Counts::Recipients), 7);
    }
}
