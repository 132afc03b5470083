//! Completes what matched: retries, hops, reports and lines of logs that belong to the same messages. Bounded, and what is left out is said.

use std::collections::{HashMap, HashSet};

use super::super::join::{Group, NEAR_US, QUEUE_LIFE_US, ended_at, is_headerless, quoted, refused};
use super::Traces;
use super::pool::Pool;
use crate::store::{PageRequest, Query, Term};
use crate::trace::{Flag, Record, RecordId, RecordKind, State, Transaction};

/// Records fetched for one id.
const ATTEMPTS: usize = 100;
/// Records fetched at once for several ids; where there are more, each id is asked for by itself.
const AT_ONCE: usize = 400;
/// Recipients by which attempts without a header, and reports without ids, are looked for.
const KIN_RECIPIENTS: usize = 3;
/// The same, over all attempts: a server may send to each recipient by itself.
const MORE_RECIPIENTS: usize = 6;
/// A queue id leads to another server's log, and that to the next: so many steps are followed.
const ROUNDS: usize = 3;
/// Records gathered for one answer.
const MOST_RECORDS: usize = 2_000;
/// An attempt whose refusal is in a log began at most this long before.
const SLOW_US: u64 = 120_000_000;
/// Ids of one message that are followed.
const IDS: usize = 20;

/// The messages that matched, newest first, one more than asked for if there are more.
#[derive(Debug, Default)]
pub struct Collected {
    pub groups: Vec<Group>,
    /// Of each report that counts, a transaction of the message that it is about.
    pub originals: HashMap<RecordId, RecordId>,
    pub notes: Vec<String>,
}

/// The messages that the matched records belong to, with all that is known of them.
pub fn complete<T: Traces>(traces: &T, matched: Vec<Record>, limit: usize, reports: Reports) -> Result<Collected, T::Error> {
    let wanted: HashSet<RecordId> = matched.iter().map(Record::id).collect();
    let mut pool = Pool::of(matched);
    let mut asked: HashSet<String> = HashSet::new();
    let mut notes = Vec::new();
    for _ in 0..ROUNDS {
        let groups = newest(pool.groups().0, &wanted, limit, reports);
        let mut found = false;
        for class in CLASSES {
            let questions: Vec<Question> = groups.iter().flat_map(class).filter(|question| asked.insert(question.key())).collect();
            let room = MOST_RECORDS.saturating_sub(pool.len());
            found |= pool.add(fetch(traces, &questions, room, &mut notes)?);
        }
        if !found {
            break;
        }
    }
    let (groups, originals) = pool.groups();
    Ok(Collected { groups: newest(groups, &wanted, limit, reports), originals, notes })
}

/// How a report that matched is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reports {
    /// With the message that it is about, if that matched too; otherwise by itself.
    AsAsked,
    /// With the message that it is about, wherever that is known.
    WithMessage,
}

/// The groups in which something matched.
fn newest(groups: Vec<Group>, wanted: &HashSet<RecordId>, limit: usize, reports: Reports) -> Vec<Group> {
    let own = |group: &Group| {
        group.transactions().any(|it| wanted.contains(&it.id)) || group.logs.iter().any(|line| wanted.contains(&line.log.id))
    };
    let brings = |group: &Group| reports == Reports::WithMessage && group.reports.iter().any(|it| wanted.contains(&it.transaction.id));
    let told: HashSet<RecordId> = groups
        .iter()
        .filter(|group| own(group) || brings(group))
        .flat_map(|group| &group.reports)
        .map(|told| told.transaction.id)
        .collect();
    let is_told = |group: &Group| group.transactions().any(|it| told.contains(&it.id));
    let mut groups: Vec<Group> = groups.into_iter().filter(|group| (own(group) && !is_told(group)) || brings(group)).collect();
    groups.sort_by_key(|group| std::cmp::Reverse((group.last_at(), group.attempts.last().map(|it| it.transaction.id))));
    groups.truncate(limit.saturating_add(1));
    groups
}

/// One thing that the store is asked for, and when it may have been.
#[derive(Debug)]
struct Question {
    term: Term,
    since: u64,
    until: u64,
    /// Of so short a time that the same may be asked again of another.
    of_moment: bool,
}

