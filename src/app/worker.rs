//! One worker: a thread with a single-threaded runtime, its own listening sockets, and its share of the sessions.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::proxy::{Context, Desk, Phase, Roster, probe, serve};

/// A listener's context on one worker, exchanged at reload.
pub(super) type Current = Arc<ArcSwap<Context>>;

/// What sessions have that are told to end at once.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub(super) struct Worker {
    pub contexts: Vec<Current>,
    roster: Arc<Roster>,
    stop: watch::Sender<bool>,
    /// Turns true once no connection is taken any more.
    closed: watch::Receiver<bool>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// `listeners` and `contexts` stand for each other: one context a listener, whose sockets share it.
    pub fn start(number: usize, listeners: Vec<Vec<TcpListener>>, contexts: Vec<Context>) -> io::Result<Self> {
        let roster = contexts.first().map(|context| context.roster.clone()).unwrap_or_default();
        let desk = contexts.first().map(|context| context.desk.clone());
        let contexts: Vec<Current> = contexts.into_iter().map(|context| Arc::new(ArcSwap::from_pointee(context))).collect();
        let (stop, stopped) = watch::channel(false);
        let (closing, closed) = watch::channel(false);
        let pairs: Vec<(TcpListener, Current)> = listeners
            .into_iter()
            .zip(&contexts)
            .flat_map(|(sockets, current)| sockets.into_iter().map(|socket| (socket, current.clone())))
            .collect();
        // Health is shared by all: one worker's probes do for all of them.
        let probing = contexts.first().filter(|_| number == 0).cloned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let present = roster.clone();
        let thread = std::thread::Builder::new()
            .name(format!("relay-{number}"))
            .spawn(move || runtime.block_on(work(pairs, desk, probing, stopped, closing, present)))?;
        Ok(Self { contexts, roster, stop, closed, thread })
    }

    /// Takes no more connections; those that wait in the sockets are for whoever else has them. Sessions go on.
    pub async fn stop_accepting(&self) {
        self.stop.send_replace(true);
        // An error means that the thread has gone, and its sockets with it.
        let _ = self.closed.clone().wait_for(|closed| *closed).await;
    }

    pub fn announce(&self, phase: Phase) {
        self.roster.announce(phase);
    }

    pub fn present(&self) -> usize {
        self.roster.present()
    }

    pub fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("a worker thread panicked");
        }
    }
}

async fn work(
    pairs: Vec<(TcpListener, Current)>,
    desk: Option<Arc<Desk>>,
    probing: Option<Current>,
    mut stopped: watch::Receiver<bool>,
    closing: watch::Sender<bool>,
    roster: Arc<Roster>,
) {
    if let Some(desk) = desk {
        tokio::spawn(async move { desk.serve().await });
    }
    let mut accepting = JoinSet::new();
    if let Some(current) = probing {
        accepting.spawn(probe::serve(move || current.load_full()));
    }
    for (socket, current) in pairs {
        match tokio::net::TcpListener::from_std(socket) {
            Ok(listener) => {
                accepting.spawn(serve(listener, move || current.load_full()));
            }
            Err(error) => tracing::error!(%error, "a listening socket can't be used"),
        }
    }
    let _ = stopped.wait_for(|stop| *stop).await;
    accepting.shutdown().await;
    // A session that was accepted in the last moment joins at its first poll: let it, before looking.
    tokio::task::yield_now().await;
    closing.send_replace(true);
    let mut shut_down = None;
    while roster.present() > 0 {
        if roster.phase() == Phase::ShutDown && shut_down.get_or_insert_with(Instant::now).elapsed() > LAST_WORDS {
            tracing::error!(sessions = roster.present(), "sessions that don't end are cut off");
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
