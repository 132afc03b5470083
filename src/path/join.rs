//! Which records are attempts of one message. Never the Message-ID alone: forwards, BCC legs and careless programs re-use it.

use std::collections::HashMap;

use super::answer::JoinedBy;
use crate::trace::{State, Transaction};

/// Longest pause between attempts that only the envelope ties together: a mail server's usual queue life.
const QUEUE_LIFE_US: u64 = 5 * 86_400_000_000;

/// The attempts of one message, in time order.
#[derive(Debug)]
pub struct Group {
    pub attempts: Vec<(Transaction, JoinedBy)>,
    /// Each recipient's state after the attempts so far.
    standing: HashMap<String, State>,
}

/// Sorts transactions into messages, oldest message first.
pub fn join(mut transactions: Vec<Transaction>) -> Vec<Group> {
    transactions.sort_by_key(|transaction| (transaction.at, transaction.id));
    transactions.dedup_by_key(|transaction| transaction.id);
    let mut groups: Vec<Group> = Vec::new();
    for transaction in transactions {
        // The group spoken to last wins; a proof beats a probability.
        let tie = groups
            .iter()
            .enumerate()
            .filter_map(|(index, group)| group.tie(&transaction).map(|by| (index, by)))
            .max_by_key(|&(index, by)| (by != JoinedBy::Envelope, groups.get(index).map(Group::last_at)));
        match tie.and_then(|(index, by)| groups.get_mut(index).map(|group| (group, by))) {
            Some((group, by)) => group.push(transaction, by),
            None => groups.push(Group::of(transaction)),
        }
    }
    groups
}

/// Addresses are compared as mail servers in practice do: without regard to case.
pub fn key(address: &str) -> String {
    address.to_ascii_lowercase()
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

impl Group {
    fn of(transaction: Transaction) -> Self {
        let mut group = Self { attempts: Vec::new(), standing: HashMap::new() };
        group.push(transaction, JoinedBy::First);
        group
    }

    fn push(&mut self, transaction: Transaction, by: JoinedBy) {
        for recipient in &transaction.envelope.recipients {
            let standing = self.standing.entry(key(&recipient.address)).or_insert(recipient.state);
            if *standing != State::Accepted {
                *standing = recipient.state;
            }
        }
        self.attempts.push((transaction, by));
    }

    fn last_at(&self) -> u64 {
        self.attempts.last().map_or(0, |(transaction, _)| transaction.at)
    }

    /// What makes the transaction an attempt of this message, if anything does.
    fn tie(&self, transaction: &Transaction) -> Option<JoinedBy> {
        let message = &transaction.message;
        let any = |test: &dyn Fn(&Transaction) -> bool| self.attempts.iter().any(|(earlier, _)| test(earlier));
        let same_digest = any(&|earlier| message.body_digest.is_some() && earlier.message.body_digest == message.body_digest);
        let same_queue_id = any(&|earlier| {
            message.client_queue_id.is_some()
                && earlier.message.client_queue_id == message.client_queue_id
                && earlier.client.ip == transaction.client.ip
        });
        let known_id = self.attempts.iter().find_map(|(earlier, _)| earlier.message.message_id.as_deref());
        match (known_id, message.message_id.as_deref()) {
            (Some(known), Some(id)) => (known == id && (same_digest || self.same_envelope(transaction))).then_some(JoinedBy::MessageId),
            _ if same_queue_id => Some(JoinedBy::QueueId),
            (None, None) if same_digest => Some(JoinedBy::BodyDigest),
            _ => self.probably_same(transaction).then_some(JoinedBy::Envelope),
        }
    }

    fn same_sender(&self, transaction: &Transaction) -> bool {
        self.attempts.iter().any(|(earlier, _)| earlier.envelope.reverse_path.eq_ignore_ascii_case(&transaction.envelope.reverse_path))
    }

    /// The same sender and a recipient in common.
    fn same_envelope(&self, transaction: &Transaction) -> bool {
        self.same_sender(transaction)
            && (transaction.envelope.recipients.is_empty()
                || transaction.envelope.recipients.iter().any(|recipient| self.standing.contains_key(&key(&recipient.address))))
    }

    /// Where one side ended before any header: the same client tries the same sender and recipients again, and each of
    /// them was still to be retried. A refusal for good is never continued: what follows it is another message.
    fn probably_same(&self, transaction: &Transaction) -> bool {
        let headerless = is_headerless(transaction) || self.attempts.iter().all(|(earlier, _)| is_headerless(earlier));
        let recipients = &transaction.envelope.recipients;
        headerless
            && !recipients.is_empty()
            && self.attempts.iter().any(|(earlier, _)| earlier.client.ip == transaction.client.ip)
            && self.same_sender(transaction)
            && transaction.at.saturating_sub(self.last_at()) <= QUEUE_LIFE_US
            && recipients.iter().all(|recipient| self.standing.get(&key(&recipient.address)).is_some_and(|&state| comes_again(state)))
    }
}
