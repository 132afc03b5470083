//! What an examination of a sender goes by.

use std::time::Duration;

/// What the administrator knows of the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderOptions {
    /// The name that is given in EHLO from this address; empty: not known.
    pub helo: String,
    /// Domains whose mail leaves from here: their SPF records must let it, and they are looked for on domain lists.
    pub domains: Vec<String>,
    /// Zones of blocklists to ask beyond those that are known.
    pub more_lists: Vec<String>,
    /// Lists not to ask, by name or zone.
    pub lists_off: Vec<String>,
    /// For each question to DNS.
    pub patience: Duration,
    /// For everything.
    pub limit: Duration,
}

impl Default for SenderOptions {
    fn default() -> Self {
        Self {
            helo: String::new(),
            domains: Vec::new(),
            more_lists: Vec::new(),
            lists_off: Vec::new(),
            patience: Duration::from_secs(5),
            limit: Duration::from_secs(20),
        }
    }
}
