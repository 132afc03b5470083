//! The MX records of a domain, and whether each host that they name can be found.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tokio::task::JoinSet;

use super::super::check::Check;
use super::{DomainOptions, counted};
use crate::net::resolve::{Dnssec, Exchanger, ExchangerOptions, HostAddresses, MailExchangers, NoExchanger, Resolver};

/// Hosts that are looked at.
const MOST: usize = 10;

/// A host that takes the domain's mail, and its addresses.
#[derive(Debug, Clone)]
pub(super) struct Host {
    pub preference: u16,
    /// Whether no other is preferred to it.
    pub first: bool,
    pub addresses: HostAddresses,
}

/// What the other parts of the examination go by.
#[derive(Debug, Clone)]
pub(super) struct Mx {
    pub hosts: Vec<Host>,
    /// What DNSSEC says of the MX answer.
    pub dnssec: Dnssec,
    /// DNS says that there is no such domain.
    pub no_such_domain: bool,
}

pub(super) async fn examine(resolver: &Resolver, options: &DomainOptions, domain: &str) -> (Vec<Check>, Mx) {
    let asking = ExchangerOptions { most: MOST, timeout: options.patience, seed: Some(0) };
    let found = resolver.mail_exchangers(domain, &asking).await;
    let mut checks = vec![records(&found)];
    checks.extend(found.skipped.iter().map(|skipped| useless(domain, &skipped.exchange, skipped.preference, skipped.why)));
    let exchangers = found.outcome.as_deref().unwrap_or_default();
    let hosts = addresses(resolver, options, exchangers).await;
    checks.extend(hosts.iter().map(|host| can_be_found(domain, host, options, found.implicit)));
    checks.extend(spread(domain, &hosts));
    let no_such_domain = matches!(found.outcome, Err(NoExchanger::NoSuchDomain { .. }));
    (checks, Mx { hosts, dnssec: found.dnssec, no_such_domain })
}

async fn addresses(resolver: &Resolver, options: &DomainOptions, exchangers: &[Exchanger]) -> Vec<Host> {
    let lowest = exchangers.iter().map(|it| it.preference).min();
    let mut tasks = JoinSet::new();
    for (place, exchanger) in exchangers.iter().cloned().enumerate() {
        let (resolver, patience) = (resolver.clone(), options.patience);
        tasks.spawn(async move {
            let addresses = resolver.public_addresses(&exchanger.host, patience).await;
            let first = Some(exchanger.preference) == lowest;
            (place, Host { preference: exchanger.preference, first, addresses })
        });
    }
    let mut hosts = tasks.join_all().await;
    hosts.sort_by_key(|(place, _)| *place);
    hosts.into_iter().map(|(_, host)| host).collect()
}

fn records(found: &MailExchangers) -> Check {
    let domain = &found.domain;
    let server = found.lookups.first().and_then(|lookup| lookup.answer.server);
    let at = server.map(|server| format!(" at {server}")).unwrap_or_default();
    let check =
        Check::asking("mx.records", format!("MX of {domain}{at}"), "it says which hosts take the domain's mail, and in which order");
    let check = check.took(found.lookups.first().map(|lookup| lookup.took).unwrap_or_default());
    let publish = format!("Publish `{domain}. 3600 IN MX 10 mail.{domain}.` (with your mail host's name).");
    match &found.outcome {
        Ok(_) if found.implicit => check.warn(
            "there is no MX record: the domain's own address is taken for its mail host (RFC 5321 5.1)",
            format!("{publish} If the domain takes no mail, say so: `{domain}. 3600 IN MX 0 .` (RFC 7505)."),
        ),
        Ok(hosts) => {
            let listed: Vec<String> = hosts.iter().map(|it| format!("{} {}", it.preference, it.host)).collect();
            let more = if found.cut > 0 { format!(" and {} more", found.cut) } else { String::new() };
            let alias = found.canonical_name.as_ref().map(|name| format!(" ({domain} is an alias of {name})")).unwrap_or_default();
            check.ok(format!("{}{more}{alias}; DNSSEC: {}", listed.join(", "), found.dnssec))
        }
        Err(NoExchanger::NullMx { .. }) => check.warn(
            "`0 .`, the null MX: the domain says that it takes no mail at all (RFC 7505), and each mail to it is returned at once",
            format!("If it should take mail: {publish}"),
        ),
        Err(NoExchanger::NoSuchDomain { .. }) => check.fail(
            "no such domain (NXDOMAIN): each mail to it is returned at once",
            "Is the domain spelled right? If it is yours: has its registration run out, or does its zone lack the name? `whois` tells.",
        ),
        Err(error @ (NoExchanger::NoMailHost { .. } | NoExchanger::AllBroken { .. })) => check.fail(error.to_string(), publish),
        Err(error @ (NoExchanger::Dns { .. } | NoExchanger::Address { .. })) => check.fail(
            format!("{error}: mail waits in the queue until this works or it is too old"),
            "If only this domain fails, its own name servers or signatures are broken: its owner must act (see \"Authoritative servers\"). If \
             others fail too, look at the resolver.",
        ),
    }
}

