//! The mail exchangers of a recipient's domain, as hosts to try (RFC 5321 §5.1).

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use super::context::Context;
use super::dial::micros;
use super::lookups;
use crate::net::mta_sts::{self, Mode};
use crate::net::resolve::{Destination, ExchangerOptions, NoExchanger, Resolver, destination, not_global};
use crate::relay::options::{UpstreamOptions, UpstreamTls};
use crate::relay::{Found, NextHop, NotFound, Refusal};
use crate::trace::{Actor, Stage, TlsPolicy, Tried};

/// RFC 3463: bad destination system address; RFC 7505 §4.2 for null MX; RFC 3463 §3.5 for routing.
const BAD_DOMAIN: Refusal = Refusal { code: 550, enhanced: (5, 1, 2) };
const NULL_MX: Refusal = Refusal { code: 556, enhanced: (5, 1, 10) };
const NO_ROUTE: Refusal = Refusal { code: 550, enhanced: (5, 4, 4) };
/// A policy of the destination's can't be met.
pub(super) const UNSAFE: Refusal = Refusal { code: 451, enhanced: (4, 7, 5) };
const DNS_FAILED: Refusal = Refusal { code: 451, enhanced: (4, 4, 3) };
/// The next hop is this machine, or lies where no mail exchanger of the internet can.
pub(super) const LOOP: Refusal = Refusal { code: 550, enhanced: (5, 4, 6) };

/// How long the addresses of hosts that share a preference are waited for before the first is tried: it is a matter of order alone.
const SOON: Duration = Duration::from_secs(1);

/// Finds the hosts that take mail for `domain`, the part of the forward-path behind the @.
pub(super) async fn exchangers(context: &Context, upstream: &UpstreamOptions, domain: &str, began: Instant) -> Result<Found, NotFound> {
    let not = |refusal, by, error: String| NotFound { refusal, by, error, skipped: Vec::new(), lookups: Vec::new(), dns_us: None };
    let domain = match destination(domain) {
        Ok(Destination::Domain(domain)) => domain,
        Ok(Destination::Literal(ip)) => {
            let hop = NextHop { choice: Some("address literal".to_owned()), ..hop(upstream, ip.to_string()) };
            return Ok(Found { hops: vec![hop], ..Found::default() });
        }
        Err(error) => return Err(not(BAD_DOMAIN, Actor::Proxy, error.to_string())),
    };
    let start = Instant::now();
    let options = ExchangerOptions { timeout: context.options.limits.timeouts.dns, ..ExchangerOptions::default() };
    let mut answer = context.resolver.mail_exchangers(&domain, &options).await;
    if let Ok(hosts) = &mut answer.outcome {
        let own = |ip| misplaced(&context.resolver, upstream, ip).is_some_and(|it| it.own);
        context.resolver.put_own_first(hosts, own, SOON, options.timeout).await;
    }
    let mut lookups = lookups::recorded(&answer.lookups, began);
    let dns_us = Some(micros(start));
    let mut skipped: Vec<Tried> = answer.skipped.iter().map(|it| left_out(upstream, &it.exchange, it.why.to_owned(), began)).collect();
    if answer.cut > 0 {
        skipped.push(left_out(upstream, &domain, format!("{} more mail exchangers are not tried", answer.cut), began));
    }
    let found = match answer.outcome {
        Ok(found) => found,
        Err(error) => return Err(NotFound { skipped, lookups, dns_us, ..not(refusal_of(&error), Actor::Dns, error.to_string()) }),
    };
    let dnssec = Some(lookups::dnssec(answer.dnssec));
    let policy = match context.reach(&upstream.name).and_then(|reach| reach.mta_sts.as_ref()) {
        Some(policies) => Some(policies.policy(&domain, SystemTime::now()).await),
        None => None,
    };
    lookups.extend(policy.iter().flat_map(|policy| lookups::recorded(std::slice::from_ref(&policy.lookup), began)));
    let policy = policy.map(|policy| policy.answer);
    let hops = found.iter().map(|exchanger| {
        let peers = found.iter().filter(|other| other.preference == exchanger.preference).count();
        let choice = match (answer.implicit, peers) {
            (true, _) => "no MX record: the domain's own address".to_owned(),
            (false, 1) => format!("MX preference {}", exchanger.preference),
            (false, peers) => format!("MX preference {}, one of {peers} in random order", exchanger.preference),
        };
        let plain = hop(upstream, exchanger.host.clone());
        NextHop {
            mx_preference: (!answer.implicit).then_some(exchanger.preference),
            mx_dnssec: dnssec,
            choice: Some(choice),
            domain: Some(domain.clone()),
            ..policy.as_ref().map_or_else(|| plain.clone(), |policy| under_policy(plain.clone(), policy))
        }
    });
    let hops: Vec<NextHop> = hops.collect();
    let Some(mta_sts::Answer::Policy { policy, .. }) = policy.filter(enforces) else { return Ok(Found { hops, skipped, lookups, dns_us }) };
    // RFC 8461 §5: a host that the policy doesn't name is not used. Where TLSA records speak for it, they count instead (§2).
    let why = format!("the MTA-STS policy of {domain} ({}) doesn't name it", policy.id);
    let (mut named, unnamed): (Vec<NextHop>, Vec<NextHop>) = hops.into_iter().partition(|hop| hop.dane || policy.matches(&hop.host));
    named.iter_mut().filter(|hop| !policy.matches(&hop.host)).for_each(|hop| hop.barred = Some(why.clone()));
    skipped.extend(unnamed.iter().map(|hop| left_out(upstream, &hop.host, why.clone(), began)));
    if named.is_empty() {
        let error = format!("the MTA-STS policy of {domain} ({}) names none of its mail exchangers", policy.id);
        return Err(NotFound { skipped, lookups, dns_us, ..not(UNSAFE, Actor::Proxy, error) });
    }
    Ok(Found { hops: named, skipped, lookups, dns_us })
}

