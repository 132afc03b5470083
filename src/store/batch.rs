//! Neighbouring records as read from one journal file, before decoding.

use std::ops::Range;

use crate::trace::{Record, RecordKind, stored};

/// How much of each record is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    /// All but the dialogue, which may take a file more to read.
    Summary,
}

/// The records of some neighbouring numbers. Numbers without a record (it could not be read, or is no longer kept) don't shift the others.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Version of the stored form.
    version: u16,
    /// Numbers, within the day, that it stands for.
    numbers: Range<u32>,
    octets: Vec<u8>,
    /// Ascending by number.
    slots: Vec<Slot>,
}

#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub number: u32,
    pub kind: RecordKind,
    pub summary: Range<usize>,
    pub timeline: Range<usize>,
    pub dialogue: Dialogue,
}

/// Whether a record's timeline is among the octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialogue {
    Here,
    /// It wasn't asked for, or never had a line.
    LeftOut,
    /// It is no longer kept.
    Dropped,
}

impl Batch {
    pub fn new(version: u16, numbers: Range<u32>, octets: Vec<u8>, slots: Vec<Slot>) -> Self {
        Self { version, numbers, octets, slots }
    }

    /// Numbers without records.
    pub fn empty(numbers: Range<u32>) -> Self {
        Self { numbers, ..Self::default() }
    }

    /// The numbers it stands for.
    pub fn numbers(&self) -> Range<u32> {
        self.numbers.clone()
    }

    /// Octets it takes in memory, about.
    pub fn weight(&self) -> usize {
        self.octets.len() + self.slots.len() * size_of::<Slot>() + 256
    }

    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Octets of a record's summary, and of its timeline if that is here.
    pub fn octets(&self, slot: &Slot) -> (&[u8], &[u8]) {
        let part = |range: &Range<usize>| self.octets.get(range.clone()).unwrap_or_default();
        (part(&slot.summary), if slot.dialogue == Dialogue::Here { part(&slot.timeline) } else { &[] })
    }

    /// The record, or `None` where there is none or it can't be read.
    pub fn record(&self, number: u32) -> Option<Record> {
        self.decode(self.slot(number)?)
    }

    pub fn decode(&self, slot: &Slot) -> Option<Record> {
        let (summary, timeline) = self.octets(slot);
        match stored::decode_parts(self.version, slot.kind, summary, timeline) {
            Ok(mut record) => {
                if slot.dialogue == Dialogue::Dropped {
                    record.drop_dialogue();
                }
                Some(record)
            }
            Err(error) => {
                tracing::warn!(%error, number = slot.number, "a record of the journal does not decode");
                None
            }
        }
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        // Most often no number lacks a record.
        let guess = number.checked_sub(self.numbers.start)? as usize;
        match self.slots.get(guess) {
            Some(slot) if slot.number == number => Some(slot),
            _ => self.slots.get(self.slots.binary_search_by_key(&number, |slot| slot.number).ok()?),
        }
    }
}
