//! Clients that try addresses to see which exist.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};
use serde::{Deserialize, Serialize};

use super::{Options, network};
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::recent::hash;
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{HOUR, MINUTE, SAMPLES};
use crate::diagnose::{Act, Cause};
use crate::trace::{AboutKind, Anomaly, Direction, RecordId, Severity, WallMicros};
use crate::wording::clock;

/// Clients looked at.
const MOST_CLIENTS: usize = 5_000;
/// Addresses told apart for each.
const MOST_ADDRESSES: usize = 1_000;

/// What one client tried within an hour or so.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Tries {
    since: WallMicros,
    last: WallMicros,
    unknown: HashSet<u64>,
    recipients: u64,
    failed: u64,
    fresh: u64,
    told: bool,
    samples: Vec<RecordId>,
}

#[derive(Debug)]
pub struct Harvest {
    options: Options,
    by_client: HashMap<IpAddr, Tries>,
    forgotten: u64,
}

impl Harvest {
    pub fn new(options: Options) -> Self {
        Self { options, by_client: HashMap::new(), forgotten: 0 }
    }
}

impl Detector for Harvest {
    fn name(&self) -> &'static str {
        "directory_harvest"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let Some(transaction) = seen.transaction.filter(|it| it.direction == Direction::Inbound && !seen.is_synthetic()) else { return };
        let ip = network(transaction.client.ip);
        let recipients = &transaction.envelope.recipients;
        let unknown = recipients.iter().filter(|it| it.cause == Some(Cause::RecipientUnknown));
        if !self.by_client.contains_key(&ip) {
            if unknown.clone().next().is_none() {
                return;
            }
            if self.by_client.len() >= MOST_CLIENTS {
                self.forgotten += room::make(&mut self.by_client, |tries| tries.last);
            }
            self.by_client.insert(ip, Tries { since: seen.at, ..Tries::default() });
        }
        let Some(tries) = self.by_client.get_mut(&ip) else { return };
        if seen.at >= tries.since + HOUR && !tries.told {
            *tries = Tries { since: seen.at, ..Tries::default() };
        }
        tries.recipients += recipients.len() as u64;
        for recipient in unknown {
            tries.failed += 1;
            tries.fresh += 1;
            tries.last = tries.last.max(seen.at);
            if tries.unknown.len() < MOST_ADDRESSES {
                tries.unknown.insert(hash(&recipient.address));
            }
            if tries.samples.last() != Some(&seen.id) {
                if tries.samples.len() >= SAMPLES {
                    tries.samples.remove(SAMPLES / 2);
                }
                tries.samples.push(seen.id);
            }
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let options = &self.options;
        self.by_client.retain(|ip, tries| {
            // A clock that was ahead keeps nobody here.
            (tries.since, tries.last) = (tries.since.min(now), tries.last.min(now));
            let share = tries.failed as f32 / tries.recipients.max(1) as f32;
            if tries.last + 30 * MINUTE < now {
                // Told or not, it is over.
                return tries.since + HOUR > now && !tries.told;
            }
            if tries.unknown.len() < options.harvest_recipients || share < options.harvest_share {
                return true;
            }
            tries.told = true;
            let more = if tries.unknown.len() >= MOST_ADDRESSES { "at least " } else { "" };
            let summary = format!("{ip} tries addresses: {more}{} unknown recipients since {}", tries.unknown.len(), clock(tries.since, now));
            let arithmetic = format!(
                "{more}{} different unknown recipients ({} of {} named, {:.0} %); told from {} and {:.0} % on",
                tries.unknown.len(),
                tries.failed,
                tries.recipients,
                100.0 * share,
                options.harvest_recipients,
                100.0 * options.harvest_share
            );
            let finding = Finding::new(Anomaly::DirectoryHarvest, Severity::Notice, summary, arithmetic)
                .about(AboutKind::Client, ip.to_string())
                .caused(Cause::RecipientUnknown)
                .advising(Act::LocalAdmin, "Nothing is lost: the server refuses them. If it goes on, block the address at the firewall. If it is a partner's server, its address list is old: tell him.")
                .evidence(tries.since, tries.last, std::mem::take(&mut tries.fresh), tries.samples.clone());
            findings.raise(finding);
            true
        });
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &self.by_client)
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some(by_client) = kept::read(1, kept) else { return false };
        self.by_client = by_client;
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}
