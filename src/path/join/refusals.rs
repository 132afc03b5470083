//! What was refused before its header was seen bears no id that a log could have. A line on it is known by the trace id that it quotes from
//! a reply of this proxy's own; else, probably, by recipient, sender, reply and time: the nearest, one line for one attempt.

use std::collections::HashMap;
use std::str::FromStr;

use super::super::answer::{Confidence, JoinedBy, Side, Tie};
use super::logs::{Line, speaks_not_against};
use super::{Group, ended_at, is_headerless, key};
use crate::trace::{Log, LogEvent, Recipient, RecordId, Reply, State, Transaction};

/// How long before or after an attempt a line on its refusal may be written: servers log at once, by a clock that may be a little off.
pub const NEAR_US: u64 = 5_000_000;

/// The trace id in `451 4.4.1 relayscope: … (trace 01KAR3J1Q6W8Y0Z2A4B6C8D0E2)`.
pub fn quoted(log: &Log) -> Option<RecordId> {
    let lines = log.reply.iter().flat_map(|reply| &reply.lines).chain(&log.detail);
    lines.into_iter().find_map(|line| {
        let (_, behind) = line.rsplit_once("(trace ")?;
        RecordId::from_str(behind.split(')').next()?).ok()
    })
}

/// Whether the line quotes this proxy's reply to that attempt. Before MAIL FROM, and between two transactions, the id is the session's.
pub fn is_quoted_by(log: &Log, it: &Transaction) -> bool {
    let Some(id) = quoted(log) else { return false };
    id == it.id || id == it.session_id && distance(log, it) <= NEAR_US && recipient(log, it).is_some()
}

/// The recipients that a line on a refusal names, and which side of this proxy its server is on. `None`: it is on something else.
pub fn refused(log: &Log) -> Option<(Side, &str)> {
    log.reply.as_ref().filter(|reply| reply.code >= 400)?;
    let has_relay = log.relay_host.is_some() || log.relay_ip.is_some();
    let side = match log.event {
        LogEvent::Deferred | LogEvent::Bounced | LogEvent::Expired if has_relay => Side::Before,
        LogEvent::Rejected if has_relay => Side::Before,
        LogEvent::Rejected if log.client_ip.is_some() || log.client_host.is_some() => Side::After,
        _ => return None,
    };
    Some((side, log.recipient.as_deref().or(log.original_recipient.as_deref())?))
}

/// Ties lines to refusals that nothing surer ties; whether any was.
pub fn attach(groups: &mut [Group], logs: &mut Vec<Log>) -> bool {
    let mut places: HashMap<String, Vec<(usize, usize)>> = HashMap::new();
    for (group, attempts) in groups.iter().map(|group| &group.attempts).enumerate() {
        for (attempt, it) in attempts.iter().enumerate().filter(|(_, it)| is_headerless(&it.transaction)) {
            for recipient in it.transaction.envelope.recipients.iter().filter(|it| it.state != State::Accepted) {
                places.entry(key(&recipient.address)).or_default().push((group, attempt));
            }
        }
    }
    if places.is_empty() {
        return false;
    }
    let mut pairs: Vec<(u64, usize, Side, usize, usize)> = Vec::new();
    for (line, log) in logs.iter().enumerate() {
        let Some((side, address)) = refused(log) else { continue };
        for &(group, attempt) in places.get(&key(address)).into_iter().flatten() {
            let Some(it) = groups.get(group).and_then(|it| it.attempts.get(attempt)).map(|it| &it.transaction) else { continue };
            if distance(log, it) <= NEAR_US && is_on(log, it, side) {
                pairs.push((distance(log, it), line, side, group, attempt));
            }
        }
    }
    pairs.sort_by_key(|&(far, line, _, group, attempt)| (far, line, group, attempt));
    let mut tied = Vec::new();
    for (_, line, side, group, attempt) in pairs {
        let (Some(log), Some(group)) = (logs.get(line), groups.get_mut(group)) else { continue };
        if tied.contains(&line) || group.is_told_of(attempt, log, side) {
            continue;
        }
        group.logs.push(Line { log: log.clone(), tie: PROBABLY, side: Some(side), ahead_us: None });
        tied.push(line);
    }
    let mut place = 0;
    logs.retain(|_| {
        place += 1;
        !tied.contains(&(place - 1))
    });
    !tied.is_empty()
}

