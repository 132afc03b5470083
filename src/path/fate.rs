//! From a group of attempts to a message path: each recipient's latest truth, each attempt as a hop.

use std::collections::HashMap;

use super::answer::{Fate, Hop, HopClient, HopKind, HopUpstream, JoinedBy, MessagePath};
use super::clock::Clock;
use super::join::{Group, key};
use super::{next, verdict};
use crate::trace::json::{Id, Reply, Time, Tried, Word};
use crate::trace::record;
use crate::trace::{Recipient, Stage, State, Transaction};

/// The message path of a group, its words in UTC.
pub fn path(group: &Group) -> Option<MessagePath> {
    let (first, _) = group.attempts.first()?;
    let last_at = group.attempts.iter().map(|(transaction, _)| ended_at(transaction)).max()?;
    let seen = |pick: fn(&record::Message) -> &Option<String>| {
        group.attempts.iter().rev().find_map(|(transaction, _)| pick(&transaction.message).clone())
    };
    let recipients = fates(group);
    let mut path = MessagePath {
        message_id: seen(|message| &message.message_id),
        subject: seen(|message| &message.subject),
        from: first.envelope.reverse_path.clone(),
        header_from: seen(|message| &message.from),
        first_at: Time(first.at),
        last_at: Time(last_at),
        verdict: String::new(),
        state: Word(whole(&recipients, group)),
        recipients_cut: group.attempts.iter().map(|(transaction, _)| transaction.envelope.recipients_cut).max().unwrap_or(0),
        recipients,
        hops: group.attempts.iter().map(|(transaction, by)| hop(transaction, *by)).collect(),
        next: Vec::new(),
    };
    path.verdict = verdict::verdict(&path, &Clock::utc());
    path.next = next::next(&path, &Clock::utc());
    Some(path)
}

fn ended_at(transaction: &Transaction) -> u64 {
    transaction.at.saturating_add(transaction.duration_us)
}

/// In the order in which they were first named.
fn fates(group: &Group) -> Vec<Fate> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut fates: Vec<Fate> = Vec::new();
    for (transaction, _) in &group.attempts {
        for recipient in &transaction.envelope.recipients {
            let fate = fate(transaction, recipient);
            let place = *places.entry(key(&recipient.address)).or_insert(fates.len());
            match fates.get_mut(place) {
                // Once accepted, it is there: a later attempt that fared otherwise doesn't take it back.
                Some(earlier) if earlier.state.0 == State::Accepted && fate.state.0 != State::Accepted => earlier.attempts += 1,
                Some(earlier) => *earlier = Fate { attempts: earlier.attempts + 1, ..fate },
                None => fates.push(fate),
            }
        }
    }
    fates
}

fn fate(transaction: &Transaction, recipient: &Recipient) -> Fate {
    let outcome = &transaction.outcome;
    let own = recipient.stage == Stage::RcptTo;
    let reply = match recipient.stage {
        Stage::RcptTo => recipient.reply.as_ref(),
        Stage::MailFrom => transaction.envelope.reply.as_ref().or(outcome.reply.as_ref()),
        _ => outcome.reply.as_ref(),
    };
    let of_outcome = recipient.state == outcome.state || !own;
    Fate {
        address: recipient.address.clone(),
        state: Word(recipient.state),
        stage: Word(recipient.stage),
        by: Word(recipient.by),
        reply: reply.map(Reply::from),
        detail: if of_outcome { outcome.detail.clone() } else { None },
        cause: recipient.cause.map(Word),
        act: recipient.act.or(outcome.act.filter(|_| of_outcome)).map(Word),
        advice: if of_outcome && (recipient.rule.is_none() || recipient.rule == outcome.rule) { outcome.advice.clone() } else { None },
        attempts: 1,
        upstream_queue_id: if recipient.state == State::Accepted { outcome.upstream_queue_id.clone() } else { None },
        hop: Id(transaction.id),
    }
}

/// The state of the whole: the recipients' if they agree, the last attempt's if there are none.
fn whole(recipients: &[Fate], group: &Group) -> State {
    let mut states = recipients.iter().map(|fate| fate.state.0);
    match states.next() {
        Some(first) if states.all(|state| state == first) => first,
        Some(_) => State::Partial,
        None => group.attempts.last().map_or(State::Unknown, |(transaction, _)| transaction.outcome.state),
    }
}

fn hop(transaction: &Transaction, joined_by: JoinedBy) -> Hop {
    let outcome = &transaction.outcome;
    Hop {
        kind: HopKind::Relay,
        id: Id(transaction.id),
        session_id: Id(transaction.session_id),
        at: Time(transaction.at),
        until: Time(ended_at(transaction)),
        duration_us: transaction.duration_us,
        node: transaction.origin.node.clone(),
        listener: transaction.listener.clone(),
        direction: Word(transaction.direction),
        client: hop_client(&transaction.client, transaction.message.client_queue_id.clone()),
        upstream: hop_upstream(&transaction.upstream),
        state: Word(outcome.state),
        stage: Word(outcome.stage),
        by: Word(outcome.by),
        reply: outcome.reply.as_ref().map(Reply::from),
        detail: outcome.detail.clone(),
        cause: outcome.cause.map(Word),
        upstream_queue_id: outcome.upstream_queue_id.clone(),
        recipients: u32::try_from(transaction.envelope.recipients.len()).unwrap_or(u32::MAX),
        size: transaction.message.size,
        body_digest: transaction.message.body_digest.map(|digest| digest.to_string()),
        phases: (&transaction.phases).into(),
        flags: transaction.flags.iter().copied().map(Word).collect(),
        joined_by,
    }
}

pub(super) fn hop_client(client: &record::Client, queue_id: Option<String>) -> HopClient {
    HopClient { ip: client.ip, helo: client.helo.clone(), queue_id }
}

pub(super) fn hop_upstream(upstream: &record::Upstream) -> HopUpstream {
    HopUpstream {
        name: upstream.name.clone(),
        host: upstream.host.clone(),
        ip: upstream.ip,
        port: upstream.port,
        tried: upstream.tried.iter().map(Tried::from).collect(),
    }
}
