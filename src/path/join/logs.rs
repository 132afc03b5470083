//! Lines of imported logs, tied to the message that they speak of: by queue id from server to server, by a trace id that they quote, or by
//! Message-ID and recipient; those on refusals without any id as [`refusals`] has it.

use super::super::answer::{Confidence, JoinedBy, Side, Tie};
use super::{Group, QUEUE_LIFE_US, ended_at, key, refusals, same};
use crate::trace::{Log, LogEvent, RecordId, State, Transaction};

/// How far another server's clock may be off, that its lines still join.
const CLOCK_OFF_US: u64 = 3_600_000_000;
const SECOND_US: u64 = 1_000_000;
/// From here on it is told.
pub const TOLD_US: u64 = 10_000_000;

/// A line of a log.
#[derive(Debug)]
pub struct Line {
    pub log: Log,
    pub tie: Tie,
    pub side: Option<Side>,
    /// How far that server's clock is ahead, where that can be told and matters.
    pub ahead_us: Option<i64>,
}

impl Line {
    /// When it happened by our clock, as far as can be told.
    pub fn moment(&self) -> u64 {
        self.log.at.saturating_add_signed(self.ahead_us.unwrap_or(0).saturating_neg())
    }

    /// The latest that it can have happened: many logs know whole seconds only.
    pub fn latest(&self) -> u64 {
        let rest = if self.log.at.is_multiple_of(SECOND_US) { SECOND_US - 1 } else { 0 };
        self.moment().saturating_add(rest)
    }

    /// Both of one entry of the same server's queue.
    pub fn is_of_same_entry(&self, other: &Self) -> bool {
        self.is_of_same_entry_as(&other.log)
    }

    fn is_of_same_entry_as(&self, other: &Log) -> bool {
        let one = &self.log;
        one.host == other.host && one.format == other.format && same(one.queue_id.as_deref(), other.queue_id.as_deref())
    }

    /// Its place among the lines of a message.
    pub fn order(&self) -> (u64, u8, RecordId) {
        (self.moment(), rank(self.log.event), self.log.id)
    }
}

/// Many logs know whole seconds only: what a server does with a message within one it does in this order.
pub fn rank(event: LogEvent) -> u8 {
    match event {
        LogEvent::Received | LogEvent::Submitted | LogEvent::Queued => 0,
        LogEvent::Redirected | LogEvent::Expanded => 1,
        LogEvent::Deferred => 2,
        LogEvent::Sent | LogEvent::Rejected | LogEvent::Quarantined | LogEvent::Discarded => 3,
        LogEvent::Delivered | LogEvent::Bounced | LogEvent::Expired => 4,
        LogEvent::ReportSent => 5,
        LogEvent::Removed => 6,
    }
}

/// Ties lines to the messages; those of no message here make messages of their own.
pub fn attach_logs(groups: &mut Vec<Group>, mut logs: Vec<Log>) {
    logs.sort_by_key(|log| (log.at, rank(log.event), log.id));
    logs.dedup_by_key(|log| log.id);
    logs = follow(groups, logs);
    if refusals::attach(groups, &mut logs) {
        logs = follow(groups, logs);
    }
    while !logs.is_empty() {
        let first = logs.remove(0);
        let line = Line { log: first, tie: JoinedBy::First.with(Confidence::Proof), side: None, ahead_us: None };
        // Those before it have been tried for every line that is left, and gain nothing more.
        let untried = groups.len();
        groups.push(Group { logs: vec![line], ..Group::default() });
        logs = follow(groups.get_mut(untried..).unwrap_or_default(), logs);
    }
    for group in groups {
        clocks(group);
        group.logs.sort_by_key(Line::order);
    }
}

/// Ties all that can be tied, and gives back the rest: a line may know the next server's queue id, and so tie the next line.
fn follow(groups: &mut [Group], mut logs: Vec<Log>) -> Vec<Log> {
    loop {
        let before = logs.len();
        logs = logs.into_iter().filter_map(|log| attach(groups, log)).collect();
        if logs.len() == before || logs.is_empty() {
            return logs;
        }
    }
}

