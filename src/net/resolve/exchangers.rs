//! The mail exchangers of a domain (RFC 5321 5.1): MX by preference, the domain itself where there is none.

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use hickory_resolver::proto::rr::RData;
use thiserror::Error;
use tokio::task::JoinSet;

use super::names::exchange;
use super::{Dnssec, Failure, Kind, Lookup, ResolveError, Resolver};

/// Bounds, and the dice.
#[derive(Debug, Clone, Copy)]
pub struct ExchangerOptions {
    /// Hosts kept, the most preferred ones (default 20).
    pub most: usize,
    /// For each question to DNS (default 5 s).
    pub timeout: Duration,
    /// What hosts of the same preference are shuffled by (RFC 5321 5.1); `None`: anew each time.
    pub seed: Option<u64>,
}

impl Default for ExchangerOptions {
    fn default() -> Self {
        Self { most: 20, timeout: Duration::from_secs(5), seed: None }
    }
}

/// One host that takes mail for the domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchanger {
    /// Lower is tried first; 0 for an implicit one.
    pub preference: u16,
    /// In A-labels and lower case, without final dot.
    pub host: String,
}

/// An MX record that names no host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub preference: u16,
    /// As the record has it; hostile.
    pub exchange: String,
    pub why: &'static str,
}

/// Why mail for a domain has nowhere to go.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NoExchanger {
    /// RFC 7505: the domain's owner says so. 556 5.1.10.
    #[error("{domain} takes no mail (null MX)")]
    NullMx { domain: String },
    #[error("no such domain in DNS: {domain}")]
    NoSuchDomain { domain: String },
    #[error("{domain} exists in DNS but has neither an MX record nor an address")]
    NoMailHost { domain: String },
    #[error("none of the {count} MX records of {domain} names a host: {why}")]
    AllBroken { domain: String, count: usize, why: &'static str },
    /// [`Failure`] says whether the server failed, was silent, or the answer was bogus.
    #[error("the mail exchangers of {domain} can't be looked up: {failure}")]
    Dns { domain: String, failure: Failure },
    /// The domain has no MX record, and its addresses can't be looked up.
    #[error("{domain} has no MX record, and its address can't be looked up: {error}")]
    Address { domain: String, error: ResolveError },
}

impl NoExchanger {
    /// Whether asking again later may help.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Dns { failure, .. } => failure.is_temporary(),
            Self::Address { error, .. } => error.is_temporary(),
            _ => false,
        }
    }
}

/// Where mail for a domain goes, and all that DNS said on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailExchangers {
    /// As asked.
    pub domain: String,
    /// Where CNAMEs led, if the domain is an alias.
    pub canonical_name: Option<String>,
    /// In the order in which they are tried. Never empty.
    pub outcome: Result<Vec<Exchanger>, NoExchanger>,
    /// There was no MX record: the domain's own address takes the mail (RFC 5321 5.1).
    pub implicit: bool,
    /// The first 50 records that were of no use.
    pub skipped: Vec<Skipped>,
    /// How many hosts were left out because there were more than `most`.
    pub cut: usize,
    /// The MX look-up; where there is no MX record, those of the addresses behind it.
    pub lookups: Vec<Lookup>,
    /// What DNSSEC says of the MX answer (or of the denial). RFC 7672 2.2: without `Secure` no DANE.
    pub dnssec: Dnssec,
}

const MOST_SKIPPED: usize = 50;

impl Resolver {
    /// Finds the exchangers of `domain` (A-labels: see [`super::destination`]). A CNAME at the domain is followed; an
    /// exchange that is an alias itself is taken as it is, its addresses are found through it.
    pub async fn mail_exchangers(&self, domain: &str, options: &ExchangerOptions) -> MailExchangers {
        let lookup = self.look_up(domain, Kind::Mx, options.timeout).await;
        let mut found = MailExchangers {
            domain: domain.to_owned(),
            canonical_name: lookup.answer.canonical_name.clone(),
            outcome: Ok(Vec::new()),
            implicit: false,
            skipped: Vec::new(),
            cut: 0,
            dnssec: lookup.dnssec(),
            lookups: vec![lookup.clone()],
        };
        let domain = domain.to_owned();
        found.outcome = match lookup.failure() {
            None => found.listed(&lookup, options),
            Some(Failure::NoRecord) => self.implicit(&mut found, options).await,
            Some(Failure::NoSuchName) => Err(NoExchanger::NoSuchDomain { domain }),
            Some(failure) => Err(NoExchanger::Dns { domain, failure: failure.clone() }),
        };
        found
    }

