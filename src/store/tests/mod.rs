//! Stories about the store as a whole.

mod backup;
mod damage;
mod failure;
mod handover;
mod import;
mod index;
mod model;
mod order;
mod recovery;
mod retention;
mod sealing;
mod store;
mod take_in;

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::live::Use;
use super::samples::NOON;
use super::*;
use crate::trace::*;

/// A directory with a store that is opened again and again, on a clock that stands still.
struct Room {
    _dir: tempfile::TempDir,
    clock: Arc<AtomicU64>,
    options: Options,
    run_records: u32,
}

impl Room {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = Options::new(dir.path().join("store"));
        Self { _dir: dir, clock: Arc::new(AtomicU64::new(NOON)), options, run_records: 1 << 16 }
    }

    fn with_runs_of(run_records: u32) -> Self {
        Self { run_records, ..Self::new() }
    }

    fn path(&self) -> &Path {
        &self.options.dir
    }

    fn open(&self) -> Opened {
        self.open_for(Use::Serving)
    }

    fn open_for(&self, purpose: Use) -> Opened {
        Store::open_by(self.options.clone(), Clock::set(self.clock.clone()), self.run_records, purpose).unwrap()
    }

    fn store(&self) -> Store {
        self.open().store
    }

    fn advance(&self, by: Duration) {
        self.clock.fetch_add(by.as_micros() as u64, Ordering::SeqCst);
    }

    /// A copy of the directory as it is at this moment: what a crash would leave.
    fn crashed_copy(&self) -> Self {
        loop {
            let copy = Self { run_records: self.run_records, clock: self.clock.clone(), ..Self::new() };
            let before = self.journal();
            copy_dir(self.path(), copy.path());
            // A file that was sealed meanwhile may have been missed in both forms.
            if self.journal() == before {
                return Self { options: Options { dir: copy.options.dir.clone(), ..self.options.clone() }, ..copy };
            }
        }
    }

    /// All files of the journal, in order.
    fn journal(&self) -> Vec<std::path::PathBuf> {
        let mut files = Vec::new();
        for day in std::fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path().join("journal")).filter(|dir| dir.is_dir()) {
            files.extend(std::fs::read_dir(day).unwrap().map(|entry| entry.unwrap().path()));
        }
        files.sort();
        files
    }
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else if let Err(error) = std::fs::copy(entry.path(), target) {
            // What is sealed while it is copied loses its active form.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
        }
    }
}

/// Appends records and waits until they are stored.
fn put(store: &Store, records: &[Record]) {
    let appender = store.appender();
    let tickets: Vec<_> = records.iter().map(|record| appender.append(record).unwrap()).collect();
    for ticket in tickets {
        stored(&appender, ticket).unwrap();
        assert!(appender.is_stored(ticket));
    }
}

fn stored(appender: &Appender, ticket: Ticket) -> Result<(), StoreFailure> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(poll_fn(|cx| appender.poll_stored(ticket, cx)))
}

fn transactions(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers.map(samples::transaction).collect()
}

fn find(store: &Store, term: Term) -> Vec<Record> {
    store.query(&Query::of(term), &PageRequest::newest(1000)).unwrap().records
}

fn message_id(no: u64) -> Term {
    Term::MessageId(samples::plain(no).message.message_id.unwrap())
}

/// Everything in the journal, in order.
fn everything(store: &Store) -> Vec<Record> {
    store.follow(None, usize::MAX).unwrap().0
}

/// Waits until something that a background thread does has come about.
#[track_caller]
fn until(what: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !what() {
        assert!(Instant::now() < deadline, "it never came about");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The sealed files with that extension, in order.
fn sealed_files(room: &Room, extension: &str) -> Vec<std::path::PathBuf> {
    room.journal().into_iter().filter(|path| path.extension().is_some_and(|ext| ext == extension)).collect()
}

fn timeline(record: &Record) -> Option<&Timeline> {
    match record {
        Record::Transaction(it) => Some(&it.timeline),
        Record::Session(it) => Some(&it.timeline),
        _ => None,
    }
}

/// The record as it reads when its dialogue is gone.
fn without_dialogue(record: &Record) -> Record {
    let mut record = record.clone();
    if timeline(&record).is_some_and(|timeline| !timeline.is_empty()) {
        record.drop_dialogue();
    }
    record
}

/// Waits until all finished files are sealed.
#[track_caller]
fn sealed(store: &Store) {
    until(|| store.stats().unwrap().active_files <= 1);
}

/// In a store's directory: while it is there, the disk takes what is written, and doesn't keep it.
const SYNC_FAILS: &str = "sync-fails";

/// How the disk does with a file of a store.
pub(super) fn disk_of(path: &Path) -> std::io::Result<()> {
    match path.ancestors().any(|above| above.join(SYNC_FAILS).exists()) {
        true => Err(std::io::Error::other("the disk is thin, and full")),
        false => Ok(()),
    }
}
