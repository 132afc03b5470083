//! A backup of a store: a directory that is a store itself, as this one was at one moment, made while records come in.
//!
//! What never changes again is linked, and takes no room; of the files that grow, what was written so far is copied. Nothing is sealed
//! or removed meanwhile. Where no links reach (another file system) they are made inside the store first: what takes long then holds
//! nobody up. The whole is made beside its place and moved there at the end, so that a half one doesn't look whole.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, TryLockError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::handle::{Store, StoreError};
use super::journal::{DayJournal, Form};
use super::live::Live;
use super::locks::locked;
use super::log::Log;
use super::order;
use super::private;

/// How long a backup waits for what was handed in before it to reach the journal.
const PATIENCE: Duration = Duration::from_secs(60);
/// Inside the store: links to what is still to be copied.
const PINNED: &str = "backup.pinned";
/// Added to the directory's name until the backup is whole.
const PARTIAL: &str = "partial";
/// Files of the journal and of the index that never change once they have their name.
const UNCHANGING: [&str; 3] = ["seg", "dlg", "run"];

/// What a backup consists of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupReport {
    /// Files that are the store's own, by a second name.
    pub linked: u64,
    pub linked_octets: u64,
    pub copied: u64,
    pub copied_octets: u64,
    /// Files of the index among them; without any it is made anew when the backup is opened.
    pub index_files: u64,
}

/// Why there is no backup. Nothing of it is left.
#[derive(Debug, Error)]
pub enum BackupError {
    #[error("{dir}: there is something in it already: name a directory that is empty, or not there yet")]
    NotEmpty { dir: PathBuf },
    #[error("{dir}: another file system is mounted there: name a directory below it")]
    MountPoint { dir: PathBuf },
    #[error("{dir}: it lies inside the store")]
    Inside { dir: PathBuf },
    #[error("{dir}: it doesn't begin with /, and has no last name that could be made")]
    NoPlace { dir: PathBuf },
    #[error("{dir}: an earlier backup was broken off there: remove it, unless one is under way")]
    Unfinished { dir: PathBuf },
    #[error("another backup of this store is under way")]
    UnderWay,
    #[error("the disk does not keep up: what was traced before is not in the journal after {} s", PATIENCE.as_secs())]
    Behind,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: io::Error },
}

impl BackupError {
    /// Whether the caller asked for what can't be done; otherwise it failed.
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Self::Behind | Self::Store(_) | Self::Io { .. })
    }

    fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        |error| Self::Io { path, error }
    }
}

impl Store {
    /// Makes `dir` a store of its own with every record that was taken before this is called. Records go on coming in.
    ///
    /// # Errors
    /// `dir` can't be used, or the files can't be read, linked or written.
    pub fn backup(&self, dir: &Path) -> Result<BackupReport, BackupError> {
        self.backup_by(dir, hard_link)
    }

    /// The same with another way to link.
    pub(super) fn backup_by(&self, dir: &Path, link: Link) -> Result<BackupReport, BackupError> {
        let live = self.live()?;
        let _alone = match live.backing_up.try_lock() {
            Err(TryLockError::WouldBlock) => return Err(BackupError::UnderWay),
            Ok(alone) => alone,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        };
        if !self.settle(PATIENCE) {
            return Err(BackupError::Behind);
        }
        sweep(&live.options.dir);
        let place = Place::prepare(&live.options.dir, dir)?;
        let mut backup = Backup { live: &live, place: &place, link, way: Way::Linked, pinned: Vec::new(), report: BackupReport::default() };
        backup.take()?;
        let report = backup.report;
        place.finish()?;
        Ok(report)
    }
}

/// Removes what a backup left inside the store that was broken off.
pub(super) fn sweep(store_dir: &Path) {
    let _ = fs::remove_dir_all(store_dir.join(PINNED));
}

pub(super) type Link = fn(&Path, &Path) -> io::Result<()>;

fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to)
}

/// Where the backup comes to be. Dropped before [`Place::finish`] it takes away what was made.
struct Place {
    dir: PathBuf,
    partial: PathBuf,
    pinned: PathBuf,
    whole: bool,
}

