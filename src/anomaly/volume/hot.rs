//! The last hour of somebody with much mail: where it goes, how it fares, and who is behind it.

use serde::{Deserialize, Serialize};

use super::whose::{Whose, WhoseRef};
use crate::anomaly::seen::{Seen, domain_of};
use crate::anomaly::window::{HOUR, SAMPLES};
use crate::trace::{RecordId, State, WallMicros};

/// Destinations that are told apart.
const MOST_DOMAINS: usize = 200;

/// Mail since it became much, an hour at least.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Hot {
    pub since: WallMicros,
    pub last: WallMicros,
    pub recipients: u32,
    /// Of these, refused or deferred.
    pub failed: u32,
    /// Hashes of the recipients' domains.
    domains: Vec<u32>,
    /// Who sends most of it, by a vote that needs no list: the one who is left over when unlike ones cancel each other out.
    by: Option<Whose>,
    votes: u32,
    fresh: u32,
    samples: Vec<RecordId>,
}

impl Hot {
    pub fn add(&mut self, seen: &Seen<'_>, count: u32, by: Option<WhoseRef<'_>>) {
        if self.recipients == 0 || seen.at > self.since + 2 * HOUR {
            *self = Self { since: seen.at, by: self.by.take(), votes: self.votes / 2, fresh: self.fresh, ..Self::default() };
        }
        self.last = self.last.max(seen.at);
        self.recipients = self.recipients.saturating_add(seen.recipient_count().min(10_000) as u32);
        self.fresh = self.fresh.saturating_add(count);
        if self.samples.len() >= SAMPLES {
            self.samples.remove(SAMPLES / 2);
        }
        self.samples.push(seen.id);
        for recipient in seen.transaction.iter().flat_map(|it| &it.envelope.recipients) {
            if matches!(recipient.state, State::Rejected | State::Deferred) {
                self.failed = self.failed.saturating_add(1);
            }
            let domain = hash(domain_of(&recipient.address));
            if self.domains.len() < MOST_DOMAINS && !self.domains.contains(&domain) {
                self.domains.push(domain);
            }
        }
        let Some(by) = by else { return };
        match &self.by {
            Some(known) if known.as_ref() == by => self.votes = self.votes.saturating_add(1),
            Some(_) if self.votes > 0 => self.votes -= 1,
            _ => (self.by, self.votes) = (Some(Whose::from(&by)), 1),
        }
    }

    /// Who sends most of it.
    pub fn mostly_by(&self) -> Option<&Whose> {
        self.by.as_ref().filter(|_| self.votes > 2)
    }

    /// Destinations, and whether there may be more of them.
    pub fn destinations(&self) -> (usize, bool) {
        (self.domains.len(), self.domains.len() >= MOST_DOMAINS)
    }

    pub fn failed_share(&self) -> f32 {
        self.failed as f32 / self.recipients.max(1) as f32
    }

    pub fn take_fresh(&mut self) -> u32 {
        std::mem::take(&mut self.fresh)
    }

    pub fn samples(&self) -> Vec<RecordId> {
        self.samples.clone()
    }
}

/// FNV-1a of small letters: short texts, and nothing depends on who could make two alike.
fn hash(text: &str) -> u32 {
    text.bytes().fold(0x811C_9DC5, |hash, octet| (hash ^ u32::from(octet.to_ascii_lowercase())).wrapping_mul(0x0100_0193))
}
