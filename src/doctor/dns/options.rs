//! What an examination of a domain goes by.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::net::mta_sts;
use crate::net::resolve::not_global;
use crate::net::tls::ClientTls;

/// Whom to ask, how long to wait, and what the administrator knows of the domain.
#[derive(Clone)]
pub struct DomainOptions {
    /// The name the doctor gives itself in EHLO: the proxy's own.
    pub helo: String,
    /// Which authorities are believed, for mail hosts and policy servers.
    pub tls: ClientTls,
    /// DKIM selectors that the administrator named: each must have a key.
    pub selectors: Vec<String>,
    /// Selectors seen in traces: as above, and it is said where they come from.
    pub seen_selectors: Vec<String>,
    /// Addresses that mail of the domain leaves from: its SPF record must let them.
    pub senders: Vec<IpAddr>,
    /// Networks that aren't the internet's, and are visited all the same. Elsewhere a host with a private address is not
    /// connected to: whoever owns a domain could point the doctor at anything in this network.
    pub networks: Vec<IpNet>,
    /// Of the mail hosts (25), of the domain's name servers (53), of the MTA-STS policy's server (443).
    pub smtp_port: u16,
    pub dns_port: u16,
    pub https_port: u16,
    pub canaries: Canaries,
    /// Set on each packet to a mail host, so that rules that lead port 25 to the proxy let it pass.
    pub mark: Option<u32>,
    /// For each question to DNS, and each connection.
    pub patience: Duration,
    /// For each reply of a mail host. Some let strangers wait for the greeting (Postfix' postscreen: 6 s).
    pub smtp_patience: Duration,
    /// For everything.
    pub limit: Duration,
}

/// Names of others by which a resolver is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canaries {
    /// Signed, and well.
    pub secure: String,
    /// Signed, and badly, by intent: no validating server gives its address.
    pub bogus: String,
    /// A domain without wildcard: a name below it that was just made up must not exist.
    pub absent_below: String,
}

impl Default for Canaries {
    /// IANA's own zone, Comcast's test zone with a broken chain of trust, and the domain for examples.
    fn default() -> Self {
        Self { secure: "iana.org".to_owned(), bogus: "dnssec-failed.org".to_owned(), absent_below: "example.com".to_owned() }
    }
}

impl DomainOptions {
    pub fn new(helo: &str, tls: ClientTls) -> Self {
        Self {
            helo: helo.to_owned(),
            tls,
            selectors: Vec::new(),
            seen_selectors: Vec::new(),
            senders: Vec::new(),
            networks: Vec::new(),
            smtp_port: 25,
            dns_port: 53,
            https_port: 443,
            canaries: Canaries::default(),
            mark: None,
            patience: Duration::from_secs(5),
            smtp_patience: Duration::from_secs(10),
            limit: Duration::from_secs(20),
        }
    }

    /// Why this address is not connected to; `None` if it may be.
    pub(super) fn forbidden(&self, address: IpAddr) -> Option<String> {
        if self.networks.iter().any(|network| network.contains(&address)) { None } else { not_global(address) }
    }

    pub(super) fn mta_sts(&self) -> mta_sts::Options {
        mta_sts::Options {
            timeout: self.patience * 2,
            dns_timeout: self.patience,
            port: self.https_port,
            allowed_networks: self.networks.clone(),
            ..mta_sts::Options::default()
        }
    }
}
