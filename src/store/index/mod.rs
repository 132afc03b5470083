//! The index as a reader sees it: per day, runs that lie side by side; stored ones, and the newest still in memory.
//!
//! Reading order: [`terms`] (what a record is found by), [`growing`] (a run in memory), [`writer`] and [`file`] (a run on disk, of
//! [`page`]s, [`columns`] and a [`filter`]), [`merge`] (many runs become one), [`shelf`] and [`catalog`] (which of them count), `indexer`
//! (who makes them), [`lookup`] (what is asked of a run).

pub mod catalog;
pub mod columns;
pub mod file;
pub mod filter;
pub mod growing;
pub mod indexer;
mod ledger;
pub mod lookup;
pub mod merge;
mod open_files;
pub mod page;
pub mod places;
mod refusals;
pub mod shelf;
pub mod terms;
pub mod times;
pub mod writer;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Instant;

use growing::GrowingRun;
use open_files::OpenFiles;
use places::Places;
use shelf::Shelf;
use times::Times;
use writer::RunMeta;

use super::clock;
use super::cursor::Cursor;
use super::day::Day;
use super::journal::DayJournal;
use super::locks::{locked, reading, writing};
use crate::trace::WallMicros;

#[derive(Debug)]
pub struct Index {
    store_dir: PathBuf,
    /// The stored runs of each day.
    shelf: Shelf,
    /// Runs that are not stored yet, in order; the last of all is still growing.
    memory: RwLock<BTreeMap<Day, Vec<SharedRun>>>,
    open: OpenFiles,
    /// Records for which a later one stands, by their numbers.
    superseded: RwLock<BTreeMap<Day, Arc<Places>>>,
    /// Days that the indexer must see to, and from which number on.
    broken: Mutex<BTreeMap<Day, u32>>,
    /// Those of them that are not broken, but of another journal.
    outdated: Mutex<BTreeSet<Day>>,
    indexed: Mutex<BTreeMap<Day, u32>>,
    /// Days that were removed, and that the indexer doesn't know of yet.
    removed: Mutex<BTreeSet<Day>>,
    caught_up: Condvar,
}

pub type SharedRun = Arc<RwLock<GrowingRun>>;

/// One run, wherever it is.
#[derive(Debug, Clone)]
pub enum RunView {
    Memory(SharedRun),
    Stored(Day, Arc<RunMeta>),
}

pub fn dir(store_dir: &Path, day: Day) -> PathBuf {
    store_dir.join(day.to_string()).join("index")
}

pub fn run_path(store_dir: &Path, day: Day, first: u32, end: u32, tag: u32) -> PathBuf {
    dir(store_dir, day).join(format!("{first:010}-{end:010}-{tag:08x}.run"))
}

impl Index {
    /// Opens the index of the days of a journal; of a day that isn't in order, what is.
    pub fn open(store_dir: &Path, cache_octets: u64, days: &[Arc<DayJournal>]) -> Self {
        let index = Self {
            store_dir: store_dir.to_owned(),
            shelf: Shelf::open(store_dir, days),
            memory: RwLock::default(),
            open: OpenFiles::new(cache_octets),
            superseded: RwLock::default(),
            broken: Mutex::default(),
            outdated: Mutex::default(),
            indexed: Mutex::default(),
            removed: Mutex::default(),
            caught_up: Condvar::new(),
        };
        for day in index.shelf.days() {
            for run in index.shelf.runs(day).iter().filter(|run| run.amendments > 0) {
                match index.file(day, run) {
                    // A day that isn't there any more may come back, with other numbers.
                    Ok(file) => file
                        .superseded()
                        .filter(|(of, _)| days.iter().any(|day| day.day == *of))
                        .for_each(|(day, number)| index.supersede(Cursor { day, number })),
                    Err(error) => index.report_broken(day, run, &error),
                }
            }
        }
        index
    }

    /// The runs of a day, oldest first. What none of them covers must be looked for in the journal.
    pub fn runs(&self, day: Day) -> Vec<RunView> {
        // Memory first: a run that is being stored meanwhile is then seen twice rather than not at all.
        let memory: Vec<_> = reading(&self.memory).get(&day).into_iter().flatten().cloned().collect();
        let stored = self.shelf.runs(day);
        let mut runs: BTreeMap<u32, RunView> = stored.into_iter().map(|run| (run.first, RunView::Stored(day, run))).collect();
        let stored_until = runs.values().next_back().map_or(0, RunView::end);
        for run in memory {
            let first = reading(&run).first;
            if first >= stored_until {
                runs.insert(first, RunView::Memory(run));
            }
        }
        runs.into_values().collect()
    }