fn enforces(answer: &mta_sts::Answer) -> bool {
    answer.policy().is_some_and(|policy| policy.mode == Mode::Enforce)
}

/// What a domain's policy says of TLS with one of its hosts.
fn under_policy(hop: NextHop, answer: &mta_sts::Answer) -> NextHop {
    let told = |policy: &str, source: String| Some(TlsPolicy { policy: policy.to_owned(), source, verified_by: None });
    match answer {
        mta_sts::Answer::Policy { policy, stale } if policy.mode == Mode::Enforce && policy.matches(&hop.host) => {
            let stale = stale.as_ref().map(|why| format!(", known from before: {why}")).unwrap_or_default();
            let source = format!("MTA-STS policy {}, enforce{stale}", policy.id);
            NextHop { tls: UpstreamTls::Required, policy: told("mta-sts", source), ..hop }
        }
        mta_sts::Answer::Policy { policy, .. } => {
            let named = if policy.matches(&hop.host) { "" } else { "; it doesn't name this host" };
            let source = format!("MTA-STS policy {}, {}{named}", policy.id, policy.mode.as_str());
            NextHop { policy: told("opportunistic", source), ..hop }
        }
        mta_sts::Answer::NoPolicy => NextHop { policy: None, ..hop },
        mta_sts::Answer::Unusable { why } => NextHop { policy: told("opportunistic", format!("MTA-STS policy of no use: {why}")), ..hop },
    }
}

fn hop(upstream: &UpstreamOptions, host: String) -> NextHop {
    let dane = matches!(upstream.tls, UpstreamTls::Dane | UpstreamTls::DaneOrMtaSts);
    let tls = match upstream.tls {
        UpstreamTls::Dane | UpstreamTls::MtaSts | UpstreamTls::DaneOrMtaSts => UpstreamTls::Opportunistic,
        tls => tls,
    };
    NextHop { dane, ..NextHop::new(host, upstream.port, tls) }
}

fn refusal_of(error: &NoExchanger) -> Refusal {
    match error {
        NoExchanger::NullMx { .. } => NULL_MX,
        NoExchanger::NoSuchDomain { .. } => BAD_DOMAIN,
        NoExchanger::NoMailHost { .. } | NoExchanger::AllBroken { .. } => NO_ROUTE,
        NoExchanger::Dns { .. } | NoExchanger::Address { .. } if error.is_temporary() => DNS_FAILED,
        NoExchanger::Dns { .. } | NoExchanger::Address { .. } => NO_ROUTE,
    }
}

fn left_out(upstream: &UpstreamOptions, host: &str, error: String, began: Instant) -> Tried {
    Tried { host: host.to_owned(), ip: None, port: upstream.port, stage: Stage::Connect, error, at_us: micros(began) }
}

/// Why an exchanger may not be at this address; `None`: it may.
pub(super) fn misplaced(resolver: &Resolver, upstream: &UpstreamOptions, ip: IpAddr) -> Option<Misplaced> {
    let ip = ip.to_canonical();
    if upstream.private_networks.iter().any(|network| network.contains(&ip)) {
        return None;
    }
    if resolver.is_own(ip) {
        return Some(Misplaced { own: true, words: format!("{ip} is this machine: mail would go round in a circle") });
    }
    let why = not_global(ip)?;
    Some(Misplaced { own: false, words: format!("{ip} is {why}, where no mail exchanger of the internet is") })
}

pub(super) struct Misplaced {
    /// It is this machine.
    pub own: bool,
    pub words: String,
}
