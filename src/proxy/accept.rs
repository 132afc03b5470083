//! Takes connections off a listening socket and gives each its session.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

use super::context::{Context, NoPlace, Phase, Standing};
use super::door::{self, Arrival, Refusal};
use super::meters::RefusedFor;
use super::session;

/// Serves a listening socket until the returned future is dropped. Sessions go on as tasks of their own.
///
/// `current` gives the context for each new session, so that a reload reaches the next one.
pub async fn serve(listener: TcpListener, current: impl Fn() -> Arc<Context>) {
    let mut outage = Outage::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                outage.is_over();
                let context = current();
                if door::is_plain(&context.options.listener) {
                    enter(context, stream, Arrival::of(peer)).map(tokio::spawn);
                } else {
                    tokio::spawn(Box::pin(meet(context, stream, peer)));
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: sessions that end will make room.
                outage.goes_on(&error);
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// While connections can't be accepted.
#[derive(Debug, Default)]
struct Outage {
    began: Option<Instant>,
    said: Option<Instant>,
}

/// However often it comes and goes, it is said no more often than this.
const SAID_AGAIN: Duration = Duration::from_secs(60);

impl Outage {
    fn goes_on(&mut self, error: &io::Error) {
        let now = Instant::now();
        self.began.get_or_insert(now);
        if self.said.is_none_or(|said| now.duration_since(said) >= SAID_AGAIN) {
            self.said = Some(now);
            tracing::error!(
                %error,
                "connections can't be accepted; clients wait until they can. Where descriptors are wanting, raise LimitNOFILE (systemd) or \
                 `ulimit -n`, or lower `sessions` in [limits]"
            );
        }
    }

    fn is_over(&mut self) {
        if let Some(began) = self.began.take()
            && self.said.is_some_and(|said| said >= began)
        {
            tracing::warn!(after_ms = began.elapsed().as_millis() as u64, "connections are accepted again");
        }
    }
}

/// Waits for who the client is before there is a session.
async fn meet(context: Arc<Context>, mut stream: TcpStream, peer: SocketAddr) {
    // Who stands at the door is waited for like a session: its connection was taken off the socket.
    let _seat = context.roster.seat(Waker::noop());
    let waiting = &context.counters.at_the_door;
    let room = waiting.fetch_add(1, Ordering::Relaxed) < context.options.limits.sessions;
    let arrival = if room { door::meet(&context, &mut stream, peer).await } else { None };
    waiting.fetch_sub(1, Ordering::Relaxed);
    if !room {
        context.meters.sessions.fetch_add(1, Ordering::Relaxed);
        drop_unheard(&context, peer.ip(), RefusedFor::TooManySessions, Instant::now());
    }
    if let Some(session) = arrival.and_then(|arrival| enter(context, stream, arrival)) {
        session.await;
    }
}

/// A session of its own, or a word why not. `None`: the connection is dropped, too many hear that word already.
fn enter(context: Arc<Context>, stream: TcpStream, mut arrival: Arrival) -> Option<impl Future<Output = ()>> {
    context.meters.sessions.fetch_add(1, Ordering::Relaxed);
    let limits = &context.options.limits;
    let place = context.counters.enter(arrival.client.ip(), limits.sessions, limits.sessions_per_client);
    let allowed = arrival.is_check || door::is_allowed(&context, arrival.client.ip());
    arrival.refusal = match &place {
        // Between the word to drain and the end of listening: no new session, and no upstream connection for it.
        _ if context.roster.phase() != Phase::Serve => Some(Refusal::new(RefusedFor::ShuttingDown, "shutting down, connect again later")),
        _ if arrival.refusal.is_some() => arrival.refusal,
        _ if !allowed => Some(Refusal::new(RefusedFor::NotAllowed, "this client is not allowed to send mail here")),
        Err(NoPlace::Full) => Some(Refusal::new(RefusedFor::TooManySessions, "too many sessions are open, try again later")),
        Err(NoPlace::FullForClient) => {
            Some(Refusal::new(RefusedFor::TooManyOfClient, "too many sessions from this client are open, try again later"))
        }
        Ok(_) => None,
    };
    // Who isn't let in hears why, and takes no place from those who are.
    let standing = match (&arrival.refusal, place) {
        (None, Ok(place)) => Standing::Inside { _place: place },
        (refusal, _) => {
            let (turned_away, client, now) = (&context.counters.turned_away, arrival.client.ip(), Instant::now());
            let Some(told) = turned_away.tell(client, !allowed, limits.sessions, now) else {
                let reason = refusal.as_ref().map_or(RefusedFor::TooManySessions, |refusal| refusal.reason);
                drop_unheard(&context, client, reason, now);
                return None;
            };
            Standing::TurnedAway { _told: told }
        }
    };
    Some(session::run(context, stream, arrival, standing))
}

/// Counts a client that hears no word of why it isn't let in, and says so from time to time.
fn drop_unheard(context: &Context, client: IpAddr, reason: RefusedFor, now: Instant) {
    context.counters.sessions_refused.fetch_add(1, Ordering::Relaxed);
    context.meters.refused.add(reason as usize, 1);
    context.counters.turned_away.dropped(client, reason, now);
}

/// The connection was gone before it was taken.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
