//! The index thread: follows the journal, puts each record's keys into the run that grows, stores runs that are full.
//!
//! Start and everyday are one path: it goes on where a day's checkpoint says, whether that was a moment or a crash ago.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use super::batch::Part;
use super::cursor::Cursor;
use super::day::Day;
use super::index::{SharedRun, index_dir};
use super::intake::Appender;
use super::journal::DayJournal;
use super::keys::{self, Key};
use super::live::Live;
use super::locks::{reading, writing};
use super::marks;
use super::query::time_of;
use super::queue::Ticket;
use super::run::Run;
use super::search::Search;
use super::stored::Checkpoint;
use crate::trace::{Mark, Record};

/// Between two looks at the journal while records come in: they are indexed in bunches.
const PAUSE: Duration = Duration::from_millis(10);
/// Before something that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// A day's index is made anew no more often: a disk that breaks each one must not keep the processor busy.
const ANEW: Duration = Duration::from_secs(60);
/// Full runs that may wait for a disk that can't take them; beyond that the index stands still, and the journal is searched.
const WAITING_RUNS: usize = 4;

/// From so many records on a run is stored at the end of the process. Replaying fewer takes some 10 ms; many small runs would slow down
/// each look-up.
const WORTH_STORING: u32 = 4096;

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Forward,
    CaughtUp,
    /// Something must change first.
    Stuck,
}

pub(super) struct Indexer {
    live: Arc<Live>,
    appender: Appender,
    /// Marks that the process before left open.
    marks: Vec<Mark>,
    last_told: Option<Ticket>,
    recovering: bool,
    /// Per day, records below this number are in a run.
    reached: BTreeMap<Day, u32>,
    growing: Option<(Arc<DayJournal>, SharedRun)>,
    waiting: Vec<(Day, SharedRun, Checkpoint)>,
    begun_anew: BTreeMap<Day, Instant>,
}

impl Indexer {
    pub fn new(live: Arc<Live>, appender: Appender, marks: Vec<Mark>) -> Self {
        Self {
            live,
            appender,
            marks,
            last_told: None,
            recovering: true,
            reached: BTreeMap::new(),
            growing: None,
            waiting: Vec::new(),
            begun_anew: BTreeMap::new(),
        }
    }

    pub fn run(mut self) {
        loop {
            let goes_on = match self.step() {
                Ok(Step::Forward) => !self.live.indexer.is_closed(),
                Ok(Step::CaughtUp) => {
                    self.end_recovery();
                    self.live.news.send_modify(|news| *news += 1);
                    // Whatever comes within the pause is indexed together.
                    self.live.indexer.wait() && self.live.indexer.rest(PAUSE)
                }
                Ok(Step::Stuck) => self.live.indexer.rest(RETRY),
                Err(error) => {
                    tracing::error!(%error, "the journal can't be read for the index");
                    self.live.indexer.rest(RETRY)
                }
            };
            if !goes_on {
                self.finish();
                return;
            }
        }
    }

    /// At the end: indexes what is left if that doesn't take long, and stores the run so far if that spares the next start some time.
    fn finish(&mut self) {
        let deadline = Instant::now() + RETRY;
        while Instant::now() < deadline && self.step().is_ok_and(|step| step == Step::Forward) {}
        let day = self.growing.as_ref().filter(|(_, run)| reading(run).span >= WORTH_STORING);
        if let Some(day) = day.map(|(day, _)| day.day) {
            self.finish_run(Some(day));
        }
    }

    /// Indexes some of the records that aren't yet.
    fn step(&mut self) -> io::Result<Step> {
        self.store_waiting();
        for day in self.live.index.broken_days() {
            self.start_anew(day);
        }
        if self.waiting.len() >= WAITING_RUNS {
            return Ok(Step::Stuck);
        }
        let Some(day) = self.next_day()? else { return Ok(self.caught_up()) };
        let from = self.reached.get(&day.day).copied().unwrap_or_default();
        let batch = day.read_part(from, Part::Summary)?;
        let numbers = batch.numbers();
        if numbers.is_empty() {
            return Ok(Step::Stuck);
        }
        let mut found: Vec<Key> = Vec::new();
        for number in numbers.start.max(from)..numbers.end {
            found.clear();
            let record = batch.record(number);
            let mut at = record.as_ref().map(time_of);
            match &record {
                Some(Record::Amendment(amendment)) => {
                    let folded = Search::new(&self.live).folded_for(amendment)?;
                    keys::keys_of_amended(amendment, folded.as_ref(), &mut found);
                    at = folded.as_ref().map(time_of).or(at);
                }
                Some(record) => keys::keys_of(record, &mut found),
                None => {}
            }
            let run = self.run_for(&day, number);
            let mut run = writing(&run);
            run.add(number, at, &found);
            run.amendments += u32::from(matches!(record, Some(Record::Amendment(_))));
            let full = run.span >= self.live.run_records;
            drop(run);
            self.reached.insert(day.day, number + 1);
            if full {
                self.finish_run(Some(day.day));
            }
        }
        if self.recovering {
            self.live.recovery.replayed(u64::from(numbers.end - numbers.start.max(from)));
        }
        self.live.index.now_indexed(Cursor { day: day.day, number: numbers.end });
        Ok(Step::Forward)
    }

    /// Tells those who wait that there is nothing to wait for; while runs wait for the disk, that is looked at again soon.
    fn caught_up(&self) -> Step {
        if let Some((&day, &number)) = self.reached.last_key_value() {
            self.live.index.now_indexed(Cursor { day, number });
        }
        if self.waiting.is_empty() { Step::CaughtUp } else { Step::Stuck }
    }

