//! Addresses that mail goes to again and again and that don't exist: misspelt, or gone.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::recent::Recent;
use crate::anomaly::room;
use crate::anomaly::seen::{Seen, last_word};
use crate::anomaly::window::{DAY, HOUR, SAMPLES};
use crate::diagnose::{Act, Cause, Rules};
use crate::trace::{AboutKind, Anomaly, Direction, RecordId, Severity, State, WallMicros};
use crate::wording::{clock, quoted, span};

/// Unknown addresses that are counted.
const MOST_UNKNOWN: usize = 5_000;
/// Accepted addresses that are remembered, twice.
const MOST_ACCEPTED: usize = 20_000;
/// So many letters apart, an address may be meant for another one.
const NEAR: usize = 2;

/// One address and how it failed.
#[derive(Debug, Serialize, Deserialize)]
struct Failing {
    since: WallMicros,
    last: WallMicros,
    times: u32,
    fresh: u64,
    cause: Cause,
    sender: String,
    words: Option<String>,
    /// What was meant, once that was looked for.
    meant: Option<Meant>,
    samples: Vec<RecordId>,
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
    /// The failing ones have changed.
    changed: bool,
    /// When all were looked at.
    swept: WallMicros,
    forgotten: u64,
}

impl Unknown {
    pub fn new(options: Options) -> Self {
        Self { options, failing: HashMap::new(), accepted: Recent::new(7 * DAY, MOST_ACCEPTED), changed: false, swept: 0, forgotten: 0 }
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
                continue;
            }
            let Some(cause) = recipient.cause.filter(|it| matches!(it, Cause::RecipientUnknown | Cause::DomainNotFound)) else { continue };
            if self.failing.len() >= MOST_UNKNOWN && !self.failing.contains_key(address) {
                self.forgotten += room::make(&mut self.failing, |failing| failing.last);
            }
            self.changed = true;
            let failing = self.failing.entry_ref(address).or_insert_with(|| Failing {
                since: seen.at,
                last: seen.at,
                times: 0,
                fresh: 0,
                cause,
                sender: String::new(),
                words: None,
                meant: None,
                samples: Vec::new(),
            });
            failing.last = seen.at;
            failing.times += 1;
            failing.fresh += 1;
            failing.cause = cause;
            failing.sender.clone_from(&transaction.envelope.reverse_path);
            failing.words = last_word(transaction, recipient).and_then(|reply| reply.lines.first()).map(|line| quoted([line]));
            if failing.samples.len() >= SAMPLES {
                failing.samples.remove(SAMPLES / 2);
            }
            failing.samples.push(seen.id);
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        // A clock that was ahead puts nothing off.
        self.swept = self.swept.min(now);
        if !self.changed && now < self.swept + HOUR {
            return;
        }
        let Self { options, failing, accepted, .. } = self;
        failing.retain(|address, failing| {
            if now > failing.last + options.unknown_us {
                return false;
            }
            // It is said when mail goes there, not for days.
            if failing.times >= options.unknown_times && failing.fresh > 0 {
                let meant = failing.meant.get_or_insert_with(|| meant(address, accepted));
                let meant = meant.clone();
                findings.raise(finding(address, failing, &meant, now, options));
            }
            true
        });
        (self.changed, self.swept) = (false, now);
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &(&self.failing, &self.accepted, self.changed, self.swept))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((failing, accepted, changed, swept)) = kept::read(1, kept) else { return false };
        self.accepted.take_back(accepted);
        (self.failing, self.changed, self.swept) = (failing, changed, swept);
        true
    }

    fn forgotten(&self) -> u64 {
        self.accepted.forgotten + self.forgotten
    }
}

/// What an unknown address was meant to be, of those that were accepted.
fn meant(address: &str, accepted: &Recent<Box<str>>) -> Meant {
    if accepted.find(accepted.key(address)).is_some() {
        return Meant::Accepted;
    }
    let near = |known: &str| known.len().abs_diff(address.len()) <= NEAR && !known.eq_ignore_ascii_case(address);
    let distance = |known: &str| strsim::damerau_levenshtein(&known.to_ascii_lowercase(), &address.to_ascii_lowercase());
    let nearest = accepted.values().filter(|known| near(known)).map(|known| (distance(known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= NEAR => Meant::Near(known.to_string()),
        _ => Meant::Nothing,
    }
}

fn finding(address: &str, failing: &mut Failing, meant: &Meant, now: WallMicros, options: &Options) -> Finding {
    let hint = match meant {
        Meant::Near(known) => format!("; {known} is meant, perhaps: mail to it was accepted"),
        Meant::Accepted => "; mail to it was accepted before: the mailbox is gone".to_owned(),
        Meant::Nothing => String::new(),
    };
    let what =
        if failing.cause == Cause::DomainNotFound { "its domain takes no mail or doesn't exist" } else { "there is no such mailbox" };
    let summary = format!("{} messages to {address} were refused since {}: {what}{hint}", failing.times, clock(failing.since, now));
    let mut arithmetic = format!("{} refusals, told from {} within {} on", failing.times, options.unknown_times, span(options.unknown_us));
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
    let finding = Finding::new(Anomaly::AddressUnknown, Severity::Notice, summary, arithmetic)
        .about(AboutKind::Recipient, address)
        .caused(failing.cause)
        .advising(Act::Sender, advice)
        .evidence(failing.since, failing.last, std::mem::take(&mut failing.fresh), failing.samples.clone());
    Finding { quiet_after_us: Some(DAY), ..finding }
}
