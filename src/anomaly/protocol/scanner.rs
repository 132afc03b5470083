//! Connections that are no mail: other protocols, hasty talkers, visitors who say nothing.

use std::net::IpAddr;

use super::super::flow::network;
use super::{Options, is_private};
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::recent::Recent;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{DAY, HOUR, MINUTE, Sliding, Tallies};
use crate::trace::{AboutKind, Act, Actor, Anomaly, EndHow, Flag, Severity, WallMicros};
use crate::wording::{clock, number};

const MOST: usize = 5_000;

#[derive(Debug)]
pub struct Scanner {
    options: Options,
    foreign: Tallies<IpAddr>,
    silent: Tallies<IpAddr>,
    /// Who sent mail within a day or two: no scanner.
    mailers: Recent<()>,
}

impl Scanner {
    pub fn new(options: Options) -> Self {
        let window = Sliding::new(6, 10 * MINUTE);
        Self { options, foreign: Tallies::new(window.clone(), MOST), silent: Tallies::new(window, MOST), mailers: Recent::new(DAY, 50_000) }
    }
}

impl Detector for Scanner {
    fn name(&self) -> &'static str {
        "scanner"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let Some(ip) = seen.client_ip().map(network) else { return };
        if seen.is_synthetic() {
            return;
        }
        let Some(session) = seen.session else {
            if seen.transaction.is_some() {
                let key = self.mailers.key(ip);
                self.mailers.touch(key, seen.at, || ());
            }
            return;
        };
        if seen.has(Flag::ForeignProtocol) || seen.has(Flag::EarlyTalker) {
            self.foreign.add_key(ip, seen.at, seen.id, 1);
        } else if session.ended.commands == 0
            && session.ended.by == Actor::Client
            && matches!(session.ended.how, EndHow::Close | EndHow::Reset | EndHow::Quit)
            && !is_private(ip)
        {
            self.silent.add_key(ip, seen.at, seen.id, 1);
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let Self { options, foreign, silent, mailers } = self;
        for (tallies, least, what) in [
            (foreign, options.scans, "spoke another protocol, or before their turn"),
            (silent, options.silent_sessions, "said nothing at all"),
        ] {
            tallies.judge(now, |ip, evidence, times| {
                if times < least || mailers.find(mailers.key(ip)).is_some() {
                    return;
                }
                let summary = format!("{ip} sends no mail, and looks around: {} sessions since {} {what}", number(times), clock(evidence.since, now));
                let arithmetic = format!("{times} within the last hour, no message within a day; told from {least} on");
                let advice = match is_private(*ip) {
                    true => "Find the program on that machine: a client set to implicit TLS on a port that begins in clear, a web browser, or a security scan of your own.",
                    false => "Nothing to do. If it is a nuisance, block the address at the firewall.",
                };
                let finding = Finding::new(Anomaly::Scanner, Severity::Notice, summary, arithmetic)
                    .about(AboutKind::Client, ip.to_string())
                    .advising(Act::LocalAdmin, advice)
                    .evidence(evidence.since, evidence.last, evidence.take_fresh(), evidence.samples());
                findings.raise(finding.lasting(HOUR));
            });
        }
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &(self.foreign.all(), self.silent.all(), &self.mailers))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((foreign, silent, mailers)) = kept::read(1, kept) else { return false };
        self.foreign.take_back(foreign);
        self.silent.take_back(silent);
        self.mailers.take_back(mailers);
        true
    }

    fn forgotten(&self) -> u64 {
        self.foreign.forgotten + self.silent.forgotten + self.mailers.forgotten
    }
}
