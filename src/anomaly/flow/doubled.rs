//! Messages that went out again after an outcome in doubt: their recipients may have them twice.

use serde::{Deserialize, Serialize};

use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::recent::Recent;
use crate::anomaly::seen::{Seen, domain_of};
use crate::anomaly::window::{DAY, HOUR, MINUTE, Sliding, Tallies};
use crate::trace::{AboutKind, Act, Anomaly, Record, RecordId, Severity, State, WallMicros};
use crate::wording::{clock, number, span};

/// Messages in doubt that are remembered.
const MOST_IN_DOUBT: usize = 10_000;
const MOST_UPSTREAMS: usize = 200;

/// A message whose fate isn't known.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct InDoubt {
    id: RecordId,
    at: WallMicros,
}

#[derive(Debug)]
pub struct Doubled {
    in_doubt: Recent<InDoubt>,
    /// Records that turned out well or badly after all.
    settled: Recent<State>,
    /// By upstream.
    tallies: Tallies<String>,
    /// The latest: how long after, and to whom.
    latest: Option<(u64, String)>,
    /// Nothing is asked before the first message in doubt.
    any: bool,
}

impl Default for Doubled {
    fn default() -> Self {
        Self {
            in_doubt: Recent::new(DAY, MOST_IN_DOUBT),
            settled: Recent::new(DAY, MOST_IN_DOUBT),
            tallies: Tallies::new(Sliding::new(6, 10 * MINUTE), MOST_UPSTREAMS),
            latest: None,
            any: false,
        }
    }
}

impl Detector for Doubled {
    fn name(&self) -> &'static str {
        "duplicates"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        if let Record::Amendment(amendment) = seen.record {
            let key = self.settled.key(amendment.of);
            self.settled.touch(key, seen.at, || amendment.outcome.state);
            return;
        }
        let Some(transaction) = seen.transaction.filter(|_| !seen.is_synthetic()) else { return };
        let state = transaction.outcome.state;
        let in_doubt = state == State::Unknown;
        if !(in_doubt || (self.any && matches!(state, State::Accepted | State::Partial))) {
            return;
        }
        let (Some(digest), Some(recipient)) = (transaction.message.body_digest, transaction.envelope.recipients.first()) else { return };
        let key = self.in_doubt.key((digest, &recipient.address));
        if in_doubt {
            self.any = true;
            self.in_doubt.touch(key, seen.at, || InDoubt { id: seen.id, at: seen.at });
            return;
        }
        let Some(before) = self.in_doubt.remove(key) else { return };
        // A late reply may have refused the first one.
        if matches!(self.settled.find(self.settled.key(before.id)), Some(State::Rejected | State::Deferred)) {
            return;
        }
        let upstream = seen.upstream_name().unwrap_or_default();
        self.tallies.add(upstream, seen.at, before.id, 1);
        self.tallies.add(upstream, seen.at, seen.id, 0);
        self.latest = Some((seen.at.saturating_sub(before.at), domain_of(&recipient.address).to_owned()));
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let latest = &self.latest;
        self.tallies.judge(now, |upstream, evidence, times| {
            let messages = if times == 1 { "1 message was".to_owned() } else { format!("{} messages were", number(times)) };
            let summary = format!("{messages} sent again through {upstream} after an outcome in doubt, and taken: recipients may have them twice");
            let mut arithmetic =
                format!("same octets, same recipient: first without a reply after end-of-data, then accepted; {times} since {}", clock(evidence.since, now));
            if let Some((after, domain)) = latest {
                arithmetic.push_str(&format!("; the latest to {domain}, {} later", span(*after)));
            }
            let severity = if times >= 5 { Severity::Warning } else { Severity::Notice };
            let finding = Finding::new(Anomaly::Duplicates, severity, summary, arithmetic)
                .about(AboutKind::Upstream, upstream)
                .advising(
                    Act::SmartHost,
                    "The upstream took the messages, or lost them, without saying so in time. Look at the first sample of each pair: how long did it wait for the reply (content scanners, a full disk behind it)? Raise the client's time-out for end-of-data to 10 min at least (RFC 5321 §4.5.3.2.6).",
                )
                .evidence(evidence.since, evidence.last, evidence.take_fresh(), evidence.samples());
            findings.raise(Finding { quiet_after_us: Some(HOUR), ..finding });
        });
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &(&self.in_doubt, &self.settled, self.tallies.all(), &self.latest, self.any))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((in_doubt, settled, tallies, latest, any)) = kept::read(1, kept) else { return false };
        self.in_doubt.take_back(in_doubt);
        self.settled.take_back(settled);
        self.tallies.take_back(tallies);
        (self.latest, self.any) = (latest, any);
        true
    }

    fn forgotten(&self) -> u64 {
        self.in_doubt.forgotten + self.settled.forgotten + self.tallies.forgotten
    }
}
