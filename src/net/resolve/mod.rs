//! Name resolution: literals, the hosts file, then DNS. What mail needs of DNS, and what the record keeps of each answer.
//!
//! hickory speaks the protocol; the servers' answers are read here, because the record wants what a general resolver
//! leaves out: who answered, whether DNSSEC vouches for it (by the AD bit of a trusted validating server), and each kind of
//! failure apart. [`Resolver::look_up`] is the one way to DNS; everything else here is made of it.

mod answer;
mod cache;
mod counts;
mod direct;
mod exchangers;
mod followed;
mod hosts;
mod hosts_file;
mod names;
mod options;
mod reach;
mod reading;
mod senders;
mod servers;
mod system;
#[cfg(test)]
mod tests;
mod tlsa;
mod typed;
mod udp;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use hickory_resolver::Hosts;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::Name;

pub use answer::{Answer, Dnssec, Failure, Kind, Lookup, MOST_RECORDS, MOST_TEXT, Record};
pub use counts::{Counts, OUTCOMES};
pub use direct::{DirectAnswer, Manner, ask};
pub use exchangers::{Exchanger, ExchangerOptions, MailExchangers, NoExchanger, Skipped};
pub use hosts::{HostAddresses, ResolveError, reverse_name};
pub use names::{Destination, NotADomain, destination};
pub use options::{Options, TrustAd};
pub use reach::{is_own, not_global};
pub use senders::{SenderNetwork, Senders};
pub use tlsa::{Dane, DaneLookup, MatchingType, Selector, Tlsa, Usage};

use self::cache::{Cache, FAILURE_KEPT, Key};
use self::hosts_file::HostsFile;
use self::reach::Routes;
use self::reading::{Reading, read};
use self::servers::{Reply, Servers, Silence, settles};
use self::system::{Asked, System};
use super::flight::Flights;

/// Steps along aliases that the servers leave to us.
const MOST_STEPS: usize = 8;

/// Name resolution as the options say. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

struct Shared {
    hosts: HostsFile,
    system: System,
    cache: Cache,
    counts: Arc<Counts>,
    flights: Flights<Key, Arc<Answer>>,
    routes: Routes,
}

impl Resolver {
    /// Reads what the options leave to the system. Never fails: what can't be read is missed when it is needed.
    pub fn new(options: &Options) -> Self {
        let now = Instant::now();
        let hosts = match options.hosts_file {
            true => HostsFile::following(Path::new(hosts_file::FILE), now),
            false => HostsFile::fixed(Hosts::default()),
        };
        let system = if options.servers.is_empty() {
            System::following(Path::new(system::FILE), options.trust_ad, now)
        } else {
            System::fixed(Asked::new(options.servers.clone(), Vec::new(), None, options.trust_ad))
        };
        Self::with(hosts, system)
    }

    fn with(hosts: HostsFile, system: System) -> Self {
        let (cache, counts, flights, routes) = (Cache::new(), Arc::default(), Flights::default(), Routes::new());
        Self { shared: Arc::new(Shared { hosts, system, cache, counts, flights, routes }) }
    }

    /// The system's name resolution.
    pub fn from_system() -> Self {
        Self::new(&Options::default())
    }

    /// Asks this DNS server alone, and no hosts file.
    pub fn from_server(server: SocketAddr) -> Self {
        Self::new(&Options { servers: vec![server], hosts_file: false, ..Options::default() })
    }

    /// The servers that are asked, in their order.
    pub fn servers(&self) -> Vec<SocketAddr> {
        self.shared.system.asked().servers.addresses.clone()
    }

    /// Whether answers can be `Secure` at all: without it, DANE is off.
    pub fn is_trusted(&self) -> bool {
        self.shared.system.asked().trusted
    }

