//! Refusals for too much mail by the exchangers of a domain: some are everyday, many at once are not.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::account::Refusal;
use super::options::Options;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::pair::{Pair, PairRef};
use crate::anomaly::room;
use crate::anomaly::window::{Evidence, MINUTE, Sliding};
use crate::diagnose::Rules;
use crate::trace::{AboutKind, Anomaly, Cause, Severity, WallMicros};
use crate::wording::{several, share};

/// Destinations that refuse something, at most.
const MOST: usize = 2_000;
/// Of the tries, so much must be refused. Percent.
const LEAST_PERCENT: u64 = 20;

#[derive(Debug, Serialize, Deserialize)]
struct Far {
    refused: Evidence,
    tries: Sliding,
    words: String,
    provider: Option<String>,
    cause: Cause,
}

/// By upstream and destination: a provider, or a domain.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Refusals {
    by_destination: HashMap<Pair, Far>,
    pub forgotten: u64,
}

impl Refusals {
    /// Something was tried there. Counted only where something was refused lately.
    pub fn tried(&mut self, upstream: &str, destination: &str, at: WallMicros) {
        if self.by_destination.is_empty() {
            return;
        }
        if let Some(far) = self.by_destination.get_mut(&PairRef(upstream, destination)) {
            far.tries.add(at, 1);
        }
    }

    /// It was refused; [`tried`](Self::tried) has counted it if the destination is known.
    pub fn refused(&mut self, upstream: &str, destination: &str, cause: Cause, refusal: &Refusal<'_>) {
        let key = PairRef(upstream, destination);
        if !self.by_destination.contains_key(&key) {
            if self.by_destination.len() >= MOST {
                self.by_destination.retain(|_, far| refusal.at < far.refused.last.saturating_add(10 * MINUTE));
            }
            if self.by_destination.len() >= MOST {
                self.forgotten += room::make(&mut self.by_destination, |far| far.refused.last);
            }
            let mut tries = Sliding::new(10, MINUTE);
            tries.add(refusal.at, 1);
            let far = Far {
                refused: Evidence::new(Sliding::new(10, MINUTE)),
                tries,
                words: refusal.words.to_owned(),
                provider: refusal.provider.map(str::to_owned),
                cause,
            };
            self.by_destination.insert(Pair::from(&key), far);
        }
        if let Some(far) = self.by_destination.get_mut(&key) {
            far.refused.add(refusal.at, refusal.id, 1);
        }
    }

    pub fn judge(&mut self, now: WallMicros, options: &Options, findings: &mut Findings) {
        self.by_destination.retain(|key, far| {
            let (refused, tries) = (far.refused.count(now), far.tries.count(now).max(1));
            if refused >= options.rate_refusals_mx && refused * 100 >= tries * LEAST_PERCENT {
                findings.raise(far.finding(key, refused, tries, options));
            }
            refused > 0
        });
    }
}

impl Far {
    fn finding(&mut self, key: &Pair, refused: u64, tries: u64, options: &Options) -> Finding {
        let destination = &key.1;
        let summary = format!(
            "{destination} refuses {} of the last 10 min as too many; it says: {}",
            several(refused, "message", "messages"),
            self.words
        );
        let arithmetic = format!(
            "{} refused for that reason within 10 min; threshold {} and {LEAST_PERCENT} %",
            share(refused, tries),
            options.rate_refusals_mx
        );
        let fresh = self.refused.take_fresh();
        let advice = Rules::builtin().advice(self.cause, self.provider.as_deref());
        Finding::new(Anomaly::RateLimited, Severity::Warning, summary, arithmetic)
            .about(AboutKind::Upstream, key.0.as_str())
            .about(AboutKind::Domain, destination.as_str())
            .caused(self.cause)
            .advising(self.cause.act(), advice)
            .evidence(self.refused.since, self.refused.last, fresh, self.refused.samples())
    }
}
