//! A file of compressed blocks: the form of both files of a sealed pair, and how it is noticed that something in one was changed.
//!
//! `header 32 | blocks | footer | footer octets u32 | crc32c u32 | magic 8`. Each block has a checksum for reading, and all are
//! chained by BLAKE3 from the file before, so that nothing can be taken out or changed in silence.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::private;
use super::tables::Table;
use crate::trace::RecordKind;

/// Version of the file format, apart from that of the records in it.
const FORMAT: u16 = 2;
const HEADER: usize = 32;
const TRAILER: usize = 16;

/// What is in the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Summaries,
    Dialogues,
}

impl Content {
    fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Summaries => b"rscopesg",
            Self::Dialogues => b"rscopedl",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Version of the stored form of the records.
    pub version: u16,
    /// Number of the file within its day.
    pub file: u32,
    /// Number, within the day, of the file's first record.
    pub first: u32,
}

/// A link of the hash chain, or its end.
pub(super) type Chain = [u8; 32];

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Footer {
    pub blocks: Vec<FooterBlock>,
    /// Numbers that the file stands for, whether their records are still kept or not.
    pub span: u32,
    /// Records of each kind, in the order of the kinds.
    pub kinds: [u32; RecordKind::ALL.len()],
    /// Where the hash chain begins: at the end of that of the file before.
    pub previous: Chain,
    /// Where it ends.
    pub chain: Chain,
    /// Once records have been left out: where it ended when the file was whole, which is where that of the next file begins.
    pub whole: Option<Chain>,
    /// In a file of dialogues: where the chain of the summaries ends that they belong to.
    pub of: Option<Chain>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FooterBlock {
    pub packed: u32,
    pub raw: u32,
    /// Numbers without a record between the block before (or the file's beginning) and this one.
    pub skipped: u32,
    /// From the number of its first record to that of its last.
    pub span: u32,
    pub records: u32,
    pub checksum: u32,
}

/// A file open for reading. It holds no descriptor, and the table of its blocks only for a while: a store may have thousands of them.
#[derive(Debug, Clone)]
pub(super) struct BlockFile {
    pub path: PathBuf,
    pub header: SegmentHeader,
    pub span: u32,
    pub kinds: [u32; RecordKind::ALL.len()],
    pub previous: Chain,
    pub chain: Chain,
    pub whole: Option<Chain>,
    pub of: Option<Chain>,
    content: Content,
    table: Table<Block>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub offset: u32,
    pub packed: u32,
    pub raw: u32,
    /// Index, within the file, of its first record.
    pub first: u32,
    pub records: u32,
    checksum: u32,
}

/// Why a file isn't a sealed journal file that this build reads.
#[derive(Debug, thiserror::Error)]
pub enum NoSegment {
    #[error("its header is damaged")]
    Header,
    #[error(
        "its format is {found}, which only builds before the first release wrote: move the store away, or read it with the relayscope that \
         wrote it"
    )]
    Older { found: u16 },
    #[error("its format is {found}; this build reads {FORMAT}: use a newer relayscope")]
    Newer { found: u16 },
    #[error("its footer is damaged")]
    Footer,
    #[error("it does not belong to the summaries beside it")]
    Stray,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl NoSegment {
    /// Whether it is whole, and another build's.
    pub fn is_format(&self) -> bool {
        matches!(self, Self::Older { .. } | Self::Newer { .. })
    }

    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl SegmentHeader {
    fn encode(&self, content: Content) -> [u8; HEADER] {
        let mut octets = [0; HEADER];
        octets[..8].copy_from_slice(content.magic());
        octets[8..10].copy_from_slice(&FORMAT.to_le_bytes());
        octets[10..12].copy_from_slice(&self.version.to_le_bytes());
        octets[12..16].copy_from_slice(&self.file.to_le_bytes());
        octets[16..20].copy_from_slice(&self.first.to_le_bytes());
        let checksum = crc32c::crc32c(&octets[..28]);
        octets[28..].copy_from_slice(&checksum.to_le_bytes());
        octets
    }

    fn decode(content: Content, octets: &[u8; HEADER]) -> Result<Self, NoSegment> {
        let u16_at = |at: usize| u16::from_le_bytes([octets[at], octets[at + 1]]);
        let u32_at = |at: usize| u32::from_le_bytes([octets[at], octets[at + 1], octets[at + 2], octets[at + 3]]);
        if &octets[..8] != content.magic() || u32_at(28) != crc32c::crc32c(&octets[..28]) {
            return Err(NoSegment::Header);
        }
        match u16_at(8) {
            FORMAT => Ok(Self { version: u16_at(10), file: u32_at(12), first: u32_at(16) }),
            found if found < FORMAT => Err(NoSegment::Older { found }),
            found => Err(NoSegment::Newer { found }),
        }
    }
}

/// The chain's next link.
pub(super) fn link(chain: &Chain, packed: &[u8]) -> Chain {
    let mut hasher = blake3::Hasher::new();
    hasher.update(chain).update(packed);
    *hasher.finalize().as_bytes()
}

impl BlockFile {
    pub fn open(path: PathBuf, content: Content) -> Result<Self, NoSegment> {
        let file = File::open(&path)?;
        let mut header = [0; HEADER];
        file.read_exact_at(&mut header, 0).map_err(|_| NoSegment::Header)?;
        let header = SegmentHeader::decode(content, &header)?;
        let (footer, end) = read_footer(&file, content)?;
        let blocks = blocks(&footer, end)?;
        let Footer { span, kinds, previous, chain, whole, of, .. } = footer;
        let table = Table::new();
        table.get(|| Ok(blocks))?;
        Ok(Self { path, header, span, kinds, previous, chain, whole, of, content, table })
    }

    /// Where its blocks are.
    ///
    /// # Errors
    /// They had to be read again, and could not be.
    pub fn blocks(&self) -> io::Result<Arc<[Block]>> {
        self.table.get(|| {
            let read = || {
                let (footer, end) = read_footer(&File::open(&self.path)?, self.content)?;
                blocks(&footer, end)
            };
            read().map_err(|error: NoSegment| match error {
                NoSegment::Io(error) => error,
                other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
            })
        })
    }

    /// Records that are kept.
    pub fn records(&self) -> u32 {
        self.kinds.iter().sum()
    }

    /// Where the chain of the next file begins.
    pub fn passed_on(&self) -> Chain {
        self.whole.unwrap_or(self.chain)
    }

    /// A block's octets as they stand in the file, appended to `out`.
    pub fn read_packed(&self, file: &File, block: &Block, out: &mut Vec<u8>) -> io::Result<()> {
        let start = out.len();
        out.resize(start + block.packed as usize, 0);
        let packed = &mut out[start..];
        file.read_exact_at(packed, u64::from(block.offset))?;
        if crc32c::crc32c(packed) != block.checksum {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum does not match"));
        }
        Ok(())
    }
}

/// The blocks of a footer that begins at `end`, if they fill the file up to there.
fn blocks(footer: &Footer, end: u64) -> Result<Vec<Block>, NoSegment> {
    let mut blocks = Vec::with_capacity(footer.blocks.len());
    let (mut offset, mut first) = (HEADER as u32, 0u32);
    for block in &footer.blocks {
        first = first.checked_add(block.skipped).ok_or(NoSegment::Footer)?;
        let FooterBlock { packed, raw, records, checksum, .. } = *block;
        blocks.push(Block { offset, packed, raw, first, records, checksum });
        offset = offset.checked_add(packed).ok_or(NoSegment::Footer)?;
        first = first.checked_add(block.span).filter(|_| records <= block.span && records > 0).ok_or(NoSegment::Footer)?;
    }
    if u64::from(offset) != end || first > footer.span {
        return Err(NoSegment::Footer);
    }
    Ok(blocks)
}

fn read_footer(file: &File, content: Content) -> Result<(Footer, u64), NoSegment> {
    let length = file.metadata()?.len();
    let trailer_at = length.checked_sub(TRAILER as u64).ok_or(NoSegment::Footer)?;
    let mut trailer = [0; TRAILER];
    file.read_exact_at(&mut trailer, trailer_at)?;
    let [a, b, c, d, e, f, g, h, magic @ ..] = trailer;
    let footer_length = u64::from(u32::from_le_bytes([a, b, c, d]));
    let start = trailer_at.checked_sub(footer_length).filter(|_| magic == *content.magic()).ok_or(NoSegment::Footer)?;
    let mut octets = vec![0; footer_length as usize];
    file.read_exact_at(&mut octets, start)?;
    if crc32c::crc32c(&octets) != u32::from_le_bytes([e, f, g, h]) {
        return Err(NoSegment::Footer);
    }
    Ok((postcard::from_bytes(&octets).map_err(|_| NoSegment::Footer)?, start))
}

/// A file in the making.
pub(super) struct BlockWriter {
    out: BufWriter<File>,
    content: Content,
    footer: Footer,
    /// Index behind the last record so far.
    end: u32,
}

impl BlockWriter {
    pub fn begin(path: &Path, content: Content, header: &SegmentHeader, previous: Chain) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(256 << 10, private::for_writing().create(true).truncate(true).open(path)?);
        out.write_all(&header.encode(content))?;
        let footer =
            Footer { blocks: Vec::new(), span: 0, kinds: [0; RecordKind::ALL.len()], previous, chain: previous, whole: None, of: None };
        Ok(Self { out, content, footer, end: 0 })
    }

    /// Adds a block with the records of some of the numbers from `first` to `last`.
    pub fn add(&mut self, packed: &[u8], raw: usize, first: u32, last: u32, records: u32) -> io::Result<()> {
        self.out.write_all(packed)?;
        self.footer.chain = link(&self.footer.chain, packed);
        self.footer.blocks.push(FooterBlock {
            packed: packed.len() as u32,
            raw: raw as u32,
            skipped: first - self.end,
            span: last + 1 - first,
            records,
            checksum: crc32c::crc32c(packed),
        });
        self.end = last + 1;
        Ok(())
    }

    pub fn chain(&self) -> Chain {
        self.footer.chain
    }

    /// Writes the footer, completed by `complete`; the file is on the disk when this returns.
    pub fn end(mut self, complete: impl FnOnce(&mut Footer)) -> io::Result<()> {
        complete(&mut self.footer);
        let mut octets = postcard::to_extend(&self.footer, Vec::new()).map_err(io::Error::other)?;
        let length = (octets.len() as u32).to_le_bytes();
        let checksum = crc32c::crc32c(&octets).to_le_bytes();
        octets.extend_from_slice(&length);
        octets.extend_from_slice(&checksum);
        octets.extend_from_slice(self.content.magic());
        self.out.write_all(&octets)?;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}
