//! What a dead process left in its file in memory: records that it had not brought to the journal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::frame;
use super::staging::{DIR_AT, DONE_AT, FORMAT, HALF, HEADER, LINK, MAGIC, NUMBER};
use crate::trace::{RecordId, RecordKind};

/// How long a lock on our own file is waited for: a process that looks in holds it for a moment, and one that serves has the store's lock too.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a dead process had not brought to its journal.
#[derive(Debug)]
pub(super) struct Leftover {
    pub version: u16,
    pub salt: u32,
    /// Frames that the dead process had brought to no file of the journal. A start that was interrupted, or found the disk full, may have.
    pub fresh: Vec<u8>,
    /// Frames of the batch that was on its way: each may or may not be in the newest file.
    pub in_flight: Vec<u8>,
    path: PathBuf,
    link: PathBuf,
    /// Made for this directory; otherwise the store was copied or moved.
    own: bool,
}

impl Leftover {
    /// What lies there of the store in `dir`, which this process holds. A file that was copied with the store serves as well as the one in
    /// memory.
    ///
    /// # Errors
    /// It can't be read, or somebody else keeps it locked: what it holds must not be passed over.
    pub fn find(dir: &Path) -> io::Result<Option<Self>> {
        Self::read(dir, |file, own| {
            let deadline = Instant::now() + PATIENCE;
            while let Err(error) = file.try_lock() {
                if !own {
                    return Ok(false); // a living process of a store that this one is a copy of
                }
                if Instant::now() > deadline {
                    return Err(locked_by_another(&error));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(true)
        })
    }

    /// The same for whoever only looks at a store that nobody holds, and must be in nobody's way.
    pub fn look(dir: &Path) -> io::Result<Option<Self>> {
        Self::read(dir, |file, own| Ok(own || file.try_lock_shared().is_ok()))
    }

    /// `is_free`: whether the file, which may have been made for this very directory, is left over.
    fn read(dir: &Path, is_free: impl FnOnce(&File, bool) -> io::Result<bool>) -> io::Result<Option<Self>> {
        let link = dir.join(LINK);
        let path = fs::read_link(&link).unwrap_or_else(|_| link.clone());
        let Some(file) = open_ours(&path)? else { return Ok(None) };
        let own = is_made_for(&file, dir);
        if !is_free(&file, own)? {
            return Ok(None);
        }
        let mut octets = vec![0; HEADER + 2 * HALF];
        match file.read_exact_at(&mut octets, 0) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let Some((header, halves)) = octets.split_at_checked(HEADER) else { return Ok(None) };
        let Some((version, salt, done)) = read_header(header) else { return Ok(None) };
        let mut left = Self { version, salt, fresh: Vec::new(), in_flight: Vec::new(), path, link, own };
        for half in halves.chunks(HALF) {
            let Some((generation, frames)) = generation(salt, half) else { continue };
            match generation.checked_sub(done) {
                None | Some(0) => {}
                Some(1) => left.in_flight = frames,
                Some(_) => left.fresh = frames,
            }
        }
        Ok(Some(left))
    }

    pub fn octets(&self) -> u64 {
        (self.fresh.len() + self.in_flight.len()) as u64
    }

    /// Frames that the journal doesn't have, in order, given what its newest files have.
    pub fn missing(&self, has: impl Fn(RecordKind, RecordId) -> bool) -> Vec<u8> {
        let mut missing = Vec::new();
        for frames in [&self.in_flight, &self.fresh] {
            let mut rest = frames.as_slice();
            while let Ok(found) = frame::parse(self.salt, rest) {
                let (this, behind) = rest.split_at(found.len());
                if !has(found.kind, found.id) {
                    missing.extend_from_slice(this);
                }
                rest = behind;
            }
        }
        missing
    }

    /// Takes it away: all of it is in the journal.
    pub fn remove(self) {
        let _ = fs::remove_file(&self.link);
        if self.own {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Opens a staging file if it is there and this user made it: anybody may put files where those in memory live.
pub(super) fn open_ours(path: &Path) -> io::Result<Option<File>> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_file() && is_ours(&found) => {}
        Ok(found) => {
            tracing::warn!(file = %path.display(), owner = found.uid(), "not a staging file of this user: left alone, and not read");
            return Ok(None);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    OpenOptions::new().read(true).write(true).open(path).map(Some)
}

/// Whether the file belongs to the user this process runs as.
pub(super) fn is_ours(found: &fs::Metadata) -> bool {
    fs::metadata("/proc/self").is_ok_and(|own| own.uid() == found.uid())
}

fn locked_by_another(error: &dyn std::fmt::Display) -> io::Error {
    let why = format!(
        "another process keeps it locked, and what a killed proxy left in it could be lost: find it with lsof, and end it ({error})"
    );
    io::Error::new(ErrorKind::WouldBlock, why)
}

/// Whether the header names that directory.
fn is_made_for(file: &File, dir: &Path) -> bool {
    let mut header = [0; HEADER];
    let read = file.read_exact_at(&mut header, 0);
    read.is_ok() && fs::canonicalize(dir).is_ok_and(|dir| recorded_dir(&header) == dir.as_os_str().as_encoded_bytes())
}

/// Version of the stored form, salt, and the generation that is done.
fn read_header(header: &[u8]) -> Option<(u16, u32, u64)> {
    let u16_at = |at: usize| Some(u16::from_le_bytes(*header.get(at..)?.first_chunk()?));
    if !header.starts_with(MAGIC) || u16_at(8)? != FORMAT {
        return None;
    }
    let salt = u32::from_le_bytes(*header.get(12..)?.first_chunk()?);
    let done = u64::from_le_bytes(*header.get(DONE_AT..)?.first_chunk()?);
    Some((u16_at(10)?, salt, done))
}

pub(super) fn recorded_dir(header: &[u8]) -> &[u8] {
    let dir = header.get(DIR_AT..).unwrap_or_default();
    let end = dir.iter().position(|octet| *octet == 0).unwrap_or(dir.len());
    dir.get(..end).unwrap_or(dir)
}

/// The generation that a half holds, and its frames as far as they are whole.
fn generation(salt: u32, half: &[u8]) -> Option<(u64, Vec<u8>)> {
    let number = *half.first_chunk::<NUMBER>()?;
    let mut frames = Vec::new();
    let mut rest = half;
    while let Some((_, behind)) = rest.split_first_chunk::<NUMBER>().filter(|(next, _)| **next == number) {
        let Ok(found) = frame::parse(salt, behind) else { break };
        let (this, behind) = behind.split_at(found.len());
        frames.extend_from_slice(this);
        rest = behind;
    }
    let number = u64::from_le_bytes(number);
    (number > 0).then_some((number, frames))
}
