//! What is done to a store directory before it is used again: torn tails are cut, leftovers removed, files put in order.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::blocks::NoSegment;
use super::day::Day;
use super::journal::{Form, Journal, JournalFile};
use super::leftover::Leftover;
use super::locks::locked;
use super::log::{Damage, HEADER, Log, NoLog, Scan};
use super::marks::OpenMarks;
use super::open::OpenError;
use super::segment::{Segment, passes};
use super::settle::settle;
use super::staging;
use crate::trace::{Mark, WallMicros, stored};

/// What recovery found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// Files whose last frame was not whole, and how many octets were cut off.
    pub torn: Vec<(PathBuf, u64)>,
    /// Damage that was stepped over. What stood there is lost; it isn't touched.
    pub damage: Vec<Damage>,
    /// Files that can't be read at all, and why. They are left alone.
    pub unreadable: Vec<(PathBuf, String)>,
    /// Records in the journal.
    pub records: u64,
    /// Records, and marks, that a dead process had staged in memory and not yet brought to the journal.
    pub staged: u64,
    /// Records that were indexed anew from the journal.
    pub replayed: u64,
    /// Days whose index was lost or broken, and is being made anew.
    pub rebuilt: Vec<Day>,
    /// The catalog of the index was broken, and was made anew from the run files.
    pub catalog_rebuilt: bool,
    /// Marks without a record, turned into records of state `unknown`.
    pub in_doubt: u64,
    /// Indexing goes on in the background: the numbers above are not final.
    pub unfinished: bool,
}

/// One file of a day as it is named.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub file: u32,
    pub sealed: bool,
    pub path: PathBuf,
}

/// A journal as a dead process left it, put in order.
#[derive(Debug)]
pub(super) struct Loaded {
    pub journal: Journal,
    /// Marks without a record: their transactions are in doubt.
    pub marks: Vec<Mark>,
    pub report: RecoveryReport,
}

/// Marks of the process with the salt `own` are left out: it lives.
pub(super) fn load(dir: &Path, now: WallMicros, own: u32) -> Result<Loaded, OpenError> {
    let journal = Journal::new(dir.to_owned());
    let mut marks = OpenMarks::default();
    let mut report = RecoveryReport::default();
    for day in days(dir)? {
        let files = settle(&dir.join(day.to_string()).join("journal"), &mut report)?;
        let day = journal.day_or_new(day);
        for found in files {
            if let Some(file) = open_file(&found, &mut marks, &mut report)? {
                // What this build can't read it must not add to, nor call empty.
                stored::readable(file.version()).map_err(|error| OpenError::Form { path: found.path.clone(), error })?;
                report.records += u64::from(file.records());
                day.add(Arc::new(file));
            }
        }
    }
    take_in_staged(dir, &journal, now, &mut marks, &mut report)?;
    Ok(Loaded { journal, marks: marks.decoded(own), report })
}

/// Brings what a dead process had staged to the journal, into a file of its own.
fn take_in_staged(
    dir: &Path,
    journal: &Journal,
    now: WallMicros,
    marks: &mut OpenMarks,
    report: &mut RecoveryReport,
) -> Result<(), OpenError> {
    let Some(left) = Leftover::find(dir).map_err(OpenError::io(&dir.join(staging::LINK)))? else { return Ok(()) };
    stored::readable(left.version).map_err(|error| OpenError::Form { path: dir.join(staging::LINK), error })?;
    let missing = missing(journal, &left).map_err(OpenError::io(dir))?;
    if !missing.is_empty() {
        let log = journal.start_file(Day::of(now), left.version, left.salt).map_err(OpenError::io(dir))?;
        log.write(&missing).and_then(|()| log.sync()).map_err(OpenError::io(&log.path))?;
        log.publish(&missing);
        log.finish();
        let octets = [&[0; HEADER], missing.as_slice()].concat();
        let scan = super::log::scan(&log.path, left.salt, &octets);
        marks.note(left.version, left.salt, &octets, &scan);
        report.records += scan.starts.len() as u64;
        report.staged = scan.kinds.iter().sum();
    }
    left.remove();
    Ok(())
}

/// What of the leftovers no file of the process that left them has.
fn missing(journal: &Journal, left: &Leftover) -> io::Result<Vec<u8>> {
    let mut written = HashSet::new();
    if left.octets() > 0 {
        for file in journal.days().iter().flat_map(|day| day.files()) {
            if let Form::Log(log) = file.form()
                && log.header.salt == left.salt
            {
                let seen = log.each_frame(|frame| {
                    written.insert((frame.kind, frame.id));
                    Ok(())
                });
                // A damaged file doesn't tell all that was written: better twice than not at all, and than no store.
                if let Err(error) = seen {
                    tracing::warn!(file = %log.path.display(), %error, "some staged records may be taken in twice");
                }
            }
        }
    }
    Ok(left.missing(|kind, id| written.contains(&(kind, id))))
}

