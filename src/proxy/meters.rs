//! What a worker counts of its mail, by listener and upstream: numbers of its own, so that no worker waits for another; they are summed up when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::trace::{Cause, Direction, EndHow, Flag, Phases, Stage, State, Transaction};
use crate::vocabulary::vocabulary;

vocabulary! {
    /// Why a client wasn't let in.
    RefusedFor {
        NotAllowed = "not_allowed",
        TooManySessions = "too_many_sessions",
        TooManyOfClient = "too_many_of_client",
        ShuttingDown = "shutting_down",
        /// A listed load balancer didn't say who the client is.
        NoProxyHeader = "no_proxy_header",
        /// Intercepted, and where it was meant to go isn't known, or is here.
        NoDestination = "no_destination",
    }
}

vocabulary! {
    /// The parts of a transaction that take time.
    Phase {
        Dns = "dns",
        Connect = "connect",
        Banner = "banner",
        Tls = "tls",
        Auth = "auth",
        MailFrom = "mail_from",
        RcptTo = "rcpt_to",
        Data = "data",
        Body = "body",
        EndOfData = "end_of_data",
    }
}

/// Upper bounds of durations on the wire, µs: from a local server's answer to the ten minutes that RFC 5321 gives a final reply.
const DURATIONS: &[u64] =
    &[1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000, 300_000_000];
/// Upper bounds of what the record costs a reply, µs: from memory to a disk that stalls.
const LATENCIES: &[u64] = &[10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000];

/// A row of counts.
#[derive(Debug)]
pub struct Counts(Box<[AtomicU64]>);

impl Counts {
    fn new(places: usize) -> Self {
        Self((0..places).map(|_| AtomicU64::new(0)).collect())
    }

    pub(super) fn add(&self, at: usize, number: u64) {
        if let Some(count) = self.0.get(at) {
            count.fetch_add(number, Relaxed);
        }
    }

    pub fn at(&self, at: usize) -> u64 {
        self.0.get(at).map_or(0, |count| count.load(Relaxed))
    }
}

/// Durations, counted by how long they were.
#[derive(Debug)]
pub struct Durations {
    bounds: &'static [u64],
    counts: Counts,
    sum_us: AtomicU64,
}

/// The same at one moment: sums over workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// Upper bounds in µs, and how many were within each but not within the one before; beyond the last comes one count more.
    pub bounds: &'static [u64],
    pub counts: Vec<u64>,
    pub sum_us: u64,
}

impl Durations {
    fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, counts: Counts::new(bounds.len() + 1), sum_us: AtomicU64::new(0) }
    }

    pub(super) fn add(&self, us: u64) {
        self.counts.add(self.bounds.partition_point(|&bound| bound < us), 1);
        self.sum_us.fetch_add(us, Relaxed);
    }

    pub fn spread(&self) -> Spread {
        let counts = (0..=self.bounds.len()).map(|at| self.counts.at(at)).collect();
        Spread { bounds: self.bounds, counts, sum_us: self.sum_us.load(Relaxed) }
    }
}

impl Spread {
    pub fn add(&mut self, other: &Self) {
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
    }

    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// What one worker counted of one listener.
#[derive(Debug)]
pub struct Meters {
    worker: usize,
    pub listener: String,
    pub direction: Direction,
    /// Connections, whether let in or not.
    pub sessions: AtomicU64,
    pub sessions_open: AtomicU64,
    /// By [`RefusedFor`].
    pub refused: Counts,
    /// By [`EndHow`]: sessions that have a record of their own.
    pub ended: Counts,
    /// By [`Flag`]: transactions.
    pub flags: Counts,
    upstreams: Mutex<Vec<Arc<UpstreamMeters>>>,
}

/// What one worker counted of mail that came by one listener and went to one upstream.
#[derive(Debug)]
pub struct UpstreamMeters {
    pub upstream: String,
    /// By [`State`] and [`Stage`]: see [`UpstreamMeters::transactions`].
    transactions: Counts,
    /// By [`Cause`].
    pub causes: Counts,
    /// By [`State`].
    pub recipients: Counts,
    /// Of the upstream, by the first digit, from 2 on.
    pub replies: Counts,
    /// Of messages that were accepted.
    pub octets: AtomicU64,
    /// Attempts to reach a host that came to nothing.
    pub unreached: AtomicU64,
    /// Failed probes, then those that got through.
    pub probes: Counts,
    /// MAIL FROM to the end.
    pub durations: Durations,
    /// By [`Phase`].
    pub phases: Vec<Durations>,
    /// How long a final reply was kept for its record.
    pub latency: Durations,
    /// When the certificate that the upstream showed last expires, µs since 1970; 0: none was seen.
    pub certificate_expires_at: AtomicU64,
    /// When that certificate was seen.
    pub certificate_seen_at: AtomicU64,
}

impl Meters {
    fn new(worker: usize, listener: &str, direction: Direction) -> Self {
        Self {
            worker,
            listener: listener.to_owned(),
            direction,
            sessions: AtomicU64::new(0),
            sessions_open: AtomicU64::new(0),
            refused: Counts::new(RefusedFor::ALL.len()),
            ended: Counts::new(EndHow::ALL.len()),
            flags: Counts::new(Flag::ALL.len()),
            upstreams: Mutex::default(),
        }
    }

