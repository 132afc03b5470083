//! A sealed part of the journal: the records' summaries in one file, their dialogues in another, which can be dropped.
//!
//! A block of summaries holds of each record `kind u8 | numbers skipped | octets of the summary | octets of the timeline |
//! summary`, numbers in LEB128, and is a zstd frame. The block of dialogues beside it holds the timelines of the same records,
//! one after the other, as the continuation of that frame: what both say alike costs nothing twice.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::batch::{Batch, Dialogue, Part, Slot};
use super::blocks::{Block, BlockFile, Chain, Content, NoSegment, SegmentHeader, link};
use super::frame;
use super::unpack::decompress;
use crate::trace::{RecordKind, leb128, stored};

/// A zstd block without octets that ends a frame: where the frame goes on in the other file, it stands in that block's place.
pub(super) const LAST: [u8; 3] = [1, 0, 0];

/// A sealed pair of files open for reading.
#[derive(Debug, Clone)]
pub(super) struct Segment {
    summaries: Arc<BlockFile>,
    dialogues: Option<Arc<BlockFile>>,
}

/// Something wrong with one of the two files.
#[derive(Debug)]
pub(super) struct Flaw {
    pub file: PathBuf,
    pub offset: u64,
    pub what: String,
}

/// `000016.dlg` beside `000016.seg`.
pub(super) fn dialogues_path(summaries: &Path) -> PathBuf {
    summaries.with_extension("dlg")
}

/// Where a file is written until it is whole.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".unfinished");
    name.into()
}

/// Appends what stands of a record in a block of summaries.
pub(super) fn pack(kind: RecordKind, skipped: u32, summary: &[u8], timeline_octets: usize, block: &mut Vec<u8>) {
    block.push(kind as u8);
    leb128::put(block, u64::from(skipped));
    leb128::put(block, summary.len() as u64);
    leb128::put(block, timeline_octets as u64);
    block.extend_from_slice(summary);
}

impl Segment {
    /// Opens the summaries, and the dialogues if they are there and fit.
    pub fn open(path: PathBuf) -> Result<Self, NoSegment> {
        let summaries = Arc::new(BlockFile::open(path, Content::Summaries)?);
        let alone = Self { summaries, dialogues: None };
        match alone.find_dialogues(dialogues_path(&alone.summaries.path)) {
            Ok(dialogues) => Ok(Self { dialogues: Some(dialogues), ..alone }),
            Err(error) if error.is_format() => Err(error),
            Err(error) => {
                if !error.is_absent() {
                    tracing::error!(file = %dialogues_path(&alone.summaries.path).display(), %error, "dialogues of the journal can't be read");
                }
                Ok(alone)
            }
        }
    }

    /// Opens a file of dialogues that must be those of these summaries.
    pub fn find_dialogues(&self, path: PathBuf) -> Result<Arc<BlockFile>, NoSegment> {
        let dialogues = BlockFile::open(path, Content::Dialogues)?;
        let (ours, theirs) = (self.summaries.blocks()?, dialogues.blocks()?);
        let alike = |(one, other): (&Block, &Block)| one.first == other.first && one.records == other.records;
        let same_blocks = ours.len() == theirs.len() && ours.iter().zip(theirs.iter()).all(alike);
        let fits = dialogues.header == self.summaries.header && dialogues.of == Some(self.summaries.chain) && same_blocks;
        if fits { Ok(Arc::new(dialogues)) } else { Err(NoSegment::Stray) }
    }

    /// The same files under the names that they have from now on.
    pub fn renamed(self, path: PathBuf) -> Self {
        let renamed = |file: Arc<BlockFile>, path| {
            let mut file = Arc::unwrap_or_clone(file);
            file.path = path;
            Arc::new(file)
        };
        Self {
            dialogues: self.dialogues.map(|dialogues| renamed(dialogues, dialogues_path(&path))),
            summaries: renamed(self.summaries, path),
        }
    }

    pub fn without_dialogues(&self) -> Self {
        Self { summaries: self.summaries.clone(), dialogues: None }
    }

    pub fn with_dialogues(self, dialogues: Option<Arc<BlockFile>>) -> Self {
        Self { dialogues, ..self }
    }

    pub fn path(&self) -> &Path {
        &self.summaries.path
    }

    pub fn dialogues_path(&self) -> Option<&Path> {
        self.dialogues.as_ref().map(|dialogues| dialogues.path.as_path())
    }

    pub fn header(&self) -> SegmentHeader {
        self.summaries.header
    }

    /// Numbers that it stands for.
    pub fn span(&self) -> u32 {
        self.summaries.span
    }

    /// Records that are kept.
    pub fn records(&self) -> u32 {
        self.summaries.records()
    }

