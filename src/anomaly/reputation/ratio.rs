//! How much a destination refuses, and how much is called spam, against what is usual there.

use std::hash::Hash;

use hashbrown::{Equivalent, HashMap};
use serde::{Deserialize, Serialize};

use super::options::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::room;
use crate::anomaly::seen::{Seen, domain_of};
use crate::anomaly::window::{DAY, Evidence, MINUTE, Sliding};
use crate::diagnose::Rules;
use crate::trace::{AboutKind, Act, Anomaly, Cause, Direction, Severity, State, WallMicros};
use crate::wording::{quoted, share};

const MOST: usize = 5_000;
/// Every so often what is usual loses half its weight. µs.
const HALF: u64 = 7 * DAY;
/// What is usual counts as at least so much: a first refusal is no multiple of nothing.
const LEAST_USUAL: f64 = 0.02;
/// Chance alone must be that far away, in standard deviations.
const DEVIATIONS: f64 = 6.0;
/// A try's weight in what is usual; those of an incident weigh one, so that it takes days until refusals are usual.
const WEIGHT: u64 = 8;
/// An incident in which so long nothing stood out is over. µs.
const INCIDENT: u64 = 10 * MINUTE;
/// Before so many tries, nobody knows what is usual.
const KNOWN: f64 = 50.0;
/// Destinations of one message that are counted.
const DESTINATIONS: usize = 20;
/// Longer names than that aren't counted: no address is (RFC 5321 §4.5.3.1.3).
const MOST_NAME: usize = 256;
/// Different senders that must be refused: one with a bad list is no matter of the destination's.
const SENDERS: usize = 3;

#[derive(Debug)]
pub struct Ratio {
    options: Options,
    /// By recipients' domain.
    domains: HashMap<String, Row>,
    /// Verdicts of spam, by upstream, and by recipients' domain and sender: within a newsletter those of others are a small share.
    spam: HashMap<String, Row>,
    spam_within: HashMap<Within, Row>,
    forgotten: u64,
}

/// Whose mail is called spam within that of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
enum Within {
    Destination(Box<str>),
    Sender(Box<str>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    tries: Sliding,
    /// When last.
    tried: WallMicros,
    refused: Evidence,
    /// What of both went into `usual`, by weight.
    learned: Sliding,
    learned_refused: Sliding,
    /// When it stood out last.
    stood_out: WallMicros,
    senders: Vec<String>,
    words: String,
    cause: Option<Cause>,
    usual: Usual,
}

/// As version 3 of what is kept had it: incidents were learnt like all else.
#[derive(Deserialize)]
struct FormerRow {
    tries: Sliding,
    tried: WallMicros,
    refused: Evidence,
    senders: Vec<String>,
    words: String,
    cause: Option<Cause>,
    usual: Usual,
}

impl From<FormerRow> for Row {
    fn from(FormerRow { tries, tried, refused, senders, words, cause, usual }: FormerRow) -> Self {
        let (learned, learned_refused) = (tries.clone().times(WEIGHT), refused.window.clone().times(WEIGHT));
        Self { tries, tried, refused, learned, learned_refused, stood_out: 0, senders, words, cause, usual }
    }
}

/// Tries and refusals before, fading.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Usual {
    tries: f64,
    refused: f64,
    halved: WallMicros,
}

impl Ratio {
    pub fn new(options: &Options) -> Self {
        Self { options: options.clone(), domains: HashMap::new(), spam: HashMap::new(), spam_within: HashMap::new(), forgotten: 0 }
    }
}

/// What stands out: refused and tried of late, the usual ratio, and how far away from it that is.
type Figures = (u64, u64, f64, f64);

