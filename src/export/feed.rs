//! The journal as sinks read it: what one of them has just read, the others need not read again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::store::{Cursor, Store, StoreError, Window};

/// Stretches of the journal that are kept, each up to 256 KiB.
const WINDOWS: usize = 4;

/// What is read from one store, by all its sinks. Each decodes for itself: a record that is decoded, made an event and dropped stays in the
/// processor's cache all the while, and costs less than one that another thread decoded some time ago.
#[derive(Debug)]
pub struct Feed {
    store: Store,
    summaries: Mutex<VecDeque<Arc<Window>>>,
    with_dialogues: Mutex<VecDeque<Arc<Window>>>,
}

impl Feed {
    pub fn new(store: Store) -> Self {
        Self { store, summaries: Mutex::default(), with_dialogues: Mutex::default() }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What follows `at`; `None` at the journal's end.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn after(&self, at: Cursor, with_dialogues: bool) -> Result<Option<Arc<Window>>, StoreError> {
        let kept = if with_dialogues { &self.with_dialogues } else { &self.summaries };
        // Held while one reads, so that the others find it.
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = kept.iter().position(|window| window.has(at)) {
            kept.swap(0, place);
            return Ok(kept.front().cloned());
        }
        let Some(window) = self.store.window(at, with_dialogues)?.map(Arc::new) else { return Ok(None) };
        kept.truncate(WINDOWS - 1);
        kept.push_front(window.clone());
        Ok(Some(window))
    }

    /// Lets go of what is kept: nobody reads at present.
    pub fn rest(&self) {
        for kept in [&self.summaries, &self.with_dialogues] {
            kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}