    /// The oldest day with records that are in no run.
    fn next_day(&mut self) -> io::Result<Option<Arc<DayJournal>>> {
        let broken = self.live.index.broken_days();
        for day in self.live.journal.days().into_iter().filter(|day| !broken.contains(&day.day)) {
            if !self.reached.contains_key(&day.day) && !self.look_at(&day) {
                return Err(io::Error::other("the index can't be opened at present"));
            }
            if self.reached.get(&day.day).is_some_and(|&reached| reached < day.end()) {
                return Ok(Some(day));
            }
        }
        Ok(None)
    }

    /// Learns how far the stored index of a day reaches; false if that can't be known at present.
    fn look_at(&mut self, day: &DayJournal) -> bool {
        let dir = index_dir(&self.live.options.dir, day.day);
        let fits = |checkpoint: &Checkpoint| checkpoint.until <= day.end() && checkpoint.damage == day.damage();
        if let Some(complete) = self.live.index.completed(day.day).filter(|it| it.checkpoint.until == day.end() && fits(&it.checkpoint)) {
            self.live.index.is_over(day.day, complete.span);
            self.reached.insert(day.day, complete.checkpoint.until);
            return true;
        }
        let missing = !dir.is_dir();
        let until = match self.live.index.open(day.day) {
            Ok(index) => Some(index.checkpoint()).filter(fits).map(|checkpoint| checkpoint.until),
            Err(error) if error.is_passing() => {
                tracing::error!(day = %day.day, %error, "the index of a day can't be opened at present");
                return false;
            }
            Err(error) => {
                tracing::error!(day = %day.day, %error, "the index of a day is broken");
                None
            }
        };
        // Full runs are stored at once: a day that has had some, and has none, has lost them.
        let empty = until == Some(0) && day.end() >= self.live.run_records;
        if self.recovering && (missing || empty || until.is_none()) {
            self.live.recovery.rebuilt(day.day);
        }
        match until {
            Some(until) => {
                self.reached.insert(day.day, until);
                true
            }
            None => self.start_anew(day.day),
        }
    }

    /// Moves a day's index away, to make it again from the journal; false if that was done only just now.
    fn start_anew(&mut self, day: Day) -> bool {
        self.growing.take_if(|(of, _)| of.day == day);
        self.waiting.retain(|(of, ..)| *of != day);
        let now = Instant::now();
        if self.begun_anew.get(&day).is_some_and(|&before| now.duration_since(before) < ANEW) {
            return false;
        }
        self.begun_anew.insert(day, now);
        self.live.index.set_aside(day);
        self.reached.insert(day, 0);
        true
    }

    /// The run that takes the record of that number.
    fn run_for(&mut self, day: &Arc<DayJournal>, number: u32) -> SharedRun {
        if let Some((of, run)) = &self.growing {
            let first = reading(run).first;
            if of.day == day.day && number >= first && number - first < self.live.run_records {
                return run.clone();
            }
        }
        self.finish_run(Some(day.day));
        let run = Arc::new(RwLock::new(Run::new(number)));
        self.live.index.begin(day.day, run.clone());
        self.growing = Some((day.clone(), run.clone()));
        run
    }

    /// Stores the run that grew so far: it is full, or its day is over.
    fn finish_run(&mut self, next: Option<Day>) {
        let Some((day, run)) = self.growing.take() else { return };
        let checkpoint = Checkpoint { until: reading(&run).end(), damage: day.damage() };
        self.waiting.push((day.day, run, checkpoint));
        self.store_waiting();
        if next != Some(day.day) && checkpoint.until == day.end() && self.waiting.is_empty() {
            match self.live.index.open(day.day).and_then(|index| index.complete()) {
                Ok(complete) => self.live.index.is_over(day.day, complete.span),
                Err(error) => tracing::warn!(day = %day.day, %error, "the end of a day could not be noted in its index"),
            }
        }
    }

    fn store_waiting(&mut self) {
        // A day may have been removed meanwhile.
        self.waiting.retain(|(day, ..)| self.live.journal.day(*day).is_some());
        while let Some((day, run, checkpoint)) = self.waiting.first().cloned() {
            let stored = self.live.index.store(day, &reading(&run), checkpoint);
            match stored {
                Ok(()) => {
                    let first = reading(&run).first;
                    self.live.index.was_stored(day, first);
                    self.waiting.remove(0);
                }
                Err(error) if error.is_passing() => {
                    tracing::error!(%day, %error, "a run of the index could not be stored; it is tried again");
                    // Sled refuses everything after an error until it is opened anew.
                    self.live.index.close(day);
                    return;
                }
                Err(error) => {
                    self.live.index.report_broken(day, &error);
                    self.waiting.remove(0);
                }
            }
        }
    }

    /// Once all that the process before wrote is indexed: what it left open is in doubt, and a record says so.
    fn end_recovery(&mut self) {
        if !self.recovering {
            return;
        }
        while let Some(mark) = self.marks.last() {
            match Search::new(&self.live).fetch(mark.id) {
                Ok(Some(_)) => {}
                Ok(None) => match self.appender.append(&marks::in_doubt(mark, marks::DIED)) {
                    Ok(ticket) => {
                        self.last_told = Some(ticket);
                        self.live.recovery.in_doubt();
                    }
                    // The store can't be written: later.
                    Err(_) => return,
                },
                Err(_) => return,
            }
            self.marks.pop();
        }
        // The writer rings once it has written them, which leads here again.
        if self.last_told.is_none_or(|ticket| !self.appender.is_pending(ticket)) {
            self.recovering = false;
            self.live.recovery.finish();
        }
    }
}
