//! What the doctor is told of the proxy that it looks after.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::diagnose::Diagnosing;
use crate::relay::options::{ListenerOptions, SessionOptions};
use crate::store;

/// Made from the configuration; `sessions` is empty where there is none.
#[derive(Debug, Clone)]
pub struct Options {
    /// The name the doctor gives itself in EHLO.
    pub host_name: String,
    /// One for each listener.
    pub sessions: Vec<Arc<SessionOptions>>,
    pub diagnosing: Diagnosing,
    pub store: store::Options,
    /// Where self-signed certificates are.
    pub certificate_dirs: Vec<PathBuf>,
    /// The name that the mail server gives itself in EHLO.
    pub helo: String,
    /// Own mail domains.
    pub domains: Vec<String>,
    /// Public addresses that mail leaves from.
    pub sending_addresses: Vec<IpAddr>,
    /// DKIM selectors in use, beside those that are tried anyway.
    pub dkim_selectors: Vec<String>,
    /// Networks that aren't the internet's, where mail hosts may be all the same.
    pub private_networks: Vec<IpNet>,
    /// Of packets to mail hosts, so that rules that lead port 25 to the proxy let them pass.
    pub mark: Option<u32>,
    /// Zones of blocklists beyond the known ones, and names or zones of those not to be asked.
    pub blocklists: Vec<String>,
    pub blocklists_off: Vec<String>,
    /// Exports that are configured, and switched off.
    pub exports_off: Vec<String>,
    /// The file that the configuration came from.
    pub source: Option<PathBuf>,
    /// The effective configuration, secrets left out, and its digest.
    pub configuration: String,
    pub digest: String,
    /// Each single wait for a server.
    pub patience: Duration,
}

impl Options {
    /// Where the proxy truly listens, by the listener's name: a reload changes no addresses, ports may be the system's choice, and a new
    /// listener is served after a restart only.
    pub fn listen_on(&mut self, bound: &BTreeMap<String, Vec<SocketAddr>>) {
        let sessions = self.sessions.iter().filter_map(|session| {
            let addresses = bound.get(&session.listener.name)?;
            if session.listener.listen == *addresses {
                return Some(session.clone());
            }
            let listener = Arc::new(ListenerOptions { listen: addresses.clone(), ..(*session.listener).clone() });
            Some(Arc::new(SessionOptions { listener, ..(**session).clone() }))
        });
        let sessions: Vec<_> = sessions.collect();
        // Whatever they listen on, they know the upstreams.
        if !sessions.is_empty() {
            self.sessions = sessions;
        }
    }

    /// Without any configuration.
    pub fn bare(host_name: &str, store: store::Options) -> Self {
        Self {
            host_name: host_name.to_owned(),
            sessions: Vec::new(),
            diagnosing: Diagnosing::default(),
            store,
            certificate_dirs: Vec::new(),
            helo: host_name.to_owned(),
            domains: Vec::new(),
            sending_addresses: Vec::new(),
            dkim_selectors: Vec::new(),
            private_networks: Vec::new(),
            mark: None,
            blocklists: Vec::new(),
            blocklists_off: Vec::new(),
            exports_off: Vec::new(),
            source: None,
            configuration: String::new(),
            digest: String::new(),
            patience: PATIENCE,
        }
    }
}

/// Default of [`Options::patience`].
pub const PATIENCE: Duration = Duration::from_secs(5);
