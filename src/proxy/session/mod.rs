//! One session: drives the engine with what its sockets, the journal and the clock bring.
//!
//! Everything happens inside one poll: octets are read into a buffer that the worker's sessions share, the engine decides, and what
//! it sends goes out in one write per leg. An idle session owns no buffer. `waiting`, `reading`, `acting` and `closing` are the parts of
//! that poll; `counting` is what they count, `hiding` what they tell
//! of AUTH that clients don't see.

mod acting;
mod closing;
mod counting;
mod hiding;
mod reading;
mod waiting;

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::context::{Context, Phase, Seat, Standing};
use super::dial::{Dialled, Verification, micros};
use super::door::Arrival;
use super::leg::{AfterFlush, Leg, Stream};
use super::next_hop;
use crate::net::connect::ready_accepted;
use crate::relay::options::{ClientTls, Ehlo, UpstreamOptions};
use crate::relay::{Failed, Found, Machine, NextHop, NotFound, SessionFacts, Wire};
use crate::route;
use crate::store::Ticket;
use crate::trace::{self, RecordId, Tls};

/// Octets read at once; one buffer per worker. Measured: from 128 KiB to 512 KiB a message of 10 MiB costs a quarter less CPU, most of it
/// wake-ups of the two peers; beyond that the buffer no longer fits the processor's cache.
const READ: usize = 512 * 1024;

/// How long a closed client may still send, so that its kernel doesn't throw our last reply away.
const LINGER: Duration = Duration::from_secs(2);

thread_local! {
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ].into_boxed_slice());
}

type Finding = Pin<Box<dyn Future<Output = Result<Found, NotFound>> + Send>>;
type Dialling = Pin<Box<dyn Future<Output = Result<Dialled, Failed>> + Send>>;
type Handshake = Pin<Box<dyn Future<Output = Result<(Stream, Tls, Option<String>), (String, Option<Tls>)>> + Send>>;

struct Session {
    context: Arc<Context>,
    machine: Machine,
    began: Instant,
    legs: Legs,
    finding: Option<Finding>,
    dialling: Option<Dialling>,
    /// The host connected to last, and the upstream whose it is: the machine may have gone on to another one.
    dialled: Option<(Arc<UpstreamOptions>, Box<NextHop>)>,
    client: SocketAddr,
    destination: Option<SocketAddr>,
    verification: Option<Verification>,
    client_handshake: Option<Handshake>,
    upstream_handshake: Option<Handshake>,
    /// The record that the final reply waits for, and since when.
    held: Option<(Ticket, u64)>,
    mark: Option<Ticket>,
    timer: Option<Pin<Box<Sleep>>>,
    timer_due: u64,
    /// Since when what waits to be sent has waited without a single octet going out, and how many had gone out by then.
    write_stalled: Option<(u64, u64)>,
    phase: Phase,
    seat: Option<Seat>,
    lingering: Option<u64>,
    /// Within one poll: the leg has nothing to read, and will wake the task when it has.
    client_waits: bool,
    upstream_waits: bool,
    /// There is something to send, and the others have been let go first.
    deferred: bool,
    _standing: Standing,
}

struct Legs {
    client: Leg,
    upstream: Leg,
}

impl Wire for Legs {
    fn send(&mut self, leg: trace::Leg, octets: &[u8]) {
        match leg {
            trace::Leg::Client => self.client.gather(octets),
            trace::Leg::Upstream => self.upstream.gather(octets),
        }
    }
}

