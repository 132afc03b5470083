//! When the records of a run were: the earliest and the latest time of every thousand or so.

use serde::{Deserialize, Serialize};

use crate::trace::WallMicros;

/// Records that share one entry.
pub const STRIDE: u32 = 1024;

/// Earliest and latest time of each stride of records; a stride without any has an earliest after its latest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times(Vec<(WallMicros, WallMicros)>);

const NONE: (WallMicros, WallMicros) = (WallMicros::MAX, 0);

impl Times {
    pub fn note(&mut self, place: u32, at: WallMicros) {
        let stride = (place / STRIDE) as usize;
        if self.0.len() <= stride {
            self.0.resize(stride + 1, NONE);
        }
        if let Some((earliest, latest)) = self.0.get_mut(stride) {
            *earliest = (*earliest).min(at);
            *latest = (*latest).max(at);
        }
    }

    /// Takes in the times of a run whose first record has that place here.
    pub fn append(&mut self, place: u32, times: &Self) {
        for (at, &(earliest, latest)) in times.0.iter().enumerate() {
            if earliest <= latest {
                // The strides of the two needn't meet: one of theirs may lie in two of ours.
                let from = place + at as u32 * STRIDE;
                for place in [from, from + STRIDE - 1] {
                    self.note(place, earliest);
                    self.note(place, latest);
                }
            }
        }
    }

    /// Whether the stride of that record may hold a time in `since..until`.
    pub fn may_hold(&self, place: u32, since: Option<WallMicros>, until: Option<WallMicros>) -> bool {
        self.0.get((place / STRIDE) as usize).is_some_and(|&stride| overlaps(stride, since, until))
    }

    /// Whether all records of that record's stride lie in `since..until`.
    pub fn is_within(&self, place: u32, since: Option<WallMicros>, until: Option<WallMicros>) -> bool {
        self.0
            .get((place / STRIDE) as usize)
            .is_some_and(|&(earliest, latest)| since.is_none_or(|since| since <= earliest) && until.is_none_or(|until| latest < until))
    }

    /// The earliest and the latest of all.
    pub fn span(&self) -> (WallMicros, WallMicros) {
        self.0.iter().fold(NONE, |(earliest, latest), &(from, until)| (earliest.min(from), latest.max(until)))
    }

    /// Octets it takes in memory.
    pub fn weight(&self) -> usize {
        self.0.len() * 16
    }

    /// Whether any stride may.
    pub fn any_may_hold(&self, since: Option<WallMicros>, until: Option<WallMicros>) -> bool {
        self.0.iter().any(|&stride| overlaps(stride, since, until))
    }
}

fn overlaps((earliest, latest): (WallMicros, WallMicros), since: Option<WallMicros>, until: Option<WallMicros>) -> bool {
    earliest <= latest && since.is_none_or(|since| since <= latest) && until.is_none_or(|until| earliest < until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_merged_runs_hold_what_those_of_each_held() {
        let mut early = Times::default();
        (0..1500).for_each(|place| early.note(place, 1000 + u64::from(place)));
        let mut late = Times::default();
        (0..700).for_each(|place| late.note(place, 9000 + u64::from(place)));
        let mut merged = Times::default();
        merged.append(0, &early);
        merged.append(1500, &late);
        for place in 0..1500 {
            assert!(merged.may_hold(place, Some(1000 + u64::from(place)), Some(1001 + u64::from(place))), "{place}");
        }
        for place in 0..700 {
            assert!(merged.may_hold(1500 + place, Some(9000 + u64::from(place)), Some(9001 + u64::from(place))), "{place}");
        }
        assert_eq!(merged.span(), (1000, 9699));
        assert!(
            !merged.may_hold(0, Some(5000), None) && merged.is_within(0, Some(1000), Some(5000)) && !merged.is_within(0, Some(1001), None)
        );
        assert!(!Times::default().any_may_hold(None, None));
    }
}
