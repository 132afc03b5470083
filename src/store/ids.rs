//! Which records a store has, by id, for whoever adds to it: looked up a million times, so day by day in memory.

use std::collections::{BTreeMap, HashSet};
use std::io;

use super::batch::{Part, Slot};
use super::day::Day;
use super::live::Live;
use crate::trace::{Record, RecordId, WallMicros};

/// Ids in memory; beyond that days are forgotten, and read again if they are asked for.
const MOST: usize = 8 << 20;

#[derive(Debug, Default)]
pub(super) struct Ids {
    days: BTreeMap<Day, Loaded>,
    /// Days with records of that day, though they were written long after.
    late: BTreeMap<Day, Vec<Day>>,
    asked: u64,
}

#[derive(Debug, Default)]
struct Loaded {
    ids: HashSet<RecordId>,
    /// When it was last asked for.
    used: u64,
}

/// When what the record tells was over: it was written then, or later.
pub(super) fn ended_at(record: &Record) -> WallMicros {
    let time = super::query::time_of(record);
    match record {
        Record::Transaction(it) => time.saturating_add(it.duration_us),
        Record::Session(it) => time.saturating_add(it.duration_us),
        Record::Amendment(_) | Record::Gap(_) | Record::Mark(_) | Record::Log(_) | Record::Audit(_) | Record::Incident(_) => time,
    }
}

impl Ids {
    /// Where a record of that time can be: where imports put it, where a proxy wrote it, and wherever else the index knows of records
    /// that old.
    pub fn days_to_look_in(&mut self, live: &Live, home: Day, ended: Day, at: WallMicros) -> Vec<Day> {
        let near = [Day::of(at).min(home), home, ended, ended.later(1)];
        let late = self.late.entry(home).or_insert_with(|| {
            let days = live.journal.days().into_iter();
            days.filter(|day| day.day > home && live.index.may_hold(day, Some(home.start()), Some(home.end()))).map(|day| day.day).collect()
        });
        let mut days: Vec<Day> = near.into_iter().chain(late.iter().copied()).collect();
        days.sort_unstable();
        days.dedup();
        days
    }

    pub fn is_loaded(&self, day: Day) -> bool {
        self.days.contains_key(&day)
    }

    /// Reads the ids of all records of a day.
    pub fn load(&mut self, live: &Live, day: Day) -> io::Result<()> {
        let mut loaded = Loaded { used: self.asked, ..Loaded::default() };
        if let Some(journal) = live.journal.day(day) {
            let mut number = 0;
            loop {
                let batch = journal.read_part(number, Part::Summary)?;
                let numbers = batch.numbers();
                if numbers.is_empty() {
                    break;
                }
                // Every kind of record begins with its id.
                let id = |slot: &Slot| Some(postcard::take_from_bytes::<RecordId>(batch.octets(slot).0).ok()?.0);
                loaded.ids.extend(batch.slots().iter().filter(|slot| slot.number >= number).filter_map(id));
                number = numbers.end;
            }
        }
        self.days.insert(day, loaded);
        self.make_room(day);
        Ok(())
    }

    pub fn has(&mut self, day: Day, id: RecordId) -> bool {
        self.asked += 1;
        let asked = self.asked;
        self.days.get_mut(&day).is_some_and(|loaded| {
            loaded.used = asked;
            loaded.ids.contains(&id)
        })
    }

    /// A record was added to a day.
    pub fn note(&mut self, day: Day, id: RecordId) {
        if let Some(loaded) = self.days.get_mut(&day) {
            loaded.ids.insert(id);
        }
    }

    fn make_room(&mut self, newest: Day) {
        let held = |days: &BTreeMap<Day, Loaded>| days.values().map(|loaded| loaded.ids.len()).sum::<usize>();
        while held(&self.days) > MOST
            && let Some(idle) = self.days.iter().filter(|(day, _)| **day != newest).min_by_key(|(_, it)| it.used).map(|(day, _)| *day)
        {
            self.days.remove(&idle);
        }
    }
}
