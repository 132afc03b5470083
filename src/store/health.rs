//! Whether the store can write, and since when not.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::locks::locked;
use crate::trace::WallMicros;

/// What `/healthz`, the log and `on_store_failure = "defer"` go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Ok,
    /// Records are being dropped until the store can be written again; it is tried every second.
    Failed {
        since: WallMicros,
        why: String,
        records_lost: u64,
    },
}

impl Health {
    pub fn is_ok(&self) -> bool {
        matches!(self, Self::Ok)
    }
}

#[derive(Debug, Default)]
pub(super) struct HealthBoard {
    failed: AtomicBool,
    failure: Mutex<Option<(WallMicros, String)>>,
    records_lost: AtomicU64,
}

impl HealthBoard {
    pub fn fail(&self, since: WallMicros, why: &str) {
        let mut failure = locked(&self.failure);
        match &mut *failure {
            Some((_, before)) => why.clone_into(before),
            None => *failure = Some((since, why.to_owned())),
        }
        self.failed.store(true, Ordering::Release);
    }

    pub fn mend(&self) {
        *locked(&self.failure) = None;
        self.failed.store(false, Ordering::Release);
    }

    pub fn lost(&self, records: u64) {
        self.records_lost.fetch_add(records, Ordering::Relaxed);
    }

    /// Over the life of the process.
    pub fn records_lost(&self) -> u64 {
        self.records_lost.load(Ordering::Relaxed)
    }

    /// One atomic load while all is well.
    pub fn health(&self) -> Health {
        if !self.failed.load(Ordering::Acquire) {
            return Health::Ok;
        }
        match &*locked(&self.failure) {
            Some((since, why)) => Health::Failed { since: *since, why: why.clone(), records_lost: self.records_lost() },
            None => Health::Ok,
        }
    }
}
