//! Addresses that mail goes to again and again and that don't exist: misspelt, or gone.

use std::collections::VecDeque;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::recent::{Recent, hash};
use crate::anomaly::room;
use crate::anomaly::seen::{Seen, last_word};
use crate::anomaly::window::{DAY, Evidence, HOUR, Sliding};
use crate::diagnose::{Act, Cause, Rules};
use crate::trace::{About, AboutKind, Anomaly, Direction, Recipient, RecordId, Severity, State, Transaction, WallMicros};
use crate::wording::{clock, quoted, span};

/// Unknown addresses that are counted.
const MOST_UNKNOWN: usize = 5_000;
/// Accepted addresses that are remembered, twice.
const MOST_ACCEPTED: usize = 20_000;
/// So many letters apart, an address may be meant for another one.
const NEAR: usize = 2;

/// So many addresses are looked up at one judgement among those that were accepted.
const MOST_LOOKED_UP: usize = 20;
/// Messages to one address that are told from their repeats.
const MOST_MESSAGES: usize = 8;
/// Slots of the span in which messages are counted.
const SLOTS: usize = 36;

/// One address and how it failed.
#[derive(Debug, Serialize, Deserialize)]
struct Failing {
    /// Messages, not tries.
    messages: Evidence,
    /// The latest ones, by hash.
    latest: VecDeque<u64>,
    cause: Cause,
    sender: String,
    words: Option<String>,
    /// What was meant, once that was looked for.
    meant: Option<Meant>,
}

/// As version 1 of what is kept had it: each try counted, however long ago.
#[derive(Deserialize)]
struct FormerFailing {
    since: WallMicros,
    last: WallMicros,
    times: u32,
    fresh: u64,
    cause: Cause,
    sender: String,
    words: Option<String>,
    meant: Option<Meant>,
    samples: Vec<RecordId>,
}

