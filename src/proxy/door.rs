//! What is settled before a session begins: who the client is, if a load balancer says so, and where it was meant to go, if a rule of the
//! packet filter led it here.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use tokio::net::TcpStream;

use super::context::Context;
use super::meters::RefusedFor;
use crate::net::intercept::{InterceptError, Interception, original_destination};
use crate::net::proxy_header::{BalancerTls, Header, Subject, Version, read_header};
use crate::relay::options::{Intercept, ListenerOptions};
use crate::trace::{Via, ViaHow};

/// Characters kept of what a balancer tells; enough for a host name and for any id.
const KEPT: usize = 256;

/// A connection at the door.
#[derive(Debug)]
pub(super) struct Arrival {
    pub client: SocketAddr,
    pub via: Option<Box<Via>>,
    /// Where the client had connected to, as the kernel knows it.
    pub destination: Option<SocketAddr>,
    /// A listed load balancer speaks for itself: a health check. It isn't a client that needs to be allowed.
    pub is_check: bool,
    pub refusal: Option<Refusal>,
}

/// The client isn't let in.
#[derive(Debug)]
pub(super) struct Refusal {
    pub code: u16,
    pub reason: RefusedFor,
    /// What it hears.
    pub words: &'static str,
    /// What the record says.
    pub why: Cow<'static, str>,
}

impl Refusal {
    pub fn new(reason: RefusedFor, words: &'static str) -> Self {
        let code = if reason == RefusedFor::NotAllowed { 554 } else { 421 };
        Self { code, reason, words, why: words.into() }
    }
}

impl Arrival {
    /// Straight from the client.
    pub fn of(peer: SocketAddr) -> Self {
        let client = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Self { client, via: None, destination: None, is_check: false, refusal: None }
    }

    fn refused(mut self, reason: RefusedFor, words: &'static str, why: String) -> Self {
        self.refusal = Some(Refusal { why: why.into(), ..Refusal::new(reason, words) });
        self
    }
}

/// Nothing needs to be found out: who connects is the client.
pub(super) fn is_plain(listener: &ListenerOptions) -> bool {
    listener.accept_proxy.is_empty() && listener.intercept == Intercept::Off
}

/// Finds out who came, and where it was meant to go. `None`: a load balancer looked whether the port is open, and went.
pub(super) async fn meet(context: &Context, stream: &mut TcpStream, peer: SocketAddr) -> Option<Arrival> {
    let listener = &context.options.listener;
    let mut arrival = Arrival::of(peer);
    let balancer = arrival.client.ip();
    if listener.accept_proxy.iter().any(|network| network.contains(&balancer)) {
        match read_header(stream, context.options.limits.timeouts.proxy_header).await {
            Ok(header) => arrival.introduced(header),
            Err(error) if error.is_silent_close() => return None,
            Err(error) => {
                tracing::warn!(listener = listener.name, %balancer, %error, "no PROXY header");
                return Some(arrival.refused(
                    RefusedFor::NoProxyHeader,
                    "the load balancer must begin with a PROXY header",
                    error.to_string(),
                ));
            }
        }
    }
    let how = match listener.intercept {
        Intercept::Off => return Some(arrival),
        Intercept::Redirect => Interception::Redirect,
        Intercept::Tproxy => Interception::Tproxy,
    };
    match original_destination(stream, how, &context.own) {
        Ok(destination) => {
            arrival.destination = Some(destination);
            let via = if how == Interception::Redirect { ViaHow::Redirect } else { ViaHow::Tproxy };
            arrival.via.get_or_insert_with(|| Box::new(by(via, None))).destination = Some(destination);
            Some(arrival)
        }
        Err(error) => {
            tracing::warn!(listener = listener.name, client = %peer, %error, "no original destination");
            let words = match error {
                InterceptError::NotIntercepted { .. } => "this port is for intercepted connections only, connect to another",
                InterceptError::Loop { .. } => "this connection goes round in a circle",
                _ => "where this connection was meant to go is not known",
            };
            Some(arrival.refused(RefusedFor::NoDestination, words, error.to_string()))
        }
    }
}

