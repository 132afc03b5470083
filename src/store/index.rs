//! The index as a reader sees it: per day, runs that lie side by side; stored ones, and the newest still in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Instant;

use super::bloom::Blooms;
use super::cursor::Cursor;
use super::day::Day;
use super::keys::Key;
use super::locks::{locked, reading, writing};
use super::places::Places;
use super::run::{Run, Times, overlaps};
use super::stored::{self, Checkpoint, Complete, DayIndex, IndexError, RunMeta};
use crate::trace::WallMicros;

/// Days whose index may be open at a time: sled keeps 7 MiB of buffers for each.
const OPEN_DAYS: usize = 4;

#[derive(Debug)]
pub(super) struct Index {
    store_dir: PathBuf,
    sled_octets: u64,
    blooms: Arc<Blooms>,
    /// Runs that are not stored yet, in order; the last of all is still growing.
    memory: RwLock<BTreeMap<Day, Vec<SharedRun>>>,
    /// The stored runs of each day that was asked for: with these and the filters most look-ups end before sled.
    known: Mutex<BTreeMap<Day, Vec<Arc<RunMeta>>>>,
    /// Open indexes, the one used last at the end.
    open: Mutex<Vec<(Day, Arc<DayIndex>)>>,
    /// Earliest and latest time of days that are over.
    spans: Mutex<BTreeMap<Day, (WallMicros, WallMicros)>>,
    /// Days that the indexer must see to before they can be opened again.
    broken: Mutex<BTreeSet<Day>>,
    /// Those of them whose index is sound and out of date.
    outdated: Mutex<BTreeSet<Day>>,
    indexed: Mutex<Option<Cursor>>,
    caught_up: Condvar,
}

pub(super) type SharedRun = Arc<RwLock<Run>>;

/// One run, wherever it is.
#[derive(Debug, Clone)]
pub(super) enum RunView {
    Memory(SharedRun),
    Stored(Day, Arc<RunMeta>),
}

pub(super) fn index_dir(store_dir: &Path, day: Day) -> PathBuf {
    store_dir.join(day.to_string()).join("index")
}

impl Index {
    pub fn new(store_dir: &Path, cache_octets: u64) -> Self {
        Self {
            store_dir: store_dir.to_owned(),
            sled_octets: (cache_octets / 2 / OPEN_DAYS as u64).max(1 << 20),
            blooms: Arc::new(Blooms::new(cache_octets / 2)),
            memory: RwLock::default(),
            known: Mutex::default(),
            open: Mutex::default(),
            spans: Mutex::default(),
            broken: Mutex::default(),
            outdated: Mutex::default(),
            indexed: Mutex::default(),
            caught_up: Condvar::new(),
        }
    }

    /// The runs of a day, oldest first. What none of them covers must be looked for in the journal.
    pub fn runs(&self, day: Day) -> Vec<RunView> {
        // Memory first: a run that is being stored meanwhile is then seen twice rather than not at all.
        let memory: Vec<_> = reading(&self.memory).get(&day).into_iter().flatten().cloned().collect();
        let stored = self.known(day);
        let mut runs: BTreeMap<u32, RunView> = stored.into_iter().map(|run| (run.first, RunView::Stored(day, run))).collect();
        for run in memory {
            let first = reading(&run).first;
            runs.entry(first).or_insert(RunView::Memory(run));
        }
        runs.into_values().collect()
    }

    /// The stored runs of a day, or none if its index isn't in order.
    fn known(&self, day: Day) -> Vec<Arc<RunMeta>> {
        if let Some(runs) = locked(&self.known).get(&day) {
            return runs.clone();
        }
        if locked(&self.broken).contains(&day) || !index_dir(&self.store_dir, day).is_dir() {
            return Vec::new();
        }
        match self.open(day) {
            Ok(index) => index.runs(),
            Err(error) => {
                self.report_broken(day, &error);
                Vec::new()
            }
        }
    }

    /// What is known of a day that is over and indexed to its end.
    pub fn completed(&self, day: Day) -> Option<Complete> {
        stored::completed(&index_dir(&self.store_dir, day))
    }

    /// Notes that a day is over; what is found there from now on is found without opening it.
    pub fn is_over(&self, day: Day, span: (WallMicros, WallMicros)) {
        locked(&self.spans).insert(day, span);
    }

    /// Whether a day may hold a time in `since..until`.
    pub fn may_hold(&self, day: Day, since: Option<WallMicros>, until: Option<WallMicros>) -> bool {
        locked(&self.spans).get(&day).is_none_or(|&span| overlaps(span, since, until))
    }

    /// Stores a run of a day, whose index then reaches to the checkpoint.
    pub fn store(&self, day: Day, run: &Run, checkpoint: Checkpoint) -> Result<(), IndexError> {
        let index = self.open(day)?;
        index.commit(run, checkpoint)?;
        locked(&self.known).insert(day, index.runs());
        Ok(())
    }

    /// Opens a day's index, or makes an empty one.
    pub fn open(&self, day: Day) -> Result<Arc<DayIndex>, IndexError> {
        let mut open = locked(&self.open);
        if let Some(at) = open.iter().position(|(of, _)| *of == day) {
            let entry = open.remove(at);
            let index = entry.1.clone();
            open.push(entry);
            return Ok(index);
        }
        let dir = index_dir(&self.store_dir, day);
        // Sled would make the directory of a day that was removed just now.
        fs::metadata(self.store_dir.join(day.to_string()))?;
        // The newest day stays: it is being written.
        let newest = open.iter().map(|(of, _)| *of).max();
        if open.len() >= OPEN_DAYS
            && let Some(idle) = open.iter().position(|(of, index)| Some(*of) != newest && Arc::strong_count(index) == 1)
        {
            open.remove(idle);
        }
        let index = Arc::new(DayIndex::open(day, &dir, self.sled_octets, self.blooms.clone())?);
        locked(&self.known).insert(day, index.runs());
        open.push((day, index.clone()));
        Ok(index)
    }

