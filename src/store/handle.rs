//! The store as the rest of the house holds it.

use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;
use thiserror::Error;
use tokio::sync::watch;

use super::aside;
use super::batch::Part;
use super::clock::{self, Clock};
use super::cursor::Cursor;
use super::day::Day;
use super::health::Health;
use super::index::growing::RUN_RECORDS;
use super::intake::{Appender, Intake};
use super::live::{Live, Opening, Use};
use super::lock;
use super::locks::locked;
use super::open::OpenError;
use super::options::Options;
use super::query::{Page, PageRequest, Query};
use super::recover::RecoveryReport;
use super::search::{Search, weight};
use super::stats::{self, StoreStats};
use super::tally::{self, Field, Tally};
use super::window::Window;
use super::writer::Writer;
use crate::trace::{Incident, Record, RecordId, WallMicros};

/// How long opening waits for the index to catch up; mail must not wait for it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a question waits for what was handed in before it to reach the journal.
const SETTLE: Duration = Duration::from_secs(1);
/// A command on a stopped store waits so long for the index; then it answers from the journal.
const OFFLINE_PATIENCE: Duration = Duration::from_secs(600);

/// The owner of a store directory. Clones share it; the last one to go closes it.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub intake: Arc<Intake>,
    pub opening: Opening,
    news: watch::Sender<u64>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held by whoever takes records in from elsewhere.
    pub taking_in: Mutex<()>,
    unrecorded: Mutex<Vec<Incident>>,
    /// The directory itself, where the store lies elsewhere and can't be written; it goes last.
    _scratch: Option<TempDir>,
}

/// A store, and what its recovery found.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    pub report: RecoveryReport,
}

/// Why the store can't be read.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("the store is not open: {why}")]
    Unavailable { why: String },
    #[error("the store can't be read: {0}")]
    Io(#[from] io::Error),
}

impl Store {
    /// Opens the store in `options.dir`: takes the lock, recovers what a dead process left, starts to write.
    ///
    /// # Errors
    /// Another process owns it, or the directory can't be made, read or locked.
    pub fn open(options: Options) -> Result<Opened, OpenError> {
        Self::open_by(options, Clock::system(), RUN_RECORDS, Use::Serving)
    }

    /// Opens the store of a stopped proxy to ask it: as [`Store::open`], but waits until all is indexed, and leaves the files as they are
    /// (what a dead process left half done is put in order all the same).
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_offline(options: Options) -> Result<Opened, OpenError> {
        Self::open_by(options, Clock::system(), RUN_RECORDS, Use::Offline)
    }

    /// As [`Store::open_offline`]; a store that can't be written, on a read-only mount or another user's, is asked as it lies there.
    ///
    /// # Errors
    /// As [`Store::open`], and where its files can't be read.
    pub fn open_to_ask(options: Options) -> Result<Opened, OpenError> {
        match Self::open_offline(options.clone()) {
            Err(error) if aside::is_unwritable(&error) => match lock::owner(&options.dir) {
                Some(owner) => Err(OpenError::in_use(&options.dir, owner)),
                None => Self::open_aside(&options, Clock::system()),
            },
            opened => opened,
        }
    }

    pub(super) fn open_aside(options: &Options, clock: Clock) -> Result<Opened, OpenError> {
        let scratch = aside::scratch().map_err(OpenError::io(&std::env::temp_dir()))?;
        aside::lay_out(&options.dir, scratch.path())?;
        let options = Options { dir: scratch.path().to_owned(), ..options.clone() };
        Self::opened(Self::made(options, clock, RUN_RECORDS, Some(scratch)), Use::Offline)
    }

    /// A store that could not be opened, for an application that must run all the same: it fails like a store whose disk is
    /// full, and is tried again every second.
    pub fn unavailable(options: Options, error: &OpenError) -> Self {
        let store = Self::closed(options, Clock::system(), RUN_RECORDS);
        store.inner.intake.fails(&error.to_string());
        store.start();
        store
    }

    /// Opens a store, perhaps with another clock and shorter runs.
    pub(super) fn open_by(options: Options, clock: Clock, run_records: u32, purpose: Use) -> Result<Opened, OpenError> {
        Self::opened(Self::closed(options, clock, run_records), purpose)
    }

    fn opened(store: Self, purpose: Use) -> Result<Opened, OpenError> {
        store.inner.opening.open(&store.inner.intake, purpose)?;
        store.start();
        let patience = match purpose {
            Use::Serving => PATIENCE,
            Use::Offline => OFFLINE_PATIENCE,
        };
        let report = store.recovery(patience);
        Ok(Opened { store, report })
    }

    fn closed(options: Options, clock: Clock, run_records: u32) -> Self {
        Self::made(options, clock, run_records, None)
    }

