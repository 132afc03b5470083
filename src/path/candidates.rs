//! The state of a message at last: which records say so, and which messages may come to it.

use super::answer::PathState;
use crate::store::Term;
use crate::trace::{Flag, LogEvent, State};

/// Records that say so of a message: its own, or reports and lines of logs.
pub fn says_so(state: PathState) -> Term {
    if let Some(state) = state.of_record() {
        return Term::State(state);
    }
    let events: &[LogEvent] = match state {
        PathState::Bounced => &[LogEvent::Bounced, LogEvent::Expired],
        PathState::Delivered => &[LogEvent::Delivered],
        PathState::Discarded => &[LogEvent::Discarded],
        _ => &[LogEvent::Received, LogEvent::Queued, LogEvent::Submitted, LogEvent::Quarantined],
    };
    let of_logs = events.iter().copied().map(Term::Event);
    // No report says that a message is stuck, or was thrown away: those are told nobody.
    let of_reports = (!matches!(state, PathState::Stuck | PathState::Discarded)).then_some(Term::Flag(Flag::Report));
    Term::Any(of_logs.chain(of_reports).collect())
}

/// Records of messages that may be in that state: taken once, or told of by a log.
pub fn may_become(state: PathState) -> Term {
    if let Some(state) = state.of_record() {
        return Term::State(state);
    }
    let taken = [Term::State(State::Accepted), Term::State(State::Unknown)];
    Term::Any(taken.into_iter().chain([says_so(state)]).collect())
}

/// What a report says of a message that answers to the term; `None` where reports don't tell.
pub fn in_a_report(term: &Term) -> Option<Term> {
    let also = |other: Term| Some(Term::Any(vec![term.clone(), other]));
    match term {
        // It goes back to the sender.
        Term::From(address) => also(Term::To(address.clone())),
        Term::To(address) | Term::Address(address) => also(Term::ReportTo(address.clone())),
        Term::Domain(domain) => also(Term::ReportTo(format!("@{domain}"))),
        Term::MessageId(id) => also(Term::ReportOf(id.trim_start_matches('<').trim_end_matches('>').to_owned())),
        Term::QueueId(id) => also(Term::ReportOfQueueId(id.clone())),
        Term::Cause(_) | Term::Rule(_) | Term::Provider(_) | Term::Event(_) | Term::Kind(_) | Term::Flag(_) => Some(term.clone()),
        _ => None,
    }
}

/// The same, by the report's own words for it only.
pub fn of_report(term: &Term) -> Option<Term> {
    match term {
        Term::To(address) | Term::Address(address) if address.contains('@') => Some(Term::ReportTo(address.clone())),
        Term::MessageId(id) if id.contains('@') => Some(Term::ReportOf(id.trim_start_matches('<').trim_end_matches('>').to_owned())),
        Term::QueueId(id) => Some(Term::ReportOfQueueId(id.clone())),
        _ => None,
    }
}
