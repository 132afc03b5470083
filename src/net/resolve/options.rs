//! Which DNS servers are asked, and how far they are believed.

use std::net::SocketAddr;

/// How names are resolved. The default is the system's way: `/etc/resolv.conf`, and `/etc/hosts` before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// DNS servers in the order in which they are asked. None: those of `/etc/resolv.conf`, with its search list.
    pub servers: Vec<SocketAddr>,
    /// Whether `/etc/hosts` is asked before DNS.
    pub hosts_file: bool,
    pub trust_ad: TrustAd,
}

impl Default for Options {
    fn default() -> Self {
        Self { servers: Vec::new(), hosts_file: true, trust_ad: TrustAd::Loopback }
    }
}

/// Whether the servers' word for "validated by DNSSEC" (the AD bit, RFC 4035 3.2.3) is taken. It travels unprotected, so
/// it is worth what the way to the server is worth; without it DANE is off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrustAd {
    /// If every server is on a loopback address of this machine.
    #[default]
    Loopback,
    Yes,
    No,
}

impl TrustAd {
    pub(super) fn holds_for(self, servers: &[SocketAddr]) -> bool {
        match self {
            Self::Yes => true,
            Self::No => false,
            Self::Loopback => !servers.is_empty() && servers.iter().all(|server| server.ip().to_canonical().is_loopback()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_servers_are_believed_by_themselves() {
        let servers = |list: &[&str]| list.iter().map(|it| it.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let cases = [
            (TrustAd::Loopback, servers(&["127.0.0.1:53", "[::1]:53"]), true),
            (TrustAd::Loopback, servers(&["127.0.0.1:53", "192.0.2.1:53"]), false),
            (TrustAd::Loopback, servers(&[]), false),
            (TrustAd::Yes, servers(&["192.0.2.1:53"]), true),
            (TrustAd::No, servers(&["127.0.0.1:53"]), false),
        ];
        for (trust, servers, believed) in cases {
            assert_eq!(trust.holds_for(&servers), believed, "{trust:?} {servers:?}");
        }
    }
}
