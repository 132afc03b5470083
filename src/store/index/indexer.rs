//! The index thread: follows the journal, puts each record's terms into the run that grows, stores runs that are full.
//!
//! Start and everyday are one path: it goes on where a day's stored runs end, whether that was a moment or a crash ago.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use super::columns::numbers_of;
use super::growing::{GrowingRun, Room};
use super::refusals::Refusals;
use super::terms::Terms;
use super::{SharedRun, columns};
use crate::store::adopt::Stage;
use crate::store::batch::Part;
use crate::store::cursor::Cursor;
use crate::store::day::Day;
use crate::store::intake::Appender;
use crate::store::journal::DayJournal;
use crate::store::live::Live;
use crate::store::locks::{reading, writing};
use crate::store::marks;
use crate::store::query::{PageRequest, Query, Term, time_of};
use crate::store::queue::Ticket;
use crate::store::search::Search;
use crate::trace::{Amendment, Mark, Record, RecordKind, State, WallMicros};

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

/// Gaps that are looked at, newest first: one of them may be of a clock that was behind.
const GAPS: usize = 32;

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Forward,
    CaughtUp,
    /// Something must change first.
    Stuck,
}

pub struct Indexer {
    live: Arc<Live>,
    appender: Appender,
    /// When this process began.
    began: WallMicros,
    /// Marks that the process before left open.
    marks: Vec<Mark>,
    /// Some of them came while this process ran, from one that was draining.
    drained: bool,
    last_told: Option<Ticket>,
    recovering: bool,
    /// Per day, records below this number are in a run.
    reached: BTreeMap<Day, u32>,
    growing: Option<(Arc<DayJournal>, SharedRun)>,
    waiting: Vec<(Day, SharedRun, u64)>,
    refusals: Refusals,
    begun_anew: BTreeMap<Day, Instant>,
    /// Of the record at hand.
    terms: Terms,
    /// What the run before took.
    room: Room,
}

/// What a record is indexed by, beside its terms.
#[derive(Debug, Default)]
struct Entry {
    at: Option<WallMicros>,
    numbers: columns::Numbers,
    amends: bool,
    superseded: Vec<Cursor>,
}

impl Indexer {
    pub fn new(live: Arc<Live>, appender: Appender, began: WallMicros, marks: Vec<Mark>) -> Self {
        Self {
            live,
            appender,
            began,
            marks,
            drained: false,
            last_told: None,
            recovering: true,
            reached: BTreeMap::new(),
            growing: None,
            waiting: Vec::new(),
            refusals: Refusals::default(),
            begun_anew: BTreeMap::new(),
            terms: Terms::default(),
            room: Room::default(),
        }
    }

