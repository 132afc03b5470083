//! Builds everything from the configuration, runs it, reloads it, and lets it end without losing mail.
//!
//! `build` makes what sessions need, `worker` is one thread with its share of them, `handover` what two processes say
//! to each other of which one follows the other, `leave` what the first of them does, `life` what is recorded of all that; this file is the life of the process.

mod api;
mod build;
mod doctor;
mod exporting;
mod handover;
mod leave;
mod life;
mod opening;
mod policies;
mod reload;
mod service;
mod successor;
mod telemetry;
mod watching;
mod worker;

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::config::Loaded;
use crate::diagnose::Diagnosing;
use crate::doctor::examine::Doctor;
use crate::export::Handle;
use crate::http;
use crate::metrics::Sources;
use crate::net::connect::ConnectError;
use crate::net::listen::BindError;
use crate::net::passed::Passed;
use crate::net::tls::{ClientTlsError, SelfSignedError, ServerTlsError};
use crate::proxy::{Counters, Desk, Phase, Roster};
use crate::store::{Cursor, OpenError, Store};
use build::Built;
use exporting::Exporting;
pub use handover::HandOverError;
use handover::{Predecessor, Request};
use life::Life;
use opening::open_store;
use successor::Successor;
use telemetry::Telemetry;
use watching::Watching;
pub use watching::ask_dns;
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
    #[error(transparent)]
    HandOver(#[from] HandOverError),
    #[error("the operating system refuses {what}: {source}")]
    System { what: &'static str, source: std::io::Error },
}

/// A proxy that listens. Mail flows from here on; [`Running::wait`] stays until it has ended.
pub struct Running {
    loaded: Loaded,
    store: Store,
    built: Built,
    workers: Vec<Worker>,
    /// To be passed on to a successor.
    sockets: Vec<(String, TcpListener)>,
    counters: Arc<Counters>,
    signals: Signals,
    api: Option<api::Serving>,
    /// While this process has the store.
    watching: Option<Watching>,
    /// Who still tells of incidents.
    telling: Vec<watching::Tellers>,
    /// Likewise.
    exporting: Option<Exporting>,
    /// Threads of exports that hang and were left behind.
    left: Vec<exporting::Thread>,
    /// Where the journal ended before this process served: new exports begin there.
    began: Option<Cursor>,
    /// For the API; the sessions have theirs.
    diagnosing: watch::Sender<Diagnosing>,
    /// Likewise.
    dns: watch::Sender<Option<http::Dns>>,
    /// Likewise.
    doctor: watch::Sender<Doctor>,
    /// Likewise.
    running: watch::Sender<http::Running>,
    /// Likewise.
    exports: watch::Sender<Vec<Handle>>,
    /// Of whoever wants to follow this process.
    requests: mpsc::Receiver<Request>,
    /// A successor that does not serve yet has the store.
    given_up: bool,
    /// Other domains' policies, being written.
    keeping: Option<tokio::task::JoinHandle<()>>,
    life: Life,
    telemetry: Telemetry,
}

/// What a process finds when it isn't the first on its addresses.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Listening sockets of the service manager.
    pub passed: Vec<Passed>,
    /// Whether the process that serves with the same store, if there is one, is to hand over.
    pub take_over: bool,
}

/// What the process is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user2: Signal,
}

impl Signals {
    fn new() -> Result<Self, StartError> {
        let handler = |kind| signal(kind).map_err(|source| StartError::System { what: "a signal handler", source });
        Ok(Self {
            terminate: handler(SignalKind::terminate())?,
            interrupt: handler(SignalKind::interrupt())?,
            hangup: handler(SignalKind::hangup())?,
            user2: handler(SignalKind::user_defined2())?,
        })
    }
}

/// How long a predecessor's store may be in a reader's hands.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// As [`start_as`], on nobody's heels.
///
/// # Errors
/// As [`start_as`].
pub fn start(loaded: Loaded) -> Result<Running, StartError> {
    start_as(loaded, Inherited::default())
}

