//! Answers a query: newest first, the rarest key first, every hit checked against the record.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::cursor::Cursor;
use super::day::Day;
use super::fold;
use super::index::RunView;
use super::keys::{Key, KeyKind};
use super::live::Live;
use super::query::{Page, PageRequest, Query};
use super::stored::IndexError;
use crate::trace::{Amendment, Record, RecordId};

/// A search is broken off after this time; its page says so.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a search waits for records that are written but not indexed yet.
const CATCH_UP: Duration = Duration::from_secs(1);
pub(super) struct Search<'a> {
    live: &'a Live,
    /// The neighbourhood read last.
    batch: Option<(Day, Batch)>,
}

impl<'a> Search<'a> {
    pub fn new(live: &'a Live) -> Self {
        Self { live, batch: None }
    }

    pub fn page(mut self, query: &Query, request: &PageRequest) -> io::Result<Page> {
        let mut page = Page::default();
        let deadline = Instant::now() + PATIENCE;
        let limit = request.limit.max(1);
        let mut last = None;
        let stopped = self.each(query, request.before, &mut |place, record| match record {
            Some(record) if page.records.len() < limit => {
                page.records.push(record);
                last = Some(place);
                true
            }
            // One more than asked for: there is a next page.
            Some(_) => false,
            None if Instant::now() > deadline => {
                page.cut_short = true;
                last = Some(place);
                false
            }
            None => true,
        })?;
        page.next = last.filter(|_| stopped);
        Ok(page)
    }

