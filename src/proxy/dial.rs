//! Reaches a smart host: resolve, connect to each address in turn, shake hands where TLS is implicit.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::context::Context;
use super::leg::Stream;
use crate::net::connect::connect;
use crate::net::tls::{HandshakeError, TlsFacts};
use crate::relay::options::{SmartHost, UpstreamTls};
use crate::relay::{Connected, Failed};
use crate::trace::{Actor, Dns, Stage, Tls, Tried};

/// Connects to the host; `began` is the session's start, the zero of its clock.
pub(super) async fn dial(context: Arc<Context>, host: SmartHost, began: Instant) -> Result<(Stream, Connected), Failed> {
    let timeouts = &context.options.limits.timeouts;
    let start = Instant::now();
    let failed = |stage, by, error: String, tried| Failed { stage, by, error, tried };
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
        let stream = match connect(SocketAddr::new(ip, host.port), timeouts.connect).await {
            Ok(stream) => stream,
            Err(error) => {
                attempts.push(tried(&host, Some(ip), Stage::Connect, &error.to_string(), began));
                last = (Stage::Connect, Actor::Network, error.to_string());
                continue;
            }
        };
        let connect_us = micros(start);
        let mut connected = Connected { ip, port: host.port, dns: dns.clone(), dns_us, connect_us, tls: None, tried: attempts.clone() };
        if host.tls != UpstreamTls::Implicit {
            return Ok((Stream::Plain(stream), connected));
        }
        let start = Instant::now();
        let handshake = context.client_tls.handshake(stream, &host.host, false);
        match tokio::time::timeout(timeouts.tls_handshake, handshake).await {
            Ok(Ok((stream, facts))) => {
                connected.tls = Some((tls_of(facts), micros(start)));
                return Ok((Stream::Client(Box::new(stream)), connected));
            }
            Ok(Err(error)) => {
                let words = format!("TLS failed: {error}");
                attempts.push(tried(&host, Some(ip), Stage::StartTls, &words, began));
                last = (Stage::StartTls, Actor::Upstream, words);
            }
            Err(_) => {
                let words = format!("no TLS handshake within {} s", timeouts.tls_handshake.as_secs());
                attempts.push(tried(&host, Some(ip), Stage::StartTls, &words, began));
                last = (Stage::StartTls, Actor::Upstream, words);
            }
        }
    }
    Err(failed(last.0, last.1, last.2, attempts))
}

fn tried(host: &SmartHost, ip: Option<std::net::IpAddr>, stage: Stage, error: &str, began: Instant) -> Tried {
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
