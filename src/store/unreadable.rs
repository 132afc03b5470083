//! What a disk doesn't give back is tried for a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long what can't be read is tried before it is left out.
const PATIENCE: Duration = Duration::from_secs(60);

/// Places where a read failed, by their first record, and since when.
#[derive(Debug, Default)]
pub(super) struct Unreadable(BTreeMap<u32, Instant>);

impl Unreadable {
    /// Most places that are remembered; few read at a time.
    const MOST: usize = 64;

    pub fn is_hopeless(&mut self, index: u32, now: Instant) -> bool {
        if self.0.len() >= Self::MOST && !self.0.contains_key(&index) {
            self.0.pop_first();
        }
        now.saturating_duration_since(*self.0.entry(index).or_insert(now)) >= PATIENCE
    }

    pub fn was_read(&mut self, index: u32) {
        self.0.remove(&index);
    }
}
