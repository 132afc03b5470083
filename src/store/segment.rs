//! A sealed journal file: the same records in compressed blocks, with a footer that says where each block is.
//!
//! `header 32 | blocks | footer | footer length u32 | crc32c u32 | magic 8`. A block is a zstd frame over
//! `length u32 | kind u8 | octets` of each record; the id is in the octets already. Each block has a checksum for reading, and
//! all are chained by BLAKE3 from the file before, so that nothing can be taken out or changed in silence.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::batch::{Batch, Slot};
use super::frame;
use crate::trace::RecordKind;

const MAGIC: &[u8; 8] = b"rscopesg";
const FORMAT: u16 = 1;
pub(super) const HEADER: usize = 32;
const TRAILER: usize = 16;
/// Length and kind before each record in a block.
const ITEM: usize = 5;
/// A block is closed at this size: larger ones are a little smaller on disk, smaller ones are read faster.
pub(super) const BLOCK_OCTETS: usize = 64 << 10;

/// A sealed file open for reading. It holds the block index but no descriptor: a store may have thousands of them.
#[derive(Debug)]
pub(super) struct Segment {
    pub path: PathBuf,
    pub header: SegmentHeader,
    /// End of the hash chain.
    pub chain: [u8; 32],
    /// End of the chain of the file before.
    pub previous: [u8; 32],
    blocks: Vec<Block>,
    records: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Version of the stored form of the records.
    pub version: u16,
    pub file: u32,
    pub first: u32,
}

