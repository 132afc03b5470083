//! What the store can be told.

use std::path::PathBuf;
use std::time::Duration;

/// When a record counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// It has reached the kernel: survives the death of the process.
    Written,
    /// It has reached the disk: survives a power cut.
    Synced,
}

/// `[store]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub dir: PathBuf,
    pub durability: Durability,
    /// Directory in memory where records wait for the journal (see `store::staging`); `None`: replies wait for the journal itself.
    pub staging: Option<PathBuf>,
    /// Pause between group fsyncs under `Written`.
    pub sync_every: Duration,
    /// Octets of records that may wait for the writer.
    pub queue_octets: usize,
    /// An active journal file is sealed at this size.
    pub segment_octets: u64,
    /// What the directories of open run files of the index may take in memory.
    pub cache_octets: u64,
    /// Days kept; 0: all.
    pub keep_days: u32,
    /// Days for which what failed is kept; 0: as long as everything else.
    pub keep_failures_days: u32,
    /// Days for which dialogues are kept; 0: as long as their records.
    pub keep_dialogues_days: u32,
    /// Octets kept; 0: all. See [`super::retention`] for what goes first.
    pub keep_octets: u64,
    /// Octets that the file system is to have free; 0: none.
    pub keep_free_octets: u64,
}

impl Options {
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            durability: Durability::Written,
            staging: None,
            sync_every: Duration::from_millis(100),
            queue_octets: 32 << 20,
            segment_octets: 64 << 20,
            cache_octets: 64 << 20,
            keep_days: 30,
            keep_failures_days: 0,
            keep_dialogues_days: 0,
            keep_octets: 0,
            keep_free_octets: 0,
        }
    }
}
