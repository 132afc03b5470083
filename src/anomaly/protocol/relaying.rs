//! Clients that want mail relayed and may not: probes for an open relay, and own machines that nobody listed.

use std::net::IpAddr;

use super::super::flow::network;
use super::{Options, is_private};
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{HOUR, MINUTE, Sliding, Tallies};
use crate::diagnose::Cause;
use crate::smtp::Stage;
use crate::trace::{AboutKind, Act, Actor, Anomaly, Direction, EndHow, Severity, WallMicros};
use crate::wording::{clock, number};

const MOST: usize = 2_000;

#[derive(Debug)]
pub struct Relaying {
    options: Options,
    refused: Tallies<IpAddr>,
}

impl Relaying {
    pub fn new(options: Options) -> Self {
        Self { options, refused: Tallies::new(Sliding::new(6, 10 * MINUTE), MOST) }
    }
}

/// Refused at the door, or with a recipient that mail isn't taken for.
fn refusals(seen: &Seen<'_>) -> u64 {
    if let Some(session) = seen.session {
        let code = session.outcome.as_ref().and_then(|it| it.reply.as_ref()).map(|reply| reply.code);
        let at_the_door = session.ended.by == Actor::Proxy && session.ended.how == EndHow::Refused && session.ended.stage == Stage::Connect;
        return u64::from(at_the_door && code == Some(554));
    }
    // Outwards it is the smart host that refuses, and nobody probes.
    let Some(transaction) = seen.transaction.filter(|it| it.direction == Direction::Inbound) else { return 0 };
    transaction.envelope.recipients.iter().filter(|it| it.cause == Some(Cause::RelayDenied)).count() as u64
}

impl Detector for Relaying {
    fn name(&self) -> &'static str {
        "open_relay_probes"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        if seen.is_synthetic() {
            return;
        }
        let (times, Some(ip)) = (refusals(seen), seen.client_ip()) else { return };
        if times > 0 {
            self.refused.add_key(network(ip), seen.at, seen.id, times);
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let least = self.options.relay_probes;
        self.refused.judge(now, |ip, evidence, times| {
            if times < least {
                return;
            }
            let times_words = number(times);
            let (severity, summary, advice) = if is_private(*ip) {
                (
                    Severity::Warning,
                    format!(
                        "{ip} wants to send mail here and isn't allowed to: refused {times_words} times since {}",
                        clock(evidence.since, now)
                    ),
                    "If the machine is to send mail, add its network to the listener's `allow`; if not, find out what on it tries.",
                )
            } else {
                (
                    Severity::Notice,
                    format!("{ip} looks for an open relay: refused {times_words} times since {}", clock(evidence.since, now)),
                    "Nothing to do: it was refused. Close the port to the internet if nobody is to come from there.",
                )
            };
            let arithmetic = format!("{times_words} refusals to relay within the last hour; told from {least} on");
            let finding = Finding::new(Anomaly::OpenRelayProbes, severity, summary, arithmetic)
                .about(AboutKind::Client, ip.to_string())
                .caused(Cause::RelayDenied)
                .advising(Act::LocalAdmin, advice)
                .evidence(evidence.since, evidence.last, evidence.take_fresh(), evidence.samples());
            findings.raise(finding.lasting(HOUR));
        });
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, self.refused.all())
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some(refused) = kept::read(1, kept) else { return false };
        self.refused.take_back(refused);
        true
    }

    fn forgotten(&self) -> u64 {
        self.refused.forgotten
    }
}
