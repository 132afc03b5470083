//! The journal as a whole: days, their files in order, records by number.
//!
//! Within a day records are numbered through all its files; a record keeps its number when its file is sealed or thinned. A
//! number may have no record: there are holes between files, and where records are no longer kept.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use super::batch::{Batch, Part};
use super::cursor::Cursor;
use super::day::Day;
use super::locks::{reading, writing};
use super::log::{Log, LogHeader};
use super::order::{Laps, Order};
use super::pair::Chains;
use super::private;
use super::segment::Segment;

#[derive(Debug)]
pub(super) struct Journal {
    pub dir: PathBuf,
    /// In which order it was written.
    order: Order,
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
        Self { order: Order::read(&dir), dir, days: RwLock::default() }
    }

    pub fn days(&self) -> Vec<Arc<DayJournal>> {
        reading(&self.days).values().cloned().collect()
    }

    pub fn day(&self, day: Day) -> Option<Arc<DayJournal>> {
        reading(&self.days).get(&day).cloned()
    }

    /// The day that is written, or was written last: not the newest, where a clock was ahead.
    pub fn last_day(&self) -> Option<Day> {
        self.end().map(|end| end.day)
    }

    /// The next number of each day.
    fn ends(&self) -> BTreeMap<Day, u32> {
        self.days().iter().map(|journal| (journal.day, journal.end())).collect()
    }

    /// The newest of the days up to `until` that are older than what was last written to that day, if it isn't as old as it says.
    pub fn written_behind(&self, day: Day, until: Day) -> Option<Day> {
        self.laps().written_behind(day, until, |day| self.day(day).map_or(0, |journal| journal.end()))
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

    /// Starts a new file, the last of its day from now on, for records of that version of the stored form. Those who follow the journal
    /// will get to it, whatever the day.
    pub fn start_file(&self, day: Day, version: u16, salt: u32) -> io::Result<Arc<Log>> {
        self.day_or_new(day);
        let first = self.order.begin(day, &self.ends())?;
        self.start_file_at(day, first, version, salt)
    }

    /// The same for records of old: those who have passed the day don't come back for them.
    pub fn start_file_of_old(&self, day: Day, version: u16, salt: u32) -> io::Result<Arc<Log>> {
        let first = self.order.laps().first_free(day, self.day_or_new(day).end());
        self.start_file_at(day, first, version, salt)
    }

    fn start_file_at(&self, day: Day, first: u32, version: u16, salt: u32) -> io::Result<Arc<Log>> {
        let day = self.day_or_new(day);
        let journal = day.dir.join("journal");
        if !journal.is_dir() {
            private::make_dirs(&journal)?;
            File::open(&day.dir)?.sync_all()?;
            File::open(&self.dir)?.sync_all()?;
        }
        let mut file = day.next_file();
        let log = loop {
            // A file that could not be read at start keeps its name.
            if segment_path(&day.dir, file).exists() {
                file += 1;
                continue;
            }
            match Log::create(log_path(&day.dir, file), LogHeader { version, file, first, salt }) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => file += 1,
                created => break Arc::new(created?),
            }
        };
        day.add(Arc::new(JournalFile::new(file, first, Form::Log(log.clone()))));
        Ok(log)
    }

    /// Removes a file that never got a record.
    pub fn take_away(&self, day: Day, log: &Arc<Log>) {
        if let Err(error) = fs::remove_file(&log.path) {
            return tracing::debug!(file = %log.path.display(), %error, "an empty journal file stays");
        }
        if let Some(day) = self.day(day) {
            writing(&day.files).retain(|file| !matches!(file.form(), Form::Log(of) if Arc::ptr_eq(&of, log)));
        }
    }

    /// Where the next record will stand.
    pub fn end(&self) -> Option<Cursor> {
        self.order.laps().end(&self.ends())
    }

    /// Up to where records are written, in each day that may have been written lately.
    pub fn written(&self) -> Vec<(Day, u32)> {
        let (laps, ends) = (self.order.laps(), self.ends());
        let Some(end) = laps.end(&ends) else { return Vec::new() };
        ends.into_iter().filter(|&(day, _)| day == end.day || laps.is_ahead(day)).collect()
    }

    /// Which of two places was written first.
    pub fn earlier(&self, one: Cursor, other: Cursor) -> Cursor {
        std::cmp::min_by(one, other, |&one, &other| self.laps().compare(one, other))
    }

    /// In which order the days were written.
    pub fn laps(&self) -> Arc<Laps> {
        self.order.laps()
    }

    /// Reads so much of each record forward from `at`: some of the records that follow, of one day, and which numbers are meant; `None` if
    /// there are none.
    pub fn read_from(&self, at: Cursor, part: Part) -> io::Result<Option<(Day, Range<u32>, Batch)>> {
        let laps = self.order.laps();
        let days: Vec<Day> = reading(&self.days).keys().copied().collect();
        for (day, numbers) in laps.parts_from(at, &days) {
            let Some(journal) = self.day(day) else { continue };
            let batch = journal.read_part(numbers.start, part)?;
            // The next one there is may have been written later, and has its turn then.
            let read = batch.numbers();
            let meant = read.start.max(numbers.start)..read.end.min(numbers.end);
            if !meant.is_empty() {
                return Ok(Some((day, meant, batch)));
            }
        }
        Ok(None)
    }

    /// All days in the order in which they were written, with the numbers that each has in one go.
    pub fn parts(&self) -> Vec<(Arc<DayJournal>, Range<u32>)> {
        let (laps, journals) = (self.laps(), self.days());
        let days: Vec<Day> = journals.iter().map(|journal| journal.day).collect();
        let Some(&first) = days.first() else { return Vec::new() };
        let parts = laps.parts_from(Cursor::at_start_of(first), &days);
        let of = |day: Day| journals.binary_search_by_key(&day, |journal| journal.day).ok().and_then(|at| journals.get(at));
        parts.filter_map(|(day, numbers)| Some((of(day)?.clone(), numbers))).collect()
    }

    /// How many places each day has from `at` on; days that have none any more aren't among them.
    pub fn places_from(&self, at: Cursor) -> Vec<(Day, u64)> {
        let (laps, ends) = (self.order.laps(), self.ends());
        let days: Vec<Day> = ends.keys().copied().collect();
        let mut places: BTreeMap<Day, u64> = BTreeMap::new();
        for (day, numbers) in laps.parts_from(at, &days) {
            let end = ends.get(&day).copied().unwrap_or_default().min(numbers.end);
            *places.entry(day).or_default() += u64::from(end.saturating_sub(numbers.start));
        }
        places.into_iter().collect()
    }
}

