//! MTA-STS (RFC 8461): whether a domain wants its mail sent over verified TLS only, and to which hosts.
//!
//! A TXT record announces a policy and its version, HTTPS has the policy itself, and what was fetched once holds for its
//! age, whatever an attacker does to DNS or HTTPS afterwards. Time is an argument, so that a test owns it.

mod cache;
mod fetch;
mod policy;
mod record;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hickory_resolver::proto::rr::RData;
use ipnet::IpNet;

pub use cache::ImportError;
pub use fetch::FetchError;
pub use policy::{LONGEST_SECONDS, Mode, Policy, PolicyError};

use self::cache::{Cache, Kept};
use self::record::{Announced, announced};
use super::flight::Flights;
use super::resolve::{Kind, Lookup, Resolver};
use super::tls::ClientTls;

/// Bounds of the fetching, and where it may go.
#[derive(Debug, Clone)]
pub struct Options {
    /// For one fetch from DNS to the last octet (default 10 s).
    pub timeout: Duration,
    /// For the TXT look-up (default 5 s).
    pub dns_timeout: Duration,
    /// Policies kept (default 10,000, and 16 MiB of them); as many failures are remembered.
    pub most: usize,
    /// Of the HTTPS servers (443).
    pub port: u16,
    /// Policies are fetched from addresses of the internet only, and from these networks.
    pub allowed_networks: Vec<IpNet>,
}

impl Default for Options {
    fn default() -> Self {
        let (timeout, dns_timeout) = (Duration::from_secs(10), Duration::from_secs(5));
        Self { timeout, dns_timeout, most: 10_000, port: 443, allowed_networks: Vec::new() }
    }
}

/// What a domain's policy comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It holds. `stale`: why it can't be looked whether there is a newer one (RFC 8461 5.1: it holds all the same).
    Policy { policy: Arc<Policy>, stale: Option<String> },
    /// The domain announces none.
    NoPolicy,
    /// It announces one that can't be had or read, and none is known from before: mail goes on as if there were none
    /// (RFC 8461 3.3), and the record says why.
    Unusable { why: String },
}

impl Answer {
    /// The policy, if there is one whose mode asks for anything.
    pub fn policy(&self) -> Option<&Policy> {
        match self {
            Self::Policy { policy, .. } if policy.mode != Mode::None => Some(policy),
            _ => None,
        }
    }
}

/// One look-up, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyLookup {
    pub answer: Answer,
    /// Whether the policy was fetched for this look-up (or one made at the same time).
    pub fetched: bool,
    /// The TXT look-up.
    pub lookup: Lookup,
    pub took: Duration,
}

/// Fetches and keeps policies. Shared by all sessions.
pub struct MtaSts {
    resolver: Resolver,
    tls: ClientTls,
    options: Options,
    cache: Mutex<Cache>,
    /// By domain and id.
    flights: Flights<(String, String), Result<Arc<Policy>, String>>,
}

impl MtaSts {
    /// `tls` says which authorities are trusted for the HTTPS servers.
    pub fn new(resolver: Resolver, tls: ClientTls, options: Options) -> Self {
        Self { resolver, tls, options, cache: Mutex::default(), flights: Flights::default() }
    }

    /// The policy of `domain` (A-labels, no final dot) at `now`. A policy that is known and announced under the same id is
    /// not fetched again until a day or half its age has gone by; a fetch that failed is not tried again for 5 minutes.
    pub async fn policy(&self, domain: &str, now: SystemTime) -> PolicyLookup {
        let (start, now) = (Instant::now(), seconds(now));
        let domain = domain.to_ascii_lowercase();
        let lookup = self.resolver.look_up(&format!("_mta-sts.{domain}"), Kind::Txt, self.options.dns_timeout).await;
        let known = self.cache().policy(&domain, now);
        let mut fetched = false;
        let answer = match announcement(&lookup) {
            Ok(Announced::Policy { id }) => match known {
                Some(kept) if kept.policy.id == id && !kept.is_due(now) => Answer::Policy { policy: kept.policy, stale: None },
                known => {
                    let outcome = self.fresh(&domain, &id, now, &mut fetched).await;
                    outcome.map_or_else(|why| fallback(known, why), |policy| Answer::Policy { policy, stale: None })
                }
            },
            Ok(Announced::Nothing) if known.is_none() => Answer::NoPolicy,
            Ok(Announced::Nothing) => fallback(known, "the domain announces no policy any more".to_owned()),
            Ok(Announced::Unusable { why }) => fallback(known, why.to_owned()),
            Err(why) => fallback(known, why),
        };
        PolicyLookup { answer, fetched, lookup, took: start.elapsed() }
    }

    /// The version that is announced now; or why it can't be had.
    async fn fresh(&self, domain: &str, id: &str, now: u64, fetched: &mut bool) -> Result<Arc<Policy>, String> {
        if let Some(why) = self.cache().failure(domain, id, now) {
            return Err(why);
        }
        *fetched = true;
        let work = async {
            let outcome = fetch::fetch(&self.resolver, &self.tls, &self.options, domain, id).await;
            let outcome = outcome.map(Arc::new).map_err(|error| error.to_string());
            match &outcome {
                Ok(policy) => self.cache().keep(domain, Arc::clone(policy), now, self.options.most),
                Err(why) => self.cache().keep_failure(domain, id, why.clone(), now, self.options.most),
            }
            outcome
        };
        self.flights.join(&(domain.to_owned(), id.to_owned()), work).await
    }

    /// The policies that hold at `now`, as JSON for [`MtaSts::import`].
    pub fn export(&self, now: SystemTime) -> String {
        self.cache().export(seconds(now))
    }

    /// Takes over what was exported, still holds and is newer than what is known; how many policies that is. Entries that no domain could have published
    /// are left out.
    ///
    /// # Errors
    /// If the text isn't such an export; nothing is taken then.
    pub fn import(&self, text: &str, now: SystemTime) -> Result<usize, ImportError> {
        self.cache().import(text, seconds(now), self.options.most)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// RFC 8461 5.1: a policy that is known holds, whatever has become of its announcement.
fn fallback(known: Option<Kept>, why: String) -> Answer {
    match known {
        Some(kept) => Answer::Policy { policy: kept.policy, stale: Some(why) },
        None => Answer::Unusable { why },
    }
}

fn announcement(lookup: &Lookup) -> Result<Announced, String> {
    match lookup.failure() {
        Some(failure) if failure.is_denial() => return Ok(Announced::Nothing),
        Some(failure) => return Err(format!("the TXT record can't be looked up: {failure}")),
        None => {}
    }
    let texts: Vec<Vec<u8>> = lookup
        .data()
        .iter()
        .filter_map(|data| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        })
        .collect();
    Ok(announced(texts.iter().map(Vec::as_slice)))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
