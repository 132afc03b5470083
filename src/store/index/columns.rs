//! Numbers of each record that ranges are asked of and sums made of: message size, duration, time to the final reply, recipients.

use std::io;

use serde::{Deserialize, Serialize};

use super::places::number;
use crate::trace::{Record, leb128};

/// A column, by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Octets of the message.
    Size = 0,
    /// µs.
    Duration = 1,
    /// µs from end-of-data to its reply.
    EndOfData = 2,
    Recipients = 3,
    /// In a gap record.
    RecordsLost = 4,
}

pub const COLUMNS: usize = 5;

/// The numbers of one record; absent where it has none.
pub type Numbers = [Option<u64>; COLUMNS];

/// The columns of a run that grows, as they will be packed: a number plus one, LEB128; 0 stands for none.
#[derive(Debug, Default)]
pub struct Columns {
    columns: [Vec<u8>; COLUMNS],
    chunk: [Chunk; COLUMNS],
    places: u32,
}

/// One packed piece of a column in a run file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Place of its first number.
    pub first: u32,
    pub places: u32,
    pub least: u64,
    pub most: u64,
    pub offset: u64,
    pub packed: u32,
    pub raw: u32,
    pub checksum: u32,
}

pub fn numbers_of(record: &Record) -> Numbers {
    match record {
        Record::Transaction(it) => [
            Some(it.message.size),
            Some(it.duration_us),
            it.phases.end_of_data_us,
            Some(it.envelope.recipients.len() as u64 + u64::from(it.envelope.recipients_cut)),
            None,
        ],
        Record::Session(it) => [None, Some(it.duration_us), None, None, None],
        Record::Gap(it) => [None, None, None, None, Some(it.records_lost)],
        Record::Log(it) => [it.size, None, None, None, None],
        Record::Amendment(_) | Record::Mark(_) | Record::Audit(_) | Record::Incident(_) => [None; COLUMNS],
    }
}

impl Columns {
    pub fn push(&mut self, place: u32, numbers: Numbers) {
        let skipped = place.saturating_sub(self.places);
        for ((column, chunk), number) in self.columns.iter_mut().zip(&mut self.chunk).zip(numbers) {
            (0..skipped).for_each(|_| column.push(0));
            leb128::put(column, number.map_or(0, |number| number.saturating_add(1)));
            if let Some(number) = number {
                (chunk.least, chunk.most) = match chunk.raw {
                    0 => (number, number),
                    _ => (chunk.least.min(number), chunk.most.max(number)),
                };
                chunk.raw = 1;
            }
        }
        self.places = place + 1;
    }

    /// The numbers of a column from the first place on.
    pub fn numbers(&self, column: Column) -> impl Iterator<Item = Option<u64>> {
        self.columns.get(column as usize).into_iter().flat_map(|octets| read(octets))
    }

    /// Every column, packed, with what is to be noted of it but where it stands.
    pub fn pack(&self) -> io::Result<Vec<(Chunk, Vec<u8>)>> {
        self.columns
            .iter()
            .zip(&self.chunk)
            .map(|(octets, chunk)| {
                let packed = zstd::bulk::compress(octets, 3)?;
                // No number at all: no range meets it.
                let (least, most) = if chunk.raw == 0 { (u64::MAX, 0) } else { (chunk.least, chunk.most) };
                let checksum = crc32c::crc32c(&packed);
                let sizes = (packed.len() as u32, octets.len() as u32);
                Ok((Chunk { first: 0, places: self.places, least, most, offset: 0, packed: sizes.0, raw: sizes.1, checksum }, packed))
            })
            .collect()
    }
}

/// The numbers of an unpacked chunk.
pub fn read(octets: &[u8]) -> impl Iterator<Item = Option<u64>> {
    let mut rest = octets;
    std::iter::from_fn(move || Some(number(&mut rest)?.checked_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_with_their_gaps() {
        let mut columns = Columns::default();
        columns.push(0, [Some(5), None, Some(u64::MAX - 1), Some(0), None]);
        columns.push(3, [Some(2), Some(9), None, None, None]);
        assert_eq!(columns.numbers(Column::Size).collect::<Vec<_>>(), [Some(5), None, None, Some(2)]);
        let packed = columns.pack().unwrap();
        let unpacked = |column: Column| {
            let (chunk, octets) = &packed[column as usize];
            let octets = zstd::bulk::decompress(octets, chunk.raw as usize).unwrap();
            (chunk.least, chunk.most, read(&octets).collect::<Vec<_>>())
        };
        assert_eq!(unpacked(Column::Size), (2, 5, vec![Some(5), None, None, Some(2)]));
        assert_eq!(unpacked(Column::Duration), (9, 9, vec![None, None, None, Some(9)]));
        assert_eq!(unpacked(Column::RecordsLost), (u64::MAX, 0, vec![None; 4]));
    }
}