impl DayJournal {
    pub fn files(&self) -> Vec<Arc<JournalFile>> {
        reading(&self.files).clone()
    }

    /// Where the hash chains of that file begin: at the end of the file before.
    pub fn chains_before(&self, file: u32) -> Chains {
        let before = reading(&self.files).iter().rev().find(|before| before.file < file).map(|before| before.form());
        match before {
            Some(Form::Sealed(segment)) => {
                let dialogues = segment.dialogues_chain().map(|(_, end)| end).unwrap_or_default();
                Chains { summaries: segment.passed_on(), dialogues }
            }
            _ => Chains::default(),
        }
    }

    /// Stands for the damage known in its files, and for what was left out of them: an index made before either changed is of no use.
    pub fn damage(&self) -> u64 {
        reading(&self.files).iter().fold(0, |sum: u64, file| match file.form() {
            Form::Log(log) if log.damage != 0 => sum.wrapping_mul(31).wrapping_add(u64::from(file.file)).wrapping_add(log.damage),
            Form::Sealed(segment) if segment.is_thinned() => sum.wrapping_mul(31).wrapping_add(u64::from(file.file)),
            _ => sum,
        })
    }

    /// Whether records have been left out of one of its files.
    pub fn is_thinned(&self) -> bool {
        self.files().iter().any(|file| matches!(file.form(), Form::Sealed(segment) if segment.is_thinned()))
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
    pub fn read_part(&self, number: u32, part: Part) -> io::Result<Batch> {
        let file = {
            let files = reading(&self.files);
            let at = files.partition_point(|file| file.numbers().end <= number);
            files[at..].iter().find(|file| !file.numbers().is_empty()).cloned()
        };
        match file {
            Some(file) => file.read(number.max(file.first), Way::Forward, part),
            None => Ok(Batch::empty(number..number)),
        }
    }

    /// Reads so much of the record of that number, if there is one.
    pub fn read_one_part(&self, number: u32, part: Part) -> io::Result<Batch> {
        let file = {
            let files = reading(&self.files);
            let at = files.partition_point(|file| file.numbers().end <= number);
            files.get(at).filter(|file| file.first <= number).cloned()
        };
        match file {
            Some(file) => file.read(number, Way::One, part),
            None => Ok(Batch::empty(number..number)),
        }
    }

    /// Reads backward, of each record so much: records that end with that number (or the last before it).
    pub fn read_back_part(&self, number: u32, part: Part) -> io::Result<Batch> {
        let file = {
            let files = reading(&self.files);
            let at = files.partition_point(|file| file.first <= number);
            files[..at].iter().rev().find(|file| !file.numbers().is_empty()).cloned()
        };
        match file {
            Some(file) => file.read(number.min(file.numbers().end - 1), Way::Back, part),
            None => Ok(Batch::default()),
        }
    }
}

/// Which neighbours are read with a record, where that takes more than they are worth by themselves.
#[derive(Debug, Clone, Copy)]
enum Way {
    Forward,
    One,
    Back,
}

/// Most records that a step backward through an active file brings in.
const STEP_BACK: u32 = 64;

impl JournalFile {
    /// Version of the stored form of its records.
    pub fn version(&self) -> u16 {
        match self.form() {
            Form::Log(log) => log.header.version,
            Form::Sealed(segment) => segment.header().version,
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

    /// Puts other files in the place of those of its form, and `change` says of which form it then is; nobody reads it meanwhile.
    pub fn exchange<E>(&self, change: impl FnOnce() -> Result<Form, E>) -> Result<(), E> {
        let mut form = writing(&self.form);
        *form = change()?;
        Ok(())
    }

    /// The numbers that it stands for.
    pub fn numbers(&self) -> Range<u32> {
        let span = match &*reading(&self.form) {
            Form::Log(log) => log.records(),
            Form::Sealed(segment) => segment.span(),
        };
        self.first..self.first.saturating_add(span)
    }

    /// Records that are kept.
    pub fn records(&self) -> u32 {
        match &*reading(&self.form) {
            Form::Log(log) => log.records(),
            Form::Sealed(segment) => segment.records(),
        }
    }

    /// Shows all its records, block by block, without their dialogues.
    pub fn each_summary(&self, mut see: impl FnMut(&Batch)) -> io::Result<()> {
        let numbers = self.numbers();
        let mut at = numbers.start;
        while at < numbers.end {
            let batch = self.read(at, Way::Forward, Part::Summary)?;
            see(&batch);
            at = batch.numbers().end.max(at.saturating_add(1));
        }
        Ok(())
    }

    fn read(&self, number: u32, way: Way, part: Part) -> io::Result<Batch> {
        let index = number - self.first;
        let log = match &*reading(&self.form) {
            // Read with the lock held: see `exchange`.
            Form::Sealed(segment) => return segment.read(index, part),
            Form::Log(log) if log.is_closed() => return Self::read_log(log, index, way, part),
            Form::Log(log) => log.clone(),
        };
        Self::read_log(&log, index, way, part)
    }

    fn read_log(log: &Log, index: u32, way: Way, part: Part) -> io::Result<Batch> {
        match way {
            Way::Forward => log.read(index, u32::MAX, part),
            Way::One => log.read(index, 1, part),
            Way::Back => {
                let first = log.first_before(index, STEP_BACK);
                log.read(first, index - first + 1, part)
            }
        }
    }
}
