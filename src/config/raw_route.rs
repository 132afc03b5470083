//! `[[route]]` as it is written: conditions, and the upstream that a match leads to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::addresses::Network;
use super::units::Octets;

/// A rule of the routing table. The first that matches decides; what no rule matches goes to its listener's upstream.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Route {
    /// Its name in records.
    pub name: String,
    /// Names of listeners; empty: all.
    pub listener: Vec<String>,
    /// Client networks; empty: all.
    pub client: Vec<Network>,
    /// Addresses, "@example.org", "@.example.org" (all below it), or "<>" for the null sender; empty: all.
    pub reverse_path: Vec<String>,
    /// "example.org", or ".example.org" for all below it; empty: all.
    pub recipient_domain: Vec<String>,
    /// Messages declared larger than this.
    pub larger_than: Option<Octets>,
    /// Name of the upstream.
    pub upstream: Option<String>,
    /// Pass the session through encrypted and unread.
    pub passthrough: bool,
}