/// Opens the store, binds the listeners, starts the workers. To be called within the runtime that [`Running::wait`] runs on.
///
/// # Errors
/// Nothing was started: the address is taken, a certificate is unusable, another process owns the store. A process that was to hand over
/// serves on.
pub fn start_as(loaded: Loaded, inherited: Inherited) -> Result<Running, StartError> {
    // Before the first client: a signal that came earlier would end the process on the spot, and sessions with it.
    let signals = Signals::new()?;
    raise_descriptors(&loaded);
    // Not on a thread that serves, and not while nobody serves.
    loaded.diagnosing.make_ready();
    let Inherited { mut passed, take_over } = inherited;
    let predecessor = if take_over { Predecessor::find(&loaded.store.dir)? } else { None };
    let (store, built, sockets) = match &predecessor {
        None => {
            let store = open_store(&loaded, Duration::ZERO)?;
            let built = Built::new(&loaded)?;
            let sockets = listen(&loaded, &built, passed)?;
            (store, built, sockets)
        }
        // Whatever can go wrong goes wrong while the other still has everything.
        Some(predecessor) => {
            let built = Built::new(&loaded)?;
            passed.extend(predecessor.sockets()?);
            let sockets = listen(&loaded, &built, passed)?;
            predecessor.give_up()?;
            built.load_policies(&loaded.store.dir);
            (open_store(&loaded, STORE_PATIENCE)?, built, sockets)
        }
    };
    let began = store.end().ok();
    let counters = Arc::new(Counters::default());
    let mut workers = Vec::new();
    for (number, listeners) in sockets.by_worker.into_iter().enumerate() {
        let contexts = built.contexts(&loaded, number, &Arc::new(Desk::new(store.appender())), &counters, &Arc::new(Roster::default()));
        let worker =
            Worker::start(number, listeners, contexts).map_err(|source| StartError::System { what: "to start a worker thread", source })?;
        workers.push(worker);
    }
    let life = Life::begin(&store, &loaded.store.dir, build::origin(&loaded), predecessor.as_ref().map(Predecessor::pid));
    if let Some(predecessor) = predecessor {
        tracing::info!(pid = predecessor.pid(), "took over");
        predecessor.serving();
    }
    // Its door is open until then: this process may still not come to serve.
    let requests = handover::await_successor(&loaded.store.dir);
    let diagnosing = watch::Sender::new(loaded.diagnosing.clone());
    let dns = watch::Sender::new(Some(built.dns()));
    let doctor = watch::Sender::new(built.doctor(&loaded));
    let running = watch::Sender::new(built.running(&loaded));
    doctor::keep_configuration(&loaded);
    let sockets = sockets.all;
    let telemetry = Telemetry::new(&built, &loaded, &workers, store.now());
    Ok(Running {
        loaded,
        store,
        built,
        workers,
        sockets,
        counters,
        signals,
        api: None,
        watching: None,
        telling: Vec::new(),
        exporting: None,
        left: Vec::new(),
        began,
        diagnosing,
        dns,
        doctor,
        running,
        exports: watch::Sender::new(Vec::new()),
        requests,
        given_up: false,
        keeping: None,
        life,
        telemetry,
    })
}

