//! Which records are of one message. Never by the Message-ID alone: forwards, BCC legs and careless programs re-use it.
//!
//! Here the attempts through this proxy find each other; [`logs`] and [`reports`] are tied to them ([`refusals`]: without any id), [`passages`] tells a
//! retry from the next hop.

mod logs;
mod passages;
mod refusals;
mod reports;

use std::collections::HashMap;

use super::answer::{Confidence, JoinedBy, Tie};
use crate::trace::{Recipient, State, Transaction};

pub use logs::{Line, TOLD_US, attach_logs};
pub use refusals::{NEAR_US, quoted, refused};
pub use reports::{Told, attach_reports};

/// Longest pause between attempts, and the longest time that a report or a log line comes after: a mail server's usual queue life.
pub const QUEUE_LIFE_US: u64 = 5 * 86_400_000_000;
/// How much the size of a message may change on its way through a server (header fields added, encodings changed), where nothing
/// better tells it from a namesake.
const SIZE_GROWS: u64 = 32 * 1024;

/// All that is known of one message, each in time order.
#[derive(Debug, Default)]
pub struct Group {
    pub attempts: Vec<Attempt>,
    pub logs: Vec<Line>,
    pub reports: Vec<Told>,
    /// Each recipient's state after the attempts so far.
    standing: HashMap<String, State>,
}

/// A transaction through this proxy.
#[derive(Debug)]
pub struct Attempt {
    pub transaction: Transaction,
    pub tie: Tie,
    /// Which time the message came here, from 1: attempts of one passage are retries of each other.
    pub passage: u32,
}

/// Sorts transactions into messages, oldest message first.
pub fn join(mut transactions: Vec<Transaction>) -> Vec<Group> {
    transactions.sort_by_key(|transaction| (transaction.at, transaction.id));
    transactions.dedup_by_key(|transaction| transaction.id);
    let mut groups: Vec<Group> = Vec::new();
    for transaction in transactions {
        // What is surest wins; among equals the group spoken to last.
        let tie = groups
            .iter()
            .enumerate()
            .filter_map(|(index, group)| group.tie(&transaction).map(|tie| (index, tie)))
            .max_by_key(|&(index, tie)| (tie.confidence, groups.get(index).map(Group::last_at)));
        match tie.and_then(|(index, tie)| groups.get_mut(index).map(|group| (group, tie))) {
            Some((group, tie)) => group.push(transaction, tie),
            None => groups.push(Group::of(transaction)),
        }
    }
    absorb(&mut groups);
    groups.iter_mut().for_each(|group| passages::number(&mut group.attempts));
    groups
}

/// Attempts that ended before any header, and whose retry was seen to be of another message for a stronger reason: they are of that one.
fn absorb(groups: &mut Vec<Group>) {
    let mut place = 0;
    while let Some(group) = groups.get(place) {
        if !group.transactions().all(is_headerless) {
            place += 1;
            continue;
        }
        let retries = groups.iter().enumerate().filter(|(other, _)| *other != place);
        let retries = retries.flat_map(|(other, later)| later.transactions().map(move |it| (it.at, other, it)));
        let next =
            retries.filter(|(at, _, it)| *at > group.last_at() && !is_headerless(it) && group.probably_same(it)).min_by_key(|(at, ..)| *at);
        let Some((_, other, _)) = next else {
            place += 1;
            continue;
        };
        let mut early = groups.remove(place);
        let other = if other > place { other - 1 } else { other };
        if let Some(later) = groups.get_mut(other) {
            early.attempts.iter_mut().for_each(|attempt| attempt.tie = JoinedBy::Envelope.with(Confidence::Probable));
            later.attempts.append(&mut early.attempts);
            later.attempts.sort_by_key(|attempt| (attempt.transaction.at, attempt.transaction.id));
            for (address, state) in early.standing {
                later.standing.entry(address).or_insert(state);
            }
        }
    }
}

/// Addresses are compared as mail servers in practice do: without regard to case.
pub fn key(address: &str) -> String {
    address.to_ascii_lowercase()
}