    /// Lets go of the catalog: another process may open it.
    pub fn close(&self) {
        self.shelf.close();
    }

    /// How far the stored runs of a day reach.
    pub fn stored_until(&self, day: Day) -> u32 {
        self.shelf.runs(day).last().map_or(0, |run| run.end())
    }

    /// Days of which stored runs were found lost or broken at the start.
    pub fn lost(&self) -> &BTreeSet<Day> {
        self.shelf.lost()
    }

    /// Whether the catalog was found broken at the start, and made anew.
    pub fn catalog_was_lost(&self) -> bool {
        self.shelf.catalog_was_lost()
    }

    /// Whether a day may hold a time in `since..until`: not if all of it is stored and no run does.
    pub fn may_hold(&self, day: &DayJournal, since: Option<WallMicros>, until: Option<WallMicros>) -> bool {
        let runs = self.shelf.runs(day.day);
        runs.last().is_none_or(|last| last.end() < day.end()) || runs.iter().any(|run| run.times.any_may_hold(since, until))
    }

    /// Stores a run of a day.
    ///
    /// # Errors
    /// It can't be written; nothing is left then.
    pub fn store(&self, day: Day, run: &GrowingRun, damage: u64) -> io::Result<()> {
        // A day that was removed just now must not be made again.
        fs::metadata(self.store_dir.join(day.to_string()))?;
        let tag = clock::random() as u32;
        let meta = writer::write(&run_path(&self.store_dir, day, run.first, run.end(), tag), day, run, tag, damage)?;
        self.shelf.put(day, meta, &[]);
        Ok(())
    }

    /// Merges some runs of a day if that is worth while; whether it was.
    ///
    /// # Errors
    /// The files can't be read or written, or `goes_on` said no.
    pub fn merge(&self, day: Day, run_records: u32, is_over: bool, goes_on: &dyn Fn() -> bool) -> io::Result<bool> {
        let runs = self.shelf.runs(day);
        let Some(chosen) = merge::choose(&runs, run_records, is_over).and_then(|range| runs.get(range)) else { return Ok(false) };
        let mut files = Vec::with_capacity(chosen.len());
        for run in chosen {
            files.push(self.file(day, run).inspect_err(|error| self.report_broken(day, run, error))?);
        }
        let (Some(first), Some(last)) = (chosen.first(), chosen.last()) else { return Ok(false) };
        let tag = clock::random() as u32;
        let path = run_path(&self.store_dir, day, first.first, last.end(), tag);
        let merged = merge::merge(&path, day, &files, tag, goes_on);
        // Which of them is damaged isn't known: all are made again.
        let merged = merged.inspect_err(|error| self.report_broken(day, first, error))?;
        if !self.shelf.put(day, merged, chosen) {
            fs::remove_file(&path)?;
        }
        Ok(true)
    }

    /// Removes the files of runs that were merged a while ago.
    pub fn sweep(&self) {
        self.shelf.sweep();
    }

    /// A run's file, opened if it isn't.
    pub fn file(&self, day: Day, run: &RunMeta) -> io::Result<Arc<file::RunFile>> {
        let path = || run_path(&self.store_dir, day, run.first, run.end(), run.tag);
        self.open.file(day, run, path).map_err(|error| match error {
            file::NoRun::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
        })
    }

    /// Has the indexer make a day's index anew from that run on; until then the journal answers.
    pub fn report_broken(&self, day: Day, run: &RunMeta, error: &io::Error) {
        // A search that began before the run was made again meets the old one still.
        if !self.shelf.runs(day).iter().any(|known| known.tag == run.tag) {
            return;
        }
        let first = run.first;
        // A day that was removed meanwhile, or a disk that is away for a moment, is nothing to repair.
        let is_there = || self.store_dir.join(day.to_string()).is_dir();
        if error.kind() == io::ErrorKind::Interrupted {
            return;
        }
        if error.kind() != io::ErrorKind::InvalidData && !(error.kind() == io::ErrorKind::NotFound && is_there()) {
            return;
        }
        let mut broken = locked(&self.broken);
        if !broken.contains_key(&day) {
            tracing::error!(%day, first, %error, "the index of a day is broken: the journal is searched until it is made anew");
        }
        let from = broken.entry(day).or_insert(first);
        *from = (*from).min(first);
    }

    /// Has the indexer make a day's index anew, because the journal of that day is another now.
    pub fn make_anew(&self, day: Day) {
        locked(&self.outdated).insert(day);
        locked(&self.broken).insert(day, 0);
    }

