//! Makes what sessions need out of the configuration: certificates, verifiers, resolver, health, contexts, sockets.

use std::collections::{BTreeMap, HashMap};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use tokio::task::JoinHandle;

use super::StartError;
use super::policies::{self, Policies};
use super::worker::Worker;
use crate::config::Loaded;
use crate::http::Dns;
use crate::net::intercept::{Manner, OwnTraffic, rehearse};
use crate::net::listen::{bind_workers, open_to_tproxy};
use crate::net::mta_sts::{self, MtaSts};
use crate::net::passed::{self, Passed};
use crate::net::resolve::{self, Resolver};
use crate::net::tls::{ClientTls, ServerTls, self_signed};
use crate::proxy::{Context, Counters, Desk, HostHealth, Reach, Roster};
use crate::relay::Exhausted;
use crate::relay::options::{self, SessionOptions, UpstreamTls};
use crate::trace::{Kept, Origin};

/// Listening sockets of all listeners.
pub(super) struct Sockets {
    /// By worker, then by listener.
    pub by_worker: Vec<Vec<Vec<TcpListener>>>,
    /// Each once, with its listener's name: to be passed on to a successor.
    pub all: Vec<(String, TcpListener)>,
    /// Addresses that nobody passed a socket for, with their listener's name.
    pub bound: Vec<(String, SocketAddr)>,
}

/// What all workers share.
pub(super) struct Built {
    sessions: Vec<Arc<SessionOptions>>,
    server_tls: HashMap<String, Arc<ServerTls>>,
    client_tls: HashMap<String, Arc<ClientTls>>,
    health: HashMap<String, Arc<HostHealth>>,
    resolver: Arc<Resolver>,
    policies: Policies,
    bound: std::sync::Mutex<HashMap<String, Vec<SocketAddr>>>,
    own: OnceLock<Arc<OwnTraffic>>,
    exhausted: Arc<ArcSwap<Vec<Exhausted>>>,
}

impl Built {
    pub fn new(loaded: &Loaded) -> Result<Self, StartError> {
        let built = Self::counting_in(Arc::default(), loaded)?;
        built.load_policies(&loaded.store.dir);
        Ok(built)
    }