impl Ratio {
    /// All of an upstream's mail first; where that doesn't stand out, one destination's or one sender's may.
    fn judge_spam(&mut self, now: WallMicros, findings: &mut Findings) {
        let (options, mut is_named) = (&self.options, false);
        let of_late = |row: &Row| now < row.refused.last.saturating_add(60 * MINUTE);
        for (name, row) in self.spam.iter_mut().filter(|(_, row)| of_late(row)) {
            let Some(figures) = row.stands_out(now, options.spam_verdicts, options.spam_percent, 2.0) else { continue };
            is_named = true;
            findings.raise(spam(row, figures, options, &format!("Mail through {name}")).about(AboutKind::Upstream, name.as_str()));
        }
        let mut within: Vec<(&Within, &mut Row)> = self.spam_within.iter_mut().filter(|(_, row)| of_late(row)).collect();
        within.sort_by(|one, other| one.0.cmp(other.0));
        for (whose, row) in within.into_iter().take_while(|_| !is_named) {
            let Some(figures) = row.stands_out(now, options.spam_verdicts, options.spam_percent, 2.0) else { continue };
            let (what, kind, value) = match whose {
                Within::Destination(domain) => (format!("Mail for {domain}"), AboutKind::Domain, domain),
                Within::Sender(sender) => (format!("Mail of {sender}"), AboutKind::Sender, sender),
            };
            findings.raise(spam(row, figures, options, &what).about(kind, &**value));
        }
    }
}

/// `what`: whose mail is called spam, at the beginning of a sentence.
fn spam(row: &mut Row, (spam, tries, usual, away): Figures, options: &Options, what: &str) -> Finding {
    let senders = if row.senders.len() < SENDERS { row.senders.join(", ") } else { "several senders".to_owned() };
    let summary = format!(
        "{what} is suddenly refused as spam: {} messages within an hour, from {senders}; the last reply: {}",
        share(spam, tries),
        row.words
    );
    let arithmetic = format!(
        "{} called spam, usual {:.1} %, {away:.0} standard deviations away; threshold {} and {} % and {DEVIATIONS}",
        share(spam, tries),
        usual * 100.0,
        options.spam_verdicts,
        options.spam_percent
    );
    let advice = "See what was sent: one sender alone points to a stolen password, all of them to the reputation of the address or domain.";
    let finding = Finding::new(Anomaly::SpamVerdicts, Severity::Warning, summary, arithmetic)
        .caused(Cause::SpamDetected)
        .advising(Act::LocalAdmin, advice);
    let fresh = row.refused.take_fresh();
    finding.evidence(row.refused.since, row.refused.last, fresh, row.refused.samples())
}

fn row<'m, K: Hash + Eq>(
    map: &'m mut HashMap<K, Row>,
    forgotten: &mut u64,
    key: &(impl Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized),
    minutes: usize,
    now: WallMicros,
) -> Option<&'m mut Row> {
    if !map.contains_key(key) {
        if map.len() >= MOST {
            *forgotten += room::drop_where(map, |row| row.tries.count_at(now) == 0 && row.usual.tries <= KNOWN);
        }
        if map.len() >= MOST {
            *forgotten += room::make(map, |row| row.tried);
        }
        map.insert(key.to_owned(), Row::new(minutes));
    }
    map.get_mut(key)
}

impl Row {
    fn new(minutes: usize) -> Self {
        let window = Sliding::new(10, minutes as u64 * MINUTE / 10);
        Self {
            tries: window.clone(),
            tried: 0,
            refused: Evidence::new(window.clone()),
            learned: window.clone(),
            learned_refused: window,
            stood_out: 0,
            senders: Vec::new(),
            words: String::new(),
            cause: None,
            usual: Usual::default(),
        }
    }

    fn weight(&self, at: WallMicros) -> u64 {
        if at.abs_diff(self.stood_out) < INCIDENT { 1 } else { WEIGHT }
    }

    fn tried(&mut self, at: WallMicros) {
        self.tries.add(at, 1);
        self.tried = self.tried.max(at);
        if at >= self.usual.halved.saturating_add(HALF) {
            self.usual = Usual { tries: self.usual.tries / 2.0, refused: self.usual.refused / 2.0, halved: at };
        }
        let weight = self.weight(at);
        self.learned.add(at, weight);
        self.usual.tries += share_of(weight);
    }

