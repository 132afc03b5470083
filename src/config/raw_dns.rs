//! `[dns]` as it is written: which servers are asked, and how far they are believed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::addresses::NameServer;
use crate::net::resolve;

/// How names are resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Dns {
    /// DNS servers in the order in which they are asked. Default: those of /etc/resolv.conf, as it is at the time.
    pub servers: Vec<NameServer>,
    /// Whether /etc/hosts is asked before DNS.
    pub hosts_file: bool,
    /// Whether the servers' word for "validated by DNSSEC" is taken.
    pub trust_ad: TrustAd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum TrustAd {
    #[serde(rename = "loopback")]
    Loopback,
    #[serde(rename = "yes")]
    Yes,
    #[serde(rename = "no")]
    No,
}

impl Default for Dns {
    fn default() -> Self {
        Self { servers: Vec::new(), hosts_file: true, trust_ad: TrustAd::Loopback }
    }
}

impl Dns {
    pub fn options(&self) -> resolve::Options {
        resolve::Options {
            servers: self.servers.iter().map(|server| server.0).collect(),
            hosts_file: self.hosts_file,
            trust_ad: match self.trust_ad {
                TrustAd::Loopback => resolve::TrustAd::Loopback,
                TrustAd::Yes => resolve::TrustAd::Yes,
                TrustAd::No => resolve::TrustAd::No,
            },
        }
    }
}