impl Arrival {
    /// A listed load balancer has told for whom it connects.
    fn introduced(&mut self, header: Header) {
        let how = if header.version == Version::V1 { ViaHow::ProxyV1 } else { ViaHow::ProxyV2 };
        let mut via = by(how, Some(self.client));
        match header.subject {
            Subject::Client { source, destination } => {
                self.client = source;
                via.destination = Some(destination);
            }
            Subject::Local => self.is_check = true,
            Subject::Unknown | Subject::Unix => {}
        }
        via.unique_id = header.notes.unique_id.map(|id| kept(&String::from_utf8_lossy(&id)));
        via.authority = header.notes.authority.map(|name| kept(&name));
        via.tls = header.notes.tls.filter(|tls| tls.used).map(|tls| kept(&summary(&tls)));
        via.more = u32::try_from(header.notes.unknown).unwrap_or(u32::MAX);
        self.via = Some(Box::new(via));
    }
}

fn by(how: ViaHow, balancer: Option<SocketAddr>) -> Via {
    Via {
        how,
        ip: balancer.map(|it| it.ip()),
        port: balancer.map(|it| it.port()),
        destination: None,
        unique_id: None,
        authority: None,
        tls: None,
        more: 0,
    }
}

fn kept(text: &str) -> String {
    text.chars().take(KEPT).collect()
}

/// "TLSv1.3 TLS_AES_256_GCM_SHA384, client certificate client.example (verified)"
fn summary(tls: &BalancerTls) -> String {
    let parts = [tls.version.as_deref().unwrap_or("TLS"), tls.cipher.as_deref().unwrap_or_default()];
    let mut text = parts.join(" ").trim_end().to_owned();
    if tls.client_certificate {
        let verified = if tls.client_verified { "verified" } else { "not verified" };
        text.push_str(&format!(", client certificate {} ({verified})", tls.common_name.as_deref().unwrap_or("without a name")));
    }
    text
}

/// Whether a client may come in.
pub(super) fn is_allowed(context: &Context, client: IpAddr) -> bool {
    context.options.listener.allow.iter().any(|network| network.contains(&client))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_balancer_says_of_tls_fits_one_line() {
        let tls = BalancerTls {
            used: true,
            version: Some("TLSv1.3".into()),
            cipher: Some("TLS_AES_256_GCM_SHA384".into()),
            ..BalancerTls::default()
        };
        assert_eq!(summary(&tls), "TLSv1.3 TLS_AES_256_GCM_SHA384");
        let tls = BalancerTls { client_certificate: true, common_name: Some("ann".into()), client_verified: true, cipher: None, ..tls };
        assert_eq!(summary(&tls), "TLSv1.3, client certificate ann (verified)");
        assert_eq!(
            summary(&BalancerTls { client_certificate: true, ..BalancerTls::default() }),
            "TLS, client certificate without a name (not verified)"
        );
    }

    #[test]
    fn the_header_names_the_client_and_its_sender_becomes_the_way() {
        let header = |subject| Header { version: Version::V2, subject, notes: Default::default() };
        let (source, destination) = ("192.0.2.7:4000".parse().unwrap(), "198.51.100.1:25".parse().unwrap());
        let mut arrival = Arrival::of("[::ffff:10.0.0.1]:555".parse().unwrap());
        arrival.introduced(header(Subject::Client { source, destination }));
        assert_eq!(arrival.client, source);
        let via = arrival.via.unwrap();
        assert_eq!((via.ip, via.port, via.destination), (Some("10.0.0.1".parse().unwrap()), Some(555), Some(destination)));

        for (subject, is_check) in [(Subject::Local, true), (Subject::Unknown, false), (Subject::Unix, false)] {
            let mut arrival = Arrival::of("10.0.0.1:555".parse().unwrap());
            arrival.introduced(header(subject));
            assert_eq!((arrival.client, arrival.is_check), ("10.0.0.1:555".parse().unwrap(), is_check));
        }
    }
}