    /// Shows every match, newest first, to `see`, and `None` now and then with the place reached, until it returns false; whether it did.
    pub fn each(&mut self, query: &Query, before: Option<Cursor>, see: &mut dyn FnMut(Cursor, Option<Record>) -> bool) -> io::Result<bool> {
        self.catch_up();
        let clauses = query.clauses();
        for day in self.live.journal.days().into_iter().rev() {
            if before.is_some_and(|before| day.day > before.day) || !self.live.index.may_hold(day.day, query.since, query.until) {
                continue;
            }
            let end = before.filter(|before| before.day == day.day).map_or(day.end(), |before| before.number);
            for part in parts(&self.live.index.runs(day.day), end) {
                let candidates = match &part.run {
                    Some(run) if !run.may_hold(query.since, query.until) => continue,
                    Some(run) => self.unless_broken(day.day, self.candidates(run, &clauses, query, &part.numbers)),
                    None => None,
                };
                let scanning = clauses.is_empty() || candidates.is_none();
                let numbers: Box<dyn Iterator<Item = u32>> = match candidates {
                    Some(candidates) => Box::new(candidates.into_iter().rev()),
                    None => Box::new(part.numbers.clone().rev()),
                };
                for number in numbers {
                    let place = Cursor { day: day.day, number };
                    let record = self.verified(place, query, scanning)?;
                    if (record.is_some() || number % 256 == 0) && !see(place, record) {
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// The record of that id with its amendments; an amendment's id leads to what it amends.
    pub fn fetch(&mut self, id: RecordId) -> io::Result<Option<Record>> {
        self.catch_up();
        self.folded(id)
    }

    /// The same of what is indexed by now: for the index thread, which would wait for itself.
    pub fn fetch_indexed(&mut self, id: RecordId) -> io::Result<Option<Record>> {
        self.folded(id)
    }

    fn folded(&mut self, id: RecordId) -> io::Result<Option<Record>> {
        let mut base = None;
        for place in self.places_by_id(KeyKind::Id, id) {
            match self.record(place, false)? {
                Some(record) if record.id() == id => base = Some(record),
                Some(_) | None => {}
            }
        }
        match base {
            Some(Record::Amendment(amendment)) if amendment.of != id => self.folded(amendment.of),
            Some(mut base) => {
                for place in self.amendments_of(id)? {
                    if let Some(Record::Amendment(amendment)) = self.record(place, false)? {
                        fold::amend(&mut base, &amendment);
                    }
                }
                Ok(Some(base))
            }
            None => Ok(None),
        }
    }

    /// The amended record as an amendment at `place` leaves it.
    pub fn folded_for(&mut self, amendment: &Amendment) -> io::Result<Option<Record>> {
        let mut folded = self.folded(amendment.of)?;
        folded.iter_mut().for_each(|record| fold::amend(record, amendment));
        Ok(folded)
    }

    /// Waits, not for ever, until what is written now is indexed.
    fn catch_up(&self) {
        let Some(end) = self.live.end() else { return };
        self.live.index.wait_for(end, Instant::now() + CATCH_UP, || self.live.indexer.hurry());
    }

    /// Where amendments of a record stand, oldest first.
    fn amendments_of(&mut self, id: RecordId) -> io::Result<Vec<Cursor>> {
        let mut places = Vec::new();
        for place in self.places_by_id(KeyKind::Amends, id) {
            if let Some(Record::Amendment(amendment)) = self.record(place, false)?
                && amendment.of == id
            {
                places.push(place);
            }
        }
        Ok(places)
    }

    /// Every place where a record with such a key may stand, oldest first.
    fn places_by_id(&self, kind: KeyKind, id: RecordId) -> Vec<Cursor> {
        let key = Key::id(kind, id);
        let earliest = Day::of(id.unix_ms().saturating_mul(1000)).earlier(1);
        let mut places = Vec::new();
        for day in self.live.journal.days().into_iter().filter(|day| day.day >= earliest) {
            for part in parts(&self.live.index.runs(day.day), day.end()).into_iter().rev() {
                match &part.run {
                    Some(run) if kind == KeyKind::Amends && run.amendments() == 0 => {}
                    Some(run) => match self.unless_broken(day.day, self.live.index.places(run, key)) {
                        Some(found) => {
                            let first = run.first();
                            places.extend(
                                found.into_vec().into_iter().map(|place| Cursor { day: day.day, number: first + u32::from(place) }),
                            );
                        }
                        None => places.extend(part.numbers.map(|number| Cursor { day: day.day, number })),
                    },
                    None => places.extend(part.numbers.map(|number| Cursor { day: day.day, number })),
                }
            }
        }
        places
    }

    /// What the index says, or `None` if it is broken: then the journal is asked.
    fn unless_broken<T>(&self, day: Day, said: Result<T, IndexError>) -> Option<T> {
        said.inspect_err(|error| {
            self.live.index.report_broken(day, error);
            self.live.indexer.hurry();
        })
        .ok()
    }

    /// Numbers in a run that have all the keys, ascending.
    fn candidates(&self, run: &RunView, clauses: &[Vec<Key>], query: &Query, within: &Range<u32>) -> Result<Vec<u32>, IndexError> {
        let first = run.first();
        let timed = query.since.is_some() || query.until.is_some();
        let times = timed.then(|| run.times());
        let in_time = |place: u16| times.as_ref().is_none_or(|times| times.may_hold(place, query.since, query.until));
        let places = match self.live.index.places_of_all(run, clauses)? {
            Some(places) => places,
            None => (0..=u16::MAX).collect(),
        };
        let numbers = places.into_iter().filter(|&place| in_time(place)).map(|place| first + u32::from(place));
        Ok(numbers.filter(|number| within.contains(number)).collect())
    }

    /// The record at that place, folded, if it answers the query.
    fn verified(&mut self, place: Cursor, query: &Query, scanning: bool) -> io::Result<Option<Record>> {
        match self.record(place, scanning)? {
            None => Ok(None),
            // The newest word about a record stands for it: it is shown in one place only.
            Some(Record::Amendment(amendment)) => match self.amendments_of(amendment.of)?.last() {
                Some(&newest) if newest == place => Ok(self.folded(amendment.of)?.filter(|record| query.matches(record))),
                _ => Ok(None),
            },
            Some(record) if !query.matches(&record) && self.amendments_of(record.id())?.is_empty() => Ok(None),
            Some(record) => Ok(self.amendments_of(record.id())?.is_empty().then_some(record)),
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
        let batch = if scanning { day.read_back(place.number)? } else { day.read_one(place.number)? };
        let record = batch.record(place.number);
        self.batch = Some((place.day, batch));
        Ok(record)
    }
}

/// Neighbouring numbers of a day: a run, or what no run covers (yet).
struct Part {
    run: Option<RunView>,
    numbers: Range<u32>,
}

/// All numbers of a day before `end` in parts, newest first.
fn parts(runs: &[RunView], end: u32) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut done = 0;
    for run in runs {
        let (first, after) = (run.first().min(end), run.end().min(end));
        if done < first {
            parts.push(Part { run: None, numbers: done..first });
        }
        if first < after {
            parts.push(Part { run: Some(run.clone()), numbers: first..after });
        }
        done = done.max(after);
    }
    if done < end {
        parts.push(Part { run: None, numbers: done..end });
    }
    parts.reverse();
    parts
}
