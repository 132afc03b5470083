//! A stretch of the journal as it lies there: its records are decoded when they are asked for.

use std::ops::{ControlFlow, Range};

use super::batch::Batch;
use super::cursor::Cursor;
use super::day::Day;
use crate::trace::Record;

/// Octets of neighbouring records, with what it takes to decode them.
#[derive(Debug)]
pub struct Window {
    asked: Cursor,
    day: Day,
    /// Those that are meant: the octets may have neighbours that were written at another time.
    numbers: Range<u32>,
    batch: Batch,
}

impl Window {
    /// What follows `asked`, which may be in another day.
    pub(super) fn new(asked: Cursor, (day, numbers, batch): (Day, Range<u32>, Batch)) -> Self {
        Self { asked, day, numbers, batch }
    }

    /// Where the next one begins.
    pub fn after(&self) -> Cursor {
        Cursor { day: self.day, number: self.numbers.end }
    }

    /// Whether what follows that place is in it.
    pub fn has(&self, at: Cursor) -> bool {
        at == self.asked || (at.day == self.day && self.numbers.contains(&at.number))
    }

    /// Decodes one record after the other from that place on, and shows each with the place behind it; `None` for places without one.
    pub fn each(&self, at: Cursor, mut see: impl FnMut(Cursor, Option<Record>) -> ControlFlow<()>) {
        let from = if at.day == self.day { at.number } else { 0 };
        for number in self.numbers.start.max(from)..self.numbers.end {
            if see(Cursor { day: self.day, number }.next(), self.batch.record(number)).is_break() {
                return;
            }
        }
    }
}
