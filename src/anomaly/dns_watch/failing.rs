//! Mail that fails, beside what DNS published when it began.

use serde::{Deserialize, Serialize};

use super::FRESH;
use super::known::Turn;
use crate::anomaly::window::{HOUR, SAMPLES, SECOND};
use crate::trace::{RecordId, WallMicros};

/// A domain that fails is looked at again so long after the last look; later after half the time that it has failed, because what was
/// changed shows here only when the answer before it has left the resolver's cache.
const AGAIN: u64 = 30 * SECOND;
/// Refusals that are so far apart are two troubles.
const APART: u64 = 6 * HOUR;

/// Mail fails, since the last that passed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Failing {
    pub since: WallMicros,
    pub last: WallMicros,
    pub count: u64,
    pub fresh: u64,
    pub samples: Vec<RecordId>,
}

/// Failures that no success ends, because another receiver may think otherwise: a long time without one does.
pub(super) fn episode(known: &mut Option<Failing>, at: WallMicros) -> &mut Failing {
    if known.as_ref().is_some_and(|failing| failing.last.saturating_add(APART) < at) {
        *known = None;
    }
    known.get_or_insert_with(|| Failing { since: at, ..Failing::default() })
}

impl Failing {
    pub fn add(&mut self, at: WallMicros, id: RecordId) {
        self.last = self.last.max(at);
        self.count += 1;
        self.fresh += 1;
        if self.samples.len() == SAMPLES {
            self.samples.remove(SAMPLES / 2);
        }
        self.samples.push(id);
    }

    /// How long after a look the next one makes sense.
    pub fn pause(&self) -> u64 {
        (self.last.saturating_sub(self.since) / 2).max(AGAIN)
    }
}

/// Failures that began when the change may have been there already explain themselves by it.
pub(super) fn explains(turn: &Turn, failing: &Failing) -> bool {
    failing.since >= turn.last_before && failing.since <= turn.seen.saturating_add(FRESH)
}
