//! The doctor with all it needs: each target's examination, put together from its parts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::behind::{Behind, Way};
use super::door::{Door, Introduction};
use super::limit::Limit;
use super::message::{Look, Stopped, plan, sum_up};
use super::options::Options;
use super::own::examine_own;
use super::self_test::SelfTest;
use super::upstream::probe::{self, Probe};
use super::upstream::through::Through;
use super::upstream::{UpstreamAsked, examine_upstream, ports, sender_for};
use super::{Check, DomainOptions, Report, Section, SenderOptions, Verdict, examine_domain, examine_sender};
use crate::diagnose::Cause;
use crate::net::resolve::Resolver;
use crate::net::tls::ClientTls;
use crate::relay::options::{self, Protocol, SessionOptions, TellClient, UpstreamOptions};
use crate::store::{Store, StoreError};
use crate::trace::{Direction, UpstreamKind};

/// Examines. Clones share everything.
#[derive(Clone)]
pub struct Doctor {
    pub options: Arc<Options>,
    pub resolver: Resolver,
}

/// What is asked of an upstream beyond its name.
#[derive(Debug, Clone, Default)]
pub struct Wishes {
    /// Asked for at RCPT TO.
    pub rcpt: Option<String>,
    /// Gets a test message, each way one.
    pub send: Option<String>,
    pub from: Option<String>,
    /// Octets of a message that may be too big.
    pub size: Option<u64>,
    /// The proxy is reached there, instead of at the addresses of its listeners.
    pub through: Option<SocketAddr>,
    /// Leave the proxy out.
    pub directly: bool,
    /// Attack our own listeners.
    pub self_test: bool,
}

/// Why there is nothing to examine.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotExamined {
    #[error("there is no upstream {name:?}: there is {known}")]
    NoSuchUpstream { name: String, known: String },
    #[error("no upstream is configured: name the file with --config, or a host with --smart-host HOST:PORT")]
    NoUpstream,
    #[error("there are several upstreams, name one: {known}")]
    WhichUpstream { known: String },
}

impl Doctor {
    /// Each upstream once, whoever leads there.
    pub fn upstreams(&self) -> Vec<&Arc<UpstreamOptions>> {
        let mut found: Vec<&Arc<UpstreamOptions>> = Vec::new();
        for upstream in self.options.sessions.iter().flat_map(|session| session.upstreams.iter()) {
            if !found.iter().any(|it| it.name == upstream.name) {
                found.push(upstream);
            }
        }
        found
    }

    /// By its name, or the only one.
    ///
    /// # Errors
    /// There is none of that name, or more than one without a name.
    pub fn upstream_named(&self, name: Option<&str>) -> Result<&Arc<UpstreamOptions>, NotExamined> {
        let all = self.upstreams();
        let known = || all.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(", ");
        match (name, all.as_slice()) {
            (_, []) => Err(NotExamined::NoUpstream),
            (None, [only]) => Ok(only),
            (None, _) => Err(NotExamined::WhichUpstream { known: known() }),
            (Some(name), all) => {
                let found = all.iter().copied().find(|it| it.name == name);
                found.ok_or_else(|| NotExamined::NoSuchUpstream { name: name.to_owned(), known: known() })
            }
        }
    }

    /// One upstream, and where it is a server behind, that too.
    pub async fn upstream(&self, upstream: &UpstreamOptions, wishes: &Wishes) -> Report {
        let leading = self.leading_to(upstream);
        let through = match (wishes.directly, wishes.through) {
            (true, _) => Vec::new(),
            (false, Some(address)) => vec![self.given(address, &leading)],
            (false, None) => leading.iter().filter_map(|session| Through::of(&session.listener)).collect(),
        };
        let from = wishes.from.clone().unwrap_or_else(|| sender_for(upstream, &self.options.host_name));
        let probe = Probe { rcpt: wishes.rcpt.clone(), send: wishes.send.clone(), from: from.clone(), size: wishes.size };
        let asked = UpstreamAsked { probe, through: through.clone(), ports: ports::USUAL.to_vec() };
        let report = examine_upstream(&self.resolver, &self.options, upstream, &asked).await;
        let (target, mut sections) = (report.target, report.sections);
        if upstream.kind == UpstreamKind::Fixed {
            sections.extend(self.behind(upstream, &leading, &through).await);
        }
        if wishes.self_test {
            for way in &through {
                sections.extend(self.self_test(way, wishes, &from).await);
            }
        }
        Report::of(target, sections)
    }

