//! Where the numbers come from: counters that are kept anyway, and the configuration in effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::export::Handle;
use crate::net::resolve;
use crate::net::tls::ServerTls;
use crate::proxy::{Counters, HostHealth};
use crate::store::Store;
use crate::trace::{Anomaly, Severity, UpstreamKind, WallMicros};

/// How many incidents are open, by what they are. Written by whoever watches for anomalies.
pub type OpenIncidents = Arc<ArcSwap<BTreeMap<(Anomaly, Severity), u64>>>;

/// Everything that is asked at a scrape. Clones share it.
#[derive(Clone)]
pub struct Sources {
    pub store: Store,
    pub counters: Arc<Counters>,
    pub exports: watch::Receiver<Vec<Handle>>,
    pub incidents: OpenIncidents,
    pub setup: watch::Receiver<Setup>,
    pub started: WallMicros,
}

impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sources").field("started", &self.started).finish_non_exhaustive()
    }
}

/// What a reload changes, and how the process stands.
#[derive(Clone)]
pub struct Setup {
    /// Those that are served.
    pub listeners: Vec<ListenerSetup>,
    /// Those that are configured, and served only after a restart.
    pub awaiting_restart: Vec<String>,
    /// Of the listeners that are served.
    pub upstreams: Vec<UpstreamSetup>,
    pub look_ups: Arc<resolve::Counts>,
    /// Most sessions at once.
    pub sessions_limit: usize,
    pub reload: Reload,
    /// No new connections are taken.
    pub draining: bool,
}

#[derive(Clone)]
pub struct ListenerSetup {
    pub name: String,
    /// Sockets that are listened on.
    pub sockets: usize,
    pub tls: Option<Arc<ServerTls>>,
    /// No mail is taken while the store fails (`on_store_failure = "defer"`).
    pub defers: bool,
}

#[derive(Clone)]
pub struct UpstreamSetup {
    pub name: String,
    pub kind: UpstreamKind,
    /// As configured, in the order of the list: "smtp.example.net:587".
    pub hosts: Vec<String>,
    pub health: Arc<HostHealth>,
}

/// The last time that the configuration was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload {
    /// When one was last taken over.
    pub at: WallMicros,
    /// Whether the last attempt succeeded.
    pub succeeded: bool,
}