fn useless(domain: &str, exchange: &str, preference: u16, why: &str) -> Check {
    let why_it_matters = "a record that names no host loses mail, or delays it, at senders that try it";
    let check = Check::asking("mx.exchange", format!("MX {preference} {exchange} of {domain}"), why_it_matters);
    check.fail(
        why,
        format!(
            "An MX record must name a host (RFC 5321 5.1): publish `mail.{domain}. IN A ADDRESS` and `{domain}. IN MX {preference} \
             mail.{domain}.`, and take the other out."
        ),
    )
}

fn can_be_found(domain: &str, host: &Host, options: &DomainOptions, implicit: bool) -> Check {
    let name = &host.addresses.host;
    let asked = format!("addresses of {name} (preference {})", host.preference);
    let check = Check::asking("mx.host", asked, "a host without a usable address takes no mail");
    let check = check.took(host.addresses.lookups.iter().map(|lookup| lookup.took).max().unwrap_or_default());
    let worst = |check: Check, answer: String, fix: String| if host.first { check.fail(answer, fix) } else { check.warn(answer, fix) };
    if let Some(failure) = &host.addresses.failure {
        let fix = if failure.is_temporary() {
            format!("The name servers of {name} don't answer as they should: its owner must look at them.")
        } else {
            format!("Publish `{name}. IN A ADDRESS`, or take the host out of the MX records of {domain}.")
        };
        return worst(check, format!("dangling: {failure}"), fix);
    }
    let shown: Vec<String> = host.addresses.addresses.iter().map(ToString::to_string).collect();
    let unusable: Vec<(IpAddr, String)> =
        host.addresses.addresses.iter().filter_map(|address| Some((*address, options.forbidden(*address)?))).collect();
    if let Some((address, why)) = unusable.first() {
        let answer = format!("{}; {address} is {why}, where nobody on the internet can reach it", shown.join(", "));
        let fix = format!("Publish the public address of {name} in the public zone; inner addresses belong into an inner view of it.");
        return if unusable.len() == shown.len() { worst(check, answer, fix) } else { check.warn(answer, fix) };
    }
    if let Some(canonical) = host.addresses.canonical_name().filter(|_| !implicit) {
        return check.warn(
            format!("{name} is an alias (CNAME) of {canonical}: {}", shown.join(", ")),
            format!("RFC 2181 10.3 wants a host with addresses of its own here, and some senders refuse aliases: publish `{domain}. IN MX {} {canonical}.`.", host.preference),
        );
    }
    check.ok(shown.join(", "))
}

/// Whether several preferences lead to several hosts.
fn spread(domain: &str, hosts: &[Host]) -> Option<Check> {
    let preferences: BTreeSet<u16> = hosts.iter().map(|host| host.preference).collect();
    let found: Vec<BTreeSet<IpAddr>> = hosts.iter().map(|host| host.addresses.addresses.iter().copied().collect()).collect();
    let all: BTreeSet<IpAddr> = found.iter().flatten().copied().collect();
    if hosts.len() < 2 || all.is_empty() {
        return None;
    }
    let check =
        Check::asking("mx.spread", format!("hosts behind the MX records of {domain}"), "a second MX helps only if it is another machine");
    let same = found.iter().all(|addresses| *addresses == all);
    let answer = format!(
        "{} with {} and {}",
        counted(hosts.len(), "host", "hosts"),
        counted(preferences.len(), "preference", "preferences"),
        counted(all.len(), "address", "addresses")
    );
    Some(match same {
        true => check.warn(
            format!("{answer}: all of them are the same machine"),
            "Take the copies out: senders that fail at the first try the same machine again and again before they wait.",
        ),
        false => check.ok(answer),
    })
}
