//! Reaches a smart host: resolve, connect to each address in turn, shake hands where TLS is implicit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::context::Context;
use super::leg::Stream;
use crate::net::connect::{ConnectError, connect};
use crate::net::intercept::{Manner, Outgoing, connect_as};
use crate::net::tls::{ClientTls, HandshakeError, TlsFacts};
use crate::relay::options::{Intercept, UpstreamOptions, UpstreamTls};
use crate::relay::{Connected, Failed, NextHop};
use crate::trace::{Actor, Dns, Stage, Tls, Tried};

/// How the host's certificate is looked at, once there is TLS.
#[derive(Clone)]
pub(super) struct Verification {
    client_tls: Arc<ClientTls>,
    /// The name that the certificate must be for.
    host: String,
    /// Go on whatever the certificate is; what it is worth is recorded.
    accept_unverified: bool,
}

impl Verification {
    fn of(context: &Context, upstream: &UpstreamOptions, hop: &NextHop) -> Option<Self> {
        Some(Self {
            client_tls: context.reach(&upstream.name)?.client_tls.clone(),
            host: hop.host.clone(),
            accept_unverified: matches!(hop.tls, UpstreamTls::Opportunistic | UpstreamTls::Encrypt),
        })
    }

    /// Shakes hands with the upstream.
    pub async fn handshake(self, stream: TcpStream, limit: Duration) -> Result<(Stream, Tls), (String, Option<Tls>)> {
        match tokio::time::timeout(limit, self.client_tls.handshake(stream, &self.host, self.accept_unverified)).await {
            Ok(Ok((stream, facts))) => Ok((Stream::Client(Box::new(stream)), tls_of(facts))),
            Ok(Err(error)) => Err((error.to_string(), facts_of(&error))),
            Err(_) => Err((format!("no handshake within {} s", limit.as_secs()), None)),
        }
    }
}

/// A connection to the upstream.
pub(super) struct Dialled {
    pub stream: Stream,
    pub connected: Connected,
    pub verification: Verification,
    /// Where interception must know the connection again.
    pub outgoing: Option<Outgoing>,
}

/// The session that wants a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Caller {
    pub client: SocketAddr,
    /// The zero of its clock.
    pub began: Instant,
}

impl Caller {
    /// An ordinary connection, unless rules of the packet filter look at it.
    async fn connect(
        self,
        context: &Context,
        upstream: &UpstreamOptions,
        address: SocketAddr,
    ) -> Result<(TcpStream, Option<Outgoing>), ConnectError> {
        let limit = context.options.limits.timeouts.connect;
        let manner = Manner { source: upstream.preserve_source.then_some(self.client), mark: upstream.mark };
        if manner == Manner::default() && context.options.listener.intercept == Intercept::Off {
            return Ok((connect(address, limit).await?, None));
        }
        let (stream, outgoing) = connect_as(address, manner, &context.own, limit).await?;
        Ok((stream, Some(outgoing)))
    }
}

/// Connects to the host.
pub(super) async fn dial(context: Arc<Context>, upstream: Arc<UpstreamOptions>, host: NextHop, from: Caller) -> Result<Dialled, Failed> {
    let began = from.began;
    let timeouts = &context.options.limits.timeouts;
    let start = Instant::now();
    let failed = |stage, by, error: String, tried| Failed { stage, by, error, tried, lookups: Vec::new(), refusal: None };
    let Some(verification) = Verification::of(&context, &upstream, &host) else {
        return Err(failed(Stage::Connect, Actor::Proxy, format!("upstream {:?} is not known", upstream.name), Vec::new()));
    };
    let addresses = match context.resolver.addresses(&host.host, timeouts.dns).await {
        Ok(addresses) => addresses,
        Err(error) => {
            return Err(failed(
                Stage::Connect,
                Actor::Dns,
                error.to_string(),
                vec![tried(&host, None, Stage::Connect, &error.to_string(), began)],
            ));
        }
    };
    let is_name = host.host.parse::<std::net::IpAddr>().is_err();
    let dns_us = is_name.then(|| micros(start));
    let dns = is_name.then(|| Dns { name: host.host.clone(), addresses: addresses.clone() });
    let mut attempts = Vec::new();
    let mut last = (Stage::Connect, Actor::Network, String::from("no address"));
    for ip in addresses {
        let start = Instant::now();
        let (stream, outgoing) = match from.connect(&context, &upstream, SocketAddr::new(ip, host.port)).await {
            Ok(connected) => connected,
            Err(error) => {
                attempts.push(tried(&host, Some(ip), Stage::Connect, &error.to_string(), began));
                last = (Stage::Connect, Actor::Network, error.to_string());
                continue;
            }
        };
        let connect_us = micros(start);
        let mut connected = Connected {
            ip,
            port: host.port,
            dns: dns.clone(),
            dns_us,
            connect_us,
            tls: None,
            tried: attempts.clone(),
            lookups: Vec::new(),
            policy: None,
        };
        if host.tls != UpstreamTls::Implicit {
            return Ok(Dialled { stream: Stream::Plain(stream), connected, verification, outgoing });
        }
        let start = Instant::now();
        match verification.clone().handshake(stream, timeouts.tls_handshake).await {
            Ok((stream, tls)) => {
                connected.tls = Some((tls, micros(start)));
                return Ok(Dialled { stream, connected, verification, outgoing });
            }
            Err((error, _)) => {
                let words = format!("TLS failed: {error}");
                attempts.push(tried(&host, Some(ip), Stage::StartTls, &words, began));
                last = (Stage::StartTls, Actor::Upstream, words);
            }
        }
    }
    Err(failed(last.0, last.1, last.2, attempts))
}

fn tried(host: &NextHop, ip: Option<std::net::IpAddr>, stage: Stage, error: &str, began: Instant) -> Tried {
    Tried { host: host.host.clone(), ip, port: host.port, stage, error: error.to_owned(), at_us: micros(began) }
}

pub(super) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

pub(super) fn tls_of(facts: TlsFacts) -> Tls {
    Tls {
        version: facts.version,
        cipher: facts.cipher,
        sni: facts.sni,
        subject: facts.subject,
        issuer: facts.issuer,
        expires_at: facts.expires_at_unix_us,
        verified: facts.verified,
        why_not: facts.why_not,
    }
}

/// What a failed handshake still taught.
pub(super) fn facts_of(error: &HandshakeError) -> Option<Tls> {
    error.facts().cloned().map(tls_of)
}