impl Question {
    fn key(&self) -> String {
        let moment = if self.of_moment { self.since } else { 0 };
        format!("{:?} {moment}", self.term)
    }
}

/// All of them in one query, or where that overflows each by itself.
fn fetch<T: Traces>(traces: &T, questions: &[Question], room: usize, notes: &mut Vec<String>) -> Result<Vec<Record>, T::Error> {
    let (Some(since), Some(until)) = (questions.iter().map(|it| it.since).min(), questions.iter().map(|it| it.until).max()) else {
        return Ok(Vec::new());
    };
    let terms: Vec<Term> = questions.iter().map(|question| question.term.clone()).collect();
    if terms.len() > 1 {
        let query = Query { all: vec![Term::Any(terms)], since: Some(since), until: Some(until) };
        let page = traces.query(&query, &PageRequest::newest(AT_ONCE))?;
        if page.next.is_none() {
            return Ok(page.records);
        }
    }
    let mut records = Vec::new();
    for question in questions {
        if records.len() >= room {
            let note = format!("more than {MOST_RECORDS} records have to do with these messages: some attempts may be missing");
            if !notes.contains(&note) {
                notes.push(note);
            }
            break;
        }
        let query = Query { all: vec![question.term.clone()], since: Some(question.since), until: Some(question.until) };
        let page = traces.query(&query, &PageRequest::newest(ATTEMPTS))?;
        if page.next.is_some() && notes.len() < IDS {
            notes.push(format!(
                "more than {ATTEMPTS} records have {}: only the newest around this time were looked at",
                said(&question.term)
            ));
        }
        records.extend(page.records);
    }
    Ok(records)
}

fn said(term: &Term) -> String {
    match term {
        Term::MessageId(id) => format!("the Message-ID {id}"),
        Term::QueueId(id) => format!("the queue id {id}"),
        Term::ReportOf(id) => format!("to do with reports about {id}"),
        _ => "the same sender and recipients".to_owned(),
    }
}

type Class = fn(&Group) -> Vec<Question>;

/// What is asked for, one class at a time: together they take the store longer, and one would crowd out another.
const CLASSES: [Class; 5] = [same_message, same_queue_id, same_envelope, same_refusal, reports];

fn span(group: &Group) -> (u64, u64) {
    let starts = group.transactions().map(|it| it.at).chain(group.logs.iter().map(|line| line.log.at));
    let ends = group.transactions().map(ended_at).chain(group.logs.iter().map(|line| line.log.at));
    (starts.min().unwrap_or(0).saturating_sub(QUEUE_LIFE_US), ends.max().unwrap_or(0).saturating_add(QUEUE_LIFE_US))
}

fn around(group: &Group, terms: impl IntoIterator<Item = Term>) -> Vec<Question> {
    let (since, until) = span(group);
    terms.into_iter().map(|term| Question { term, since, until, of_moment: false }).collect()
}

fn report(group: &Group) -> Option<(&crate::trace::Report, &Transaction)> {
    group.transactions().find_map(|it| Some((it.message.report.as_deref()?, it)))
}

/// By Message-ID, or by the octets where there is none; of a report also the message that it is about.
fn same_message(group: &Group) -> Vec<Question> {
    let mut terms = Vec::new();
    if let Some(id) = group.message_id() {
        terms.push(Term::MessageId(format!("<{id}>")));
    } else if let Some(digest) = group.transactions().find_map(|it| it.message.body_digest) {
        terms.push(Term::BodyDigest(digest));
    }
    if let Some((report, _)) = report(group) {
        terms.extend(report.original_message_id.iter().map(|id| Term::MessageId(format!("<{}>", id.trim_matches(['<', '>'])))));
    }
    around(group, terms)
}

/// What servers before and behind say of it, and where it came by again.
fn same_queue_id(group: &Group) -> Vec<Question> {
    let mut ids: Vec<&str> = Vec::new();
    let of_report = report(group).into_iter().flat_map(|(it, _)| [it.queue_id.as_deref(), it.envid.as_deref()]).flatten();
    for id in group.queue_ids().chain(of_report) {
        if !ids.contains(&id) && ids.len() < IDS {
            ids.push(id);
        }
    }
    around(group, ids.into_iter().map(|id| Term::QueueId(id.to_owned())))
}

