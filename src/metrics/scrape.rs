//! All numbers at one moment, whoever wants them: a disk that hangs keeps nobody waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::page::Page;
use super::sources::Sources;
use crate::store::StoreStats;

/// A stalled disk costs a scrape the store's files, not all the rest.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a scrape stands on. Clones share it.
#[derive(Debug, Clone)]
pub struct Scrape {
    pub sources: Sources,
    /// The store's files are being looked at; on a stalled disk that may take for ever, and once is enough.
    looking: Arc<AtomicBool>,
}

impl Scrape {
    pub fn new(sources: Sources) -> Self {
        Self { sources, looking: Arc::default() }
    }

    pub async fn page(&self) -> Page {
        let stats = self.store_stats().await;
        self.sources.page(stats.as_ref())
    }

    async fn store_stats(&self) -> Option<StoreStats> {
        if self.looking.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (store, looking) = (self.sources.store.clone(), self.looking.clone());
        let look = tokio::task::spawn_blocking(move || {
            let stats = store.stats();
            looking.store(false, Ordering::Release);
            stats
        });
        tokio::time::timeout(PATIENCE, look).await.ok()?.ok()?.ok()
    }
}
