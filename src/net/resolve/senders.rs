//! Hosts from which mail of a domain may come: its mail exchangers, and the networks that its SPF record names.
//!
//! Networks only: nothing is evaluated, no mail is judged. The bounds are those of RFC 7208 4.6.4.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::{ExchangerOptions, Failure, Kind, Resolver};
use crate::net::spf::{self, Lengths, MacroString, Mechanism, Qualifier, Term};

/// Terms of SPF that ask DNS, in one record and all that it includes (RFC 7208 4.6.4).
const MOST_TERMS: usize = 10;
/// Hosts of one `mx` term, and addresses of one host.
const MOST_HOSTS: usize = 10;
/// Networks kept.
const MOST_NETWORKS: usize = 200;

/// Where mail of a domain may come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Senders {
    pub domain: String,
    /// Each network once, at most [`MOST_NETWORKS`].
    pub networks: Vec<SenderNetwork>,
    /// How many more there were.
    pub cut: usize,
    /// What could not be found out, in words.
    pub failures: Vec<String>,
}

/// A network, and what names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderNetwork {
    pub network: IpNet,
    /// "its MX mx.example.com", "its SPF record", "SPF of _spf.example.net". Names in it come from DNS: hostile.
    pub by: String,
}

/// A walk through the records of one domain.
struct Walk<'a> {
    resolver: &'a Resolver,
    until: Instant,
    found: Senders,
    seen: HashSet<IpNet>,
    visited: HashSet<String>,
    terms: usize,
}

impl Resolver {
    /// The exchangers of `domain` (A-labels) and the networks of its SPF record, as far as `timeout` reaches.
    pub async fn senders(&self, domain: &str, timeout: Duration) -> Senders {
        let found = Senders { domain: domain.to_owned(), ..Senders::default() };
        let mut walk =
            Walk { resolver: self, until: Instant::now() + timeout, found, seen: HashSet::new(), visited: HashSet::new(), terms: 0 };
        walk.exchangers(domain, None, "its MX").await;
        walk.spf(domain).await;
        walk.found
    }
}

impl Walk<'_> {
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    fn add(&mut self, network: IpNet, by: &str) {
        let network = network.trunc();
        // 0.0.0.0/0 would make everybody a sender.
        if network.prefix_len() == 0 || !self.seen.insert(network) {
            return;
        }
        match self.found.networks.len() < MOST_NETWORKS {
            true => self.found.networks.push(SenderNetwork { network, by: by.to_owned() }),
            false => self.found.cut += 1,
        }
    }

    fn failed(&mut self, what: &str, why: &Failure) {
        if !why.is_denial() {
            self.found.failures.push(format!("{what}: {why}"));
        }
    }

    async fn addresses(&mut self, host: &str, lengths: Lengths, by: &str) {
        let found = self.resolver.host_addresses(host, self.left()).await;
        for address in found.addresses.into_iter().take(MOST_HOSTS) {
            lengths.network(address).into_iter().for_each(|network| self.add(network, by));
        }
        if let Some(error) = found.failure.filter(|error| error.is_temporary()) {
            self.found.failures.push(error.to_string());
        }
    }

    async fn exchangers(&mut self, domain: &str, lengths: Option<Lengths>, by: &str) {
        let options = ExchangerOptions { most: MOST_HOSTS, timeout: self.left(), seed: Some(0) };
        let found = self.resolver.mail_exchangers(domain, &options).await;
        match found.outcome {
            Ok(hosts) => {
                for host in hosts {
                    self.addresses(&host.host, lengths.unwrap_or_default(), &format!("{by} {}", host.host)).await;
                }
            }
            Err(why) if why.is_temporary() => self.found.failures.push(why.to_string()),
            Err(_) => {}
        }
    }

    /// Follows `include` and `redirect` from record to record, each once.
    async fn spf(&mut self, domain: &str) {
        let mut waiting = vec![domain.to_owned()];
        while let Some(name) = waiting.pop() {
            if !self.visited.insert(name.to_ascii_lowercase()) {
                continue;
            }
            let by = if name == domain { "its SPF record".to_owned() } else { format!("SPF of {name}") };
            for term in self.record(&name).await {
                match term {
                    SpfTerm::Network(network) => self.add(network, &by),
                    asks if self.terms < MOST_TERMS => {
                        self.terms += 1;
                        match asks {
                            SpfTerm::Addresses(host, lengths) => self.addresses(host.as_deref().unwrap_or(&name), lengths, &by).await,
                            SpfTerm::Exchangers(host, lengths) => {
                                self.exchangers(host.as_deref().unwrap_or(&name), Some(lengths), &format!("{by}, MX")).await;
                            }
                            SpfTerm::Record(next) => waiting.insert(0, next),
                            SpfTerm::Network(_) => {}
                        }
                    }
                    _ => {
                        let why = format!("the SPF record of {domain} asks DNS more than {MOST_TERMS} times: the rest was left out");
                        self.found.failures.push(why);
                        return;
                    }
                }
            }
        }
    }

    /// The terms of the SPF record at a name; none where there is none.
    async fn record(&mut self, name: &str) -> Vec<SpfTerm> {
        let lookup = self.resolver.look_up(name, Kind::Txt, self.left()).await;
        lookup.failure().cloned().iter().for_each(|why| self.failed(&format!("SPF of {name}"), why));
        let texts = lookup.texts().into_iter();
        texts.filter_map(|text| String::from_utf8(text).ok()).find_map(|text| terms(&text)).unwrap_or_default()
    }
}