    /// Puts hosts at `own` addresses before others of their preference: what is no more preferred than this machine may not be tried (RFC 5321
    /// 5.1), and whoever goes through the list learns of it in time. Only hosts that share a preference are looked up. One whose addresses
    /// don't come `soon` keeps its place; it goes on being looked up for `timeout`, for the cache and whoever tries it.
    pub async fn put_own_first(&self, hosts: &mut [Exchanger], own: impl Fn(IpAddr) -> bool, soon: Duration, timeout: Duration) {
        let mut tasks = JoinSet::new();
        for peers in hosts.chunk_by(|one, other| one.preference == other.preference).filter(|peers| peers.len() > 1) {
            for Exchanger { host, .. } in peers {
                let (resolver, host) = (self.clone(), host.clone());
                tasks.spawn(async move { (resolver.host_addresses(&host, timeout).await.addresses, host) });
            }
        }
        let mut found: HashSet<String> = HashSet::new();
        let waiting = async {
            while let Some(looked_up) = tasks.join_next().await {
                found.extend(looked_up.ok().filter(|(addresses, _)| addresses.iter().any(|ip| own(*ip))).map(|(_, host)| host));
            }
        };
        let _ = tokio::time::timeout(soon, waiting).await;
        tasks.detach_all();
        hosts.sort_by_key(|it| (it.preference, !found.contains(&it.host)));
    }

    async fn implicit(&self, found: &mut MailExchangers, options: &ExchangerOptions) -> Result<Vec<Exchanger>, NoExchanger> {
        let addresses = self.host_addresses(&found.domain, options.timeout).await;
        found.implicit = true;
        found.lookups.extend(addresses.lookups);
        let domain = found.domain.clone();
        match addresses.failure {
            None => Ok(vec![Exchanger { preference: 0, host: domain }]),
            Some(error) if error.is_temporary() => Err(NoExchanger::Address { domain, error }),
            Some(_) => Err(NoExchanger::NoMailHost { domain }),
        }
    }
}

impl MailExchangers {
    /// What the MX records name, in order.
    fn listed(&mut self, lookup: &Lookup, options: &ExchangerOptions) -> Result<Vec<Exchanger>, NoExchanger> {
        let mut hosts: Vec<Exchanger> = Vec::new();
        let (mut count, mut first_flaw) = (0, None);
        for data in lookup.data() {
            let RData::MX(mx) = data else { continue };
            count += 1;
            let flaw = match exchange(&mx.exchange) {
                Ok(host) => {
                    hosts.push(Exchanger { preference: mx.preference, host });
                    continue;
                }
                // RFC 7505 3: alone it says that there is no mail; among others it says nothing.
                Err(_) if mx.exchange.is_root() => "it is the null MX, which counts only alone (RFC 7505)",
                Err(why) => why,
            };
            first_flaw.get_or_insert(flaw);
            if self.skipped.len() < MOST_SKIPPED {
                self.skipped.push(Skipped { preference: mx.preference, exchange: mx.exchange.to_ascii(), why: flaw });
            }
        }
        let is_null = |data: &RData| matches!(data, RData::MX(mx) if mx.exchange.is_root());
        if hosts.is_empty() {
            let domain = self.domain.clone();
            if count > 0 && lookup.data().iter().all(is_null) {
                self.skipped.clear();
                return Err(NoExchanger::NullMx { domain });
            }
            return Err(NoExchanger::AllBroken { domain, count, why: first_flaw.unwrap_or("they can't be read") });
        }
        put_in_order(&mut hosts, options.seed);
        self.cut = hosts.len().saturating_sub(options.most);
        hosts.truncate(options.most);
        Ok(hosts)
    }
}

/// By preference, each host once; those of the same preference in any order.
fn put_in_order(hosts: &mut Vec<Exchanger>, seed: Option<u64>) {
    hosts.sort_by(|one, other| (one.preference, &one.host).cmp(&(other.preference, &other.host)));
    let mut seen = HashSet::new();
    hosts.retain(|it| seen.insert(it.host.clone()));
    // The standard hasher is keyed at random for each process and each state: dice enough to spread load.
    let state = RandomState::new();
    hosts.sort_by_cached_key(|it| match seed {
        Some(seed) => (it.preference, fixed_dice(seed, &it.host)),
        None => (it.preference, state.hash_one(&it.host)),
    });
}

/// The same for the same seed, anywhere.
fn fixed_dice(seed: u64, host: &str) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.write(host.as_bytes());
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(seed: Option<u64>) -> Vec<(u16, String)> {
        let of = |preference, host: &str| Exchanger { preference, host: host.to_owned() };
        let mut hosts = vec![of(20, "z"), of(10, "a"), of(10, "b"), of(10, "c"), of(10, "d"), of(30, "a"), of(10, "a")];
        put_in_order(&mut hosts, seed);
        hosts.into_iter().map(|it| (it.preference, it.host)).collect()
    }

    #[test]
    fn preference_orders_and_equals_are_shuffled() {
        let first = ordered(Some(1));
        assert_eq!(first.last(), Some(&(20, "z".to_owned())));
        assert_eq!(first.len(), 5, "a host named twice is tried once, at its best preference");
        assert_eq!(ordered(Some(1)), first);
        assert!((2..40).any(|seed| ordered(Some(seed)) != first), "another seed, another order");
        let orders: std::collections::HashSet<_> = (0..200).map(|_| ordered(None)).collect();
        assert!(orders.len() > 1, "200 throws of the dice that fall the same");
    }
}
