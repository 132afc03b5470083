//! `[[route]]`: from what is written to the routing table, refusing rules that could never be followed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::listeners::why_not_passed;
use super::nearest::nearest;
use super::problem::Findings;
use super::raw::{self, Raw};
use super::upstreams::check_name;
use crate::relay::options::{ClientTls, Ehlo, Intercept, ListenerOptions, SmartHost, UpstreamOptions, UpstreamTls};
use crate::route::table::{compared, compared_path};
use crate::route::{Rule, Table};
use crate::trace::UpstreamKind;

type Listeners = [(ListenerOptions, Arc<UpstreamOptions>)];

/// The table. A rule that can't be made is left out, and found.
pub(super) fn table(raw: &Raw, upstreams: &[Arc<UpstreamOptions>], listeners: &Listeners, findings: &mut Findings) -> Table {
    let mut names = BTreeSet::new();
    let mut rules = Vec::new();
    for (number, route) in raw.route.iter().enumerate() {
        let path = format!("route.{number}");
        let label = if route.name.is_empty() { format!("route {}", number + 1) } else { format!("route {:?}", route.name) };
        let mut one = One { path, label, upstreams, listeners, findings };
        one.name(route, &mut names);
        let rule = one.rule(route);
        if let Some(upstream) = one.upstream(route) {
            one.fits(&rule, &upstream);
            rules.push(Rule { upstream: upstream.name.clone(), ..rule });
        }
    }
    for (number, route) in raw.route.iter().enumerate() {
        let catches_all = route.listener.is_empty()
            && route.client.is_empty()
            && route.reverse_path.is_empty()
            && route.recipient_domain.is_empty()
            && route.larger_than.is_none();
        if catches_all && number + 1 < raw.route.len() {
            findings.warn(
                &format!("route.{}", number + 1),
                format!("route {:?} before it matches everything: it is never reached", route.name),
            );
        }
    }
    Table { rules }
}

/// One rule under examination.
struct One<'a> {
    path: String,
    label: String,
    upstreams: &'a [Arc<UpstreamOptions>],
    listeners: &'a Listeners,
    findings: &'a mut Findings,
}

