//! Makes what sessions need out of the configuration: certificates, verifiers, resolver, health, contexts, sockets.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::StartError;
use super::worker::Worker;
use crate::config::Loaded;
use crate::net::listen::bind_workers;
use crate::net::resolve::Resolver;
use crate::net::tls::{ClientTls, ServerTls, self_signed};
use crate::proxy::{Context, Counters, Desk, HostHealth, Reach, Roster};
use crate::relay::options::{self, SessionOptions};
use crate::trace::{Kept, Origin};

/// What all workers share.
pub(super) struct Built {
    sessions: Vec<Arc<SessionOptions>>,
    server_tls: HashMap<String, Arc<ServerTls>>,
    client_tls: HashMap<String, Arc<ClientTls>>,
    health: HashMap<String, Arc<HostHealth>>,
    resolver: Arc<Resolver>,
    bound: std::sync::Mutex<HashMap<String, Vec<SocketAddr>>>,
}

impl Built {
    pub fn new(loaded: &Loaded) -> Result<Self, StartError> {
        let mut server_tls = HashMap::new();
        let mut client_tls = HashMap::new();
        let mut health = HashMap::new();
        for session in &loaded.sessions {
            let listener = &session.listener;
            if !matches!(listener.tls, options::ClientTls::Off | options::ClientTls::Passthrough) {
                server_tls.insert(listener.name.clone(), Arc::new(server_tls_of(loaded, session)?));
            }
            for upstream in session.upstreams.iter() {
                if client_tls.contains_key(&upstream.name) {
                    continue;
                }
                let made = ClientTls::new(upstream.ca_file.as_deref())
                    .map_err(|source| StartError::UpstreamTls { upstream: upstream.name.clone(), source })?;
                client_tls.insert(upstream.name.clone(), Arc::new(made));
                health.insert(upstream.name.clone(), Arc::new(HostHealth::new(upstream.hosts.len())));
            }
        }
        let resolver = Arc::new(Resolver::new(&loaded.dns));
        Ok(Self { sessions: loaded.sessions.clone(), server_tls, client_tls, health, resolver, bound: Default::default() })
    }

    /// The same for a changed configuration; addresses stay as they are.
    pub fn rebuild(&self, loaded: &Loaded) -> Result<Self, StartError> {
        let built = Self::new(loaded)?;
        *built.bound.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = self.bound();
        Ok(built)
    }

    fn bound(&self) -> HashMap<String, Vec<SocketAddr>> {
        self.bound.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Binds every address once a worker: sockets by worker, then by listener.
    pub fn bind(&self, workers: usize) -> Result<Vec<Vec<Vec<TcpListener>>>, StartError> {
        let mut by_worker: Vec<Vec<Vec<TcpListener>>> = (0..workers.max(1)).map(|_| Vec::new()).collect();
        for session in &self.sessions {
            let mut addresses = Vec::new();
            by_worker.iter_mut().for_each(|listeners| listeners.push(Vec::new()));
            for address in &session.listener.listen {
                let sockets = bind_workers(*address, workers)
                    .map_err(|source| StartError::Bind { listener: session.listener.name.clone(), source })?;
                addresses.extend(sockets.first().and_then(|socket| socket.local_addr().ok()));
                for (listeners, socket) in by_worker.iter_mut().zip(sockets) {
                    if let Some(last) = listeners.last_mut() {
                        last.push(socket);
                    }
                }
            }
            self.bound.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(session.listener.name.clone(), addresses);
        }
        Ok(by_worker)
    }

    pub fn addresses(&self, listener: &str) -> Vec<SocketAddr> {
        self.bound().remove(listener).unwrap_or_default()
    }

    /// One context a listener, for one worker.
    pub fn contexts(&self, loaded: &Loaded, desk: &Arc<Desk>, counters: &Arc<Counters>, roster: &Arc<Roster>) -> Vec<Context> {
        self.sessions.iter().filter_map(|session| self.context(loaded, session, desk, counters, roster)).collect()
    }

    fn context(
        &self,
        loaded: &Loaded,
        session: &Arc<SessionOptions>,
        desk: &Arc<Desk>,
        counters: &Arc<Counters>,
        roster: &Arc<Roster>,
    ) -> Option<Context> {
        let reach = |upstream: &Arc<options::UpstreamOptions>| {
            Some(Reach {
                upstream: upstream.name.clone(),
                client_tls: self.client_tls.get(&upstream.name)?.clone(),
                health: self.health.get(&upstream.name)?.clone(),
            })
        };
        Some(Context {
            options: session.clone(),
            origin: Arc::new(Kept::new(Origin {
                node: loaded.node.clone(),
                proxy_version: env!("CARGO_PKG_VERSION").to_owned(),
                config_digest: loaded.digest.clone(),
            })),
            server_tls: self.server_tls.get(&session.listener.name).cloned(),
            reaches: session.upstreams.iter().filter_map(reach).collect(),
            resolver: self.resolver.clone(),
            desk: desk.clone(),
            counters: counters.clone(),
            roster: roster.clone(),
        })
    }

    /// Gives a running worker the contexts of a changed configuration, listener by listener's name.
    pub fn refresh(&self, loaded: &Loaded, counters: &Arc<Counters>, worker: &Worker) {
        for current in &worker.contexts {
            let before = current.load();
            let name = &before.options.listener.name;
            let changed = self.sessions.iter().find(|session| session.listener.name == *name);
            match changed.and_then(|session| self.context(loaded, session, &before.desk, counters, &before.roster)) {
                Some(context) => {
                    if context.options.listener.listen != before.options.listener.listen {
                        tracing::warn!(listener = name, "addresses change only with a restart");
                    }
                    current.store(Arc::new(context));
                }
                None => tracing::warn!(listener = name, "a removed listener is served until a restart"),
            }
        }
    }
}

fn server_tls_of(loaded: &Loaded, session: &SessionOptions) -> Result<ServerTls, StartError> {
    let listener = session.listener.name.clone();
    let (certificate, key) = match &session.listener.certificate {
        Some(files) => (files.certificate.clone(), files.key.clone()),
        None => {
            let made = self_signed(&loaded.certificate_dirs, &session.host_name)
                .map_err(|source| StartError::SelfSigned { listener: listener.clone(), source })?;
            tracing::info!(listener, certificate = %made.certificate.display(), "using a self-signed certificate");
            (made.certificate, made.key)
        }
    };
    ServerTls::from_files(&certificate, &key).map_err(|source| StartError::Certificate { listener, source: Box::new(source) })
}