impl Place {
    fn prepare(store_dir: &Path, dir: &Path) -> Result<Self, BackupError> {
        let refuse = || BackupError::NoPlace { dir: dir.to_owned() };
        let (parent, name) = dir.parent().zip(dir.file_name()).filter(|_| dir.is_absolute()).ok_or_else(refuse)?;
        let parent = parent.canonicalize().map_err(BackupError::io(parent))?;
        let dir = parent.join(name);
        let store_dir = store_dir.canonicalize().map_err(BackupError::io(store_dir))?;
        if dir.starts_with(&store_dir) {
            return Err(BackupError::Inside { dir });
        }
        match fs::symlink_metadata(&dir) {
            Ok(there) if there.is_dir() => {
                if there.dev() != fs::metadata(&parent).map_err(BackupError::io(&parent))?.dev() {
                    return Err(BackupError::MountPoint { dir });
                }
                if fs::read_dir(&dir).map_err(BackupError::io(&dir))?.next().is_some() {
                    return Err(BackupError::NotEmpty { dir });
                }
            }
            Ok(_) => return Err(BackupError::NotEmpty { dir }),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(BackupError::io(&dir)(error)),
        }
        let mut partial = dir.clone().into_os_string();
        partial.push(format!(".{PARTIAL}"));
        let partial = PathBuf::from(partial);
        match private::make_dir(&partial) {
            Ok(()) => Ok(Self { dir, partial, pinned: store_dir.join(PINNED), whole: false }),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(BackupError::Unfinished { dir: partial }),
            Err(error) => Err(BackupError::io(&partial)(error)),
        }
    }

    fn finish(mut self) -> Result<(), BackupError> {
        sync_tree(&self.partial)?;
        fs::rename(&self.partial, &self.dir).map_err(BackupError::io(&self.dir))?;
        self.whole = true;
        let parent = self.dir.parent().unwrap_or(&self.dir);
        File::open(parent).and_then(|dir| dir.sync_all()).map_err(BackupError::io(parent))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.pinned);
        if !self.whole {
            let _ = fs::remove_dir_all(&self.partial);
        }
    }
}

/// How files that don't change get into the backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Linked,
    /// Linked inside the store, to be copied later.
    Pinned,
    /// Copied at once: this file system has no links.
    Copied,
}

struct Backup<'a> {
    live: &'a Live,
    place: &'a Place,
    link: Link,
    way: Way,
    /// Links inside the store, and where their files belong.
    pinned: Vec<(PathBuf, PathBuf)>,
    report: BackupReport,
}