    fn leading_to(&self, upstream: &UpstreamOptions) -> Vec<&Arc<SessionOptions>> {
        self.options.sessions.iter().filter(|session| session.upstream.name == upstream.name).collect()
    }

    /// An address that was named: of the listener that has this port, or of one that isn't known.
    fn given(&self, address: SocketAddr, leading: &[&Arc<SessionOptions>]) -> Through {
        let listens = |session: &&&Arc<SessionOptions>| session.listener.listen.iter().any(|it| it.port() == address.port());
        let known = leading.iter().find(listens).or(leading.first()).and_then(|session| Through::of(&session.listener));
        let unknown =
            Through { listener: "given".to_owned(), address, tls: options::ClientTls::Offered, proxy_header: false, answers_itself: false };
        Through { address, ..known.unwrap_or(unknown) }
    }

    async fn behind(&self, upstream: &UpstreamOptions, leading: &[&Arc<SessionOptions>], through: &[Through]) -> Vec<Section> {
        let inbound: Vec<_> = leading.iter().filter(|session| session.listener.direction == Direction::Inbound).collect();
        let guarded = !inbound.is_empty() && inbound.iter().all(|session| !session.listener.accept_domains.is_empty());
        let named = leading.iter().flat_map(|session| &session.listener.accept_domains).find(|domain| !domain.starts_with('.'));
        let local_domain = named.or(self.options.domains.first()).map(String::as_str);
        let knows_its_clients = upstream.knows_its_clients();
        let tell_client = matches!(upstream.tell_client, TellClient::ProxyV2 | TellClient::Xclient);
        let mut sections = Vec::new();
        for host in &upstream.hosts {
            // A name that leads nowhere was told before.
            let addresses = self.resolver.named_host(&host.host, self.options.patience).await.addresses;
            let Some(ip) = addresses.first() else { continue };
            let Some(client_tls) = self.client_tls() else { break };
            let door = Door {
                address: SocketAddr::new(*ip, host.port),
                host: host.host.clone(),
                host_name: self.options.host_name.clone(),
                lmtp: upstream.protocol == Protocol::Lmtp,
                mark: upstream.mark,
                introduction: match upstream.tell_client {
                    TellClient::ProxyV2 => Introduction::Header(stranger_beside(*ip)),
                    TellClient::Xclient => Introduction::Xclient(stranger_beside(*ip)),
                    TellClient::Off | TellClient::Xforward => Introduction::Silent,
                },
                tls: host.tls,
                client_tls,
                patience: self.options.patience,
            };
            let place = format!("{}:{}", host.host, host.port);
            let decided_directly = false;
            let behind = Behind { way: Way::Direct, door, place, local_domain, guarded, knows_its_clients, decided_directly, tell_client };
            sections.push(behind.examine().await);
        }
        let is_decided =
            |section: &Section| section.checks.iter().any(|it| it.name == "behind.open_relay" && it.verdict != Verdict::Skipped);
        let decided_directly = knows_its_clients && !sections.is_empty() && sections.iter().all(is_decided);
        for way in through {
            let session = leading.iter().find(|session| session.listener.name == way.listener);
            let guarded = session.is_some_and(|session| !session.listener.accept_domains.is_empty());
            let Some(mut door) = self.door_of(way) else { break };
            // Where the listener takes our word for the client, it may as well be one that nobody trusts.
            if door.introduction == Introduction::Local && knows_its_clients {
                door.introduction = Introduction::Header(stranger_beside(way.address.ip()));
            }
            let place = format!("listener {} ({})", way.listener, way.address);
            let way = Way::Listener { name: way.listener.clone() };
            let behind = Behind { way, door, place, local_domain, guarded, knows_its_clients, decided_directly, tell_client };
            sections.push(behind.examine().await);
        }
        sections
    }

