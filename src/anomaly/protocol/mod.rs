//! Clients that don't come to send mail, or not in the way of mail; and holes in the trace.

pub mod gap;
mod injection;
mod relaying;
mod scanner;
mod smuggling;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use crate::anomaly::detector::Detector;

/// From how much on it is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Refusals to relay for one client (of IPv6 one /64) within an hour.
    pub relay_probes: u64,
    /// Sessions of one client within an hour that spoke something other than SMTP, or out of turn.
    pub scans: u64,
    /// Sessions of one client within an hour in which it said nothing at all; those of private networks don't count (monitoring).
    pub silent_sessions: u64,
    /// Messages without bare newlines after which such ones are news from a client.
    pub clean_messages: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { relay_probes: 3, scans: 10, silent_sessions: 30, clean_messages: 50 }
    }
}

/// All detectors of this group.
pub fn detectors(options: &Options) -> Vec<Box<dyn Detector>> {
    vec![
        Box::new(smuggling::Smuggling::new(options.clone())),
        Box::<injection::Injection>::default(),
        Box::new(relaying::Relaying::new(options.clone())),
        Box::new(scanner::Scanner::new(options.clone())),
        Box::<gap::Gaps>::default(),
    ]
}

/// An address of somebody's own network: a machine there is one that was forgotten or set up wrongly, not an attacker.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
