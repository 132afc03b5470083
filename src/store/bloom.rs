//! A filter per run that says of most keys that the run doesn't have them, without reading a page.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::day::Day;
use super::keys::Key;
use super::locks::locked;

/// Bits for each key; one look-up in a hundred is in vain.
const BITS: usize = 10;
const PROBES: u32 = 6;
/// A key's bits all lie in one cache line.
const BLOCK_OCTETS: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bloom(Vec<u8>);

impl Bloom {
    /// A filter for that many keys, to be filled.
    pub fn for_keys(keys: usize) -> Self {
        Self(vec![0; (keys * BITS).div_ceil(BLOCK_OCTETS * 8).max(1) * BLOCK_OCTETS])
    }

    /// Reads what [`Bloom::octets`] wrote.
    pub fn from_octets(octets: Vec<u8>) -> Option<Self> {
        (!octets.is_empty() && octets.len().is_multiple_of(BLOCK_OCTETS)).then_some(Self(octets))
    }

    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    pub fn add(&mut self, key: Key) {
        let (block, mut bits) = self.spread(key);
        for _ in 0..PROBES {
            self.0[block + (bits >> 3 & 63) as usize] |= 1 << (bits & 7);
            bits >>= 9;
        }
    }

    pub fn may_have(&self, key: Key) -> bool {
        let (block, mut bits) = self.spread(key);
        (0..PROBES).all(|_| {
            let set = self.0[block + (bits >> 3 & 63) as usize] & 1 << (bits & 7) != 0;
            bits >>= 9;
            set
        })
    }

    fn spread(&self, key: Key) -> (usize, u64) {
        let mut hash = key.0.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        hash = (hash ^ (hash >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let blocks = (self.0.len() / BLOCK_OCTETS) as u64;
        let block = (u128::from(hash) * u128::from(blocks)) >> 64;
        (block as usize * BLOCK_OCTETS, hash.wrapping_mul(0xFF51_AFD7_ED55_8CCD) >> 10)
    }
}

/// The filters kept in memory, of all days: as many of the newest as the budget allows. The rest of the runs is looked up in
/// their pages, which is no slower than reading a filter first.
#[derive(Debug)]
pub(super) struct Blooms {
    budget: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    octets: usize,
    blooms: BTreeMap<(Day, u32), Arc<Bloom>>,
}

impl Blooms {
    pub fn new(budget: u64) -> Self {
        Self { budget: usize::try_from(budget).unwrap_or(usize::MAX), kept: Mutex::default() }
    }

    pub fn find(&self, day: Day, run: u32) -> Option<Arc<Bloom>> {
        locked(&self.kept).blooms.get(&(day, run)).cloned()
    }

    /// Whether there is room for that run's filter, or it is newer than one that may go.
    pub fn wants(&self, day: Day, run: u32) -> bool {
        let kept = locked(&self.kept);
        kept.octets < self.budget || kept.blooms.keys().next().is_some_and(|&oldest| oldest < (day, run))
    }

    pub fn keep(&self, day: Day, run: u32, bloom: Arc<Bloom>) {
        let mut kept = locked(&self.kept);
        kept.octets += bloom.octets().len();
        if let Some(before) = kept.blooms.insert((day, run), bloom) {
            kept.octets -= before.octets().len();
        }
        while kept.octets > self.budget
            && let Some((_, oldest)) = kept.blooms.pop_first()
        {
            kept.octets -= oldest.octets().len();
        }
    }

    pub fn forget(&self, day: Day) {
        let mut kept = locked(&self.kept);
        let rest = kept.blooms.split_off(&(day, 0));
        for ((of, run), bloom) in rest {
            match of == day {
                true => kept.octets -= bloom.octets().len(),
                false => drop(kept.blooms.insert((of, run), bloom)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_is_denied_and_few_strangers_pass() {
        let mut bloom = Bloom::for_keys(10_000);
        (0..10_000).for_each(|no| bloom.add(Key(no * 977)));
        let bloom = Bloom::from_octets(bloom.octets().to_vec()).unwrap();
        assert!((0..10_000).all(|no| bloom.may_have(Key(no * 977))));
        let strangers = (0..10_000).filter(|no| bloom.may_have(Key(no * 977 + 1))).count();
        assert!(strangers < 300, "{strangers} of 10000");
        assert_eq!(Bloom::from_octets(Vec::new()), None);
    }

    #[test]
    fn the_newest_filters_are_kept_within_the_budget() {
        let (monday, tuesday) = (Day::of(0), Day::of(86_400_000_000));
        let bloom = || Arc::new(Bloom::for_keys(50));
        let blooms = Blooms::new(2 * bloom().octets().len() as u64);
        blooms.keep(monday, 1, bloom());
        blooms.keep(tuesday, 2, bloom());
        assert!(!blooms.wants(monday, 0));
        assert!(blooms.wants(tuesday, 3));
        blooms.keep(tuesday, 3, bloom());
        assert!(blooms.find(monday, 1).is_none() && blooms.find(tuesday, 2).is_some());
        blooms.forget(tuesday);
        assert!(blooms.find(tuesday, 2).is_none() && blooms.wants(monday, 0));
    }
}
