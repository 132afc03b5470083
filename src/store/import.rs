//! Records from elsewhere: into a store that nobody else uses, each once, in the day of its own time.
//!
//! So retention takes them by their age. A day that is there already goes on with a further file, whose numbers follow those of the files
//! before it: nothing that was there moves, and the index goes on where it was.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use thiserror::Error;

use super::adopt::Stage;
use super::day::Day;
use super::frame::{self, Unframeable};
use super::handle::Store;
use super::ids::{Ids, ended_at};
use super::journal::{DayJournal, Form, JournalFile};
use super::live::Live;
use super::log::Log;
use super::open::OpenError;
use super::options::Options;
use super::query::time_of;
use super::{clock, index, seal};
use crate::trace::{Record, RecordKind, stored};

/// Octets of one day's records that are written with one call.
const BATCH: usize = 256 << 10;
/// Days that grow at a time; beyond that the one that waited longest is finished.
const OPEN_DAYS: usize = if cfg!(test) { 4 } else { 400 };

/// A store that takes records in. Nobody else may use it meanwhile.
#[derive(Debug)]
pub struct Import {
    store: Store,
    live: Arc<Live>,
    options: Options,
    salt: u32,
    frame: Vec<u8>,
    today: Day,
    growing: BTreeMap<Day, Growing>,
    ids: Ids,
    report: ImportReport,
}

/// What became of the records that were handed in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportReport {
    pub added: u64,
    /// There already.
    pub known: u64,
    /// The earliest day that records were added to.
    pub oldest: Option<Day>,
}

/// A day that takes records in.
#[derive(Debug, Default)]
struct Growing {
    log: Option<Arc<Log>>,
    /// Frames on their way.
    frames: Vec<u8>,
    /// When it was last added to, in records.
    used: u64,
}

