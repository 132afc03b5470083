//! Which zone a domain lies in, and what the zone above says of that zone's servers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::super::check::Check;
use super::DomainOptions;
use crate::net::resolve::{Failure, Kind, Manner, Resolver, ask};

/// Servers of the zone above that are asked, one after the other, until one refers to the zone.
const MOST_ABOVE: usize = 3;

/// A zone as resolvers see it.
pub(super) struct Zone {
    pub name: String,
    /// By its own NS records; empty where nobody answers for it.
    pub servers: Vec<String>,
    /// Why its NS records can't be had: nobody who should speak for the zone does.
    pub failure: Option<Failure>,
}

/// What the zone above says.
pub(super) struct Above {
    name: String,
    pub servers: Vec<String>,
    took: Duration,
}

/// The zone that holds the domain, and what the zone above says of it, where that can be had. `None`: there is no such zone.
pub(super) async fn find(resolver: &Resolver, options: &DomainOptions, domain: &str) -> Option<(Zone, Option<Above>)> {
    let (broken, zone) = walk(resolver, options, domain).await;
    let Some(zone) = zone else { return broken.map(|broken| (broken, None)) };
    if let Some(broken) = broken {
        match refer(resolver, options, &zone, &broken.name).await {
            Said::Refers(above) => return Some((broken, Some(above))),
            Said::Nothing => return Some((broken, None)),
            Said::Holds => {} // no zone of its own: only its NS question wasn't answered
        }
    }
    let parent = match zone.name.split_once('.') {
        Some((_, parent)) => walk(resolver, options, parent).await.1,
        None => None,
    };
    let above = match parent {
        Some(parent) => refer(resolver, options, &parent, &zone.name).await,
        None => Said::Nothing,
    };
    Some((zone, if let Said::Refers(above) = above { Some(above) } else { None }))
}

/// From the name upwards: the first zone that answers, and the last one before it that doesn't.
async fn walk(resolver: &Resolver, options: &DomainOptions, domain: &str) -> (Option<Zone>, Option<Zone>) {
    let mut broken = None;
    let mut name = Some(domain);
    while let Some(here) = name {
        let lookup = resolver.look_up(here, Kind::Ns, options.patience).await;
        let servers = lookup.targets();
        if !servers.is_empty() && lookup.answer.canonical_name.is_none() {
            return (broken, Some(Zone { name: here.to_owned(), servers, failure: None }));
        }
        if let Some(failure) = lookup.answer.failure.as_ref().filter(|failure| !failure.is_denial()) {
            broken = Some(Zone { name: here.to_owned(), servers: Vec::new(), failure: Some(failure.clone()) });
        }
        name = here.split_once('.').map(|(_, parent)| parent);
    }
    (broken, None)
}

enum Said {
    Refers(Above),
    /// The zone's own servers speak for that name themselves.
    Holds,
    /// None of them can be asked, or they don't say.
    Nothing,
}

/// What the servers of `zone` say of the zone `name` below it.
async fn refer(resolver: &Resolver, options: &DomainOptions, zone: &Zone, name: &str) -> Said {
    for server in zone.servers.iter().take(MOST_ABOVE) {
        let addresses = resolver.public_addresses(server, options.patience).await.addresses;
        let Some(address) = addresses.into_iter().find(|it| it.is_ipv4() && options.forbidden(*it).is_none()) else { continue };
        let answer = ask(SocketAddr::new(address, options.dns_port), name, Kind::Ns, Manner::default(), options.patience).await;
        if answer.authoritative {
            return Said::Holds;
        }
        if !answer.referral.is_empty() {
            return Said::Refers(Above { name: zone.name.clone(), servers: answer.referral, took: answer.took });
        }
    }
    Said::Nothing
}

const WHY: &str = "resolvers come to the zone by what the zone above says, and go on by what it says itself";

impl Above {
    /// Compares with what the zone says itself.
    pub fn check(&self, zone: &str, own: &[String]) -> Check {
        let check = Check::asking("ns.delegation", format!("NS of {zone} in {}", self.name), WHY).took(self.took);
        let told: BTreeSet<&str> = self.servers.iter().map(String::as_str).collect();
        let own: BTreeSet<&str> = own.iter().map(String::as_str).collect();
        if told == own {
            return check.ok("the same as in the zone itself");
        }
        let only = |these: &BTreeSet<&str>, others: &BTreeSet<&str>| these.difference(others).copied().collect::<Vec<_>>().join(", ");
        let (above_only, own_only) = (only(&told, &own), only(&own, &told));
        let mut parts = Vec::new();
        if !above_only.is_empty() {
            parts.push(format!("only in {}: {above_only}", self.name));
        }
        if !own_only.is_empty() {
            parts.push(format!("only in the zone itself: {own_only}"));
        }
        let fix = "Decide which servers are right, and have the same ones in the zone's NS records and at the registrar (who writes them into the \
                   zone above). Take out those that don't hold the zone (lame, below) first.";
        check.warn(parts.join("; "), fix)
    }
}

/// The zone's own NS records can't be had.
pub(super) fn unanswered(zone: &str, above: Option<&Above>, failure: &Failure) -> Check {
    let check = Check::asking("ns.records", format!("NS of {zone}"), "if nobody speaks for the domain, it has no mail at all");
    match above {
        Some(above) => check.took(above.took).fail(
            format!("nobody answers for it ({failure}), although {} hands it to {}", above.name, above.servers.join(", ")),
            "None of these servers holds the zone, or can be reached: bring one of them back, or name the right ones at the registrar.",
        ),
        None => check.fail(
            failure.to_string(),
            "If the domain is yours: look at its delegation at the registrar, and at its name servers. If its zone is signed: a DS record \
             at the registrar that fits no key looks the same (`delv NS` says so).",
        ),
    }
}