/// Gives the line back if it is of none of them.
fn attach(groups: &mut [Group], log: Log) -> Option<Log> {
    let ties = groups.iter().enumerate().filter_map(|(place, group)| group.log_tie(&log).map(|(tie, side)| (place, tie, side)));
    let best = ties.max_by_key(|&(place, tie, _)| (tie.confidence, groups.get(place).map(|group| group.nearness(log.at))));
    match best.and_then(|(place, tie, side)| groups.get_mut(place).map(|group| (group, tie, side))) {
        Some((group, tie, side)) => {
            group.logs.push(Line { log, tie, side, ahead_us: None });
            None
        }
        None => Some(log),
    }
}

impl Group {
    /// Of namesakes, a line is on that whose last attempt before it is the latest; the more, the nearer.
    fn nearness(&self, at: u64) -> (bool, u64) {
        let begins =
            || self.transactions().map(|it| it.at).chain(self.logs.iter().map(|line| line.log.at).filter(|_| self.attempts.is_empty()));
        match begins().filter(|begin| *begin <= at.saturating_add(TOLD_US)).max() {
            Some(begin) => (true, begin),
            None => (false, u64::MAX - begins().min().unwrap_or(u64::MAX)),
        }
    }

    fn log_tie(&self, log: &Log) -> Option<(Tie, Option<Side>)> {
        let proof = JoinedBy::QueueId.with(Confidence::Proof);
        for it in self.transactions().filter(|it| is_near(log, it) && speaks_not_against(log, it)) {
            let (id, next) = (log.queue_id.as_deref(), log.goes_on_as());
            let (upstream, client) = (it.outcome.upstream_queue_id.as_deref(), it.message.client_queue_id.as_deref());
            if same(id, upstream) {
                return Some((proof, Some(Side::After)));
            }
            // The reply that the client logs is the upstream's: this proxy gives no ids.
            if same(id, client) || same(next, upstream) || same(next, client) {
                return Some((proof, Some(Side::Before)));
            }
            if refusals::is_quoted_by(log, it) {
                return Some((JoinedBy::TraceId.with(Confidence::Proof), Some(Side::Before)));
            }
        }
        for line in &self.logs {
            let known = &line.log;
            if known.at.abs_diff(log.at) > QUEUE_LIFE_US {
                continue;
            }
            // No surer than the line that it hangs on.
            let tie = JoinedBy::QueueId.with(line.tie.confidence);
            if line.is_of_same_entry_as(log) {
                if !self.is_anothers(log) {
                    return Some((tie, line.side));
                }
            } else if same(known.goes_on_as(), log.queue_id.as_deref()) || same(known.queue_id.as_deref(), log.goes_on_as()) {
                return Some((tie, line.side));
            }
        }
        self.by_message_id(log)
    }

    /// Queue ids are used again: what has another Message-ID, or came in once the entry had been removed, is of another message.
    fn is_anothers(&self, log: &Log) -> bool {
        let differs = |one: &Option<String>| one.as_ref().zip(log.message_id.as_ref()).is_some_and(|(one, other)| one != other);
        let mut of_entry = self.logs.iter().filter(|line| line.is_of_same_entry_as(log));
        of_entry.any(|line| differs(&line.log.message_id) || (line.log.event == LogEvent::Removed && line.log.at < log.at))
    }

    fn by_message_id(&self, log: &Log) -> Option<(Tie, Option<Side>)> {
        if self.message_id().is_none() || self.message_id() != log.message_id.as_deref() {
            return None;
        }
        let strong = JoinedBy::MessageId.with(Confidence::Strong);
        if self.attempts.is_empty() {
            let sender = |log: &Log| log.reverse_path.as_deref().map(str::to_ascii_lowercase);
            let fits = self.logs.iter().any(|line| {
                line.log.at.abs_diff(log.at) <= QUEUE_LIFE_US && sender(&line.log).zip(sender(log)).is_none_or(|(one, other)| one == other)
            });
            return fits.then_some((strong, None));
        }
        let knows = |address: &Option<String>| address.as_ref().is_some_and(|address| self.standing.contains_key(&key(address)));
        let told = log.recipient.is_some() || log.original_recipient.is_some();
        let fits = self.transactions().any(|it| is_near(log, it) && speaks_not_against(log, it));
        let is_ours = fits && (!told || knows(&log.recipient) || knows(&log.original_recipient));
        is_ours.then(|| (strong, Some(self.side(log))))
    }

