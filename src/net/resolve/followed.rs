//! A file that others may rewrite at any time: read again when it has changed, looked at no more often than every few seconds.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

/// The file is looked at no more often than this.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// What tells a changed file from the one before; `None`: there is none.
type Stamp = (SystemTime, u64, u64);

pub(super) struct Followed {
    pub path: PathBuf,
    looked: Mutex<Looked>,
}

struct Looked {
    at: Instant,
    stamp: Option<Stamp>,
    /// It couldn't be read then.
    in_vain: bool,
}

impl Followed {
    /// Reads it for the first time, and follows it from then on.
    pub fn begin<T, E>(path: &Path, now: Instant, read: impl FnOnce(&Path) -> Result<T, E>) -> (Self, Result<T, E>) {
        let (stamp, read) = (stamp(path), read(path));
        let looked = Mutex::new(Looked { at: now, stamp, in_vain: read.is_err() });
        (Self { path: path.to_owned(), looked }, read)
    }

    /// What it says now, if it is time to look and there is news: it has changed, or can be read at last. That it still can't be read is none.
    pub fn news<T, E>(&self, now: Instant, read: impl FnOnce(&Path) -> Result<T, E>) -> Option<Result<T, E>> {
        // Who finds another one looking needn't wait for it.
        let mut looked = self.looked.try_lock().ok()?;
        if now.saturating_duration_since(looked.at) < LOOK_AGAIN {
            return None;
        }
        looked.at = now;
        let stamp = stamp(&self.path);
        let has_changed = stamp != looked.stamp;
        if !has_changed && !looked.in_vain {
            return None;
        }
        looked.stamp = stamp;
        let read = read(&self.path);
        looked.in_vain = read.is_err();
        Some(read).filter(|read| has_changed || read.is_ok())
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let of = |file: Metadata| Some((file.modified().ok()?, file.len(), file.ino()));
    std::fs::metadata(path).ok().and_then(of)
}