    async fn self_test(&self, way: &Through, wishes: &Wishes, from: &str) -> Option<Section> {
        let door = self.door_of(way)?;
        let test = SelfTest { listener: way.listener.clone(), door, recipient: wishes.rcpt.clone(), sender: from.to_owned() };
        Some(test.run().await)
    }

    /// The way into one of our own listeners.
    fn door_of(&self, way: &Through) -> Option<Door> {
        Some(Door {
            address: way.address,
            host: way.address.ip().to_string(),
            host_name: self.options.host_name.clone(),
            lmtp: false,
            mark: None,
            introduction: if way.proxy_header { Introduction::Local } else { Introduction::Silent },
            tls: way.upstream_tls(),
            client_tls: self.client_tls()?,
            patience: self.options.patience,
        })
    }

    /// Trusts the system's authorities; whoever uses it looks at no certificate.
    fn client_tls(&self) -> Option<ClientTls> {
        ClientTls::new(None).inspect_err(|error| tracing::warn!(%error, "no TLS for this examination")).ok()
    }

    /// The proxy itself. It reads files and the store: not for threads that serve sockets.
    ///
    /// # Errors
    /// The store can't be read.
    pub fn own(&self, store: &Store, running: bool) -> Result<Report, StoreError> {
        examine_own(&self.options, store, running)
    }

    /// A domain in DNS, and its mail hosts. `seen_selectors`: of DKIM signatures in traces. `own`: mail of it leaves from our addresses.
    pub async fn domain(&self, domain: &str, seen_selectors: &[String], own: bool) -> Report {
        let own = own || self.is_own(domain);
        let senders = if own { self.options.sending_addresses.clone() } else { Vec::new() };
        self.domain_as(domain, seen_selectors, own, senders).await
    }

    fn is_own(&self, domain: &str) -> bool {
        self.options.domains.iter().any(|it| it.eq_ignore_ascii_case(domain))
    }

    /// `own`: the selectors that are configured are its own. `senders`: its SPF record should let them.
    async fn domain_as(&self, domain: &str, seen_selectors: &[String], own: bool, senders: Vec<IpAddr>) -> Report {
        let tls = match ClientTls::new(None) {
            Ok(tls) => tls,
            Err(error) => {
                let check = Check::asking("dns.tls", "the certificates to trust", "without them no server can be verified");
                let section = Section { title: domain.to_owned(), checks: vec![check.skipped(error.to_string())] };
                return Report::of(format!("dns {domain}"), vec![section]);
            }
        };
        let options = DomainOptions {
            selectors: if own { self.options.dkim_selectors.clone() } else { Vec::new() },
            seen_selectors: seen_selectors.to_vec(),
            senders,
            networks: self.options.private_networks.clone(),
            mark: self.options.mark,
            patience: self.options.patience,
            ..DomainOptions::new(&self.options.host_name, tls)
        };
        examine_domain(&self.resolver, &options, domain).await
    }

    /// An address that mail of these domains leaves from; none: of those that are configured.
    pub async fn sender(&self, address: IpAddr, domains: &[String]) -> Report {
        let domains = if domains.is_empty() { self.options.domains.clone() } else { domains.to_vec() };
        self.sender_as(address, self.options.helo.clone(), domains).await
    }

