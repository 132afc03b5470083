//! Turns a finished active file into a sealed pair: the same records, a fifth of the octets.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::blocks::{NoSegment, SegmentHeader};
use super::frame::Frame;
use super::journal::{DayJournal, Form, JournalFile, segment_path};
use super::log::Log;
use super::pair::{Chains, PairWriter};
use super::segment::{Segment, dialogues_path, unfinished};
use crate::trace::{RecordId, RecordKind, stored};

/// Why a file stays as it is for now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsealed {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("what was written does not read back: {0}")]
    ReadBack(#[from] NoSegment),
    #[error("{found} of {expected} records were written")]
    Records { found: u32, expected: u32 },
    #[error("marks that are still open could not be written once more")]
    Marks,
}

/// Marks, in their stored form, that no transaction followed within the file.
pub(super) type LeftOpen = BTreeMap<RecordId, Vec<u8>>;

/// Writes the sealed form beside the active one, lets `keep` save the marks it leaves out, and only then puts it in place: the dialogues
/// first, because summaries without dialogues mean that those were dropped.
pub(super) fn seal(day: &DayJournal, file: &JournalFile, log: &Arc<Log>, keep: impl FnOnce(LeftOpen) -> bool) -> Result<(), Unsealed> {
    let path = segment_path(&day.dir, file.file);
    let written = write(&path, day.chains_before(file.file), log);
    let written = written.and_then(|left_open| if keep(left_open) { Ok(()) } else { Err(Unsealed::Marks) });
    let sealed = written.and_then(|()| read_back(&path, log.records()));
    let sealed = match sealed {
        Ok(sealed) => sealed,
        Err(error) => {
            PairWriter::clear(&path);
            return Err(error);
        }
    };
    let dialogues = dialogues_path(&path);
    fs::rename(unfinished(&dialogues), &dialogues)?;
    fs::rename(unfinished(&path), &path)?;
    sync_dir(&path)?;
    file.become_form(Form::Sealed(Arc::new(sealed.renamed(path.clone()))));
    fs::remove_file(&log.path)?;
    sync_dir(&path)?;
    Ok(())
}

fn write(path: &Path, previous: Chains, log: &Log) -> Result<LeftOpen, Unsealed> {
    let header = SegmentHeader { version: log.header.version, file: log.header.file, first: log.header.first };
    let mut pair = PairWriter::begin(path, &header, previous, true)?;
    let mut open = LeftOpen::new();
    let mut records = 0;
    log.each_frame(|frame: Frame<'_>| {
        match frame.kind {
            RecordKind::Mark => {
                open.insert(frame.id, frame.octets.to_vec());
                return Ok(());
            }
            RecordKind::Transaction => drop(open.remove(&frame.id)),
            _ => {}
        }
        let (summary, timeline) = stored::split(frame.kind, frame.octets).map_err(io::Error::other)?;
        pair.add(records, frame.kind, summary, timeline, timeline.len())?;
        records += 1;
        Ok(())
    })?;
    pair.end(records, None)?;
    Ok(open)
}

/// Opens the pair that was written for `path`, under the names it has until it is put in place.
pub(super) fn open_unfinished(path: &Path, with_dialogues: bool) -> Result<Segment, NoSegment> {
    let summaries = Segment::open(unfinished(path))?;
    let dialogues = if with_dialogues { Some(summaries.find_dialogues(unfinished(&dialogues_path(path)))?) } else { None };
    Ok(summaries.with_dialogues(dialogues))
}

fn read_back(path: &Path, expected: u32) -> Result<Segment, Unsealed> {
    let sealed = open_unfinished(path, true)?;
    match sealed.records() {
        found if found == expected => Ok(sealed),
        found => Err(Unsealed::Records { found, expected }),
    }
}

pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
