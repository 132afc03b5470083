//! Builds everything from the configuration, runs it, reloads it, and lets it end without losing mail.
//!
//! `build` makes what sessions need, `worker` is one thread with its share of them, this file is the life of the process.

mod api;
mod build;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::config::Loaded;
use crate::net::connect::ConnectError;
use crate::net::listen::BindError;
use crate::net::tls::{ClientTlsError, SelfSignedError, ServerTlsError};
use crate::proxy::{Counters, Desk, Phase, Roster};
use crate::store::{OpenError, RecoveryReport, Store};
use build::Built;
use worker::Worker;

/// Why the proxy can't start.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("listener \"{listener}\": {source}")]
    Bind { listener: String, source: BindError },
    #[error("listener \"{listener}\": {source}")]
    Certificate { listener: String, source: Box<ServerTlsError> },
    #[error("listener \"{listener}\": {source}")]
    SelfSigned { listener: String, source: SelfSignedError },
    #[error("upstream \"{upstream}\": {source}")]
    UpstreamTls { upstream: String, source: ClientTlsError },
    #[error("upstream \"{upstream}\": {source}")]
    UpstreamRights { upstream: String, source: ConnectError },
    #[error("the trace store can't be used: {0}")]
    Store(#[from] OpenError),
    #[error("the operating system refuses {what}: {source}")]
    System { what: &'static str, source: std::io::Error },
}

/// A proxy that listens. Mail flows from here on; [`Running::wait`] stays until it has ended.
pub struct Running {
    loaded: Loaded,
    store: Store,
    built: Built,
    workers: Vec<Worker>,
    counters: Arc<Counters>,
    signals: Signals,
}

/// What the process is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        let handler = |kind| signal(kind).map_err(|source| StartError::System { what: "a signal handler", source });
        Ok(Self {
            terminate: handler(SignalKind::terminate())?,
            interrupt: handler(SignalKind::interrupt())?,
            hangup: handler(SignalKind::hangup())?,
        })
    }
}

/// Opens the store, binds the listeners, starts the workers. To be called within the runtime that [`Running::wait`] runs on.
///
/// # Errors
/// Nothing was started: the address is taken, a certificate is unusable, another process owns the store.
pub fn start(loaded: Loaded) -> Result<Running, StartError> {
    // Before the first client: a signal that came earlier would end the process on the spot, and sessions with it.
    let signals = Signals::new()?;
    raise_descriptors(&loaded);
    let store = open_store(&loaded)?;
    let counters = Arc::new(Counters::default());
    let built = Built::new(&loaded)?;
    let sockets = built.bind(loaded.workers)?;
    let mut workers = Vec::new();
    for (number, listeners) in sockets.into_iter().enumerate() {
        let contexts = built.contexts(&loaded, &Arc::new(Desk::new(store.appender())), &counters, &Arc::new(Roster::default()));
        let worker =
            Worker::start(number, listeners, contexts).map_err(|source| StartError::System { what: "to start a worker thread", source })?;
        workers.push(worker);
    }
    for session in &loaded.sessions {
        let addresses = built.addresses(&session.listener.name);
        tracing::info!(listener = session.listener.name, ?addresses, upstream = session.upstream.name, "listening");
    }
    Ok(Running { loaded, store, built, workers, counters, signals })
}

