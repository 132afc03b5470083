//! What lies outside of the traces and explains why nothing was seen: what DNS says of the sender's hosts and of the
//! recipient's mail exchangers. Asked by whoever answers the question; nothing here asks DNS.

use std::net::IpAddr;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A way to DNS, bounded in time by whoever makes it: what doesn't come in time is a failure, and said.
pub trait Outside {
    /// Where mail of a domain may come from.
    fn senders(&self, domain: &str) -> SenderHosts;

    /// Where mail for a domain goes.
    fn exchangers(&self, domain: &str) -> MailExchangers;

    /// The name of an address (PTR), if it has one.
    fn name_of(&self, address: IpAddr) -> Option<String>;
}

/// What DNS said.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Dns {
    /// Of the domains that may be the sender's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub senders: Vec<SenderHosts>,
    /// Of the domains that may be a recipient's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchangers: Vec<MailExchangers>,
}

/// From where mail of a domain may come: its exchangers, and the networks that its SPF record names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SenderHosts {
    pub domain: String,
    pub networks: Vec<SenderNetwork>,
    /// Networks beyond the bound.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub networks_cut: usize,
    /// What could not be found out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SenderNetwork {
    #[schemars(with = "String")]
    pub network: IpNet,
    /// What names it: "its MX mx.example.com", "its SPF record", …
    pub by: String,
}

/// Where mail for a domain goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MailExchangers {
    pub domain: String,
    /// In the order in which they are tried; one without MX record is the domain itself.
    pub hosts: Vec<Exchanger>,
    /// Why there are none, or not all of their addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Exchanger {
    /// Lower is tried first.
    pub preference: u16,
    pub host: String,
    pub addresses: Vec<IpAddr>,
    /// One of its addresses is this machine's, or one that this proxy listens on.
    pub here: bool,
}

impl MailExchangers {
    /// Whether mail for the domain comes here by DNS; `None` where DNS doesn't tell.
    pub fn lead_here(&self) -> Option<bool> {
        match self.hosts.is_empty() {
            true => None,
            false => Some(self.hosts.iter().any(|host| host.here)),
        }
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}