    /// Those of one upstream; they are made at their first mention, and stay.
    pub fn of_upstream(&self, name: &str) -> Arc<UpstreamMeters> {
        let mut upstreams = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = upstreams.iter().find(|known| known.upstream == name) {
            return known.clone();
        }
        let made = Arc::new(UpstreamMeters::new(name));
        upstreams.push(made.clone());
        made
    }

    pub fn upstreams(&self) -> Vec<Arc<UpstreamMeters>> {
        self.upstreams.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whose they are, for a context that is made anew.
    pub fn worker(&self) -> usize {
        self.worker
    }
}

impl UpstreamMeters {
    fn new(name: &str) -> Self {
        Self {
            upstream: name.to_owned(),
            transactions: Counts::new(State::ALL.len() * Stage::ALL.len()),
            causes: Counts::new(Cause::ALL.len()),
            recipients: Counts::new(State::ALL.len()),
            replies: Counts::new(4),
            octets: AtomicU64::new(0),
            unreached: AtomicU64::new(0),
            probes: Counts::new(2),
            durations: Durations::new(DURATIONS),
            phases: Phase::ALL.iter().map(|_| Durations::new(DURATIONS)).collect(),
            latency: Durations::new(LATENCIES),
            certificate_expires_at: AtomicU64::new(0),
            certificate_seen_at: AtomicU64::new(0),
        }
    }

    /// Those that ended so, there.
    pub fn transactions(&self, state: State, stage: Stage) -> u64 {
        self.transactions.at(place(state, stage))
    }

    pub(super) fn count(&self, transaction: &Transaction) {
        let outcome = &transaction.outcome;
        self.transactions.add(place(outcome.state, outcome.stage), 1);
        if let Some(cause) = outcome.cause {
            self.causes.add(cause as usize, 1);
        }
        for recipient in &transaction.envelope.recipients {
            self.recipients.add(recipient.state as usize, 1);
        }
        if matches!(outcome.state, State::Accepted | State::Partial) {
            self.octets.fetch_add(transaction.message.size, Relaxed);
        }
        self.durations.add(transaction.duration_us);
        for (durations, us) in self.phases.iter().zip(in_order(&transaction.phases)) {
            us.into_iter().for_each(|us| durations.add(us));
        }
        if let Some(expires_at) = transaction.upstream.tls.as_ref().and_then(|tls| tls.expires_at) {
            self.certificate_expires_at.store(expires_at, Relaxed);
            self.certificate_seen_at.store(transaction.at, Relaxed);
        }
    }
}

fn place(state: State, stage: Stage) -> usize {
    state as usize * Stage::ALL.len() + stage as usize
}

/// In the order of [`Phase`].
fn in_order(it: &Phases) -> [Option<u64>; 10] {
    [
        it.dns_us,
        it.connect_us,
        it.banner_us,
        it.tls_us,
        it.auth_us,
        it.mail_from_us,
        it.rcpt_to_us,
        it.data_us,
        it.body_us,
        it.end_of_data_us,
    ]
}

/// The meters of all workers and listeners. They stay as long as the process, so that nothing that was counted goes back.
#[derive(Debug, Default)]
pub struct MeterBook(Mutex<Vec<Arc<Meters>>>);

impl MeterBook {
    pub fn of(&self, worker: usize, listener: &str, direction: Direction) -> Arc<Meters> {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |known: &&Arc<Meters>| known.worker == worker && known.listener == listener && known.direction == direction;
        if let Some(known) = book.iter().find(is_it) {
            return known.clone();
        }
        let made = Arc::new(Meters::new(worker, listener, direction));
        book.push(made.clone());
        made
    }

    pub fn all(&self) -> Vec<Arc<Meters>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_within_their_bounds() {
        let durations = Durations::new(&[10, 100]);
        [0, 10, 11, 100, 101, 5_000].into_iter().for_each(|us| durations.add(us));
        let mut spread = durations.spread();
        assert_eq!((spread.counts.as_slice(), spread.sum_us, spread.total()), ([2, 2, 2].as_slice(), 5_222, 6));
        spread.add(&durations.spread());
        assert_eq!(spread.counts, [4, 4, 4]);
    }

    #[test]
    fn meters_of_a_name_stay_the_same() {
        let book = MeterBook::default();
        let (first, other) = (book.of(0, "smtp", Direction::Outbound), book.of(1, "smtp", Direction::Outbound));
        first.of_upstream("default").unreached.fetch_add(1, Relaxed);
        let again = book.of(0, "smtp", Direction::Outbound);
        assert_eq!(again.of_upstream("default").unreached.load(Relaxed), 1);
        assert_eq!(other.of_upstream("default").unreached.load(Relaxed), 0);
        assert_eq!(book.all().len(), 2);
    }
}
