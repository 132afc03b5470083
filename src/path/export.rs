//! Records as they were written, oldest first, whole: amendments and gaps stand for themselves, so that another store becomes the same.

use std::collections::HashSet;

use thiserror::Error;

use super::ask::{StoreTraces, meant};
use super::what::What;
use crate::store::{Cursor, Day, PageRequest, Query, StoreError};
use crate::trace::{Record, RecordId, WallMicros, json};

/// Records read at once, and octets of them.
const BATCH: usize = 1024;
const BATCH_OCTETS: usize = 8 << 20;
/// Matches looked up at once.
const PAGE: usize = 1000;
/// Most records that a question may pick out: their ids are kept while the journal is gone through.
const MOST: usize = 1_000_000;

/// Why there is no export.
#[derive(Debug, Error)]
pub enum ExportError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(
        "more than {most} records match, which is more than an export picks out: ask for one span of time after the other (since: until:), or export everything"
    )]
    TooMany { most: usize },
    #[error("the export was broken off before it began: nobody waits for it, or the proxy is stopping")]
    Abandoned,
}

/// Which records are in it.
#[derive(Debug)]
enum Choice {
    All,
    /// Those of that time.
    Within(Query),
    /// Those that match, by id.
    These(HashSet<RecordId>),
}

/// An export under way. It ends where the store ended when it began.
#[derive(Debug)]
pub struct Export {
    traces: StoreTraces,
    choice: Choice,
    at: Option<Cursor>,
    end: Cursor,
}

impl Export {
    /// `is_wanted` is asked from time to time while what matches is looked up.
    ///
    /// # Errors
    /// The store can't be read, too much matches, or nobody wants it any more.
    pub fn begin(traces: StoreTraces, what: &What, is_wanted: &dyn Fn() -> bool) -> Result<Self, ExportError> {
        Self::begin_with(traces, what, MOST, is_wanted)
    }

    fn begin_with(traces: StoreTraces, what: &What, most: usize, is_wanted: &dyn Fn() -> bool) -> Result<Self, ExportError> {
        let end = traces.store().end()?;
        // Little is written before its time: where a clock was ahead over midnight, here or where a log is from. What claims to be of a day
        // that hasn't come was written all the same.
        let from = |at: WallMicros| Cursor::at_start_of(Day::of(at).earlier(1).min(end.day()));
        let (choice, at) = match (what.is_empty(), what.since, what.until) {
            (true, None, None) => (Choice::All, None),
            (true, since, until) => (Choice::Within(Query { since, until, ..Query::default() }), since.map(from)),
            (false, ..) => {
                let (chosen, oldest) = matches(&traces, what, most, is_wanted)?;
                (Choice::These(chosen), Some(oldest.map_or(end, from)))
            }
        };
        Ok(Self { traces, choice, at, end })
    }

    /// Whether it holds what it picks out in memory: it is not for many at once.
    pub fn picks_out(what: &What) -> bool {
        !what.is_empty()
    }

    /// The next lines of NDJSON, perhaps none; or `None` at the end.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn next_lines(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        if self.at.is_some_and(|at| self.traces.store().earlier(self.end, at) == self.end) {
            return Ok(None);
        }
        let (records, next, _) = self.traces.store().follow_within(self.at, BATCH, BATCH_OCTETS)?;
        if records.is_empty() {
            return Ok(None);
        }
        self.at = Some(next);
        let mut lines = Vec::with_capacity(records.len() * 2048);
        for record in records.iter().filter(|record| self.is_chosen(record)) {
            let start = lines.len();
            match serde_json::to_writer(&mut lines, &json::Record::from(record)) {
                Ok(()) => lines.push(b'\n'),
                // Into memory, and every map has text for keys: it can't fail.
                Err(error) => {
                    lines.truncate(start);
                    tracing::error!(%error, id = %record.id(), "a record could not be written as JSON");
                }
            }
        }
        Ok(Some(lines))
    }

    fn is_chosen(&self, record: &Record) -> bool {
        match (&self.choice, record) {
            (Choice::All, _) => true,
            (Choice::Within(span), Record::Amendment(amendment)) => may_be_within(span, amendment.of),
            (Choice::Within(span), record) => span.matches(record),
            (Choice::These(chosen), Record::Amendment(amendment)) => chosen.contains(&amendment.of),
            (Choice::These(chosen), record) => chosen.contains(&record.id()),
        }
    }
}

