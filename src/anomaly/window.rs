//! Counts over the last minutes, for many keys at once, in bounded memory.

use std::collections::VecDeque;
use std::hash::Hash;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::room;
use crate::trace::{RecordId, WallMicros};

/// Records kept to show what was counted: the first ones, then the latest.
pub const SAMPLES: usize = 6;

pub const SECOND: WallMicros = 1_000_000;
pub const MINUTE: WallMicros = 60 * SECOND;
pub const HOUR: WallMicros = 60 * MINUTE;
pub const DAY: WallMicros = 24 * HOUR;

/// A count over a sliding span, in slots: exact to one slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sliding {
    slot_us: u64,
    slots: VecDeque<(u64, u64)>,
    most: usize,
    total: u64,
}

impl Sliding {
    /// Over `slots` slots of `slot_us` each.
    pub fn new(slots: usize, slot_us: u64) -> Self {
        Self { slot_us: slot_us.max(1), slots: VecDeque::new(), most: slots.max(1), total: 0 }
    }

    pub fn add(&mut self, at: WallMicros, count: u64) {
        let slot = at / self.slot_us;
        self.forget(at);
        match self.slots.back_mut() {
            // A record that comes late counts in the newest slot: only the span as a whole matters.
            Some((newest, sum)) if *newest >= slot => *sum += count,
            _ => self.slots.push_back((slot, count)),
        }
        self.total += count;
    }

    /// The count within the span that ends now, the time of a judgement: what is of later was counted by a clock that has been set back.
    pub fn count(&mut self, now: WallMicros) -> u64 {
        let newest = self.slots.back().map_or(0, |slot| slot.0);
        let ahead = newest.saturating_sub(now / self.slot_us);
        if ahead > 1 {
            self.slots.iter_mut().for_each(|slot| slot.0 = slot.0.saturating_sub(ahead));
        }
        self.count_at(now)
    }

    /// The count within the span that ends with a record, which may come a little late.
    pub fn count_at(&mut self, at: WallMicros) -> u64 {
        self.forget(at);
        self.total
    }

    /// The same counts, so many times as large.
    pub fn times(mut self, factor: u64) -> Self {
        self.slots.iter_mut().for_each(|slot| slot.1 = slot.1.saturating_mul(factor));
        self.total = self.total.saturating_mul(factor);
        self
    }

    /// Whether it counts over the same span in the same slots.
    fn is_like(&self, other: &Self) -> bool {
        (self.slot_us, self.most) == (other.slot_us, other.most)
    }

    fn forget(&mut self, now: WallMicros) {
        let oldest = (now / self.slot_us + 1).saturating_sub(self.most as u64);
        while let Some(&(slot, count)) = self.slots.front()
            && slot < oldest
        {
            self.total = self.total.saturating_sub(count);
            self.slots.pop_front();
        }
    }
}

/// What was counted for one key, and some records that show it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Evidence {
    pub window: Sliding,
    pub since: WallMicros,
    pub last: WallMicros,
    /// Since [`take_fresh`](Self::take_fresh) was last called.
    fresh: u64,
    samples: Vec<RecordId>,
}

impl Evidence {
    pub fn new(window: Sliding) -> Self {
        Self { window, since: 0, last: 0, fresh: 0, samples: Vec::new() }
    }

    pub fn add(&mut self, at: WallMicros, id: RecordId, count: u64) {
        if self.window.count_at(at) == 0 {
            (self.since, self.fresh) = (at, 0);
            self.samples.clear();
        }
        self.last = self.last.max(at);
        self.fresh += count;
        self.window.add(at, count);
        if self.samples.len() == SAMPLES {
            // The first half stays; the rest are the latest.
            self.samples.remove(SAMPLES / 2);
        }
        self.samples.push(id);
    }

    /// The count within the span that ends now, the time of a judgement; nothing is later than that.
    pub fn count(&mut self, now: WallMicros) -> u64 {
        self.is_not_after(now);
        self.window.count(now)
    }

    /// A clock that was ahead and is right again leaves nothing that is later than the judgement.
    pub fn is_not_after(&mut self, now: WallMicros) {
        (self.since, self.last) = (self.since.min(now), self.last.min(now));
    }

    pub fn take_fresh(&mut self) -> u64 {
        std::mem::take(&mut self.fresh)
    }

    pub fn has_fresh(&self) -> bool {
        self.fresh > 0
    }