impl FormerFailing {
    fn renewed(self, window: Sliding) -> Failing {
        let Self { since, last, times, fresh, cause, sender, words, meant, samples } = self;
        let mut messages = Evidence::new(window);
        let mut samples = samples.into_iter();
        if let Some(first) = samples.next() {
            messages.add(since, first, 1);
            let latest = samples.next_back();
            latest.into_iter().for_each(|latest| messages.add(last, latest, u64::from(times.saturating_sub(1))));
        }
        if fresh == 0 {
            messages.take_fresh();
        }
        Failing { messages, latest: VecDeque::new(), cause, sender, words, meant }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
enum Meant {
    Nothing,
    Accepted,
    Near(String),
}

#[derive(Debug)]
pub struct Unknown {
    options: Options,
    failing: HashMap<String, Failing>,
    accepted: Recent<Box<str>>,
    /// Addresses that were told and take mail again; not kept.
    mended: Vec<String>,
    /// The failing ones have changed, or there is more to be looked up.
    changed: bool,
    /// When all were looked at.
    swept: WallMicros,
    forgotten: u64,
}

impl Unknown {
    pub fn new(options: Options) -> Self {
        let accepted = Recent::new(7 * DAY, MOST_ACCEPTED);
        Self { options, failing: HashMap::new(), accepted, mended: Vec::new(), changed: false, swept: 0, forgotten: 0 }
    }

    fn window(&self) -> Sliding {
        Sliding::new(SLOTS, self.options.unknown_us / SLOTS as u64)
    }
}

impl Detector for Unknown {
    fn name(&self) -> &'static str {
        "address_unknown"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let Some(transaction) = seen.transaction.filter(|it| it.direction == Direction::Outbound && !seen.is_synthetic()) else { return };
        for recipient in &transaction.envelope.recipients {
            let address = recipient.address.as_str();
            if recipient.state == State::Accepted {
                let key = self.accepted.key(address);
                self.accepted.touch(key, seen.at, || address.into());
                // Told or not, for it may have been told of refusals that are out of the window by now.
                if let Some((address, _)) = self.failing.remove_entry(address) {
                    self.mended.push(address);
                    self.changed = true;
                }
                continue;
            }
            let Some(cause) = recipient.cause.filter(|it| matches!(it, Cause::RecipientUnknown | Cause::DomainNotFound)) else { continue };
            if self.failing.len() >= MOST_UNKNOWN && !self.failing.contains_key(address) {
                self.forgotten += room::make(&mut self.failing, |failing| failing.messages.last);
            }
            self.changed = true;
            let window = self.window();
            let failing = self.failing.entry_ref(address).or_insert_with(|| Failing {
                messages: Evidence::new(window),
                latest: VecDeque::new(),
                cause,
                sender: String::new(),
                words: None,
                meant: None,
            });
            if !failing.is_new(message_of(transaction, recipient)) {
                continue;
            }
            failing.messages.add(seen.at, seen.id, 1);
            failing.cause = cause;
            failing.sender.clone_from(&transaction.envelope.reverse_path);
            failing.words = last_word(transaction, recipient).and_then(|reply| reply.lines.first()).map(|line| quoted([line]));
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        // A clock that was ahead puts nothing off.
        self.swept = self.swept.min(now);
        if !self.changed && now < self.swept + HOUR {
            return;
        }
        let Self { options, failing, accepted, mended, .. } = self;
        for value in mended.drain(..) {
            findings.clear(Anomaly::AddressUnknown, vec![About { kind: AboutKind::Recipient, value }], "mail to it is accepted again");
        }
        let (mut looked_up, mut is_more) = (0, false);
        failing.retain(|address, failing| {
            let count = failing.messages.count(now);
            // It is said when mail goes there, not for days.
            if count >= u64::from(options.unknown_times) && failing.messages.has_fresh() {
                if failing.meant.is_none() && looked_up == MOST_LOOKED_UP {
                    is_more = true;
                    return true;
                }
                looked_up += usize::from(failing.meant.is_none());
                let meant = failing.meant.get_or_insert_with(|| meant(address, accepted)).clone();
                findings.raise(finding(address, failing, count, &meant, now, options));
            }
            count > 0
        });
        (self.changed, self.swept) = (is_more, now);
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(2, &(&self.failing, &self.accepted, self.changed, self.swept))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let window = self.window();
        let former = || {
            let (failing, accepted, changed, swept) = kept::read::<(HashMap<String, FormerFailing>, _, _, _)>(1, kept)?;
            let failing = failing.into_iter().map(|(address, failing)| (address, failing.renewed(window.clone()))).collect();
            Some((failing, accepted, changed, swept))
        };
        let Some((failing, accepted, changed, swept)) = kept::read::<(HashMap<String, Failing>, _, _, _)>(2, kept).or_else(former) else {
            return false;
        };
        self.accepted.take_back(accepted);
        (self.failing, self.changed, self.swept) = (failing, changed, swept);
        true
    }

    fn forgotten(&self) -> u64 {
        self.accepted.forgotten + self.forgotten
    }
}

impl Failing {
    /// Whether it is none of the latest messages once more.
    fn is_new(&mut self, message: Option<u64>) -> bool {
        let Some(message) = message else { return true };
        if self.latest.contains(&message) {
            return false;
        }
        if self.latest.len() >= MOST_MESSAGES {
            self.latest.pop_front();
        }
        self.latest.push_back(message);
        true
    }
}

/// What is the same when a message is tried again. `None`: nothing tells, and it isn't tried again.
fn message_of(transaction: &Transaction, recipient: &Recipient) -> Option<u64> {
    let (message, envelope) = (&transaction.message, &transaction.envelope);
    match (&message.message_id, &message.body_digest) {
        (Some(id), _) => Some(hash(id)),
        (None, Some(digest)) => Some(hash(digest.0)),
        // Refused before the message came: what was said for now is tried again.
        (None, None) => {
            (recipient.state == State::Deferred).then(|| hash((&envelope.reverse_path, &envelope.envid, envelope.size_declared)))
        }
    }
}

/// What an unknown address was meant to be, of those that were accepted: one with another name in the same domain, or of the same name in
/// another domain.
fn meant(address: &str, accepted: &Recent<Box<str>>) -> Meant {
    if accepted.find(accepted.key(address)).is_some() {
        return Meant::Accepted;
    }
    let Some((local, domain)) = address.rsplit_once('@') else { return Meant::Nothing };
    let distance = |known: &str| {
        if known.len().abs_diff(address.len()) > NEAR {
            return None;
        }
        let (other_local, other_domain) = known.rsplit_once('@')?;
        match (local.eq_ignore_ascii_case(other_local), domain.eq_ignore_ascii_case(other_domain)) {
            (false, true) => edits(local.as_bytes(), other_local.as_bytes(), NEAR),
            (true, false) => edits(domain.as_bytes(), other_domain.as_bytes(), NEAR),
            _ => None,
        }
    };
    let nearest = accepted.values().filter_map(|known| distance(known).map(|distance| (distance, known))).min();
    nearest.map_or(Meant::Nothing, |(_, known)| Meant::Near(known.to_string()))
}

/// How many letters are changed, left out, added or have changed places, if they are no more than `most`. For few only: it tries them all.
fn edits(one: &[u8], other: &[u8], most: usize) -> Option<usize> {
    let (first, second) = match (one, other) {
        ([], rest) | (rest, []) => return (rest.len() <= most).then_some(rest.len()),
        ([a, one @ ..], [b, other @ ..]) if a.eq_ignore_ascii_case(b) => return edits(one, other, most),
        ([_, first @ ..], [_, second @ ..]) => (first, second),
    };
    let left = most.checked_sub(1)?;
    let swapped = match (one, other) {
        ([a, b, one @ ..], [c, d, other @ ..]) if a.eq_ignore_ascii_case(d) && b.eq_ignore_ascii_case(c) => edits(one, other, left),
        _ => None,
    };
    let tries = [swapped, edits(first, second, left), edits(first, other, left), edits(one, second, left)];
    tries.into_iter().flatten().min().map(|rest| rest + 1)
}

fn finding(address: &str, failing: &mut Failing, count: u64, meant: &Meant, now: WallMicros, options: &Options) -> Finding {
    let hint = match meant {
        Meant::Near(known) => format!("; {known} is meant, perhaps: mail to it was accepted"),
        Meant::Accepted => "; mail to it was accepted before: the mailbox is gone".to_owned(),
        Meant::Nothing => String::new(),
    };
    let what =
        if failing.cause == Cause::DomainNotFound { "its domain takes no mail or doesn't exist" } else { "there is no such mailbox" };
    let summary = format!("{count} messages to {address} were refused since {}: {what}{hint}", clock(failing.messages.since, now));
    let mut arithmetic = format!("{count} messages within {}, told from {} on", span(options.unknown_us), options.unknown_times);
    if !failing.sender.is_empty() {
        arithmetic.push_str(&format!("; the latest from {}", failing.sender));
    }
    if let Some(words) = &failing.words {
        arithmetic.push_str(&format!("; the server says: {words}"));
    }
    let advice = match meant {
        Meant::Near(known) => format!("Tell the sender to correct the address to {known} in his address book or list."),
        Meant::Accepted => "Tell the sender that the mailbox was removed, and take it off lists.".to_owned(),
        Meant::Nothing => Rules::builtin().advice(failing.cause, None).to_owned(),
    };
    let messages = &mut failing.messages;
    let finding = Finding::new(Anomaly::AddressUnknown, Severity::Notice, summary, arithmetic)
        .about(AboutKind::Recipient, address)
        .caused(failing.cause)
        .advising(Act::Sender, advice)
        .evidence(messages.since, messages.last, messages.take_fresh(), messages.samples());
    Finding { quiet_after_us: Some(DAY), ..finding }
}

#[cfg(test)]
mod tests {
    use super::edits;

    #[test]
    fn few_edits_are_counted_and_many_are_none() {
        let table = [
            ("bob", "bob", Some(0)),
            ("Bob", "bOB", Some(0)),
            ("bbo", "bob", Some(1)),
            ("gmial.com", "gmail.com", Some(1)),
            ("gmai.com", "gmail.com", Some(1)),
            ("anna", "ann", Some(1)),
            ("xanny", "ann", Some(2)),
            ("annemarie", "anmemarei", Some(2)),
            ("bob", "alice", None),
            ("abc", "xyz", None),
            ("", "ab", Some(2)),
            ("", "abc", None),
        ];
        for (one, other, wanted) in table {
            assert_eq!(edits(one.as_bytes(), other.as_bytes(), 2), wanted, "{one} {other}");
            assert_eq!(edits(other.as_bytes(), one.as_bytes(), 2), wanted, "{other} {one}");
        }
    }

    #[test]
    fn a_version_1_is_read() {
        let mut unknown = super::Unknown::new(super::Options::default());
        let accepted = super::Recent::<Box<str>>::new(1, 1);
        let samples = vec![super::RecordId::from_parts(1, 1), super::RecordId::from_parts(1, 2)];
        let none = None::<super::Meant>;
        let one = (7_u64, 9_u64, 5_u32, 1_u64, super::Cause::RecipientUnknown, "a@x.example", None::<String>, none, samples);
        let failing = std::collections::BTreeMap::from([("b@x.example", one)]);
        let kept = super::kept::write(1, &(failing, accepted, true, 9_u64));
        assert!(super::Detector::restore(&mut unknown, &kept));
        let failing = unknown.failing.values_mut().next().unwrap();
        assert_eq!((failing.messages.count(9), failing.messages.since, failing.messages.last), (5, 7, 9));
    }
}
