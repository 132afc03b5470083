//! What passes between a script and its machine: what comes on a leg, what goes out, and who answers requests.

use relayscope::relay::Wire;
use relayscope::trace::Leg;

/// What came out on one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sign {
    Octets(Vec<u8>),
    /// Nothing more is sent, after all that was; it is still read.
    SideClosed,
    /// Closed in an orderly way, after all that was sent.
    Closed,
    /// Closed at once.
    Dropped,
    /// A TLS handshake begins.
    Tls,
    /// A connection to this host is asked for.
    Connect(String),
    /// The mail exchangers of this domain are asked for.
    Find(String),
    /// The next session tries another host first; where the script wants to see it.
    HostFailed,
    /// It serves; likewise.
    HostServes,
}

/// Who answers the machine's requests.
#[derive(Debug, Clone, Copy)]
pub struct ByHand {
    pub connect: bool,
    pub store: bool,
    pub mark: bool,
    pub failures: bool,
}

/// What a leg brings, in the order in which it would be read.
#[derive(Debug, Clone)]
pub enum Input {
    Octets(Vec<u8>),
    Fin,
    Cut,
    Reset,
}

/// Octets of one input, gathered until its actions are known.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) client: Vec<u8>,
    pub(super) upstream: Vec<u8>,
}

impl Wire for Gathered {
    fn send(&mut self, leg: Leg, octets: &[u8]) {
        match leg {
            Leg::Client => self.client.extend_from_slice(octets),
            Leg::Upstream => self.upstream.extend_from_slice(octets),
        }
    }
}
