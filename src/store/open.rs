//! Opening a store directory: made if missing, locked, or refused with a reason.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::lock::{NoLock, StoreLock};
use crate::trace::stored::DecodeError;

/// Why a store can't be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("{dir}: the store is in use by process {pid}: stop it, or ask it through its api.sock")]
    InUse { dir: PathBuf, pid: u32 },
    #[error("{dir}: the store is in use by another process")]
    InUseBySomebody { dir: PathBuf },
    /// A file is whole, and of a format that this build doesn't read.
    #[error("{path}: {why}")]
    Format { path: PathBuf, why: String },
    #[error("{path}: {error}")]
    Form { path: PathBuf, error: DecodeError },
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
}

impl OpenError {
    /// Whether the disk is to blame: mail flows without a store, and it is tried again.
    pub fn is_disk(&self) -> bool {
        matches!(self, Self::Io { .. })
    }

    pub(super) fn in_use(dir: &Path, pid: Option<u32>) -> Self {
        let dir = dir.to_owned();
        match pid {
            Some(pid) => Self::InUse { dir, pid },
            None => Self::InUseBySomebody { dir },
        }
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::Io { path, error }
    }
}

pub(super) fn take_lock(dir: &Path) -> Result<StoreLock, OpenError> {
    if !dir.is_dir() {
        // Traces tell who writes to whom.
        DirBuilder::new().recursive(true).mode(0o750).create(dir).map_err(OpenError::io(dir))?;
    }
    fs::read_dir(dir).map_err(OpenError::io(dir))?;
    StoreLock::take(dir).map_err(|error| match error {
        NoLock::Held(pid) => OpenError::in_use(dir, pid),
        NoLock::Io(error) => OpenError::Io { path: dir.join("lock"), error },
    })
}
