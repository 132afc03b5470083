//! Records from elsewhere, into a store that its proxy writes to: each once, a bounded number at a time.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::frame::Unframeable;
use super::handle::{Store, StoreError};
use super::intake::AppendError;
use super::locks::locked;
use super::search::Search;
use crate::trace::Record;

/// How long journal and index are waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two looks at them.
const PAUSE: Duration = Duration::from_millis(200);

/// What became of the records that were handed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TakenIn {
    pub added: u64,
    /// There already.
    pub known: u64,
}

#[derive(Debug, Error)]
pub enum TakeInError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the store can't be written at present")]
    Failing,
    #[error("the store does not keep up with what is written to it")]
    Full,
    #[error("the index of the store does not keep up")]
    Unindexed,
    #[error(transparent)]
    Unframeable(#[from] Unframeable),
    #[error("a record could not be stored: see the proxy's log")]
    NotStored,
}

impl Store {
    /// Appends those of the records that the store doesn't have, and waits until they are in the journal. One caller at a time: what is
    /// handed in waits in the same queue as the records of mail, and must not fill it.
    ///
    /// # Errors
    /// The store can't be read or written; some of the records may be in. Handing them in again adds none twice.
    pub fn take_in(&self, records: &[Record]) -> Result<TakenIn, TakeInError> {
        let _one_at_a_time = locked(&self.inner.taking_in);
        if !self.health().is_ok() {
            return Err(TakeInError::Failing);
        }
        let live = self.live()?;
        let deadline = Instant::now() + PATIENCE;
        // What was taken in before must be in the index: the journal isn't gone through for the sake of an id.
        let written = live.journal.written();
        while !Search::new(&live).catch_up() {
            if Instant::now() > deadline {
                return Err(TakeInError::Unindexed);
            }
        }
        let mut search = Search::of_what_was_there(&live, written);
        let (mut taken, mut known, mut tickets) = (TakenIn::default(), HashSet::new(), Vec::new());
        let appender = self.appender();
        // Backwards, as the journal is read with the least effort.
        for record in records.iter().rev() {
            if search.has(record.id(), appender.now()).map_err(StoreError::Io)? {
                known.insert(record.id());
            }
        }
        for record in records {
            if !known.insert(record.id()) {
                taken.known += 1;
                continue;
            }
            // Asked before, because a refusal counts as a record lost.
            while self.inner.intake.queue.is_filling() {
                if Instant::now() > deadline {
                    return Err(TakeInError::Full);
                }
                self.settle(PAUSE);
            }
            let ticket = appender.append_quietly(record).map_err(|error| match error {
                AppendError::Full => TakeInError::Full,
                AppendError::Failing | AppendError::Closed => TakeInError::Failing,
                AppendError::Unframeable(error) => TakeInError::Unframeable(error),
            })?;
            tickets.push(ticket);
            taken.added += 1;
        }
        while !self.settle(PAUSE) && Instant::now() < deadline {}
        match tickets.iter().all(|ticket| appender.outcome(*ticket) == Some(true)) {
            true => Ok(taken),
            false => Err(TakeInError::NotStored),
        }
    }
}
