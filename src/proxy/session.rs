//! One session: drives the engine with what its sockets, the journal and the clock bring.
//!
//! Everything happens inside one poll: octets are read into a buffer that the worker's sessions share, the engine decides, and what
//! it sends goes out in one write per leg. An idle session owns no buffer.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::caller::Caller;
use super::context::{Context, Phase, Place, Reach};
use super::dial::{Dialled, Verification, dial, facts_of, micros, tls_of};
use super::door::Arrival;
use super::leg::{AfterFlush, Leg, Stream};
use super::next_hop;
use crate::net::connect::ready_accepted;
use crate::net::intercept::Outgoing;
use crate::relay::options::{ClientTls, Ehlo, OnStoreFailure};
use crate::relay::{Action, Failed, Found, Machine, NextHop, NotFound, SessionFacts, Wire};
use crate::route;
use crate::store::{AppendError, Ticket};
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
    dialled: Option<Box<NextHop>>,
    client: SocketAddr,
    destination: Option<SocketAddr>,
    outgoing: Option<Outgoing>,
    verification: Option<Verification>,
    client_handshake: Option<Handshake>,
    upstream_handshake: Option<Handshake>,
    /// The record that the final reply waits for.
    held: Option<Ticket>,
    mark: Option<Ticket>,
    timer: Option<Pin<Box<Sleep>>>,
    timer_due: u64,
    write_stalled: Option<u64>,
    phase: Phase,
    seat: Option<u64>,
    lingering: Option<u64>,
    /// Within one poll: the leg has nothing to read, and will wake the task when it has.
    client_waits: bool,
    upstream_waits: bool,
    /// There is something to send, and the others have been let go first.
    deferred: bool,
    _place: Option<Place>,
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
pub(super) async fn run(context: Arc<Context>, stream: TcpStream, arrival: Arrival, place: Option<Place>) {
    if ready_accepted(&stream).is_err() {
        return;
    }
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let random = ulid::Ulid::generate().random();
    let Arrival { client, via, destination, refusal, .. } = arrival;
    let door = route::Session { listener: &context.options.listener.name, client: client.ip() };
    let (upstream, rule) = context.options.destination(door, None);
    let facts = SessionFacts {
        id: RecordId::from_parts(at.as_millis() as u64, random),
        random,
        at: at.as_micros() as u64,
        origin: context.origin.clone(),
        client_ip: client.ip(),
        client_port: client.port(),
        via,
        route_rule: rule.map(|rule| rule.name.clone()),
    };
    let hosts = match context.options.listener.ehlo {
        Ehlo::Upstream => next_hop::listed(&context, &upstream, destination),
        Ehlo::Static => Vec::new(),
    };
    let implicit = context.options.listener.tls == ClientTls::Implicit && refusal.is_none();
    let mut session = Session {
        machine: Machine::new(context.options.clone(), facts, upstream, hosts),
        began: Instant::now(),
        legs: Legs { client: Leg::new(Some(Stream::Plain(stream))), upstream: Leg::new(None) },
        finding: None,
        dialling: None,
        dialled: None,
        client,
        destination,
        outgoing: None,
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
        _place: place,
    };
    match refusal {
        Some(refusal) => {
            session.context.counters.sessions_refused.fetch_add(1, Ordering::Relaxed);
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
            self.seat = Some(self.context.roster.join(cx.waker()));
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

    fn poll_finding(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let Some(finding) = &mut self.finding else { return false };
        let Poll::Ready(outcome) = finding.as_mut().poll(cx) else { return false };
        self.finding = None;
        let now = self.now();
        match outcome {
            Ok(found) => self.machine.hosts_found(now, found, &mut self.legs),
            Err(not) => self.machine.hosts_not_found(now, not, &mut self.legs),
        }
        true
    }

    fn poll_dialling(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let Some(dialling) = &mut self.dialling else { return false };
        let Poll::Ready(outcome) = dialling.as_mut().poll(cx) else { return false };
        self.dialling = None;
        let now = self.now();
        match outcome {
            Ok(dialled) => {
                self.legs.upstream = Leg::new(Some(dialled.stream));
                self.upstream_waits = false;
                self.verification = Some(dialled.verification);
                self.outgoing = dialled.outgoing;
                self.machine.connected(now, dialled.connected, &mut self.legs);
            }
            Err(failed) => {
                self.note_failure(&failed.error);
                tracing::warn!(host = self.host_name(), error = %failed.error, "host not reached");
                self.machine.connect_failed(now, failed, &mut self.legs);
            }
        }
        true
    }

    fn host_name(&self) -> &str {
        self.dialled.as_ref().map_or("", |hop| &hop.host)
    }

    /// The host of the upstream's list that is connected or being connected fared badly.
    fn note_failure(&self, error: &str) {
        if let (Some(place), Some(reach)) = (self.dialled.as_ref().and_then(|hop| hop.place), self.reach()) {
            reach.health.failed(place, error, Instant::now());
        }
    }

    /// A transaction came to a final reply through it.
    fn note_success(&self, phases: trace::Phases) {
        if let (Some(place), Some(reach)) = (self.dialled.as_ref().and_then(|hop| hop.place), self.reach()) {
            reach.health.succeeded(place, phases.connect_us, phases.end_of_data_us, Instant::now());
        }
    }

    fn reach(&self) -> Option<&Reach> {
        self.context.reach(&self.machine.upstream().name)
    }

    fn poll_handshakes(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let mut moved = false;
        for leg in [trace::Leg::Client, trace::Leg::Upstream] {
            let slot = match leg {
                trace::Leg::Client => &mut self.client_handshake,
                trace::Leg::Upstream => &mut self.upstream_handshake,
            };
            let Some(handshake) = slot else { continue };
            let Poll::Ready(outcome) = handshake.as_mut().poll(cx) else { continue };
            *slot = None;
            moved = true;
            let now = self.now();
            match outcome {
                Ok((stream, tls, how)) => {
                    self.leg(leg).stream = Some(stream);
                    (self.client_waits, self.upstream_waits) = (false, false);
                    self.machine.tls_established(now, leg, tls, how, &mut self.legs);
                }
                Err((error, facts)) => {
                    if leg == trace::Leg::Upstream {
                        self.note_failure(&error); // also where the policy lets the session go on in clear
                        tracing::warn!(host = self.host_name(), error, "TLS with the host failed");
                    }
                    self.machine.tls_failed(now, leg, error, facts, &mut self.legs);
                }
            }
        }
        moved
    }

    fn leg(&mut self, leg: trace::Leg) -> &mut Leg {
        match leg {
            trace::Leg::Client => &mut self.legs.client,
            trace::Leg::Upstream => &mut self.legs.upstream,
        }
    }

    fn poll_store(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let mut moved = false;
        if let Some(ticket) = self.held
            && let Poll::Ready(stored) = self.context.desk.poll_stored(ticket, cx)
        {
            self.held = None;
            moved = true;
            let now = self.now();
            self.machine.stored(now, stored, &mut self.legs);
        }
        if let Some(ticket) = self.mark {
            let outcome = if self.machine.awaits_mark() {
                self.context.desk.poll_stored(ticket, cx)
            } else if self.context.desk.is_stored(ticket) {
                Poll::Ready(true)
            } else {
                Poll::Pending
            };
            if let Poll::Ready(ok) = outcome {
                self.mark = None;
                moved = true;
                let now = self.now();
                self.machine.mark_stored(now, ok, &mut self.legs);
            }
        }
        moved
    }

    /// Reads once from the leg if the engine wants it and the other leg has taken all it was sent.
    fn read_upstream(&mut self, cx: &mut TaskContext<'_>) -> bool {
        if self.upstream_waits
            || !self.machine.wants_upstream()
            || !self.legs.client.is_clear()
            || self.legs.upstream.after_flush != AfterFlush::Nothing
        {
            return false;
        }
        BUFFER.with_borrow_mut(|buffer| {
            let Some(stream) = &mut self.legs.upstream.stream else { return false };
            let mut read = ReadBuf::new(buffer);
            let Poll::Ready(outcome) = stream.poll_read(cx, &mut read) else {
                self.upstream_waits = true;
                return false;
            };
            let now = micros(self.began);
            match outcome {
                Ok(()) if read.filled().is_empty() => self.machine.upstream_closed(now, false, &mut self.legs),
                Ok(()) => self.machine.upstream_octets(now, read.filled(), &mut self.legs),
                Err(_) => self.machine.upstream_closed(now, true, &mut self.legs),
            }
            true
        })
    }

    fn read_client(&mut self, cx: &mut TaskContext<'_>) -> bool {
        if self.lingering.is_some() {
            return self.linger(cx);
        }
        if self.client_waits
            || !self.machine.wants_client()
            || !self.legs.upstream.is_clear()
            || self.legs.client.after_flush != AfterFlush::Nothing
        {
            return false;
        }
        BUFFER.with_borrow_mut(|buffer| {
            let Some(stream) = &mut self.legs.client.stream else { return false };
            let mut read = ReadBuf::new(buffer);
            let Poll::Ready(outcome) = stream.poll_read(cx, &mut read) else {
                self.client_waits = true;
                return false;
            };
            let now = micros(self.began);
            if self.context.options.on_store_failure == OnStoreFailure::Defer {
                self.machine.set_store_failed(!self.context.desk.is_healthy());
            }
            if let Some(ticket) = self.mark
                && self.context.desk.is_stored(ticket)
            {
                self.mark = None;
                self.machine.mark_stored(now, true, &mut self.legs);
            }
            match outcome {
                Ok(()) if read.filled().is_empty() => self.machine.client_closed(now, false, &mut self.legs),
                Ok(()) => self.machine.client_octets(now, read.filled(), &mut self.legs),
                // TLS without close_notify is a cut, never an end (RFC 8446 §6.1).
                Err(_) => self.machine.client_closed(now, true, &mut self.legs),
            }
            true
        })
    }

    /// Does what the engine asks for.
    fn act(&mut self) -> bool {
        let mut moved = false;
        while let Some(action) = self.machine.next_action() {
            moved = true;
            match action {
                Action::FindHosts { upstream, domain } => {
                    self.finding = Some(Box::pin(next_hop::find(self.context.clone(), upstream, domain, self.destination, self.began)));
                }
                Action::Connect { hop } => {
                    self.upstream_handshake = None;
                    farewell(std::mem::replace(&mut self.legs.upstream, Leg::new(None)));
                    let dialling = dial(
                        self.context.clone(),
                        self.machine.upstream().clone(),
                        (*hop).clone(),
                        Caller { client: Some(self.client), began: self.began },
                    );
                    self.dialled = Some(hop);
                    self.dialling = Some(Box::pin(dialling));
                }
                Action::HostFailed { error } => self.note_failure(&error),
                Action::StartTls { leg } => self.leg(leg).after_flush = AfterFlush::StartTls,
                Action::Append { record, then_reply } => {
                    if let trace::Record::Transaction(transaction) = &*record {
                        self.context.counters.transactions_total.fetch_add(1, Ordering::Relaxed);
                        if then_reply {
                            self.note_success(transaction.phases);
                        }
                    }
                    let outcome = self.context.desk.append(&record);
                    if then_reply {
                        match outcome {
                            Ok(ticket) if !ticket.is_staged() => self.held = Some(ticket),
                            outcome => {
                                let now = self.now();
                                self.machine.stored(now, outcome.is_ok(), &mut self.legs);
                            }
                        }
                    }
                }
                Action::AppendMark => match self.append_mark() {
                    None => {} // the transaction ended within the same octets: there is nothing to mark
                    Some(Ok(ticket)) if !ticket.is_staged() => self.mark = Some(ticket),
                    Some(outcome) => {
                        let now = self.now();
                        self.machine.mark_stored(now, outcome.is_ok(), &mut self.legs);
                    }
                },
                Action::CloseSide { leg } => self.leg(leg).after_flush = AfterFlush::CloseSide,
                Action::Close { leg } => self.leg(leg).after_flush = AfterFlush::Close,
                Action::Abort { leg } => {
                    self.leg(leg).abort();
                    if leg == trace::Leg::Upstream {
                        self.upstream_handshake = None;
                    }
                }
            }
        }
        if self.machine.finished() {
            self.finding = None;
            self.dialling = None;
            self.upstream_handshake = None;
            self.held = None;
        }
        moved
    }

    /// With few sessions the mark is written while the client sends its message. With many it goes along with others' records.
    fn append_mark(&self) -> Option<Result<Ticket, AppendError>> {
        let mark = self.machine.mark()?;
        Some(self.context.desk.append_mark(&mark, !self.has_company()))
    }

    /// Sends what is gathered for both legs, and does what was to follow.
    fn flush(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let mut moved = false;
        for side in [trace::Leg::Upstream, trace::Leg::Client] {
            let leg = self.leg(side);
            if leg.stream.is_none() && leg.after_flush == AfterFlush::Close {
                leg.after_flush = AfterFlush::Nothing;
            }
            let had_octets = !leg.is_clear();
            let flushed = if leg.failed { Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())) } else { leg.poll_flush(cx) };
            match flushed {
                Poll::Ready(Ok(())) => {
                    // The other leg was not read, nor its waker left there, while this one had octets to send.
                    moved |= had_octets;
                    let after = leg.after_flush;
                    match after {
                        AfterFlush::Nothing => {}
                        AfterFlush::StartTls => {
                            leg.after_flush = AfterFlush::Nothing;
                            moved |= self.start_handshake(side);
                        }
                        AfterFlush::CloseSide => moved |= leg.poll_close_side(cx),
                        AfterFlush::Close => moved |= self.close(side, cx),
                    }
                }
                Poll::Ready(Err(_)) => {
                    moved = true;
                    match side {
                        trace::Leg::Client => {
                            leg.abort();
                            let now = self.now();
                            self.machine.client_lost(now, &mut self.legs);
                        }
                        // What the upstream said before it closed may still be readable: that decides, not our failed write.
                        trace::Leg::Upstream => {
                            let (stream, closing) = (leg.stream.take(), leg.after_flush == AfterFlush::Close);
                            leg.abort();
                            leg.stream = stream.filter(|_| !closing);
                            leg.failed = false;
                            let now = self.now();
                            self.machine.upstream_unwritable(now, &mut self.legs);
                        }
                    }
                }
                Poll::Pending => {}
            }
        }
        moved
    }

    fn start_handshake(&mut self, side: trace::Leg) -> bool {
        let Some(Stream::Plain(stream)) = self.leg(side).stream.take() else { return false };
        match side {
            trace::Leg::Client => {
                let Some(tls) = self.context.server_tls.clone() else {
                    let now = self.now();
                    self.machine.tls_failed(now, side, "no certificate is loaded".to_owned(), None, &mut self.legs);
                    return true;
                };
                self.client_handshake = Some(Box::pin(async move {
                    match tls.accept(stream).await {
                        Ok((stream, facts)) => Ok((Stream::Server(Box::new(stream)), tls_of(facts), None)),
                        Err(error) => Err((error.to_string(), facts_of(&error))),
                    }
                }));
            }
            trace::Leg::Upstream => {
                let Some(verification) = self.verification.clone() else { return false };
                let limit = self.context.options.limits.timeouts.tls_handshake;
                self.upstream_handshake = Some(Box::pin(verification.handshake(stream, limit)));
            }
        }
        true
    }

    /// Everything is sent: close the leg.
    fn close(&mut self, side: trace::Leg, cx: &mut TaskContext<'_>) -> bool {
        let now = self.now();
        let quit = self.machine.ended_by_quit();
        let leg = self.leg(side);
        let Some(stream) = &mut leg.stream else { return false };
        if stream.poll_shutdown(cx).is_pending() {
            return false;
        }
        leg.after_flush = AfterFlush::Nothing;
        if side == trace::Leg::Client && !quit {
            self.lingering = Some(now);
        } else {
            leg.abort();
        }
        true
    }

    /// Reads and drops what a closed client still sends, for a while.
    fn linger(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let Some(stream) = &mut self.legs.client.stream else { return false };
        let over = BUFFER.with_borrow_mut(|buffer| {
            loop {
                let mut read = ReadBuf::new(buffer);
                match stream.poll_read(cx, &mut read) {
                    Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
                    Poll::Ready(_) => return true,
                    Poll::Pending => return false,
                }
            }
        });
        let late = self.lingering.is_some_and(|since| micros(self.began) > since + LINGER.as_micros() as u64);
        if over || late {
            self.legs.client.abort();
        }
        over || late
    }

    /// The engine's deadline, a write that makes no progress, or the linger's end, whichever is first.
    fn due(&mut self) -> Option<u64> {
        let stalled = !self.legs.client.is_clear() || !self.legs.upstream.is_clear();
        let limits = &self.context.options.limits.timeouts;
        let write = match (stalled, self.write_stalled) {
            (false, _) => {
                self.write_stalled = None;
                None
            }
            (true, since) => {
                let since = since.unwrap_or_else(|| micros(self.began));
                self.write_stalled = Some(since);
                Some(since + limits.write.as_micros() as u64)
            }
        };
        let linger = self.lingering.map(|since| since + LINGER.as_micros() as u64 + 1);
        [self.machine.deadline(), write, linger].into_iter().flatten().min()
    }

    /// The timer is armed once and moved only when it fires or must fire earlier: deadlines mostly move away.
    fn poll_timer(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let Some(due) = self.due() else { return false };
        if due < self.timer_due || self.timer.is_none() {
            self.arm(due);
        }
        let mut fired = false;
        while let Some(timer) = &mut self.timer {
            if timer.as_mut().poll(cx).is_pending() {
                break;
            }
            fired = true;
            let now = self.now();
            if self.write_stalled.is_some_and(|since| now >= since + self.context.options.limits.timeouts.write.as_micros() as u64) {
                self.write_stalled = None;
                if self.legs.client.is_clear() {
                    self.legs.upstream.abort();
                    self.machine.upstream_closed(now, true, &mut self.legs);
                } else {
                    self.legs.client.abort();
                    self.machine.client_lost(now, &mut self.legs);
                }
            }
            if self.held.is_some() && self.machine.deadline().is_some_and(|due| now >= due) {
                self.held = None;
                self.context.counters.replies_before_record.fetch_add(1, Ordering::Relaxed);
            }
            self.machine.tick(now, &mut self.legs);
            self.timer_due = u64::MAX;
            match self.due() {
                Some(due) => self.arm(due.max(now + 1_000)),
                None => self.timer = None,
            }
        }
        fired
    }

    fn arm(&mut self, due: u64) {
        let at = tokio::time::Instant::from_std(self.began) + Duration::from_micros(due);
        self.timer_due = due;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }

    fn is_over(&mut self, _cx: &mut TaskContext<'_>) -> bool {
        let gone = |leg: &Leg| leg.stream.is_none() || (leg.after_flush == AfterFlush::Nothing && leg.failed);
        self.machine.finished() && gone(&self.legs.client) && gone(&self.legs.upstream) && self.client_handshake.is_none()
    }
}

/// Lets a connection that is no longer needed send its last words, for a while, without the session.
fn farewell(mut leg: Leg) {
    if leg.stream.is_none() || leg.after_flush != AfterFlush::Close {
        return;
    }
    tokio::spawn(async move {
        let goodbye = std::future::poll_fn(|cx| match leg.poll_flush(cx) {
            Poll::Ready(Ok(())) => leg.stream.as_mut().map_or(Poll::Ready(Ok(())), |stream| stream.poll_shutdown(cx)),
            other => other,
        });
        let _ = tokio::time::timeout(LINGER, goodbye).await;
    });
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            self.context.roster.leave(seat);
        }
    }
}
