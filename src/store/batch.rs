//! Neighbouring records as read from one journal file, before decoding.

use std::ops::Range;

use crate::trace::{Record, RecordKind, stored};

/// Records `first..first + len` of a file. A record that could not be read leaves its place empty: numbers don't shift.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Version of the stored form.
    version: u16,
    /// Number, within the day, of the first record.
    first: u32,
    octets: Vec<u8>,
    slots: Vec<Option<Slot>>,
}

#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub kind: RecordKind,
    pub octets: Range<usize>,
}

impl Batch {
    pub fn new(version: u16, first: u32, octets: Vec<u8>, slots: Vec<Option<Slot>>) -> Self {
        Self { version, first, octets, slots }
    }

    /// Stands for `count` records that can't be read.
    pub fn unreadable(first: u32, count: u32) -> Self {
        Self { version: 0, first, octets: Vec::new(), slots: vec![None; count as usize] }
    }

    /// The numbers of its records.
    pub fn numbers(&self) -> Range<u32> {
        self.first..self.first.saturating_add(self.slots.len() as u32)
    }

    /// Kind and octets of a record.
    pub fn raw(&self, number: u32) -> Option<(RecordKind, &[u8])> {
        let slot = self.slot(number)?;
        Some((slot.kind, self.octets.get(slot.octets.clone())?))
    }

    /// The record, or `None` where it can't be read.
    pub fn record(&self, number: u32) -> Option<Record> {
        let (kind, octets) = self.raw(number)?;
        match stored::decode(self.version, kind, octets) {
            Ok(record) => Some(record),
            Err(error) => {
                tracing::warn!(%error, number, "a record of the journal does not decode");
                None
            }
        }
    }

    fn slot(&self, number: u32) -> Option<&Slot> {
        self.slots.get(number.checked_sub(self.first)? as usize)?.as_ref()
    }
}
