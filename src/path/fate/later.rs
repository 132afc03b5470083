//! What logs and reports say of a recipient after the attempts through this proxy, or in their place.

use super::super::answer::{Fate, PathState, Side};
use super::super::join::{Group, Line, TOLD_US, Told, key, same};
use super::super::words;
use super::spoken::{self, Said, Spoken};
use crate::trace::json::{Enhanced, Id, Reply, Time, Word};
use crate::trace::{Action, Actor, LogEvent, ReportKind, Reported, Stage, State, Transaction};

/// The state that a line puts its recipient in, if it says so.
pub fn state(line: &Line) -> Option<PathState> {
    Some(match line.log.event {
        LogEvent::Delivered => PathState::Delivered,
        LogEvent::Sent => PathState::Accepted,
        LogEvent::Deferred => PathState::Deferred,
        LogEvent::Bounced | LogEvent::Expired => PathState::Bounced,
        LogEvent::Rejected if line.log.outcome.as_ref().is_some_and(|it| it.state == State::Deferred) => PathState::Deferred,
        LogEvent::Rejected => PathState::Rejected,
        LogEvent::Quarantined => PathState::Stuck,
        LogEvent::Discarded => PathState::Discarded,
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

/// What is known of a recipient's attempts, for the words on it to be weighed by.
pub struct About<'a> {
    /// What it was called here.
    pub names: &'a [&'a str],
    /// Its attempts of the last passage.
    pub attempts: &'a [&'a Transaction],
    /// An earlier attempt that may have got there.
    pub in_doubt: Option<Id>,
    /// The acceptance, where an earlier attempt may have got there too: what is older than this one is about that one.
    pub again: Option<&'a Transaction>,
}

impl About<'_> {
    fn is_named(&self, address: &str) -> bool {
        self.names.iter().any(|name| name.eq_ignore_ascii_case(address))
    }

    /// Of a server between two passages, what it does to send the message on is from before the last one.
    fn is_from_before(&self, line: &Line) -> bool {
        let is_sender = |it: &&Transaction| same(line.log.queue_id.as_deref(), it.message.client_queue_id.as_deref());
        line.side == Some(Side::Before) || self.attempts.iter().any(is_sender)
    }

    fn is_about_earlier(&self, word: &Spoken<'_>) -> bool {
        self.again.is_some_and(|taken| {
            let is_its_entry = |line: &Line| same(line.log.queue_id.as_deref(), taken.outcome.upstream_queue_id.as_deref());
            let is_ours = matches!(word.said, Said::Line(line) if is_its_entry(line));
            !is_ours && word.latest().saturating_add(TOLD_US) < taken.at
        })
    }
}

/// Lets the latest word on a recipient decide.
pub fn settle(group: &Group, about: &About<'_>, fate: &mut Fate) {
    let was_taken = matches!(fate.state.0, PathState::Accepted | PathState::Unknown);
    let is_kept = matches!(fate.state.0, PathState::Deferred | PathState::Aborted);
    // Of an attempt in doubt only the end proves that it got there.
    let was_doubt_taken =
        |state: PathState| about.in_doubt.is_some() && matches!(state, PathState::Accepted | PathState::Delivered | PathState::Bounced);
    let failed_at = fate.at.0;
    // What it was answered here is in the records; where it didn't get here, its log alone says so.
    let came_not_here = |word: &Spoken<'_>| match word.said {
        Said::Line(line) => {
            is_kept
                && word.state == PathState::Deferred
                && line.log.reply.is_none()
                && about.is_from_before(line)
                && word.moment() > failed_at.saturating_add(TOLD_US)
        }
        Said::Report(..) => false,
    };
    let counts = |word: &Spoken<'_>| match word.said {
        // A server in front keeps what wasn't taken here: only that it gave up is news, or that it no longer gets here.
        Said::Line(line) if about.is_from_before(line) => {
            let is_gone = matches!(word.state, PathState::Bounced | PathState::Discarded);
            !was_taken && is_gone && word.latest() >= failed_at || came_not_here(word)
        }
        Said::Line(_) => was_taken || was_doubt_taken(word.state),
        Said::Report(told, _) => {
            let given_up = is_kept && told.by_sender && told.transaction.at >= fate.at.0;
            was_taken || given_up || (about.in_doubt.is_some() && !told.by_sender)
        }
    };
    let mut words = spoken::words(group, |address| about.is_named(address));
    words.retain(|word| counts(word) && !about.is_about_earlier(word));
    if let Some((word, of_several)) = spoken::decisive(&words) {
        let from_behind = match word.said {
            Said::Line(line) => !about.is_from_before(line),
            Said::Report(told, _) => !told.by_sender,
        };
        if was_taken {
            fate.accepted = Some(fate.hop);
        } else if from_behind {
            fate.accepted = about.in_doubt;
        }
        let in_vain = words.iter().filter(|word| came_not_here(word)).count();
        fate.attempts = fate.attempts.saturating_add(u32::try_from(in_vain).unwrap_or(u32::MAX));
        apply(fate, &words, word, of_several);
    }
}

/// `words`: all on that recipient.
fn apply(fate: &mut Fate, words: &[Spoken<'_>], word: &Spoken<'_>, of_several: bool) {
    (fate.cause, fate.act, fate.advice) = (None, None, None);
    fate.at = Time(word.moment());
    fate.state = Word(word.state);
    fate.member = word.member.filter(|_| of_several).map(str::to_owned);
    match word.said {
        Said::Line(line) => {
            // That it was given up says nothing of why it had to wait.
            let waited =
                (line.log.event == LogEvent::Expired && line.log.reply.is_none()).then(|| spoken::reason_before(words, word)).flatten();
            let log = waited.map_or(&line.log, |it| &it.log);
            let outcome = log.outcome.as_ref();
            fate.stage = Word(outcome.map_or(Stage::AfterAcceptance, |outcome| outcome.stage));
            fate.by = Word(outcome.map_or(Actor::Upstream, |outcome| outcome.by));
            fate.reply = log.reply.as_ref().map(Reply::from);
            fate.detail = log.detail.clone();
            fate.host = log.host.clone().or_else(|| Some(log.format.clone()));
            fate.cause = outcome.and_then(|outcome| outcome.cause).map(Word);
            fate.act = outcome.and_then(|outcome| outcome.act).map(Word);
            fate.advice = outcome.and_then(|outcome| outcome.advice.clone());
            fate.provider = outcome.and_then(|outcome| outcome.provider.clone());
            if word.state == PathState::Accepted {
                fate.upstream_queue_id = log.next_queue_id.clone();
            }
            fate.confidence = line.tie.confidence;
            fate.hop = Id(line.log.id);
        }
        Said::Report(told, it) => {
            let report = told.transaction.message.report.as_deref();
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
        if !fates.iter().any(|fate| key(&fate.address) == key(address)) {
            fates.push(unheard(address, line));
        }
    }
    for fate in fates {
        let address = fate.address.clone();
        let words = spoken::words(group, |name| name.eq_ignore_ascii_case(&address));
        if let Some((word, of_several)) = spoken::decisive(&words) {
            apply(fate, &words, word, of_several);
            fate.attempts = spoken::tries(&words);
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
        copies: 0,
        doubt: None,
        member: None,
    }
}