    fn made(options: Options, clock: Clock, run_records: u32, scratch: Option<TempDir>) -> Self {
        let intake = Intake::new(options.queue_octets, options.durability, clock, clock::random() as u32);
        let news = watch::Sender::new(0);
        let opening = Opening::new(options, run_records, news.clone());
        let (writer, taking_in, unrecorded) = (Mutex::default(), Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { intake, opening, news, writer, taking_in, unrecorded, _scratch: scratch }) }
    }

    fn start(&self) {
        let writer = Writer::new(self.inner.intake.clone(), self.inner.opening.clone());
        match std::thread::Builder::new().name("store-write".to_owned()).spawn(move || writer.run()) {
            Ok(thread) => *locked(&self.inner.writer) = Some(thread),
            Err(error) => {
                tracing::error!(%error, "the writer thread of the trace store could not be started");
                self.inner.intake.fails(&error.to_string());
            }
        }
    }

    /// A way in for one worker thread; clone it for the worker's sessions.
    pub fn appender(&self) -> Appender {
        self.inner.intake.appender()
    }

    /// One atomic load while all is well.
    pub fn health(&self) -> Health {
        self.inner.intake.health.health()
    }

    /// Records that could not be stored, over the life of the process.
    pub fn records_lost(&self) -> u64 {
        self.inner.intake.health.records_lost()
    }

    /// Entries of incidents that could not be written so far, oldest first: they are known, and will be in the journal when it takes them.
    pub fn unrecorded(&self) -> Vec<Incident> {
        locked(&self.inner.unrecorded).clone()
    }

    /// As [`Store::unrecorded`], from whoever tries to write them.
    pub fn set_unrecorded(&self, entries: Vec<Incident>) {
        *locked(&self.inner.unrecorded) = entries;
    }

    /// Writes what is queued, syncs, and ends the store's threads.
    pub fn close(self) {
        self.inner.close();
    }

    /// Answers a query, newest first, a page at a time.
    ///
    /// # Errors
    /// The store isn't open, or its files can't be read.
    pub fn query(&self, query: &Query, page: &PageRequest) -> Result<Page, StoreError> {
        Ok(Search::new(&*self.live()?).page(query, page)?)
    }

    /// The record of that id, with what became known later folded in.
    ///
    /// # Errors
    /// The store isn't open, or its files can't be read.
    pub fn fetch(&self, id: RecordId) -> Result<Option<Record>, StoreError> {
        Ok(Search::new(&*self.live()?).fetch(id)?)
    }

    /// Records in the order of the journal from `cursor` on (from the oldest without one); and where to go on.
    ///
    /// # Errors
    /// The store isn't open, or its files can't be read.
    pub fn follow(&self, cursor: Option<Cursor>, limit: usize) -> Result<(Vec<Record>, Cursor), StoreError> {
        let mut records = Vec::new();
        let (_, at, _) = self.each(cursor, limit, Part::Whole, |record| {
            records.push(record);
            ControlFlow::Continue(())
        })?;
        Ok((records, at))
    }

    /// As [`Store::follow`], as many as are good for the memory: up to `limit`, and not much more than `octets`. Says as well whether more
    /// may follow.
    ///
    /// # Errors
    /// The store isn't open, or its files can't be read.
    pub fn follow_within(&self, cursor: Option<Cursor>, limit: usize, octets: usize) -> Result<(Vec<Record>, Cursor, bool), StoreError> {
        let (mut records, mut taken) = (Vec::new(), 0);
        let (_, at, more) = self.each(cursor, limit, Part::Whole, |record| {
            taken += weight(&record);
            records.push(record);
            if taken < octets { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok((records, at, more))
    }

    /// As [`Store::follow`], one record after the other and without dialogues: for those that read everything. Says how many there were, and
    /// whether more may follow.
    ///
    /// # Errors
    /// The store isn't open, or its files can't be read.
    pub fn follow_summaries(&self, cursor: Cursor, limit: usize, mut see: impl FnMut(Record)) -> Result<(usize, Cursor, bool), StoreError> {
        self.each(Some(cursor), limit, Part::Summary, |record| {
            see(record);
            ControlFlow::Continue(())
        })
    }

    /// Ends as well once `see` has enough.
    fn each(
        &self,
        cursor: Option<Cursor>,
        limit: usize,
        part: Part,
        mut see: impl FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(usize, Cursor, bool), StoreError> {
        let live = self.live()?;
        let mut at = cursor.unwrap_or_else(|| Cursor::at_start_of(Day::of(0)));
        let (mut count, mut any, mut enough) = (0, cursor.is_some(), limit == 0);
        let mut more = false;
        while !enough {
            let read = match live.journal.read_from(at, part) {
                Ok(Some(read)) => read,
                Ok(None) => break,
                // What was shown isn't to be shown again: the error comes next time, if it is still there.
                Err(_) if count > 0 => {
                    more = true;
                    break;
                }
                Err(error) => return Err(error.into()),
            };
            Window::new(at, read).each(at, |after, record| {
                (at, any) = (after, true);
                count += usize::from(record.is_some());
                enough = record.is_some_and(|record| see(record).is_break()) || count >= limit;
                if enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
        }
        Ok((count, if any { at } else { self.beginning() }, more || enough))
    }

    /// The journal from `cursor` on, as it lies there; `None` at its end. Unlike [`Store::follow`] it waits for nothing that is still on its
    /// way there.
    ///
    /// # Errors
    /// The store isn't open, or its files can't be read.
    pub fn window(&self, cursor: Cursor, with_dialogues: bool) -> Result<Option<Window>, StoreError> {
        let live = self.inner.opening.live().ok_or_else(|| self.unavailable_now())?;
        let part = if with_dialogues { Part::Whole } else { Part::Summary };
        Ok(live.journal.read_from(cursor, part)?.map(|read| Window::new(cursor, read)))
    }

    /// The first record that is in the journal from `cursor` on, without its dialogue; as [`Store::window`].
    ///
    /// # Errors
    /// The store isn't open, or its files can't be read.
    pub fn first_from(&self, mut cursor: Cursor) -> Result<Option<Record>, StoreError> {
        while let Some(window) = self.window(cursor, false)? {
            let mut first = None;
            window.each(cursor, |_, record| {
                first = record;
                if first.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            if first.is_some() {
                return Ok(first);
            }
            cursor = window.after();
        }
        Ok(None)
    }

    /// Which of two places comes first: in most stores the smaller one, but a clock that was ahead has made days that aren't the last.
    pub fn earlier(&self, one: Cursor, other: Cursor) -> Cursor {
        self.inner.opening.live().map_or(one.min(other), |live| live.journal.earlier(one, other))
    }

    /// How many places of the journal there are from `cursor` on, by day.
    ///
    /// # Errors
    /// The store isn't open.
    pub fn places_from(&self, cursor: Cursor) -> Result<Vec<(Day, u64)>, StoreError> {
        let live = self.inner.opening.live().ok_or_else(|| self.unavailable_now())?;
        Ok(live.journal.places_from(cursor))
    }

    /// Where the next record will stand: a cursor for those who follow only what is new.
    ///
    /// # Errors
    /// The store isn't open.
    pub fn end(&self) -> Result<Cursor, StoreError> {
        Ok(self.live()?.end().unwrap_or_else(|| self.beginning()))
    }

    /// The store in numbers.
    ///
    /// # Errors
    /// The store isn't open.
    pub fn stats(&self) -> Result<StoreStats, StoreError> {
        Ok(stats::stats(&*self.live()?, self.health(), self.inner.intake.health.records_lost()))
    }

    /// The oldest day of which all records are kept, if of earlier ones only failures are.
    ///
    /// # Errors
    /// The store isn't open.
    pub fn whole_since(&self) -> Result<Option<Day>, StoreError> {
        Ok(stats::whole_since(&*self.live()?))
    }

    /// Counts what answers a query, and by each of the fields.
    ///
    /// # Errors
    /// The store isn't open, or its files can't be read.
    pub fn tally(&self, query: &Query, by: &[Field]) -> Result<Tally, StoreError> {
        Ok(tally::tally(&*self.live()?, query, by)?)
    }

    /// What recovery found, or has found so far; waits for its end so long at most.
    fn recovery(&self, patience: Duration) -> RecoveryReport {
        self.inner.opening.live().map(|live| live.recovery.wait(patience)).unwrap_or_default()
    }

    /// Changes when new records can be read.
    pub fn notified(&self) -> watch::Receiver<u64> {
        self.inner.news.subscribe()
    }

    pub(super) fn beginning(&self) -> Cursor {
        Cursor { day: super::Day::of(0), number: 0 }
    }

    /// The time on the store's clock.
    pub fn now(&self) -> WallMicros {
        self.inner.intake.clock.now()
    }

    /// An id for a record that is made now.
    pub fn record_id(&self) -> RecordId {
        self.inner.intake.clock.record_id()
    }

    /// Waits until what was handed in is in the journal, or given up; so long at most. Whether it is.
    pub(super) fn settle(&self, patience: Duration) -> bool {
        self.inner.intake.settle(patience)
    }

    pub(super) fn live(&self) -> Result<Arc<Live>, StoreError> {
        self.inner.intake.settle(SETTLE);
        let live = self.inner.opening.live();
        live.iter().for_each(|live| live.adoption.refresh(SETTLE));
        live.ok_or_else(|| self.unavailable_now())
    }

    fn unavailable_now(&self) -> StoreError {
        StoreError::Unavailable {
            why: match self.health() {
                Health::Failed { why, .. } => why,
                Health::Ok => "it is being opened, or was handed over to another process".to_owned(),
            },
        }
    }
}

impl Inner {
    fn close(&self) {
        self.intake.queue.close();
        if let Some(writer) = locked(&self.writer).take()
            && writer.join().is_err()
        {
            tracing::error!("the writer thread of the trace store panicked");
        }
        self.opening.close();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}
