//! From all that is known of one message to its path: each recipient's latest truth, each record as a hop.

mod course;
mod hops;
mod later;
mod retry;
mod spoken;

use std::collections::HashMap;

pub(super) use hops::{hop_client, hop_upstream, unproven};

use super::answer::{Fate, Inside, MessagePath, PathState, ReportsOn};
use super::clock::Clock;
use super::join::{Group, ended_at};
use super::{next, verdict, words};
use crate::trace::json::{Id, Time, Word};
use crate::trace::{RecordId, State, WallMicros, record};

/// The message path of a group, its words in UTC. `originals`: of reports, a transaction of the message that each is about.
pub fn path(group: &Group, originals: &HashMap<RecordId, RecordId>, now: WallMicros) -> Option<MessagePath> {
    let hops = hops::hops(group);
    let first_at = hops.first().map(super::answer::Hop::at)?;
    let last_attempt = group.transactions().map(ended_at).max();
    let last_at = last_attempt.into_iter().chain(hops.last().map(|hop| hop.at().0)).max()?;
    let seen = |pick: fn(&record::Message) -> &Option<String>| group.transactions().rev().find_map(|it| pick(&it.message).clone());
    let logged = |pick: fn(&record::Log) -> &Option<String>| group.logs.iter().find_map(|line| pick(&line.log).clone());
    let recipients = course::fates(group, now);
    let mut path = MessagePath {
        message_id: group.message_id().map(str::to_owned),
        subject: seen(|message| &message.subject).or_else(|| logged(|log| &log.subject)),
        from: match group.transactions().next() {
            Some(first) => Some(first.envelope.reverse_path.clone()),
            None => logged(|log| &log.reverse_path),
        },
        header_from: seen(|message| &message.from),
        first_at,
        last_at: Time(last_at),
        verdict: String::new(),
        state: Word(whole(&recipients, group)),
        recipients_cut: group.transactions().map(|it| it.envelope.recipients_cut).max().unwrap_or(0),
        recipients,
        hops,
        inside: inside(group),
        reports_on: reports_on(group, originals),
        next: Vec::new(),
        incidents: Vec::new(),
        incidents_more: 0,
    };
    retell(&mut path);
    Some(path)
}

/// Says anew what follows from the facts, after they have changed.
pub fn retell(path: &mut MessagePath) {
    path.verdict = verdict::verdict(path, &Clock::utc());
    path.next = next::next(path, &Clock::utc());
}

/// The state of the whole: the recipients' if they agree, the last attempt's if there are none.
fn whole(recipients: &[Fate], group: &Group) -> PathState {
    let attempt = group.attempts.last().map(|attempt| attempt.transaction.outcome.state.into());
    let logged = || group.logs.iter().rev().find_map(later::state).unwrap_or(PathState::Accepted);
    whole_of(recipients).or(attempt).unwrap_or_else(logged)
}

/// The recipients' state, if there are any.
pub(super) fn whole_of(recipients: &[Fate]) -> Option<PathState> {
    let mut states = recipients.iter().map(|fate| fate.state.0);
    let first = states.next()?;
    Some(if states.all(|state| state == first) { first } else { PathState::Partial })
}

/// The ways through servers between two passages.
fn inside(group: &Group) -> Vec<Inside> {
    let last = group.attempts.iter().map(|attempt| attempt.passage).max().unwrap_or(0);
    let mut ways = Vec::new();
    for passage in 2..=last {
        let of = |number: u32| group.attempts.iter().filter(move |attempt| attempt.passage == number).map(|attempt| &attempt.transaction);
        let Some(out) = of(passage).next() else { continue };
        let taken = |it: &&record::Transaction| matches!(it.outcome.state, State::Accepted | State::Partial) && it.at <= out.at;
        let Some(into) = (1..passage).rev().find_map(|before| of(before).rfind(taken)) else { continue };
        if !went_through(into, out) {
            continue;
        }
        let (in_at, out_at) = (ended_at(into), out.at);
        ways.push(Inside {
            server: into.upstream.host.clone().unwrap_or_else(|| into.upstream.name.clone()),
            into: Id(into.id),
            out: Some(Id(out.id)),
            in_at: Time(in_at),
            out_at: Some(Time(out_at)),
            took_us: out_at.saturating_sub(in_at),
        });
    }
    ways
}

/// Whether the server that took a message passed it on, and it isn't its sender who sent it another way as well.
fn went_through(into: &record::Transaction, out: &record::Transaction) -> bool {
    let same_client = into.client.ip.to_canonical() == out.client.ip.to_canonical();
    let is_of_queue = into.outcome.upstream_queue_id.is_some() && into.outcome.upstream_queue_id == out.message.client_queue_id;
    !same_client || is_of_queue || out.message.received_count > into.message.received_count
}

fn reports_on(group: &Group, originals: &HashMap<RecordId, RecordId>) -> Option<ReportsOn> {
    let (report, id) = group.transactions().rev().find_map(|it| Some((it.message.report.as_deref()?, it.id)))?;
    Some(ReportsOn {
        message_id: report.original_message_id.clone(),
        recipients: report.recipients.iter().map(|it| it.address.clone()).collect(),
        hop: group.transactions().find_map(|it| originals.get(&it.id)).or_else(|| originals.get(&id)).map(|id| Id(*id)),
        says: words::reported(&report.into()),
    })
}