    fn refused(&mut self, seen: &Seen<'_>, cause: Option<Cause>) {
        if self.refused.window.count_at(seen.at) == 0 {
            self.senders.clear();
        }
        self.refused.add(seen.at, seen.id, 1);
        let weight = self.weight(seen.at);
        self.learned_refused.add(seen.at, weight);
        self.usual.refused += share_of(weight);
        (self.words, self.cause) = (quoted(seen.reply_lines()), cause);
        let sender = seen.reverse_path().unwrap_or_default();
        if self.senders.len() < SENDERS && !self.senders.iter().any(|it| it == sender) {
            self.senders.push(sender.to_owned());
        }
    }

    /// Refused and tried of late, and the usual ratio, if chance can't explain it.
    fn stands_out(&mut self, now: WallMicros, least: u64, percent: u64, factor: f64) -> Option<Figures> {
        let (refused, tries) = (self.refused.count(now), self.tries.count(now));
        let (learned, learned_refused) = (self.learned.count(now), self.learned_refused.count(now));
        self.stood_out = self.stood_out.min(now);
        if refused < least || tries == 0 || refused * 100 < tries * percent {
            return None;
        }
        let (count, of) = (refused as f64, tries as f64);
        let (before, failed) = (self.usual.tries - share_of(learned), self.usual.refused - share_of(learned_refused));
        if before < KNOWN {
            return None;
        }
        let usual = (failed / before).clamp(LEAST_USUAL, 1.0);
        let deviation = (of * usual * (1.0 - usual)).sqrt().max(0.5);
        let away = (count - of * usual) / deviation;
        if away < DEVIATIONS || count / of < usual * factor {
            return None;
        }
        self.stood_out = now;
        Some((refused, tries, (failed / before).max(0.0), away))
    }
}

/// Of whole tries.
fn share_of(weight: u64) -> f64 {
    weight as f64 / WEIGHT as f64
}

