//! All numbers at one moment, whoever wants them: a disk that hangs keeps nobody waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::page::Page;
use super::sources::Sources;
use crate::store::StoreStats;

/// A stalled disk costs a scrape the store's files, not all the rest.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a scrape stands on. Clones share it.
#[derive(Debug, Clone)]
pub struct Scrape {
    pub sources: Sources,
    /// Held while the store's files are being looked at; on a stalled disk that may take for ever, and once is enough.
    looking: Arc<Mutex<()>>,
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
        let store = self.sources.store.clone();
        let look = async {
            // One at a time; whoever comes meanwhile waits for its own.
            let looking = self.looking.clone().lock_owned().await;
            tokio::task::spawn_blocking(move || {
                let _looking = looking;
                store.stats()
            })
            .await
        };
        tokio::time::timeout(PATIENCE, look).await.ok()?.ok()?.ok()
    }
}
