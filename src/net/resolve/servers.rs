//! Puts one question to the DNS servers: UDP, TCP where the answer is too long for it, the next server where one fails.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::net::NetError;
use hickory_resolver::net::tcp::TcpClientStream;
use hickory_resolver::net::udp::UdpClientStream;
use hickory_resolver::net::xfer::{DnsHandle, DnsRequestSender, FirstAnswer};
use hickory_resolver::proto::op::{DnsRequest, DnsRequestOptions, Message, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RecordType};

use super::udp::Runtime;

/// What one server has for one transport; lost packets are sent again within it (hickory does that).
pub(super) const ATTEMPT: Duration = Duration::from_millis(2_500);
/// How often the whole list is gone through.
const ROUNDS: usize = 2;

/// The servers of one resolver.
pub(super) struct Servers {
    pub addresses: Vec<SocketAddr>,
    /// The one that answered last is asked first, so that a dead one costs its time-out once.
    preferred: AtomicUsize,
}

/// What a server said.
pub(super) struct Reply {
    pub message: Message,
    pub server: SocketAddr,
    pub tcp: bool,
}

/// No server said anything.
#[derive(Debug)]
pub(super) enum Silence {
    TimedOut,
    Unreachable { why: String },
}

impl Servers {
    pub fn new(addresses: Vec<SocketAddr>) -> Self {
        Self { addresses, preferred: AtomicUsize::new(0) }
    }

    /// How long silence lasts before it is taken for an answer.
    pub fn patience(&self) -> Duration {
        ATTEMPT * u32::try_from(self.addresses.len() * ROUNDS).unwrap_or(u32::MAX)
    }

    /// The first answer that settles the question; else a refusal (SERVFAIL and the like); else why there is none.
    pub async fn ask(&self, name: &Name, kind: RecordType, checking_disabled: bool) -> Result<Reply, Silence> {
        let mut refusal = None;
        let mut unreachable = None;
        let mut timed_out = false;
        let first = self.preferred.load(Ordering::Relaxed);
        for turn in 0..self.addresses.len() * ROUNDS {
            let at = (first + turn) % self.addresses.len();
            let Some(&server) = self.addresses.get(at) else { continue };
            match ask_one(server, name, kind, checking_disabled).await {
                Ok(reply) if settles(&reply.message) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok(reply);
                }
                Ok(reply) => {
                    refusal.get_or_insert(reply);
                }
                Err(Silence::TimedOut) => timed_out = true,
                Err(Silence::Unreachable { why }) => unreachable = Some(why),
            }
            let went_round = (turn + 1) % self.addresses.len() == 0;
            if went_round && (refusal.is_some() || !timed_out) {
                break; // who refused or isn't there will do so again
            }
        }
        match (refusal, unreachable) {
            (Some(reply), _) => Ok(reply),
            (None, Some(why)) if !timed_out => Err(Silence::Unreachable { why }),
            (None, _) => Err(Silence::TimedOut),
        }
    }
}

/// An answer, be it that there is nothing.
pub(super) fn settles(message: &Message) -> bool {
    matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain)
}

/// One question to one server; with `recursion` off, what it knows itself. `tcp`: over nothing else.
pub(super) async fn ask_directly(server: SocketAddr, name: &Name, kind: RecordType, recursion: bool, tcp: bool) -> Result<Reply, Silence> {
    let question = |edns| {
        let mut request = question(name, kind, false, edns);
        request.metadata.recursion_desired = recursion;
        request
    };
    if tcp {
        return by_tcp(server, question(true)).await;
    }
    asked(server, question).await
}

async fn ask_one(server: SocketAddr, name: &Name, kind: RecordType, checking_disabled: bool) -> Result<Reply, Silence> {
    asked(server, |edns| question(name, kind, checking_disabled, edns)).await
}

async fn asked(server: SocketAddr, question: impl Fn(bool) -> DnsRequest) -> Result<Reply, Silence> {
    let limited = |answer| async { tokio::time::timeout(ATTEMPT, answer).await.unwrap_or(Err(NetError::Timeout)) };
    let mut message = limited(Box::pin(over_udp(server, question(true)))).await.map_err(|error| silence(server, error))?;
    if message.metadata.response_code == ResponseCode::FormErr {
        // RFC 6891 7: a server that has never heard of EDNS.
        message = limited(Box::pin(over_udp(server, question(false)))).await.map_err(|error| silence(server, error))?;
    }
    if !message.metadata.truncation {
        return Ok(Reply { message, server, tcp: false });
    }
    by_tcp(server, question(true)).await
}

async fn by_tcp(server: SocketAddr, question: DnsRequest) -> Result<Reply, Silence> {
    let answer = tokio::time::timeout(ATTEMPT, over_tcp(server, question)).await.unwrap_or(Err(NetError::Timeout));
    Ok(Reply { message: answer.map_err(|error| silence(server, error))?, server, tcp: true })
}

fn question(name: &Name, kind: RecordType, checking_disabled: bool, edns: bool) -> DnsRequest {
    let mut options = DnsRequestOptions::default();
    options.use_edns = edns;
    let mut request = DnsRequest::from_query(Query::query(name.clone(), kind), options);
    // RFC 6840 5.7: AD in a question asks for the verdict without the signatures.
    request.metadata.authentic_data = true;
    request.metadata.checking_disabled = checking_disabled;
    request
}

async fn over_udp(server: SocketAddr, request: DnsRequest) -> Result<Message, NetError> {
    let mut stream = UdpClientStream::builder(server, Runtime::default()).with_timeout(Some(ATTEMPT)).build();
    Ok(stream.send_message(request).first_answer().await?.into_message())
}

async fn over_tcp(server: SocketAddr, request: DnsRequest) -> Result<Message, NetError> {
    let runtime = Runtime::default(); // its task drives the connection, and ends with it
    let exchange = TcpClientStream::exchange(server, None, ATTEMPT, None, runtime.clone()).await?;
    Ok(exchange.send(request).first_answer().await?.into_message())
}

fn silence(server: SocketAddr, error: NetError) -> Silence {
    match error {
        NetError::Timeout => Silence::TimedOut,
        NetError::Io(error) => Silence::Unreachable { why: format!("{server}: {error}") },
        other => Silence::Unreachable { why: format!("{server}: {other}") },
    }
}
