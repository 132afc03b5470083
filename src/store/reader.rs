//! The store for the questions of one answer, which come back to the same records again and again.

use std::sync::Mutex;

use super::handle::{Store, StoreError};
use super::kept::Kept;
use super::locks::locked;
use super::query::{Page, PageRequest, Query};
use super::search::Search;

/// Answers as the store does, but for the dialogues: those are left out. What one question has read, the next need not read again.
/// For one answer, not for longer: what is removed meanwhile may still be seen.
#[derive(Debug)]
pub struct Reader {
    store: Store,
    kept: Mutex<Kept>,
}

impl Reader {
    /// [`Store::query`], without dialogues.
    ///
    /// # Errors
    /// The store isn't open, or its files can't be read.
    pub fn query(&self, query: &Query, page: &PageRequest) -> Result<Page, StoreError> {
        let live = self.store.live()?;
        let mut kept = locked(&self.kept);
        let mut search = Search::of_several(&live, std::mem::take(&mut *kept));
        let page = search.page(query, page);
        *kept = search.kept;
        Ok(page?)
    }
}

impl Store {
    /// For the questions of one answer.
    pub fn reader(&self) -> Reader {
        Reader { store: self.clone(), kept: Mutex::default() }
    }
}
