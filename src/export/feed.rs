//! The journal as sinks read it: what one of them has just read and decoded, the others need not read again.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::{Cursor, Store, StoreError};
use crate::trace::Record;

/// Records read at once.
const CHUNK: usize = 500;
/// Stretches that are kept for those who come after.
const KEPT: usize = 2;

/// A stretch of the journal.
#[derive(Debug)]
pub struct Chunk {
    pub before: Cursor,
    /// Each with the place behind it.
    pub records: Vec<(Cursor, Record)>,
    pub after: Cursor,
    /// Places of the stretch without a record.
    pub missing: u64,
}

/// What is read from one store, by all its sinks.
#[derive(Debug)]
pub struct Feed {
    store: Store,
    kept: Mutex<VecDeque<Arc<Chunk>>>,
}

impl Feed {
    pub fn new(store: Store) -> Self {
        Self { store, kept: Mutex::default() }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What follows `at`: a stretch, and which of its records.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn after(&self, at: Cursor, with_dialogues: bool) -> Result<(Arc<Chunk>, Range<usize>), StoreError> {
        if with_dialogues {
            let chunk = Arc::new(self.read(at, true)?);
            let records = 0..chunk.records.len();
            return Ok((chunk, records));
        }
        // Held while one reads, so that the others find it.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.iter().find_map(|chunk| within(chunk, at).map(|records| (chunk.clone(), records))) {
            return Ok(found);
        }
        let chunk = Arc::new(self.read(at, false)?);
        let records = 0..chunk.records.len();
        if !records.is_empty() {
            kept.truncate(KEPT - 1);
            kept.push_front(chunk.clone());
        }
        Ok((chunk, records))
    }

    fn read(&self, at: Cursor, with_dialogues: bool) -> Result<Chunk, StoreError> {
        let followed = self.store.follow_written(at, CHUNK, with_dialogues)?;
        Ok(Chunk { before: at, records: followed.records, after: followed.after, missing: followed.missing })
    }

    /// Lets go of what is kept: nobody reads at present.
    pub fn rest(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The records of a stretch behind `at`, if `at` lies in it and there are any.
fn within(chunk: &Chunk, at: Cursor) -> Option<Range<usize>> {
    if at < chunk.before || at >= chunk.after {
        return None;
    }
    let first = chunk.records.partition_point(|(after, _)| *after <= at);
    (first < chunk.records.len()).then_some(first..chunk.records.len())
}