    async fn sender_as(&self, address: IpAddr, helo: String, domains: Vec<String>) -> Report {
        let options = SenderOptions {
            helo,
            domains,
            more_lists: self.options.blocklists.clone(),
            lists_off: self.options.blocklists_off.clone(),
            patience: self.options.patience,
            ..SenderOptions::default()
        };
        examine_sender(&self.resolver, &options, address).await
    }

    /// Only what can explain that message. `own` is the proxy's own health, where somebody can tell it.
    pub async fn message(&self, stopped: &Stopped, own: Option<Report>) -> Report {
        let mut reports = Vec::new();
        for look in plan(stopped, &self.options.sending_addresses) {
            match look {
                Look::Upstream { name, recipient } => reports.extend(self.upstream_of(stopped, &name, recipient).await),
                Look::Domain(domain) => {
                    let sent = stopped.sender_domains.contains(&domain);
                    let seen = if sent { stopped.selectors_of(&domain) } else { Vec::new() };
                    reports.push(match &stopped.stranger {
                        Some(_) if sent => {
                            let client = stopped.strangers_address();
                            let senders = client.into_iter().collect();
                            let report = self.domain_as(&domain, &seen, self.is_own(&domain), senders).await;
                            of_strangers(report, &domain, client)
                        }
                        _ => self.domain(&domain, &seen, sent).await,
                    });
                }
                Look::Sender(address) => reports.push(match &stopped.stranger {
                    Some(stranger) => {
                        let helo = if stranger.ip == address { stranger.helo.clone() } else { String::new() };
                        let report = self.sender_as(address, helo, stopped.sender_domains.clone()).await;
                        of_strangers(report, &address.to_string(), Some(address))
                    }
                    None => self.sender(address, &stopped.sender_domains).await,
                }),
                Look::Own => reports.extend(own.clone()),
            }
        }
        sum_up(stopped, reports)
    }

    /// The upstream that a message went to; where that is the mail exchangers of its recipient, these.
    async fn upstream_of(&self, stopped: &Stopped, name: &str, recipient: Option<String>) -> Option<Report> {
        let upstream = self.upstream_named(Some(name)).ok()?.clone();
        match stopped.recipient_domain().filter(|_| upstream.kind == UpstreamKind::Mx && recipient.is_none()) {
            Some(domain) => Some(self.domain(&domain, &[], false).await),
            None => Some(self.upstream(&upstream, &wishes_for(stopped, recipient)).await),
        }
    }

    /// Every upstream, domain and sending address that is configured, and the proxy itself where somebody can tell of it.
    /// Never takes longer than `within`: what isn't done by then is said to be.
    pub async fn all(&self, own: Option<Report>, within: Duration) -> Report {
        let wishes = Wishes::default();
        let limit = Limit::of(within);
        let upstreams = async {
            let mut reports = Vec::new();
            for upstream in self.upstreams() {
                let target = format!("upstream {}", upstream.name);
                reports.push(limit.report(&target, self.upstream(upstream, &wishes)).await);
            }
            reports
        };
        let domains = async {
            let mut reports = Vec::new();
            for domain in &self.options.domains {
                reports.push(limit.report(&format!("dns {domain}"), self.domain(domain, &[], true)).await);
            }
            reports
        };
        let senders = async {
            let mut reports = Vec::new();
            for address in &self.options.sending_addresses {
                reports.push(limit.report(&format!("sender {address}"), self.sender(*address, &[])).await);
            }
            reports
        };
        let (upstreams, domains, senders) = tokio::join!(upstreams, domains, senders);
        let reports = own.into_iter().chain(upstreams).chain(domains).chain(senders);
        let sections = reports.flat_map(|report| {
            let target = report.target;
            report.sections.into_iter().map(move |section| Section { title: format!("{target}: {}", section.title), ..section })
        });
        Report::of("all", sections.collect())
    }
}