impl One<'_> {
    fn name(&mut self, route: &raw::Route, names: &mut BTreeSet<String>) {
        if route.name.is_empty() {
            return self.refuse("name", "has no name: records say by it which rule decided; write name = \"partners\"");
        }
        check_name(&route.name, &self.label, &format!("{}.name", self.path), self.findings);
        if !names.insert(route.name.clone()) {
            self.refuse("name", "another route has this name: give each its own");
        }
    }

    fn rule(&mut self, route: &raw::Route) -> Rule {
        for (number, listener) in route.listener.iter().enumerate() {
            if !self.listeners.iter().any(|(options, _)| options.name == *listener) && !self.listeners.is_empty() {
                let guess = nearest(listener, self.listeners.iter().map(|(options, _)| options.name.as_str()));
                let guess = guess.map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default();
                self.refuse(&format!("listener.{number}"), &format!("listener = {listener:?} does not exist{guess}"));
            }
        }
        for (number, path) in route.reverse_path.iter().enumerate() {
            let is_path = path.rsplit_once('@').is_some_and(|(_, domain)| no_domain(domain).is_none());
            if path != "<>" && !is_path {
                let text = format!(
                    "reverse_path = {path:?} is no address: write \"ann@example.org\", \"@example.org\" for all of a domain, \
                     \"@.example.org\" for all below it, or \"<>\""
                );
                self.refuse(&format!("reverse_path.{number}"), &text);
            }
        }
        for (number, domain) in route.recipient_domain.iter().enumerate() {
            if let Some(text) = no_domain(domain) {
                self.refuse(&format!("recipient_domain.{number}"), &format!("recipient_domain = {text}"));
            }
        }
        Rule {
            name: route.name.clone(),
            listeners: route.listener.clone(),
            clients: route.client.iter().map(|network| network.0).collect(),
            reverse_paths: route.reverse_path.iter().map(|path| compared_path(path)).collect(),
            recipient_domains: route.recipient_domain.iter().map(|domain| compared(domain)).collect(),
            larger_than: route.larger_than.map(|octets| octets.0),
            upstream: String::new(),
            passthrough: route.passthrough,
        }
    }

    fn upstream(&mut self, route: &raw::Route) -> Option<Arc<UpstreamOptions>> {
        let names = || self.upstreams.iter().map(|upstream| upstream.name.as_str());
        let Some(wanted) = &route.upstream else {
            self.refuse("upstream", "leads nowhere: write upstream = with the name of an [[upstream]]");
            return None;
        };
        let found = self.upstreams.iter().find(|upstream| upstream.name == *wanted).cloned();
        if found.is_none() {
            let guess = nearest(wanted, names()).map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default();
            self.refuse("upstream", &format!("upstream = {wanted:?} does not exist{guess}"));
        }
        found
    }

    /// Whether every listener that the rule is for can follow it.
    fn fits(&mut self, rule: &Rule, upstream: &UpstreamOptions) {
        let applies = |listener: &ListenerOptions| rule.listeners.is_empty() || rule.listeners.contains(&listener.name);
        for (listener, by_default) in self.listeners.iter().filter(|(listener, _)| applies(listener)) {
            let name = &listener.name;
            if listener.ehlo == Ehlo::Upstream && rule.needs_envelope() {
                self.refuse(
                    "",
                    &format!(
                        "listener {name:?} connects to its upstream before there is an envelope: rules by reverse_path, recipient_domain or \
                         larger_than need ehlo = \"static\" there, or `listener` in the rule with other listeners"
                    ),
                );
                return;
            }
            if listener.ehlo == Ehlo::Upstream && upstream.kind == UpstreamKind::Mx {
                self.refuse(
                    "upstream",
                    &format!("upstream {:?} goes by recipient domain: listener {name:?} needs ehlo = \"static\" for that", upstream.name),
                );
                return;
            }
            if upstream.kind == UpstreamKind::OriginalDestination && listener.intercept == Intercept::Off {
                self.refuse(
                    "upstream",
                    &format!(
                        "upstream {:?} goes where the client had meant to, and clients mean to reach listener {name:?} itself: write intercept = \
                         \"redirect\" or \"tproxy\" there, or `listener` in the rule with other listeners",
                        upstream.name
                    ),
                );
                return;
            }
            if listener.is_for_everybody(by_default, rule.passthrough) && !upstream.knows_its_clients() {
                self.refuse(
                    "upstream",
                    &format!(
                        "would make an open relay of upstream {:?}: listener {name:?} lets everybody in, for a server that knows its clients. \
                         Name the domains that mail may come in for with accept_domains in the listener",
                        upstream.name
                    ),
                );
                return;
            }
            if rule.passthrough && listener.ehlo == Ehlo::Static {
                self.refuse("passthrough", &format!("passthrough needs ehlo = \"upstream\": listener {name:?} is static"));
                return;
            }
            if let Some(text) = why_not_passed(upstream, listener.is_reachable()).filter(|_| rule.passthrough) {
                self.refuse("passthrough", &format!("passthrough doesn't go with upstream {:?}: {text}", upstream.name));
                return;
            }
            let begins_with_tls = |it: &SmartHost| it.tls == UpstreamTls::Implicit;
            let client_does = listener.tls == ClientTls::Implicit;
            let fits = listener.tls == ClientTls::Passthrough || upstream.hosts.iter().all(|host| begins_with_tls(host) == client_does);
            if rule.passthrough && !fits {
                let text = format!(
                    "clients of listener {name:?} begin {}, and a host of upstream {:?} does otherwise: passed through, they would not understand each other",
                    if client_does { "with TLS" } else { "in clear" },
                    upstream.name
                );
                self.refuse("passthrough", &text);
                return;
            }
        }
    }

    fn refuse(&mut self, option: &str, text: &str) {
        let path = if option.is_empty() { self.path.clone() } else { format!("{}.{option}", self.path) };
        self.findings.refuse(&path, format!("{}: {text}", self.label));
    }
}

/// What is wrong with a domain pattern.
pub(super) fn no_domain(pattern: &str) -> Option<String> {
    let name = pattern.strip_prefix('.').unwrap_or(pattern);
    let is_literal = name.starts_with('[') && name.ends_with(']');
    let has_port = name.contains(':') && !is_literal;
    let fit = !name.is_empty() && !name.contains(['@', '*', ' ', '/']) && !has_port && !name.starts_with('.') && !name.ends_with('.');
    (!fit).then(|| format!("{pattern:?} is no domain: write \"example.org\", or \".example.org\" for all below it"))
}
