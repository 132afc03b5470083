//! Mail that goes wrong ways: round in circles, to nobody, twice, back in waves.

mod bounces;
mod doubled;
mod full;
mod harvest;
mod looping;
#[cfg(test)]
mod tests;
mod unknown;

use std::net::{IpAddr, Ipv6Addr};

use crate::anomaly::detector::Detector;
use crate::anomaly::window::{DAY, HOUR};

/// From when on it is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// A message with so many `Received` lines goes round in a circle.
    pub loop_hops: u32,
    /// The same message to the same recipient so many times within an hour, each time with more `Received` lines, does too.
    pub loop_times: u32,
    /// Unknown recipients that one client (of IPv6 one /64) may name within an hour before it is one who collects addresses.
    pub harvest_recipients: usize,
    /// The same as a share of all the recipients that it names.
    pub harvest_share: f32,
    /// Bounces to one address within an hour that are a wave, where so many are not usual.
    pub bounces: u32,
    /// Messages to the same unknown address before it is told, and within how long. µs.
    pub unknown_times: u32,
    pub unknown_us: u64,
    /// A mailbox is full for so long before it is told, and mail to it failed so often. µs.
    pub full_us: u64,
    pub full_times: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            loop_hops: 25,
            loop_times: 5,
            harvest_recipients: 20,
            harvest_share: 0.5,
            bounces: 50,
            unknown_times: 4,
            unknown_us: 3 * DAY,
            full_us: 24 * HOUR,
            full_times: 3,
        }
    }
}

/// All detectors of this group.
pub fn detectors(options: &Options) -> Vec<Box<dyn Detector>> {
    vec![
        Box::new(looping::Looping::new(options.clone())),
        Box::new(harvest::Harvest::new(options.clone())),
        Box::new(bounces::Bounces::new(options.clone())),
        Box::new(doubled::Doubled::default()),
        Box::new(unknown::Unknown::new(options.clone())),
        Box::new(full::Full::new(options.clone())),
    ]
}

/// Of IPv6 the /64: within it a host has all addresses it likes.
pub(super) fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)), IpAddr::V4),
    }
}
