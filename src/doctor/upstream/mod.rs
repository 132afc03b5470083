//! `doctor upstream NAME`: can it be reached, on which ports, with which TLS, does the login work; directly, and through the proxy beside it.
//!
//! Reading order: [`ports`] (TCP), [`visit`] (the dialogue), [`certificate`], `login` and [`probe`] (steps of it), `versions` (of TLS),
//! [`through`] (the same through the proxy, and what differs).

pub mod certificate;
mod login;
mod old_tls;
pub mod ports;
pub mod probe;
pub mod through;
mod versions;
pub mod visit;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::options::Options;
use super::{Check, Report, Section};
use crate::net::resolve::{Destination, ExchangerOptions, Resolver, destination, not_global};
use crate::net::tls::ClientTls;
use crate::relay::options::{Protocol, SmartHost, TellClient, UpstreamAuth, UpstreamOptions, UpstreamTls};
use crate::route::table::domain_of;
use crate::trace::UpstreamKind;
use probe::Probe;
use through::Through;
use visit::{Seen, Visit};

/// Hosts of one upstream that are looked at.
const MOST_HOSTS: usize = 8;

/// What is asked of an upstream beyond its name.
#[derive(Debug, Clone, Default)]
pub struct UpstreamAsked {
    pub probe: Probe,
    /// Listeners of the proxy that lead there.
    pub through: Vec<Through>,
    /// Ports that are knocked at beside the configured one.
    pub ports: Vec<u16>,
}

/// Examines one upstream: every host of it by itself.
pub async fn examine_upstream(resolver: &Resolver, options: &Options, upstream: &UpstreamOptions, asked: &UpstreamAsked) -> Report {
    let target = format!("upstream {}", upstream.name);
    let client_tls = match ClientTls::new(upstream.ca_file.as_deref()) {
        Ok(client_tls) => client_tls,
        Err(error) => {
            let mut section = Section::new(&upstream.name);
            let check = Check::asking("upstream.tls", "the certificates to trust", "without them no server can be verified");
            section.push(check.fail(error.to_string(), "Mend `ca_file`: the proxy itself doesn't start with it."));
            return Report::of(target, vec![section]);
        }
    };
    let bench = Bench { resolver, options, upstream, asked, client_tls };
    let (mut sections, hosts) = bench.hosts().await;
    let (mut first, mut done): (Option<Seen>, Done) = (None, Done::default());
    for host in hosts.iter().take(MOST_HOSTS) {
        let (more, seen) = bench.host(host, &mut done).await;
        sections.extend(more);
        first = first.or(seen);
    }
    for through in &asked.through {
        sections.push(through::visit(&bench, through, first.as_ref()).await);
    }
    Report::of(target, sections)
}

/// What a visit does beyond the connection; nothing by default.
#[derive(Default)]
struct Steps<'a> {
    auth: Option<&'a UpstreamAuth>,
    probe: Probe,
}

/// What isn't done again at further hosts, and at which it was done.
#[derive(Default)]
struct Done {
    /// A wrong password tried again may lock the account.
    login_refused: Option<String>,
    /// One test message was asked for.
    message_sent: Option<String>,
}

/// What all hosts are examined with.
struct Bench<'a> {
    resolver: &'a Resolver,
    options: &'a Options,
    upstream: &'a UpstreamOptions,
    asked: &'a UpstreamAsked,
    client_tls: ClientTls,
}

