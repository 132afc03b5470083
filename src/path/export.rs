//! Records as they were written, oldest first, whole: amendments and gaps stand for themselves, so that another store becomes the same.

use std::collections::HashSet;

use super::ask::{StoreTraces, meant};
use super::what::What;
use crate::store::{Cursor, Day, PageRequest, StoreError};
use crate::trace::{Record, RecordId, WallMicros, json};

/// Records read at once, and octets of them.
const BATCH: usize = 1024;
const BATCH_OCTETS: usize = 8 << 20;
/// Matches looked up at once.
const PAGE: usize = 1000;

/// An export under way. It ends where the store ended when it began.
#[derive(Debug)]
pub struct Export {
    traces: StoreTraces,
    /// What matches, by id; `None`: everything.
    chosen: Option<HashSet<RecordId>>,
    at: Option<Cursor>,
    end: Cursor,
}

impl Export {
    /// # Errors
    /// The store can't be read.
    pub fn begin(traces: StoreTraces, what: &What) -> Result<Self, StoreError> {
        let end = traces.store().end()?;
        let (chosen, at) = match what.is_empty() {
            true => (None, None),
            false => {
                let (chosen, oldest) = matches(&traces, what)?;
                // Little is written before its time: where a clock was ahead over midnight, here or where a log is from. What claims to be of
                // a day that hasn't come was written all the same.
                let start = oldest.map_or(Some(end), |at| format!("{}.0", Day::of(at).earlier(1).min(end.day())).parse().ok());
                (Some(chosen), start)
            }
        };
        Ok(Self { traces, chosen, at, end })
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
        let Some(chosen) = &self.chosen else { return true };
        match record {
            Record::Amendment(amendment) => chosen.contains(&amendment.of),
            record => chosen.contains(&record.id()),
        }
    }
}

/// The ids of what a search finds, and the earliest time among them.
fn matches(traces: &StoreTraces, what: &What) -> Result<(HashSet<RecordId>, Option<WallMicros>), StoreError> {
    let reading = meant(traces, what)?;
    let (mut chosen, mut oldest, mut before) = (HashSet::new(), None::<WallMicros>, None);
    loop {
        let page = reading.page(traces, &PageRequest { limit: PAGE, before })?;
        for record in &page.records {
            let at = json::Record::from(record).at().0;
            oldest = Some(oldest.map_or(at, |oldest| oldest.min(at)));
            chosen.insert(record.id());
        }
        before = page.next;
        if before.is_none() {
            return Ok((chosen, oldest));
        }
    }
}
