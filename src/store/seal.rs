//! Turns a finished active file into a sealed one: the same records, a fifth of the octets.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use super::frame::Frame;
use super::journal::{DayJournal, Form, JournalFile, segment_path};
use super::log::Log;
use super::segment::{self, BLOCK_OCTETS, Footer, FooterBlock, HEADER, NoSegment, Segment, SegmentHeader};
use crate::trace::{RecordId, RecordKind};

/// Higher levels cost more time than they save octets.
const LEVEL: i32 = 3;

/// Why a file stays as it is for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsealed {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the footer does not encode: {0}")]
    Footer(#[from] postcard::Error),
    #[error("what was written does not read back: {0}")]
    ReadBack(#[from] NoSegment),
    #[error("{found} of {expected} records were written")]
    Records { found: u32, expected: u32 },
    #[error("marks that are still open could not be written once more")]
    Marks,
}

/// Marks, in their stored form, that no transaction followed within the file.
pub(super) type LeftOpen = BTreeMap<RecordId, Vec<u8>>;

/// Writes the sealed form beside the active one, lets `keep` save the marks it leaves out, and only then puts it in place.
pub(super) fn seal(day: &DayJournal, file: &JournalFile, log: &Arc<Log>, keep: impl FnOnce(LeftOpen) -> bool) -> Result<(), Unsealed> {
    let path = segment_path(&day.dir, file.file);
    let unfinished = segment::unfinished(&path);
    let written = write(&unfinished, day.chain_before(file.file), log);
    let written = written.and_then(|left_open| if keep(left_open) { Ok(()) } else { Err(Unsealed::Marks) });
    if let Err(error) = written {
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    fs::rename(&unfinished, &path)?;
    sync_dir(&path)?;
    let sealed = Segment::open(path.clone())?;
    if sealed.records() != log.records() {
        fs::remove_file(&path)?;
        return Err(Unsealed::Records { found: sealed.records(), expected: log.records() });
    }
    file.become_form(Form::Sealed(Arc::new(sealed)));
    fs::remove_file(&log.path)?;
    sync_dir(&path)?;
    Ok(())
}

fn write(path: &Path, previous: [u8; 32], log: &Log) -> Result<LeftOpen, Unsealed> {
    let header = SegmentHeader { version: log.header.version, file: log.header.file, first: log.header.first };
    let mut blocks = Blocks::begin(path, &header, previous)?;
    let mut open = LeftOpen::new();
    log.each_frame(|frame: Frame<'_>| {
        match frame.kind {
            RecordKind::Mark => {
                open.insert(frame.id, frame.octets.to_vec());
                return Ok(());
            }
            RecordKind::Transaction => drop(open.remove(&frame.id)),
            _ => {}
        }
        blocks.add(frame.kind, frame.octets)
    })?;
    blocks.end()?;
    Ok(open)
}

/// The blocks of a file in the making.
struct Blocks {
    out: BufWriter<File>,
    compressor: zstd::bulk::Compressor<'static>,
    raw: Vec<u8>,
    records: u32,
    footer: Footer,
}

impl Blocks {
    fn begin(path: &Path, header: &SegmentHeader, previous: [u8; 32]) -> io::Result<Self> {
        let mut out = BufWriter::with_capacity(256 << 10, File::create(path)?);
        let header: [u8; HEADER] = header.encode();
        out.write_all(&header)?;
        let footer = Footer { blocks: Vec::new(), previous, chain: previous };
        Ok(Self { out, compressor: zstd::bulk::Compressor::new(LEVEL)?, raw: Vec::with_capacity(2 * BLOCK_OCTETS), records: 0, footer })
    }

    fn add(&mut self, kind: RecordKind, octets: &[u8]) -> io::Result<()> {
        segment::pack(kind, octets, &mut self.raw);
        self.records += 1;
        if self.raw.len() >= BLOCK_OCTETS { self.close_block() } else { Ok(()) }
    }

    fn close_block(&mut self) -> io::Result<()> {
        if self.records == 0 {
            return Ok(());
        }
        let packed = self.compressor.compress(&self.raw)?;
        self.out.write_all(&packed)?;
        self.footer.chain = segment::link(&self.footer.chain, &packed);
        self.footer.blocks.push(FooterBlock {
            packed: packed.len() as u32,
            raw: self.raw.len() as u32,
            records: self.records,
            checksum: crc32c::crc32c(&packed),
        });
        self.raw.clear();
        self.records = 0;
        Ok(())
    }

    fn end(mut self) -> Result<(), Unsealed> {
        self.close_block()?;
        self.out.write_all(&self.footer.encode()?)?;
        self.out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        Ok(())
    }
}

fn sync_dir(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