/// Attempts that ended before any header was seen; of a report without ids the messages that it may be about.
fn same_envelope(group: &Group) -> Vec<Question> {
    let mut terms = Vec::new();
    let to = |addresses: Vec<&String>| Term::Any(addresses.into_iter().map(|to| Term::To(to.clone())).collect());
    // The null sender is everybody's: a report's attempts find each other by Message-ID.
    let mut recipients: Vec<&String> = Vec::new();
    for it in group.transactions().flat_map(|it| it.envelope.recipients.iter().take(KIN_RECIPIENTS)) {
        if recipients.len() < MORE_RECIPIENTS && !recipients.contains(&&it.address) {
            recipients.push(&it.address);
        }
    }
    if let Some(first) = group.transactions().next()
        && !recipients.is_empty()
        && (!first.envelope.reverse_path.is_empty() || group.message_id().is_none())
    {
        terms.push(Term::All(vec![to(recipients), Term::From(first.envelope.reverse_path.clone()), Term::ClientIp(first.client.ip)]));
    }
    if let Some((report, brought)) = report(group)
        && report.original_message_id.is_none()
        && let Some(sender) = brought.envelope.recipients.first()
        && !report.recipients.is_empty()
    {
        let on = report.recipients.iter().take(KIN_RECIPIENTS).map(|it| it.original.as_ref().unwrap_or(&it.address)).collect();
        terms.push(Term::All(vec![to(on), Term::From(sender.address.clone())]));
    }
    around(group, terms)
}

/// What no id ties: of a refusal before any header the lines of logs on it, and of such lines the attempt.
fn same_refusal(group: &Group) -> Vec<Question> {
    let at = |term: Vec<Term>, since: u64, until: u64| Question { term: Term::All(term), since, until, of_moment: true };
    let mut questions = Vec::new();
    for it in group.transactions().rev().filter(|it| is_headerless(it)) {
        let refused = it.envelope.recipients.iter().filter(|recipient| recipient.state != State::Accepted);
        let (since, until) = (it.at.saturating_sub(NEAR_US), ended_at(it).saturating_add(NEAR_US));
        let lines = refused.take(KIN_RECIPIENTS).map(|to| vec![Term::Kind(RecordKind::Log), Term::To(to.address.clone())]);
        questions.extend(lines.map(|terms| at(terms, since, until)));
    }
    for line in group.logs.iter().rev().filter(|_| group.attempts.is_empty()) {
        let log = &line.log;
        if let Some(id) = quoted(log) {
            questions.extend(around(group, [Term::Id(id), Term::Session(id)]));
        } else if let Some((_, address)) = refused(log) {
            let terms = vec![Term::Kind(RecordKind::Transaction), Term::To(address.to_owned())];
            questions.push(at(terms, log.at.saturating_sub(SLOW_US), log.at.saturating_add(NEAR_US)));
        }
    }
    questions.truncate(MORE_RECIPIENTS);
    questions
}

/// Reports about it: by its ids, or to its sender on one of its recipients.
fn reports(group: &Group) -> Vec<Question> {
    let mut terms: Vec<Term> = group.message_id().map(|id| Term::ReportOf(id.to_owned())).into_iter().collect();
    let mut ids: Vec<&str> = Vec::new();
    for id in group.queue_ids() {
        if !ids.contains(&id) && ids.len() < IDS {
            ids.push(id);
        }
    }
    terms.extend(ids.into_iter().map(|id| Term::ReportOfQueueId(id.to_owned())));
    let taken = group.transactions().find(|it| matches!(it.outcome.state, State::Accepted | State::Partial | State::Unknown));
    if let Some(it) = taken.filter(|it| !it.envelope.reverse_path.is_empty()) {
        let on = it.envelope.recipients.iter().take(KIN_RECIPIENTS).map(|recipient| Term::ReportTo(recipient.address.clone()));
        terms.push(Term::All(vec![Term::Flag(Flag::Report), Term::Any(on.collect()), Term::To(it.envelope.reverse_path.clone())]));
    }
    around(group, terms)
}