    pub fn close(&self, day: Day) {
        locked(&self.open).retain(|(of, _)| *of != day);
    }

    /// Keeps everyone away from a day's index until the indexer has made it anew.
    pub fn report_broken(&self, day: Day, error: &IndexError) {
        if locked(&self.broken).insert(day) {
            tracing::error!(%day, %error, "the index of a day is broken: it is answered from the journal until the index is made anew");
        }
        self.close(day);
        locked(&self.known).remove(&day);
    }

    /// Has the indexer make a day's index anew: records have been left out of its journal.
    pub fn make_anew(&self, day: Day) {
        locked(&self.outdated).insert(day);
        locked(&self.broken).insert(day);
        self.close(day);
        locked(&self.known).remove(&day);
    }

    pub fn broken_days(&self) -> BTreeSet<Day> {
        locked(&self.broken).clone()
    }

    /// Moves a broken index away, so that the next opening starts with an empty one.
    pub fn set_aside(&self, day: Day) {
        self.close(day);
        locked(&self.known).remove(&day);
        locked(&self.spans).remove(&day);
        writing(&self.memory).remove(&day);
        self.blooms.forget(day);
        let dir = index_dir(&self.store_dir, day);
        let outdated = locked(&self.outdated).remove(&day) && fs::remove_dir_all(&dir).is_ok();
        if !outdated && dir.is_dir() {
            match stored::move_aside(&dir) {
                Ok(aside) => tracing::warn!(%day, aside = %aside.display(), "the index was moved aside and is made anew from the journal"),
                Err(error) => tracing::error!(%day, %error, "the broken index could not be moved aside"),
            }
        }
        locked(&self.broken).remove(&day);
    }

    pub fn forget(&self, day: Day) {
        self.close(day);
        locked(&self.known).remove(&day);
        locked(&self.spans).remove(&day);
        writing(&self.memory).remove(&day);
        locked(&self.broken).remove(&day);
        self.blooms.forget(day);
    }

    /// Adds a run that begins to grow.
    pub fn begin(&self, day: Day, run: SharedRun) {
        // A clock that was set back reopens a day.
        locked(&self.spans).remove(&day);
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

    /// Records before this are in some run.
    pub fn indexed(&self) -> Option<Cursor> {
        *locked(&self.indexed)
    }

    pub fn now_indexed(&self, until: Cursor) {
        *locked(&self.indexed) = Some(until);
        self.caught_up.notify_all();
    }

    /// Waits until all records before `end` are in some run, or the deadline; whether they are.
    pub fn wait_for(&self, end: Cursor, deadline: Instant, hurry: impl FnOnce()) -> bool {
        let reached = |indexed: &Option<Cursor>| indexed.is_some_and(|indexed| indexed >= end);
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

    pub fn end(&self) -> u32 {
        match self {
            Self::Memory(run) => reading(run).end(),
            Self::Stored(_, run) => run.first.saturating_add(run.span),
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

impl Index {
    /// The places, within a run, of records that have the key.
    pub fn places(&self, run: &RunView, key: Key) -> Result<Places, IndexError> {
        match run {
            RunView::Memory(run) => Ok(reading(run).places(key)),
            RunView::Stored(day, run) => match self.blooms.find(*day, run.first) {
                Some(bloom) if !bloom.may_have(key) => Ok(Places::default()),
                _ => self.open(*day)?.places(run, key),
            },
        }
    }

    /// Reads the filters of a day's runs into memory, as far as there is room: a search for what isn't there then ends with them.
    pub fn warm(&self, day: Day) -> Result<(), IndexError> {
        for run in self.known(day) {
            if self.blooms.wants(day, run.first) && self.blooms.find(day, run.first).is_none() {
                self.open(day)?.bloom(run.first)?;
            }
        }
        Ok(())
    }

    /// Whether the filter of a run, if it is in memory, denies a clause.
    fn is_denied(&self, run: &RunView, clauses: &[Vec<Key>]) -> bool {
        let RunView::Stored(day, run) = run else { return false };
        let Some(bloom) = self.blooms.find(*day, run.first) else { return false };
        clauses.iter().any(|clause| !clause.iter().any(|&key| bloom.may_have(key)))
    }

    /// Places that have a key of each clause; `None` if nothing is asked.
    pub fn places_of_all(&self, run: &RunView, clauses: &[Vec<Key>]) -> Result<Option<Vec<u16>>, IndexError> {
        // The rare word of a Message-ID is most often the one that isn't here.
        if self.is_denied(run, clauses) {
            return Ok(Some(Vec::new()));
        }
        let mut lists = Vec::with_capacity(clauses.len());
        for clause in clauses {
            let mut any = Places::default();
            for &key in clause {
                any = any.or(self.places(run, key)?);
            }
            if any.is_empty() {
                return Ok(Some(Vec::new()));
            }
            lists.push(any);
        }
        lists.sort_by_key(Places::len);
        let mut lists = lists.into_iter();
        Ok(lists.next().map(|rarest| {
            let mut places = rarest.into_vec();
            lists.for_each(|list| places.retain(|&place| list.contains(place)));
            places
        }))
    }
}
