//! A memory of what passed lately, by hash: the last span and the one before it, bounded, nothing to sweep.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher};

use hashbrown::{DefaultHashBuilder, HashMap};
use serde::{Deserialize, Serialize};

use crate::trace::WallMicros;

/// A text's hash, the same in every run.
pub fn hash(text: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Values by the hash of their key. What wasn't touched for one to two spans is forgotten; sooner where there is too much.
#[derive(Debug, Serialize, Deserialize)]
pub struct Recent<V> {
    #[serde(skip)]
    span_us: u64,
    #[serde(skip)]
    most: usize,
    began: WallMicros,
    /// Drawn once and kept: nobody outside can make two keys alike, and they are the same after a restart.
    seed: u64,
    now: HashMap<u64, V>,
    before: HashMap<u64, V>,
    /// Keys that had to go before their time.
    pub forgotten: u64,
}

impl<V> Recent<V> {
    /// `most` values of each span.
    pub fn new(span_us: u64, most: usize) -> Self {
        let seed = DefaultHashBuilder::default().hash_one(most);
        Self { span_us, most, began: 0, seed, now: HashMap::new(), before: HashMap::new(), forgotten: 0 }
    }

    /// What was kept, with this one's bounds.
    pub fn take_back(&mut self, kept: Self) {
        *self = Self { span_us: self.span_us, most: self.most, ..kept };
    }

    pub fn key(&self, of: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.seed.hash(&mut hasher);
        of.hash(&mut hasher);
        hasher.finish()
    }

    pub fn find(&self, key: u64) -> Option<&V> {
        self.now.get(&key).or_else(|| self.before.get(&key))
    }

    /// The value, made if there is none, and remembered for another span.
    pub fn touch(&mut self, key: u64, at: WallMicros, make: impl FnOnce() -> V) -> &mut V {
        if self.began > at.saturating_add(self.span_us) {
            // The clock was ahead and is right again.
            self.began = at;
        }
        let full = self.now.len() >= self.most && !self.now.contains_key(&key);
        if full || at >= self.began.saturating_add(self.span_us) {
            if full {
                self.forgotten += self.before.len() as u64;
            }
            self.began = at;
            std::mem::swap(&mut self.now, &mut self.before);
            self.now.clear();
        }
        let before = &mut self.before;
        self.now.entry(key).or_insert_with(|| before.remove(&key).unwrap_or_else(make))
    }

    pub fn remove(&mut self, key: u64) -> Option<V> {
        let before = self.before.remove(&key);
        self.now.remove(&key).or(before)
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.now.values().chain(self.before.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_is_forgotten() {
        let mut recent: Recent<u32> = Recent::new(100, 10);
        let key = recent.key("a");
        *recent.touch(key, 1_000, || 0) += 1;
        *recent.touch(key, 1_150, || 0) += 1;
        assert_eq!(recent.find(key), Some(&2));
        for at in [1_260, 1_370] {
            let other = recent.key(at);
            recent.touch(other, at, || 0);
        }
        assert_eq!(recent.find(key), None);
        // A clock that was a year ahead keeps nothing for ever.
        recent.touch(7, 1_000_000, || 0);
        for at in [1_380, 1_490, 1_600] {
            recent.touch(at, at, || 0);
        }
        assert_eq!(recent.find(7), None);
        for no in 0..1_000_u64 {
            recent.touch(no, 1_380, || 0);
        }
        assert!(recent.values().count() <= 20);
    }
}
