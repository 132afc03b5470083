//! Answers a query: newest first, the rarest term first, every hit checked against the record.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::answering::{Asking, Met, Set};
use super::batch::{self, Batch};
use super::cursor::Cursor;
use super::day::Day;
use super::history::History;
use super::index::RunView;
use super::index::lookup::Lookup;
use super::index::places::Places;
use super::index::terms::{self, TermKind};
use super::journal::DayJournal;
use super::kept::Kept;
use super::live::Live;
use super::plan::{Plan, Planner};
use super::query::{Page, PageRequest, Query};
use super::unindexed::Unindexed;
use crate::trace::{Record, RecordId, RecordKind, Reply, WallMicros};

/// A search is broken off after this time; its page says so.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a search waits for records that are written but not indexed yet.
const CATCH_UP: Duration = Duration::from_secs(1);

/// Most records that are looked at for what amends others, how many of them in one go, and how long.
const LOOKED_THROUGH: u32 = 100_000;
const LOOKED_AT: u32 = 1_024;
const LOOKING: Duration = Duration::from_secs(1);
/// So many records without an index are simply looked at.
const FEW: usize = 64;
/// A page of huge records ends before its limit.
const PAGE_OCTETS: usize = 32 << 20;

pub(super) struct Search<'a> {
    pub live: &'a Live,
    /// How much of each record is read.
    part: batch::Part,
    /// The neighbourhood gone through last.
    batch: Option<(Day, Batch)>,
    /// Those that the index led to.
    pub kept: Kept,
    pub explained: Explained,
    met: Vec<Met>,
    /// Records whose later words were met where no index reaches.
    amended: HashSet<RecordId>,
    unindexed: Unindexed,
    /// What is not indexed yet isn't looked at: it comes after what is.
    unindexed_are: Gaps,
}

/// How a query was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explained {
    /// Each thing that was looked for in the index.
    pub finds: Vec<Find>,
    /// Parts of the index that were asked, and those passed by for their times.
    pub runs_asked: u64,
    pub runs_passed_by: u64,
    /// Records that the index named, and those of them that were read.
    pub candidates: u64,
    pub records_read: u64,
    /// Records that no index covered, or could say nothing of: gone through one by one.
    pub records_gone_through: u64,
    /// Records that the search has behind it, of all that it may have to pass.
    pub passed: u64,
    pub of: u64,
    pub took: Duration,
}

/// One thing that was looked for in the index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Find {
    pub what: String,
    pub runs: u64,
    /// Postings that stand for it in the runs asked.
    pub records: u64,
}

/// A part of a day, and what the index says of it.
pub(super) struct Part {
    pub day: Day,
    pub run: Option<RunView>,
    pub numbers: Range<u32>,
    /// What may fit; `None` where there is no index.
    pub set: Option<Set>,
}

/// Records that no index leads to.
#[derive(Debug)]
enum Gaps {
    GoneThrough,
    PassedOver,
    /// Only those from these numbers of these days on.
    PassedOverSince(Vec<(Day, u32)>),
}

impl Gaps {
    fn is_passed_over(&self, day: Day, first: u32) -> bool {
        match self {
            Self::GoneThrough => false,
            Self::PassedOver => true,
            Self::PassedOverSince(ends) => ends.iter().any(|(of, end)| *of == day && first >= *end),
        }
    }
}

impl<'a> Search<'a> {
    pub fn new(live: &'a Live) -> Self {
        Self {
            live,
            part: batch::Part::Whole,
            batch: None,
            kept: Kept::default(),
            explained: Explained::default(),
            met: Vec::new(),
            amended: HashSet::new(),
            unindexed: Unindexed::default(),
            unindexed_are: Gaps::GoneThrough,
        }
    }

    /// For one of several questions: no dialogues, and what the others have read need not be read again.
    pub fn of_several(live: &'a Live, kept: Kept) -> Self {
        Self { part: batch::Part::Summary, kept, ..Self::new(live) }
    }

    /// For those who can't wait for the index: the one who makes it, to see what came before, and the keeper.
    pub fn of_indexed(live: &'a Live) -> Self {
        Self { unindexed_are: Gaps::PassedOver, ..Self::new(live) }
    }

    /// For what the index had reached then, and all that is missing before: an older day's may be made anew meanwhile.
    pub fn of_what_was_there(live: &'a Live, ends: Vec<(Day, u32)>) -> Self {
        Self { unindexed_are: Gaps::PassedOverSince(ends), ..Self::new(live) }
    }

