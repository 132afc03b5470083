//! What a session finds around it: options, TLS, resolver, journal, and the counters that bound it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::Waker;

use arc_swap::ArcSwap;

use super::desk::Desk;
use super::health::HostHealth;
use super::meters::{MeterBook, Meters, UpstreamMeters};
use super::turned_away::{Told, TurnedAway};
use crate::net::intercept::OwnTraffic;
use crate::net::mta_sts::MtaSts;
use crate::net::resolve::Resolver;
use crate::net::tls::{ClientTls, ServerTls};
use crate::relay::Exhausted;
use crate::relay::options::SessionOptions;
use crate::trace::{Kept, Origin};

/// Shared by all sessions of one listener on one worker.
pub struct Context {
    pub options: Arc<SessionOptions>,
    pub origin: Arc<Kept<Origin>>,
    /// Absent where the listener offers no TLS.
    pub server_tls: Option<Arc<ServerTls>>,
    /// How each upstream that sessions of this listener may go to is reached.
    pub reaches: Vec<Reach>,
    pub resolver: Arc<Resolver>,
    /// What is the proxy's own, so that no intercepted connection goes round in a circle.
    pub own: Arc<OwnTraffic>,
    /// Quotas that are used up, where they are to be kept: the next message is put off.
    pub exhausted: Arc<ArcSwap<Vec<Exhausted>>>,
    pub desk: Arc<Desk>,
    pub counters: Arc<Counters>,
    /// The worker's own, of this listener.
    pub meters: Arc<Meters>,
    pub roster: Arc<Roster>,
}

/// What it takes to reach an upstream.
#[derive(Clone)]
pub struct Reach {
    /// The upstream's name.
    pub upstream: String,
    pub client_tls: Arc<ClientTls>,
    pub health: Arc<HostHealth>,
    /// The worker's own, of mail of this listener's that goes there.
    pub meters: Arc<UpstreamMeters>,
    /// Where destinations' MTA-STS policies count.
    pub mta_sts: Option<Arc<MtaSts>>,
}

impl Context {
    pub(super) fn reach(&self, upstream: &str) -> Option<&Reach> {
        self.reaches.iter().find(|reach| reach.upstream == upstream)
    }
}

/// Process-wide counts.
#[derive(Debug, Default)]
pub struct Counters {
    pub sessions_open: AtomicUsize,
    pub sessions_total: AtomicU64,
    pub sessions_refused: AtomicU64,
    /// Connections whose load balancer hasn't told yet who the client is.
    pub(super) at_the_door: AtomicUsize,
    pub transactions_total: AtomicU64,
    pub replies_before_record: AtomicU64,
    pub meters: MeterBook,
    pub(super) turned_away: Arc<TurnedAway>,
    clients: Mutex<HashMap<IpAddr, usize>>,
    /// What the log was told of each listener and needn't be told again.
    told: RwLock<Vec<(String, String)>>,
}

impl Counters {
    /// Whether this is told of the listener for the first time. Asked for each record: what is known costs a look.
    pub(super) fn is_news(&self, listener: &str, what: &str) -> bool {
        let knows = |told: &[(String, String)]| told.iter().any(|(of, known)| of == listener && known == what);
        if knows(&self.told.read().unwrap_or_else(PoisonError::into_inner)) {
            return false;
        }
        let mut told = self.told.write().unwrap_or_else(PoisonError::into_inner);
        let is_news = !knows(&told);
        if is_news {
            told.push((listener.to_owned(), what.to_owned()));
        }
        is_news
    }
}

/// A place among the open sessions; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    counters: Arc<Counters>,
    client: IpAddr,
}

/// What bounds a connection: its place among the sessions, or that its client is told why it has none.
#[derive(Debug)]
pub(super) enum Standing {
    Inside { _place: Place },
    TurnedAway { _told: Told },
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    Full,
    FullForClient,
}

impl Counters {
    pub(super) fn enter(self: &Arc<Self>, client: IpAddr, most: usize, most_per_client: usize) -> Result<Place, NoPlace> {
        self.sessions_total.fetch_add(1, Ordering::Relaxed);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if self.sessions_open.load(Ordering::Relaxed) >= most {
            return Err(NoPlace::Full);
        }
        let open = clients.entry(client).or_insert(0);
        if *open >= most_per_client {
            return Err(NoPlace::FullForClient);
        }
        *open += 1;
        self.sessions_open.fetch_add(1, Ordering::Relaxed);
        Ok(Place { counters: self.clone(), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut clients = self.counters.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = clients.get_mut(&self.client) {
            *open -= 1;
            if *open == 0 {
                clients.remove(&self.client);
            }
        }
        self.counters.sessions_open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The open sessions, so that a shutdown reaches each of them.
#[derive(Debug, Default)]
pub struct Roster {
    phase: AtomicU8,
    wakers: Mutex<HashMap<u64, Waker>>,
    next: AtomicU64,
}

/// What the process wants of its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Serve,
    /// No new transactions; those under way may finish.
    Drain,
    /// End at once, honestly.
    ShutDown,
}

impl Roster {
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Serve,
            1 => Phase::Drain,
            _ => Phase::ShutDown,
        }
    }

    /// Enters a phase and wakes every session to see it.
    pub fn announce(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        let wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.values().for_each(Waker::wake_by_ref);
    }

    /// A place among those who are waited for, woken when the phase changes.
    pub(super) fn seat(self: &Arc<Self>, waker: &Waker) -> Seat {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).insert(number, waker.clone());
        Seat { roster: self.clone(), number }
    }

    /// Sessions that are still there.
    pub fn present(&self) -> usize {
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Given back when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    roster: Arc<Roster>,
    number: u64,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.roster.wakers.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}
