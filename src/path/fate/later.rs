//! What logs and reports say of a recipient after the attempts through this proxy, or in their place.

use super::super::answer::{Fate, PathState, Side};
use super::super::join::{Group, Line, Told, key};
use super::super::words;
use crate::trace::json::{Enhanced, Id, Reply, Time, Word};
use crate::trace::{Action, Actor, LogEvent, RecordId, ReportKind, Reported, Stage};

/// The state that a line puts its recipient in, if it says so.
pub fn state(line: &Line) -> Option<PathState> {
    Some(match line.log.event {
        LogEvent::Delivered => PathState::Delivered,
        LogEvent::Sent => PathState::Accepted,
        LogEvent::Deferred => PathState::Deferred,
        LogEvent::Bounced | LogEvent::Expired => PathState::Bounced,
        LogEvent::Rejected => PathState::Rejected,
        LogEvent::Quarantined | LogEvent::Discarded => PathState::Stuck,
        LogEvent::Received
        | LogEvent::Queued
        | LogEvent::Submitted
        | LogEvent::Redirected
        | LogEvent::Expanded
        | LogEvent::ReportSent
        | LogEvent::Removed => return None,
    })
}

/// The state that a report puts a recipient in. What is only delayed or passed on changes nothing for good.
pub fn reported_state(told: &Told, reported: &Reported) -> Option<PathState> {
    let is_complaint = told.transaction.message.report.as_ref().is_some_and(|report| report.kind == ReportKind::Complaint);
    match reported.action {
        _ if is_complaint || told.why_not.is_some() => None,
        Action::Failed => Some(PathState::Bounced),
        Action::Delivered => Some(PathState::Delivered),
        Action::Delayed | Action::Relayed | Action::Expanded => None,
    }
}

/// Something that was said later.
enum Said<'a> {
    Line(&'a Line, PathState),
    Report(&'a Told, &'a Reported, PathState),
}

impl Said<'_> {
    fn moment(&self) -> u64 {
        match self {
            Self::Line(line, _) => line.moment(),
            Self::Report(told, ..) => told.transaction.at,
        }
    }

    fn order(&self) -> (u64, u8, RecordId) {
        match self {
            Self::Line(line, _) => line.order(),
            Self::Report(told, ..) => (told.transaction.at, u8::MAX, told.transaction.id),
        }
    }

    /// Whether it is the word of those who got the message through here.
    fn is_from_behind(&self) -> bool {
        match self {
            Self::Line(line, _) => line.side != Some(Side::Before),
            Self::Report(told, ..) => !told.by_sender,
        }
    }
}

/// Lets the latest word on a recipient decide. `names`: what it was called here. `in_doubt`: an earlier attempt that may have got there.
pub fn settle(group: &Group, names: &[&str], in_doubt: Option<Id>, fate: &mut Fate) {
    let is_named = |address: &str| names.iter().any(|name| name.eq_ignore_ascii_case(address));
    let was_taken = matches!(fate.state.0, PathState::Accepted | PathState::Unknown);
    // Of an attempt in doubt only the end proves that it got there.
    let was_doubt_taken =
        |state: PathState| in_doubt.is_some() && matches!(state, PathState::Accepted | PathState::Delivered | PathState::Bounced);
    let lines = group.logs.iter().filter_map(|line| {
        let names = [&line.log.recipient, &line.log.original_recipient];
        let on_it = names.into_iter().flatten().any(|address| is_named(address));
        let state = state(line)?;
        // A server in front keeps what wasn't taken here: only that it gave up is news.
        let counts = match line.side {
            Some(Side::Before) => !was_taken && state == PathState::Bounced && line.moment() >= fate.at.0,
            _ => was_taken || was_doubt_taken(state),
        };
        (on_it && counts).then_some(Said::Line(line, state))
    });
    let is_kept = matches!(fate.state.0, PathState::Deferred | PathState::Aborted);
    let given_up = |told: &Told| is_kept && told.by_sender && told.transaction.at >= fate.at.0;
    let counts = |told: &Told| was_taken || given_up(told) || (in_doubt.is_some() && !told.by_sender);
    let reports = group.reports.iter().filter(|told| counts(told)).flat_map(|told| {
        let recipients = told.transaction.message.report.iter().flat_map(|report| &report.recipients);
        let on_it = recipients.filter(|it| is_named(&it.address) || it.original.as_deref().is_some_and(is_named));
        on_it.filter_map(|reported| reported_state(told, reported).map(|state| Said::Report(told, reported, state)))
    });
    let last = lines.chain(reports).max_by_key(Said::order);
    if let Some(word) = last {
        if was_taken {
            fate.accepted = Some(fate.hop);
        } else if word.is_from_behind() {
            fate.accepted = in_doubt;
        }
        apply(fate, &word);
    }
}

