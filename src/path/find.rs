//! From a question to message paths: the records that match, completed by the attempts that belong to them.

use std::collections::HashSet;

use super::answer::{Answer, Hole, MessagePath};
use super::fate;
use super::gaps;
use super::join::{self, Group};
use super::never::{self, outside::Outside};
use super::reading::Reading;
use super::what::What;
use crate::store::{Field, Page, PageRequest, Query, Tally, Term};
use crate::trace::{Record, RecordId, Transaction, WallMicros};

/// Matching records looked at for one answer; further ones only set `more`.
const MATCHES: usize = 200;
/// Pages that were cut short without a match, after which a search is given up.
const PATIENCE: usize = 5;
/// Attempts fetched for one message.
const ATTEMPTS: usize = 100;
/// Recipients by which attempts without a header are looked for.
const KIN_RECIPIENTS: usize = 3;
/// How far around a message attempts without a header are looked for: a mail server's usual queue life.
const KIN_SPAN_US: u64 = 5 * 86_400_000_000;

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
    let Manner { limit, now, outside } = manner;
    for reading in what.readings() {
        let (matched, more) = matches(traces, &reading, limit)?;
        if matched.is_empty() {
            continue;
        }
        let mut groups = complete(traces, &reading.query, matched, limit)?;
        let more = more || groups.len() > limit;
        groups.truncate(limit);
        let messages: Vec<MessagePath> = groups.iter().filter_map(fate::path).collect();
        let gaps = gaps::around(traces, &messages)?;
        return Ok(Answer { query: what.text.clone(), messages, more, gaps, never_seen: None });
    }
    let never_seen = never::never_seen(traces, what, now, outside)?;
    Ok(Answer { query: what.text.clone(), messages: Vec::new(), more: false, gaps: Vec::new(), never_seen: Some(never_seen) })
}

/// The newest matches, as many as it takes to make one message more than asked for; and whether there are more.
/// Records are far apart on the disk: none is read that the answer doesn't need.
fn matches<T: Traces>(traces: &T, reading: &Reading, limit: usize) -> Result<(Vec<Transaction>, bool), T::Error> {
    let mut matched: Vec<Transaction> = Vec::new();
    let mut before = None;
    let mut in_vain = 0;
    loop {
        let page = reading.page(traces, &PageRequest { limit: (limit + 1).min(MATCHES - matched.len()), before })?;
        in_vain += usize::from(page.records.is_empty());
        matched.extend(page.records.into_iter().filter_map(transaction));
        before = page.next;
        if before.is_none() || matched.len() >= MATCHES || in_vain > PATIENCE || join::join(matched.clone()).len() > limit {
            return Ok((matched, before.is_some()));
        }
    }
}

fn transaction(record: Record) -> Option<Transaction> {
    match record {
        Record::Transaction(transaction) => Some(*transaction),
        _ => None,
    }
}

/// The messages that the matched transactions belong to, with all their attempts, newest first.
fn complete<T: Traces>(traces: &T, query: &Query, matched: Vec<Transaction>, limit: usize) -> Result<Vec<Group>, T::Error> {
    let wanted: HashSet<RecordId> = matched.iter().map(|transaction| transaction.id).collect();
    let mut known = wanted.clone();
    let mut all = matched;
    // One message more than asked for is completed, so that it is known whether there are more.
    let newest = |groups: Vec<Group>| -> Vec<Group> {
        let mut groups: Vec<Group> =
            groups.into_iter().filter(|group| group.attempts.iter().any(|(it, _)| wanted.contains(&it.id))).collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.attempts.last().map(|(it, _)| (it.at, it.id))));
        groups.truncate(limit.saturating_add(1));
        groups
    };
    let groups = newest(join::join(all));
    all = Vec::new();
    let mut asked: HashSet<String> = HashSet::from([format!("{query:?}")]);
    for group in groups {
        for query in kin(&group) {
            if asked.insert(format!("{query:?}")) {
                let page = traces.query(&query, &PageRequest::newest(ATTEMPTS))?;
                all.extend(page.records.into_iter().filter_map(transaction).filter(|it| known.insert(it.id)));
            }
        }
        all.extend(group.attempts.into_iter().map(|(it, _)| it));
    }
    Ok(newest(join::join(all)))
}

/// Queries that find the other attempts of a message: by its Message-ID, and by its envelope where no header was seen.
fn kin(group: &Group) -> Vec<Query> {
    let mut queries = Vec::new();
    let attempts = || group.attempts.iter().map(|(it, _)| it);
    if let Some(id) = attempts().find_map(|it| it.message.message_id.as_deref()) {
        queries.push(Query::of(Term::MessageId(format!("<{id}>"))));
    } else if let Some(digest) = attempts().find_map(|it| it.message.body_digest) {
        queries.push(Query::of(Term::BodyDigest(digest)));
    }
    let (Some(first), Some(last)) = (attempts().next(), attempts().next_back()) else { return queries };
    for recipient in first.envelope.recipients.iter().take(KIN_RECIPIENTS) {
        queries.push(Query {
            all: vec![
                Term::To(recipient.address.clone()),
                Term::From(first.envelope.reverse_path.clone()),
                Term::ClientIp(first.client.ip),
            ],
            since: Some(first.at.saturating_sub(KIN_SPAN_US)),
            until: Some(last.at.saturating_add(KIN_SPAN_US)),
        });
    }
    queries
}