/// What a recipient was called before it was rewritten (ORCPT, RFC 3461 §4.2), if it says so.
pub fn original(recipient: &Recipient) -> Option<String> {
    let (kind, address) = recipient.orcpt.as_deref()?.split_once(';')?;
    kind.trim().eq_ignore_ascii_case("rfc822").then(|| key(address.trim()))
}

/// Nothing of the message itself was seen: it ended before DATA.
pub fn is_headerless(transaction: &Transaction) -> bool {
    let message = &transaction.message;
    message.message_id.is_none() && message.header_digest.is_none() && message.body_digest.is_none()
}

/// The client keeps a message in this state and comes again.
pub fn comes_again(state: State) -> bool {
    matches!(state, State::Deferred | State::Aborted | State::Unknown)
}

/// When the last word of a transaction fell.
pub fn ended_at(transaction: &Transaction) -> u64 {
    transaction.at.saturating_add(transaction.duration_us)
}

pub fn same(one: Option<&str>, other: Option<&str>) -> bool {
    one.zip(other).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
}

impl Group {
    fn of(transaction: Transaction) -> Self {
        let mut group = Self::default();
        group.push(transaction, JoinedBy::First.with(Confidence::Proof));
        group
    }

    fn push(&mut self, transaction: Transaction, tie: Tie) {
        for recipient in &transaction.envelope.recipients {
            let standing = self.standing.entry(key(&recipient.address)).or_insert(recipient.state);
            if *standing != State::Accepted {
                *standing = recipient.state;
            }
        }
        self.attempts.push(Attempt { transaction, tie, passage: 1 });
    }

    pub fn transactions(&self) -> impl DoubleEndedIterator<Item = &Transaction> {
        self.attempts.iter().map(|attempt| &attempt.transaction)
    }

    /// The latest that is known of it.
    pub fn last_at(&self) -> u64 {
        let attempt = self.attempts.last().map_or(0, |attempt| attempt.transaction.at);
        attempt.max(self.logs.iter().filter(|_| self.attempts.is_empty()).map(Line::moment).max().unwrap_or(0))
    }

    pub fn message_id(&self) -> Option<&str> {
        self.transactions()
            .find_map(|it| it.message.message_id.as_deref())
            .or_else(|| self.logs.iter().find_map(|line| line.log.message_id.as_deref()))
    }

    /// The ids that servers have for it.
    pub fn queue_ids(&self) -> impl Iterator<Item = &str> {
        let of_attempts = self
            .transactions()
            .flat_map(|it| [it.outcome.upstream_queue_id.as_deref(), it.message.client_queue_id.as_deref(), it.envelope.envid.as_deref()]);
        let of_logs = self.logs.iter().flat_map(|line| [line.log.queue_id.as_deref(), line.log.goes_on_as()]);
        of_attempts.chain(of_logs).flatten()
    }

    /// What makes the transaction an attempt of this message, if anything does.
    fn tie(&self, transaction: &Transaction) -> Option<Tie> {
        let message = &transaction.message;
        let any = |test: &dyn Fn(&Transaction) -> bool| self.transactions().any(test);
        let same_digest = any(&|earlier| message.body_digest.is_some() && earlier.message.body_digest == message.body_digest);
        let same_queue_id = any(&|earlier| {
            same(earlier.message.client_queue_id.as_deref(), message.client_queue_id.as_deref())
                && earlier.client.ip == transaction.client.ip
                && transaction.at.saturating_sub(earlier.at) <= QUEUE_LIFE_US
        });
        let known_id = self.transactions().find_map(|earlier| earlier.message.message_id.as_deref());
        match (known_id, message.message_id.as_deref()) {
            (Some(known), Some(id)) if known == id => {
                // The same octets to others are another leg: a blind copy, a list's member.
                let same_octets = same_digest && self.knows_recipient(transaction);
                if same_octets && self.same_sender(transaction) {
                    Some(JoinedBy::MessageId.with(Confidence::Proof))
                } else if same_queue_id && same_digest {
                    // Legs of one entry of the client's queue.
                    Some(JoinedBy::QueueId.with(Confidence::Proof))
                } else if any(&|earlier| handed_on(earlier, transaction)) {
                    Some(JoinedBy::QueueId.with(Confidence::Proof))
                } else if same_octets || (self.same_envelope(transaction) && self.same_text(transaction)) {
                    Some(JoinedBy::MessageId.with(Confidence::Strong))
                } else {
                    None
                }
            }
            _ if any(&|earlier| handed_on(earlier, transaction) && is_from(earlier, transaction)) => {
                Some(JoinedBy::QueueId.with(Confidence::Proof))
            }
            (Some(_), Some(_)) => None,
            _ if same_queue_id => Some(JoinedBy::QueueId.with(Confidence::Proof)),
            (None, None) if same_digest && self.knows_recipient(transaction) => Some(JoinedBy::BodyDigest.with(Confidence::Proof)),
            _ => self.probably_same(transaction).then_some(JoinedBy::Envelope.with(Confidence::Probable)),
        }
    }

