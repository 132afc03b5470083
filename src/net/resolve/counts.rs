//! How many look-ups there were, and what came of them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::answer::{Answer, Failure};

/// What comes of a look-up, in public words.
pub const OUTCOMES: [&str; 7] = ["found", "no_such_name", "no_data", "server_failure", "timeout", "bogus", "unreachable"];

/// Over the life of the process.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answered from what was known.
    pub cached: AtomicU64,
    asked: [AtomicU64; OUTCOMES.len()],
}

impl Counts {
    pub(super) fn asked(&self, answer: &Answer) {
        let at = match &answer.failure {
            None => 0,
            Some(Failure::NoSuchName) => 1,
            Some(Failure::NoRecord) => 2,
            Some(Failure::ServerFailure { .. }) => 3,
            Some(Failure::TimedOut { .. }) => 4,
            Some(Failure::Bogus { .. }) => 5,
            Some(Failure::Unreachable { .. } | Failure::NotAName { .. }) => 6,
        };
        if let Some(count) = self.asked.get(at) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Each of [`OUTCOMES`] with how often a server was asked and this came of it.
    pub fn outcomes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        OUTCOMES.into_iter().zip(&self.asked).map(|(outcome, count)| (outcome, count.load(Relaxed)))
    }
}
