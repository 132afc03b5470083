//! The journal as a whole: days, their files in order, records by number.
//!
//! Within a day records are numbered through all its files; a record keeps its number when its file is sealed. Numbers may
//! have holes between files, never within one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use super::batch::Batch;
use super::cursor::Cursor;
use super::day::Day;
use super::locks::{reading, writing};
use super::log::{Log, LogHeader};
use super::segment::Segment;

#[derive(Debug)]
pub(super) struct Journal {
    pub dir: PathBuf,
    days: RwLock<BTreeMap<Day, Arc<DayJournal>>>,
}

#[derive(Debug)]
pub(super) struct DayJournal {
    pub day: Day,
    /// `STORE/2026-11-23`.
    pub dir: PathBuf,
    files: RwLock<Vec<Arc<JournalFile>>>,
}

#[derive(Debug)]
pub(super) struct JournalFile {
    /// Number of the file within its day.
    pub file: u32,
    /// Number, within the day, of its first record.
    pub first: u32,
    form: RwLock<Form>,
}

#[derive(Debug, Clone)]
pub(super) enum Form {
    Log(Arc<Log>),
    Sealed(Arc<Segment>),
}

pub(super) fn log_path(day_dir: &Path, file: u32) -> PathBuf {
    day_dir.join("journal").join(format!("{file:06}.log"))
}

pub(super) fn segment_path(day_dir: &Path, file: u32) -> PathBuf {
    day_dir.join("journal").join(format!("{file:06}.seg"))
}

impl Journal {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, days: RwLock::default() }
    }

    pub fn days(&self) -> Vec<Arc<DayJournal>> {
        reading(&self.days).values().cloned().collect()
    }

    pub fn day(&self, day: Day) -> Option<Arc<DayJournal>> {
        reading(&self.days).get(&day).cloned()
    }

    pub fn last_day(&self) -> Option<Day> {
        reading(&self.days).keys().next_back().copied()
    }

    pub fn forget(&self, day: Day) {
        writing(&self.days).remove(&day);
    }

    /// The day, made if it isn't there yet.
    pub fn day_or_new(&self, day: Day) -> Arc<DayJournal> {
        let mut days = writing(&self.days);
        let made = || Arc::new(DayJournal { day, dir: self.dir.join(day.to_string()), files: RwLock::default() });
        days.entry(day).or_insert_with(made).clone()
    }

    /// Starts a new file, the last of its day from now on, for records of that version of the stored form.
    pub fn start_file(&self, day: Day, version: u16, salt: u32) -> io::Result<Arc<Log>> {
        let day = self.day_or_new(day);
        let journal = day.dir.join("journal");
        if !journal.is_dir() {
            fs::create_dir_all(&journal)?;
            File::open(&day.dir)?.sync_all()?;
            File::open(&self.dir)?.sync_all()?;
        }
        let (mut file, first) = (day.next_file(), day.end());
        let log = loop {
            match Log::create(log_path(&day.dir, file), LogHeader { version, file, first, salt }) {
                // A file that could not be read at start keeps its name.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => file += 1,
                created => break Arc::new(created?),
            }
        };
        day.add(Arc::new(JournalFile::new(file, first, Form::Log(log.clone()))));
        Ok(log)
    }

    /// Where the next record will stand.
    pub fn end(&self) -> Option<Cursor> {
        let day = reading(&self.days).values().next_back().cloned()?;
        Some(Cursor { day: day.day, number: day.end() })
    }

    /// Reads forward from `at`: some of the records that follow, of one day, and whether there were any.
    pub fn read_from(&self, at: Option<Cursor>) -> io::Result<Option<(Day, Batch)>> {
        let first = at.map_or(Day::of(0), |at| at.day);
        let days: Vec<_> = reading(&self.days).range(first..).map(|(_, day)| day.clone()).collect();
        for day in days {
            let number = at.filter(|at| at.day == day.day).map_or(0, |at| at.number);
            let batch = day.read(number)?;
            if !batch.numbers().is_empty() {
                return Ok(Some((day.day, batch)));
            }
        }
        Ok(None)
    }
}

impl DayJournal {
    pub fn files(&self) -> Vec<Arc<JournalFile>> {
        reading(&self.files).clone()
    }

    /// Where the hash chain of that file begins: at the end of the file before.
    pub fn chain_before(&self, file: u32) -> [u8; 32] {
        let before = reading(&self.files).iter().rev().find(|before| before.file < file).map(|before| before.form());
        match before {
            Some(Form::Sealed(segment)) => segment.chain,
            _ => [0; 32],
        }
    }

