//! Marks that no record followed: transactions that had passed end-of-data when the journal was last heard of.
//!
//! A mark lives in an active file only. When that is sealed, its marks are left out, and those still open written once more.

use std::collections::BTreeMap;

use super::log::Scan;
use crate::trace::{
    Actor, Flag, Mark, Outcome, Phases, Record, RecordId, RecordKind, Stage, State, Timeline, Transaction, WallMicros, stored,
};

/// What a record made from a mark says.
const DIED: &str = "relayscope ended, or this copy of its store was made, before the reply to end-of-data came";
/// Where records were lost after the mark was made.
const LOST_OR_DIED: &str = "no record of the reply to end-of-data could be stored, as of others while the store could not be written; or relayscope ended before it came";

/// Marks without a record so far.
#[derive(Debug, Default)]
pub(super) struct OpenMarks(BTreeMap<RecordId, Stored>);

#[derive(Debug)]
struct Stored {
    version: u16,
    /// Of the process that wrote it.
    salt: u32,
    octets: Vec<u8>,
}

impl OpenMarks {
    /// Takes in what the scan of the next file found.
    pub fn note(&mut self, version: u16, salt: u32, octets: &[u8], scan: &Scan) {
        self.0.retain(|id, _| !scan.transactions.contains(id));
        for (&id, range) in &scan.open_marks {
            let octets = octets.get(range.clone()).unwrap_or_default().to_vec();
            if tells_more(&octets, self.0.get(&id).map(|known| known.octets.len())) {
                self.0.insert(id, Stored { version, salt, octets });
            }
        }
    }

    /// Those of other processes than the one with the salt `own`.
    pub fn decoded(self, own: u32) -> Vec<Mark> {
        let decode = |mark: Stored| match stored::decode(mark.version, RecordKind::Mark, &mark.octets) {
            Ok(Record::Mark(mark)) => Some(*mark),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "a mark does not decode");
                None
            }
        };
        self.0.into_values().filter(|mark| mark.salt != own).filter_map(decode).collect()
    }
}

/// Whether a mark tells more than the one of the same transaction that stands before it, of so many octets. One that is carried over from a
/// sealed file may come behind its renewal, which is the longer.
pub(super) fn tells_more(octets: &[u8], known: Option<usize>) -> bool {
    known.is_none_or(|known| known <= octets.len())
}

/// Why a mark is open that the process before left. `lost_until`: when records were lost last, if any were.
pub(super) fn why_open(mark: &Mark, lost_until: Option<WallMicros>) -> &'static str {
    if lost_until.is_some_and(|until| mark.at <= until) { LOST_OR_DIED } else { DIED }
}

/// The record of a transaction of which only the mark is known.
pub(super) fn in_doubt(mark: &Mark, why: &str) -> Record {
    let mut envelope = mark.envelope.clone();
    for recipient in envelope.recipients.iter_mut().filter(|recipient| recipient.state == State::Accepted) {
        (recipient.state, recipient.stage, recipient.by) = (State::Unknown, Stage::EndOfData, Actor::Proxy);
    }
    Record::Transaction(Box::new(Transaction {
        id: mark.id,
        session_id: mark.session_id,
        transaction_no: mark.transaction_no,
        origin: mark.origin.clone(),
        route_rule: None,
        at: mark.at,
        duration_us: 0,
        listener: mark.listener.clone(),
        direction: mark.direction,
        client: mark.client.clone(),
        upstream: mark.upstream.clone(),
        envelope,
        message: mark.message.as_deref().cloned().unwrap_or_default(),
        phases: Phases::default(),
        outcome: Outcome::of(State::Unknown, Stage::EndOfData, Actor::Proxy, None, Some(why.to_owned())),
        flags: vec![Flag::InDoubt],
        timeline: Timeline::default(),
    }))
}