const PROBABLY: Tie = JoinedBy::Reply.with(Confidence::Probable);

impl Group {
    /// Whether that side has its line on this attempt already, or lines of another message.
    fn is_told_of(&self, attempt: usize, log: &Log, side: Side) -> bool {
        let nearest =
            |log: &Log| self.attempts.iter().enumerate().min_by_key(|(_, it)| distance(log, &it.transaction)).map(|(place, _)| place);
        let has_line = self.logs.iter().any(|line| {
            let same_recipient = refused(&line.log).zip(refused(log)).is_some_and(|((_, one), (_, other))| key(one) == key(other));
            line.side == Some(side) && same_recipient && nearest(&line.log) == Some(attempt)
        });
        let is_anothers = self.message_id().zip(log.message_id.as_deref()).is_some_and(|(one, other)| one != other);
        has_line || is_anothers
    }
}

/// How far a line lies before or behind an attempt; while that lasts, it may be written at any moment.
fn distance(log: &Log, it: &Transaction) -> u64 {
    log.at.abs_diff(log.at.clamp(it.at, ended_at(it)))
}

fn recipient<'a>(log: &Log, it: &'a Transaction) -> Option<&'a Recipient> {
    let is_named = |recipient: &&Recipient| {
        [&log.recipient, &log.original_recipient].into_iter().flatten().any(|address| address.eq_ignore_ascii_case(&recipient.address))
    };
    it.envelope.recipients.iter().find(is_named)
}

/// Whether it was told of this very refusal, as far as sender, reply and way say.
fn is_on(log: &Log, it: &Transaction, side: Side) -> bool {
    let (Some(said), Some(recipient)) = (&log.reply, recipient(log, it)) else { return false };
    let replies = [&recipient.reply, &it.envelope.reply, &it.outcome.reply];
    // A server that talks to the smart host itself has its own refusals from it.
    let goes_past = side == Side::Before
        && log.relay_ip.is_some_and(|ip| Some(ip.to_canonical()) == it.upstream.ip.map(|ip| ip.to_canonical()))
        && log.relay_port.is_some_and(|port| Some(port) == it.upstream.port);
    !goes_past && speaks_not_against(log, it) && replies.into_iter().flatten().any(|reply| is_same(said, reply))
}

/// The same code, and the same enhanced code or, where one has none, the same words.
fn is_same(one: &Reply, other: &Reply) -> bool {
    let words = |reply: &Reply| -> Vec<String> {
        reply.lines.iter().flat_map(|line| line.split_whitespace()).map(str::to_ascii_lowercase).collect()
    };
    one.code == other.code
        && match (one.enhanced, other.enhanced) {
            (Some(one), Some(other)) => one == other,
            _ => words(one) == words(other),
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_id_of_a_quoted_reply_is_found() {
        let id = "01KAR3J1Q6W8Y0Z2A4B6C8D0E2";
        let mut log = Log::of(RecordId::from_parts(1, 1), 1, "postfix", LogEvent::Deferred);
        assert_eq!(quoted(&log), None);
        for (text, expected) in [
            (format!("4.4.1 relayscope: try again later (trace {id})"), true),
            (format!("4.4.1 relayscope: said (trace nonsense) first (trace {id})"), true),
            ("4.4.1 relayscope: try again later (trace 01KAR3J1)".to_owned(), false),
            (format!("4.4.1 try again later {id}"), false),
        ] {
            log.reply = Some(Reply { code: 451, enhanced: Some((4, 4, 1)), lines: vec![text.clone()] });
            assert_eq!(quoted(&log).map(|id| id.to_string()), expected.then(|| id.to_owned()), "{text}");
        }
    }
}
