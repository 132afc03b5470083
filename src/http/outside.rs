//! DNS for answers about what was never seen: bounded in time, so that an answer never waits long for it.

use std::cell::OnceCell;
use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::runtime::Runtime;

use crate::net::resolve::{Destination, ExchangerOptions, Resolver, destination, is_own};
use crate::path::outside::{Exchanger, MailExchangers, Outside, SenderHosts, SenderNetwork};

/// All questions of one answer together.
const PATIENCE: Duration = Duration::from_secs(2);
/// Exchangers of a domain whose addresses are looked up.
const HOSTS: usize = 10;

/// A way to DNS, and which addresses are our own. Clones share the resolver's cache.
#[derive(Clone)]
pub struct Dns {
    resolver: Resolver,
    listening: Vec<IpAddr>,
}

/// The questions of one answer. It blocks: not for threads that serve sockets.
pub struct LookUps {
    dns: Dns,
    runtime: Runtime,
    until: OnceCell<Instant>,
}

impl Dns {
    /// `listening`: addresses of the proxy's listeners; those of this machine are known anyway.
    pub fn new(resolver: Resolver, listening: Vec<IpAddr>) -> Self {
        Self { resolver, listening }
    }

    /// For one answer; `None` if the system has no means left for it.
    pub fn look_ups(&self) -> Option<LookUps> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.inspect_err(|error| tracing::warn!(%error, "no look-ups in DNS for this answer")).ok()?;
        Some(LookUps { dns: self.clone(), runtime, until: OnceCell::new() })
    }

    fn is_here(&self, address: IpAddr) -> bool {
        self.listening.contains(&address) || is_own(address)
    }
}

impl fmt::Debug for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dns").field("servers", &self.resolver.servers()).finish_non_exhaustive()
    }
}

impl LookUps {
    /// Time left; it runs from the first question on.
    fn left(&self) -> Duration {
        self.until.get_or_init(|| Instant::now() + PATIENCE).saturating_duration_since(Instant::now())
    }
}

impl Outside for LookUps {
    fn senders(&self, domain: &str) -> SenderHosts {
        let mut hosts = SenderHosts { domain: domain.to_owned(), ..SenderHosts::default() };
        match destination(domain) {
            Ok(Destination::Domain(name)) => {
                // The recipients' exchangers are asked for behind this: something must be left for them.
                let found = self.runtime.block_on(self.dns.resolver.senders(&name, self.left().mul_f32(0.6)));
                hosts.networks = found.networks.into_iter().map(|it| SenderNetwork { network: it.network, by: it.by }).collect();
                hosts.networks_cut = found.cut;
                hosts.failures = found.failures;
            }
            Ok(Destination::Literal(address)) => {
                hosts.networks = vec![SenderNetwork { network: IpNet::from(address), by: "the address itself".to_owned() }];
            }
            Err(error) => hosts.failures.push(error.to_string()),
        }
        hosts
    }

    fn exchangers(&self, domain: &str) -> MailExchangers {
        let mut found = MailExchangers { domain: domain.to_owned(), ..MailExchangers::default() };
        match destination(domain) {
            Ok(Destination::Domain(name)) => self.runtime.block_on(async {
                let options = ExchangerOptions { most: HOSTS, timeout: self.left(), seed: Some(0) };
                match self.dns.resolver.mail_exchangers(&name, &options).await.outcome {
                    Ok(hosts) => {
                        for host in hosts {
                            let addresses = self.dns.resolver.host_addresses(&host.host, self.left()).await;
                            found.failures.extend(addresses.failure.map(|error| error.to_string()));
                            let here = addresses.addresses.iter().any(|&address| self.dns.is_here(address));
                            let (preference, host, addresses) = (host.preference, host.host, addresses.addresses);
                            found.hosts.push(Exchanger { preference, host, addresses, here });
                        }
                    }
                    Err(why) => found.failures.push(why.to_string()),
                }
            }),
            Ok(Destination::Literal(address)) => {
                let here = self.dns.is_here(address);
                found.hosts.push(Exchanger { preference: 0, host: domain.to_owned(), addresses: vec![address], here });
            }
            Err(error) => found.failures.push(error.to_string()),
        }
        found
    }

    fn name_of(&self, address: IpAddr) -> Option<String> {
        self.runtime.block_on(self.dns.resolver.name_of(address, self.left()))
    }
}
