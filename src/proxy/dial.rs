//! Reaches a host: resolve, connect to each address in turn, shake hands where TLS is implicit.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use super::caller::Caller;
use super::context::Context;
use super::leg::Stream;
use super::{lookups, mx};
use crate::net::intercept::Outgoing;
use crate::net::resolve::{Dane, HostAddresses, Tlsa};
use crate::net::tls::{ClientTls, HandshakeError, TlsFacts};
use crate::relay::options::{UpstreamOptions, UpstreamTls};
use crate::relay::{Connected, Failed, NextHop, Refusal};
use crate::trace::{Actor, Dns, Lookup, Stage, Tls, TlsPolicy, Tried, UpstreamKind};

/// How the host's certificate is looked at, once there is TLS.
#[derive(Clone)]
pub(super) struct Verification {
    client_tls: Arc<ClientTls>,
    /// The name that the certificate must be for.
    host: String,
    by: By,
}

#[derive(Clone)]
enum By {
    Authorities {
        /// Go on whatever the certificate is; what it is worth is recorded.
        accept_unverified: bool,
    },
    /// RFC 7672: these records alone.
    Dane { base_domain: String, domain: Option<String>, records: Arc<[Tlsa]> },
}

impl Verification {
    /// Shakes hands with the upstream. On success also what vouches for its certificate.
    pub async fn handshake(self, stream: TcpStream, limit: Duration) -> Result<(Stream, Tls, Option<String>), (String, Option<Tls>)> {
        let handshake = async {
            match &self.by {
                By::Authorities { accept_unverified } => self.client_tls.handshake(stream, &self.host, *accept_unverified).await,
                By::Dane { base_domain, domain, records } => {
                    let names: Vec<&str> = [Some(self.host.as_str()), domain.as_deref()].into_iter().flatten().collect();
                    self.client_tls.handshake_dane(stream, base_domain, &names, records).await
                }
            }
        };
        match tokio::time::timeout(limit, handshake).await {
            Ok(Ok((stream, facts))) => {
                let how = facts.how.clone();
                Ok((Stream::Client(Box::new(stream)), tls_of(facts), how))
            }
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

/// Addresses of a host that are tried, and how long before another one isn't begun: there are other hosts, and a client that waits.
const MOST_ADDRESSES: usize = 8;
const PATIENCE: Duration = Duration::from_secs(60);

/// One way to a host, being made.
struct Dial {
    context: Arc<Context>,
    upstream: Arc<UpstreamOptions>,
    hop: NextHop,
    caller: Caller,
    tried: Vec<Tried>,
    lookups: Vec<Lookup>,
}

/// Connects to the host.
pub(super) async fn dial(context: Arc<Context>, upstream: Arc<UpstreamOptions>, hop: NextHop, caller: Caller) -> Result<Dialled, Failed> {
    Dial { context, upstream, hop, caller, tried: Vec::new(), lookups: Vec::new() }.run().await
}

impl Dial {
    async fn run(mut self) -> Result<Dialled, Failed> {
        let Some(client_tls) = self.context.reach(&self.upstream.name).map(|reach| reach.client_tls.clone()) else {
            let error = format!("upstream {:?} is not known", self.upstream.name);
            return Err(self.failed(Stage::Connect, Actor::Proxy, error, None));
        };
        let start = Instant::now();
        let (resolver, timeout) = (&self.context.resolver, self.context.options.limits.timeouts.dns);
        let found = match self.upstream.kind {
            UpstreamKind::Mx => resolver.host_addresses(&self.hop.host, timeout).await,
            _ => resolver.named_host(&self.hop.host, timeout).await,
        };
        let is_name = self.hop.host.parse::<IpAddr>().is_err();
        let dns_us = is_name.then(|| micros(start));
        if self.upstream.kind == UpstreamKind::Mx || found.failure.is_some() {
            self.lookups.extend(lookups::recorded(&found.lookups, self.caller.began));
        }
        if let Some(error) = &found.failure {
            let words = error.to_string();
            self.tried(None, Stage::Connect, &words);
            let refusal = Refusal { code: 451, enhanced: (4, 4, 3) };
            return Err(self.failed(Stage::Connect, Actor::Dns, words, Some(refusal)));
        }
        let usable = self.usable(&found)?;
        let addresses = self.of_the_clients_family(usable)?;
        let (tls, policy, by) = self.tls_policy(&found).await?;
        let verification = Verification { client_tls, host: self.hop.host.clone(), by };
        let dns =
            (is_name && self.upstream.kind != UpstreamKind::Mx).then(|| Dns { name: self.hop.host.clone(), addresses: addresses.clone() });
        self.connect(addresses, dns, dns_us, tls, policy, verification).await
    }

    /// Addresses that may be connected to: of mail exchangers only those that the internet can mean.
    fn usable(&mut self, found: &HostAddresses) -> Result<Vec<IpAddr>, Failed> {
        if self.upstream.kind != UpstreamKind::Mx {
            return Ok(found.addresses.clone());
        }
        let mut usable = Vec::new();
        let (mut own, mut last) = (false, String::from("no address"));
        for &ip in &found.addresses {
            match mx::misplaced(&self.context.resolver, &self.upstream, ip) {
                None => usable.push(ip),
                Some(misplaced) => {
                    self.tried(Some(ip), Stage::Connect, &misplaced.words);
                    (own, last) = (own || misplaced.own, misplaced.words);
                }
            }
        }
        if usable.is_empty() {
            let failed = self.failed(Stage::Connect, Actor::Proxy, last, Some(mx::LOOP));
            // RFC 5321 §5.1: hosts less preferred than ourselves would send it back here.
            return Err(Failed { last: own, ..failed });
        }
        Ok(usable)
    }

    /// Under the client's own address only addresses of its family can be reached.
    fn of_the_clients_family(&mut self, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Failed> {
        match self.caller.client.filter(|_| self.upstream.preserve_source) {
            Some(client) => of_family(addresses, client.ip()).map_err(|words| {
                self.tried(None, Stage::Connect, &words);
                self.failed(Stage::Connect, Actor::Proxy, words, None)
            }),
            None => Ok(addresses),
        }
    }

    /// How TLS must be with this host: as its hop says, unless its TLSA records say more (RFC 7672 §2.2).
    async fn tls_policy(&mut self, found: &HostAddresses) -> Result<(UpstreamTls, Option<TlsPolicy>, By), Failed> {
        let is_lenient = |tls| matches!(tls, UpstreamTls::Opportunistic | UpstreamTls::Encrypt);
        // Of a host that is known by its address alone no certificate speaks: port 465 begins with TLS all the same.
        let by_address = self.upstream.kind == UpstreamKind::OriginalDestination && is_lenient(self.upstream.tls);
        let by_authorities = |tls| By::Authorities { accept_unverified: by_address || is_lenient(tls) };
        let tls = self.hop.tls;
        if !self.hop.dane {
            return Ok((tls, None, by_authorities(tls)));
        }
        let timeout = self.context.options.limits.timeouts.dns;
        let exchangers = lookups::of_record(self.hop.mx_dnssec);
        let dane = self.context.resolver.dane(exchangers, found, self.hop.port, timeout).await;
        self.lookups.extend(lookups::recorded(&dane.lookups, self.caller.began));
        let policy = |source: String| TlsPolicy { policy: "dane".to_owned(), source, verified_by: None };
        match dane.policy {
            Dane::Absent { .. } if self.hop.barred.is_some() => {
                let words = self.hop.barred.clone().unwrap_or_default();
                self.tried(None, Stage::Connect, &words);
                Err(self.failed(Stage::StartTls, Actor::Proxy, words, Some(mx::UNSAFE)))
            }
            Dane::Absent { .. } if self.hop.policy.is_some() => Ok((tls, None, by_authorities(tls))),
            Dane::Absent { why } => {
                let policy = TlsPolicy { policy: "opportunistic".to_owned(), source: format!("no DANE: {why}"), verified_by: None };
                Ok((tls, Some(policy), by_authorities(tls)))
            }
            Dane::Usable { base_domain, records } => {
                let source = format!("{} TLSA record(s) of {base_domain}", records.len());
                let (domain, records) = (self.hop.domain.clone(), records.into());
                Ok((UpstreamTls::Required, Some(policy(source)), By::Dane { base_domain, domain, records }))
            }
            Dane::Unusable { .. } if self.hop.barred.is_some() => {
                let words = self.hop.barred.clone().unwrap_or_default();
                self.tried(None, Stage::Connect, &words);
                Err(self.failed(Stage::StartTls, Actor::Proxy, words, Some(mx::UNSAFE)))
            }
            // Records that vouch for nobody don't lift what the domain's MTA-STS policy asks for.
            Dane::Unusable { .. } if tls == UpstreamTls::Required => Ok((tls, None, by_authorities(tls))),
            Dane::Unusable { base_domain, why } => {
                let source = format!("the TLSA records of {base_domain}, none of them usable ({why})");
                Ok((UpstreamTls::Encrypt, Some(policy(source)), by_authorities(UpstreamTls::Encrypt)))
            }
            Dane::Failed { base_domain, failure } => {
                let words = format!("the TLSA records of {base_domain} can't be looked up, and TLS without them is not safe: {failure}");
                self.tried(None, Stage::Connect, &words);
                Err(self.failed(Stage::Connect, Actor::Dns, words, Some(mx::UNSAFE)))
            }
        }
    }

    async fn connect(
        mut self,
        addresses: Vec<IpAddr>,
        dns: Option<Dns>,
        dns_us: Option<u64>,
        tls: UpstreamTls,
        policy: Option<TlsPolicy>,
        verification: Verification,
    ) -> Result<Dialled, Failed> {
        let timeouts = self.context.options.limits.timeouts.clone();
        let mut last = (Stage::Connect, Actor::Network, String::from("no address"));
        let begun = Instant::now();
        for ip in addresses.into_iter().take(MOST_ADDRESSES) {
            if begun.elapsed() > PATIENCE {
                break;
            }
            let start = Instant::now();
            let (stream, outgoing) = match self.caller.connect(&self.context, &self.upstream, SocketAddr::new(ip, self.hop.port)).await {
                Ok(connected) => connected,
                // No other address or host would fare better.
                Err(error) if error.is_local() => {
                    let words = error.to_string();
                    self.tried(Some(ip), Stage::Connect, &words);
                    let failed = self.failed(Stage::Connect, Actor::Proxy, words, None);
                    return Err(Failed { last: true, ..failed });
                }
                Err(error) => {
                    self.tried(Some(ip), Stage::Connect, &error.to_string());
                    last = (Stage::Connect, Actor::Network, error.to_string());
                    continue;
                }
            };
            let connect_us = micros(start);
            let start = Instant::now();
            let (stream, agreed) = if tls == UpstreamTls::Implicit {
                match verification.clone().handshake(stream, timeouts.tls_handshake).await {
                    Ok((stream, agreed, _)) => (stream, Some((agreed, micros(start)))),
                    Err((error, _)) => {
                        let words = format!("TLS failed: {error}");
                        self.tried(Some(ip), Stage::StartTls, &words);
                        last = (Stage::StartTls, Actor::Upstream, words);
                        continue;
                    }
                }
            } else {
                (Stream::Plain(stream), None)
            };
            let connected = Connected {
                ip,
                port: self.hop.port,
                dns,
                dns_us,
                connect_us,
                tls: agreed,
                tried: self.tried,
                lookups: self.lookups,
                policy: policy.map(|policy| (tls, policy)),
            };
            return Ok(Dialled { stream, connected, verification, outgoing });
        }
        Err(self.failed(last.0, last.1, last.2, None))
    }

    fn tried(&mut self, ip: Option<IpAddr>, stage: Stage, error: &str) {
        let at_us = micros(self.caller.began);
        self.tried.push(Tried { host: self.hop.host.clone(), ip, port: self.hop.port, stage, error: error.to_owned(), at_us });
    }

    fn failed(&mut self, stage: Stage, by: Actor, error: String, refusal: Option<Refusal>) -> Failed {
        let (tried, lookups) = (std::mem::take(&mut self.tried), std::mem::take(&mut self.lookups));
        Failed { stage, by, error, tried, lookups, refusal, last: false }
    }
}

/// The addresses that a connection under `source` can lead to.
fn of_family(mut addresses: Vec<IpAddr>, source: IpAddr) -> Result<Vec<IpAddr>, String> {
    addresses.retain(|address| address.is_ipv4() == source.is_ipv4());
    if addresses.is_empty() {
        let family = if source.is_ipv4() { "IPv4" } else { "IPv6" };
        return Err(format!(
            "the host has no {family} address, and `preserve_source` keeps the client's, {source}: add one, or switch it off"
        ));
    }
    Ok(addresses)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn under_the_clients_address_only_its_family_is_tried() {
        let [four, six] = ["192.0.2.25", "2001:db8::25"].map(|it| it.parse::<IpAddr>().unwrap());
        let [client, client_six] = ["192.0.2.1", "2001:db8::1"].map(|it| it.parse::<IpAddr>().unwrap());
        assert_eq!(of_family(vec![six, four], client), Ok(vec![four]));
        assert_eq!(of_family(vec![six, four], client_six), Ok(vec![six]));
        let error = of_family(vec![four], client_six).unwrap_err();
        assert!(error.starts_with("the host has no IPv6 address, and `preserve_source` keeps the client's, 2001:db8::1"), "{error}");
    }
}
