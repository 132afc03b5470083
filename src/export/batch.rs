//! Events on their way to a receiver, one after the other in one buffer.

use std::ops::Range;

use super::format::Meta;
use crate::store::Cursor;

/// One event.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its octets within the batch.
    range: Range<usize>,
    pub meta: Meta,
    /// The place behind its record.
    pub after: Cursor,
    /// Records of the stretch before it without an event, and places without a record.
    left_out: u64,
    missing: u64,
}

/// The beginning of a batch.
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub octets: usize,
    pub left_out: u64,
    pub missing: u64,
}

/// Events that are sent together, and the stretch of the journal that they are of.
#[derive(Debug)]
pub struct Batch {
    octets: Vec<u8>,
    events: Vec<Event>,
    /// Records of the stretch without an event.
    pub left_out: u64,
    /// Places of the stretch that have no record any more, and had one that was to be sent.
    pub missing: u64,
    pub before: Cursor,
    pub after: Cursor,
}

impl Batch {
    pub fn new(at: Cursor) -> Self {
        Self { octets: Vec::new(), events: Vec::new(), left_out: 0, missing: 0, before: at, after: at }
    }

    /// Empties it, to be filled from that place on; its buffers stay.
    pub fn begin(&mut self, at: Cursor) {
        self.octets.clear();
        self.events.clear();
        (self.before, self.after, self.left_out, self.missing) = (at, at, 0, 0);
    }

    /// Takes in one record: `encode` appends its event, if it makes one.
    pub fn add(&mut self, after: Cursor, encode: impl FnOnce(&mut Vec<u8>) -> Option<Meta>) {
        let start = self.octets.len();
        match encode(&mut self.octets) {
            Some(meta) => {
                self.events.push(Event { range: start..self.octets.len(), meta, after, left_out: self.left_out, missing: self.missing })
            }
            None => {
                self.octets.truncate(start);
                self.left_out += 1;
            }
        }
        self.after = after;
    }

    /// Takes in a place without a record. `is_missed`: what stood there was to be sent.
    pub fn miss(&mut self, after: Cursor, is_missed: bool) {
        self.missing += u64::from(is_missed);
        self.after = after;
    }

    pub fn events(&self) -> &[Event] {
        &self.events
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Octets of all events.
    pub fn len(&self) -> usize {
        self.octets.len()
    }

    /// The event at that place with its octets.
    pub fn event(&self, place: usize) -> Option<(&Event, &[u8])> {
        self.events.get(place).map(|event| (event, self.octets.get(event.range.clone()).unwrap_or_default()))
    }

    /// What so many of its first events are, with all that stands before the last of them.
    pub fn first(&self, events: usize) -> Option<Part> {
        let last = self.events.get(events.checked_sub(1)?)?;
        Some(Part { octets: last.range.end, left_out: last.left_out, missing: last.missing })
    }

    /// The events with their octets.
    pub fn iter(&self) -> impl Iterator<Item = (&Event, &[u8])> {
        self.events.iter().map(|event| (event, self.octets.get(event.range.clone()).unwrap_or_default()))
    }
}
