//! What every detector can do.

use super::finding::Findings;
use super::limits::{Exhausted, Use};
use super::seen::Seen;
use crate::trace::WallMicros;

/// Counts what passes, and judges it now and then. Time is the records' own: a week may pass in a second.
pub trait Detector: Send {
    /// Its name in what is kept over restarts; never changed.
    fn name(&self) -> &'static str;

    /// Takes notice of one record. Called for each record of the journal, in its order: microseconds count. Nothing is judged here.
    fn observe(&mut self, seen: &Seen<'_>);

    /// Judges, about every ten seconds of the records' time. `now` goes back only where a clock that was ahead was set
    /// right: what is later than it is to be taken for now.
    fn judge(&mut self, now: WallMicros, findings: &mut Findings);

    /// What must outlive the process, in a form of its own (postcard, with a version in front): what is usual, and what is being counted, so
    /// that one that takes it back goes on as if nothing had been.
    fn keep(&self) -> Vec<u8>;

    /// Takes back what [`keep`](Self::keep) gave; what can't be read is forgotten, and `false` says so.
    fn restore(&mut self, kept: &[u8]) -> bool;

    /// Keys that had to go, or weren't taken, because a table was full: what concerns them may not be told.
    fn forgotten(&self) -> u64;

    /// Quotas that are used up, for whoever wants to spare the provider what it will refuse.
    fn exhausted(&self, _now: WallMicros) -> Vec<Exhausted> {
        Vec::new()
    }

    /// What is used of quotas.
    fn uses(&self, _now: WallMicros) -> Vec<Use> {
        Vec::new()
    }
}
