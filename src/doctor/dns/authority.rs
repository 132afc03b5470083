//! The servers that speak for the domain's zone: each one asked by itself, whether they say the same, and whether they stand apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::task::JoinSet;

use super::super::check::Check;
use super::delegation::{self, Zone};
use super::{DomainOptions, counted};
use crate::net::resolve::{DirectAnswer, Failure, Kind, Manner, Resolver, ask};

/// Servers that are looked at, and addresses of each.
const MOST_SERVERS: usize = 8;
const MOST_ADDRESSES: usize = 2;

pub(super) async fn examine(resolver: &Resolver, options: &DomainOptions, domain: &str) -> Vec<Check> {
    let Some((zone, above)) = delegation::find(resolver, options, domain).await else {
        let check =
            Check::asking("ns.records", format!("NS of {domain} and the domains above"), "they say who speaks for the domain in DNS");
        return vec![
            check.fail("none could be found", "If the domain is yours: look at its delegation at the registrar, and at its name servers."),
        ];
    };
    let Zone { name: zone, servers: names, failure } = zone;
    // Resolvers come to the zone by those that the zone above names, whatever the zone itself says.
    let mut all = names.clone();
    all.extend(above.iter().flat_map(|above| &above.servers).filter(|name| !names.contains(name)).cloned());
    let mut tasks = JoinSet::new();
    for (place, name) in all.into_iter().take(MOST_SERVERS).enumerate() {
        let (resolver, options, zone, domain) = (resolver.clone(), options.clone(), zone.clone(), domain.to_owned());
        tasks.spawn(async move { (place, one(&resolver, &options, &name, &zone, &domain).await) });
    }
    let mut found = tasks.join_all().await;
    found.sort_by_key(|(place, _)| *place);
    let found: Vec<Asked> = found.into_iter().flat_map(|(_, asked)| asked).collect();
    let mut checks: Vec<Check> = Vec::new();
    match failure {
        Some(failure) => checks.push(delegation::unanswered(&zone, above.as_ref(), &failure)),
        None => {
            checks.push(said(&zone, &names));
            checks.extend(above.as_ref().map(|above| above.check(&zone, &names)));
        }
    }
    checks.extend(found.iter().map(|asked| server(asked, &zone)));
    checks.extend(agree(&zone, domain, &found));
    checks.extend(apart(&zone, &found));
    checks
}

/// What one address of one server said.
struct Asked {
    name: String,
    /// Absent: the name leads nowhere, or to where it isn't asked.
    address: Option<IpAddr>,
    /// Why not.
    not_asked: Option<String>,
    soa: Option<DirectAnswer>,
    mx: Option<DirectAnswer>,
}

async fn one(resolver: &Resolver, options: &DomainOptions, name: &str, zone: &str, domain: &str) -> Vec<Asked> {
    let not_asked = |address, why: String| Asked { name: name.to_owned(), address, not_asked: Some(why), soa: None, mx: None };
    let found = resolver.public_addresses(name, options.patience).await;
    if let Some(failure) = found.failure {
        return vec![not_asked(None, failure.to_string())];
    }
    let mut all = Vec::new();
    for address in found.addresses.into_iter().take(MOST_ADDRESSES) {
        if let Some(why) = options.forbidden(address) {
            all.push(not_asked(Some(address), format!("{address} is {why}: nobody on the internet can ask it")));
            continue;
        }
        let server = SocketAddr::new(address, options.dns_port);
        let (soa, mx) = tokio::join!(
            ask(server, zone, Kind::Soa, Manner::default(), options.patience),
            ask(server, domain, Kind::Mx, Manner::default(), options.patience)
        );
        all.push(Asked { name: name.to_owned(), address: Some(address), not_asked: None, soa: Some(soa), mx: Some(mx) });
    }
    all
}

fn said(zone: &str, names: &[String]) -> Check {
    let check =
        Check::asking("ns.records", format!("NS of {zone}"), "if the only name server fails, the domain has no mail until it is back");
    let listed = names.join(", ");
    match names.len() {
        1 => check
            .warn(format!("only one: {listed}"), "RFC 2182 wants two at least, in different places: add a secondary at another provider."),
        _ => check.ok(listed),
    }
}

