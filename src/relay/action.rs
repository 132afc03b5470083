//! What the engine asks of the world around it, and what it hears back.

use std::net::IpAddr;
use std::sync::Arc;

use super::options::{UpstreamOptions, UpstreamTls};
use crate::trace::{Actor, Circuit, Dns, Dnssec, Leg, Lookup, Record, Stage, Tls, TlsPolicy, Tried};

/// Where octets go. The implementer gathers what one input causes and sends it in one write.
pub trait Wire {
    fn send(&mut self, leg: Leg, octets: &[u8]);
}

/// What the world around the machine is asked to do. Taken with [`super::Machine::next_action`] after every input.
#[derive(Debug)]
pub enum Action {
    /// Find the hosts of an upstream; `domain`: the recipient's, where its mail exchangers are asked for. Answer with
    /// [`super::Machine::hosts_found`] or [`super::Machine::hosts_not_found`].
    FindHosts { upstream: Arc<UpstreamOptions>, domain: Option<String> },
    /// Connect to this host; answer with [`super::Machine::connected`] or [`super::Machine::connect_failed`]. An upstream connection that is
    /// still open is closed first, after what is gathered for it.
    Connect { hop: Box<NextHop> },
    /// The host that was to be connected is of no use: it can't be reached, greeted with a refusal, or its leg can't be made ready. Once
    /// for each [`Action::Connect`] to another host, however much of it failed.
    HostFailed { stage: Stage, error: String },
    /// The connected host serves: client and upstream have begun with TLS that nobody looks into.
    HostServes { connect_us: Option<u64> },
    /// Send what is gathered for the leg, then shake hands; answer with [`super::Machine::tls_established`] or
    /// [`super::Machine::tls_failed`].
    StartTls { leg: Leg },
    /// Append to the journal. With `then_reply`, answer with [`super::Machine::stored`] once it is durable (or failed).
    Append { record: Box<Record>, then_reply: bool },
    /// Append [`super::Machine::mark`] without haste; answer with [`super::Machine::mark_stored`] once it is durable (or failed).
    AppendMark,
    /// Append [`super::Machine::mark`] once more: it tells more by now. Nobody waits for it.
    RenewMark,
    /// Send what is gathered for the leg, then close its sending side; it is still read.
    CloseSide { leg: Leg },
    /// Send what is gathered for the leg, then close it in an orderly way.
    Close { leg: Leg },
    /// Close at once; octets not yet sent are dropped. The peer must not take the message for complete.
    Abort { leg: Leg },
}

/// How a leg has come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// Its peer has closed its side, and may still read.
    Orderly,
    /// Its peer has closed without saying so in TLS (RFC 8446 §6.1): whatever came last may be a part only.
    Cut,
    Reset,
}

impl Closed {
    /// For the timeline.
    pub(super) fn note(self) -> &'static [u8] {
        match self {
            Self::Orderly => b"(closed)",
            Self::Cut => b"(closed without close_notify)",
            Self::Reset => b"(connection reset)",
        }
    }
}

/// A host to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextHop {
    /// As configured, or as found: a name or an IP address.
    pub host: String,
    pub port: u16,
    pub tls: UpstreamTls,
    /// Its place in the upstream's list, if it has one.
    pub place: Option<usize>,
    pub mx_preference: Option<u16>,
    /// What DNSSEC says of the answer that named it.
    pub mx_dnssec: Option<Dnssec>,
    /// Whether its TLSA records say more about TLS than `tls` does.
    pub dane: bool,
    /// Why it may not be used, unless its TLSA records vouch for it.
    pub barred: Option<String>,
    /// Why it is tried now.
    pub choice: Option<String>,
    pub circuit: Option<Circuit>,
    /// Whether somebody got through to it, and nobody failed since.
    pub proven: bool,
    /// Whether somebody got through to it a short while ago: who finds it silent met it when it was slow.
    pub serves: bool,
    /// Where `tls` came from, if not from the configuration alone.
    pub policy: Option<TlsPolicy>,
    /// The domain that its mail is for (RFC 7672 §3.2.3), where mail exchangers were asked for.
    pub domain: Option<String>,
}

impl NextHop {
    pub fn new(host: impl Into<String>, port: u16, tls: UpstreamTls) -> Self {
        Self {
            host: host.into(),
            port,
            tls,
            place: None,
            mx_preference: None,
            mx_dnssec: None,
            dane: false,
            barred: None,
            choice: None,
            circuit: None,
            proven: false,
            serves: false,
            policy: None,
            domain: None,
        }
    }
}

/// The hosts of an upstream, in the order to try.
#[derive(Debug, Clone, Default)]
pub struct Found {
    pub hops: Vec<NextHop>,
    /// Hosts that may not be tried, and why.
    pub skipped: Vec<Tried>,
    pub lookups: Vec<Lookup>,
    pub dns_us: Option<u64>,
}

/// No hosts: the recipient is refused.
#[derive(Debug, Clone)]
pub struct NotFound {
    pub refusal: Refusal,
    pub by: Actor,
    pub error: String,
    pub skipped: Vec<Tried>,
    pub lookups: Vec<Lookup>,
    pub dns_us: Option<u64>,
}

/// Codes of a reply of the proxy's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    pub code: u16,
    pub enhanced: (u8, u16, u16),
}

/// A connection to a host.
#[derive(Debug, Clone)]
pub struct Connected {
    pub ip: IpAddr,
    pub port: u16,
    pub dns: Option<Dns>,
    pub dns_us: Option<u64>,
    pub connect_us: u64,
    /// With implicit TLS: what was agreed, and how long it took.
    pub tls: Option<(Tls, u64)>,
    /// Addresses of this host that failed before.
    pub tried: Vec<Tried>,
    pub lookups: Vec<Lookup>,
    /// The TLS policy that came out for this host, where its hop left that open.
    pub policy: Option<(UpstreamTls, TlsPolicy)>,
}

/// No connection to a host.
#[derive(Debug, Clone)]
pub struct Failed {
    pub stage: Stage,
    pub by: Actor,
    /// For the admin: "connection refused by 192.0.2.1:25".
    pub error: String,
    pub tried: Vec<Tried>,
    pub lookups: Vec<Lookup>,
    /// What a recipient is told if this was the last host; 451 4.4.1 otherwise.
    pub refusal: Option<Refusal>,
    /// The hosts behind this one may not be tried.
    pub last: bool,
}