    pub fn samples(&self) -> Vec<RecordId> {
        self.samples.clone()
    }
}

/// Evidence by key, bounded: when it is full, keys whose window is empty go, then those that were quiet longest.
#[derive(Debug)]
pub struct Tallies<K> {
    window: Sliding,
    most: usize,
    by_key: HashMap<K, Evidence>,
    /// Keys that had to go although they counted.
    pub forgotten: u64,
}

impl<K: Hash + Eq + Clone> Tallies<K> {
    /// Windows of that form, for so many keys at most.
    pub fn new(window: Sliding, most: usize) -> Self {
        Self { window, most: most.max(1), by_key: HashMap::new(), forgotten: 0 }
    }

    /// Counts. The key is only made where it is new.
    pub fn add<Q>(&mut self, key: &Q, at: WallMicros, id: RecordId, count: u64)
    where
        Q: Hash + hashbrown::Equivalent<K> + ?Sized,
        K: for<'q> From<&'q Q>,
    {
        if let Some(evidence) = self.by_key.get_mut(key) {
            return evidence.add(at, id, count);
        }
        self.make_room(at);
        let mut evidence = Evidence::new(self.window.clone());
        evidence.add(at, id, count);
        self.by_key.insert(K::from(key), evidence);
    }

    /// The same for keys that are no borrowed text.
    pub fn add_key(&mut self, key: K, at: WallMicros, id: RecordId, count: u64) {
        if !self.by_key.contains_key(&key) {
            self.make_room(at);
        }
        let window = &self.window;
        self.by_key.entry(key).or_insert_with(|| Evidence::new(window.clone())).add(at, id, count);
    }

    pub fn find<Q>(&mut self, key: &Q) -> Option<&mut Evidence>
    where
        Q: Hash + hashbrown::Equivalent<K> + ?Sized,
    {
        self.by_key.get_mut(key)
    }

    /// All keys with what was counted within the span; those with nothing left are dropped.
    pub fn judge(&mut self, now: WallMicros, mut each: impl FnMut(&K, &mut Evidence, u64)) {
        self.by_key.retain(|key, evidence| {
            let count = evidence.count(now);
            if count > 0 {
                each(key, evidence, count);
            }
            count > 0
        });
    }

    /// All that was counted, to be kept.
    pub fn all(&self) -> &HashMap<K, Evidence> {
        &self.by_key
    }

    /// Takes back what was kept.
    pub fn take_back(&mut self, kept: HashMap<K, Evidence>) {
        let window = &self.window;
        self.by_key = kept.into_iter().filter(|(_, evidence)| evidence.window.is_like(window)).take(self.most).collect();
    }

    fn make_room(&mut self, now: WallMicros) {
        if self.by_key.len() < self.most {
            return;
        }
        self.by_key.retain(|_, evidence| evidence.window.count_at(now) > 0);
        if self.by_key.len() < self.most {
            return;
        }
        self.forgotten += room::make(&mut self.by_key, |evidence| evidence.last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::samples::MONDAY;

    #[test]
    fn a_window_slides_on_after_the_clock_was_set_back() {
        let mut evidence = Evidence::new(Sliding::new(10, MINUTE));
        for minute in 0..5 {
            evidence.add(MONDAY + 3 * DAY + minute * MINUTE, RecordId::from_parts(1, 1), 1);
        }
        // Three days back: what was counted is as old as it was.
        assert_eq!(evidence.count(MONDAY), 5);
        assert_eq!((evidence.since, evidence.last), (MONDAY, MONDAY));
        evidence.add(MONDAY + 3 * MINUTE, RecordId::from_parts(1, 2), 1);
        assert_eq!(evidence.count(MONDAY + 7 * MINUTE), 4);
        assert_eq!(evidence.count(MONDAY + 12 * MINUTE), 1);
        assert_eq!(evidence.count(MONDAY + 13 * MINUTE), 0);
    }

    #[test]
    fn a_record_that_comes_late_shifts_nothing() {
        let mut evidence = Evidence::new(Sliding::new(10, MINUTE));
        evidence.add(MONDAY + 9 * MINUTE, RecordId::from_parts(1, 1), 1);
        evidence.add(MONDAY, RecordId::from_parts(1, 2), 1);
        assert_eq!(evidence.count(MONDAY + 18 * MINUTE), 2);
    }
}
