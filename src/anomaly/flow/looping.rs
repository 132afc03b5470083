//! Messages that go round in a circle.

use serde::{Deserialize, Serialize};

use super::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::recent::Recent;
use crate::anomaly::seen::{Seen, domain_of};
use crate::anomaly::window::{HOUR, MINUTE, Sliding, Tallies};
use crate::diagnose::{Act, Cause, Rules};
use crate::trace::{AboutKind, Anomaly, Flag, RecordId, Severity, State, WallMicros};
use crate::wording::{clock, quoted};

/// Messages remembered, twice.
const MOST_MESSAGES: usize = 20_000;
/// Domains with messages in circles.
const MOST_DOMAINS: usize = 500;

/// How often a message passed to one recipient.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Passed {
    times: u32,
    hops: u32,
}

/// How a circle shows.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Shows {
    most_hops: u32,
    most_times: u32,
    refused: u32,
    words: Option<String>,
    message_id: Option<String>,
}

#[derive(Debug)]
pub struct Looping {
    options: Options,
    passed: Recent<Passed>,
    /// By recipients' domain.
    tallies: Tallies<String>,
    shows: hashbrown::HashMap<String, Shows>,
}

impl Looping {
    pub fn new(options: Options) -> Self {
        let tallies = Tallies::new(Sliding::new(6, 10 * MINUTE), MOST_DOMAINS);
        Self { options, passed: Recent::new(HOUR, MOST_MESSAGES), tallies, shows: hashbrown::HashMap::new() }
    }

    fn note(&mut self, domain: &str, at: WallMicros, id: RecordId, change: impl FnOnce(&mut Shows)) {
        self.tallies.add(domain, at, id, 1);
        if self.shows.len() >= MOST_DOMAINS && !self.shows.contains_key(domain) {
            self.shows.clear();
        }
        change(self.shows.entry(domain.to_owned()).or_default());
    }
}

impl Detector for Looping {
    fn name(&self) -> &'static str {
        "mail_loop"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let Some(transaction) = seen.transaction.filter(|_| !seen.is_synthetic()) else {
            if seen.has(Flag::LoopRefused) {
                let host = seen.host().unwrap_or_default();
                self.note(host, seen.at, seen.id, |shows| shows.refused += 1);
            }
            return;
        };
        let hops = transaction.message.received_count;
        let Some(first) = transaction.envelope.recipients.first() else { return };
        let is_loop = seen.cause() == Some(Cause::MailLoop) || seen.has(Flag::LoopRefused);
        let mut times = 0;
        if let Some(message_id) = transaction.message.message_id.as_deref().filter(|_| transaction.outcome.state == State::Accepted) {
            let key = self.passed.key((message_id, &first.address));
            let passed = self.passed.touch(key, seen.at, || Passed { times: 0, hops });
            // Somebody who uses one id for all his mail adds no lines to it.
            if passed.times == 0 || hops > passed.hops {
                *passed = Passed { times: passed.times + 1, hops };
                times = passed.times;
            }
        }
        if is_loop || hops >= self.options.loop_hops || times >= self.options.loop_times {
            let (words, id) = (seen.reply_lines().next().filter(|_| is_loop), transaction.message.message_id.as_deref());
            self.note(domain_of(&first.address), seen.at, seen.id, |shows| {
                shows.most_hops = shows.most_hops.max(hops);
                shows.most_times = shows.most_times.max(times);
                shows.refused += u32::from(is_loop);
                shows.words = words.map(|it| quoted([it])).or(shows.words.take());
                shows.message_id = id.map(|it| quoted([it])).or(shows.message_id.take());
            });
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let (options, shows) = (&self.options, &mut self.shows);
        self.tallies.judge(now, |domain, evidence, count| {
            let Some(shows) = shows.get(domain) else { return };
            let example = shows.message_id.as_ref().map(|id| format!(" (for example {id})")).unwrap_or_default();
            let summary = format!("mail to {domain} goes round in a circle{example}: {count} passages within the last hour");
            let mut arithmetic = format!(
                "up to {} Received lines (a circle from {} on); the same message up to {} times with more lines each time (from {} on); {} refused as a loop",
                shows.most_hops, options.loop_hops, shows.most_times, options.loop_times, shows.refused
            );
            if let Some(words) = &shows.words {
                arithmetic.push_str(&format!("; the server says: {words}"));
            }
            let severity = if count >= 20 { Severity::Critical } else { Severity::Warning };
            let mut advice = Rules::builtin().advice(Cause::MailLoop, None).to_owned();
            if advice.is_empty() {
                advice = "Look at the Received lines of one of the messages: two servers each take the other for the one in charge. Check forwards, the list of local domains, and the MX of the domain.".to_owned();
            }
            let finding = Finding::new(Anomaly::MailLoop, severity, summary, arithmetic)
                .about(AboutKind::Domain, domain)
                .caused(Cause::MailLoop)
                .advising(Act::LocalAdmin, advice);
            let since = evidence.since;
            let mut finding = finding.evidence(since, evidence.last, evidence.take_fresh(), evidence.samples());
            finding.arithmetic.push_str(&format!("; since {}", clock(since, now)));
            findings.raise(finding);
        });
        let tallies = &mut self.tallies;
        self.shows.retain(|domain, _| tallies.find(domain.as_str()).is_some());
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &(&self.passed, self.tallies.all(), &self.shows))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((passed, tallies, shows)) = kept::read(1, kept) else { return false };
        self.passed.take_back(passed);
        self.tallies.take_back(tallies);
        self.shows = shows;
        true
    }

    fn forgotten(&self) -> u64 {
        self.passed.forgotten + self.tallies.forgotten
    }
}