/// By the time in its id, which is the record's own in whole milliseconds.
fn may_be_within(span: &Query, id: RecordId) -> bool {
    let (first, after) = (id.unix_ms().saturating_mul(1000), id.unix_ms().saturating_add(1).saturating_mul(1000));
    span.since.is_none_or(|since| since < after) && span.until.is_none_or(|until| first < until)
}

/// The ids of what a search finds, and the earliest time among them.
fn matches(
    traces: &StoreTraces,
    what: &What,
    most: usize,
    is_wanted: &dyn Fn() -> bool,
) -> Result<(HashSet<RecordId>, Option<WallMicros>), ExportError> {
    let reading = meant(traces, what)?;
    let (mut chosen, mut oldest, mut before) = (HashSet::new(), None::<WallMicros>, None);
    loop {
        if !is_wanted() {
            return Err(ExportError::Abandoned);
        }
        let page = reading.page(traces, &PageRequest { limit: PAGE, before })?;
        for record in &page.records {
            let at = json::Record::from(record).at().0;
            oldest = Some(oldest.map_or(at, |oldest| oldest.min(at)));
            chosen.insert(record.id());
        }
        if chosen.len() > most {
            return Err(ExportError::TooMany { most });
        }
        before = page.next;
        if before.is_none() {
            return Ok((chosen, oldest));
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::store::{Options, Store, samples};
    use crate::trace::State;
    use crate::trace::json::Time;

    /// Ten transactions, of the third of which something became known later.
    fn traces(dir: &std::path::Path) -> StoreTraces {
        let store = Store::open(Options::new(dir)).unwrap().store;
        let mut records: Vec<Record> = (1..=10).map(samples::transaction).collect();
        records.push(samples::amendment(3, 50, State::Deferred));
        store.take_in(&records).unwrap();
        StoreTraces::new(store, false)
    }

    fn what(question: &str) -> What {
        What::parse(question, Timestamp::now(), &TimeZone::UTC).unwrap()
    }

    fn exported(traces: &StoreTraces, question: &str) -> Vec<RecordId> {
        let mut export = Export::begin(traces.clone(), &what(question), &|| true).unwrap();
        let mut lines = Vec::new();
        while let Some(more) = export.next_lines().unwrap() {
            lines.extend(more);
        }
        let lines = lines.split(|&octet| octet == b'\n').filter(|line| !line.is_empty());
        lines.map(|line| Record::try_from(json::read(line).unwrap()).unwrap().id()).collect()
    }

    #[test]
    fn times_alone_pick_out_records_and_what_became_known_of_them() {
        let dir = tempfile::tempdir().unwrap();
        let traces = traces(dir.path());
        let ids = |numbers: std::ops::RangeInclusive<u64>| numbers.map(samples::id).collect::<Vec<_>>();
        let time = |number: u64| Time(json::Record::from(&samples::transaction(number)).at().0);
        assert_eq!(exported(&traces, ""), [ids(1..=10), ids(50..=50)].concat());
        assert_eq!(exported(&traces, &format!("since:{}", time(5))), ids(5..=10));
        assert_eq!(exported(&traces, &format!("since:{} until:{}", time(3), time(5))), [ids(3..=4), ids(50..=50)].concat());
        assert_eq!(exported(&traces, &format!("until:{}", time(3))), ids(1..=2));
        assert_eq!(exported(&traces, "since:2100-01-01"), []);
        traces.store().clone().close();
    }

    #[test]
    fn what_a_question_picks_out_is_bounded_and_given_up_when_nobody_waits() {
        let dir = tempfile::tempdir().unwrap();
        let traces = traces(dir.path());
        let begin = |most: usize, wanted: bool| Export::begin_with(traces.clone(), &what("kind:transaction"), most, &|| wanted);
        assert!(begin(10, true).is_ok());
        assert!(matches!(begin(9, true), Err(ExportError::TooMany { most: 9 })));
        assert!(matches!(begin(10, false), Err(ExportError::Abandoned)));
        traces.store().clone().close();
    }
}
