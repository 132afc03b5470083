//! Reads all of a store and says what is wrong with it, by file and octet. Changes nothing.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::blocks::Chain;
use super::day::Day;
use super::index::growing::RUN_RECORDS;
use super::index::{self, file::NoRun, file::RunFile};
use super::leftover::Leftover;
use super::lock::{self, Owner};
use super::log::{LogHeader, NoLog};
use super::open::OpenError;
use super::recover::{self, Found};
use super::segment::{Segment, dialogues_path};
use crate::trace::{self, RecordKind};

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// The process that is using the store: the end of its newest file may be seen half written.
    pub in_use_by: Option<Owner>,
    pub days: u64,
    pub files: u64,
    pub octets: u64,
    /// How many records of each kind there are.
    pub kinds: Vec<(RecordKind, u64)>,
    /// Octets of records that a dead process staged in memory: the next start brings them to the journal.
    pub staged_octets: u64,
    /// In the order of the journal.
    pub problems: Vec<Problem>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    pub offset: u64,
    pub what: String,
    /// Whether records are lost by it; otherwise the next start mends it.
    pub loses_records: bool,
}

impl CheckReport {
    /// Nothing is wrong that the next start wouldn't mend.
    pub fn is_sound(&self) -> bool {
        self.problems.iter().all(|problem| !problem.loses_records)
    }
}

/// Checks the store in `dir`, running or not.
///
/// # Errors
/// The directory can't be read.
pub fn check(dir: &Path) -> Result<CheckReport, OpenError> {
    let mut report = CheckReport { in_use_by: lock::owner(dir), ..CheckReport::default() };
    let mut kinds = [0; RecordKind::ALL.len()];
    for day in recover::days(dir)? {
        report.day(dir, day, &mut kinds)?;
    }
    if report.in_use_by.is_none() {
        report.staged_octets = Leftover::look(dir).map_err(OpenError::io(dir))?.map_or(0, |left| left.octets());
    }
    report.kinds = RecordKind::ALL.iter().map(|&kind| (kind, kinds[kind as usize])).filter(|&(_, count)| count > 0).collect();
    Ok(report)
}

fn names_in(dir: &Path) -> BTreeSet<OsString> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect()
}

/// Whether a sealed file counts beside its active form: as at a start, once its dialogues are in place.
fn is_whole_pair(path: &Path) -> bool {
    Segment::open(path.to_owned()).is_ok_and(|segment| segment.dialogues_path().is_some())
}

/// Where the hash chains of a sealed pair end; those of dropped dialogues nobody knows.
#[derive(Clone, Copy)]
struct Ends {
    summaries: Chain,
    dialogues: Option<Chain>,
}

/// A day is looked at so often, while the process that serves seals, thins and removes its files.
const LOOKS: u32 = 5;

impl CheckReport {
    fn day(&mut self, dir: &Path, day: Day, kinds: &mut [u64]) -> Result<(), OpenError> {
        let journal = dir.join(day.to_string()).join("journal");
        for look in 1.. {
            let names = names_in(&journal);
            let (mut found, mut counted) = (Self { in_use_by: self.in_use_by, days: 1, ..Self::default() }, vec![0; kinds.len()]);
            found.files_of(dir, day, &journal, &mut counted)?;
            let is_still = names_in(&journal) == names;
            // What isn't there any more was sealed or removed in order; a day without files is one that is gone.
            if self.in_use_by.is_some() && !is_still && look < LOOKS {
                continue;
            }
            if self.in_use_by.is_some() && names.is_empty() && found.problems.is_empty() {
                return Ok(());
            }
            self.days += found.days;
            self.files += found.files;
            self.octets += found.octets;
            self.problems.append(&mut found.problems);
            kinds.iter_mut().zip(counted).for_each(|(sum, count)| *sum += count);
            return Ok(());
        }
        Ok(())
    }

    fn files_of(&mut self, dir: &Path, day: Day, journal: &Path, kinds: &mut [u64]) -> Result<(), OpenError> {
        let mut chain = None;
        let files = match recover::files_of(journal) {
            Err(_) if self.in_use_by.is_some() && !journal.exists() => return Ok(()),
            files => files?,
        };
        let newest = files.last().map(|found| found.path.clone());
        for (at, found) in files.iter().enumerate() {
            // A file that is there in both forms: the process died while it was sealed, or is about to remove the one that doesn't count.
            let other = if found.sealed { at.checked_sub(1) } else { at.checked_add(1) };
            if other.and_then(|other| files.get(other)).is_some_and(|other| other.file == found.file)
                && is_whole_pair(&found.path.with_extension("seg")) != found.sealed
            {
                continue;
            }
            self.files += 1;
            self.octets += fs::metadata(&found.path).map_or(0, |metadata| metadata.len());
            if found.sealed {
                chain = self.sealed(&found.path, chain, kinds);
            } else {
                let growing = self.in_use_by.is_some() && Some(&found.path) == newest.as_ref();
                self.active(found, growing, kinds);
                chain = None;
            }
        }
        self.index(dir, day, kinds.iter().sum());
        Ok(())
    }

