//! The index of one day on disk, in sled: written rarely, in order, in big values, and never holding what can't be made again.
//!
//! Tree `pages`: run, first key → page. Tree `blooms`: run → filter. Tree `meta`: `version`, `run` + run → [`RunMeta`], and
//! `indexed` → [`Checkpoint`], which is written last: what it doesn't cover doesn't exist.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, RwLock};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::bloom::{Bloom, Blooms};
use super::day::Day;
use super::keys::Key;
use super::locks::{locked, reading, writing};
use super::pages;
use super::places::Places;
use super::run::{Run, Times};
use crate::trace::WallMicros;

/// Of the trees, the keys in them and their hashes.
const VERSION: u32 = 1;
/// Beside sled's own files: what must be known of a day that is over, so that it needn't be opened at start.
const COMPLETE: &str = "complete";

#[derive(Debug, Error)]
pub(super) enum IndexError {
    #[error("sled: {0}")]
    Sled(#[from] sled::Error),
    #[error("sled panicked: {0}")]
    Panicked(String),
    #[error("it is of version {found}; this build writes {VERSION}")]
    Version { found: u32 },
    #[error("its own notes do not decode")]
    Notes,
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl IndexError {
    /// Whether it may go by itself: the disk is full or away, or somebody still holds the files.
    pub fn is_passing(&self) -> bool {
        use std::io::ErrorKind::{NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
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
pub(super) struct DayIndex {
    // Trees before the database: it closes when the last of them goes.
    pages: sled::Tree,
    blooms: sled::Tree,
    meta: sled::Tree,
    db: sled::Db,
    dir: PathBuf,
    runs: RwLock<Vec<Arc<RunMeta>>>,
    checkpoint: Mutex<Checkpoint>,
    day: Day,
    filters: Arc<Blooms>,
}

/// What must be known about a run before its pages are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RunMeta {
    pub first: u32,
    pub span: u32,
    pub amendments: u32,
    pub times: Times,
}

/// How far the index reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// Records of lower numbers are indexed.
    pub until: u32,
    /// Stands for the damage known in the day's files: numbers shift when it changes.
    pub damage: u64,
}

/// What is known of a day that is over without opening its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Complete {
    pub checkpoint: Checkpoint,
    /// The earliest and the latest time in it, amended records included.
    pub span: (WallMicros, WallMicros),
}

/// Lets a panic of sled's not be ours.
fn guarded<T>(work: impl FnOnce() -> Result<T, IndexError>) -> Result<T, IndexError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|&said| said.to_owned()));
        Err(IndexError::Panicked(said.unwrap_or_else(|| "without a word".to_owned())))
    })
}

impl DayIndex {
    pub fn open(day: Day, dir: &Path, cache_octets: u64, filters: Arc<Blooms>) -> Result<Self, IndexError> {
        guarded(|| {
            let db =
                sled::Config::new().path(dir).cache_capacity(cache_octets).mode(sled::Mode::HighThroughput).flush_every_ms(None).open()?;
            let (pages, blooms, meta) = (db.open_tree("pages")?, db.open_tree("blooms")?, db.open_tree("meta")?);
            match meta.get("version")? {
                None => meta.insert("version", &VERSION.to_le_bytes())?,
                Some(version) if version == VERSION.to_le_bytes() => None,
                Some(version) => {
                    let found = version.first_chunk().map_or(0, |octets| u32::from_le_bytes(*octets));
                    return Err(IndexError::Version { found });
                }
            };
            let checkpoint: Checkpoint = match meta.get("indexed")? {
                Some(octets) => postcard::from_bytes(&octets).map_err(|_| IndexError::Notes)?,
                None => Checkpoint::default(),
            };
            let mut runs = Vec::new();
            for entry in meta.scan_prefix("run") {
                let run: RunMeta = postcard::from_bytes(&entry?.1).map_err(|_| IndexError::Notes)?;
                if run.first < checkpoint.until {
                    runs.push(Arc::new(run));
                }
            }
            // Runs lie side by side up to the checkpoint; anything else was lost by sled.
            let covered = runs.iter().try_fold(0, |end, run| (run.first == end).then_some(run.first + run.span));
            if covered != Some(checkpoint.until) {
                return Err(IndexError::Notes);
            }
            let (runs, checkpoint) = (RwLock::new(runs), Mutex::new(checkpoint));
            Ok(Self { pages, blooms, meta, db, dir: dir.to_owned(), runs, checkpoint, day, filters })
        })
    }

    pub fn checkpoint(&self) -> Checkpoint {
        *locked(&self.checkpoint)
    }

    pub fn runs(&self) -> Vec<Arc<RunMeta>> {
        reading(&self.runs).clone()
    }

