//! From a question to message paths: the records that match, completed by all that belongs to them.

mod by_state;
mod collect;
mod meant;
mod pool;
mod stuck;

use super::answer::{Answer, Hole, MessagePath};
use super::fate;
use super::gaps;
use super::never::{self, outside::Outside};
use super::reading::Reading;
use super::under_way;
use super::what::What;
use super::wider;
use crate::store::{Field, Page, PageRequest, Query, Tally};
use crate::trace::{Mark, Record, WallMicros};
use collect::{Collected, Reports};
use pool::Pool;

/// Matching records looked at for one answer; further ones only set `more`.
const MATCHES: usize = 200;
/// Pages that were cut short without a match, after which a search is given up.
const PATIENCE: usize = 5;
/// What is said then.
const GIVEN_UP: &str = "Not all traces were gone through: no index says this, and it took too long. `relayscope search` goes on to the end; with \
                        since: or more of what is known it takes less.";

/// Where records come from: the store, or a stand-in.
pub trait Traces {
    type Error;

    /// Records that match, newest first.
    ///
    /// # Errors
    /// Whatever keeps the traces from being read.
    fn query(&self, query: &Query, page: &PageRequest) -> Result<Page, Self::Error>;

    /// Counts what matches, and by each of the fields.
    ///
    /// # Errors
    /// Whatever keeps the traces from being read.
    fn tally(&self, query: &Query, by: &[Field]) -> Result<Tally, Self::Error>;

    /// The times of the oldest and the newest record, if there are any.
    ///
    /// # Errors
    /// Whatever keeps the traces from being read.
    fn reach(&self) -> Result<Option<(WallMicros, WallMicros)>, Self::Error>;

    /// What is on its way now and fits, as far as is known; nothing where no proxy is adding to these traces.
    ///
    /// # Errors
    /// Whatever keeps the traces from being read.
    fn under_way(&self, _query: &Query) -> Result<Vec<Mark>, Self::Error> {
        Ok(Vec::new())
    }

    /// Whether a proxy is adding to these traces now.
    fn is_running(&self) -> bool;

    /// The hole that is being made: records are lost now.
    fn hole_now(&self) -> Option<Hole>;
}

/// How a question is to be answered.
#[derive(Clone, Copy)]
pub struct Manner<'a> {
    /// Most messages.
    pub limit: usize,
    pub now: WallMicros,
    /// Asked where nothing matches; `None`: what DNS says is left out.
    pub outside: Option<&'a dyn Outside>,
}

/// Answers a question with at most [`Manner::limit`] messages, newest first.
///
/// # Errors
/// What the traces' own reading fails with.
pub fn find<T: Traces>(traces: &T, what: &What, manner: Manner<'_>) -> Result<Answer, T::Error> {
    // First: what ends in between is found by its record then.
    let under_way = under_way::look(traces, what, manner.now)?;
    let mut answer = recorded(traces, what, manner, under_way.is_empty())?;
    answer.under_way = under_way;
    Ok(answer)
}

/// `only`: there is nothing else to answer with, and why nothing is on record is to be told.
fn recorded<T: Traces>(traces: &T, what: &What, manner: Manner<'_>, only: bool) -> Result<Answer, T::Error> {
    let mut given_up = false;
    if let Some(state) = what.path_state() {
        if let Some(answer) = by_state::find(traces, what, state, manner)? {
            return Ok(answer);
        }
    } else {
        for reading in what.readings() {
            let (matched, more) = matches(traces, &reading, manner.limit)?;
            if !matched.is_empty() {
                let collected = collect::complete(traces, matched, manner.limit, Reports::AsAsked)?;
                return answer(traces, what, collected, more, manner);
            }
            given_up |= more;
        }
    }
    let never_seen = if only { Some(never::never_seen(traces, what, manner.now, manner.outside)?) } else { None };
    let query = what.text.clone();
    let given_up = given_up.then(|| GIVEN_UP.to_owned());
    let notes = what.path_state().map(by_state::how).into_iter().chain(given_up).collect();
    Ok(Answer { query, under_way: Vec::new(), messages: Vec::new(), more: false, notes, gaps: Vec::new(), never_seen })
}

fn answer<T: Traces>(traces: &T, what: &What, mut collected: Collected, more: bool, manner: Manner<'_>) -> Result<Answer, T::Error> {
    let more = more || collected.groups.len() > manner.limit;
    collected.groups.truncate(manner.limit);
    let mut messages = paths(&collected, manner.now);
    stuck::look(traces, &mut messages, manner.now)?;
    collected.notes.extend(wider::look(traces, &mut messages, manner.now)?);
    meant::look(traces, &mut messages)?;
    let gaps = gaps::around(traces, &messages)?;
    Ok(Answer { query: what.text.clone(), under_way: Vec::new(), messages, more, notes: collected.notes, gaps, never_seen: None })
}

fn paths(collected: &Collected, now: WallMicros) -> Vec<MessagePath> {
    collected.groups.iter().filter_map(|group| fate::path(group, &collected.originals, now)).collect()
}

/// The newest matches, as many as it takes to make one message more than asked for; and whether there are more.
/// Records are far apart on the disk: none is read that the answer doesn't need.
fn matches<T: Traces>(traces: &T, reading: &Reading, limit: usize) -> Result<(Vec<Record>, bool), T::Error> {
    let mut matched: Vec<Record> = Vec::new();
    let mut before = None;
    let mut in_vain = 0;
    loop {
        let page = reading.page(traces, &PageRequest { limit: (limit + 1).min(MATCHES - matched.len()), before })?;
        let before_it = matched.len();
        matched.extend(page.records.into_iter().filter(is_of_mail));
        // What isn't mail is no answer: a scanner has many sessions, and never a message.
        in_vain += usize::from(matched.len() == before_it);
        before = page.next;
        if before.is_none() || matched.len() >= MATCHES || in_vain > PATIENCE || Pool::of(matched.clone()).groups().0.len() > limit {
            return Ok((matched, before.is_some()));
        }
    }
}

fn is_of_mail(record: &Record) -> bool {
    matches!(record, Record::Transaction(_) | Record::Log(_))
}
