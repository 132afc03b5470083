//! One way to read a question: what the index is asked, and what the records found must have besides.

use std::time::{Duration, Instant};

use super::filter::Filter;
use super::find::Traces;
use crate::store::{Page, PageRequest, Query};
use crate::trace::Record;

/// A search that filters is broken off after this time; its page says so.
const PATIENCE: Duration = Duration::from_secs(5);
/// Records fetched at once where some of them will be filtered out.
const LOOKED_AT: usize = 500;

/// One way to read the words of a question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// "a Message-ID", "a queue id", …
    pub name: &'static str,
    pub query: Query,
    pub filters: Vec<Filter>,
}

impl Reading {
    /// Whether a record is an answer.
    pub fn matches(&self, record: &Record) -> bool {
        self.query.matches(record) && self.admits(record)
    }

    fn admits(&self, record: &Record) -> bool {
        self.filters.iter().all(|filter| filter.admits(record))
    }

    /// A page of the records that match, newest first.
    ///
    /// # Errors
    /// What the traces' own reading fails with.
    pub fn page<T: Traces>(&self, traces: &T, request: &PageRequest) -> Result<Page, T::Error> {
        if self.filters.is_empty() {
            return traces.query(&self.query, request);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut found = Page::default();
        let mut before = request.before;
        loop {
            let page = traces.query(&self.query, &PageRequest { limit: LOOKED_AT, before })?;
            for (index, record) in page.records.into_iter().enumerate() {
                if self.admits(&record) {
                    found.records.push(record);
                }
                if found.records.len() == request.limit {
                    // The place after the last one that was taken is only known as the end of a page of just that length.
                    found.next = traces.query(&self.query, &PageRequest { limit: index + 1, before })?.next;
                    return Ok(found);
                }
            }
            before = page.next;
            if before.is_none() || Instant::now() > deadline {
                found.cut_short = before.is_some();
                found.next = before;
                return Ok(found);
            }
        }
    }
}