    /// Goes on counting where another one stopped. To be said before there are clones.
    #[must_use]
    pub fn counting_in(mut self, counts: Arc<Counts>) -> Self {
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.counts = counts;
        }
        self
    }

    pub fn counts(&self) -> Arc<Counts> {
        self.shared.counts.clone()
    }

    /// Drops all that is cached.
    pub fn forget(&self) {
        self.shared.cache.forget();
    }

    /// Asks DNS for one name and type: from the cache while its TTL lasts (denials by RFC 2308, failures for 5 s), else the
    /// servers. A CNAME is followed. Never takes longer than `timeout`. The name is fully qualified; the search list is not
    /// used. Whatever goes wrong is the answer's [`Failure`].
    pub async fn look_up(&self, name: &str, kind: Kind, timeout: Duration) -> Lookup {
        let start = Instant::now();
        let bare = name.strip_suffix('.').unwrap_or(name);
        let key: Key = (bare.to_ascii_lowercase().into_boxed_str(), kind);
        if let Some(kept) = self.shared.cache.find(&key, start) {
            self.shared.counts.cached.fetch_add(1, Ordering::Relaxed);
            return Lookup { answer: kept.answer, cached_for: Some(start.saturating_duration_since(kept.since)), took: start.elapsed() };
        }
        self.look_up_now(key, timeout, start).await
    }

    /// The same past the cache, which keeps what comes back: for those who watch for changes.
    pub async fn look_up_anew(&self, name: &str, kind: Kind, timeout: Duration) -> Lookup {
        let bare = name.strip_suffix('.').unwrap_or(name);
        self.look_up_now((bare.to_ascii_lowercase().into_boxed_str(), kind), timeout, Instant::now()).await
    }

    async fn look_up_now(&self, key: Key, timeout: Duration, start: Instant) -> Lookup {
        // Boxed: who asks for many names at once would hold as many of these on its stack.
        let work = self.shared.flights.join(&key, Box::pin(self.shared.fetch(&key)));
        let answer = match tokio::time::timeout(timeout, work).await {
            Ok(answer) => answer,
            Err(_) => self.shared.given_up(key, timeout, start),
        };
        Lookup { answer, cached_for: None, took: start.elapsed() }
    }
}

impl Shared {
    /// After a fair wait the silence is kept as an answer, so that the next one needn't wait as long again.
    fn given_up(&self, key: Key, timeout: Duration, start: Instant) -> Arc<Answer> {
        let mut answer = Answer::failed(&key.0, key.1, Failure::TimedOut { after: timeout }, start.elapsed());
        if timeout >= servers::ATTEMPT {
            answer.lifetime = FAILURE_KEPT;
        }
        self.counts.asked(&answer);
        let answer = Arc::new(answer);
        self.cache.keep(key, Arc::clone(&answer), Instant::now());
        answer
    }

    /// Asks the servers, and keeps what they said.
    async fn fetch(&self, key: &Key) -> Arc<Answer> {
        let start = Instant::now();
        let mut answer = self.ask(&key.0, key.1).await;
        answer.took = start.elapsed();
        if answer.failure.as_ref().is_some_and(|failure| !failure.is_denial()) {
            answer.lifetime = FAILURE_KEPT;
        }
        self.counts.asked(&answer);
        let answer = Arc::new(answer);
        self.cache.keep(key.clone(), Arc::clone(&answer), Instant::now());
        answer
    }

    async fn ask(&self, asked: &str, kind: Kind) -> Answer {
        let failed = |failure| Answer::failed(asked, kind, failure, Duration::ZERO);
        let mut name = match Name::from_ascii(asked) {
            Ok(name) => name,
            Err(error) => return failed(Failure::NotAName { why: error.to_string() }),
        };
        name.set_fqdn(true);
        if self.system.look_again(Instant::now()) {
            self.cache.forget();
        }
        let asked_now = self.system.asked().clone();
        let Asked { servers, trusted, none, .. } = &*asked_now;
        if let Some(why) = none {
            return failed(Failure::Unreachable { why: why.clone() });
        }
        let (first, mut whole): (Name, Option<Answer>) = (name.clone(), None);
        for _ in 0..MOST_STEPS {
            let reply = match servers.ask(&name, kind.of_hickory(), false).await {
                Ok(reply) => reply,
                Err(Silence::TimedOut) => return failed(Failure::TimedOut { after: servers.patience() }),
                Err(Silence::Unreachable { why }) => return failed(Failure::Unreachable { why }),
            };
            let (reply, reading) = look_behind_refusal(servers, &name, kind, reply).await;
            let dangling = reading.dangling;
            name = reading.canonical.clone();
            let step = step(asked, kind, &first, reply, reading, *trusted);
            let joined = match whole.take() {
                None => step,
                Some(before) => joined(before, step),
            };
            if !dangling {
                return joined;
            }
            whole = Some(joined);
        }
        failed(Failure::ServerFailure { rcode: "a chain of aliases without end".to_owned(), explained: None })
    }
}