impl Backup<'_> {
    fn take(&mut self) -> Result<(), BackupError> {
        {
            let _held = locked(&self.live.keeping);
            // Before any end is looked at: the files of a later moment aren't in it, what goes on growing may be.
            let days: Vec<_> = self.live.journal.days().into_iter().map(|day| (logs(&day), day)).collect();
            for (logs, day) in &days {
                self.day(day, logs)?;
            }
            // After the files: a return that is in it and has no file yet does no harm.
            let returns = self.live.options.dir.join(order::NAME);
            if returns.exists() {
                self.copy_file(&returns, &self.place.partial.join(order::NAME))?;
            }
        }
        for (from, to) in std::mem::take(&mut self.pinned) {
            self.copy_file(&from, &to)?;
            let _ = fs::remove_file(&from);
        }
        Ok(())
    }

    fn day(&mut self, day: &DayJournal, logs: &[Arc<Log>]) -> Result<(), BackupError> {
        let target = self.place.partial.join(day.day.to_string());
        for part in ["journal", "index"] {
            let (from, to) = (day.dir.join(part), target.join(part));
            for path in files_in(&from)? {
                let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
                let known = logs.iter().find(|log| log.path == path);
                let Some(name) = path.file_name() else { continue };
                match extension {
                    "log" if part == "journal" && known.is_none() => self.copy_file(&path, &to.join(name))?, // unreadable here, and kept
                    _ if UNCHANGING.contains(&extension) => self.unchanging(&path, &to.join(name), part == "index")?,
                    _ => {}
                }
            }
        }
        // By their descriptors: one that somebody removed meanwhile is in it all the same, as long as it has one.
        for log in logs.iter().filter(|log| !log.is_lost()) {
            let Some(name) = log.path.file_name() else { continue };
            self.copy_log(log, &target.join("journal").join(name))?;
        }
        Ok(())
    }

    fn unchanging(&mut self, from: &Path, to: &Path, of_index: bool) -> Result<(), BackupError> {
        make_parents(to)?;
        loop {
            let linked = match self.way {
                Way::Linked => (self.link)(from, to),
                Way::Pinned => {
                    make_dir_if_missing(&self.place.pinned)?;
                    let pin = self.place.pinned.join(self.pinned.len().to_string());
                    (self.link)(from, &pin).map(|()| self.pinned.push((pin, to.to_owned())))
                }
                Way::Copied => {
                    return match self.copy_file(from, to) {
                        Err(BackupError::Io { error, .. }) if of_index && error.kind() == ErrorKind::NotFound => Ok(()),
                        copied => {
                            self.report.index_files += u64::from(of_index && copied.is_ok());
                            copied
                        }
                    };
                }
            };
            match linked {
                Ok(()) if self.way == Way::Linked => {
                    self.report.linked += 1;
                    self.report.linked_octets += fs::metadata(to).map_or(0, |metadata| metadata.len());
                }
                Ok(()) => {}
                // The index is put together anew as it grows, and nothing of it is needed.
                Err(error) if of_index && error.kind() == ErrorKind::NotFound => return Ok(()),
                Err(error) if is_out_of_reach(&error) => {
                    self.way = if self.way == Way::Linked { Way::Pinned } else { Way::Copied };
                    continue;
                }
                Err(error) => return Err(BackupError::io(to)(error)),
            }
            self.report.index_files += u64::from(of_index);
            return Ok(());
        }
    }

    fn copy_file(&mut self, from: &Path, to: &Path) -> Result<(), BackupError> {
        let mut source = File::open(from).map_err(BackupError::io(from))?;
        self.copied(to, |target| io::copy(&mut source, target))
    }

    fn copy_log(&mut self, log: &Log, to: &Path) -> Result<(), BackupError> {
        self.copied(to, |target| log.copy_to(target))
    }

    fn copied(&mut self, to: &Path, copy: impl FnOnce(&mut File) -> io::Result<u64>) -> Result<(), BackupError> {
        make_parents(to)?;
        let octets = private::for_writing()
            .create_new(true)
            .open(to)
            .and_then(|mut target| {
                let octets = copy(&mut target)?;
                target.sync_all()?;
                Ok(octets)
            })
            .map_err(BackupError::io(to))?;
        self.report.copied += 1;
        self.report.copied_octets += octets;
        Ok(())
    }
}

/// The files of a day that aren't sealed.
fn logs(day: &DayJournal) -> Vec<Arc<Log>> {
    let log = |form| if let Form::Log(log) = form { Some(log) } else { None };
    day.files().iter().filter_map(|file| log(file.form())).collect()
}

/// Links that can't be made here, as opposed to a disk that fails.
fn is_out_of_reach(error: &io::Error) -> bool {
    use ErrorKind::{CrossesDevices, PermissionDenied, TooManyLinks, Unsupported};
    matches!(error.kind(), CrossesDevices | PermissionDenied | TooManyLinks | Unsupported)
}

fn files_in(dir: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(BackupError::io(dir))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        files.push(entry.map_err(BackupError::io(dir))?.path());
    }
    files.sort_unstable();
    Ok(files)
}

fn make_dir_if_missing(dir: &Path) -> Result<(), BackupError> {
    private::make_dirs(dir).map_err(BackupError::io(dir))
}

fn make_parents(path: &Path) -> Result<(), BackupError> {
    path.parent().map_or(Ok(()), make_dir_if_missing)
}

/// Makes the names durable, of a directory and those below it.
fn sync_tree(dir: &Path) -> Result<(), BackupError> {
    for entry in fs::read_dir(dir).map_err(BackupError::io(dir))? {
        let path = entry.map_err(BackupError::io(dir))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        }
    }
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(BackupError::io(dir))
}
