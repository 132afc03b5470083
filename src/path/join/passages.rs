//! Retries and hops: attempts with which a client tries again, and those with which the message comes by once more.

use super::Attempt;
use crate::trace::{State, Transaction};

/// What attempts of one passage have in common.
struct Passage {
    listener: String,
    client: std::net::IpAddr,
    /// Received fields of the message, where its header was seen.
    received: Option<u32>,
    accepted: bool,
}

/// Numbers the passages of a message, in time order.
pub fn number(attempts: &mut [Attempt]) {
    let mut passages: Vec<Passage> = Vec::new();
    for attempt in attempts {
        let it = &attempt.transaction;
        let place = match passages.iter().rposition(|passage| passage.goes_on_with(it)) {
            Some(place) => place,
            None => {
                passages.push(Passage { listener: it.listener.clone(), client: it.client.ip, received: None, accepted: false });
                passages.len() - 1
            }
        };
        if let Some(passage) = passages.get_mut(place) {
            passage.received = passage.received.or(received(it));
            passage.accepted |= matches!(it.outcome.state, State::Accepted | State::Partial);
        }
        attempt.passage = u32::try_from(place + 1).unwrap_or(u32::MAX);
    }
}

/// Each server on the way adds a Received field, so that their number tells how far a message has come.
fn received(transaction: &Transaction) -> Option<u32> {
    transaction.message.message_id.is_some().then_some(transaction.message.received_count)
}

impl Passage {
    /// A retry comes with as many Received fields, to the same listener or at least from the same client.
    fn goes_on_with(&self, it: &Transaction) -> bool {
        let same_count = self.received.zip(received(it)).is_none_or(|(known, count)| known == count);
        let same_place = self.listener == it.listener || (self.client == it.client.ip && !self.accepted);
        same_count && same_place
    }
}