/// A validating server hides a bogus answer behind SERVFAIL: where the same question without validation is answered
/// (RFC 4035 3.2.2), that was the reason; unless the failure has passed meanwhile.
async fn look_behind_refusal(servers: &Servers, name: &Name, kind: Kind, reply: Reply) -> (Reply, Reading) {
    let mut reading = read(&reply.message, name, kind.of_hickory());
    if !is_servfail(&reply) || !matches!(reading.failure, Some(Failure::ServerFailure { .. })) {
        return (reply, reading);
    }
    match servers.ask(name, kind.of_hickory(), true).await {
        Ok(unchecked) if settles(&unchecked.message) => {}
        _ => return (reply, reading),
    }
    match servers.ask(name, kind.of_hickory(), false).await {
        Ok(again) if settles(&again.message) => {
            reading = read(&again.message, name, kind.of_hickory());
            return (again, reading);
        }
        Ok(again) if is_servfail(&again) => {
            let why = "the server refuses it, and answers if told not to validate".to_owned();
            reading.failure = Some(Failure::Bogus { why });
        }
        _ => {}
    }
    (reply, reading)
}

fn step(asked: &str, kind: Kind, first: &Name, reply: Reply, reading: Reading, trusted: bool) -> Answer {
    let dnssec = match reading.failure {
        Some(Failure::Bogus { .. }) => Dnssec::Bogus,
        _ if !trusted => Dnssec::Unchecked,
        _ if vouched(&reply.message) => Dnssec::Secure,
        _ => Dnssec::Insecure,
    };
    Answer {
        name: asked.to_owned(),
        kind,
        failure: reading.failure,
        canonical_name: (reading.canonical != *first).then(|| bare(&reading.canonical)),
        records: reading.records,
        records_beyond: reading.records_beyond,
        server: Some(reply.server),
        tcp: reply.tcp,
        dnssec,
        took: Duration::ZERO,
        lifetime: reading.lifetime,
        data: reading.data,
    }
}

fn is_servfail(reply: &Reply) -> bool {
    reply.message.metadata.response_code == ResponseCode::ServFail
}

fn vouched(message: &Message) -> bool {
    message.metadata.authentic_data
}

/// Two steps along a chain of aliases as one answer.
fn joined(before: Answer, mut after: Answer) -> Answer {
    let records: Vec<Record> = before.records.into_iter().chain(after.records).collect();
    after.records_beyond += before.records_beyond + records.len().saturating_sub(MOST_RECORDS);
    after.records = records.into_iter().take(MOST_RECORDS).collect();
    after.tcp |= before.tcp;
    after.dnssec = after.dnssec.and(before.dnssec);
    // The first step was read as a denial without SOA: its lifetime says nothing, its aliases' TTLs do.
    let aliases = after.records.iter().map(|record| record.ttl).min().unwrap_or_default();
    after.lifetime = after.lifetime.min(Duration::from_secs(aliases.into()));
    after
}

/// A name for people and records: ASCII, lower case, without final dot.
fn bare(name: &Name) -> String {
    let ascii = name.to_ascii().to_ascii_lowercase();
    ascii.strip_suffix('.').map(str::to_owned).unwrap_or(ascii)
}