fn apply(fate: &mut Fate, word: &Said<'_>) {
    (fate.cause, fate.act, fate.advice) = (None, None, None);
    fate.at = Time(word.moment());
    match word {
        Said::Line(line, state) => {
            let log = &line.log;
            let outcome = log.outcome.as_ref();
            fate.state = Word(*state);
            fate.stage = Word(outcome.map_or(Stage::AfterAcceptance, |outcome| outcome.stage));
            fate.by = Word(outcome.map_or(Actor::Upstream, |outcome| outcome.by));
            fate.reply = log.reply.as_ref().map(Reply::from);
            fate.detail = log.detail.clone();
            fate.host = log.host.clone().or_else(|| Some(log.format.clone()));
            fate.cause = outcome.and_then(|outcome| outcome.cause).map(Word);
            fate.act = outcome.and_then(|outcome| outcome.act).map(Word);
            fate.advice = outcome.and_then(|outcome| outcome.advice.clone());
            fate.provider = outcome.and_then(|outcome| outcome.provider.clone());
            if *state == PathState::Accepted {
                fate.upstream_queue_id = log.next_queue_id.clone();
            }
            fate.confidence = line.tie.confidence;
            fate.hop = Id(log.id);
        }
        Said::Report(told, it, state) => {
            let report = told.transaction.message.report.as_deref();
            fate.state = Word(*state);
            fate.stage = Word(Stage::AfterAcceptance);
            fate.by = Word(if it.remote_mta.is_some() { Actor::Recipient } else { Actor::Upstream });
            fate.reply = it.reply_code.map(|code| Reply {
                code,
                enhanced: it.status.map(Enhanced),
                lines: it.text.iter().map(|text| words::behind_code(code, text).to_owned()).collect(),
            });
            fate.detail = match (&fate.reply, &it.text) {
                (None, Some(text)) => Some(text.clone()),
                _ => None,
            };
            fate.host = it.remote_mta.clone().or_else(|| report.and_then(|report| report.reporting_mta.clone()));
            (fate.cause, fate.act) = (it.cause.map(Word), it.act.or(it.cause.map(|cause| cause.act())).map(Word));
            fate.provider = it.provider.clone();
            fate.confidence = told.tie.confidence;
            fate.hop = Id(told.transaction.id);
        }
    }
}

/// Recipients that only logs name: of a message that never passed here, or that a server sent on to others.
pub fn only_logged(group: &Group, fates: &mut Vec<Fate>) {
    if !group.attempts.is_empty() {
        return;
    }
    for line in &group.logs {
        let Some(address) = line.log.original_recipient.as_ref().or(line.log.recipient.as_ref()) else { continue };
        let place = match fates.iter().position(|fate| key(&fate.address) == key(address)) {
            Some(place) => place,
            None => {
                fates.push(unheard(address, line));
                fates.len() - 1
            }
        };
        if let (Some(fate), Some(state)) = (fates.get_mut(place), state(line)) {
            apply(fate, &Said::Line(line, state));
        }
    }
}

/// A recipient of which nothing is known but that a server has a message for it.
fn unheard(address: &str, line: &Line) -> Fate {
    Fate {
        address: address.to_owned(),
        state: Word(PathState::Accepted),
        stage: Word(Stage::AfterAcceptance),
        by: Word(Actor::Upstream),
        reply: None,
        detail: None,
        host: line.log.host.clone(),
        cause: None,
        act: None,
        advice: None,
        meant: None,
        provider: None,
        attempts: 0,
        upstream_queue_id: line.log.queue_id.clone(),
        at: Time(line.moment()),
        hop: Id(line.log.id),
        accepted: None,
        confidence: line.tie.confidence,
        reasons: Vec::new(),
        retry: None,
        duplicate_likely: false,
    }
}