    /// Stores a run, and then that the index reaches to its end.
    pub fn commit(&self, run: &Run, checkpoint: Checkpoint) -> Result<(), IndexError> {
        guarded(|| {
            let entries = run.sorted();
            let prefix = run.first.to_be_bytes();
            // An attempt before a crash may have ended elsewhere: its pages must not lie between ours.
            for key in self.pages.scan_prefix(prefix).keys() {
                self.pages.remove(key?)?;
            }
            let keys = entries.chunk_by(|one, other| one.key() == other.key());
            let mut bloom = Bloom::for_keys(keys.clone().count());
            keys.filter_map(|group| group.first()).for_each(|entry| bloom.add(entry.key()));
            for page in pages::pack(&entries) {
                self.pages.insert(page_key(run.first, page.first), page.octets)?;
            }
            self.blooms.insert(prefix, bloom.octets())?;
            let meta = RunMeta { first: run.first, span: run.span, amendments: run.amendments, times: run.times.clone() };
            let octets = postcard::to_allocvec(&meta).map_err(|_| IndexError::Notes)?;
            self.meta.insert([b"run".as_slice(), &prefix].concat(), octets)?;
            self.db.flush()?;
            self.note(checkpoint)?;
            self.filters.keep(self.day, run.first, Arc::new(bloom));
            writing(&self.runs).push(Arc::new(meta));
            Ok(())
        })
    }

    /// Writes the checkpoint, which makes everything before it count.
    fn note(&self, checkpoint: Checkpoint) -> Result<(), IndexError> {
        let octets = postcard::to_allocvec(&checkpoint).map_err(|_| IndexError::Notes)?;
        self.meta.insert("indexed", octets)?;
        self.db.flush()?;
        *locked(&self.checkpoint) = checkpoint;
        Ok(())
    }

    /// Notes that the day is over and the index reaches to its end.
    pub fn complete(&self) -> Result<Complete, IndexError> {
        let widen = |(earliest, latest): (WallMicros, WallMicros), run: &Arc<RunMeta>| {
            let (from, until) = run.times.span();
            (earliest.min(from), latest.max(until))
        };
        let complete = Complete { checkpoint: self.checkpoint(), span: self.runs().iter().fold((WallMicros::MAX, 0), widen) };
        let octets = postcard::to_allocvec(&(VERSION, complete)).map_err(|_| IndexError::Notes)?;
        fs::write(self.dir.join(COMPLETE), octets)?;
        Ok(complete)
    }

    /// The places, within a run, of records that have the key.
    pub fn places(&self, run: &RunMeta, key: Key) -> Result<Places, IndexError> {
        guarded(|| {
            if self.bloom(run.first)?.is_some_and(|bloom| !bloom.may_have(key)) {
                return Ok(Places::default());
            }
            let range = page_key(run.first, Key(0))..=page_key(run.first, key);
            let Some(page) = self.pages.range(range).next_back() else { return Ok(Places::default()) };
            let (at, octets) = page?;
            let first = at.get(4..12).and_then(|key| key.first_chunk()).ok_or(IndexError::Notes)?;
            Ok(pages::places(Key(u64::from_be_bytes(*first)), &octets, key))
        })
    }

    /// The filter of a run, read if there is room to keep it.
    pub fn bloom(&self, run: u32) -> Result<Option<Arc<Bloom>>, IndexError> {
        if let Some(bloom) = self.filters.find(self.day, run) {
            return Ok(Some(bloom));
        }
        if !self.filters.wants(self.day, run) {
            return Ok(None);
        }
        let octets = self.blooms.get(run.to_be_bytes())?;
        let Some(bloom) = octets.and_then(|octets| Bloom::from_octets(octets.to_vec())).map(Arc::new) else { return Ok(None) };
        self.filters.keep(self.day, run, bloom.clone());
        Ok(Some(bloom))
    }
}

/// What is known of a day that is over, without opening its index.
pub(super) fn completed(index_dir: &Path) -> Option<Complete> {
    let octets = fs::read(index_dir.join(COMPLETE)).ok()?;
    let (version, complete): (u32, Complete) = postcard::from_bytes(&octets).ok()?;
    (version == VERSION).then_some(complete)
}

/// Moves an index aside that is of no use any more; the one moved aside before makes room.
pub(super) fn move_aside(index_dir: &Path) -> std::io::Result<PathBuf> {
    let aside = index_dir.with_extension("broken");
    match fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::rename(index_dir, &aside)?;
    Ok(aside)
}

fn page_key(run: u32, first: Key) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&run.to_be_bytes());
    key[4..].copy_from_slice(&first.0.to_be_bytes());
    key
}