/// Has the listeners' sockets, passed ones first, and says what doesn't fit.
fn listen(loaded: &Loaded, built: &Built, mut passed: Vec<Passed>) -> Result<build::Sockets, StartError> {
    let some = !passed.is_empty();
    let sockets = built.listen(loaded.workers, &mut passed)?;
    for (listener, address) in sockets.bound.iter().filter(|_| some) {
        tracing::warn!(listener, %address, "its socket was not passed on to this process like others: bound by itself");
    }
    for left in passed {
        let (address, name) = (left.address, left.name);
        tracing::warn!(%address, name, "a listening socket was passed on that no listener has in `listen`: it is closed");
    }
    Ok(sockets)
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
        self.drain().await;
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Serves until SIGTERM or SIGINT, then drains; a second signal ends at once. SIGHUP calls `reload`, which may say why nothing can be
    /// read, and `reloaded` once what it read is in effect; where there is nothing to read at all, it ends as well. SIGUSR2 starts
    /// `successor`. Ends too when another process has taken over.
    pub async fn wait(
        mut self,
        reload: impl Fn() -> Option<Result<Loaded, String>>,
        reloaded: impl Fn(&Loaded),
        successor: impl Fn() -> Option<Command>,
    ) {
        self.serve_api().await;
        self.say_where();
        let (mut retake, mut taking) = (None, None);
        let started = Successor::default();
        let mut feeding = service::watchdog().map(tokio::time::interval);
        let mut beating: Option<tokio::task::JoinHandle<()>> = None;
        let mut keeping = tokio::time::interval_at(tokio::time::Instant::now() + policies::EVERY, policies::EVERY);
        let mut living = tokio::time::interval_at(tokio::time::Instant::now() + life::EVERY, life::EVERY);
        service::ready(self.served());
        loop {
            tokio::select! {
                _ = self.signals.terminate.recv() => break,
                _ = self.signals.interrupt.recv() => break,
                _ = self.signals.hangup.recv() => {
                    let Some(read) = reload() else { break };
                    service::reloading();
                    match read {
                        Ok(loaded) => {
                            if self.reload(loaded) {
                                reloaded(&self.loaded);
                                fed(&mut feeding, self.watch_anew()).await;
                            }
                        }
                        Err(why) => self.refuse_reload(why),
                    }
                    service::ready(self.served());
                }
                _ = self.signals.user2.recv() => successor().into_iter().for_each(|command| started.start(command)),
                Some(request) = self.requests.recv(), if taking.is_none() => match request {
                    Request::Serving { pid } => return self.leave(pid).await,
                    Request::Gone => retake = self.given_up.then(Instant::now),
                    request => {
                        retake = None;
                        fed(&mut feeding, self.answer(request)).await;
                    }
                },
                () = at(retake), if taking.is_none() => (retake, taking) = (None, Some(self.take_back())),
                taken = joined(&mut taking) => {
                    taking = None;
                    retake = fed(&mut feeding, self.taken_back(taken)).await;
                }
                () = tick(&mut feeding) => service::alive(),
                // A disk that stands still holds up nothing but this.
                _ = living.tick(), if !self.given_up && beating.as_ref().is_none_or(|it| it.is_finished()) => {
                    beating = Some(self.life.beat(&self.store));
                }
                _ = keeping.tick() => self.keep_policies(),
            }
        }
        service::stopping(self.present());
        if let Some(beating) = beating {
            // It must not come after the last sign, which says that this was no crash.
            let _ = tokio::time::timeout(Duration::from_secs(1), beating).await;
        }
        self.drain().await;
    }

    /// Who reads this may ask at once: the commands' socket is there, or it was said why not.
    fn say_where(&self) {
        for session in &self.loaded.sessions {
            let addresses = self.addresses(&session.listener.name);
            tracing::info!(listener = session.listener.name, ?addresses, upstream = session.upstream.name, "listening");
        }
    }

    async fn serve_api(&mut self) {
        let asks = api::Asks {
            dns: self.dns.subscribe(),
            diagnosing: self.diagnosing.subscribe(),
            doctor: self.doctor.subscribe(),
            running: self.running.subscribe(),
            exports: self.exports.subscribe(),
            telemetry: self.sources(),
        };
        self.api = Some(api::Serving::start(&self.store, asks, self.loaded.store.dir.clone(), &self.loaded.http).await);
        self.watch();
        self.export();
    }

    fn sources(&self) -> Sources {
        self.telemetry.sources(&self.store, &self.counters, self.exports.subscribe())
    }

    fn watch(&mut self) {
        let (dir, resolver) = (self.loaded.store.dir.clone(), self.built.resolver());
        self.watching = Watching::start(&self.store, dir, &self.loaded.watching, resolver, build::origin(&self.loaded), self.board());
    }

    fn board(&self) -> watching::Board {
        watching::Board { quotas: self.built.exhausted(), incidents: self.telemetry.incidents.clone() }
    }

    /// Lets go of what needs the store.
    async fn end_api(&mut self) {
        if let Some(api) = self.api.take() {
            api.end().await;
        }
        self.end_watching().await;
        self.end_exports().await;
    }

    async fn end_watching(&mut self) {
        self.telling.retain(|tellers| !tellers.is_done());
        if let Some(watching) = self.watching.take() {
            self.telling.push(watching.end().await);
        }
    }

    /// Listeners that serve.
    fn served(&self) -> usize {
        self.workers.first().map_or(0, |worker| worker.contexts.len())
    }

    async fn drain(mut self) {
        self.telemetry.draining();
        self.close_door();
        self.stop_accepting().await;
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
        self.policies_kept().await;
        self.end_api().await;
        let Self { workers, store, life, given_up, telling, .. } = self;
        workers.into_iter().for_each(Worker::join);
        if !given_up {
            life.end(&store);
        }
        store.close();
        watching::tell_the_rest(telling).await;
        tracing::info!("stopped");
    }

    fn announce(&self, phase: Phase) {
        self.workers.iter().for_each(|worker| worker.announce(phase));
    }

    fn present(&self) -> usize {
        self.workers.iter().map(Worker::present).sum()
    }
}

/// Waits for that time, or for ever.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

/// Waits for the next time, or for ever.
async fn tick(interval: &mut Option<tokio::time::Interval>) {
    match interval {
        Some(interval) => drop(interval.tick().await),
        None => std::future::pending().await,
    }
}

/// What a task has come to, if there is one.
async fn joined<T>(task: &mut Option<tokio::task::JoinHandle<T>>) -> Result<T, tokio::task::JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// Does that, and tells the service manager meanwhile that this process is alive.
async fn fed<T>(feeding: &mut Option<tokio::time::Interval>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tick(feeding) => service::alive(),
        }
    }
}
