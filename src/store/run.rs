//! A run in memory: the keys of up to 65,536 neighbouring records, exact, until they are packed and stored.

use super::keys::Key;
use super::places::{self, BITMAP_OCTETS, Places};
use crate::trace::WallMicros;

/// Most records of a run: a record's place in it takes 16 bits.
pub(super) const RUN_RECORDS: u32 = 1 << 16;
/// Entries are sorted in pieces as they come, so that a look-up needn't go through all.
const PIECE: usize = 1 << 15;
/// From that many places on a bitmap is handier than a list.
const MANY: usize = 4096;
/// Records that share one entry of the time column.
pub(super) const STRIDE: u32 = 1024;

/// A key and the record that has it, 48 and 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry(u64);

impl Entry {
    pub fn new(key: Key, place: u16) -> Self {
        Self(key.0 << 16 | u64::from(place))
    }

    pub fn key(self) -> Key {
        Key(self.0 >> 16)
    }

    pub fn place(self) -> u16 {
        self.0 as u16
    }
}

#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Number, within the day, of the first record.
    pub first: u32,
    /// Numbers that it spans; some may be without record.
    pub span: u32,
    entries: Vec<Entry>,
    /// Where each sorted piece ends; what follows the last is not sorted yet.
    pieces: Vec<usize>,
    pub times: Times,
    /// How many of its records amend others.
    pub amendments: u32,
}

/// Earliest and latest time of each stride of records.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Times(Vec<(WallMicros, WallMicros)>);

impl Times {
    pub fn note(&mut self, place: u16, at: WallMicros) {
        let stride = (u32::from(place) / STRIDE) as usize;
        if self.0.len() <= stride {
            self.0.resize(stride + 1, (WallMicros::MAX, 0));
        }
        let (earliest, latest) = &mut self.0[stride];
        *earliest = (*earliest).min(at);
        *latest = (*latest).max(at);
    }

    /// Whether the stride of that record may hold a time in `since..until`.
    pub fn may_hold(&self, place: u16, since: Option<WallMicros>, until: Option<WallMicros>) -> bool {
        self.0.get((u32::from(place) / STRIDE) as usize).is_some_and(|stride| overlaps(*stride, since, until))
    }

    /// The earliest and the latest of all.
    pub fn span(&self) -> (WallMicros, WallMicros) {
        self.0.iter().fold((WallMicros::MAX, 0), |(earliest, latest), &(from, until)| (earliest.min(from), latest.max(until)))
    }

    /// Whether any stride may.
    pub fn any_may_hold(&self, since: Option<WallMicros>, until: Option<WallMicros>) -> bool {
        self.0.iter().any(|&stride| overlaps(stride, since, until))
    }
}

pub(super) fn overlaps((earliest, latest): (WallMicros, WallMicros), since: Option<WallMicros>, until: Option<WallMicros>) -> bool {
    since.is_none_or(|since| since <= latest) && until.is_none_or(|until| earliest < until)
}

impl Run {
    pub fn new(first: u32) -> Self {
        Self { first, span: 0, entries: Vec::new(), pieces: Vec::new(), times: Times::default(), amendments: 0 }
    }

    /// The number after its last.
    pub fn end(&self) -> u32 {
        self.first.saturating_add(self.span)
    }

    /// Adds the record of that number with its keys, or without any.
    pub fn add(&mut self, number: u32, at: Option<WallMicros>, keys: &[Key]) {
        let place = (number - self.first) as u16;
        self.span = u32::from(place) + 1;
        self.entries.extend(keys.iter().map(|&key| Entry::new(key, place)));
        if let Some(at) = at {
            self.times.note(place, at);
        }
        let sorted = self.sorted_until();
        if self.entries.len() - sorted >= PIECE {
            self.entries[sorted..].sort_unstable();
            self.pieces.push(self.entries.len());
        }
    }

    /// The places of the records that have the key.
    pub fn places(&self, key: Key) -> Places {
        let (low, high) = (Entry::new(key, 0), Entry::new(key, u16::MAX));
        let mut start = 0;
        let sorted = self.pieces.iter().map(|&end| {
            let piece = &self.entries[start..end];
            start = end;
            let from = piece.partition_point(|&entry| entry < low);
            let until = from + piece[from..].partition_point(|&entry| entry <= high);
            &piece[from..until]
        });
        let sorted: Vec<_> = sorted.collect();
        let rest = self.entries[self.sorted_until()..].iter().filter(|entry| entry.key() == key);
        let found = || sorted.iter().copied().flatten().chain(rest.clone()).map(|entry| entry.place());
        if sorted.iter().map(|piece| piece.len()).sum::<usize>() < MANY {
            return Places::List(found().collect());
        }
        let mut bits = vec![0; BITMAP_OCTETS];
        found().for_each(|place| places::set(&mut bits, place));
        Places::Bitmap(bits)
    }

    fn sorted_until(&self) -> usize {
        self.pieces.last().copied().unwrap_or_default()
    }

    /// All entries in order, for packing.
    pub fn sorted(&self) -> Vec<Entry> {
        let mut entries = self.entries.clone();
        // A stable sort finds the sorted pieces and merges them.
        entries.sort();
        entries
    }
}