#[derive(Debug, Clone, Copy)]
struct Block {
    offset: u32,
    /// Index, within the file, of the first record.
    first: u32,
    raw: u32,
    checksum: u32,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Footer {
    pub blocks: Vec<FooterBlock>,
    pub previous: [u8; 32],
    pub chain: [u8; 32],
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct FooterBlock {
    pub packed: u32,
    pub raw: u32,
    pub records: u32,
    pub checksum: u32,
}

/// Why a file isn't a sealed journal file that this build reads.
#[derive(Debug, thiserror::Error)]
pub enum NoSegment {
    #[error("its header is damaged")]
    Header,
    #[error("its format is {found}; this build reads {FORMAT}: use the relayscope that wrote it")]
    Format { found: u16 },
    #[error("its footer is damaged")]
    Footer,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl SegmentHeader {
    pub fn encode(&self) -> [u8; HEADER] {
        let mut octets = [0; HEADER];
        octets[..8].copy_from_slice(MAGIC);
        octets[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        octets[10..12].copy_from_slice(&self.version.to_le_bytes());
        octets[12..16].copy_from_slice(&self.file.to_le_bytes());
        octets[16..20].copy_from_slice(&self.first.to_le_bytes());
        let checksum = crc32c::crc32c(&octets[..28]);
        octets[28..].copy_from_slice(&checksum.to_le_bytes());
        octets
    }

    fn decode(octets: &[u8; HEADER]) -> Result<Self, NoSegment> {
        let u16_at = |at: usize| u16::from_le_bytes([octets[at], octets[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
        if &octets[..8] != MAGIC || u32_at(28) != crc32c::crc32c(&octets[..28]) {
            return Err(NoSegment::Header);
        }
        match u16_at(8) {
            FORMAT => Ok(Self { version: u16_at(10), file: u32_at(12), first: u32_at(16) }),
            found => Err(NoSegment::Format { found }),
        }
    }
}

impl Footer {
    /// The footer as it stands at the end of the file, trailer included.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        let mut octets = postcard::to_extend(self, Vec::new())?;
        let length = (octets.len() as u32).to_le_bytes();
        let checksum = crc32c::crc32c(&octets).to_le_bytes();
        octets.extend_from_slice(&length);
        octets.extend_from_slice(&checksum);
        octets.extend_from_slice(MAGIC);
        Ok(octets)
    }
}

/// The chain's next link.
pub(super) fn link(chain: &[u8; 32], packed: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(chain).update(packed);
    *hasher.finalize().as_bytes()
}

/// Appends a record to a block in the making.
pub(super) fn pack(kind: RecordKind, octets: &[u8], block: &mut Vec<u8>) {
    block.extend_from_slice(&(octets.len() as u32).to_le_bytes());
    block.push(kind as u8);
    block.extend_from_slice(octets);
}

impl Segment {
    pub fn open(path: PathBuf) -> Result<Self, NoSegment> {
        let file = File::open(&path)?;
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).map_err(|_| NoSegment::Header)?;
        let header = SegmentHeader::decode(&header)?;
        let (footer, end) = read_footer(&file)?;
        let mut blocks = Vec::with_capacity(footer.blocks.len());
        let (mut offset, mut first) = (HEADER as u32, 0u32);
        for block in &footer.blocks {
            blocks.push(Block { offset, first, raw: block.raw, checksum: block.checksum });
            offset = offset.checked_add(block.packed).ok_or(NoSegment::Footer)?;
            first = first.checked_add(block.records).ok_or(NoSegment::Footer)?;
        }
        // One more than there are: every block ends where the next begins.
        blocks.push(Block { offset, first, raw: 0, checksum: 0 });
        if u64::from(offset) != end {
            return Err(NoSegment::Footer);
        }
        Ok(Self { path, header, chain: footer.chain, previous: footer.previous, blocks, records: first })
    }

    pub fn records(&self) -> u32 {
        self.records
    }

    pub fn blocks(&self) -> usize {
        self.blocks.len().saturating_sub(1)
    }

    /// The block with the record at `index`; empty beyond the end.
    pub fn read(&self, index: u32) -> io::Result<Batch> {
        let at = self.blocks.partition_point(|block| block.first <= index).saturating_sub(1);
        if at >= self.blocks() {
            return Ok(Batch::unreadable(self.header.first.saturating_add(index), 0));
        }
        match File::open(&self.path) {
            Ok(file) => self.read_block(&file, at),
            // Somebody removed it, perhaps retention just now: there is nothing to read and nothing to say.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (block, next) = (self.blocks[at], self.blocks[at + 1]);
                Ok(Batch::unreadable(self.header.first.saturating_add(block.first), next.first - block.first))
            }
            Err(error) => Err(error),
        }
    }

    /// Reads one block; a damaged one yields the right count of unreadable records.
    fn read_block(&self, file: &File, at: usize) -> io::Result<Batch> {
        let (block, next) = (self.blocks[at], self.blocks[at + 1]);
        let number = self.header.first.saturating_add(block.first);
        match self.unpack(file, at) {
            Ok((_, octets)) => {
                let slots = slots(&octets, next.first - block.first);
                Ok(Batch::new(self.header.version, number, octets, slots))
            }
            Err(error) => {
                tracing::error!(file = %self.path.display(), offset = block.offset, %error, "a block of the journal is damaged");
                Ok(Batch::unreadable(number, next.first - block.first))
            }
        }
    }

    /// A block's octets, packed and unpacked.
    fn unpack(&self, file: &File, at: usize) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let (block, next) = (self.blocks[at], self.blocks[at + 1]);
        let mut packed = vec![0; (next.offset - block.offset) as usize];
        file.read_exact_at(&mut packed, u64::from(block.offset))?;
        if crc32c::crc32c(&packed) != block.checksum {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum does not match"));
        }
        let octets = decompress(&packed, block.raw as usize)?;
        Ok((packed, octets))
    }

    /// Reads every block and follows the chain; the first thing that is wrong, and where.
    pub fn verify(&self) -> io::Result<Result<[u64; RecordKind::ALL.len()], (u64, String)>> {
        let file = File::open(&self.path)?;
        let mut chain = self.previous;
        let mut kinds = [0; RecordKind::ALL.len()];
        for at in 0..self.blocks() {
            let (block, next) = (self.blocks[at], self.blocks[at + 1]);
            let broken = |what: String| Ok(Err((u64::from(block.offset), what)));
            match self.unpack(&file, at) {
                Ok((packed, octets)) => {
                    chain = link(&chain, &packed);
                    for (index, slot) in slots(&octets, next.first - block.first).into_iter().enumerate() {
                        let Some(slot) = slot else { return broken(format!("record {index} of the block has no readable octets")) };
                        kinds[slot.kind as usize] += 1;
                    }
                }
                Err(error) => return broken(error.to_string()),
            }
        }
        let end = self.blocks.last().map_or(0, |block| u64::from(block.offset));
        if chain == self.chain { Ok(Ok(kinds)) } else { Ok(Err((end, "the hash chain does not end where the footer says".to_owned()))) }
    }
}

thread_local! {
    // Making one costs as much as the decompression of a block.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompress(packed: &[u8], octets: usize) -> io::Result<Vec<u8>> {
    DECOMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(decompressor) => decompressor.decompress(packed, octets),
        None => kept.insert(zstd::bulk::Decompressor::new()?).decompress(packed, octets),
    })
}

fn read_footer(file: &File) -> Result<(Footer, u64), NoSegment> {
    let length = file.metadata()?.len();
    let trailer_at = length.checked_sub(TRAILER as u64).ok_or(NoSegment::Footer)?;
    let mut trailer = [0; TRAILER];
    file.read_exact_at(&mut trailer, trailer_at)?;
    let [a, b, c, d, e, f, g, h, magic @ ..] = trailer;
    let footer_length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let start = trailer_at.checked_sub(footer_length).filter(|_| magic == *MAGIC).ok_or(NoSegment::Footer)?;
    let mut octets = vec![0; footer_length as usize];
    file.read_exact_at(&mut octets, start)?;
    if crc32c::crc32c(&octets) != u32::from_le_bytes([e, f, g, h]) {
        return Err(NoSegment::Footer);
    }
    Ok((postcard::from_bytes(&octets).map_err(|_| NoSegment::Footer)?, start))
}

fn slots(octets: &[u8], records: u32) -> Vec<Option<Slot>> {
    let mut at = 0;
    let next = |at: &mut usize| {
        let head: &[u8; ITEM] = octets.get(*at..)?.first_chunk()?;
        let start = *at + ITEM;
        let end = start + u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        *at = end;
        Some(Slot { kind: frame::kind_of(head[4])?, octets: start..end }).filter(|_| end <= octets.len())
    };
    (0..records).map(|_| next(&mut at)).collect()
}

/// Where a file that is being sealed is written until it is whole.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("seg.unfinished")
}
