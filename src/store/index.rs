//! The index as a reader sees it: per day, runs that lie side by side; the newest of them still in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Instant;

use super::cursor::Cursor;
use super::day::Day;
use super::keys::Key;
use super::locks::{locked, reading};
use super::run::{Run, Times};
use crate::trace::WallMicros;

#[derive(Debug, Default)]
pub(super) struct Index {
    /// Runs that are not stored yet, in order; the last of all is still growing.
    pub memory: RwLock<BTreeMap<Day, Vec<SharedRun>>>,
    /// Records before this are in some run.
    indexed: Mutex<Option<Cursor>>,
    caught_up: Condvar,
}

pub(super) type SharedRun = Arc<RwLock<Run>>;

/// One run, wherever it is.
#[derive(Debug, Clone)]
pub(super) enum RunView {
    Memory(SharedRun),
}

impl Index {
    /// The runs of a day, oldest first.
    pub fn runs(&self, day: Day) -> Vec<RunView> {
        reading(&self.memory).get(&day).into_iter().flatten().cloned().map(RunView::Memory).collect()
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
        }
    }

    pub fn end(&self) -> u32 {
        match self {
            Self::Memory(run) => reading(run).end(),
        }
    }

    pub fn times(&self) -> Times {
        match self {
            Self::Memory(run) => reading(run).times.clone(),
        }
    }

    pub fn may_hold(&self, since: Option<WallMicros>, until: Option<WallMicros>) -> bool {
        match self {
            Self::Memory(run) => reading(run).times.any_may_hold(since, until),
        }
    }

    /// Records that amend others.
    pub fn amendments(&self) -> u32 {
        match self {
            Self::Memory(run) => reading(run).amendments,
        }
    }

    pub fn places(&self, key: Key) -> Vec<u16> {
        match self {
            Self::Memory(run) => reading(run).places(key),
        }
    }

    /// Places that have a key of each clause; `None` if nothing is asked.
    pub fn places_of_all(&self, clauses: &[Vec<Key>]) -> Option<Vec<u16>> {
        let mut lists = Vec::with_capacity(clauses.len());
        for clause in clauses {
            let mut places: Vec<u16> = clause.iter().flat_map(|&key| self.places(key)).collect();
            if clause.len() > 1 {
                places.sort_unstable();
                places.dedup();
            }
            if places.is_empty() {
                return Some(places);
            }
            lists.push(places);
        }
        lists.sort_by_key(Vec::len);
        lists.into_iter().reduce(|rarer, other| rarer.into_iter().filter(|place| other.binary_search(place).is_ok()).collect())
    }
}
