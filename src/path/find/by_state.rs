//! Questions for a state that no single record has: bounced, delivered, stuck. Records that may lead to such messages are taken
//! as candidates, newest first, and their messages looked at one by one.

use super::super::answer::{Answer, PathState};
use super::super::gaps;
use super::super::join::Group;
use super::super::reading::Reading;
use super::super::what::What;
use super::collect::Reports;
use super::{MATCHES, Manner, Traces, collect, matches, paths, stuck};
use crate::store::{Query, Term};
use crate::trace::Record;

/// The messages in that state, among the newest candidates; `None` if there are none.
pub fn find<T: Traces>(traces: &T, what: &What, state: PathState, manner: Manner<'_>) -> Result<Option<Answer>, T::Error> {
    let questions = what.without_state();
    for reading in what.candidates(state) {
        let (matched, more) = matches(traces, &reading, MATCHES)?;
        if matched.is_empty() {
            continue;
        }
        let looked_at = matched.len();
        let mut collected = collect::complete(traces, matched, MATCHES, Reports::WithMessage)?;
        collected.groups.retain(|group| questions.iter().any(|question| answers(group, question)));
        let mut messages = paths(&collected, manner.now);
        stuck::look(traces, &mut messages, manner.now)?;
        messages.retain(|path| path.state.0 == state || path.recipients.iter().any(|fate| fate.state.0 == state));
        let mut notes = collected.notes;
        if more {
            notes.push(format!(
                "state:{state} is told by what comes after a message: the newest {looked_at} records that may lead to one were looked at; \
                 name a time (until:…) to look further back"
            ));
        }
        let cut = messages.len() > manner.limit;
        messages.truncate(manner.limit);
        if messages.is_empty() {
            continue;
        }
        let gaps = gaps::around(traces, &messages)?;
        return Ok(Some(Answer { query: what.text.clone(), messages, more: more || cut, notes, gaps, never_seen: None }));
    }
    Ok(None)
}

/// How a question for such a state is answered, where nothing is found.
pub fn how(state: PathState) -> String {
    match state {
        PathState::Stuck => {
            "state:stuck finds messages that came in and never left, by the log of the server that has them, or because mail of \
                             that domain usually goes out through Relayscope again; none of the newest is one."
                .to_owned()
        }
        state => format!("state:{state} is told by reports that pass and by imported logs; none of them leads to such a message."),
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