    /// On which side of this proxy a server is of which only the Message-ID is known here.
    fn side(&self, log: &Log) -> Side {
        let host = log.host.as_deref();
        if self.transactions().any(|it| is_host(host, it.upstream.host.as_deref())) {
            return Side::After;
        }
        if self.transactions().any(|it| is_host(host, it.client.helo.as_deref())) {
            return Side::Before;
        }
        let accepted = self.transactions().find(|it| matches!(it.outcome.state, State::Accepted | State::Partial));
        match accepted {
            Some(it) if log.at.saturating_add(TOLD_US) >= it.at => Side::After,
            _ => Side::Before,
        }
    }
}

/// The same host, even where a log names it without its domain.
fn is_host(one: Option<&str>, other: Option<&str>) -> bool {
    let first = |name: &str| name.split('.').next().map(str::to_ascii_lowercase);
    one.zip(other).is_some_and(|(one, other)| {
        one.eq_ignore_ascii_case(other) || (one.contains('.') != other.contains('.') && first(one) == first(other))
    })
}

fn is_near(log: &Log, it: &Transaction) -> bool {
    log.at.saturating_add(QUEUE_LIFE_US) >= it.at && log.at <= ended_at(it).saturating_add(QUEUE_LIFE_US)
}

/// Queue ids are used again: another Message-ID or sender, or a time that fits no clock, is another message.
pub(super) fn speaks_not_against(log: &Log, it: &Transaction) -> bool {
    let message_id = log.message_id.as_ref().zip(it.message.message_id.as_ref());
    let sender = log.reverse_path.as_ref();
    message_id.is_none_or(|(one, other)| one == other) && sender.is_none_or(|sender| sender.eq_ignore_ascii_case(&it.envelope.reverse_path))
}

/// Tells how far the servers' clocks are off, by lines that must have been written at a moment that is known here too.
fn clocks(group: &mut Group) {
    let mut known: Vec<(Option<String>, i64)> = Vec::new();
    for line in &group.logs {
        let host = &line.log.host;
        if known.iter().any(|(known, _)| known == host) {
            continue;
        }
        let taken = |event| matches!(event, LogEvent::Received | LogEvent::Queued | LogEvent::Submitted);
        let is_pair = |it: &&Transaction| match line.side {
            Some(Side::After) => taken(line.log.event) && same(line.log.queue_id.as_deref(), it.outcome.upstream_queue_id.as_deref()),
            Some(Side::Before) => {
                line.log.event == LogEvent::Sent && same(line.log.next_queue_id.as_deref(), it.outcome.upstream_queue_id.as_deref())
            }
            None => false,
        };
        if let Some(it) = group.transactions().find(is_pair) {
            known.push((host.clone(), difference(line.log.at, it)));
        }
    }
    // What comes after must not come before.
    for line in group.logs.iter().filter(|line| line.side == Some(Side::After)) {
        let accepted = group.transactions().find(|it| same(line.log.queue_id.as_deref(), it.outcome.upstream_queue_id.as_deref()));
        if let Some(it) = accepted
            && line.log.at < it.at
            && !known.iter().any(|(host, _)| *host == line.log.host)
        {
            known.push((line.log.host.clone(), difference(line.log.at, it)));
        }
    }
    for line in &mut group.logs {
        let ahead = known.iter().find(|(host, _)| *host == line.log.host).map(|(_, ahead)| *ahead);
        line.ahead_us = ahead.filter(|ahead| (TOLD_US..=CLOCK_OFF_US).contains(&ahead.unsigned_abs()));
    }
}

/// By how much a time lies before or behind a transaction: while it lasts, a server may have written at any moment.
fn difference(at: u64, it: &Transaction) -> i64 {
    let nearest = at.clamp(it.at, ended_at(it));
    i64::try_from(at).unwrap_or(i64::MAX).saturating_sub(i64::try_from(nearest).unwrap_or(i64::MAX))
}
