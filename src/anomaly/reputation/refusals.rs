//! Refusals that say why: a block list, reverse DNS, SPF, DKIM or DMARC.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::lists::{self, List};
use super::options::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::pair::{Pair, PairRef};
use crate::anomaly::room;
use crate::anomaly::seen::{Seen, domain_of};
use crate::anomaly::window::{DAY, Evidence, HOUR, Sliding};
use crate::diagnose::Rules;
use crate::trace::{AboutKind, Anomaly, Cause, Direction, Severity, WallMicros};
use crate::wording::{clock, quoted, several, share};

/// Keys of each kind, at most.
const MOST: usize = 2_000;
/// What was not refused again for so long is over. µs.
const OVER: u64 = 6 * HOUR;

/// Kind of refusal, with what it concerns: a list or receiver, or a sender's domain and a receiver.
#[derive(Debug)]
pub struct Refusals {
    options: Options,
    /// By list and upstream.
    listed: HashMap<Pair, Refused>,
    /// By upstream.
    reverse: HashMap<Pair, Refused>,
    /// By sender's domain and receiver.
    sender: HashMap<Pair, Refused>,
    forgotten: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Refused {
    evidence: Evidence,
    tries: Sliding,
    /// Follows from the key.
    #[serde(skip)]
    list: Option<&'static List>,
    words: String,
    provider: Option<String>,
    /// Recipients' domains that refused, a few.
    destinations: Vec<String>,
}

impl Refusals {
    pub fn new(options: &Options) -> Self {
        Self { options: options.clone(), listed: HashMap::new(), reverse: HashMap::new(), sender: HashMap::new(), forgotten: 0 }
    }
}

/// How many had to go for it.
fn note(map: &mut HashMap<Pair, Refused>, key: PairRef<'_>, seen: &Seen<'_>, list: Option<&'static List>) -> u64 {
    let (mut forgotten, destination) = (0, seen.destination());
    if !map.contains_key(&key) {
        if map.len() >= MOST {
            map.retain(|_, it| seen.at < it.evidence.last.saturating_add(OVER));
        }
        if map.len() >= MOST {
            forgotten = room::make(map, |it| it.evidence.last);
        }
        let window = Sliding::new(24, HOUR);
        let refused = Refused {
            evidence: Evidence::new(window.clone()),
            tries: window,
            list,
            words: String::new(),
            provider: None,
            destinations: Vec::new(),
        };
        map.insert(Pair::from(&key), refused);
    }
    let Some(refused) = map.get_mut(&key) else { return forgotten };
    refused.evidence.add(seen.at, seen.id, 1);
    refused.words = quoted(seen.reply_lines());
    refused.provider = seen.provider().map(str::to_owned);
    if refused.destinations.len() < 5 && !refused.destinations.iter().any(|it| it == destination) {
        refused.destinations.push(destination.to_owned());
    }
    forgotten
}

impl Detector for Refusals {
    fn name(&self) -> &'static str {
        "reputation_refusals"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        if seen.direction() != Some(Direction::Outbound) || seen.is_synthetic() {
            return;
        }
        let receiver = seen.provider().unwrap_or(seen.destination());
        let sender = domain_of(seen.reverse_path().unwrap_or_default());
        if !self.sender.is_empty()
            && seen.transaction.is_some()
            && let Some(refused) = self.sender.get_mut(&PairRef(sender, seen.destination()))
        {
            refused.tries.add(seen.at, 1);
        }
        let upstream = seen.upstream_name().unwrap_or_default();
        match seen.cause() {
            Some(Cause::Blocklisted) => {
                let list = lists::named(seen.reply_lines());
                let zone = list.map_or(receiver, |it| it.zone);
                self.forgotten += note(&mut self.listed, PairRef(zone, upstream), seen, list);
            }
            Some(Cause::ReverseDnsMissing) => self.forgotten += note(&mut self.reverse, PairRef(upstream, ""), seen, None),
            Some(Cause::SpfDkimDmarcFailure) if seen.transaction.is_some() => {
                let key = PairRef(sender, seen.destination());
                let is_new = !self.sender.contains_key(&key);
                self.forgotten += note(&mut self.sender, key, seen, None);
                if let Some(refused) = self.sender.get_mut(&key).filter(|_| is_new) {
                    refused.tries.add(seen.at, 1);
                }
            }
            _ => {}
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let options = &self.options;
        let lately = |it: &Refused| now < it.evidence.last.saturating_add(OVER);
        self.listed.retain(|key, refused| {
            let count = refused.evidence.count(now);
            let least = if refused.list.is_some() { 1 } else { options.unnamed_blocklist };
            if count >= least && lately(refused) {
                findings.raise(refused.listed(key, count, least, now));
            }
            count > 0
        });
        self.reverse.retain(|key, refused| {
            let count = refused.evidence.count(now);
            if count >= options.reverse_dns && lately(refused) {
                findings.raise(refused.reverse(key, count, options.reverse_dns, now));
            }
            count > 0
        });
        self.sender.retain(|key, refused| {
            let (count, tries) = (refused.evidence.count(now), refused.tries.count(now));
            if count >= options.sender_auth && count * 100 >= tries * options.sender_auth_percent && lately(refused) {
                findings.raise(refused.sender(key, count, tries.max(count), options));
            }
            count > 0
        });
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &(&self.listed, &self.reverse, &self.sender))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((listed, reverse, sender)) = kept::read(1, kept) else { return false };
        (self.listed, self.reverse, self.sender) = (listed, reverse, sender);
        for (key, refused) in &mut self.listed {
            refused.list = lists::of_zone(&key.0);
        }
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

impl Refused {
    fn finish(&mut self, finding: Finding, cause: Cause, advice: &str) -> Finding {
        let rules = Rules::builtin().advice(cause, self.provider.as_deref());
        let advice = if advice.is_empty() { rules.to_owned() } else { format!("{advice} {rules}") };
        let fresh = self.evidence.take_fresh();
        let mut finding = finding.caused(cause).advising(cause.act(), advice).evidence(
            self.evidence.since,
            self.evidence.last,
            fresh,
            self.evidence.samples(),
        );
        finding.quiet_after_us = Some(DAY);
        finding
    }

