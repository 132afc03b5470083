//! When an upstream counts as down, slow or closing.

use crate::anomaly::window::{HOUR, MINUTE, SECOND};

/// `[anomaly.upstream]`
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// A host is down when nobody got through, in at least two attempts, the first and the last so far apart. µs.
    pub down_after_us: u64,
    /// A mail exchanger of somebody else's that worked before is down when nobody got through for so long. µs.
    pub exchanger_down_after_us: u64,
    /// So often down and up again within an hour: it comes and goes.
    pub flaps: u64,
    /// So many names that can't be looked up within five minutes, and hardly any that can: the resolver fails.
    pub dns_names: usize,
    /// One domain's DNS fails when nothing was answered in so many look-ups…
    pub dns_failures: u64,
    /// …over so long. µs.
    pub dns_domain_after_us: u64,
    /// A phase is slow when nine of ten samples of the last ten minutes take so many times what nine of ten usually take.
    pub slow_factor: f64,
    /// It is compared when there are so many samples within ten minutes…
    pub slow_samples: usize,
    /// …and so many before that say what is usual.
    pub slow_known: u64,
    /// Below this a connection is never slow. µs.
    pub slow_connect_us: u64,
    /// The same for a greeting. µs.
    pub slow_banner_us: u64,
    /// The same for a TLS handshake. µs.
    pub slow_tls_us: u64,
    /// The same for a login. µs.
    pub slow_auth_us: u64,
    /// The same for the reply to end-of-data. µs.
    pub slow_end_of_data_us: u64,
    /// So many sessions ended by the upstream within 15 minutes, a fifth of all, are an incident.
    pub closings: u64,
    /// So many refusals for too many connections within 15 minutes are an incident.
    pub connection_limits: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            down_after_us: 20 * SECOND,
            exchanger_down_after_us: 30 * MINUTE,
            flaps: 3,
            dns_names: 3,
            dns_failures: 10,
            dns_domain_after_us: HOUR,
            slow_factor: 4.0,
            slow_samples: 10,
            slow_known: 100,
            slow_connect_us: SECOND,
            slow_banner_us: 5 * SECOND,
            slow_tls_us: 2 * SECOND,
            slow_auth_us: 5 * SECOND,
            slow_end_of_data_us: 5 * SECOND,
            closings: 10,
            connection_limits: 3,
        }
    }
}
