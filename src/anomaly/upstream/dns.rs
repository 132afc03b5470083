//! Tells a resolver that fails from a domain whose DNS fails.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::attempts;
use super::options::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{Evidence, HOUR, MINUTE, SECOND, Sliding};
use crate::diagnose::Rules;
use crate::trace::{AboutKind, Act, Anomaly, Cause, Severity, UpstreamKind, WallMicros};
use crate::wording::{clock, several, span};

/// Names that fail, at most.
const MOST_NAMES: usize = 2_000;
/// A resolver's trouble shows within so long. µs.
const LATELY: u64 = 5 * MINUTE;
/// Of all look-ups of late, at most so many may have been answered. Percent.
const MOST_ANSWERED: u64 = 20;
/// Where look-ups have failed for so long and none was answered, what was answered before doesn't count: a resolver that hangs after a busy hour
/// is asked little, because every look-up takes its time. µs.
const SILENCE: u64 = 30 * SECOND;

/// Look-ups on the way to mail exchangers; a smart host's own name is [`super::health`]'s matter.
#[derive(Debug)]
pub struct Dns {
    options: Options,
    /// Names without an answer since the first failure.
    failing: HashMap<String, Failing>,
    answered: Sliding,
    failed: Sliding,
    last_answer: WallMicros,
    forgotten: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failing {
    evidence: Evidence,
    since: WallMicros,
    count: u64,
}

impl Dns {
    pub fn new(options: &Options) -> Self {
        let window = Sliding::new(10, LATELY / 10);
        Self { options: options.clone(), failing: HashMap::new(), answered: window.clone(), failed: window, last_answer: 0, forgotten: 0 }
    }

    fn failed(&mut self, name: &str, seen: &Seen<'_>) {
        self.failed.add(seen.at, 1);
        if !self.failing.contains_key(name) {
            if self.failing.len() >= MOST_NAMES {
                self.failing.retain(|_, it| seen.at < it.evidence.last.saturating_add(HOUR));
            }
            if self.failing.len() >= MOST_NAMES {
                self.forgotten += room::make(&mut self.failing, |it| it.evidence.last);
            }
            let failing = Failing { evidence: Evidence::new(Sliding::new(24, HOUR / 4)), since: seen.at, count: 0 };
            self.failing.insert(name.to_owned(), failing);
        }
        if let Some(failing) = self.failing.get_mut(name) {
            failing.evidence.add(seen.at, seen.id, 1);
            failing.count += 1;
        }
    }

    fn resolver(&mut self, now: WallMicros) -> Option<Finding> {
        let (answered, failed) = (self.answered.count(now), self.failed.count(now));
        let mut lately: Vec<(&String, &Failing)> =
            self.failing.iter().filter(|(_, it)| now < it.evidence.last.saturating_add(LATELY)).collect();
        lately.sort_unstable_by_key(|(name, it)| (it.evidence.last, *name));
        let are_few = |names: usize| names < self.options.dns_names;
        let mostly_fails = answered * 100 <= (answered + failed) * MOST_ANSWERED;
        // Names that had failed while others were answered say nothing of the resolver, nor do the last ones of a newsletter whose time-outs
        // end after all the answers.
        let goes_on = lately.last().is_some_and(|(_, it)| it.evidence.last >= self.last_answer.saturating_add(SILENCE));
        let is_silent = goes_on && !are_few(lately.iter().filter(|(_, it)| it.since > self.last_answer).count());
        if are_few(lately.len()) || !(mostly_fails || is_silent) {
            return None;
        }
        let mut names: Vec<&str> = lately.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let count = names.len();
        names.truncate(5);
        let since = lately.iter().map(|(_, it)| it.since).min().unwrap_or(now).max(self.last_answer);
        let last = lately.iter().map(|(_, it)| it.evidence.last).max().unwrap_or(now);
        let samples = lately.iter().filter_map(|(_, it)| it.evidence.samples().pop()).take(crate::anomaly::window::SAMPLES).collect();
        let summary = format!("DNS fails: {} can't be looked up since {}", several(count as u64, "name", "names"), clock(since, now));
        let good = if self.last_answer == 0 {
            "never an answer".to_owned()
        } else {
            format!("the last answer was at {}", clock(self.last_answer, now))
        };
        let threshold = match mostly_fails {
            true => format!("at most {MOST_ANSWERED} % answered"),
            false => format!("no answer for {}", span(SILENCE)),
        };
        let arithmetic = format!(
            "{failed} of {} look-ups failed within 5 min, for {count} names ({}), threshold {} names and {threshold}; {good}",
            answered + failed,
            names.join(", "),
            self.options.dns_names
        );
        let fresh = self.failing.values_mut().map(|it| it.evidence.take_fresh()).sum();
        let advice = "So many domains don't fail at once: test the resolver with `dig` from this machine, look at /etc/resolv.conf or `[dns] servers`, \
             and at the firewall on port 53.";
        let finding = Finding::new(Anomaly::DnsFailing, Severity::Critical, summary, arithmetic).caused(Cause::DnsFailure);
        Some(finding.advising(Act::LocalAdmin, advice).evidence(since, last, fresh, samples))
    }
}

impl Detector for Dns {
    fn name(&self) -> &'static str {
        "dns"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        if seen.upstream.is_none_or(|it| it.kind != UpstreamKind::Mx) || seen.is_synthetic() {
            return;
        }
        attempts::lookups(seen, |name, answered| {
            if answered {
                self.answered.add(seen.at, 1);
                self.last_answer = self.last_answer.max(seen.at);
                self.failing.remove(name);
            } else {
                self.failed(name, seen);
            }
        });
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        if self.failing.is_empty() {
            return;
        }
        // A clock that was ahead proves nothing.
        self.last_answer = self.last_answer.min(now);
        for failing in self.failing.values_mut() {
            failing.since = failing.since.min(now);
            failing.evidence.is_not_after(now);
        }
        if let Some(finding) = self.resolver(now) {
            return findings.raise(finding);
        }
        let (least, after) = (self.options.dns_failures, self.options.dns_domain_after_us);
        for (name, failing) in &mut self.failing {
            if failing.count < least || failing.evidence.last < failing.since.saturating_add(after) || now > failing.evidence.last + HOUR {
                continue;
            }
            let summary = format!("The DNS of {name} fails: no answer since {}, while other names are answered", clock(failing.since, now));
            let arithmetic = format!(
                "{0} of {0} look-ups of that name failed since {1}, threshold {least} over {2}",
                failing.count,
                clock(failing.since, now),
                span(after)
            );
            let finding = Finding::new(Anomaly::DnsFailing, Severity::Notice, summary, arithmetic)
                .about(AboutKind::Domain, name.as_str())
                .caused(Cause::DnsFailure)
                .advising(Act::RecipientSide, Rules::builtin().advice(Cause::DnsFailure, None));
            let fresh = failing.evidence.take_fresh();
            findings.raise(finding.evidence(failing.since, failing.evidence.last, fresh, failing.evidence.samples()));
        }
        self.failing.retain(|_, it| now < it.evidence.last.saturating_add(6 * HOUR));
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &(&self.failing, &self.answered, &self.failed, self.last_answer))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((failing, answered, failed, last_answer)) = kept::read(1, kept) else { return false };
        (self.failing, self.answered, self.failed, self.last_answer) = (failing, answered, failed, last_answer);
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}
