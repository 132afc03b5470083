//! `[[listener]]`: from what is written to options, refusing open relays, loops and addresses taken twice.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use ipnet::IpNet;

use super::nearest::nearest;
use super::problem::Findings;
use super::raw::{self, Raw};
use super::routes::no_domain;
use super::upstreams::check_name;
use crate::net::tls::ServerTls;
use crate::relay::options::{
    CertificateFiles, ClientTls, Ehlo, Intercept, ListenerOptions, Protocol, SmartHost, TellClient, UpstreamOptions,
};
use crate::route::table::compared;
use crate::trace::UpstreamKind;

/// A network shorter than this holds so much of the internet that nobody can have meant "our clients".
const SHORTEST_V4: u8 = 8;
const SHORTEST_V6: u8 = 16;

/// Every listener's options, with the upstream that its sessions go to.
pub(super) fn listeners(
    raw: &mut Raw,
    upstreams: &[Arc<UpstreamOptions>],
    findings: &mut Findings,
) -> Vec<(ListenerOptions, Arc<UpstreamOptions>)> {
    if raw.listener.is_empty() {
        findings.refuse(
            "listener",
            "no listener: write [[listener]] with listen = [\"127.0.0.1:2525\"], or leave the key out for that default",
        );
    }
    let mut names = BTreeSet::new();
    let mut taken: Vec<(SocketAddr, Taken)> = Vec::new();
    let mut found = Vec::new();
    for (number, listener) in raw.listener.iter_mut().enumerate() {
        let path = format!("listener.{number}");
        let label = format!("listener {:?}", listener.name);
        check_name(&listener.name, &label, &format!("{path}.name"), findings);
        if !names.insert(listener.name.clone()) && !findings.is_broken(&format!("{path}.name")) {
            findings.refuse(&format!("{path}.name"), format!("{label}: another listener has this name: give each its own with `name`"));
        }
        let mut one = One { path, label, findings };
        one.addresses(listener, &mut taken);
        one.accept_domains(listener);
        one.accept_proxy(listener);
        let certificate = one.certificate(listener);
        let upstream = one.upstream(listener, upstreams);
        if listener.allow_plaintext_auth {
            one.warn("allow_plaintext_auth", "allow_plaintext_auth = true lets clients send passwords where others can read them");
        }
        let Some(upstream) = upstream else {
            one.allow(listener, UpstreamKind::SmartHost);
            continue;
        };
        one.allow(listener, upstream.kind);
        one.route(listener, &upstream);
        found.push((options(listener, certificate, &upstream), upstream));
    }
    loops(raw, upstreams, findings);
    for (number, upstream) in upstreams.iter().enumerate() {
        let by_rule = raw.route.iter().any(|route| route.upstream.as_ref() == Some(&upstream.name));
        if findings.problems.is_empty() && !by_rule && !found.iter().any(|(_, used)| Arc::ptr_eq(used, upstream)) {
            findings.warn(&format!("upstream.{number}"), format!("upstream {:?}: no listener and no route sends to it", upstream.name));
        }
    }
    found
}

fn options(listener: &raw::Listener, certificate: Option<CertificateFiles>, upstream: &UpstreamOptions) -> ListenerOptions {
    ListenerOptions {
        name: listener.name.clone(),
        listen: listener.listen.iter().map(|listen| listen.0).collect(),
        direction: listener.direction.into(),
        upstream: upstream.name.clone(),
        tls: listener.tls.into(),
        certificate,
        allow: listener.allow.iter().map(|network| network.0).collect(),
        allow_plaintext_auth: listener.allow_plaintext_auth,
        ehlo: listener.ehlo.map_or(Ehlo::Upstream, Into::into),
        accept_proxy: listener.accept_proxy.iter().map(|network| network.0).collect(),
        accept_domains: listener.accept_domains.iter().map(|domain| compared(domain)).collect(),
        intercept: listener.intercept.into(),
    }
}

/// Who listens at an address. Names may be there twice, by mistake.
struct Taken {
    path: String,
    name: String,
}

/// One listener under examination.
struct One<'a> {
    path: String,
    label: String,
    findings: &'a mut Findings,
}

