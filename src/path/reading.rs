//! One way to read a question: what the store is asked.

use super::find::Traces;
use crate::store::{Page, PageRequest, Query};
use crate::trace::Record;

/// One way to read the words of a question.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// "a Message-ID", "a queue id", …
    pub name: &'static str,
    pub query: Query,
}

impl Reading {
    /// Whether a record is an answer.
    pub fn matches(&self, record: &Record) -> bool {
        self.query.matches(record)
    }

    /// A page of the records that match, newest first.
    ///
    /// # Errors
    /// What the traces' own reading fails with.
    pub fn page<T: Traces>(&self, traces: &T, request: &PageRequest) -> Result<Page, T::Error> {
        traces.query(&self.query, request)
    }
}
