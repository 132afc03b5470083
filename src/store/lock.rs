//! The store's lock: one process owns a store, and says which.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use super::live::Use;

/// Held as long as the store is open; the kernel lets go when the process dies.
#[derive(Debug)]
pub(super) struct StoreLock {
    _file: File,
}

#[derive(Debug)]
pub(super) enum NoLock {
    /// Another process owns the store.
    Held(Owner),
    Io(io::Error),
}

/// A process that holds a store's lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// As it wrote it itself, as is the rest.
    pub pid: Option<u32>,
    /// It isn't a proxy, but a command that ends by itself.
    pub is_command: bool,
}

/// What a command writes behind its pid.
const COMMAND: &str = "command";

/// Who holds the lock, if anybody does.
pub(super) fn owner(dir: &Path) -> Option<Owner> {
    let mut file = File::open(dir.join("lock")).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(owner_in(&mut file)),
        _ => None,
    }
}

fn owner_in(file: &mut File) -> Owner {
    let mut text = String::new();
    let _ = file.take(32).read_to_string(&mut text);
    let mut words = text.split_whitespace();
    Owner { pid: words.next().and_then(|pid| pid.parse().ok()), is_command: words.next() == Some(COMMAND) }
}

impl StoreLock {
    pub fn take(dir: &Path, purpose: Use) -> Result<Self, NoLock> {
        let path = dir.join("lock");
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(NoLock::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(NoLock::Held(owner_in(&mut file))),
            Err(TryLockError::Error(error)) => return Err(NoLock::Io(error)),
        }
        // A full disk must not keep a store from being read: the lock holds without its text.
        let role = if purpose == Use::Offline { format!(" {COMMAND}") } else { String::new() };
        let _ = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}{role}", std::process::id()));
        Ok(Self { _file: file })
    }
}
