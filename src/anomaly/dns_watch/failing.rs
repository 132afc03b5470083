//! Mail that fails, kept so that a change of DNS can be told beside it.

use serde::{Deserialize, Serialize};

use super::known::Turn;
use crate::anomaly::window::{DAY, SAMPLES, SECOND};
use crate::trace::{RecordId, WallMicros};

/// A change explains failures that begin within this time.
pub(super) const FRESH: u64 = DAY;

/// What fails is looked at again so long after the last look; later after half the time that it has failed, because what was changed shows
/// here only when the answer before it has left the resolver's cache.
const AGAIN: u64 = 30 * SECOND;

/// Failures in a row, of one kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Failing {
    pub since: WallMicros,
    pub last: WallMicros,
    pub count: u64,
    /// Of these, not yet told of.
    pub fresh: u64,
    pub samples: Vec<RecordId>,
}

/// One more failure; how long after a look the next one makes sense.
pub(super) fn note(failing: &mut Option<Failing>, at: WallMicros, id: RecordId) -> u64 {
    if failing.as_ref().is_some_and(|it| it.last.saturating_add(FRESH) < at) {
        *failing = None;
    }
    let it = failing.get_or_insert_with(|| Failing { since: at, last: at, count: 0, fresh: 0, samples: Vec::new() });
    it.last = it.last.max(at);
    if it.samples.last() == Some(&id) {
        return it.pause();
    }
    it.count += 1;
    it.fresh += 1;
    if it.samples.len() == SAMPLES {
        it.samples.remove(SAMPLES / 2);
    }
    it.samples.push(id);
    it.pause()
}

impl Failing {
    fn pause(&self) -> u64 {
        (self.last.saturating_sub(self.since) / 2).max(AGAIN)
    }

    /// Failures that began when the change may have been there already explain themselves by it.
    pub fn is_explained(&self, turn: &Turn) -> bool {
        self.since >= turn.last_before && self.since <= turn.seen.saturating_add(FRESH)
    }
}
