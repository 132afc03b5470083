//! Host names to addresses: literals, the hosts file, then DNS in both families.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use thiserror::Error;

use super::names::to_ascii;
use super::{Dnssec, Failure, Kind, Lookup, Resolver, bare};

/// Why a name has no usable address. Only the first two are the name's own fault.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResolveError {
    #[error("no such name in DNS: {host}")]
    NoSuchName { host: String },
    #[error("{host} exists in DNS but has no address (no A or AAAA record)")]
    NoAddress { host: String },
    #[error("DNS did not answer for {host} within {} s", .after.as_secs_f64())]
    Timeout { host: String, after: Duration },
    #[error("DNS failed for {host}: {why}")]
    ServerFailure { host: String, why: String },
    #[error("{host:?} is not a host name: {why}")]
    NotAName { host: String, why: String },
}

impl ResolveError {
    /// Whether asking again later may help.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::ServerFailure { .. })
    }
}

/// The addresses of one host, and how they were come by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostAddresses {
    /// As asked, in A-labels.
    pub host: String,
    /// Those first that the kernel knows a way to, IPv6 and IPv4 by turns. Empty if `failure` is there.
    pub addresses: Vec<IpAddr>,
    /// The AAAA and the A look-up, each with its own outcome; none for a literal or a name of the hosts file.
    pub lookups: Vec<Lookup>,
    /// Why there is no address at all.
    pub failure: Option<ResolveError>,
}

impl HostAddresses {
    /// What DNSSEC says of the records that gave the addresses (RFC 7672 2.2.1: all of them must be secure for DANE).
    pub fn dnssec(&self) -> Dnssec {
        let found = self.lookups.iter().filter(|lookup| lookup.failure().is_none());
        found.map(Lookup::dnssec).reduce(Dnssec::and).unwrap_or(Dnssec::Unchecked)
    }

    /// Where CNAMEs led, if the host is an alias.
    pub fn canonical_name(&self) -> Option<&str> {
        let found = self.lookups.iter().filter(|lookup| lookup.failure().is_none());
        found.filter_map(|lookup| lookup.answer.canonical_name.as_deref()).next()
    }
}

impl Resolver {
    /// All addresses of a host that an administrator named, usable ones first. Never empty. The system's search list counts:
    /// names with a dot are taken as they are first. Takes no longer than `timeout` for each name of it.
    pub async fn addresses(&self, host: &str, timeout: Duration) -> Result<Vec<IpAddr>, ResolveError> {
        let found = self.named_host(host, timeout).await;
        found.failure.map_or(Ok(found.addresses), Err)
    }

    /// The same with what DNS said.
    pub async fn named_host(&self, host: &str, timeout: Duration) -> HostAddresses {
        let asked = self.shared.system.asked().clone();
        self.host(host, &asked.search, true, timeout).await
    }

    /// The name of an address (PTR), in lower case without final dot; the first if there are several. Nobody vouches for it.
    pub async fn name_of(&self, address: IpAddr, timeout: Duration) -> Option<String> {
        let lookup = self.look_up(&reverse_name(address), Kind::Ptr, timeout).await;
        lookup.data().iter().find_map(|data| match data {
            RData::PTR(target) => Some(bare(&target.0)),
            _ => None,
        })
    }

    /// All addresses of a host with what DNS said of each family: one that fails doesn't spoil the other's answer. The name
    /// is taken as it is (no search list), as befits one that came out of DNS.
    pub async fn host_addresses(&self, host: &str, timeout: Duration) -> HostAddresses {
        self.host(host, &[], true, timeout).await
    }

    /// The same as others see it: what the hosts file of this machine says doesn't count.
    pub async fn public_addresses(&self, host: &str, timeout: Duration) -> HostAddresses {
        self.host(host, &[], false, timeout).await
    }

    async fn host(&self, host: &str, search: &[Name], with_file: bool, timeout: Duration) -> HostAddresses {
        let empty = |host: &str| HostAddresses { host: host.to_owned(), addresses: Vec::new(), lookups: Vec::new(), failure: None };
        if let Some(literal) = literal(host) {
            return HostAddresses { addresses: vec![literal], ..empty(host) };
        }
        let not_a_name = |why| ResolveError::NotAName { host: host.to_owned(), why };
        let name = to_ascii(host).and_then(|ascii| Name::from_ascii(&*ascii).map_err(|error| error.to_string()));
        let name = match name {
            Ok(name) if !name.is_root() => name,
            Ok(_) => return HostAddresses { failure: Some(not_a_name("it is empty".to_owned())), ..empty(host) },
            Err(why) => return HostAddresses { failure: Some(not_a_name(why)), ..empty(host) },
        };
        let listed = if with_file { self.listed(&name) } else { Vec::new() };
        let mut found = if listed.is_empty() {
            self.searched(host, &name, search, timeout).await
        } else {
            HostAddresses { addresses: listed, ..empty(&bare(&name)) }
        };
        alternate(&mut found.addresses);
        self.put_unreachable_last(&mut found.addresses);
        found
    }

    /// Whether a connection to this address would end at this very machine: [`super::is_own`], remembered for 10 s.
    pub fn is_own(&self, address: IpAddr) -> bool {
        self.shared.routes.is_own(address)
    }

    /// RFC 6724 rule 1: a machine without IPv6 should not try it first, and have that in each record.
    fn put_unreachable_last(&self, addresses: &mut [IpAddr]) {
        let mixed = addresses.iter().any(IpAddr::is_ipv6) && addresses.iter().any(IpAddr::is_ipv4);
        if mixed {
            addresses.sort_by_cached_key(|address| !self.shared.routes.is_routed(*address));
        }
    }