    /// Stands for the damage known in its files; it changes when numbers may have shifted.
    pub fn damage(&self) -> u64 {
        reading(&self.files).iter().fold(0, |sum, file| match file.form() {
            Form::Log(log) if log.damage != 0 => sum * 31 + u64::from(file.file) + log.damage,
            _ => sum,
        })
    }

    /// Whether no file has any of these numbers.
    pub fn is_hole(&self, numbers: Range<u32>) -> bool {
        let overlaps = |of: Range<u32>| of.start < numbers.end && numbers.start < of.end;
        numbers.is_empty() || !reading(&self.files).iter().any(|file| overlaps(file.numbers()))
    }

    pub fn add(&self, file: Arc<JournalFile>) {
        writing(&self.files).push(file);
    }

    /// The number that the next record of a new file may have.
    pub fn end(&self) -> u32 {
        reading(&self.files).last().map_or(0, |file| file.numbers().end)
    }

    pub fn next_file(&self) -> u32 {
        reading(&self.files).last().map_or(1, |file| file.file + 1)
    }

    /// Reads the record of that number or, if there is none, the next; with neighbours after it and perhaps before it.
    pub fn read(&self, number: u32) -> io::Result<Batch> {
        let file = {
            let files = reading(&self.files);
            let at = files.partition_point(|file| file.numbers().end <= number);
            files[at..].iter().find(|file| !file.numbers().is_empty()).cloned()
        };
        match file {
            Some(file) => file.read(number.max(file.first)),
            None => Ok(Batch::unreadable(number, 0)),
        }
    }

    /// Reads the record of that number, if there is one.
    pub fn read_one(&self, number: u32) -> io::Result<Batch> {
        let file = {
            let files = reading(&self.files);
            let at = files.partition_point(|file| file.numbers().end <= number);
            files.get(at).filter(|file| file.first <= number).cloned()
        };
        match file {
            Some(file) => file.read_one(number),
            None => Ok(Batch::unreadable(number, 0)),
        }
    }

    /// Reads backward: records that end with that number (or the last before it).
    pub fn read_back(&self, number: u32) -> io::Result<Batch> {
        let file = {
            let files = reading(&self.files);
            let at = files.partition_point(|file| file.first <= number);
            files[..at].iter().rev().find(|file| !file.numbers().is_empty()).cloned()
        };
        match file {
            Some(file) => file.read_back(number.min(file.numbers().end - 1)),
            None => Ok(Batch::unreadable(0, 0)),
        }
    }
}

/// Records that a step backward through an active file brings in.
const STEP_BACK: u32 = 64;

impl JournalFile {
    /// Version of the stored form of its records.
    pub fn version(&self) -> u16 {
        match self.form() {
            Form::Log(log) => log.header.version,
            Form::Sealed(segment) => segment.header.version,
        }
    }

    pub fn new(file: u32, first: u32, form: Form) -> Self {
        Self { file, first, form: RwLock::new(form) }
    }

    pub fn form(&self) -> Form {
        reading(&self.form).clone()
    }

    pub fn become_form(&self, form: Form) {
        *writing(&self.form) = form;
    }

    /// The numbers of its records.
    pub fn numbers(&self) -> Range<u32> {
        let records = match &*reading(&self.form) {
            Form::Log(log) => log.records(),
            Form::Sealed(segment) => segment.records(),
        };
        self.first..self.first.saturating_add(records)
    }

    fn read(&self, number: u32) -> io::Result<Batch> {
        match self.form() {
            Form::Log(log) => log.read(number - self.first, u32::MAX),
            Form::Sealed(segment) => segment.read(number - self.first),
        }
    }

    fn read_back(&self, number: u32) -> io::Result<Batch> {
        match self.form() {
            Form::Log(log) => {
                let last = number - self.first;
                let first = last.saturating_sub(STEP_BACK - 1);
                log.read(first, last - first + 1)
            }
            Form::Sealed(segment) => segment.read(number - self.first),
        }
    }

    /// Reads one record, with neighbours only where they come for nothing.
    fn read_one(&self, number: u32) -> io::Result<Batch> {
        match self.form() {
            Form::Log(log) => log.read(number - self.first, 1),
            Form::Sealed(segment) => segment.read(number - self.first),
        }
    }
}
