//! Questions for the state that a message is in at last. No single record tells it: records that may lead to such messages are taken
//! as candidates, newest first, and their messages looked at until there are enough.

use std::collections::HashSet;

use super::super::answer::{Answer, MessagePath, PathState};
use super::super::gaps;
use super::super::join::Group;
use super::super::reading::Reading;
use super::super::what::What;
use super::super::wider;
use super::collect::Reports;
use super::{MATCHES, Manner, PATIENCE, Traces, collect, is_of_mail, paths, stuck};
use crate::store::{PageRequest, Query, Term};
use crate::trace::{Record, RecordId};

/// Candidates looked at together.
const AT_ONCE: usize = 50;

/// The messages in that state, among the newest candidates; `None` if there are none.
pub fn find<T: Traces>(traces: &T, what: &What, state: PathState, manner: Manner<'_>) -> Result<Option<Answer>, T::Error> {
    let questions = what.without_state();
    let mut notes = Vec::new();
    for reading in what.candidates(state) {
        let mut found = Found::default();
        let (mut before, mut looked_at, mut in_vain) = (None, 0, 0);
        let more = loop {
            let page = reading.page(traces, &PageRequest { limit: AT_ONCE, before })?;
            before = page.next;
            looked_at += page.records.len();
            in_vain += usize::from(page.records.is_empty());
            let matched: Vec<Record> = page.records.into_iter().filter(is_of_mail).collect();
            let mut collected = collect::complete(traces, matched, AT_ONCE, Reports::WithMessage)?;
            collected.groups.retain(|group| questions.iter().any(|question| answers(group, question)));
            let mut messages = paths(&collected, manner.now);
            stuck::look(traces, &mut messages, manner.now)?;
            messages.retain(|path| path.state.0 == state || path.recipients.iter().any(|fate| fate.state.0 == state));
            found.add(messages);
            notes.extend(collected.notes);
            if before.is_none() || found.messages.len() > manner.limit || looked_at >= MATCHES || in_vain > PATIENCE {
                break before.is_some();
            }
        };
        if more && found.messages.len() <= manner.limit {
            notes.push(format!(
                "What state a message is in at last is told by all that is known of it: the newest {looked_at} records that may lead to a \
                 message that is {state} were looked at. Name a time (until:…) to look further back."
            ));
        }
        if found.messages.is_empty() {
            continue;
        }
        let mut messages = found.messages;
        messages.sort_by_key(|path| std::cmp::Reverse(path.last_at));
        let cut = messages.len() > manner.limit;
        messages.truncate(manner.limit);
        notes.extend(wider::look(traces, &mut messages, manner.now)?);
        let gaps = gaps::around(traces, &messages)?;
        return Ok(Some(Answer {
            query: what.text.clone(),
            under_way: Vec::new(),
            messages,
            more: more || cut,
            notes,
            gaps,
            never_seen: None,
        }));
    }
    Ok(None)
}

/// Messages, each once, however many of their records are candidates.
#[derive(Default)]
struct Found {
    messages: Vec<MessagePath>,
    known: HashSet<RecordId>,
}

impl Found {
    fn add(&mut self, messages: Vec<MessagePath>) {
        for path in messages {
            if path.hops.iter().all(|hop| !self.known.contains(&hop.id())) {
                self.known.extend(path.hops.iter().map(super::super::answer::Hop::id));
                self.messages.push(path);
            }
        }
    }
}

/// How a question for such a state is answered, where nothing is found.
pub fn how(state: PathState) -> String {
    match state {
        PathState::Stuck => {
            "state:stuck finds messages that came in and never left, by the log of the server that has them, or because mail of \
                             that domain usually goes out through Relayscope again; none of the newest is one."
                .to_owned()
        }
        PathState::Bounced | PathState::Delivered => {
            format!("state:{state} is told by reports that pass and by imported logs; none of them leads to such a message.")
        }
        PathState::Discarded => {
            "state:discarded is told by imported logs: a server took the message and threw it away; none of them leads to one.".to_owned()
        }
        state => format!("state:{state} finds messages that are {state} at last; ever:{state} finds those that had an attempt that was."),
    }
}

/// Each of the other terms holds for some record of the message: what a report says and what the message was called are in different ones.
fn answers(group: &Group, question: &Reading) -> bool {
    let transactions = group.transactions().chain(group.reports.iter().map(|told| &told.transaction));
    let transactions = transactions.map(|it| Record::Transaction(Box::new(it.clone())));
    let records: Vec<Record> = transactions.chain(group.logs.iter().map(|line| Record::Log(Box::new(line.log.clone())))).collect();
    let query = |all: Vec<Term>| Query { all, ..question.query.clone() };
    let holds = |query: &Query| records.iter().any(|record| query.matches(record));
    holds(&query(Vec::new())) && question.query.all.iter().all(|term| holds(&query(vec![term.clone()])))
}