impl Bench<'_> {
    /// The hosts of its list, or the mail exchangers of whom it is asked for.
    async fn hosts(&self) -> (Vec<Section>, Vec<SmartHost>) {
        let upstream = self.upstream;
        if matches!(upstream.kind, UpstreamKind::SmartHost | UpstreamKind::Fixed) {
            return (Vec::new(), upstream.hosts.clone());
        }
        let mut section = Section::new(format!("{} ({})", upstream.name, upstream.kind.word()));
        let check = Check::asking("upstream.hosts", format!("hosts of upstream {}", upstream.name), "where the mail goes");
        let recipient = self.asked.probe.rcpt.as_deref().or(self.asked.probe.send.as_deref());
        let domain = match (upstream.kind, recipient) {
            (UpstreamKind::Mx, Some(recipient)) => domain_of(recipient),
            (UpstreamKind::Mx, None) => {
                let answer = "the mail exchangers of each recipient's domain: `--rcpt ADDRESS` looks at those of one, `relayscope doctor dns \
                              DOMAIN` at the domain itself";
                section.push(check.skipped(answer));
                return (vec![section], Vec::new());
            }
            _ => {
                section.push(check.skipped("wherever its clients had connected to: there is no list to look at"));
                return (vec![section], Vec::new());
            }
        };
        let found = match destination(&domain) {
            Ok(Destination::Domain(name)) => {
                let options = ExchangerOptions { most: MOST_HOSTS, timeout: self.options.patience, seed: Some(0) };
                let found = self.resolver.mail_exchangers(&name, &options).await.outcome;
                found.map(|found| found.into_iter().map(|it| it.host).collect()).map_err(|why| why.to_string())
            }
            Ok(Destination::Literal(address)) => Ok(vec![address.to_string()]),
            Err(error) => Err(error.to_string()),
        };
        let hosts: Vec<String> = match found {
            Ok(hosts) => hosts,
            Err(why) => {
                section.push(check.fail(why, format!("`relayscope doctor dns {domain}` says more.")));
                return (vec![section], Vec::new());
            }
        };
        section.push(check.ok(format!("mail exchangers of {domain}: {}", hosts.join(", "))));
        let tls = match upstream.tls {
            UpstreamTls::Dane | UpstreamTls::MtaSts | UpstreamTls::DaneOrMtaSts => UpstreamTls::Opportunistic,
            tls => tls,
        };
        (vec![section], hosts.into_iter().map(|host| SmartHost { host, port: upstream.port, tls }).collect())
    }

    async fn host(&self, host: &SmartHost, done: &mut Done) -> (Vec<Section>, Option<Seen>) {
        let place = format!("{}:{}", host.host, host.port);
        let mut section = Section::new(&place);
        let Some(addresses) = self.resolve(host, &mut section).await else { return (vec![section], None) };
        let (mark, patience) = (self.upstream.mark, self.options.patience);
        let families = ports::knock(&addresses, host.port, &self.asked.ports, &self.own_listeners(), mark, patience).await;
        let elsewhere = |this: &ports::Family| families.iter().any(|it| it.name() != this.name() && it.open().is_some());
        for family in &families {
            section.push(family.check(&host.host, self.upstream.kind, elsewhere(family)));
        }
        let mut sections = vec![section];
        let mut first = None;
        for family in &families {
            let Some(address) = family.open() else { continue };
            let mut section = Section::new(format!("{place}, directly, {} {}", family.name(), address.ip()));
            let whole = first.is_none();
            let steps = if whole { self.steps(done, &mut section) } else { Steps::default() };
            let seen = self.visit(host, address, &steps).make(&mut section).await;
            done.login_refused = done.login_refused.take().or_else(|| seen.login_refused.then(|| place.clone()));
            done.message_sent = done.message_sent.take().or_else(|| seen.message_sent.then(|| place.clone()));
            if whole && seen.tls.is_some() {
                section.push(versions::check(&self.visit(host, address, &Steps::default())).await);
            }
            let has_tls = seen.tls.is_some() || seen.offer.as_ref().is_some_and(|offer| offer.extensions.starttls);
            if whole && host.tls != UpstreamTls::Off && (has_tls || host.tls == UpstreamTls::Implicit) {
                let own = self.upstream.kind == UpstreamKind::Fixed;
                section.push(old_tls::check(&self.visit(host, address, &Steps::default()), own).await);
            }
            sections.push(section);
            first = first.or(Some(seen));
        }
        (sections, first)
    }

    fn own_listeners(&self) -> Vec<SocketAddr> {
        self.options.sessions.iter().flat_map(|session| session.listener.listen.iter().copied()).collect()
    }

    /// What is done at the next host beyond the connection, by what was done before.
    fn steps(&self, done: &Done, section: &mut Section) -> Steps<'_> {
        let mut steps = Steps { auth: self.upstream.auth.as_ref(), probe: self.asked.probe.clone() };
        if let (Some(auth), Some(place)) = (steps.auth, &done.login_refused) {
            let why = "each attempt with a wrong password brings the account nearer to being locked";
            let check = Check::asking("upstream.login", format!("login as {}", auth.user), why);
            section.push(check.skipped(format!("not tried again after {place} refused it, nor what comes behind a login")));
            return Steps::default();
        }
        if let (Some(recipient), Some(place)) = (&steps.probe.send, &done.message_sent) {
            let check = Check::asking("upstream.message", format!("a test message to {recipient}"), "one was asked for");
            section.push(check.skipped(format!("given to {place} already")));
            steps.probe.send = None;
        }
        steps
    }

    async fn resolve(&self, host: &SmartHost, section: &mut Section) -> Option<Vec<IpAddr>> {
        let why = "the host's name must lead to an address before anything else can work";
        let check = Check::asking("upstream.resolve", format!("addresses of {}", host.host), why);
        let began = std::time::Instant::now();
        let found = self.resolver.named_host(&host.host, self.options.patience).await;
        let check = check.took(began.elapsed());
        if let Some(error) = found.failure {
            let fix = if error.is_temporary() {
                "DNS itself is in trouble: look at the servers in /etc/resolv.conf (or [dns]), `relayscope doctor dns` of any domain tells \
                 which of them answers."
            } else {
                "The name is misspelt in `hosts`, or its record was removed: ask the smart host's operator for the present name."
            };
            section.push(check.fail(error.to_string(), fix));
            return None;
        }
        let (usable, barred): (Vec<IpAddr>, Vec<IpAddr>) = found.addresses.into_iter().partition(|address| self.may_visit(*address));
        let list = |addresses: &[IpAddr]| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if !barred.is_empty() {
            let answer = format!("{}: not of the internet, and not connected to, as in sessions", list(&barred));
            let fix =
                "If the host is your own: name its network in `private_networks`. Otherwise whoever owns the domain must mend its records.";
            section.push(check.clone().fail(answer, fix));
        }
        let is_name = host.host.parse::<IpAddr>().is_err();
        if is_name && !usable.is_empty() {
            section.push(check.ok(list(&usable)));
        }
        Some(usable).filter(|usable| !usable.is_empty())
    }

    /// Whoever owns a domain must not point the doctor at this machine's own network.
    fn may_visit(&self, address: IpAddr) -> bool {
        let named = self.upstream.private_networks.iter().any(|network| network.contains(&address));
        self.upstream.kind != UpstreamKind::Mx || named || not_global(address).is_none()
    }

    fn visit<'b>(&'b self, host: &'b SmartHost, address: SocketAddr, steps: &'b Steps<'b>) -> Visit<'b> {
        Visit {
            name: "upstream",
            place: if host.host == address.ip().to_string() {
                address.to_string()
            } else {
                format!("{}:{} ({})", host.host, host.port, address.ip())
            },
            host: &host.host,
            address,
            host_name: &self.options.host_name,
            lmtp: self.upstream.protocol == Protocol::Lmtp,
            mark: self.upstream.mark,
            proxy_header: self.upstream.tell_client == TellClient::ProxyV2,
            tls: host.tls,
            client_tls: &self.client_tls,
            certificate: true,
            auth: steps.auth,
            allow_plaintext_auth: self.upstream.allow_plaintext_auth,
            probe: &steps.probe,
            diagnosing: &self.options.diagnosing,
            hosts_are_listed: false,
            patience: self.options.patience,
        }
    }
}

/// A sender for probes that smart hosts are likely to take: the login, if it is an address.
pub fn sender_for(upstream: &UpstreamOptions, host_name: &str) -> String {
    let login = upstream.auth.as_ref().map(|auth| auth.user.as_str());
    login.and_then(|user| probe::address(user).ok()).unwrap_or_else(|| format!("postmaster@{host_name}"))
}

/// Longest that the examination of one host may take with this patience, for callers that bound the whole.
pub fn longest(patience: Duration) -> Duration {
    patience * 12
}
