//! Opening a store directory: made if missing, locked, or refused with a reason.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::live::Use;
use super::lock::{NoLock, Owner, StoreLock};
use super::private;
use crate::trace::stored::DecodeError;

/// Why a store can't be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("{dir}: the store is in use by process {pid}: stop it, or ask it through its api.sock")]
    InUse { dir: PathBuf, pid: u32 },
    #[error("{dir}: the store is in use by another process")]
    InUseBySomebody { dir: PathBuf },
    #[error("{dir}: the store is in use by a relayscope command, process {pid}, until that ends")]
    InUseByCommand { dir: PathBuf, pid: u32 },
    /// What a command of this user makes there, the proxy couldn't write.
    #[error("{dir}: the store belongs to user id {owner}, and this is user id {user}: the proxy couldn't write the files that it makes")]
    NotOurs { dir: PathBuf, owner: u32, user: u32 },
    /// A file is whole, and of a format that this build doesn't read.
    #[error("{path}: {why}")]
    Format { path: PathBuf, why: String },
    #[error("{path}: {error}")]
    Form { path: PathBuf, error: DecodeError },
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
}

impl OpenError {
    /// Whether it may pass by itself, as what a disk says or a command that looks in: mail flows without a store, and it is tried again.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::InUseByCommand { .. })
    }

    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::InUse { .. } | Self::InUseBySomebody { .. } | Self::InUseByCommand { .. })
    }

    pub(super) fn in_use(dir: &Path, owner: Owner) -> Self {
        let dir = dir.to_owned();
        match owner.pid {
            Some(pid) if owner.is_command => Self::InUseByCommand { dir, pid },
            Some(pid) => Self::InUse { dir, pid },
            None => Self::InUseBySomebody { dir },
        }
    }

    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::Io { path, error }
    }
}

/// The user whose files a store consists of: whoever opened it first, or made its directory.
fn user_of(dir: &Path) -> Option<u32> {
    fs::metadata(dir.join("lock")).or_else(|_| fs::metadata(dir)).ok().map(|it| it.uid())
}

/// # Errors
/// Another process has it, or the directory can't be made or read; for a command, also if it is another user's: root can write there,
/// and the proxy couldn't open what root made.
pub(super) fn take_lock(dir: &Path, purpose: Use) -> Result<StoreLock, OpenError> {
    let user = rustix::process::geteuid().as_raw();
    if purpose == Use::Offline
        && let Some(owner) = user_of(dir).filter(|owner| *owner != user)
    {
        return Err(OpenError::NotOurs { dir: dir.to_owned(), owner, user });
    }
    if !dir.is_dir() {
        private::make_dirs(dir).map_err(OpenError::io(dir))?;
    }
    fs::read_dir(dir).map_err(OpenError::io(dir))?;
    StoreLock::take(dir, purpose).map_err(|error| match error {
        NoLock::Held(owner) => OpenError::in_use(dir, owner),
        NoLock::Io(error) => OpenError::Io { path: dir.join("lock"), error },
    })
}
