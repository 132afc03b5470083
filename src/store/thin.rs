//! Leaves out of a sealed part of the journal what went well: failures are kept longer.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::batch::{Batch, Dialogue, Slot};
use super::blocks::NoSegment;
use super::day::Day;
use super::journal::{DayJournal, Form, Journal, JournalFile, segment_path};
use super::pair::{Chains, PairWriter};
use super::seal::{open_unfinished, sync_dir};
use super::segment::{Segment, dialogues_path, unfinished};
use crate::trace::{Record, RecordId, RecordKind, State};

/// Why a file stays whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unthinned {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("what was written does not read back: {0}")]
    ReadBack(#[from] NoSegment),
}

impl Unthinned {
    /// Whether there was no room to write what is kept.
    pub fn is_for_space(&self) -> bool {
        matches!(self, Self::Io(error) if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

/// The records of that day and later ones that somebody had another word about later. Where the clock has gone back meanwhile, such words may
/// stand in days before it.
pub(super) fn amended_since(journal: &Journal, day: Day) -> io::Result<HashSet<RecordId>> {
    let mut amended = HashSet::new();
    let earliest = journal.laps().earliest_behind(day);
    let days = journal.days().into_iter().filter(|later| later.day >= earliest);
    for file in days.flat_map(|day| day.files()) {
        if matches!(file.form(), Form::Sealed(segment) if segment.records_of(RecordKind::Amendment) == 0) {
            continue;
        }
        file.each_summary(|batch| {
            let amendments = batch.slots().iter().filter(|slot| slot.kind == RecordKind::Amendment);
            amended.extend(amendments.filter_map(|slot| match batch.decode(slot) {
                Some(Record::Amendment(amendment)) => Some(amendment.of),
                _ => None,
            }));
        })?;
    }
    Ok(amended)
}

/// Writes the failures of a sealed file beside it, with their numbers and their dialogues if those are there, and puts them in its place.
/// Whenever the process dies, the file is whole or thinned.
pub(super) fn thin(day: &DayJournal, file: &JournalFile, segment: &Segment, amended: &HashSet<RecordId>) -> Result<(), Unthinned> {
    let path = segment_path(&day.dir, file.file);
    let with_dialogues = segment.dialogues_path().is_some();
    let written = write(&path, segment, amended).and_then(|()| Ok(open_unfinished(&path, with_dialogues)?));
    let thinned = match written {
        Ok(thinned) => thinned.renamed(path.clone()),
        Err(error) => {
            PairWriter::clear(&path);
            return Err(error);
        }
    };
    file.exchange(|| {
        fs::rename(unfinished(&path), &path)?;
        // Dying here, the next start finds out which dialogues belong to the summaries.
        let dialogues = dialogues_path(&path);
        let thinned = match with_dialogues.then(|| fs::rename(unfinished(&dialogues), &dialogues)) {
            Some(Err(error)) => {
                tracing::error!(file = %dialogues.display(), %error, "dialogues could not be put in place: the next start does it");
                thinned.without_dialogues()
            }
            _ => thinned,
        };
        Ok::<_, io::Error>(Form::Sealed(Arc::new(thinned)))
    })?;
    Ok(sync_dir(&path)?)
}

fn write(path: &Path, segment: &Segment, amended: &HashSet<RecordId>) -> Result<(), Unthinned> {
    let with_dialogues = segment.dialogues_path().is_some();
    let (dialogues_previous, dialogues_whole) = segment.dialogues_chain().unwrap_or_default();
    let previous = Chains { summaries: segment.previous(), dialogues: dialogues_previous };
    let header = segment.header();
    let mut pair = PairWriter::begin(path, &header, previous, with_dialogues)?;
    segment.each_batch(|batch| {
        if with_dialogues && batch.slots().iter().any(|slot| slot.dialogue != Dialogue::Here) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a block of dialogues is damaged"));
        }
        for slot in batch.slots().iter().filter(|slot| is_kept(batch, slot, amended)) {
            let (summary, timeline) = batch.octets(slot);
            pair.add(slot.number - header.first, slot.kind, summary, timeline, slot.timeline.len())?;
        }
        Ok(())
    })?;
    pair.end(segment.span(), Some(Chains { summaries: segment.passed_on(), dialogues: dialogues_whole }))?;
    Ok(())
}

/// Whatever isn't a message that was accepted at once and never heard of again.
fn is_kept(batch: &Batch, slot: &Slot, amended: &HashSet<RecordId>) -> bool {
    match slot.kind {
        RecordKind::Transaction => match batch.decode(&Slot { dialogue: Dialogue::LeftOut, ..slot.clone() }) {
            Some(Record::Transaction(it)) => it.outcome.state != State::Accepted || amended.contains(&it.id),
            _ => true,
        },
        _ => true,
    }
}
