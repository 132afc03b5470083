//! What those who watch over the proxy are told: how it is set up, and how it stands.

use std::sync::Arc;

use tokio::sync::watch;

use super::build::Built;
use super::worker::Worker;
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
    pub fn new(built: &Built, loaded: &Loaded, workers: &[Worker], now: WallMicros) -> Self {
        let setup = setup(built, loaded, workers, Reload { at: now, succeeded: true });
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

    /// To be called once the workers serve by it, as far as they can.
    pub fn reloaded(&self, built: &Built, loaded: &Loaded, workers: &[Worker], now: WallMicros) {
        let draining = self.setup.borrow().draining;
        self.setup.send_replace(Setup { draining, ..setup(built, loaded, workers, Reload { at: now, succeeded: true }) });
    }

    /// The configuration that there was goes on.
    pub fn reload_refused(&self) {
        self.setup.send_modify(|setup| setup.reload.succeeded = false);
    }

    pub fn draining(&self) {
        self.setup.send_modify(|setup| setup.draining = true);
    }
}

/// Listeners and upstreams are those that are served, whatever the configuration says: what it adds or removes takes a restart.
fn setup(built: &Built, loaded: &Loaded, workers: &[Worker], reload: Reload) -> Setup {
    // All workers serve the same.
    let served: Vec<_> = workers.iter().take(1).flat_map(|worker| &worker.contexts).map(|current| current.load_full()).collect();
    let mut upstreams: Vec<UpstreamSetup> = Vec::new();
    for (upstream, context) in served.iter().flat_map(|context| context.options.upstreams.iter().map(move |upstream| (upstream, context))) {
        let reach = context.reaches.iter().find(|reach| reach.upstream == upstream.name);
        if let Some(reach) = reach.filter(|_| upstreams.iter().all(|known| known.name != upstream.name)) {
            let hosts = upstream.hosts.iter().map(|it| format!("{}:{}", it.host, it.port)).collect();
            upstreams.push(UpstreamSetup { name: upstream.name.clone(), kind: upstream.kind, hosts, health: reach.health.clone() });
        }
    }
    let listeners = served.iter().map(|context| {
        let name = context.options.listener.name.clone();
        ListenerSetup {
            sockets: built.addresses(&name).len(),
            tls: context.server_tls.clone(),
            defers: context.options.on_store_failure == OnStoreFailure::Defer,
            name,
        }
    });
    let listeners: Vec<_> = listeners.collect();
    let configured = loaded.sessions.iter().map(|session| &session.listener.name);
    let awaiting_restart = configured.filter(|name| listeners.iter().all(|served| served.name != **name)).cloned().collect();
    Setup {
        listeners,
        awaiting_restart,
        upstreams,
        look_ups: built.resolver().counts(),
        sessions_limit: loaded.sessions.iter().map(|it| it.limits.sessions).max().unwrap_or_default(),
        reload,
        draining: false,
    }
}
