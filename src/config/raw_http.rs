//! `[http]` as it is written.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::addresses::ListenOrOff;
use super::raw::choice;

/// The HTTP interface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Http {
    /// A loopback address and port, or "off".
    pub listen: ListenOrOff,
    /// Who may read /metrics over TCP.
    pub metrics: MetricsAccess,
}

choice!(MetricsAccess => super::MetricsAccess { Token = "token", Open = "open" });

impl Default for Http {
    fn default() -> Self {
        Self { listen: ListenOrOff(Some((std::net::Ipv4Addr::LOCALHOST, 8025).into())), metrics: MetricsAccess::Token }
    }
}
