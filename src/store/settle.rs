//! Journal files that a process left half sealed or half thinned are put in order: for each there is then one form that counts.

use std::fs;
use std::path::{Path, PathBuf};

use super::open::OpenError;
use super::recover::{Found, RecoveryReport, files_of};
use super::segment::{Segment, dialogues_path, unfinished};

/// The journal files of a day that count. Of one that is there in both forms, the sealed one if it is whole.
pub(super) fn settle(dir: &Path, report: &mut RecoveryReport) -> Result<Vec<Found>, OpenError> {
    let mut kept: Vec<Found> = Vec::new();
    for next in files_of(dir)? {
        if !next.sealed {
            kept.push(next);
            continue;
        }
        let active = kept.pop_if(|active| active.file == next.file);
        let segment = match (Segment::open(next.path.clone()), &active) {
            (Ok(segment), _) => segment,
            (Err(error), _) if error.is_format() => return Err(OpenError::Format { path: next.path, why: error.to_string() }),
            // Whoever opens it will say why it can't be read.
            (Err(_), None) => {
                kept.push(next);
                continue;
            }
            (Err(error), Some(_)) => {
                report.unreadable.push((next.path, error.to_string()));
                kept.extend(active);
                continue;
            }
        };
        settle_dialogues(&segment, report);
        match active {
            // The dialogues were put in place first; without them, what is there may not be all that was written.
            Some(active) if segment.dialogues_path().is_none() => kept.push(active),
            Some(active) => {
                remove(&active.path);
                kept.push(next);
            }
            None => kept.push(next),
        }
    }
    for active in kept.iter().filter(|found| !found.sealed) {
        let sealed = active.path.with_extension("seg");
        // The process died while sealing, before the summaries were in place: dialogues alone are of no use.
        if !sealed.exists() {
            remove(&dialogues_path(&sealed));
        }
        remove(&unfinished(&dialogues_path(&sealed)));
        remove(&unfinished(&sealed));
    }
    Ok(kept)
}

/// Summaries that are in place are followed by the dialogues that belong to them, wherever those were when the process died.
fn settle_dialogues(segment: &Segment, report: &mut RecoveryReport) {
    let dialogues = dialogues_path(segment.path());
    let written = unfinished(&dialogues);
    remove(&unfinished(segment.path()));
    if segment.dialogues_path().is_none() && segment.find_dialogues(written.clone()).is_ok() {
        if let Err(error) = fs::rename(&written, &dialogues) {
            report.unreadable.push((written, error.to_string()));
        }
        return;
    }
    remove(&written);
    if segment.dialogues_path().is_none()
        && let Err(error) = segment.find_dialogues(dialogues.clone())
        && !error.is_absent()
    {
        report.unreadable.push((dialogues, error.to_string()));
    }
}

fn remove(path: &PathBuf) {
    let _ = fs::remove_file(path);
}