/// Runs a session to its end. A client that isn't let in hears why instead of a greeting.
pub(super) async fn run(context: Arc<Context>, stream: TcpStream, arrival: Arrival, standing: Standing) {
    if ready_accepted(&stream).is_err() {
        return;
    }
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let random = ulid::Ulid::generate().random();
    let Arrival { client, via, destination, refusal, .. } = arrival;
    let door = route::Session { listener: &context.options.listener.name, client: client.ip() };
    let (upstream, rule) = context.options.destination(door, None);
    let server = via.as_ref().and_then(|via| via.destination).or(destination).or_else(|| stream.local_addr().ok());
    let facts = SessionFacts {
        id: RecordId::from_parts(at.as_millis() as u64, random),
        random,
        at: at.as_micros() as u64,
        origin: context.origin.clone(),
        client_ip: client.ip(),
        client_port: client.port(),
        via,
        route_rule: rule.map(|rule| rule.name.clone()),
        destination: server.map(|it| SocketAddr::new(it.ip().to_canonical(), it.port())),
    };
    let hosts = match context.options.listener.ehlo {
        Ehlo::Upstream if refusal.is_none() => next_hop::listed(&context, &upstream, destination),
        Ehlo::Upstream | Ehlo::Static => Vec::new(),
    };
    let implicit = context.options.listener.tls == ClientTls::Implicit && refusal.is_none();
    context.meters.sessions_open.fetch_add(1, Ordering::Relaxed);
    let mut session = Session {
        machine: Machine::new(context.options.clone(), facts, upstream, hosts),
        began: Instant::now(),
        legs: Legs { client: Leg::new(Some(Stream::Plain(stream))), upstream: Leg::new(None) },
        finding: None,
        dialling: None,
        dialled: None,
        client,
        destination,
        verification: None,
        client_handshake: None,
        upstream_handshake: None,
        held: None,
        mark: None,
        timer: None,
        timer_due: u64::MAX,
        write_stalled: None,
        phase: Phase::Serve,
        seat: None,
        lingering: None,
        client_waits: false,
        upstream_waits: false,
        deferred: false,
        context,
        _standing: standing,
    };
    match refusal {
        Some(refusal) => {
            session.context.counters.sessions_refused.fetch_add(1, Ordering::Relaxed);
            session.context.meters.refused.add(refusal.reason as usize, 1);
            session.machine.refuse_client(0, refusal.code, refusal.words, &refusal.why, &mut session.legs);
        }
        None if implicit => session.machine.begin_with_tls(0, &mut session.legs),
        None => session.machine.start(0, &mut session.legs),
    }
    std::future::poll_fn(|cx| session.poll(cx)).await;
}

impl Session {
    fn now(&self) -> u64 {
        micros(self.began)
    }

    fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<()> {
        if self.seat.is_none() {
            self.seat = Some(self.context.roster.seat(cx.waker()));
        }
        (self.client_waits, self.upstream_waits) = (false, false);
        loop {
            self.follow_phase();
            let mut moved = self.poll_finding(cx) | self.poll_dialling(cx) | self.poll_handshakes(cx) | self.poll_store(cx);
            moved |= self.read_upstream(cx);
            moved |= self.read_client(cx);
            moved |= self.act();
            if self.lets_others_go_first() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            moved |= self.flush(cx);
            if self.is_over(cx) {
                return Poll::Ready(());
            }
            if !moved && !self.poll_timer(cx) {
                return Poll::Pending;
            }
        }
    }

    /// Sends only once the other sessions that are ready have read: peers that are woken one right after the other are woken more cheaply
    /// than ones that fall asleep between two sends. True at most once before each flush.
    fn lets_others_go_first(&mut self) -> bool {
        let has_octets = !self.legs.client.is_clear() || !self.legs.upstream.is_clear();
        self.deferred = has_octets && !self.deferred && self.has_company();
        self.deferred
    }

    fn has_company(&self) -> bool {
        const FEW: usize = 4;
        self.context.counters.sessions_open.load(Ordering::Relaxed) > FEW
    }

    fn follow_phase(&mut self) {
        let phase = self.context.roster.phase();
        if phase > self.phase {
            self.phase = phase;
            let now = self.now();
            match phase {
                Phase::Drain => self.machine.drain(now, &mut self.legs),
                Phase::ShutDown => self.machine.shut_down(now, &mut self.legs),
                Phase::Serve => {}
            }
        }
    }

    fn leg(&mut self, leg: trace::Leg) -> &mut Leg {
        match leg {
            trace::Leg::Client => &mut self.legs.client,
            trace::Leg::Upstream => &mut self.legs.upstream,
        }
    }

    fn is_over(&mut self, _cx: &mut TaskContext<'_>) -> bool {
        let gone = |leg: &Leg| leg.stream.is_none() || (leg.after_flush == AfterFlush::Nothing && leg.failed);
        self.machine.finished() && gone(&self.legs.client) && gone(&self.legs.upstream)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.context.meters.sessions_open.fetch_sub(1, Ordering::Relaxed);
    }
}