    pub fn records_of(&self, kind: RecordKind) -> u32 {
        self.summaries.kinds.get(kind as usize).copied().unwrap_or_default()
    }

    /// Whether records have been left out.
    pub fn is_thinned(&self) -> bool {
        self.summaries.whole.is_some()
    }

    /// Where its hash chain begins.
    pub fn previous(&self) -> Chain {
        self.summaries.previous
    }

    /// Where the chain of the next file begins.
    pub fn passed_on(&self) -> Chain {
        self.summaries.passed_on()
    }

    /// Where the chain of the dialogues begins, and where that of the next file's.
    pub fn dialogues_chain(&self) -> Option<(Chain, Chain)> {
        self.dialogues.as_ref().map(|dialogues| (dialogues.previous, dialogues.passed_on()))
    }

    /// The records around `index`; none beyond the end.
    pub fn read(&self, index: u32, part: Part) -> io::Result<Batch> {
        let first = self.header().first;
        let rest = first.saturating_add(index)..first.saturating_add(self.span());
        if index >= self.span() {
            return Ok(Batch::empty(rest.end..rest.end));
        }
        let blocks = match self.summaries.blocks() {
            // Somebody removed it, perhaps retention just now: there is nothing to read and nothing to say.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Batch::empty(rest)),
            Err(error) if passes(&error) => return Err(error),
            Err(error) => {
                tracing::error!(file = %self.path().display(), %error, "the journal can't be read here");
                return Ok(Batch::empty(rest));
            }
            Ok(blocks) => blocks,
        };
        let at = blocks.partition_point(|block| block.first <= index).saturating_sub(1);
        let numbers = self.numbers(&blocks, at);
        if at >= blocks.len() {
            return Ok(Batch::empty(numbers));
        }
        match self.read_block(&blocks, at, part) {
            Ok(batch) => Ok(batch),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Batch::empty(numbers)),
            Err(error) if passes(&error) => Err(error),
            // One bad block must not keep all others from being read.
            Err(error) => {
                let offset = blocks.get(at).map(|block| block.offset);
                tracing::error!(file = %self.path().display(), offset, %error, "a block of the journal can't be read");
                Ok(Batch::empty(numbers))
            }
        }
    }

    /// Shows the records block by block, whole as far as they are kept.
    pub fn each_batch(&self, mut see: impl FnMut(&Batch) -> io::Result<()>) -> io::Result<()> {
        let blocks = self.summaries.blocks()?;
        (0..blocks.len()).try_for_each(|at| see(&self.read_block(&blocks, at, Part::Whole)?))
    }

    /// The numbers that a block stands for; without any block, all.
    fn numbers(&self, blocks: &[Block], at: usize) -> Range<u32> {
        let first = |at: usize| blocks.get(at).map_or(self.span(), |block| block.first);
        let start = if at == 0 { 0 } else { first(at) };
        let day = |index: u32| self.header().first.saturating_add(index);
        day(start)..day(first(at + 1))
    }

    fn read_block(&self, blocks: &[Block], at: usize, part: Part) -> io::Result<Batch> {
        let block = blocks.get(at).ok_or(io::ErrorKind::InvalidData)?;
        let mut packed = Vec::new();
        self.summaries.read_packed(&File::open(&self.summaries.path)?, block, &mut packed)?;
        let dialogues = self.dialogues.as_deref().filter(|_| part == Part::Whole);
        let whole = dialogues.and_then(|dialogues| self.unpack_both(&packed, block, dialogues, at));
        let (octets, dialogue) = match whole {
            Some(octets) => (octets, Dialogue::Here),
            None if part == Part::Summary => (decompress(&packed, block.raw as usize)?, Dialogue::LeftOut),
            None => (decompress(&packed, block.raw as usize)?, Dialogue::Dropped),
        };
        let slots = self.slots(block, &octets, dialogue).ok_or_else(|| damaged("its records are not what its footer says"))?;
        Ok(Batch::new(self.header().version, self.numbers(blocks, at), octets, slots))
    }

    /// Summaries and timelines of a block; `None` if the latter are gone or damaged.
    fn unpack_both(&self, summaries: &[u8], block: &Block, dialogues: &BlockFile, at: usize) -> Option<Vec<u8>> {
        let theirs = dialogues.blocks().ok()?;
        let other = theirs.get(at)?;
        let unpack = || {
            let file = File::open(&dialogues.path)?;
            let mut packed = Vec::with_capacity(summaries.len() + other.packed as usize);
            packed.extend_from_slice(summaries.strip_suffix(&LAST).ok_or_else(|| damaged("the block of summaries does not end"))?);
            dialogues.read_packed(&file, other, &mut packed)?;
            decompress(&packed, block.raw as usize + other.raw as usize)
        };
        unpack()
            .inspect_err(|error: &io::Error| {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::error!(file = %dialogues.path.display(), offset = other.offset, %error, "a block of dialogues is damaged");
                }
            })
            .ok()
    }

    /// Where the records of a block are in its octets, if they are what the footer says.
    fn slots(&self, block: &Block, octets: &[u8], dialogue: Dialogue) -> Option<Vec<Slot>> {
        let mut slots = Vec::with_capacity(block.records as usize);
        let (mut at, mut timeline, mut next) = (0, block.raw as usize, self.header().first.checked_add(block.first)?);
        for _ in 0..block.records {
            let (&kind, rest) = octets.get(at..block.raw as usize)?.split_first()?;
            let kind = frame::kind_of(kind)?;
            let (skipped, rest) = leb128::read(rest)?;
            let (summary_octets, rest) = leb128::read(rest)?;
            let (timeline_octets, rest) = leb128::read(rest)?;
            let start = block.raw as usize - rest.len();
            let summary = start..start.checked_add(usize::try_from(summary_octets).ok()?)?;
            let until = timeline.checked_add(usize::try_from(timeline_octets).ok()?)?;
            let number = next.checked_add(u32::try_from(skipped).ok()?)?;
            at = summary.end;
            let dialogue = match dialogue {
                Dialogue::Dropped if !stored::has_lines(until - timeline) => Dialogue::LeftOut,
                other => other,
            };
            slots.push(Slot { number, kind, summary, timeline: timeline..until, dialogue });
            (timeline, next) = (until, number.checked_add(1)?);
        }
        let ends = at == block.raw as usize && (dialogue != Dialogue::Here || timeline == octets.len());
        ends.then_some(slots)
    }

    /// Reads every block of both files and follows their chains: how many records of each kind there are, and what is wrong.
    pub fn verify(&self) -> io::Result<([u64; RecordKind::ALL.len()], Vec<Flaw>)> {
        let mut kinds = [0; RecordKind::ALL.len()];
        let mut flaws = self.summaries.flaws()?;
        if let Some(dialogues) = &self.dialogues {
            flaws.extend(dialogues.flaws()?);
        }
        // What a checksum has shown already is not told twice.
        let sound = flaws.is_empty();
        let blocks = self.summaries.blocks()?;
        for (at, block) in blocks.iter().enumerate() {
            match self.read_block(&blocks, at, Part::Whole) {
                Ok(batch) => {
                    batch.slots().iter().for_each(|slot| kinds[slot.kind as usize] += 1);
                    let lost = self.dialogues.as_ref().filter(|_| batch.slots().iter().any(|slot| slot.dialogue == Dialogue::Dropped));
                    if let Some(dialogues) = lost.filter(|_| sound) {
                        let offset = dialogues.blocks()?.get(at).map_or(0, |block| u64::from(block.offset));
                        flaws.push(dialogues.flaw(offset, "a block does not continue that of the summaries".to_owned()));
                    }
                }
                Err(error) if sound => flaws.push(self.summaries.flaw(u64::from(block.offset), error.to_string())),
                Err(_) => {}
            }
        }
        if sound && flaws.is_empty() && kinds != self.summaries.kinds.map(u64::from) {
            flaws.push(self.summaries.flaw(0, "its records are not of the kinds that its footer says".to_owned()));
        }
        Ok((kinds, flaws))
    }
}

