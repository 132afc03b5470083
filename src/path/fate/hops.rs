//! Records as hops of the public answer.

use super::super::answer::{Confidence, Hop, HopClient, HopUpstream, JoinedBy, LogHop, RelayHop, ReportHop, Tie};
use super::super::join::{Attempt, Group, Line, Told, ended_at};
use super::later;
use crate::trace::json::{Id, Reply, Time, Tried, Word};
use crate::trace::{RecordId, Report, Transaction, record};

/// All of a message, in time order; lines of servers whose clock is known to be off, by ours.
pub fn hops(group: &Group) -> Vec<Hop> {
    let first = |it: &Transaction| (it.at, 0, it.id);
    let relays = group.attempts.iter().map(|attempt| (first(&attempt.transaction), Hop::Relay(Box::new(relay(attempt)))));
    let reports = group.reports.iter().filter_map(|told| Some((first(&told.transaction), Hop::Report(Box::new(of_told(told)?)))));
    let logs = group.logs.iter().map(|line| (line.order(), Hop::Log(Box::new(log(line)))));
    let mut hops: Vec<((u64, u8, RecordId), Hop)> = relays.chain(reports).chain(logs).collect();
    hops.sort_by_key(|(order, _)| *order);
    hops.into_iter().map(|(_, hop)| hop).collect()
}

fn relay(attempt: &Attempt) -> RelayHop {
    let transaction = &attempt.transaction;
    let outcome = &transaction.outcome;
    RelayHop {
        id: Id(transaction.id),
        session_id: Id(transaction.session_id),
        at: Time(transaction.at),
        until: Time(ended_at(transaction)),
        duration_us: transaction.duration_us,
        node: transaction.origin.node.clone(),
        listener: transaction.listener.clone(),
        direction: Word(transaction.direction),
        passage: attempt.passage,
        client: hop_client(&transaction.client, transaction.message.client_queue_id.clone()),
        upstream: hop_upstream(&transaction.upstream),
        state: Word(outcome.state),
        stage: Word(outcome.stage),
        by: Word(outcome.by),
        reply: outcome.reply.as_ref().map(Reply::from),
        detail: outcome.detail.clone(),
        cause: outcome.cause.map(Word),
        act: outcome.act.map(Word),
        advice: outcome.advice.clone(),
        upstream_queue_id: outcome.upstream_queue_id.clone(),
        recipients: u32::try_from(transaction.envelope.recipients.len()).unwrap_or(u32::MAX),
        size: transaction.message.size,
        body_digest: transaction.message.body_digest.map(|digest| digest.to_string()),
        phases: (&transaction.phases).into(),
        flags: transaction.flags.iter().copied().map(Word).collect(),
        tie: attempt.tie,
    }
}

fn of_told(told: &Told) -> Option<ReportHop> {
    let report = told.transaction.message.report.as_deref()?;
    let mut states = report.recipients.iter().filter_map(|it| later::reported_state(told, it));
    Some(ReportHop { state: states.next_back().map(Word), why_not: told.why_not.clone(), ..hop_of(&told.transaction, report, told.tie) })
}

/// A report on what was never seen.
pub fn unproven(transaction: &Transaction) -> Option<ReportHop> {
    let report = transaction.message.report.as_deref()?;
    let why_not = Some("no message that passed here is the one it speaks of".to_owned());
    Some(ReportHop { why_not, ..hop_of(transaction, report, JoinedBy::First.with(Confidence::Unproven)) })
}

fn hop_of(transaction: &Transaction, report: &Report, tie: Tie) -> ReportHop {
    ReportHop {
        id: Id(transaction.id),
        at: Time(transaction.at),
        listener: transaction.listener.clone(),
        to: transaction.envelope.recipients.iter().map(|recipient| recipient.address.clone()).collect(),
        state: None,
        report: report.into(),
        tie,
        why_not: None,
    }
}

fn log(line: &Line) -> LogHop {
    let it = &line.log;
    LogHop {
        id: Id(it.id),
        at: Time(it.at),
        format: it.format.clone(),
        host: it.host.clone(),
        side: line.side,
        event: Word(it.event),
        state: later::state(line).map(Word),
        queue_id: it.queue_id.clone(),
        next_queue_id: it.next_queue_id.clone(),
        recipient: it.recipient.clone(),
        relay_host: it.relay_host.clone(),
        reply: it.reply.as_ref().map(Reply::from),
        detail: it.detail.clone(),
        cause: it.outcome.as_ref().and_then(|outcome| outcome.cause).map(Word),
        clock_ahead_us: line.ahead_us,
        tie: line.tie,
    }
}

pub fn hop_client(client: &record::Client, queue_id: Option<String>) -> HopClient {
    HopClient { ip: client.ip, helo: client.helo.clone(), user: client.auth.as_ref().and_then(|auth| auth.user.clone()), queue_id }
}

pub fn hop_upstream(upstream: &record::Upstream) -> HopUpstream {
    HopUpstream {
        name: upstream.name.clone(),
        host: upstream.host.clone(),
        ip: upstream.ip,
        port: upstream.port,
        tried: upstream.tried.iter().map(Tried::from).collect(),
    }
}