    fn problem(&mut self, file: &Path, offset: u64, what: impl Into<String>, loses_records: bool) {
        self.problems.push(Problem { file: file.to_owned(), offset, what: what.into(), loses_records });
    }

    fn active(&mut self, found: &Found, growing: bool, kinds: &mut [u64]) {
        let octets = match fs::read(&found.path) {
            Ok(octets) => octets,
            Err(error) => return self.problem(&found.path, 0, error.to_string(), true),
        };
        let header = match LogHeader::decode(&octets) {
            Ok(header) => header,
            Err(NoLog::Short) => return self.problem(&found.path, 0, "the file is shorter than its header: it never held a record", false),
            Err(error) => return self.problem(&found.path, 0, error.to_string(), true),
        };
        self.form(&found.path, header.version);
        let scan = super::log::scan(&found.path, header.salt, &octets);
        for (sum, count) in kinds.iter_mut().zip(scan.kinds) {
            *sum += count;
        }
        for damage in scan.damage {
            self.problem(&damage.file, damage.offset, format!("{}; {} octets are unreadable", damage.what, damage.octets), true);
        }
        if scan.torn > 0 && !growing {
            let why = scan.torn_why.map(|why| why.to_string()).unwrap_or_default();
            self.problem(
                &found.path,
                scan.end,
                format!("the last {} octets are no whole frame ({why}): cut off at the next start", scan.torn),
                false,
            );
        }
    }

    fn form(&mut self, file: &Path, version: u16) {
        if let Err(error) = trace::stored::readable(version) {
            self.problem(file, 0, error.to_string(), true);
        }
    }

    /// Checks a sealed pair of files; where their chains end.
    fn sealed(&mut self, path: &Path, before: Option<Ends>, kinds: &mut [u64]) -> Option<Ends> {
        let segment = match Segment::open(path.to_owned()) {
            Ok(segment) => segment,
            Err(error) => {
                self.problem(path, 0, error.to_string(), true);
                return None;
            }
        };
        let dialogues = dialogues_path(path);
        if segment.dialogues_path().is_none()
            && let Err(error) = segment.find_dialogues(dialogues.clone())
            && !error.is_absent()
        {
            self.problem(&dialogues, 0, format!("{error}; the dialogues of its records are unreadable"), true);
        }
        self.octets += fs::metadata(&dialogues).map_or(0, |metadata| metadata.len());
        self.form(path, segment.header().version);
        match segment.verify() {
            Ok((found, flaws)) => {
                kinds.iter_mut().zip(found).for_each(|(sum, count)| *sum += count);
                for flaw in flaws {
                    self.problem(&flaw.file, flaw.offset, flaw.what, true);
                }
            }
            Err(error) => self.problem(path, 0, error.to_string(), true),
        }
        let breaks = "the hash chain does not begin where that of the file before ends: a file was changed or replaced";
        let chain = segment.dialogues_chain();
        if before.is_some_and(|before| before.summaries != segment.previous()) {
            self.problem(path, 0, breaks, true);
        }
        if let (Some(end), Some((begin, _))) = (before.and_then(|before| before.dialogues), chain)
            && begin != end
        {
            self.problem(&dialogues, 0, breaks, true);
        }
        Some(Ends { summaries: segment.passed_on(), dialogues: chain.map(|(_, end)| end) })
    }

    /// Checks the run files of a day. What is wrong with them is made anew; nothing is lost.
    fn index(&mut self, dir: &Path, day: Day, records: u64) {
        let runs = index::shelf::run_files(dir, day);
        if runs.is_empty() && records >= u64::from(RUN_RECORDS) {
            self.problem(&index::dir(dir, day), 0, "the index is missing: it is made anew at the next start", false);
        }
        for (path, ..) in runs {
            let opened = match RunFile::open(&path) {
                // Merged with others since it was listed, or removed with its day.
                Err(NoRun::Io(error)) if error.kind() == io::ErrorKind::NotFound && self.in_use_by.is_some() => continue,
                opened => opened,
            };
            self.files += 1;
            self.octets += fs::metadata(&path).map_or(0, |metadata| metadata.len());
            if let Err((offset, what)) = opened.map_err(|error| (0, error.to_string())).and_then(|file| file.verify()) {
                self.problem(&path, offset, format!("{what}: it is made anew from the journal when it is read"), false);
            }
        }
    }
}

/// Throws the index of a stopped store away and makes it anew from the journal.
///
/// # Errors
/// The store is in use, or can't be read or written.
pub fn rebuild_index(options: super::Options) -> Result<super::RecoveryReport, OpenError> {
    let dir = options.dir.clone();
    {
        let _lock = super::open::take_lock(&dir, super::live::Use::Offline)?;
        for day in recover::days(&dir)? {
            let index = index::dir(&dir, day);
            match fs::remove_dir_all(&index) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(OpenError::io(&index)(error)),
                _ => {}
            }
        }
    }
    let opened = super::Store::open_offline(options)?;
    opened.store.close();
    Ok(opened.report)
}
