//! The servers mail goes to, against their own history: TLS, certificates, what they say of themselves.

mod certificate;
mod changed;
mod parts;
#[cfg(test)]
mod tests;
mod tls;

use crate::anomaly::detector::Detector;
use crate::anomaly::window::DAY;

/// When a peer's change is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// A certificate that ends within so long is told, and is urgent within the second. µs.
    pub expires_us: u64,
    pub expires_urgent_us: u64,
    /// Messages after which a peer's TLS is known well enough to miss it.
    pub tls_known: u32,
    /// A level of TLS that less than this share of a peer's mail had is none of its own.
    pub tls_share: f32,
    /// Sessions after which a peer's greeting, keywords and certificate are known, and for how long at least. µs.
    pub peer_known: u32,
    pub peer_known_us: u64,
    /// Sessions in a row that show what is new before it is told: of a pool of servers behind one name they alternate.
    pub peer_sightings: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            expires_us: 14 * DAY,
            expires_urgent_us: 3 * DAY,
            tls_known: 20,
            tls_share: 0.02,
            peer_known: 20,
            peer_known_us: DAY,
            peer_sightings: 3,
        }
    }
}

/// All detectors of this group.
pub fn detectors(options: &Options) -> Vec<Box<dyn Detector>> {
    vec![
        Box::new(tls::Tls::new(options.clone())),
        Box::new(certificate::Certificates::new(options.clone())),
        Box::new(changed::Changed::new(options.clone())),
    ]
}
