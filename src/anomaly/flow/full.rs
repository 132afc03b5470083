//! Mailboxes that stay full.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::room;
use crate::anomaly::seen::{Seen, last_word};
use crate::anomaly::window::{DAY, HOUR, SAMPLES};
use crate::diagnose::{Act, Cause, Rules};
use crate::trace::{About, AboutKind, Anomaly, Direction, RecordId, Severity, State, WallMicros};
use crate::wording::{clock, quoted, span};

/// Full mailboxes that are remembered.
const MOST_MAILBOXES: usize = 5_000;
/// One that nobody writes to for so long is forgotten.
const FORGOTTEN_US: u64 = 7 * DAY;

#[derive(Debug, Serialize, Deserialize)]
struct Mailbox {
    since: WallMicros,
    last: WallMicros,
    times: u32,
    fresh: u64,
    ours: bool,
    told: bool,
    emptied: bool,
    words: Option<String>,
    samples: Vec<RecordId>,
}

#[derive(Debug)]
pub struct Full {
    options: Options,
    mailboxes: HashMap<String, Mailbox>,
    changed: bool,
    swept: WallMicros,
    forgotten: u64,
}

impl Full {
    pub fn new(options: Options) -> Self {
        Self { options, mailboxes: HashMap::new(), changed: false, swept: 0, forgotten: 0 }
    }
}

impl Detector for Full {
    fn name(&self) -> &'static str {
        "mailbox_stays_full"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let Some(transaction) = seen.transaction.filter(|_| !seen.is_synthetic()) else { return };
        for recipient in &transaction.envelope.recipients {
            let address = recipient.address.as_str();
            if recipient.state == State::Accepted {
                if !self.mailboxes.is_empty()
                    && let Some(mailbox) = self.mailboxes.get_mut(address)
                {
                    (mailbox.emptied, self.changed) = (true, true);
                }
                continue;
            }
            if recipient.cause != Some(Cause::MailboxFull) {
                continue;
            }
            if self.mailboxes.len() >= MOST_MAILBOXES && !self.mailboxes.contains_key(address) {
                self.forgotten += room::make(&mut self.mailboxes, |mailbox| mailbox.last);
            }
            self.changed = true;
            let mailbox = self.mailboxes.entry_ref(address).or_insert_with(|| Mailbox {
                since: seen.at,
                last: seen.at,
                times: 0,
                fresh: 0,
                ours: transaction.direction == Direction::Inbound,
                told: false,
                emptied: false,
                words: None,
                samples: Vec::new(),
            });
            mailbox.last = seen.at;
            mailbox.emptied = false;
            mailbox.times += 1;
            mailbox.fresh += 1;
            mailbox.words = last_word(transaction, recipient).and_then(|reply| reply.lines.first()).map(|line| quoted([line]));
            if mailbox.samples.len() >= SAMPLES {
                mailbox.samples.remove(SAMPLES / 2);
            }
            mailbox.samples.push(seen.id);
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        // A clock that was ahead puts nothing off.
        self.swept = self.swept.min(now);
        if !self.changed && now < self.swept + HOUR {
            return;
        }
        let options = &self.options;
        self.mailboxes.retain(|address, mailbox| {
            if mailbox.emptied {
                if mailbox.told {
                    let about = About { kind: AboutKind::Recipient, value: address.clone() };
                    findings.clear(Anomaly::MailboxStaysFull, vec![about], "mail to it is accepted again");
                }
                return false;
            }
            let full_us = mailbox.last.saturating_sub(mailbox.since);
            if full_us >= options.full_us && mailbox.times >= options.full_times && mailbox.fresh > 0 {
                mailbox.told = true;
                let fresh = std::mem::take(&mut mailbox.fresh);
                findings.raise(finding(address, mailbox, fresh, now, options));
            }
            now <= mailbox.last + FORGOTTEN_US
        });
        (self.changed, self.swept) = (false, now);
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &(&self.mailboxes, self.changed, self.swept))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((mailboxes, changed, swept)) = kept::read(1, kept) else { return false };
        (self.mailboxes, self.changed, self.swept) = (mailboxes, changed, swept);
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

fn finding(address: &str, mailbox: &Mailbox, fresh: u64, now: WallMicros, options: &Options) -> Finding {
    let full_us = mailbox.last.saturating_sub(mailbox.since);
    let summary =
        format!("the mailbox {address} is full since {} at least: mail to it failed {} times", clock(mailbox.since, now), mailbox.times);
    let mut arithmetic = format!(
        "{} failures over {} and no message taken in between; told from {} over {} on",
        mailbox.times,
        span(full_us),
        options.full_times,
        span(options.full_us)
    );
    if let Some(words) = &mailbox.words {
        arithmetic.push_str(&format!("; the server says: {words}"));
    }
    let (severity, act, advice) = match mailbox.ours {
        true => (Severity::Warning, Act::LocalAdmin, "Give the mailbox more room, or clear it: its owner gets no mail."),
        false => (Severity::Notice, Act::RecipientSide, Rules::builtin().advice(Cause::MailboxFull, None)),
    };
    let finding = Finding::new(Anomaly::MailboxStaysFull, severity, summary, arithmetic)
        .about(AboutKind::Recipient, address)
        .caused(Cause::MailboxFull)
        .advising(act, advice)
        .evidence(mailbox.since, mailbox.last, fresh, mailbox.samples.clone());
    Finding { quiet_after_us: Some(2 * DAY), ..finding }
}
