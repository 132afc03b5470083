//! Where records stand that no index leads to yet: each stretch is gone through once for all questions of a search.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use super::batch::Part;
use super::day::Day;
use super::index::terms::TermKind;
use super::live::Live;
use crate::trace::{Record, RecordId};

/// What was gone through of each day.
#[derive(Debug, Default)]
pub(super) struct Unindexed {
    /// By day and where they begin: there may be several in a day.
    days: HashMap<(Day, u32), Stretch>,
}

#[derive(Debug, Default)]
struct Stretch {
    numbers: Range<u32>,
    /// By part of their ids, in order.
    named: Vec<(u64, u32)>,
}

impl Unindexed {
    /// Where among these numbers of a day a record may stand that has the id, or amends it.
    ///
    /// # Errors
    /// They can't be read.
    pub fn places(&mut self, live: &Live, day: Day, numbers: Range<u32>, kind: TermKind, id: RecordId) -> io::Result<Vec<u32>> {
        let stretch = self.days.entry((day, numbers.start)).or_default();
        stretch.cover(live, day, &numbers)?;
        let wanted = key(kind, id);
        let first = stretch.named.partition_point(|(key, _)| *key < wanted);
        let found = stretch.named.iter().skip(first).take_while(|(key, _)| *key == wanted);
        Ok(found.map(|(_, number)| *number).filter(|number| numbers.contains(number)).collect())
    }
}

impl Stretch {
    fn cover(&mut self, live: &Live, day: Day, numbers: &Range<u32>) -> io::Result<()> {
        if numbers.start < self.numbers.start || numbers.start > self.numbers.end {
            (self.numbers, self.named) = (numbers.start..numbers.start, Vec::new());
        }
        if self.numbers.end >= numbers.end {
            return Ok(());
        }
        let Some(journal) = live.journal.day(day) else { return Ok(()) };
        while self.numbers.end < numbers.end {
            let batch = journal.read_part(self.numbers.end, Part::Summary)?;
            let read = batch.numbers();
            let record_at = |number| Some((number, batch.record(number)?));
            for (number, record) in (self.numbers.end.max(read.start)..read.end.min(numbers.end)).filter_map(record_at) {
                self.named.push((key(TermKind::Id, record.id()), number));
                if let Record::Amendment(amendment) = &record {
                    self.named.push((key(TermKind::Amends, amendment.of), number));
                }
            }
            if read.is_empty() {
                break;
            }
            self.numbers.end = read.end.clamp(self.numbers.end + 1, numbers.end);
        }
        self.numbers.end = numbers.end;
        self.named.sort_unstable();
        Ok(())
    }
}

/// The last octets of an id are the random ones.
fn key(kind: TermKind, id: RecordId) -> u64 {
    let random = id.as_u128() as u64;
    if kind == TermKind::Amends { !random } else { random }
}