/// The days of a store, oldest first.
pub(super) fn days(dir: &Path) -> Result<Vec<Day>, OpenError> {
    let mut days = Vec::new();
    for entry in fs::read_dir(dir).map_err(OpenError::io(dir))? {
        let entry = entry.map_err(OpenError::io(dir))?;
        days.extend(entry.file_name().to_str().and_then(|name| name.parse::<Day>().ok()));
    }
    days.sort_unstable();
    Ok(days)
}

/// The journal files of a day as they lie there, in order; the active form of a file before the sealed one.
pub(super) fn files_of(dir: &Path) -> Result<Vec<Found>, OpenError> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(OpenError::io(dir))? {
        let path = entry.map_err(OpenError::io(dir))?.path();
        if let Some(name) = path.file_name().and_then(|name| name.to_str())
            && let Some((file, extension)) = name.split_once('.')
            && let Ok(file) = file.parse()
            && matches!(extension, "log" | "seg")
        {
            found.push(Found { file, sealed: extension == "seg", path });
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Whether it can be read once somebody has looked at it, or without: were it left out, the next file would take its numbers.
fn may_be_mended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || passes(error)
}

/// Opens a file; `None` if there is nothing in it that can be read, which the report says.
fn open_file(found: &Found, marks: &mut OpenMarks, report: &mut RecoveryReport) -> Result<Option<JournalFile>, OpenError> {
    let why = if found.sealed {
        match Segment::open(found.path.clone()) {
            Ok(segment) => return Ok(Some(JournalFile::new(found.file, segment.header().first, Form::Sealed(Arc::new(segment))))),
            Err(error) if error.is_format() => return Err(OpenError::Format { path: found.path.clone(), why: error.to_string() }),
            Err(NoSegment::Io(error)) if may_be_mended(&error) => return Err(OpenError::Io { path: found.path.clone(), error }),
            Err(error) => error.to_string(),
        }
    } else {
        match Log::open(found.path.clone(), marks) {
            Ok((log, scan)) => return Ok(take_in(found, log, scan, report)),
            // The process died before the header was whole: there was never a record in it.
            Err(NoLog::Short) => {
                let octets = fs::metadata(&found.path).map_or(0, |metadata| metadata.len());
                report.torn.push((found.path.clone(), octets));
                let _ = fs::remove_file(&found.path);
                return Ok(None);
            }
            Err(NoLog::Io(error)) if may_be_mended(&error) => return Err(OpenError::Io { path: found.path.clone(), error }),
            Err(error @ NoLog::Format { .. }) => return Err(OpenError::Format { path: found.path.clone(), why: error.to_string() }),
            Err(error) => error.to_string(),
        }
    };
    report.unreadable.push((found.path.clone(), why));
    Ok(None)
}

/// Puts an active file in order that a dead process left.
fn take_in(found: &Found, log: Log, scan: Scan, report: &mut RecoveryReport) -> Option<JournalFile> {
    if scan.torn > 0 {
        report.torn.push((found.path.clone(), scan.torn));
        if let Err(error) = log.cut_to_end() {
            tracing::warn!(file = %found.path.display(), %error, "a torn tail could not be cut off");
        }
    }
    if log.end() == HEADER as u64 {
        let _ = fs::remove_file(&found.path);
        return None;
    }
    report.damage.extend(scan.damage);
    Some(JournalFile::new(found.file, log.header.first, Form::Log(Arc::new(log))))
}

/// What recovery has done so far: it goes on in the index thread.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    report: Mutex<RecoveryReport>,
    finished: Condvar,
}

impl Recovery {
    pub fn begin(report: RecoveryReport) -> Self {
        Self { report: Mutex::new(RecoveryReport { unfinished: true, ..report }), finished: Condvar::new() }
    }

    pub fn replayed(&self, records: u64) {
        locked(&self.report).replayed += records;
    }

    pub fn rebuilt(&self, day: Day) {
        locked(&self.report).rebuilt.push(day);
    }

    pub fn in_doubt(&self) {
        locked(&self.report).in_doubt += 1;
    }

    pub fn finish(&self) {
        locked(&self.report).unfinished = false;
        self.finished.notify_all();
    }

    /// Waits for the end of recovery, so long at most.
    pub fn wait(&self, patience: Duration) -> RecoveryReport {
        let waited = self.finished.wait_timeout_while(locked(&self.report), patience, |report| report.unfinished);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}