impl BlockFile {
    fn flaw(&self, offset: u64, what: String) -> Flaw {
        Flaw { file: self.path.clone(), offset, what }
    }

    /// Blocks whose checksum is wrong; if there are none, whether the hash chain holds.
    fn flaws(&self) -> io::Result<Vec<Flaw>> {
        let file = File::open(&self.path)?;
        let (mut flaws, mut chain, mut packed) = (Vec::new(), self.previous, Vec::new());
        let mut end = 0;
        for block in self.blocks()?.iter() {
            packed.clear();
            match self.read_packed(&file, block, &mut packed) {
                Ok(()) => chain = link(&chain, &packed),
                Err(error) => flaws.push(self.flaw(u64::from(block.offset), error.to_string())),
            }
            end = u64::from(block.offset) + u64::from(block.packed);
        }
        if flaws.is_empty() && chain != self.chain {
            flaws.push(self.flaw(end, "the hash chain does not end where the footer says".to_owned()));
        }
        Ok(flaws)
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Whether the same can be read later: there were no descriptors, or no memory, left. A disk's error would come again.
pub(super) fn passes(error: &io::Error) -> bool {
    const PASSING: [Errno; 5] = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR, Errno::AGAIN];
    error.raw_os_error().is_some_and(|code| PASSING.iter().any(|passing| passing.raw_os_error() == code))
}