impl One<'_> {
    fn addresses(&mut self, listener: &raw::Listener, taken: &mut Vec<(SocketAddr, Taken)>) {
        if listener.listen.is_empty() && !self.findings.is_broken(&format!("{}.listen", self.path)) {
            self.refuse("listen", "listens nowhere: write listen = [\"127.0.0.1:2525\"]");
        }
        for (number, listen) in listener.listen.iter().enumerate() {
            if let Some((other, who)) = taken.iter().find(|(other, _)| collide(*other, listen.0)) {
                let whose = match who {
                    who if who.path == self.path => "this listener itself".to_owned(),
                    who if who.name == listener.name => "the other listener of this name".to_owned(),
                    who => format!("listener {:?}", who.name),
                };
                let text = format!("listen = \"{listen}\" is taken by {whose} (\"{other}\"): choose another address or port");
                self.refuse(&format!("listen.{number}"), &text);
            }
            taken.push((listen.0, Taken { path: self.path.clone(), name: listener.name.clone() }));
        }
    }

    /// Promise 6: never an open relay.
    fn allow(&mut self, listener: &raw::Listener, kind: UpstreamKind) {
        let reachable = is_reachable(listener);
        if listener.allow.is_empty() && !self.findings.is_broken(&format!("{}.allow", self.path)) {
            self.refuse(
                "allow",
                "allow = [] lets nobody relay: name the networks of your mail servers, for example [\"127.0.0.0/8\", \"192.0.2.7\"]",
            );
        }
        if !reachable || kind == UpstreamKind::Fixed {
            return; // `Fixed` has a rule of its own
        }
        for (number, network) in listener.allow.iter().enumerate() {
            if is_too_wide(network.0) {
                let text = format!(
                    "allow = \"{network}\" would make this an open relay: the smart host takes what this proxy sends for yours, and so would \
                     everybody else's mail go out. Name the addresses of your mail servers alone, for example [\"192.0.2.7\", \"10.1.0.0/16\"]"
                );
                self.refuse(&format!("allow.{number}"), &text);
            }
        }
        if !listener.allow.is_empty() && listener.allow.iter().all(|network| network.0.addr().is_loopback()) {
            self.warn("allow", "clients of other machines come in here, but only loopback may relay: name your mail servers in `allow`");
        }
    }

    /// Who may name the client may name an allowed one.
    fn accept_proxy(&mut self, listener: &raw::Listener) {
        let reachable = is_reachable(listener);
        for (number, network) in listener.accept_proxy.iter().enumerate().filter(|(_, network)| reachable && is_too_wide(network.0)) {
            let text = format!(
                "accept_proxy = \"{network}\" would let anybody pass for anybody: a PROXY header is believed. Name the addresses of your load \
                 balancers alone, for example [\"192.0.2.10\"]"
            );
            self.refuse(&format!("accept_proxy.{number}"), &text);
        }
    }

    fn accept_domains(&mut self, listener: &raw::Listener) {
        for (number, domain) in listener.accept_domains.iter().enumerate() {
            if let Some(text) = no_domain(domain) {
                self.refuse(&format!("accept_domains.{number}"), &format!("accept_domains = {text}"));
            }
        }
    }

    /// Whether the listener can serve that kind of upstream.
    fn route(&mut self, listener: &mut raw::Listener, upstream: &UpstreamOptions) {
        let by_default = if upstream.kind == UpstreamKind::Mx { Ehlo::Static } else { Ehlo::Upstream };
        let ehlo = Ehlo::from(*listener.ehlo.get_or_insert(by_default.into()));
        let name = &upstream.name;
        if upstream.kind == UpstreamKind::Mx && ehlo == Ehlo::Upstream {
            self.refuse(
                "ehlo",
                &format!(
                    "upstream {name:?} is chosen by recipient domain, when EHLO has long been answered: remove ehlo, or write \"static\""
                ),
            );
        }
        let passes = ClientTls::from(listener.tls) == ClientTls::Passthrough;
        let reachable = is_reachable(listener);
        if passes && ehlo == Ehlo::Static {
            self.refuse("tls", "tls = \"passthrough\" needs an upstream from the first octet: remove ehlo = \"static\"");
        }
        if ClientTls::from(listener.tls) == ClientTls::Mirror && ehlo == Ehlo::Static {
            self.warn(
                "tls",
                "tls = \"mirror\" has nothing to mirror with ehlo = \"static\", which answers before an upstream is chosen: STARTTLS is offered \
                 always, as with \"offered\"",
            );
        }
        if let Some(text) = why_not_passed(upstream, reachable).filter(|_| passes) {
            self.refuse("tls", &format!("tls = \"passthrough\" doesn't go with upstream {name:?}: {text}"));
        }
        if passes && !listener.accept_domains.is_empty() {
            self.refuse(
                "accept_domains",
                "accept_domains can't be kept to with tls = \"passthrough\": recipients aren't read once TLS begins. Remove accept_domains, and \
                 let the server behind decide, or end TLS here with tls = \"offered\"",
            );
        }
        let intercepts = Intercept::from(listener.intercept) != Intercept::Off;
        match (upstream.kind == UpstreamKind::OriginalDestination, intercepts) {
            (true, false) => self.refuse(
                "intercept",
                &format!("upstream {name:?} goes where the client had meant to: write intercept = \"redirect\" or \"tproxy\", as the firewall's rule says"),
            ),
            (true, true) if upstream.preserve_source && Intercept::from(listener.intercept) == Intercept::Redirect => self.warn(
                "intercept",
                &format!(
                    "upstream {name:?} has preserve_source, whose answers REDIRECT doesn't lead back here: use intercept = \"tproxy\" \
                     (deploy/interception.md), or rules of your own"
                ),
            ),
            (false, true) => {
                self.warn("intercept", &format!("connections are diverted here, and all go to upstream {name:?}, wherever they were meant for"));
            }
            _ => {}
        }
        if upstream.kind == UpstreamKind::Fixed && reachable && listener.accept_domains.is_empty() && !upstream.knows_its_clients() {
            self.refuse(
                "accept_domains",
                &format!(
                    "would make an open relay of the server behind: upstream {name:?} sees all mail come from this proxy, and trusts it. Name the \
                     domains that mail may come in for, accept_domains = [\"example.org\"], or let the server know its clients: tell_client = \
                     \"xclient\" or \"proxy_v2\" in the upstream"
                ),
            );
        }
    }

    fn certificate(&mut self, listener: &raw::Listener) -> Option<CertificateFiles> {
        let files = match (&listener.certificate, &listener.key) {
            (None, None) => return None,
            (Some(_), None) if self.findings.is_broken(&format!("{}.key", self.path)) => return None,
            (None, Some(_)) if self.findings.is_broken(&format!("{}.certificate", self.path)) => return None,
            (Some(_), None) => {
                self.refuse("certificate", "certificate without key: name the file of its private key with `key`");
                return None;
            }
            (None, Some(_)) => {
                self.refuse("key", "key without certificate: name the file of the certificate chain with `certificate`");
                return None;
            }
            (Some(certificate), Some(key)) => CertificateFiles { certificate: certificate.clone(), key: key.clone() },
        };
        if matches!(ClientTls::from(listener.tls), ClientTls::Off | ClientTls::Passthrough) {
            self.warn("certificate", &format!("certificate is of no use with tls = \"{}\"", listener.tls));
            return Some(files);
        }
        match ServerTls::from_files(&files.certificate, &files.key) {
            Ok(tls) => self.expiry(tls.expires_at_unix_us()),
            Err(error) => {
                let about_key = error.to_string().starts_with(&files.key.display().to_string());
                self.refuse(if about_key { "key" } else { "certificate" }, &error.to_string());
            }
        }
        Some(files)
    }

    fn expiry(&mut self, at_us: Option<u64>) {
        let now_us = u64::try_from(jiff::Timestamp::now().as_microsecond()).unwrap_or(0);
        if at_us.is_some_and(|at_us| at_us < now_us) {
            self.warn("certificate", "the certificate has expired: clients that verify it will not come in");
        }
    }

    fn upstream(&mut self, listener: &mut raw::Listener, upstreams: &[Arc<UpstreamOptions>]) -> Option<Arc<UpstreamOptions>> {
        let names = || upstreams.iter().map(|upstream| upstream.name.as_str());
        let list = || {
            let mut told = BTreeSet::new();
            names().filter(|name| told.insert(*name)).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
        };
        let found = match (&listener.upstream, upstreams) {
            (Some(wanted), _) => upstreams.iter().find(|upstream| upstream.name == *wanted),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        if let Some(found) = found {
            listener.upstream = Some(found.name.clone());
            return Some(Arc::clone(found));
        }
        if upstreams.is_empty() || self.findings.is_broken(&format!("{}.upstream", self.path)) || self.names_are_broken(upstreams.len()) {
            return None; // said already
        }
        let text = match &listener.upstream {
            Some(wanted) => {
                let guess = nearest(wanted, names()).map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default();
                format!("upstream = {wanted:?} does not exist: there is {}{guess}", list())
            }
            None => format!(
                "there are {} upstreams ({}): write upstream = {:?} in its [[listener]], or another",
                upstreams.len(),
                list(),
                names().next().unwrap_or_default()
            ),
        };
        self.refuse("upstream", &text);
        None
    }

    fn names_are_broken(&self, upstreams: usize) -> bool {
        (0..upstreams).any(|number| self.findings.is_broken(&format!("upstream.{number}.name")))
    }

    fn refuse(&mut self, option: &str, text: &str) {
        self.findings.refuse(&format!("{}.{option}", self.path), format!("{}: {text}", self.label));
    }

    fn warn(&mut self, option: &str, text: &str) {
        self.findings.warn(&format!("{}.{option}", self.path), format!("{}: {text}", self.label));
    }
}

