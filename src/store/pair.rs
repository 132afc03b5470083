//! Writes a sealed pair of files: each record's summary into one, its timeline into the other.

use std::fs;
use std::io;
use std::path::Path;

use zstd::stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer};

use super::blocks::{BlockWriter, Chain, Content, SegmentHeader};
use super::segment::{self, LAST, dialogues_path, unfinished};
use crate::trace::RecordKind;

/// Higher levels cost more time than they save octets.
const LEVEL: i32 = 3;
/// A block is closed at so many octets of summaries: larger ones are a little smaller on disk, smaller ones are read faster.
const BLOCK_OCTETS: usize = 32 << 10;

/// A link in the hash chain of each of the two files.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Chains {
    pub summaries: Chain,
    pub dialogues: Chain,
}

/// A pair in the making, under names that no reader looks for.
pub(super) struct PairWriter {
    summaries: BlockWriter,
    /// Absent if they are no longer kept.
    dialogues: Option<BlockWriter>,
    encoder: Encoder<'static>,
    block: Pending,
    kinds: [u32; RecordKind::ALL.len()],
}

/// The block that grows.
#[derive(Default)]
struct Pending {
    summaries: Vec<u8>,
    timelines: Vec<u8>,
    first: u32,
    last: u32,
    records: u32,
}

impl PairWriter {
    /// Begins the files of the sealed form at `path`.
    pub fn begin(path: &Path, header: &SegmentHeader, previous: Chains, with_dialogues: bool) -> io::Result<Self> {
        let summaries = BlockWriter::begin(&unfinished(path), Content::Summaries, header, previous.summaries)?;
        let begin = || BlockWriter::begin(&unfinished(&dialogues_path(path)), Content::Dialogues, header, previous.dialogues);
        let dialogues = if with_dialogues { Some(begin()?) } else { None };
        let mut encoder = Encoder::new(LEVEL)?;
        // The frame's size would be that of both blocks, and a reader may have one only.
        encoder.set_parameter(CParameter::ContentSizeFlag(false))?;
        Ok(Self { summaries, dialogues, encoder, block: Pending::default(), kinds: [0; RecordKind::ALL.len()] })
    }

    /// Removes what was written so far.
    pub fn clear(path: &Path) {
        for path in [unfinished(path), unfinished(&dialogues_path(path))] {
            let _ = fs::remove_file(path);
        }
    }

    /// Adds the record at `index` of the file; a later one than before. `timeline` is empty if it is no longer kept.
    pub fn add(&mut self, index: u32, kind: RecordKind, summary: &[u8], timeline: &[u8], timeline_octets: usize) -> io::Result<()> {
        let block = &mut self.block;
        let skipped = if block.records == 0 { 0 } else { index - block.last - 1 };
        if block.records == 0 {
            block.first = index;
        }
        segment::pack(kind, skipped, summary, timeline_octets, &mut block.summaries);
        block.timelines.extend_from_slice(timeline);
        block.last = index;
        block.records += 1;
        if let Some(count) = self.kinds.get_mut(kind as usize) {
            *count += 1;
        }
        if self.block.summaries.len() >= BLOCK_OCTETS { self.close_block() } else { Ok(()) }
    }

    fn close_block(&mut self) -> io::Result<()> {
        let Pending { summaries, timelines, first, last, records } = &self.block;
        if *records == 0 {
            return Ok(());
        }
        self.encoder.reinit()?;
        self.encoder.set_pledged_src_size(Some((summaries.len() + timelines.len()) as u64))?;
        let mut packed = compress(&mut self.encoder, summaries, false)?;
        packed.extend_from_slice(&LAST);
        self.summaries.add(&packed, summaries.len(), *first, *last, *records)?;
        if let Some(dialogues) = &mut self.dialogues {
            let packed = compress(&mut self.encoder, timelines, true)?;
            dialogues.add(&packed, timelines.len(), *first, *last, *records)?;
        }
        self.block.summaries.clear();
        self.block.timelines.clear();
        self.block.records = 0;
        Ok(())
    }

    /// Ends both files; they stand for `span` numbers. `whole`, once records have been left out: where the chains ended before. They are on the disk when this returns.
    pub fn end(mut self, span: u32, whole: Option<Chains>) -> io::Result<()> {
        self.close_block()?;
        let of = self.summaries.chain();
        if let Some(dialogues) = self.dialogues {
            dialogues.end(|footer| {
                (footer.span, footer.kinds, footer.of) = (span, self.kinds, Some(of));
                footer.whole = whole.map(|whole| whole.dialogues);
            })?;
        }
        self.summaries.end(|footer| {
            (footer.span, footer.kinds) = (span, self.kinds);
            footer.whole = whole.map(|whole| whole.summaries);
        })
    }
}