    /// What the hosts file says.
    fn listed(&self, name: &Name) -> Vec<IpAddr> {
        let mut fqdn = name.clone();
        fqdn.set_fqdn(true);
        let hosts = self.shared.hosts.hosts(Instant::now());
        let mut found: Vec<IpAddr> = [RecordType::AAAA, RecordType::A]
            .into_iter()
            .filter_map(|family| hosts.lookup_static_host(&Query::query(fqdn.clone(), family)))
            .flat_map(|lookup| lookup.answers().iter().filter_map(|record| address_of(&record.data)).collect::<Vec<_>>())
            .collect();
        if found.is_empty() && fqdn.is_localhost() {
            found = vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]; // RFC 6761 6.3
        }
        found
    }

    /// What DNS says of the name, or of the first name in the search list that exists (resolv.conf(5), ndots:1).
    async fn searched(&self, host: &str, name: &Name, search: &[Name], timeout: Duration) -> HostAddresses {
        let longer: Vec<Name> = match name.is_fqdn() {
            true => Vec::new(),
            false => search.iter().filter_map(|suffix| name.clone().append_domain(suffix).ok()).collect(),
        };
        let as_it_is = std::iter::once(name.clone());
        let candidates: Vec<Name> =
            if name.num_labels() > 1 { as_it_is.chain(longer).collect() } else { longer.into_iter().chain(as_it_is).collect() };
        let mut told: Option<HostAddresses> = None;
        for candidate in candidates {
            let found = self.asked(host, &candidate, timeout).await;
            match found.failure {
                Some(ResolveError::NoSuchName { .. } | ResolveError::NoAddress { .. }) => drop(told.get_or_insert(found)),
                _ => return found,
            }
        }
        told.unwrap_or_else(|| HostAddresses {
            host: host.to_owned(),
            addresses: Vec::new(),
            lookups: Vec::new(),
            failure: Some(ResolveError::NoSuchName { host: host.to_owned() }),
        })
    }

    async fn asked(&self, host: &str, name: &Name, timeout: Duration) -> HostAddresses {
        let asked = bare(name);
        let (six, four) = tokio::join!(self.look_up(&asked, Kind::Aaaa, timeout), self.look_up(&asked, Kind::A, timeout));
        let addresses: Vec<IpAddr> = [&six, &four].into_iter().flat_map(|it| it.data().iter().filter_map(address_of)).collect();
        let failure = addresses.is_empty().then(|| {
            let failures = [&six, &four].into_iter().filter_map(|it| it.failure().map(|failure| in_words(host, timeout, failure)));
            worst(failures.collect()).unwrap_or_else(|| ResolveError::NoAddress { host: host.to_owned() })
        });
        HostAddresses { host: asked, addresses, lookups: vec![six, four], failure }
    }
}

/// The name under which an address has its own in DNS (RFC 1035 3.5, RFC 3596 2.5), without final dot.
pub fn reverse_name(address: IpAddr) -> String {
    bare(&Name::from(address.to_canonical()))
}

/// RFC 8305 4: six, four, six, four. A way that leads nowhere in one family must not use up the time of the other.
fn alternate(addresses: &mut Vec<IpAddr>) {
    let (six, four): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|address| address.is_ipv6());
    let (mut six, mut four) = (six.into_iter(), four.into_iter());
    addresses.clear();
    while six.len() + four.len() > 0 {
        addresses.extend(six.next().into_iter().chain(four.next()));
    }
}

/// `192.0.2.1`, `2001:db8::1` or either in brackets.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

pub(super) fn address_of(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

fn in_words(host: &str, timeout: Duration, failure: &Failure) -> ResolveError {
    let host = host.to_owned();
    match failure {
        Failure::NoSuchName => ResolveError::NoSuchName { host },
        Failure::NoRecord => ResolveError::NoAddress { host },
        Failure::TimedOut { after } => ResolveError::Timeout { host, after: timeout.min(*after) },
        Failure::NotAName { why } => ResolveError::NotAName { host, why: why.clone() },
        Failure::Unreachable { why } => ResolveError::ServerFailure { host, why: why.clone() },
        other => ResolveError::ServerFailure { host, why: other.to_string() },
    }
}

/// Of two failures the one to tell: what may pass before what won't, as servers that deny the whole name for want of one family
/// are about; then that the name doesn't exist.
fn worst(failures: Vec<ResolveError>) -> Option<ResolveError> {
    let rank = |error: &ResolveError| match error {
        ResolveError::ServerFailure { .. } => 0,
        ResolveError::Timeout { .. } => 1,
        ResolveError::NoSuchName { .. } => 2,
        ResolveError::NoAddress { .. } | ResolveError::NotAName { .. } => 3,
    };
    failures.into_iter().min_by_key(rank)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv4_comes_second_however_many_ipv6_addresses_there_are() {
        let list = |text: &str| text.split_whitespace().map(|it| it.parse().unwrap()).collect::<Vec<IpAddr>>();
        for (found, order) in [
            ("::1 ::2 ::3 192.0.2.1 192.0.2.2", "::1 192.0.2.1 ::2 192.0.2.2 ::3"),
            ("::1 192.0.2.1 192.0.2.2", "::1 192.0.2.1 192.0.2.2"),
            ("192.0.2.2 192.0.2.1", "192.0.2.2 192.0.2.1"),
            ("", ""),
        ] {
            let mut addresses = list(found);
            alternate(&mut addresses);
            assert_eq!(addresses, list(order));
        }
    }
}
