//! Attempts to smuggle a second message behind a lenient server's end-of-data, and clients that suddenly write bare newlines.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::super::flow::network;
use super::{Options, is_private};
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{HOUR, MINUTE, Sliding, Tallies};
use crate::trace::{AboutKind, Act, Anomaly, Flag, Severity, WallMicros};
use crate::wording::{clock, number};

const MOST: usize = 1_000;
/// Clients whose line ends are known.
const MOST_KNOWN: usize = 10_000;
/// Messages with bare newlines before it is told.
const BARE: u64 = 3;

#[derive(Debug)]
pub struct Smuggling {
    options: Options,
    dots: Tallies<IpAddr>,
    bare: Tallies<IpAddr>,
    /// Messages with clean line ends, up to where that is established; `None`: it writes bare ones, and always did.
    clean: HashMap<IpAddr, Option<u32>>,
    forgotten: u64,
}

impl Smuggling {
    pub fn new(options: Options) -> Self {
        let window = Sliding::new(6, 10 * MINUTE);
        Self { options, dots: Tallies::new(window.clone(), MOST), bare: Tallies::new(window, MOST), clean: HashMap::new(), forgotten: 0 }
    }
}

impl Detector for Smuggling {
    fn name(&self) -> &'static str {
        "smuggling_attempts"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let (Some(_), Some(ip)) = (seen.transaction, seen.client_ip()) else { return };
        if seen.is_synthetic() {
            return;
        }
        let ip = network(ip);
        if seen.has(Flag::SmugglingGuard) {
            return self.dots.add_key(ip, seen.at, seen.id, 1);
        }
        if self.clean.len() >= MOST_KNOWN && !self.clean.contains_key(&ip) {
            let established = self.options.clean_messages;
            self.forgotten += room::drop_where(&mut self.clean, |clean| clean.is_none_or(|clean| clean < established));
            if self.clean.len() >= MOST_KNOWN {
                self.forgotten += room::drop_where(&mut self.clean, |_| true);
            }
        }
        let clean = self.clean.entry(ip).or_insert(Some(0));
        match (seen.has(Flag::BareNewline), clean) {
            (false, Some(clean)) => *clean = clean.saturating_add(1),
            (false, None) => {}
            (true, Some(clean)) if *clean >= self.options.clean_messages => self.bare.add_key(ip, seen.at, seen.id, 1),
            (true, clean) => *clean = None,
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        self.dots.judge(now, |ip, evidence, times| {
            let what = if times == 1 { "a message".to_owned() } else { format!("{} messages", number(times)) };
            let summary =
                format!("{ip} sent {what} with a lone dot between bare line ends: an attempt at SMTP smuggling, or a broken program");
            let arithmetic = format!(
                "{times} within the last hour, told from 1 on, since {}; each was refused with 554 5.6.0",
                clock(evidence.since, now)
            );
            let advice = match is_private(*ip) {
                true => "The messages were refused. Find the program on that machine that writes them: it ends lines with LF alone.",
                false => "The messages were refused, nothing got through. If it goes on, block the address.",
            };
            let finding = Finding::new(Anomaly::SmugglingAttempts, Severity::Warning, summary, arithmetic)
                .about(AboutKind::Client, ip.to_string())
                .advising(Act::LocalAdmin, advice)
                .evidence(evidence.since, evidence.last, evidence.take_fresh(), evidence.samples());
            findings.raise(finding.lasting(HOUR));
        });
        let known = self.options.clean_messages;
        self.bare.judge(now, |ip, evidence, times| {
            if times < BARE {
                return;
            }
            let summary = format!("{ip} writes CR or LF alone since {}: it never did before", clock(evidence.since, now));
            let arithmetic = format!("{times} messages with bare newlines within the last hour, after {known} or more without; told from {BARE} on");
            let finding = Finding::new(Anomaly::SmugglingAttempts, Severity::Notice, summary, arithmetic)
                .about(AboutKind::Client, ip.to_string())
                .about(AboutKind::Part, "bare newlines")
                .advising(Act::LocalAdmin, "Look at what was installed or changed on that machine. Servers that follow RFC 5321 §2.3.8 refuse such messages, and so does this proxy with `bare_newline = \"reject\"`.")
                .evidence(evidence.since, evidence.last, evidence.take_fresh(), evidence.samples());
            findings.raise(finding.lasting(HOUR));
        });
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &(self.dots.all(), self.bare.all(), &self.clean))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((dots, bare, clean)) = kept::read(1, kept) else { return false };
        self.dots.take_back(dots);
        self.bare.take_back(bare);
        self.clean = clean;
        true
    }

    fn forgotten(&self) -> u64 {
        self.dots.forgotten + self.bare.forgotten + self.forgotten
    }
}