    fn counting_in(look_ups: Arc<resolve::Counts>, loaded: &Loaded) -> Result<Self, StartError> {
        let mut server_tls = HashMap::new();
        let mut client_tls = HashMap::new();
        let mut health = HashMap::new();
        let resolver = Arc::new(Resolver::new(&loaded.dns).counting_in(look_ups));
        let mut policies = Policies::new();
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
                if matches!(upstream.tls, UpstreamTls::MtaSts | UpstreamTls::DaneOrMtaSts) {
                    let options = mta_sts::Options {
                        dns_timeout: session.limits.timeouts.dns,
                        allowed_networks: upstream.private_networks.clone(),
                        ..mta_sts::Options::default()
                    };
                    policies.insert(upstream.name.clone(), Arc::new(MtaSts::new((*resolver).clone(), made.clone(), options)));
                }
                client_tls.insert(upstream.name.clone(), Arc::new(made));
                let source = upstream.preserve_source.then_some(SocketAddr::from(([127, 0, 0, 1], 0)));
                rehearse(Manner { source, mark: upstream.mark })
                    .map_err(|source| StartError::UpstreamRights { upstream: upstream.name.clone(), source })?;
                health.insert(upstream.name.clone(), Arc::new(HostHealth::new(upstream.hosts.len())));
            }
        }
        Ok(Self {
            sessions: loaded.sessions.clone(),
            server_tls,
            client_tls,
            health,
            resolver,
            policies,
            bound: Default::default(),
            own: OnceLock::new(),
            exhausted: Arc::default(),
        })
    }

    /// The same for a changed configuration; addresses stay as they are.
    pub fn rebuild(&self, loaded: &Loaded) -> Result<Self, StartError> {
        let mut built = Self { exhausted: self.exhausted.clone(), ..Self::counting_in(self.resolver.counts(), loaded)? };
        built.keep_health(self);
        policies::carry_over(&self.policies, &built.policies);
        *built.bound.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = self.bound();
        let _ = built.own.set(self.own());
        Ok(built)
    }

    /// Hosts that stay as they are stay as well or ill as they are, unless what they failed by may have changed.
    fn keep_health(&mut self, before: &Self) {
        for (name, health) in &mut self.health {
            let of =
                |sessions: &[Arc<SessionOptions>]| sessions.iter().flat_map(|it| it.upstreams.iter()).find(|it| it.name == *name).cloned();
            let (Some(was), Some(is), Some(known)) = (of(&before.sessions), of(&self.sessions), before.health(name)) else { continue };
            if was.hosts == is.hosts && was.kind == is.kind && was.ca_file == is.ca_file && was.auth == is.auth {
                *health = known;
            }
        }
    }

    /// Takes over what another process has learnt of other domains' policies until it gave up the store.
    pub fn load_policies(&self, store: &std::path::Path) {
        policies::load(&self.policies, store);
    }

    /// Keeps what is known of other domains' policies for the next process.
    pub fn keep_policies(&self, store: &std::path::Path) -> JoinHandle<()> {
        policies::save(self.policies.clone(), store.to_owned())
    }

    fn bound(&self) -> HashMap<String, Vec<SocketAddr>> {
        self.bound.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The sockets of every address: those that were passed to this process, or else new ones, one a worker. What is left in `passed` is
    /// nobody's.
    pub fn listen(&self, workers: usize, passed: &mut Vec<Passed>) -> Result<Sockets, StartError> {
        let mut by_worker: Vec<Vec<Vec<TcpListener>>> = (0..workers.max(1)).map(|_| Vec::new()).collect();
        let (mut all, mut bound) = (Vec::new(), Vec::new());
        for session in &self.sessions {
            let name = &session.listener.name;
            let fail = |source| StartError::Bind { listener: name.clone(), source };
            let mut addresses = Vec::new();
            by_worker.iter_mut().for_each(|listeners| listeners.push(Vec::new()));
            for address in &session.listener.listen {
                let mut sockets = passed::take(passed, name, *address);
                if sockets.is_empty() {
                    bound.push((name.clone(), *address));
                    sockets = bind_workers(*address, workers).map_err(fail)?;
                }
                if session.listener.intercept == options::Intercept::Tproxy {
                    open_to_tproxy(&sockets, *address).map_err(fail)?; // those that were passed too: who made them may not have known
                }
                addresses.extend(sockets.first().and_then(|socket| socket.local_addr().ok()));
                let shares =
                    passed::spread(&sockets, workers).map_err(|source| StartError::System { what: "a listening socket", source })?;
                for (listeners, share) in by_worker.iter_mut().zip(shares) {
                    if let Some(last) = listeners.last_mut() {
                        last.extend(share);
                    }
                }
                all.extend(sockets.into_iter().map(|socket| (name.clone(), socket)));
            }
            self.bound.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name.clone(), addresses);
        }
        Ok(Sockets { by_worker, all, bound })
    }

    /// Every address that is listened on, and the connections that must not come back to them. To be asked for once all are bound.
    fn own(&self) -> Arc<OwnTraffic> {
        self.own.get_or_init(|| Arc::new(OwnTraffic::new(self.bound().into_values().flatten().collect()))).clone()
    }

    /// Quotas that are used up, as sessions see them.
    pub fn exhausted(&self) -> Arc<ArcSwap<Vec<Exhausted>>> {
        self.exhausted.clone()
    }

    /// DNS as answers ask it.
    pub fn dns(&self) -> Dns {
        Dns::new((*self.resolver).clone(), self.bound().into_values().flatten().map(|address| address.ip()).collect())
    }

    pub fn resolver(&self) -> Resolver {
        (*self.resolver).clone()
    }

    pub fn health(&self, upstream: &str) -> Option<Arc<HostHealth>> {
        self.health.get(upstream).cloned()
    }

    pub fn addresses(&self, listener: &str) -> Vec<SocketAddr> {
        self.bound().remove(listener).unwrap_or_default()
    }

    /// All of them, by the listener's name.
    pub fn listening(&self) -> BTreeMap<String, Vec<SocketAddr>> {
        self.bound().into_iter().collect()
    }

    /// One context a listener, for one worker.
    pub fn contexts(
        &self,
        loaded: &Loaded,
        worker: usize,
        desk: &Arc<Desk>,
        counters: &Arc<Counters>,
        roster: &Arc<Roster>,
    ) -> Vec<Context> {
        self.sessions.iter().filter_map(|session| self.context(loaded, worker, session, desk, counters, roster)).collect()
    }

    fn context(
        &self,
        loaded: &Loaded,
        worker: usize,
        session: &Arc<SessionOptions>,
        desk: &Arc<Desk>,
        counters: &Arc<Counters>,
        roster: &Arc<Roster>,
    ) -> Option<Context> {
        let meters = counters.meters.of(worker, &session.listener.name, session.listener.direction);
        let reach = |upstream: &Arc<options::UpstreamOptions>| {
            Some(Reach {
                upstream: upstream.name.clone(),
                client_tls: self.client_tls.get(&upstream.name)?.clone(),
                health: self.health.get(&upstream.name)?.clone(),
                meters: meters.of_upstream(&upstream.name),
                mta_sts: self.policies.get(&upstream.name).cloned(),
            })
        };
        Some(Context {
            options: session.clone(),
            origin: Arc::new(Kept::new(origin(loaded))),
            server_tls: self.server_tls.get(&session.listener.name).cloned(),
            reaches: session.upstreams.iter().filter_map(reach).collect(),
            meters,
            resolver: self.resolver.clone(),
            own: self.own(),
            exhausted: self.exhausted.clone(),
            desk: desk.clone(),
            counters: counters.clone(),
            roster: roster.clone(),
        })
    }

    /// Gives a running worker the contexts of a changed configuration, listener by listener's name.
    pub fn refresh(&self, loaded: &Loaded, counters: &Arc<Counters>, worker: &Worker) {
        for current in &worker.contexts {
            let before = current.load();
            let (number, desk, roster) = (before.meters.worker(), &before.desk, &before.roster);
            let changed = self.session(&before.options.listener.name);
            let context = changed.and_then(|session| self.context(loaded, number, session, desk, counters, roster));
            context.into_iter().for_each(|context| current.store(Arc::new(context)));
        }
    }

    /// Says what of this configuration a worker that runs can't take over.
    pub fn warn_of_restart(&self, worker: &Worker) {
        let served: Vec<_> = worker.contexts.iter().map(|context| context.load().options.clone()).collect();
        for was in served.iter().map(|options| &options.listener) {
            let name = &was.name;
            let Some(now) = self.session(name).map(|session| &session.listener) else {
                tracing::warn!(listener = name, "a removed listener is served until a restart");
                continue;
            };
            if now.listen != was.listen {
                tracing::warn!(listener = name, "addresses change only with a restart");
            }
            if now.intercept != was.intercept {
                tracing::warn!(listener = name, "`intercept` changes fully only with a restart");
            }
        }
        for new in self.sessions.iter().map(|session| &session.listener) {
            if !served.iter().any(|options| options.listener.name == new.name) {
                tracing::warn!(listener = new.name, "a new listener is served only after a restart: nothing listens on its addresses");
            }
        }
    }

    fn session(&self, listener: &str) -> Option<&Arc<SessionOptions>> {
        self.sessions.iter().find(|session| session.listener.name == listener)
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

/// Who records.
pub(super) fn origin(loaded: &Loaded) -> Origin {
    Origin { node: loaded.node.clone(), proxy_version: env!("CARGO_PKG_VERSION").to_owned(), config_digest: loaded.digest.clone() }
}
