//! The store's wall clock, which a test may set, and its randomness.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::trace::{RecordId, WallMicros};

#[derive(Clone)]
pub(super) struct Clock(Arc<dyn Fn() -> WallMicros + Send + Sync>);

impl Clock {
    pub fn system() -> Self {
        Self(Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)))
    }

    #[cfg(test)]
    pub fn set(now: Arc<std::sync::atomic::AtomicU64>) -> Self {
        Self(Arc::new(move || now.load(std::sync::atomic::Ordering::SeqCst)))
    }

    pub fn now(&self) -> WallMicros {
        (self.0)()
    }

    /// An id for a record that the store itself makes.
    pub fn record_id(&self) -> RecordId {
        RecordId::from_parts(self.now() / 1000, u128::from(random()) << 64 | u128::from(random()))
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

/// The standard library's hash keys are random per process and differ per instance: enough for salts and ids.
pub(super) fn random() -> u64 {
    RandomState::new().hash_one(0u8)
}