/// A session takes two descriptors; the usual soft limit of 1,024 would end at 500 of them.
fn raise_descriptors(loaded: &Loaded) {
    let sessions = loaded.sessions.iter().map(|it| it.limits.sessions).max().unwrap_or_default();
    let wanted = 2 * sessions as u64;
    match rlimit::increase_nofile_limit(wanted + 256) {
        Ok(limit) if limit < wanted => tracing::warn!(
            limit,
            wanted,
            "fewer file descriptors than `sessions` in [limits] may need: raise LimitNOFILE (systemd) or `ulimit -n`, or lower `sessions`"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of file descriptors can't be raised"),
    }
}

fn open_store(loaded: &Loaded) -> Result<Store, StartError> {
    match Store::open(loaded.store.clone()) {
        Ok(opened) => {
            report(&opened.report);
            Ok(opened.store)
        }
        // Promise 2: tracing never fails mail. What can't be opened is tried again, loudly.
        Err(error) if error.is_disk() => {
            tracing::error!(%error, "the trace store can't be opened; mail flows untraced until it can");
            Ok(Store::unavailable(loaded.store.clone(), &error))
        }
        Err(error) => Err(error.into()),
    }
}

/// Says what recovery found, if there is anything to say.
fn report(found: &RecoveryReport) {
    for (path, octets) in &found.torn {
        tracing::warn!(file = %path.display(), octets, "the last frame of a journal file was torn and has been cut off");
    }
    for damage in &found.damage {
        tracing::error!(?damage, "a journal file is damaged; `relayscope store check` tells more");
    }
    for (path, why) in &found.unreadable {
        tracing::error!(file = %path.display(), why, "a file of the store can't be read and is left alone");
    }
    if found.staged > 0 {
        tracing::warn!(
            records = found.staged,
            "relayscope had ended before these records were in the journal: they were taken in from memory, none is lost"
        );
    }
    for day in &found.rebuilt {
        tracing::warn!(%day, "the index of a day was lost or broken and is made anew from the journal");
    }
    if found.in_doubt > 0 {
        tracing::warn!(
            transactions = found.in_doubt,
            "relayscope had ended between end-of-data and its reply: recorded as `unknown` (`relayscope search state:unknown`)"
        );
    }
    tracing::info!(records = found.records, replayed = found.replayed, "trace store open");
}

impl Running {
    /// Addresses a listener is bound to, in the order of its configuration.
    pub fn addresses(&self, listener: &str) -> Vec<std::net::SocketAddr> {
        self.built.addresses(listener)
    }

    /// The address of the first listener.
    pub fn first_address(&self) -> Option<std::net::SocketAddr> {
        self.loaded.sessions.first().and_then(|session| self.addresses(&session.listener.name).first().copied())
    }

    /// Ends as at SIGTERM.
    pub async fn stop(self) {
        self.drain(&watch::Sender::new(false)).await;
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Serves until SIGTERM or SIGINT, then drains; a second signal ends at once. SIGHUP calls `reload`.
    pub async fn wait(mut self, reload: impl Fn() -> Option<Loaded>) {
        let ending = watch::Sender::new(false);
        api::serve(&self.store, self.loaded.store.dir.clone(), self.loaded.http.listen, ending.subscribe());
        loop {
            tokio::select! {
                _ = self.signals.terminate.recv() => break,
                _ = self.signals.interrupt.recv() => break,
                _ = self.signals.hangup.recv() => {
                    if let Some(loaded) = reload() {
                        self.reload(loaded);
                    }
                }
            }
        }
        self.drain(&ending).await;
    }

    /// Takes over what can change while running: everything but addresses, workers and the store.
    fn reload(&mut self, loaded: Loaded) {
        match self.built.rebuild(&loaded) {
            Ok(built) => {
                self.built = built;
                for worker in &self.workers {
                    self.built.refresh(&loaded, &self.counters, worker);
                }
                if loaded.store != self.loaded.store || loaded.workers != self.loaded.workers {
                    tracing::warn!("[store] and `workers` change only with a restart");
                }
                self.loaded = loaded;
                tracing::info!(config = self.loaded.digest, "reloaded");
            }
            Err(error) => tracing::error!(%error, "reload refused, the old configuration goes on"),
        }
    }

    async fn drain(mut self, ending: &watch::Sender<bool>) {
        let limit = self.loaded.sessions.iter().map(|it| it.limits.timeouts.drain).max().unwrap_or_default();
        tracing::info!(limit_s = limit.as_secs(), "draining: no new sessions, transactions under way may finish");
        self.announce(Phase::Drain);
        let until = Instant::now() + limit;
        while self.present() > 0 && Instant::now() < until {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
                _ = self.signals.terminate.recv() => break,
                _ = self.signals.interrupt.recv() => break,
            }
        }
        if self.present() > 0 {
            tracing::warn!(sessions = self.present(), "ending sessions that are still open");
            self.announce(Phase::ShutDown);
            let until = Instant::now() + Duration::from_secs(5);
            while self.present() > 0 && Instant::now() < until {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        let Self { workers, store, .. } = self;
        ending.send_replace(true);
        workers.into_iter().for_each(Worker::join);
        store.close();
        tracing::info!("stopped");
    }

    fn announce(&self, phase: Phase) {
        self.workers.iter().for_each(|worker| worker.announce(phase));
    }

    fn present(&self) -> usize {
        self.workers.iter().map(Worker::present).sum()
    }
}
