//! What those who watch over the proxy are told: how it is set up, and how it stands.

use std::sync::Arc;

use tokio::sync::watch;

use super::build::Built;
use crate::config::Loaded;
use crate::export::Handle;
use crate::metrics::{ListenerSetup, OpenIncidents, Reload, Setup, Sources, UpstreamSetup};
use crate::proxy::Counters;
use crate::relay::options::OnStoreFailure;
use crate::store::Store;
use crate::trace::WallMicros;

/// For as long as the process lives, whoever has the store.
pub(super) struct Telemetry {
    setup: watch::Sender<Setup>,
    pub incidents: OpenIncidents,
    started: WallMicros,
}

impl Telemetry {
    pub fn new(built: &Built, loaded: &Loaded, now: WallMicros) -> Self {
        let setup = setup(built, loaded, Reload { at: now, succeeded: true });
        Self { setup: watch::Sender::new(setup), incidents: OpenIncidents::default(), started: now }
    }

    pub fn sources(&self, store: &Store, counters: &Arc<Counters>, exports: watch::Receiver<Vec<Handle>>) -> Sources {
        Sources {
            store: store.clone(),
            counters: counters.clone(),
            exports,
            incidents: self.incidents.clone(),
            setup: self.setup.subscribe(),
            started: self.started,
        }
    }

    pub fn reloaded(&self, built: &Built, loaded: &Loaded, now: WallMicros) {
        let draining = self.setup.borrow().draining;
        self.setup.send_replace(Setup { draining, ..setup(built, loaded, Reload { at: now, succeeded: true }) });
    }

    /// The configuration that there was goes on.
    pub fn reload_refused(&self) {
        self.setup.send_modify(|setup| setup.reload.succeeded = false);
    }

    pub fn draining(&self) {
        self.setup.send_modify(|setup| setup.draining = true);
    }
}

fn setup(built: &Built, loaded: &Loaded, reload: Reload) -> Setup {
    let mut upstreams: Vec<UpstreamSetup> = Vec::new();
    for upstream in loaded.sessions.iter().flat_map(|session| session.upstreams.iter()) {
        if let Some(health) = built.health(&upstream.name).filter(|_| upstreams.iter().all(|known| known.name != upstream.name)) {
            let hosts = upstream.hosts.iter().map(|it| format!("{}:{}", it.host, it.port)).collect();
            upstreams.push(UpstreamSetup { name: upstream.name.clone(), kind: upstream.kind, hosts, health });
        }
    }
    let listener = |session: &Arc<crate::relay::options::SessionOptions>| {
        let name = session.listener.name.clone();
        ListenerSetup {
            sockets: built.addresses(&name).len(),
            tls: built.server_tls(&name),
            defers: session.on_store_failure == OnStoreFailure::Defer,
            name,
        }
    };
    Setup {
        listeners: loaded.sessions.iter().map(listener).collect(),
        upstreams,
        look_ups: built.resolver().counts(),
        sessions_limit: loaded.sessions.iter().map(|it| it.limits.sessions).max().unwrap_or_default(),
        reload,
        draining: false,
    }
}
