//! What was read from the journal for one answer: its next question finds it in memory. Bounded.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::batch::Batch;
use super::cursor::Cursor;
use super::day::Day;
use super::journal::DayJournal;

/// Octets of neighbourhoods kept; beyond it all of them go.
const MOST_OCTETS: usize = 8 << 20;

#[derive(Debug, Default)]
pub(super) struct Kept {
    /// By the place of their first record, with the day that they were read from: one that was removed and came back has other numbers.
    batches: BTreeMap<(Day, u32), (Weak<DayJournal>, Batch)>,
    octets: usize,
}

impl Kept {
    /// The neighbourhood of that place, if it was read.
    pub fn get(&self, day: &Arc<DayJournal>, place: Cursor) -> Option<&Batch> {
        let (_, (of, batch)) = self.batches.range(..=(place.day, place.number)).next_back()?;
        (batch.numbers().contains(&place.number) && of.as_ptr() == Arc::as_ptr(day)).then_some(batch)
    }

    pub fn put(&mut self, day: &Arc<DayJournal>, batch: Batch) {
        self.octets += batch.weight();
        if self.octets > MOST_OCTETS {
            self.batches.clear();
            self.octets = batch.weight();
        }
        self.batches.insert((day.day, batch.numbers().start), (Arc::downgrade(day), batch));
    }
}
