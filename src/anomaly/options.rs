//! Thresholds and bounds of all detectors, with sound defaults.

/// How anomalies are found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    pub book: super::book::Options,
    /// Quotas of upstreams and accounts.
    pub limits: super::limits::Options,
    /// Upstreams that are down, slow or closing, and DNS on the way to them.
    pub upstream: super::upstream::Options,
    /// Logins that fail.
    pub auth: super::auth::Options,
    /// Block lists, reverse DNS, sender authentication, spam verdicts and how much is refused.
    pub reputation: super::reputation::Options,
    /// Spikes and silence.
    pub volume: super::volume::Options,
    /// Circles, harvests, bounces, duplicates, unknown addresses and full mailboxes.
    pub flow: super::flow::Options,
    /// TLS, certificates and what servers show of themselves.
    pub peers: super::peers::Options,
    /// Smuggling, probes and scans.
    pub protocol: super::protocol::Options,
    pub dns: super::dns_watch::Options,
}