/// What a term of an SPF record lets send, as far as it can be told without a message.
#[derive(Debug, Clone, PartialEq, Eq)]
enum SpfTerm {
    Network(IpNet),
    /// The addresses of a host; without one, of the domain itself.
    Addresses(Option<String>, Lengths),
    Exchangers(Option<String>, Lengths),
    /// `include`, `redirect`.
    Record(String),
}

/// Reads a record (RFC 7208 12); `None` if the text is none. Terms that refuse (`-`), that depend on the message (macros,
/// `exists`, `ptr`), and what can't be read name no network.
fn terms(text: &str) -> Option<Vec<SpfTerm>> {
    spf::is_record(text.as_bytes()).then(|| spf::terms(text).into_iter().filter_map(|placed| term(placed.term.ok()?)).collect())
}

fn term(term: Term) -> Option<SpfTerm> {
    let literal = |name: &MacroString| name.literal().map(str::to_owned);
    // Absent: the domain itself. With macros: nobody knows.
    let host = |name: &Option<MacroString>| name.as_ref().map_or(Some(None), |name| literal(name).map(Some));
    match term {
        Term::Directive(Qualifier::Fail, _) => None,
        Term::Directive(_, Mechanism::Ip(network)) => Some(SpfTerm::Network(network)),
        Term::Directive(_, Mechanism::A(name, lengths)) => host(&name).map(|host| SpfTerm::Addresses(host, lengths)),
        Term::Directive(_, Mechanism::Mx(name, lengths)) => host(&name).map(|host| SpfTerm::Exchangers(host, lengths)),
        Term::Directive(_, Mechanism::Include(name)) | Term::Redirect(name) => literal(&name).map(SpfTerm::Record),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_far_as_they_name_networks() {
        let net = |text: &str| SpfTerm::Network(text.parse().unwrap());
        let own = |text: &str| text.to_owned();
        let found = terms(
            "v=spf1 ip4:192.0.2.0/24 ip4:198.51.100.7 ip6:2001:db8::/32 a mx/24//64 a:out.example.net/28 include:_spf.example.org \
             exists:%{i}.x.example ptr -ip4:203.0.113.1 redirect=other.example ~all",
        );
        let expected = vec![
            net("192.0.2.0/24"),
            net("198.51.100.7/32"),
            net("2001:db8::/32"),
            SpfTerm::Addresses(None, Lengths::default()),
            SpfTerm::Exchangers(None, Lengths { v4: 24, v6: 64 }),
            SpfTerm::Addresses(Some(own("out.example.net")), Lengths { v4: 28, v6: 128 }),
            SpfTerm::Record(own("_spf.example.org")),
            SpfTerm::Record(own("other.example")),
        ];
        assert_eq!(found, Some(expected));
        assert_eq!(terms("v=spf10 ip4:192.0.2.1"), None);
        assert_eq!(terms("google-site-verification=x"), None);
        assert_eq!(terms(""), None);
        assert_eq!(terms("v=spf1 ip4:not-an-address a/999 mx: :x =y"), Some(vec![]));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "v=spf1 ([a-z0-9:=/.%{}~?+-]{0,12} ){0,8}|\\PC{0,80}") {
            let _ = terms(&text);
        }
    }
}
