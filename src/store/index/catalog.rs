//! Which run files count: the catalog, in sled.
//!
//! One small database for the whole store, in `STORE/state`: tree `runs`, day and first record (u32 each, big-endian) → [`RunMeta`]. What
//! a merge changes is changed at once (a batch). Nothing is lost with it: the run files say the same of themselves.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::writer::RunMeta;
use crate::store::day::Day;

/// Of the trees and what is in them.
const VERSION: u32 = 1;
/// It holds a few hundred small values.
const CACHE_OCTETS: u64 = 1 << 20;
/// Sled keeps some of these as buffers, of half a megabyte each by default.
const SEGMENT_OCTETS: usize = 64 << 10;

#[derive(Debug, Error)]
pub enum CatalogError {
    #[error("sled: {0}")]
    Sled(#[from] sled::Error),
    #[error("sled panicked: {0}")]
    Panicked(String),
    #[error("it is of version {found}; this build writes {VERSION}")]
    Version { found: u32 },
    #[error("what stands in it does not decode")]
    Notes,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl CatalogError {
    /// Whether it may go by itself: the disk is full or away, or somebody still holds the files.
    pub fn is_passing(&self) -> bool {
        use io::ErrorKind::{NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match self {
            Self::Io(error) | Self::Sled(sled::Error::Io(error)) => {
                matches!(error.kind(), NotFound | StorageFull | QuotaExceeded | ReadOnlyFilesystem | PermissionDenied)
                    || error.to_string().starts_with("could not acquire lock")
            }
            _ => false,
        }
    }
}

#[derive(Debug)]
pub struct Catalog {
    // The tree before the database: it closes when the last of them goes.
    runs: sled::Tree,
    db: sled::Db,
}

pub fn dir(store_dir: &Path) -> PathBuf {
    store_dir.join("state")
}

/// Lets a panic of sled's not be ours.
fn guarded<T>(work: impl FnOnce() -> Result<T, CatalogError>) -> Result<T, CatalogError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|&said| said.to_owned()));
        Err(CatalogError::Panicked(said.unwrap_or_else(|| "without a word".to_owned())))
    })
}

fn key(day: Day, first: u32) -> [u8; 8] {
    let mut key = [0; 8];
    key[..4].copy_from_slice(&day.number().to_be_bytes());
    key[4..].copy_from_slice(&first.to_be_bytes());
    key
}

impl Catalog {
    pub fn open(store_dir: &Path) -> Result<Self, CatalogError> {
        guarded(|| {
            let db = sled::Config::new()
                .path(dir(store_dir))
                .cache_capacity(CACHE_OCTETS)
                .segment_size(SEGMENT_OCTETS)
                .mode(sled::Mode::HighThroughput)
                .flush_every_ms(None)
                .open()?;
            match db.get("version")? {
                None => db.insert("version", &VERSION.to_le_bytes())?,
                Some(version) if version == VERSION.to_le_bytes() => None,
                Some(version) => {
                    let found = version.first_chunk().map_or(0, |octets| u32::from_le_bytes(*octets));
                    return Err(CatalogError::Version { found });
                }
            };
            Ok(Self { runs: db.open_tree("runs")?, db })
        })
    }

    /// The runs of every day, in order.
    pub fn runs(&self) -> Result<Vec<(Day, RunMeta)>, CatalogError> {
        guarded(|| {
            let decode = |entry: sled::Result<(sled::IVec, sled::IVec)>| {
                let (key, octets) = entry?;
                let day = key.first_chunk().map(|day| Day::numbered(u32::from_be_bytes(*day))).ok_or(CatalogError::Notes)?;
                Ok((day, postcard::from_bytes(&octets).map_err(|_| CatalogError::Notes)?))
            };
            self.runs.iter().map(decode).collect()
        })
    }

    /// Puts a run in, and takes those out that it stands for.
    pub fn put(&self, day: Day, run: &RunMeta, instead_of: &[u32]) -> Result<(), CatalogError> {
        guarded(|| {
            let octets = postcard::to_allocvec(run).map_err(|_| CatalogError::Notes)?;
            let mut batch = sled::Batch::default();
            instead_of.iter().for_each(|&first| batch.remove(&key(day, first)));
            batch.insert(&key(day, run.first), octets);
            self.runs.apply_batch(batch)?;
            self.db.flush()?;
            Ok(())
        })
    }

    /// Forgets the runs of a day from that number on.
    pub fn forget(&self, day: Day, from: u32) -> Result<(), CatalogError> {
        guarded(|| {
            for entry in self.runs.range(key(day, from)..=key(day, u32::MAX)) {
                self.runs.remove(entry?.0)?;
            }
            self.db.flush()?;
            Ok(())
        })
    }
}

/// Moves a broken catalog aside; the one moved aside before makes room.
pub fn move_aside(store_dir: &Path) -> io::Result<PathBuf> {
    let aside = store_dir.join("state.broken");
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(dir(store_dir), &aside)?;
    Ok(aside)
}