/// Whether clients of other machines come in here: to an address of its own, through a load balancer, or diverted.
fn is_reachable(listener: &raw::Listener) -> bool {
    let beyond = listener.listen.iter().any(|listen| !listen.0.ip().is_loopback());
    beyond || !listener.accept_proxy.is_empty() || Intercept::from(listener.intercept) != Intercept::Off
}

/// Why sessions can't be passed through to an upstream: what the proxy would have to say or to see. `reachable`: from beyond this machine.
pub(super) fn why_not_passed(upstream: &UpstreamOptions, reachable: bool) -> Option<&'static str> {
    if upstream.auth.is_some() {
        return Some("the proxy can't log in within a session that it doesn't read; remove [upstream.auth]");
    }
    if upstream.protocol == Protocol::Lmtp {
        return Some("LMTP begins with another command than the client's, and the proxy has a say in it");
    }
    if upstream.add_received {
        return Some("no line can be put into a message that isn't read; remove add_received");
    }
    if matches!(upstream.tell_client, TellClient::Xclient | TellClient::Xforward) {
        return Some("XCLIENT and XFORWARD are said in the session itself; tell_client = \"proxy_v2\" comes before it");
    }
    if upstream.kind == UpstreamKind::Fixed && upstream.tell_client != TellClient::ProxyV2 && reachable {
        return Some(
            "it would be an open relay: recipients can't be seen, and the server behind sees all mail come from this proxy. Let it know its \
             clients: tell_client = \"proxy_v2\"",
        );
    }
    None
}