fn server(asked: &Asked, zone: &str) -> Check {
    let place = asked.address.map_or_else(|| asked.name.clone(), |address| format!("{} [{address}]", asked.name));
    let why = "a server that doesn't answer, or doesn't know the zone (lame), costs each look-up that comes to it a time-out";
    let check = Check::asking("ns.server", format!("SOA of {zone} at {place}"), why);
    let take_out = format!("Put the zone on this server, or take {} out of the NS records, here and at the registrar.", asked.name);
    let soa = match (&asked.not_asked, &asked.soa) {
        (Some(why), _) => return check.fail(why.clone(), take_out),
        (None, Some(soa)) => soa,
        (None, None) => return check.skipped("it wasn't asked"),
    };
    let check = check.took(soa.took);
    match &soa.failure {
        Some(Failure::Unreachable { why }) if asked.address.is_some_and(|it| it.is_ipv6()) && why.contains("unreachable") => {
            check.skipped(format!("there is no IPv6 here: {why}"))
        }
        Some(failure @ (Failure::TimedOut { .. } | Failure::Unreachable { .. })) => check
            .fail(failure.to_string(), format!("Start it, or let port {} through (UDP and TCP). If it is gone for good: {take_out}", 53)),
        Some(failure) => check.fail(format!("lame: {failure}"), take_out),
        None if !soa.authoritative => check.fail("lame: it answers, but doesn't speak for the zone (no AA bit)", take_out),
        None => {
            let serial = soa.serial.map(|serial| format!("serial {serial}")).unwrap_or_default();
            if soa.recursive {
                return check.warn(
                    format!("{serial}; it also asks others for whoever wants it (recursion)"),
                    "Switch recursion off for strangers (BIND: `recursion no`): open resolvers are abused for attacks.",
                );
            }
            check.ok(serial)
        }
    }
}

/// Whether all who answered say the same.
fn agree(zone: &str, domain: &str, found: &[Asked]) -> Vec<Check> {
    let answered = || found.iter().filter(|asked| asked.soa.as_ref().is_some_and(|soa| soa.failure.is_none() && soa.authoritative));
    if answered().count() < 2 {
        return Vec::new();
    }
    let mut serials: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    let mut exchangers: BTreeMap<Vec<String>, Vec<&str>> = BTreeMap::new();
    for asked in answered() {
        if let Some(serial) = asked.soa.as_ref().and_then(|soa| soa.serial) {
            serials.entry(serial).or_default().push(&asked.name);
        }
        if let Some(mx) = asked.mx.as_ref().filter(|mx| mx.failure.as_ref().is_none_or(Failure::is_denial)) {
            exchangers.entry(mx.records.clone()).or_default().push(&asked.name);
        }
    }
    let why = "each question comes to any one of them: where they differ, mail goes now here, now there";
    let serial = Check::asking("ns.serial", format!("serial of {zone} at all its servers"), why);
    let mx = Check::asking("ns.mx", format!("MX of {domain} at all its servers"), why);
    let by = |servers: &[&str]| servers.iter().copied().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ");
    let serial = match serials.len() {
        0 | 1 => serial.ok("the same everywhere"),
        _ => serial.warn(
            serials.iter().map(|(serial, servers)| format!("{serial} at {}", by(servers))).collect::<Vec<_>>().join("; "),
            "After a change this passes within minutes. If it stays: zone transfers fail. Count the serial up, let the secondaries through to the \
             primary (`allow-transfer`, NOTIFY, TSIG keys), and look at their logs.",
        ),
    };
    let mx = match exchangers.len() {
        0 | 1 => mx.ok("the same everywhere"),
        _ => mx.fail(
            exchangers.iter().map(|(records, servers)| format!("{} at {}", shown(records), by(servers))).collect::<Vec<_>>().join("; "),
            "Bring the servers to the same version of the zone; see the serials.",
        ),
    };
    vec![serial, mx]
}

fn shown(records: &[String]) -> String {
    if records.is_empty() { "none".to_owned() } else { records.join(", ") }
}

/// Whether one broken line takes all of them away.
fn apart(zone: &str, found: &[Asked]) -> Option<Check> {
    let addresses: BTreeSet<IpAddr> = found.iter().filter_map(|asked| asked.address).collect();
    let networks: BTreeSet<IpNet> = addresses.iter().filter_map(|address| network(*address)).collect();
    if found.len() < 2 {
        return None;
    }
    let check =
        Check::asking("ns.apart", format!("networks of the servers of {zone}"), "servers behind one line or in one building fail together");
    Some(match (addresses.len(), networks.len()) {
        (0, _) => return None,
        (1, _) => check.warn("all names lead to the same address", "Add a secondary on another machine, in another network (RFC 2182)."),
        (_, 1) => {
            let network = networks.first().map(ToString::to_string).unwrap_or_default();
            check.warn(format!("all in {network}"), "Add a secondary in another network: many DNS providers offer one (RFC 2182).")
        }
        (_, many) => check.ok(counted(many, "network", "networks")),
    })
}

fn network(address: IpAddr) -> Option<IpNet> {
    Some(match address {
        IpAddr::V4(address) => IpNet::V4(Ipv4Net::new(address, 24).ok()?.trunc()),
        IpAddr::V6(address) => IpNet::V6(Ipv6Net::new(address, 48).ok()?.trunc()),
    })
}