    pub fn run(mut self) {
        loop {
            // Before the step: whatever was taken in until then is indexed after it.
            let adopted = self.live.adoption.stage();
            let goes_on = match self.step() {
                Ok(Step::Forward) => !self.live.indexer.is_closed(),
                Ok(Step::CaughtUp) => {
                    self.end_recovery(adopted);
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
        self.refusals = Refusals::default();
        if self.growing.as_ref().is_some_and(|(_, run)| reading(run).span >= WORTH_STORING) {
            self.finish_run();
        }
    }

    /// Indexes some of the records that aren't yet.
    fn step(&mut self) -> io::Result<Step> {
        for day in self.live.index.take_removed() {
            self.let_go(day);
            self.reached.remove(&day);
        }
        self.store_waiting();
        for (day, from) in self.live.index.broken_days() {
            self.start_anew(day, from);
        }
        if self.waiting.len() >= WAITING_RUNS {
            return Ok(Step::Stuck);
        }
        let Some((day, until)) = self.next_part() else {
            // A day that is over gets no more records: an import, or thinning, made this run.
            if self.growing.as_ref().is_some_and(|(day, _)| Some(day.day) != self.live.journal.last_day()) {
                self.finish_run();
            }
            return Ok(self.caught_up());
        };
        let from = self.reached.get(&day.day).copied().unwrap_or_default();
        let batch = day.read_part(from, Part::Summary)?;
        let numbers = batch.numbers();
        if numbers.is_empty() {
            return Ok(Step::Stuck);
        }
        // What follows in this day may have been written after other days.
        let numbers = numbers.start.max(from).min(until)..numbers.end.min(until);
        for number in numbers.clone() {
            let entry = self.entry(Cursor { day: day.day, number }, batch.record(number).as_ref())?;
            let run = self.run_for(&day, number);
            let mut run = writing(&run);
            run.add(number, entry.at, &self.terms, entry.numbers);
            if entry.amends {
                run.amendments += 1;
                entry.superseded.iter().for_each(|&at| self.live.index.supersede(at));
                run.superseded.extend(entry.superseded);
            }
            let full = run.span >= self.live.run_records || run.is_heavy();
            drop(run);
            self.reached.insert(day.day, number + 1);
            if full {
                self.finish_run();
            }
        }
        // There may be none of these numbers.
        self.reached.insert(day.day, numbers.end);
        if self.recovering {
            self.live.recovery.replayed(u64::from(numbers.end - numbers.start));
        }
        self.live.index.now_indexed([(day.day, numbers.end)]);
        Ok(Step::Forward)
    }

    /// What a record is indexed by; its terms are left in `self.terms`.
    fn entry(&mut self, at: Cursor, record: Option<&Record>) -> io::Result<Entry> {
        self.terms.clear();
        let Some(record) = record else { return Ok(Entry::default()) };
        if let Record::Amendment(amendment) = record {
            return self.entry_of_amendment(at, amendment);
        }
        self.terms.add(record);
        Ok(Entry { at: Some(time_of(record)), numbers: numbers_of(record), ..Entry::default() })
    }

    /// An amendment stands for what it amends: it has the terms of that, as it is from now on.
    fn entry_of_amendment(&mut self, at: Cursor, amendment: &Amendment) -> io::Result<Entry> {
        // Of a day that is indexed once more, later days are indexed already.
        let history = Search::of_indexed(&self.live).history(amendment.of)?.before(at, &self.live.journal.laps());
        let folded = history.folded_with(amendment);
        let earlier: Vec<State> = history.states();
        self.terms.add_amended(amendment, folded.as_ref(), &earlier);
        Ok(Entry {
            at: folded.as_ref().map(time_of).or(Some(amendment.at)),
            numbers: folded.as_ref().map(numbers_of).unwrap_or_default(),
            amends: true,
            superseded: history.places,
        })
    }

    /// Tells those who wait that there is nothing to wait for; while runs wait for the disk, that is looked at again soon.
    fn caught_up(&self) -> Step {
        self.live.index.now_indexed(self.reached.iter().map(|(&day, &number)| (day, number)));
        if self.waiting.is_empty() { Step::CaughtUp } else { Step::Stuck }
    }

    /// The oldest records that are in no run: their day, and the number before which they were written in one go. What amends another record
    /// comes after it, whatever the days' order.
    fn next_part(&mut self) -> Option<(Arc<DayJournal>, u32)> {
        let broken = self.live.index.broken_days();
        for (day, numbers) in self.live.journal.parts() {
            if broken.contains_key(&day.day) {
                continue;
            }
            if !self.reached.contains_key(&day.day) {
                let until = self.live.index.stored_until(day.day);
                // Full runs are stored at once: a day that has had some, and has none, has lost them.
                let lost = self.live.index.lost().contains(&day.day) || (until == 0 && day.end() >= self.live.run_records);
                if self.recovering && lost {
                    self.live.recovery.rebuilt(day.day);
                }
                self.reached.insert(day.day, until);
            }
            if self.reached.get(&day.day).is_some_and(|&reached| reached < numbers.end.min(day.end())) {
                return Some((day, numbers.end));
            }
        }
        None
    }

    /// Removes the runs of a day from that number on, to make them again from the journal; not if that was done only just now.
    fn start_anew(&mut self, day: Day, from: u32) {
        let now = Instant::now();
        let just_now = |before: &Instant| now.duration_since(*before) < ANEW;
        if !self.live.index.was_outdated(day) && self.begun_anew.get(&day).is_some_and(just_now) {
            return;
        }
        self.let_go(day);
        self.begun_anew.insert(day, now);
        self.live.index.set_aside(day, from);
        self.reached.insert(day, self.live.index.stored_until(day));
        tracing::warn!(%day, "the index of a day is being made anew from the journal");
    }

    /// Forgets the runs of a day that aren't stored yet.
    fn let_go(&mut self, day: Day) {
        self.growing.take_if(|(of, _)| of.day == day);
        self.waiting.retain(|(of, ..)| *of != day);
    }

    /// The run that takes the record of that number.
    fn run_for(&mut self, day: &Arc<DayJournal>, number: u32) -> SharedRun {
        if let Some((of, run)) = &self.growing {
            let first = reading(run).first;
            if of.day == day.day && number >= first && number - first < self.live.run_records {
                return run.clone();
            }
        }
        self.finish_run();
        let run = Arc::new(RwLock::new(GrowingRun::new(number, self.room)));
        self.live.index.begin(day.day, run.clone());
        self.growing = Some((day.clone(), run.clone()));
        run
    }

    /// Stores the run that grew so far: it is full, or its day is over.
    fn finish_run(&mut self) {
        let Some((day, run)) = self.growing.take() else { return };
        self.room = reading(&run).room();
        self.waiting.push((day.day, run, day.damage()));
        self.store_waiting();
    }

    fn store_waiting(&mut self) {
        if !self.refusals.may_try(Instant::now()) {
            return;
        }
        // A day may have been removed meanwhile.
        self.waiting.retain(|(day, ..)| self.live.journal.day(*day).is_some());
        while let Some((day, run, damage)) = self.waiting.first().cloned() {
            if let Err(error) = self.live.index.store(day, &reading(&run), damage) {
                if self.refusals.is_worth_saying(Instant::now()) {
                    tracing::error!(%day, %error, "a run of the index could not be stored; it is tried again every second");
                }
                return;
            }
            self.refusals = Refusals::default();
            let first = reading(&run).first;
            self.live.index.was_stored(day, first);
            self.waiting.remove(0);
            // Small runs beside it may be worth merging now.
            self.live.keeper.ring();
        }
    }

    /// Once all that the process before wrote is indexed: what it left open is in doubt, and a record says so.
    ///
    /// What a process left open that gave the store away and still drains is not in doubt before it has ended.
    fn end_recovery(&mut self, adopted: Stage) {
        if !self.recovering || adopted == Stage::Beginning {
            return;
        }
        if adopted == Stage::Following {
            return self.live.recovery.finish();
        }
        let left_open = self.live.adoption.left_open();
        self.drained |= !left_open.is_empty();
        self.marks.extend(left_open);
        // A transaction that was open at a hand-over has its mark in the journal and in its process's own file: the one that tells more stays.
        self.marks.sort_by_key(|mark| (mark.id, mark.message.is_none()));
        self.marks.dedup_by_key(|mark| mark.id);
        let lost_until = match self.marks.is_empty() {
            true => None,
            false => match self.lost_until() {
                Ok(until) => until,
                Err(_) => return,
            },
        };
        while let Some(mark) = self.marks.last() {
            match Search::of_indexed(&self.live).fetch(mark.id) {
                Ok(Some(_)) => {}
                // What is refused would count as lost.
                Ok(None) if !self.appender.is_healthy() => return,
                Ok(None) => match self.appender.append(&marks::in_doubt(mark, marks::why_open(mark, lost_until))) {
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

    /// When records were lost last that others than this process made, as far as the newest gaps tell.
    fn lost_until(&self) -> io::Result<Option<WallMicros>> {
        let gaps = Query::of(Term::Kind(RecordKind::Gap));
        let page = Search::of_indexed(&self.live).page(&gaps, &PageRequest::newest(GAPS))?;
        let is_theirs = |until: WallMicros| self.drained || until <= self.began;
        let until = |record: &Record| match record {
            Record::Gap(gap) if gap.records_lost > 0 && is_theirs(gap.until) => Some(gap.until),
            _ => None,
        };
        Ok(page.records.iter().filter_map(until).max())
    }
}