impl Detector for Ratio {
    fn name(&self) -> &'static str {
        "reputation_ratio"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let Some(transaction) = seen.transaction.filter(|it| it.direction == Direction::Outbound && !seen.is_synthetic()) else { return };
        if matches!(transaction.outcome.state, State::Aborted | State::Unknown) {
            return;
        }
        for recipient in &transaction.envelope.recipients {
            let Some(row) = row(&mut self.domains, &mut self.forgotten, domain_of(&recipient.address), 10, seen.at) else { continue };
            row.tried(seen.at);
            let by_receiver = matches!(recipient.by, crate::trace::Actor::Upstream | crate::trace::Actor::Recipient);
            let refused = matches!(recipient.state, State::Rejected | State::Deferred) && recipient.cause != Some(Cause::Greylisted);
            if refused && by_receiver {
                row.refused(seen, recipient.cause);
            }
        }
        let is_spam = seen.cause() == Some(Cause::SpamDetected);
        let count = |row: Option<&mut Row>| {
            let Some(row) = row else { return };
            row.tried(seen.at);
            if is_spam {
                row.refused(seen, seen.cause());
            }
        };
        count(row(&mut self.spam, &mut self.forgotten, seen.upstream_name().unwrap_or_default(), 60, seen.at));
        let mut domains: Vec<&str> = transaction.envelope.recipients.iter().map(|recipient| domain_of(&recipient.address)).collect();
        domains.sort_unstable();
        domains.dedup();
        let destinations = domains.into_iter().take(DESTINATIONS).map(|domain| Within::Destination(domain.into()));
        let sender = seen.reverse_path().filter(|path| !path.is_empty() && path.len() <= MOST_NAME).map(|path| Within::Sender(path.into()));
        for within in destinations.chain(sender) {
            count(row(&mut self.spam_within, &mut self.forgotten, &within, 60, seen.at));
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let options = &self.options;
        for (name, row) in self.domains.iter_mut().filter(|(_, row)| now < row.refused.last.saturating_add(10 * MINUTE)) {
            if row.senders.len() < SENDERS {
                continue;
            }
            let found = row.stands_out(now, options.ratio_refused, options.ratio_percent, options.ratio_factor);
            if let Some((refused, tries, usual, away)) = found {
                let summary = format!(
                    "{name} refuses far more than usual: {} recipients within 10 min, usually {:.1} %; the last reply: {}",
                    share(refused, tries),
                    usual * 100.0,
                    row.words
                );
                let arithmetic = format!(
                    "{} refused, usual {:.1} %, {away:.0} standard deviations away; threshold {} and {} % and {} × usual and {DEVIATIONS}",
                    share(refused, tries),
                    usual * 100.0,
                    options.ratio_refused,
                    options.ratio_percent,
                    options.ratio_factor
                );
                let cause = row.cause.unwrap_or(Cause::Unclassified);
                let advice = Rules::builtin().advice(cause, None);
                let finding = Finding::new(Anomaly::RejectRatio, Severity::Warning, summary, arithmetic)
                    .about(AboutKind::Domain, name.as_str())
                    .caused(cause)
                    .advising(cause.act(), advice);
                let fresh = row.refused.take_fresh();
                let finding = finding.evidence(row.refused.since, row.refused.last, fresh, row.refused.samples());
                findings.raise(Finding { baseline: Some(format!("{:.1} % refused", usual * 100.0)), ..finding });
            }
        }
        self.judge_spam(now, findings);
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(4, &(&self.domains, &self.spam, &self.spam_within))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        type Former<K> = HashMap<K, FormerRow>;
        let former = || {
            let (domains, spam, spam_within) = kept::read::<(Former<_>, Former<_>, Former<_>)>(3, kept)?;
            Some((kept::renewed(domains), kept::renewed(spam), kept::renewed(spam_within)))
        };
        let Some((domains, spam, spam_within)) = kept::read(4, kept).or_else(former) else { return false };
        (self.domains, self.spam, self.spam_within) = (domains, spam, spam_within);
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::samples::{MONDAY, Sample, mail};
    use crate::anomaly::trial::{self, judge, one};
    use crate::trace::Stage;

    /// As version 3 wrote them.
    fn former<K: Hash + Eq>(rows: &HashMap<K, Row>) -> HashMap<&K, impl Serialize> {
        let of = |it: &Row| (it.tries.clone(), it.tried, it.refused.clone(), it.senders.clone(), it.words.clone(), it.cause, it.usual);
        rows.iter().map(|(key, row)| (key, of(row))).collect()
    }

    #[test]
    fn what_an_earlier_version_knew_is_known() {
        let of = |no: u64| mail(MONDAY + no * MINUTE / 2, no).from(&format!("s{}@our.example", no % 7));
        let bad = |no: u64| of(no).refused(Stage::RcptTo, 550, "5.7.1 refused by policy", Cause::PolicyRejected);
        let feed = |ratio: &mut Ratio, sample: Sample| trial::feed(ratio, &sample.record());
        let mut before = Ratio::new(&Options::default());
        (0..600).for_each(|no| feed(&mut before, of(no)));
        let kept = kept::write(3, &(former(&before.domains), former(&before.spam), former(&before.spam_within)));

        let mut after = Ratio::new(&Options::default());
        assert!(after.restore(&kept));
        assert!(after.spam_within.len() > 1 && after.spam_within.len() == before.spam_within.len());
        (600..620).for_each(|no| feed(&mut after, bad(no)));
        (600..620).for_each(|no| feed(&mut before, bad(no)));
        let (one_of, other) = (judge(&mut before, MONDAY + 310 * MINUTE), judge(&mut after, MONDAY + 310 * MINUTE));
        assert_eq!(one(&one_of, Anomaly::RejectRatio).summary, one(&other, Anomaly::RejectRatio).summary);
        assert_eq!(one(&one_of, Anomaly::RejectRatio).arithmetic, one(&other, Anomaly::RejectRatio).arithmetic);
    }
}