    pub fn page(&mut self, query: &Query, request: &PageRequest) -> io::Result<Page> {
        let mut page = Page::default();
        let begun = Instant::now();
        // From the first record on: what is waited for before that has its own time.
        let mut deadline = None;
        let limit = request.limit.max(1);
        let (mut last, mut octets) = (None, 0);
        let stopped = self.each(query, request.before, &mut |place, record| match record {
            Some(record) if page.records.len() < limit && octets < PAGE_OCTETS => {
                octets += weight(&record);
                page.records.push(record);
                last = Some(place);
                true
            }
            // One more than asked for, or than is good for the memory: there is a next page.
            Some(_) => false,
            None if Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + PATIENCE) => {
                page.cut_short = true;
                last = Some(place);
                false
            }
            None => true,
        })?;
        page.next = last.filter(|_| stopped);
        self.explained.took = begun.elapsed();
        page.explained = std::mem::take(&mut self.explained);
        Ok(page)
    }

    /// Shows every match, newest first, to `see`, and `None` now and then with the place reached, until it returns false; whether it did.
    pub fn each(&mut self, query: &Query, before: Option<Cursor>, see: &mut dyn FnMut(Cursor, Option<Record>) -> bool) -> io::Result<bool> {
        self.parts(query, before, &mut |search, part| {
            // Where nothing matches the clock must be looked at as well.
            Ok(search.each_in(query, part, see)? || !see(Cursor { day: part.day, number: part.numbers.start }, None))
        })
    }

    /// Shows every part that may hold a match, newest first, until `see` returns true; whether it did.
    pub fn parts(
        &mut self,
        query: &Query,
        before: Option<Cursor>,
        see: &mut dyn FnMut(&mut Self, &Part) -> io::Result<bool>,
    ) -> io::Result<bool> {
        if let (false, Some(before)) = (self.catch_up(), before) {
            self.meet_amendments(before, LOOKED_THROUGH, Instant::now() + LOOKING)?;
        }
        let mut planner = Planner::default();
        let plan = planner.plan(query);
        self.met = vec![Met::default(); planner.said.len()];
        let mut days = self.live.journal.days();
        days.retain(|day| before.is_none_or(|before| day.day <= before.day) && self.live.index.may_hold(day, query.since, query.until));
        let end_of =
            |day: &DayJournal| before.filter(|before| before.day == day.day).map_or(day.end(), |before| before.number.min(day.end()));
        self.explained.of = days.iter().map(|day| u64::from(end_of(day))).sum();
        let mut stopped = false;
        'days: for day in days.into_iter().rev() {
            for (run, numbers) in cut(&self.live.index.runs(day.day), end_of(&day)) {
                let length = u64::from(numbers.end - numbers.start);
                if run.as_ref().is_some_and(|run| !run.may_hold(query.since, query.until)) {
                    self.explained.runs_passed_by += 1;
                } else {
                    let set = run.as_ref().and_then(|run| self.ask(day.day, run, &plan));
                    let part = Part { day: day.day, run, numbers, set };
                    stopped = see(self, &part)?;
                }
                if stopped {
                    break 'days;
                }
                self.explained.passed += length;
            }
        }
        let finds = planner.said.into_iter().zip(&self.met);
        self.explained.finds = finds.map(|(what, met)| Find { what, runs: met.runs, records: met.records }).collect();
        Ok(stopped)
    }

    /// The records whose later words were met so far where no index reaches: what the index says of them isn't the last word.
    pub fn amended(&self) -> &HashSet<RecordId> {
        &self.amended
    }

    /// Meets those that stand from there on, as the pages before this one did when they were made; the newest first, as far as it may go.
    pub fn meet_amendments(&mut self, from: Cursor, mut left: u32, deadline: Instant) -> io::Result<()> {
        for day in self.live.journal.days().into_iter().rev().take_while(|day| day.day >= from.day) {
            let first = if day.day == from.day { from.number } else { 0 };
            for (_, numbers) in cut(&self.live.index.runs(day.day), day.end()).into_iter().filter(|(run, _)| run.is_none()) {
                let (first, mut end) = (numbers.start.max(first), numbers.end);
                while first < end {
                    if left == 0 || Instant::now() > deadline {
                        return Ok(());
                    }
                    let start = first.max(end.saturating_sub(LOOKED_AT.min(left)));
                    self.meet_amendments_in(&day, start..end)?;
                    (left, end) = (left.saturating_sub(end - start), start);
                }
            }
        }
        Ok(())
    }

    fn meet_amendments_in(&mut self, day: &DayJournal, numbers: Range<u32>) -> io::Result<()> {
        let mut at = numbers.start;
        while at < numbers.end {
            let batch = day.read_part(at, batch::Part::Summary)?;
            for slot in batch.slots().iter().filter(|slot| slot.kind == RecordKind::Amendment) {
                if let Some(Record::Amendment(amendment)) = batch.decode(slot) {
                    self.amended.insert(amendment.of);
                }
            }
            at = batch.numbers().end.max(at.saturating_add(1));
        }
        Ok(())
    }

    /// What the index says, or `None` if it is broken: then the journal is asked.
    fn ask(&mut self, day: Day, run: &RunView, plan: &Plan) -> Option<Set> {
        self.explained.runs_asked += 1;
        let set = Asking { index: &self.live.index, run, met: &mut self.met }.answer(plan);
        self.unless_broken(day, run, set)
    }

    pub fn unless_broken<T>(&self, day: Day, run: &RunView, said: io::Result<T>) -> Option<T> {
        said.inspect_err(|error| {
            if let RunView::Stored(_, run) = run {
                self.live.index.report_broken(day, run, error);
                self.live.indexer.hurry();
            }
        })
        .ok()
    }

    fn each_in(&mut self, query: &Query, part: &Part, see: &mut dyn FnMut(Cursor, Option<Record>) -> bool) -> io::Result<bool> {
        let superseded = self.live.index.superseded(part.day);
        let is_superseded = |number: u32| superseded.as_ref().is_some_and(|places| places.contains(number));
        let times = part.run.as_ref().filter(|_| query.since.is_some() || query.until.is_some()).map(RunView::times);
        let first = part.run.as_ref().map_or(part.numbers.start, RunView::first);
        let may_be = |number: u32| times.as_ref().is_none_or(|times| times.may_hold(number - first, query.since, query.until));
        let places = part.set.as_ref().and_then(|set| set.places.as_ref());
        let scanning = places.is_none();
        let numbers: Box<dyn Iterator<Item = u32>> = match places {
            Some(places) => Box::new(places.iter().rev().map(|place| first + place).filter(|number| part.numbers.contains(number))),
            None => Box::new(part.numbers.clone().rev()),
        };
        self.explained.candidates += places.map_or(0, Places::len);
        let begun = self.explained.passed;
        for (seen, number) in numbers.enumerate() {
            let place = Cursor { day: part.day, number };
            self.explained.passed = begun + u64::from(part.numbers.end - number);
            let record = match may_be(number) && !is_superseded(number) {
                true => self.verified(place, query, scanning)?,
                false => None,
            };
            if (record.is_some() || seen % 64 == 63) && !see(place, record) {
                return Ok(true);
            }
        }
        self.explained.passed = begun;
        Ok(false)
    }

    /// The record of that id with its amendments; an amendment's id leads to what it amends.
    pub fn fetch(&mut self, id: RecordId) -> io::Result<Option<Record>> {
        self.catch_up();
        let history = self.history(id)?;
        match &history.base {
            Some(Record::Amendment(amendment)) => Ok(self.history(amendment.of)?.folded()),
            _ => Ok(history.folded()),
        }
    }

    /// A record and what became known of it, as far as it is indexed.
    pub fn history(&mut self, id: RecordId) -> io::Result<History> {
        let history = self.history_since(id, Some(self.earliest(id)))?;
        if history.base.is_some() {
            return Ok(history);
        }
        // A record may tell of a time that was still to come when it was written: a clock was wrong, here or where a log is from. Where no
        // index leads, days on which it hardly stands aren't gone through for it.
        let unindexed_are = std::mem::replace(&mut self.unindexed_are, Gaps::PassedOver);
        let anywhere = self.history_since(id, None);
        self.unindexed_are = unindexed_are;
        anywhere
    }

    fn history_since(&mut self, id: RecordId, earliest: Option<Day>) -> io::Result<History> {
        let mut history = History::default();
        for place in self.places_since(TermKind::Id, id, earliest)? {
            if let Some(record) = self.record(place, false)?
                && record.id() == id
            {
                history.base = Some(record);
                history.places.push(place);
            }
        }
        for place in self.places_since(TermKind::Amends, id, earliest)? {
            if let Some(Record::Amendment(amendment)) = self.record(place, false)?
                && amendment.of == id
            {
                history.amendments.push((place, *amendment));
                history.places.push(place);
            }
        }
        let laps = self.live.journal.laps();
        history.amendments.sort_by(|(one, _), (other, _)| laps.compare(*one, *other));
        Ok(history)
    }

    /// Whether there is a record of that id, as far as is indexed; of one with a time to come, on whatever day it was written.
    pub fn has(&mut self, id: RecordId, now: WallMicros) -> io::Result<bool> {
        let is_to_come = id.unix_ms() > now / 1_000;
        let earliest = if is_to_come { None } else { Some(self.earliest(id)) };
        for place in self.places_since(TermKind::Id, id, earliest)? {
            // With its neighbours: whoever asks for one asks for those before it as well.
            if self.record(place, true)?.is_some_and(|record| record.id() == id) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits, not for ever, until what is written now is indexed; whether it is.
    pub fn catch_up(&self) -> bool {
        if matches!(self.unindexed_are, Gaps::PassedOver) {
            return true;
        }
        self.live.index.wait_for(&self.live.journal.written(), Instant::now() + CATCH_UP, || self.live.indexer.hurry())
    }

    /// The first day on which a record of that id, or something about it, can stand.
    fn earliest(&self, id: RecordId) -> Day {
        self.live.journal.laps().earliest_behind(Day::of(id.unix_ms().saturating_mul(1000)).earlier(1))
    }

    /// Every place from that day on where a record with such a term may stand, day by day.
    fn places_since(&mut self, kind: TermKind, id: RecordId, earliest: Option<Day>) -> io::Result<Vec<Cursor>> {
        let lookup = Lookup::Term(terms::of_id(kind, id));
        let mut places = Vec::new();
        for day in self.live.journal.days().into_iter().filter(|day| earliest.is_none_or(|earliest| day.day >= earliest)) {
            let at = |number: u32| Cursor { day: day.day, number };
            for (run, numbers) in cut(&self.live.index.runs(day.day), day.end()).into_iter().rev() {
                match &run {
                    Some(run) if kind == TermKind::Amends && run.amendments() == 0 => {}
                    Some(run) => {
                        let found = self.live.index.ask(run, &lookup).and_then(|answer| answer.places());
                        match self.unless_broken(day.day, run, found) {
                            Some(found) => places.extend(found.into_iter().map(|place| at(run.first() + place))),
                            None => places.extend(numbers.map(at)),
                        }
                    }
                    None if self.unindexed_are.is_passed_over(day.day, numbers.start) => {}
                    None if numbers.len() < FEW => places.extend(numbers.map(at)),
                    None => places.extend(self.unindexed.places(self.live, day.day, numbers, kind, id)?.into_iter().map(at)),
                }
            }
        }
        Ok(places)
    }

    /// The record at that place, folded, if it answers the query.
    pub fn verified(&mut self, place: Cursor, query: &Query, scanning: bool) -> io::Result<Option<Record>> {
        self.explained.records_read += 1;
        self.explained.records_gone_through += u64::from(scanning);
        match self.record(place, scanning)? {
            None => Ok(None),
            // The newest word about a record stands for it: it is shown in one place only.
            Some(Record::Amendment(amendment)) => {
                if scanning {
                    self.amended.insert(amendment.of);
                }
                let history = self.history(amendment.of)?;
                let is_newest = history.newest().is_some_and(|newest| newest.id == amendment.id);
                let folded = if is_newest { history.folded() } else { None };
                Ok(folded.filter(|record| query.matches_one_that_was(record, &history.states())))
            }
            Some(record) => Ok(Some(record).filter(|record| query.matches(record) && !self.amended.contains(&record.id()))),
        }
    }

    fn record(&mut self, place: Cursor, scanning: bool) -> io::Result<Option<Record>> {
        if let Some((day, batch)) = &self.batch
            && *day == place.day
            && batch.numbers().contains(&place.number)
        {
            return Ok(batch.record(place.number));
        }
        let Some(day) = self.live.journal.day(place.day) else { return Ok(None) };
        if let Some(batch) = self.kept.get(&day, place) {
            return Ok(batch.record(place.number));
        }
        let batch = if scanning { day.read_back_part(place.number, self.part)? } else { day.read_one_part(place.number, self.part)? };
        let record = batch.record(place.number);
        match scanning {
            true => self.batch = Some((place.day, batch)),
            false => self.kept.put(&day, batch),
        }
        Ok(record)
    }
}

/// What a record takes in memory, about: most of it where it has many recipients or a long dialogue.
pub(super) fn weight(record: &Record) -> usize {
    let lines = |reply: Option<&Reply>| reply.map_or(0, |reply| reply.lines.iter().map(|line| line.len() + 24).sum());
    match record {
        Record::Transaction(it) => {
            let recipients = it.envelope.recipients.iter();
            let recipients: usize = recipients.map(|recipient| 256 + recipient.address.len() + lines(recipient.reply.as_ref())).sum();
            4096 + recipients + it.timeline.octets()
        }
        Record::Session(it) => 4096 + it.timeline.octets(),
        Record::Amendment(_) | Record::Gap(_) | Record::Mark(_) | Record::Log(_) | Record::Audit(_) | Record::Incident(_) => 4096,
    }
}

/// All numbers of a day before `end` in parts, newest first: runs, and what no run covers (yet).
fn cut(runs: &[RunView], end: u32) -> Vec<(Option<RunView>, Range<u32>)> {
    let mut parts = Vec::new();
    let mut done = 0;
    for run in runs {
        let (first, after) = (run.first().min(end), run.end().min(end));
        if done < first {
            parts.push((None, done..first));
        }
        if first < after {
            parts.push((Some(run.clone()), first..after));
        }
        done = done.max(after);
    }
    if done < end {
        parts.push((None, done..end));
    }
    parts.reverse();
    parts
}