    fn same_sender(&self, transaction: &Transaction) -> bool {
        self.transactions().any(|earlier| earlier.envelope.reverse_path.eq_ignore_ascii_case(&transaction.envelope.reverse_path))
    }

    fn same_envelope(&self, transaction: &Transaction) -> bool {
        self.same_sender(transaction) && self.knows_recipient(transaction)
    }

    /// A recipient in common, by its name now or before.
    fn knows_recipient(&self, transaction: &Transaction) -> bool {
        let recipients = &transaction.envelope.recipients;
        let knows = |recipient: &Recipient| {
            self.standing.contains_key(&key(&recipient.address)) || original(recipient).is_some_and(|it| self.standing.contains_key(&it))
        };
        recipients.is_empty() || recipients.iter().any(knows)
    }

    /// The header doesn't speak against it: the Date says so where both have one, or else subject and size. A program that gives all
    /// its messages one Message-ID gives each its own Date.
    fn same_text(&self, transaction: &Transaction) -> bool {
        let message = &transaction.message;
        let Some(known) = self.transactions().rev().map(|it| &it.message).find(|known| known.message_id.is_some()) else { return true };
        if let (Some(known), Some(date)) = (&known.date, &message.date) {
            return known == date;
        }
        let same_subject = known.subject.as_ref().zip(message.subject.as_ref()).is_none_or(|(known, subject)| known == subject);
        let both_ended = known.body_digest.is_some() && message.body_digest.is_some();
        let room = SIZE_GROWS.max(known.size.max(message.size) / 2);
        same_subject && (!both_ended || known.size.abs_diff(message.size) <= room)
    }

    /// Where one side ended before any header: the same client tries the same sender and recipients again, and each of
    /// them was still to be retried. A refusal for good is never continued: what follows it is another message.
    fn probably_same(&self, transaction: &Transaction) -> bool {
        let headerless = is_headerless(transaction) || self.transactions().all(is_headerless);
        let recipients = &transaction.envelope.recipients;
        let last_at = self.attempts.last().map_or(0, |attempt| attempt.transaction.at);
        headerless
            && !recipients.is_empty()
            && self.transactions().any(|earlier| earlier.client.ip == transaction.client.ip)
            && self.same_sender(transaction)
            && transaction.at.saturating_sub(last_at) <= QUEUE_LIFE_US
            && recipients.iter().all(|recipient| self.standing.get(&key(&recipient.address)).is_some_and(|&state| comes_again(state)))
    }
}

/// The server that took it under a queue id now passes it on under the same.
fn handed_on(earlier: &Transaction, later: &Transaction) -> bool {
    same(earlier.outcome.upstream_queue_id.as_deref(), later.message.client_queue_id.as_deref())
        && earlier.at <= later.at
        && later.at - earlier.at <= QUEUE_LIFE_US
}

/// The later one's client is the server that took the earlier one.
fn is_from(earlier: &Transaction, later: &Transaction) -> bool {
    earlier.upstream.ip.is_some_and(|ip| ip.to_canonical() == later.client.ip.to_canonical())
        || same(earlier.upstream.host.as_deref(), later.client.helo.as_deref())
}
