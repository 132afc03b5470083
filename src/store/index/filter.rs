//! Says of a term that a run certainly hasn't got it: bits in blocks of 64 octets, of which a look-up reads one.
//!
//! A Bloom filter, cut so that one small read answers. The hash of a term names its block; mixed once more, it names six bits of it.
//! The last four octets of a block are the CRC-32C of the others. Nothing of it stays in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use serde::{Deserialize, Serialize};

use crate::store::text;

const BLOCK: usize = 64;
const CHECKSUM: usize = 4;
/// Bits of a block.
const BITS: u64 = (BLOCK - CHECKSUM) as u64 * 8;
/// Terms for each block, on average: 10 bits each, with which one in 70 absent terms seems to be there.
const TERMS: u64 = 48;
/// Bits of a term.
const MARKS: u32 = 6;

/// A filter in the making.
#[derive(Debug)]
pub struct FilterWriter {
    octets: Vec<u8>,
}

/// Where a filter stands in its file; one of no blocks has every term.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    pub offset: u64,
    pub blocks: u32,
}

impl FilterWriter {
    /// With room for so many terms; with more of them it is of less use.
    pub fn new(terms: u64) -> Self {
        let blocks = usize::try_from(terms.div_ceil(TERMS).max(1)).unwrap_or(1);
        Self { octets: vec![0; blocks * BLOCK] }
    }

    pub fn add(&mut self, term: &[u8]) {
        let hash = hash(term);
        let at = block(hash, self.blocks()) as usize * BLOCK;
        let Some(block) = self.octets.get_mut(at..at + BLOCK) else { return };
        for (octet, bit) in marks(hash) {
            block.get_mut(octet).into_iter().for_each(|octet| *octet |= bit);
        }
    }

    pub fn blocks(&self) -> u32 {
        (self.octets.len() / BLOCK) as u32
    }

    /// Its octets as they stand in a file.
    pub fn finish(mut self) -> Vec<u8> {
        for block in self.octets.chunks_exact_mut(BLOCK) {
            if let Some((bits, checksum)) = block.split_last_chunk_mut::<CHECKSUM>() {
                *checksum = crc32c::crc32c(bits).to_le_bytes();
            }
        }
        self.octets
    }
}

impl Filter {
    /// Whether the run may have the term; if not, it hasn't.
    pub fn may_have(self, file: &File, term: &[u8]) -> io::Result<bool> {
        if self.blocks == 0 {
            return Ok(true);
        }
        let hash = hash(term);
        let block = self.block(file, block(hash, self.blocks))?;
        Ok(marks(hash).all(|(octet, bit)| block.get(octet).is_some_and(|octet| octet & bit != 0)))
    }

    /// Reads all of it; the place of the first block that is damaged, if one is.
    pub fn verify(self, file: &File) -> Result<(), (u64, io::Error)> {
        (0..self.blocks).try_for_each(|at| self.block(file, at).map(drop).map_err(|error| (self.offset_of(at), error)))
    }

    fn block(self, file: &File, at: u32) -> io::Result<[u8; BLOCK]> {
        let mut block = [0; BLOCK];
        file.read_exact_at(&mut block, self.offset_of(at))?;
        match block.split_last_chunk::<CHECKSUM>() {
            Some((bits, checksum)) if crc32c::crc32c(bits) == u32::from_le_bytes(*checksum) => Ok(block),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "a block of the filter of the index is damaged")),
        }
    }

    fn offset_of(self, at: u32) -> u64 {
        self.offset.saturating_add(u64::from(at) * BLOCK as u64)
    }
}

fn hash(term: &[u8]) -> u64 {
    text::hash(term.iter().copied())
}

/// By the upper half of the hash.
fn block(hash: u64, blocks: u32) -> u32 {
    (((hash >> 32) * u64::from(blocks)) >> 32) as u32
}

/// The bits of a term, as octet and bit: nine bits of the mixed hash for each, least first.
fn marks(hash: u64) -> impl Iterator<Item = (usize, u8)> {
    let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mixed = mixed ^ (mixed >> 29);
    (0..MARKS).map(move |nth| {
        let bit = (((mixed >> (9 * nth)) & 511) * BITS) >> 9;
        ((bit >> 3) as usize, 1 << (bit & 7))
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::store::index::terms::{self, TermKind};

    fn written(terms: impl Iterator<Item = Vec<u8>>, room: u64) -> (File, Filter) {
        let mut writer = FilterWriter::new(room);
        terms.for_each(|term| writer.add(&term));
        let filter = Filter { offset: 3, blocks: writer.blocks() };
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abc").unwrap();
        file.write_all(&writer.finish()).unwrap();
        (file, filter)
    }

    fn term(no: u64) -> Vec<u8> {
        terms::of_text(TermKind::ToLocal, &format!("user{no}"))
    }

    #[test]
    fn what_is_there_is_never_denied_and_what_is_absent_seldom_seems_there() {
        let (file, filter) = written((0..20_000).map(term), 20_000);
        filter.verify(&file).unwrap();
        assert!((0..20_000).all(|no| filter.may_have(&file, &term(no)).unwrap()));
        let seem = (20_000..40_000).filter(|&no| filter.may_have(&file, &term(no)).unwrap()).count();
        assert!(seem < 400, "{seem} of 20000");
    }

    #[test]
    fn without_a_filter_any_term_may_be_there() {
        let (file, filter) = written(std::iter::empty(), 0);
        assert!(!filter.may_have(&file, b"x").unwrap());
        assert!(Filter::default().may_have(&file, b"x").unwrap());
    }

    #[test]
    fn a_damaged_block_is_noticed() {
        let (file, filter) = written((0..100).map(term), 100);
        file.write_all_at(&[0xA5], 3 + 64 + 17).unwrap();
        assert_eq!(filter.verify(&file).unwrap_err().0, 3 + 64);
        assert!((0..100).any(|no| filter.may_have(&file, &term(no)).is_err()));
    }
}
