//! Which blocks a sealed file has: read when they are asked for, and kept in memory as far as a budget allows. A store may have
//! thousands of files with a thousand blocks each.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::locks::locked;

/// The tables of this process. What was read first goes first.
static ALL: Tables = Tables { budget: AtomicUsize::new(16 << 20), kept: Mutex::new(Kept { octets: 0, tables: VecDeque::new() }) };

#[derive(Debug)]
struct Tables {
    budget: AtomicUsize,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    octets: usize,
    tables: VecDeque<(usize, Weak<dyn Empties>)>,
}

/// Lets go of a table.
trait Empties: Send + Sync + fmt::Debug {
    fn empty(&self);
}

/// A file's table, if it is in memory.
#[derive(Debug)]
pub(super) struct Table<T>(Arc<Slot<T>>);

#[derive(Debug)]
struct Slot<T>(Mutex<Option<Arc<[T]>>>);

impl<T: Send + Sync + fmt::Debug> Empties for Slot<T> {
    fn empty(&self) {
        *locked(&self.0) = None;
    }
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Octets that tables may take in memory from now on.
pub(super) fn limit(octets: u64) {
    ALL.budget.store(usize::try_from(octets).unwrap_or(usize::MAX), Ordering::Relaxed);
}

impl<T: Send + Sync + fmt::Debug + 'static> Table<T> {
    pub fn new() -> Self {
        Self(Arc::new(Slot(Mutex::new(None))))
    }

    /// The table, read if it isn't there.
    pub fn get(&self, read: impl FnOnce() -> io::Result<Vec<T>>) -> io::Result<Arc<[T]>> {
        if let Some(table) = &*locked(&self.0.0) {
            return Ok(table.clone());
        }
        let table: Arc<[T]> = read()?.into();
        self.keep(&ALL, table.clone());
        Ok(table)
    }

    fn keep(&self, all: &Tables, table: Arc<[T]>) {
        let octets = size_of_val(&*table) + 64;
        *locked(&self.0.0) = Some(table);
        let mut gone = Vec::new();
        {
            let mut kept = locked(&all.kept);
            let slot: Arc<dyn Empties> = self.0.clone();
            kept.tables.push_back((octets, Arc::downgrade(&slot)));
            kept.octets += octets;
            while kept.octets > all.budget.load(Ordering::Relaxed) && kept.tables.len() > 1 {
                let Some((octets, slot)) = kept.tables.pop_front() else { break };
                kept.octets -= octets;
                gone.extend(slot.upgrade());
            }
        }
        gone.iter().for_each(|slot| slot.empty());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_first_goes_first_and_is_read_again() {
        let all = Tables { budget: AtomicUsize::new(3 * (64 + 8)), kept: Mutex::new(Kept { octets: 0, tables: VecDeque::new() }) };
        let tables: Vec<Table<u64>> = (0..5).map(|_| Table::new()).collect();
        for table in &tables {
            table.keep(&all, vec![7].into());
        }
        let there: Vec<bool> = tables.iter().map(|table| locked(&table.0.0).is_some()).collect();
        assert_eq!(there, [false, false, true, true, true]);
        assert_eq!(&*tables[0].get(|| Ok(vec![8])).unwrap(), [8]);
        assert!(tables[1].get(|| Err(io::Error::other("gone"))).is_err());
    }
}
