//! Many bounces to one address: to mail that it sent, or that somebody sent in its name.

use serde::{Deserialize, Serialize};

use super::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::recent::Recent;
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::volume::usual::{Usual, WEEK_HOURS};
use crate::anomaly::window::{DAY, HOUR, MINUTE, Sliding, Tallies};
use crate::trace::{AboutKind, Act, Anomaly, Direction, Flag, Severity, WallMicros};
use crate::wording::{clock, mean, number};

/// Addresses with bounces, and those whose habits are known.
const MOST_ADDRESSES: usize = 2_000;
/// Senders remembered for a day or two.
const MOST_SENDERS: usize = 50_000;

/// A wave that is on, by what was usual when it began: it is learnt, but doesn't excuse itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Wave {
    /// Its first and its last hour.
    first: u32,
    last: u32,
    peak: f32,
    around: f32,
}

#[derive(Debug)]
pub struct Bounces {
    options: Options,
    tallies: Tallies<String>,
    /// How many each usually gets, of those that got many.
    usual: hashbrown::HashMap<String, Usual>,
    waves: hashbrown::HashMap<String, Wave>,
    /// Who sent mail within the last day.
    senders: Recent<()>,
    forgotten: u64,
}

impl Bounces {
    pub fn new(options: Options) -> Self {
        let tallies = Tallies::new(Sliding::new(6, 10 * MINUTE), MOST_ADDRESSES);
        Self {
            options,
            tallies,
            usual: hashbrown::HashMap::new(),
            waves: hashbrown::HashMap::new(),
            senders: Recent::new(DAY, MOST_SENDERS),
            forgotten: 0,
        }
    }
}

impl Detector for Bounces {
    fn name(&self) -> &'static str {
        "bounce_wave"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let Some(transaction) = seen.transaction.filter(|_| !seen.is_synthetic()) else { return };
        let sender = transaction.envelope.reverse_path.as_str();
        if !sender.is_empty() && !seen.has(Flag::Report) {
            if transaction.direction == Direction::Outbound {
                let key = self.senders.key(sender);
                self.senders.touch(key, seen.at, || ());
            }
            return;
        }
        // A bounce has one recipient.
        let [recipient] = transaction.envelope.recipients.as_slice() else { return };
        let address = recipient.address.as_str();
        self.tallies.add(address, seen.at, seen.id, 1);
        if let Some(usual) = self.usual.get_mut(address) {
            usual.add(seen.at, 1, |_, count| Some(count));
        } else if self.usual.len() < MOST_ADDRESSES && self.tallies.find(address).is_some_and(|it| it.window.count_at(seen.at) >= 5) {
            let mut usual = Usual::new(seen.at);
            usual.add(seen.at, 5, |_, count| Some(count));
            self.usual.insert(address.to_owned(), usual);
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let Self { options, tallies, usual, waves, senders, forgotten } = self;
        let this_hour = (now / HOUR) as u32;
        tallies.judge(now, |address, evidence, bounces| {
            if bounces < u64::from(options.bounces) {
                return;
            }
            let (peak, around) = usual.get_mut(address).map_or((0.0, 0.0), |usual| {
                usual.set_back(now);
                usual.pass(now, |_, count| Some(count));
                (usual.peak, usual.around(now))
            });
            let wave = waves.get(address).filter(|wave| this_hour < wave.first.saturating_add(WEEK_HOURS as u32));
            let (peak, around) = wave.map_or((peak, around), |wave| (wave.peak, wave.around));
            // Hours that this wave itself has made usual don't excuse it before the next day.
            let limit = (options.bounces as f32).max(3.0 * around).max(if evidence.since + DAY / 2 > now { 0.0 } else { 1.5 * peak });
            if (bounces as f32) < limit {
                return;
            }
            waves.entry(address.clone()).or_insert(Wave { first: this_hour, last: this_hour, peak, around }).last = this_hour;
            let sent = senders.find(senders.key(address.as_str())).is_some();
            let why = if sent { "it sent mail itself lately" } else { "it sent nothing here within a day: its name is forged (backscatter)" };
            let summary = format!("{} bounces to {address} within the last hour; {why}", number(bounces));
            let arithmetic = format!(
                "{} in 60 min; limit {}: the larger of {} and 3 × {} usual at this hour; since {}",
                number(bounces),
                number(limit as u64),
                options.bounces,
                mean(around),
                clock(evidence.since, now)
            );
            let advice = if sent {
                "Look at what that address sent: a list with many dead addresses should be cleaned; mail that it didn't write means that its password is known to somebody: change it."
            } else {
                "Nobody here sent these messages. SPF and DMARC with p=reject for your domain make forging worthless; until it is over, refuse bounces to that address or mute this."
            };
            let mut finding = Finding::new(Anomaly::BounceWave, Severity::Warning, summary, arithmetic)
                .about(AboutKind::Recipient, address)
                .advising(Act::LocalAdmin, advice)
                .evidence(evidence.since, evidence.last, evidence.take_fresh(), evidence.samples());
            finding.baseline = Some(format!("{} an hour at this time, {} in the busiest", mean(around), mean(peak)));
            finding.quiet_after_us = Some(HOUR);
            findings.raise(finding);
        });
        waves.retain(|_, wave| (wave.last..=wave.last.saturating_add(1)).contains(&this_hour));
        if usual.len() >= MOST_ADDRESSES {
            let week_ago = (now / HOUR).saturating_sub(168) as u32;
            *forgotten += room::drop_where(usual, |usual| usual.hour <= week_ago);
        }
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(2, &(self.tallies.all(), &self.usual, &self.senders, &self.waves))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        // Version 1 knew of no waves.
        let before = || kept::read(1, kept).map(|(tallies, usual, senders)| (tallies, usual, senders, hashbrown::HashMap::new()));
        let Some((tallies, usual, senders, waves)) = kept::read(2, kept).or_else(before) else { return false };
        self.tallies.take_back(tallies);
        (self.usual, self.waves) = (usual, waves);
        self.senders.take_back(senders);
        true
    }

    fn forgotten(&self) -> u64 {
        self.tallies.forgotten + self.senders.forgotten + self.forgotten
    }
}