    /// Whether a day's journal has become another since this was asked last.
    pub fn was_outdated(&self, day: Day) -> bool {
        locked(&self.outdated).remove(&day)
    }

    pub fn broken_days(&self) -> BTreeMap<Day, u32> {
        locked(&self.broken).clone()
    }

    /// Removes the runs of a day from that number on, so that they can be made anew.
    pub fn set_aside(&self, day: Day, from: u32) {
        // Whatever is reported from now on is for the next time.
        let from = locked(&self.broken).remove(&day).map_or(from, |noted| noted.min(from));
        writing(&self.memory).remove(&day);
        self.shelf.cut(day, from);
        self.open.forget(day);
        // Of what is gone now, somebody may have complained until a moment ago.
        let outdated = locked(&self.outdated);
        let mut broken = locked(&self.broken);
        if !outdated.contains(&day) && broken.get(&day).is_some_and(|&noted| noted >= from) {
            broken.remove(&day);
        }
    }

    pub fn forget(&self, day: Day) {
        self.open.forget(day);
        writing(&self.memory).remove(&day);
        writing(&self.superseded).remove(&day);
        self.shelf.forget(day);
        locked(&self.broken).remove(&day);
        // It may come back: with a clock that was ahead for a while.
        locked(&self.removed).insert(day);
    }

    /// The days that were removed since this was asked last.
    pub fn take_removed(&self) -> BTreeSet<Day> {
        let removed = std::mem::take(&mut *locked(&self.removed));
        locked(&self.indexed).retain(|day, _| !removed.contains(day));
        removed
    }

    /// Adds a run that begins to grow.
    pub fn begin(&self, day: Day, run: SharedRun) {
        writing(&self.memory).entry(day).or_default().push(run);
    }

    /// Lets go of a run that has been stored.
    pub fn was_stored(&self, day: Day, first: u32) {
        let mut memory = writing(&self.memory);
        if let Some(runs) = memory.get_mut(&day) {
            runs.retain(|run| reading(run).first != first);
            if runs.is_empty() {
                memory.remove(&day);
            }
        }
    }

    /// Notes that a later record stands for this one.
    pub fn supersede(&self, at: Cursor) {
        let mut superseded = writing(&self.superseded);
        let places = superseded.entry(at.day).or_default();
        Arc::make_mut(places).insert(at.number);
    }

    /// The numbers of a day's records for which later ones stand.
    pub fn superseded(&self, day: Day) -> Option<Arc<Places>> {
        reading(&self.superseded).get(&day).cloned()
    }

    /// Records of that day before this are in some run.
    pub fn indexed(&self, day: Day) -> u32 {
        locked(&self.indexed).get(&day).copied().unwrap_or_default()
    }

    pub fn now_indexed(&self, until: impl IntoIterator<Item = (Day, u32)>) {
        locked(&self.indexed).extend(until);
        self.caught_up.notify_all();
    }

    /// Waits until all records of those days before those numbers are in some run, or the deadline; whether they are.
    pub fn wait_for(&self, ends: &[(Day, u32)], deadline: Instant, hurry: impl FnOnce()) -> bool {
        let reached = |indexed: &BTreeMap<Day, u32>| ends.iter().all(|(day, end)| indexed.get(day).copied().unwrap_or_default() >= *end);
        let indexed = locked(&self.indexed);
        if reached(&indexed) {
            return true;
        }
        drop(indexed);
        hurry();
        let pause = deadline.saturating_duration_since(Instant::now());
        let waited = self.caught_up.wait_timeout_while(locked(&self.indexed), pause, |indexed| !reached(indexed));
        reached(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}

impl RunView {
    pub fn first(&self) -> u32 {
        match self {
            Self::Memory(run) => reading(run).first,
            Self::Stored(_, run) => run.first,
        }
    }

    /// The number after its last.
    pub fn end(&self) -> u32 {
        match self {
            Self::Memory(run) => reading(run).end(),
            Self::Stored(_, run) => run.end(),
        }
    }

    pub fn times(&self) -> Times {
        match self {
            Self::Memory(run) => reading(run).times.clone(),
            Self::Stored(_, run) => run.times.clone(),
        }
    }

    pub fn may_hold(&self, since: Option<WallMicros>, until: Option<WallMicros>) -> bool {
        match self {
            Self::Memory(run) => reading(run).times.any_may_hold(since, until),
            Self::Stored(_, run) => run.times.any_may_hold(since, until),
        }
    }

    /// Records that amend others.
    pub fn amendments(&self) -> u32 {
        match self {
            Self::Memory(run) => reading(run).amendments,
            Self::Stored(_, run) => run.amendments,
        }
    }
}