    fn listed(&mut self, key: &Pair, count: u64, least: u64, now: WallMicros) -> Finding {
        let name = self.list.map_or_else(|| format!("a block list that {} uses", key.0), |list| format!("{} ({})", list.name, list.zone));
        let refusals = several(count, "refusal", "refusals");
        let summary = format!(
            "Mail is refused because of {name}: {refusals} since {}; the last reply: {}",
            clock(self.evidence.since, now),
            self.words
        );
        let arithmetic = format!("{refusals} within 24 h that name it, by {}; threshold {least}", self.destinations.join(", "));
        let severity = if count >= 3 && self.destinations.len() > 1 { Severity::Critical } else { Severity::Warning };
        let finding = Finding::new(Anomaly::Blocklisted, severity, summary, arithmetic)
            .about(AboutKind::Blocklist, key.0.as_str())
            .about(AboutKind::Upstream, key.1.as_str());
        let page = self.list.map(|list| format!("Look the address up, and have it taken off once the reason is gone, at {}.", list.page));
        self.finish(finding, Cause::Blocklisted, &page.unwrap_or_default())
    }

    fn reverse(&mut self, key: &Pair, count: u64, least: u64, now: WallMicros) -> Finding {
        let refusals = several(count, "refusal", "refusals");
        let summary = format!(
            "Receivers refuse mail because of reverse DNS: {refusals} since {}; the last reply: {}",
            clock(self.evidence.since, now),
            self.words
        );
        let arithmetic = format!("{refusals} of that kind within 24 h, by {}; threshold {least}", self.destinations.join(", "));
        let finding =
            Finding::new(Anomaly::ReverseDnsRefused, Severity::Warning, summary, arithmetic).about(AboutKind::Upstream, key.0.as_str());
        self.finish(finding, Cause::ReverseDnsMissing, "")
    }

    fn sender(&mut self, key: &Pair, count: u64, tries: u64, options: &Options) -> Finding {
        let summary = format!(
            "{} refuses mail of {} because of SPF, DKIM or DMARC: {} within a day; the last reply: {}",
            key.1,
            key.0,
            share(count, tries),
            self.words
        );
        let arithmetic = format!(
            "{} refused for that reason within 24 h since the first; threshold {} and {} %",
            share(count, tries),
            options.sender_auth,
            options.sender_auth_percent
        );
        let finding = Finding::new(Anomaly::SenderAuthRefused, Severity::Warning, summary, arithmetic)
            .about(AboutKind::Sender, key.0.as_str())
            .about(AboutKind::Domain, key.1.as_str());
        self.finish(finding, Cause::SpfDkimDmarcFailure, "")
    }
}