/// The next part of a frame: all that its octets come to, and the end of the frame if it is the last.
fn compress(encoder: &mut Encoder<'_>, octets: &[u8], last: bool) -> io::Result<Vec<u8>> {
    // Headers of a frame and of some blocks more than one call for all of it would need.
    let mut packed = Vec::with_capacity(zstd::compress_bound(octets.len()) + 64);
    let mut input = InBuffer::around(octets);
    let mut output = OutBuffer::around(&mut packed);
    loop {
        if input.pos() < octets.len() {
            encoder.run(&mut input, &mut output)?;
        }
        let left = if last { encoder.finish(&mut output, true)? } else { encoder.flush(&mut output)? };
        if left == 0 && input.pos() == octets.len() {
            break;
        }
        if output.pos() == output.capacity() {
            return Err(io::Error::other("zstd wants more room than it said"));
        }
    }
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::batch::{Dialogue, Part};
    use crate::store::segment::Segment;

    type Item = (u32, bool, Vec<u8>, Vec<u8>);

    /// Writes items of so many numbers skipped, a kind, a summary and a timeline; the indices they got.
    fn write(path: &Path, items: &[Item], with_dialogues: bool, behind: u32) -> Vec<u32> {
        let header = SegmentHeader { version: 3, file: 5, first: 1000 };
        let mut pair = PairWriter::begin(path, &header, Chains::default(), with_dialogues).unwrap();
        let mut next = 0;
        let mut indices = Vec::new();
        for (skipped, gap, summary, timeline) in items {
            let (kind, timeline) = if *gap { (RecordKind::Gap, &[][..]) } else { (RecordKind::Transaction, timeline.as_slice()) };
            let index = next + skipped;
            pair.add(index, kind, summary, if with_dialogues { timeline } else { &[] }, timeline.len()).unwrap();
            indices.push(index);
            next = index + 1;
        }
        pair.end(next + behind, None).unwrap();
        fs::rename(unfinished(path), path).unwrap();
        let dialogues = dialogues_path(path);
        if with_dialogues {
            fs::rename(unfinished(&dialogues), dialogues).unwrap();
        }
        indices
    }

    fn item() -> impl Strategy<Value = Item> {
        let octets = |most| prop_oneof![prop::collection::vec(any::<u8>(), 0..most), prop::collection::vec(65..70u8, 0..4 * most)];
        (prop_oneof![4 => Just(0u32), 1 => 0..2000u32], any::<bool>(), octets(3000), octets(2000))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

        #[test]
        fn what_is_sealed_reads_back_by_number(items in prop::collection::vec(item(), 0..60), with_dialogues in any::<bool>(), behind in 0..3u32) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("000005.seg");
            let indices = write(&path, &items, with_dialogues, behind);
            let segment = Segment::open(path).unwrap();
            prop_assert_eq!((segment.records() as usize, segment.dialogues_path().is_some()), (items.len(), with_dialogues));
            let (kinds, flaws) = segment.verify().unwrap();
            prop_assert!(flaws.is_empty(), "{:?}", flaws);
            prop_assert_eq!(kinds.iter().sum::<u64>() as usize, items.len());
            for (index, (_, gap, summary, timeline)) in indices.iter().zip(&items) {
                for part in [Part::Whole, Part::Summary] {
                    let batch = segment.read(*index, part).unwrap();
                    prop_assert!(batch.numbers().contains(&(1000 + index)));
                    let slot = batch.slots().iter().find(|slot| slot.number == 1000 + index).unwrap();
                    let timeline = if *gap { &[][..] } else { timeline.as_slice() };
                    let here = with_dialogues && part == Part::Whole;
                    prop_assert_eq!(batch.octets(slot), (summary.as_slice(), if here { timeline } else { &[] }));
                    let dropped = !with_dialogues && part == Part::Whole && timeline.len() > 2;
                    prop_assert_eq!(slot.dialogue == Dialogue::Dropped, dropped);
                }
            }
            // Going from batch to batch visits each number once.
            let mut at = 0;
            let mut seen = Vec::new();
            while at < segment.span() {
                let batch = segment.read(at, Part::Summary).unwrap();
                prop_assert_eq!(batch.numbers().start, 1000 + at);
                seen.extend(batch.slots().iter().map(|slot| slot.number - 1000));
                at = batch.numbers().end - 1000;
            }
            prop_assert_eq!(seen, indices);
        }
    }
}