/// Says in each advice that it isn't for whoever reads it, and of SPF that it may be as it should.
fn of_strangers(mut report: Report, whose: &str, client: Option<IpAddr>) -> Report {
    for check in report.sections.iter_mut().flat_map(|section| &mut section.checks) {
        let is_spf = check.name == "spf.sender";
        if let Some(fix) = &mut check.fix {
            *fix = match client.filter(|_| is_spf) {
                Some(client) => {
                    format!("If {client} had no business with that domain, it was refused rightly. For whoever runs the domain: {fix}")
                }
                None => format!("For whoever runs {whose}: {fix}"),
            };
        }
    }
    report
}

/// An address of documentation (RFC 5737, RFC 3849), of the server's own family: no client has it, and no server trusts it.
fn stranger_beside(server: IpAddr) -> IpAddr {
    if server.is_ipv4() { Ipv4Addr::new(203, 0, 113, 1).into() } else { Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into() }
}

/// What is asked of the upstream for a message: what it was refused, by its own addresses and size.
fn wishes_for(stopped: &Stopped, recipient: Option<String>) -> Wishes {
    let from = stopped.reverse_path.as_deref();
    let from = from.and_then(|from| if from.is_empty() { Some(String::new()) } else { probe::address(from).ok() });
    // With another sender the answer would be another message's.
    let rcpt = recipient.and_then(|recipient| probe::address(&recipient).ok()).filter(|_| from.is_some());
    let size = stopped.size_beyond_limit().filter(|_| stopped.cause == Some(Cause::MessageTooBig));
    Wishes { rcpt, from, size, directly: true, ..Wishes::default() }
}

impl std::fmt::Debug for Doctor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doctor").field("options", &self.options).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;
    use crate::trace::json;

    #[test]
    fn advice_on_strangers_is_for_them() {
        let check = |name: &str| Check::asking(name, "", "").fail("fail", "Add `ip4:9.9.9.10` to the record.");
        let section = Section { title: String::new(), checks: vec![check("spf.sender"), check("dkim.key")] };
        let report = of_strangers(Report::of("dns from.example", vec![section]), "from.example", Some(Ipv4Addr::new(9, 9, 9, 10).into()));
        let fix = |at: usize| report.sections[0].checks[at].fix.clone().unwrap();
        assert!(fix(0).starts_with("If 9.9.9.10 had no business with that domain, it was refused rightly."), "{}", fix(0));
        assert!(fix(1).starts_with("For whoever runs from.example: Add"), "{}", fix(1));
        // Of an inbound record, the client is known, of an outbound one it is of no account.
        let stranger = |direction| {
            let crate::trace::Record::Transaction(mut it) = samples::transaction(7) else { unreachable!() };
            it.direction = direction;
            Stopped::of(&json::Record::from(&crate::trace::Record::Transaction(it))).unwrap().stranger
        };
        assert!(stranger(Direction::Inbound).is_some() && stranger(Direction::Outbound).is_none());
    }

    #[test]
    fn an_upstream_is_asked_with_the_messages_own_addresses() {
        let mut stopped = Stopped::of(&json::Record::from(&samples::transaction(7))).unwrap();
        let wishes = |stopped: &Stopped| wishes_for(stopped, Some("bob@to.example".to_owned()));
        stopped.reverse_path = Some("ann@from.example".to_owned());
        let asked = wishes(&stopped);
        assert_eq!((asked.rcpt.as_deref(), asked.from.as_deref(), asked.size), (Some("bob@to.example"), Some("ann@from.example"), None));
        stopped.reverse_path = Some(String::new());
        assert_eq!(wishes(&stopped).from.as_deref(), Some(""));
        for unusable in [None, Some("a@b>\r\nDATA".to_owned())] {
            stopped.reverse_path = unusable;
            assert_eq!(wishes(&stopped).rcpt, None);
        }
        (stopped.cause, stopped.size, stopped.limit) = (Some(Cause::MessageTooBig), Some(2_000), Some(1_000));
        assert_eq!(wishes(&stopped).size, Some(2_000));
    }
}