/// An upstream that leads back to this proxy would send each message round until its hop count is full.
fn loops(raw: &Raw, upstreams: &[Arc<UpstreamOptions>], findings: &mut Findings) {
    let host_name = raw.host_name.as_deref().unwrap_or_default();
    for (number, upstream) in upstreams.iter().enumerate() {
        for (place, host) in upstream.hosts.iter().enumerate() {
            let addresses = |listener: &'_ raw::Listener| listener.listen.iter().any(|listen| leads_to(host, listen.0, host_name));
            if let Some(listener) = raw.listener.iter().find(|listener| addresses(listener)) {
                let text = format!(
                    "upstream {:?}: {}:{} is listener {:?} of this proxy: mail would go round in a circle; name the smart host behind it",
                    upstream.name, host.host, host.port, listener.name
                );
                findings.refuse(&format!("upstream.{number}.hosts.{place}"), text);
            }
        }
    }
}

/// Whether two listening addresses can't both be had.
pub(super) fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    let overlap = a.ip() == b.ip() || a.is_ipv4() == b.is_ipv4() && (a.ip().is_unspecified() || b.ip().is_unspecified());
    a.port() == b.port() && a.port() != 0 && overlap
}

fn is_too_wide(network: IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() < SHORTEST_V4,
        // fc00::/7 and fe80::/10 are never the internet's.
        IpNet::V6(network) => {
            let own = network.addr().is_unique_local() && network.prefix_len() >= 7 || network.addr().is_unicast_link_local();
            network.prefix_len() < SHORTEST_V6 && !own
        }
    }
}

fn leads_to(host: &SmartHost, listen: SocketAddr, host_name: &str) -> bool {
    if host.port != listen.port() {
        return false;
    }
    let named = |name: &str| host.host.trim_end_matches('.').eq_ignore_ascii_case(name);
    match host.host.parse::<IpAddr>() {
        Ok(address) if address == listen.ip() => true,
        Ok(address) => listen.ip().is_unspecified() && address.is_ipv4() == listen.is_ipv4() && is_ours(address),
        Err(_) if named("localhost") => listen.ip().is_unspecified() || listen.ip().is_loopback(),
        Err(_) => named(host_name) && !listen.ip().is_loopback(),
    }
}

/// Whether the kernel lets us send from this address.
fn is_ours(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}
