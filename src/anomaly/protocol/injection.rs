//! Commands in clear behind STARTTLS, from either side: somebody wants them taken for said in TLS (CVE-2011-0411, CVE-2021-22947).

use std::net::IpAddr;

use super::super::flow::network;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{HOUR, MINUTE, Sliding, Tallies};
use crate::trace::{AboutKind, Act, Actor, Anomaly, Flag, Severity, WallMicros};
use crate::wording::{clock, several};

const MOST: usize = 1_000;

#[derive(Debug)]
pub struct Injection {
    by_client: Tallies<IpAddr>,
    by_host: Tallies<String>,
}

impl Default for Injection {
    fn default() -> Self {
        let window = Sliding::new(6, 10 * MINUTE);
        Self { by_client: Tallies::new(window.clone(), MOST), by_host: Tallies::new(window, MOST) }
    }
}

impl Detector for Injection {
    fn name(&self) -> &'static str {
        "tls_injection"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        if !seen.has(Flag::TlsInjection) || seen.is_synthetic() {
            return;
        }
        let by_client = seen.session.is_some_and(|it| it.ended.by == Actor::Client);
        match (seen.client_ip(), seen.host()) {
            (Some(ip), _) if by_client => self.by_client.add_key(network(ip), seen.at, seen.id, 1),
            (_, Some(host)) => self.by_host.add(host, seen.at, seen.id, 1),
            _ => {}
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        self.by_client.judge(now, |ip, evidence, times| {
            let summary = format!("{ip} sent commands behind STARTTLS, in clear, to have them taken for said in TLS ({})", several(times, "session", "sessions"));
            let arithmetic = format!("{} within the last hour, told from 1 on, since {}; each was ended before the handshake", several(times, "session", "sessions"), clock(evidence.since, now));
            let finding = Finding::new(Anomaly::TlsInjection, Severity::Warning, summary, arithmetic)
                .about(AboutKind::Client, ip.to_string())
                .advising(Act::LocalAdmin, "The attempt failed. If the address is one of yours, its program is broken, or somebody sits between it and the proxy; else block it.")
                .evidence(evidence.since, evidence.last, evidence.take_fresh(), evidence.samples());
            findings.raise(finding.lasting(HOUR));
        });
        self.by_host.judge(now, |host, evidence, times| {
            let summary = format!("replies came behind the 220 of {host} to STARTTLS, in clear: somebody on the way may have put them there");
            let arithmetic = format!("{} within the last hour, told from 1 on, since {}; each was ended before the handshake", several(times, "session", "sessions"), clock(evidence.since, now));
            let finding = Finding::new(Anomaly::TlsInjection, Severity::Critical, summary, arithmetic)
                .about(AboutKind::Host, host)
                .advising(Act::LocalAdmin, "Nothing was believed. Set the upstream to implicit TLS (port 465) if it has it, and ask its operator; if he sees nothing of the kind, the network in between is not yours alone.")
                .evidence(evidence.since, evidence.last, evidence.take_fresh(), evidence.samples());
            findings.raise(finding.lasting(HOUR));
        });
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &(self.by_client.all(), self.by_host.all()))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((by_client, by_host)) = kept::read(1, kept) else { return false };
        self.by_client.take_back(by_client);
        self.by_host.take_back(by_host);
        true
    }

    fn forgotten(&self) -> u64 {
        self.by_client.forgotten + self.by_host.forgotten
    }
}