/// Why a record isn't in the store.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("what the proxy left in the store is not all indexed: start the proxy once, or run `relayscope store rebuild-index`")]
    Unfinished,
    #[error("a process that had handed this store over is still ending its sessions and adds to it: wait until it has ended")]
    Draining,
    #[error("marks of open transactions are no records")]
    Mark,
    #[error(transparent)]
    Unframeable(#[from] Unframeable),
    #[error("the store can't be written: {0}")]
    Io(#[from] io::Error),
}

impl ImportError {
    /// Whether the record is to blame; otherwise the store is.
    pub fn is_of_record(&self) -> bool {
        matches!(self, Self::Mark | Self::Unframeable(_))
    }
}

impl Import {
    /// Opens the store of a stopped proxy, or makes one.
    ///
    /// # Errors
    /// A process uses it, or it can't be opened.
    pub fn begin(options: Options) -> Result<Self, ImportError> {
        let opened = Store::open_offline(options.clone())?;
        // Its own writer may be at work until then.
        if opened.report.unfinished {
            return Err(ImportError::Unfinished);
        }
        let store = opened.store;
        let live = store.live().map_err(|error| io::Error::other(error.to_string()))?;
        if live.adoption.stage() != Stage::Over {
            return Err(ImportError::Draining);
        }
        let today = Day::of(store.now());
        let (salt, growing) = (clock::random() as u32, BTreeMap::new());
        Ok(Self { store, live, options, salt, frame: Vec::new(), today, growing, ids: Ids::default(), report: ImportReport::default() })
    }

    /// Takes a record in unless it is there; whether it did. It is safe after [`Import::finish`].
    ///
    /// # Errors
    /// It is no record for a store, or the store can't be written.
    pub fn add(&mut self, record: &Record) -> Result<bool, ImportError> {
        if record.kind() == RecordKind::Mark {
            return Err(ImportError::Mark);
        }
        // A day that hasn't come would be the last for everyone who follows the journal.
        let day = Day::of(time_of(record)).min(self.today);
        if self.is_known(day, record)? {
            self.report.known += 1;
            return Ok(false);
        }
        if !self.growing.contains_key(&day) && self.growing.len() >= OPEN_DAYS {
            self.retire_one()?;
        }
        let growing = self.growing.entry(day).or_default();
        // By itself at first: one that can't be framed takes nothing along.
        self.frame.clear();
        frame::write(self.salt, record, &mut self.frame)?;
        growing.frames.extend_from_slice(&self.frame);
        growing.used = self.report.added;
        self.ids.note(day, record.id());
        self.report.added += 1;
        self.report.oldest = Some(self.report.oldest.map_or(day, |oldest| oldest.min(day)));
        if growing.frames.len() >= BATCH {
            self.write(day)?;
        }
        Ok(true)
    }

    /// Brings all to the disk, and indexes it.
    ///
    /// # Errors
    /// The store can't be written.
    pub fn finish(mut self) -> Result<ImportReport, ImportError> {
        for day in self.growing.keys().copied().collect::<Vec<_>>() {
            self.retire(day)?;
        }
        let Self { store, live, options, report, .. } = self;
        // What amends a record is indexed by what that record is: after it.
        let amending =
            |day: &Day| report.oldest.is_some_and(|oldest| oldest < *day) && live.index.runs(*day).iter().any(|run| run.amendments() > 0);
        let amending: Vec<Day> = live.journal.days().iter().map(|day| day.day).filter(amending).collect();
        drop(live);
        store.close();
        for day in amending {
            std::fs::remove_dir_all(index::dir(&options.dir, day))?;
        }
        if report.added > 0 {
            // Opening it waits until the index has caught up.
            Store::open_offline(options)?.store.close();
        }
        Ok(report)
    }

    fn is_known(&mut self, home: Day, record: &Record) -> Result<bool, ImportError> {
        let ended = Day::of(ended_at(record)).min(self.today);
        for day in self.ids.days_to_look_in(&self.live, home, ended, time_of(record)) {
            if !self.ids.is_loaded(day) {
                // What is on its way must be in the file when that is read.
                self.write(day)?;
                self.ids.load(&self.live, day)?;
            }
            if self.ids.has(day, record.id()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Writes what is on its way to a day's file; a full file is finished.
    fn write(&mut self, day: Day) -> Result<(), ImportError> {
        let Some(growing) = self.growing.get_mut(&day).filter(|growing| !growing.frames.is_empty()) else { return Ok(()) };
        let log = match growing.log.take() {
            Some(log) => log,
            None => self.live.journal.start_file_of_old(day, stored::VERSION, self.salt)?,
        };
        if let Err(error) = log.write(&growing.frames) {
            let _ = log.cut_to_end();
            log.finish();
            return Err(error.into());
        }
        log.publish(&growing.frames);
        growing.frames.clear();
        if log.end() >= self.options.segment_octets {
            end(&log)?;
            self.seal(day);
        } else {
            growing.log = Some(log);
        }
        Ok(())
    }

    fn retire_one(&mut self) -> Result<(), ImportError> {
        let idle = self.growing.iter().min_by_key(|(_, growing)| growing.used).map(|(day, _)| *day);
        idle.map_or(Ok(()), |day| self.retire(day))
    }

    fn retire(&mut self, day: Day) -> Result<(), ImportError> {
        self.write(day)?;
        if let Some(log) = self.growing.remove(&day).and_then(|growing| growing.log) {
            end(&log)?;
            self.seal(day);
        }
        Ok(())
    }

    /// Seals the day's files in order, as far as that can be done: each goes on with the chain of the one before. The rest is for the
    /// proxy, who knows what to do with open marks.
    fn seal(&self, day: Day) {
        let Some(day) = self.live.journal.day(day) else { return };
        for (file, log) in unsealed(&day) {
            if !log.is_finished() {
                return;
            }
            if let Err(error) = seal::seal(&day, &file, &log, |left_open| left_open.is_empty()) {
                tracing::debug!(file = %log.path.display(), %error, "left to the proxy to seal");
                return;
            }
        }
    }
}

fn end(log: &Log) -> io::Result<()> {
    log.sync()?;
    log.finish();
    Ok(())
}

/// The day's files that could be sealed, in order.
fn unsealed(day: &DayJournal) -> Vec<(Arc<JournalFile>, Arc<Log>)> {
    let log = |file: &JournalFile| match file.form() {
        Form::Log(log) if log.damage == 0 => Some(log),
        _ => None,
    };
    day.files().into_iter().filter_map(|file| Some((file.clone(), log(&file)?))).collect()
}
