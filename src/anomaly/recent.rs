//! A memory of what passed lately, by hash: the last span and the one before it, bounded, nothing to sweep.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashMap};

use crate::trace::WallMicros;

/// Values by the hash of their key. What wasn't touched for one to two spans is forgotten; sooner where there is too much.
#[derive(Debug)]
pub struct Recent<V> {
    span_us: u64,
    most: usize,
    began: WallMicros,
    hasher: DefaultHashBuilder,
    now: HashMap<u64, V>,
    before: HashMap<u64, V>,
}

impl<V> Recent<V> {
    /// `most` values of each span.
    pub fn new(span_us: u64, most: usize) -> Self {
        Self { span_us, most, began: 0, hasher: DefaultHashBuilder::default(), now: HashMap::new(), before: HashMap::new() }
    }

    pub fn key(&self, of: impl Hash) -> u64 {
        self.hasher.hash_one(of)
    }

    pub fn find(&self, key: u64) -> Option<&V> {
        self.now.get(&key).or_else(|| self.before.get(&key))
    }

    /// The value, made if there is none, and remembered for another span.
    pub fn touch(&mut self, key: u64, at: WallMicros, make: impl FnOnce() -> V) -> &mut V {
        if at >= self.began.saturating_add(self.span_us) || self.now.len() >= self.most {
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
        for no in 0..1_000_u64 {
            recent.touch(no, 1_380, || 0);
        }
        assert!(recent.values().count() <= 20);
    }
}
