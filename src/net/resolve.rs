//! Turns host names into addresses: literals, the hosts file, then DNS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, TokioResolver};
use thiserror::Error;

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

/// The system's name resolution, as it stood when this was made. Cheap to clone; clones share the cache.
#[derive(Clone)]
pub struct Resolver {
    hosts: Arc<Hosts>,
    /// Absent, with the reason, where the system names no DNS server: literals and the hosts file still work.
    dns: Result<TokioResolver, Arc<str>>,
}

impl Resolver {
    /// Reads `/etc/resolv.conf` and `/etc/hosts`. Never fails: what can't be read is missed when it is needed.
    pub fn from_system() -> Self {
        let dns = TokioResolver::builder_tokio()
            .and_then(|mut builder| {
                builder.options_mut().use_hosts_file = hickory_resolver::config::ResolveHosts::Never; // asked before DNS, here
                builder.build()
            })
            .map_err(|error| format!("no DNS server to ask ({error}): check /etc/resolv.conf").into());
        Self { hosts: Arc::new(Hosts::from_system().unwrap_or_default()), dns }
    }

    /// Asks this DNS server alone, and no hosts file.
    pub fn from_server(server: SocketAddr) -> Self {
        let mut udp = ConnectionConfig::udp();
        udp.port = server.port();
        let mut tcp = ConnectionConfig::tcp();
        tcp.port = server.port();
        let servers = vec![NameServerConfig::new(server.ip(), true, vec![udp, tcp])];
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let dns =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build().map_err(|error| error.to_string().into());
        Self { hosts: Arc::new(Hosts::default()), dns }
    }

    /// All addresses of a host, usable ones first. Never empty.
    pub async fn addresses(&self, host: &str, timeout: Duration) -> Result<Vec<IpAddr>, ResolveError> {
        if let Some(literal) = literal(host) {
            return Ok(vec![literal]);
        }
        let name = Name::from_str(host).map_err(|error| ResolveError::NotAName { host: host.to_owned(), why: error.to_string() })?;
        let listed = self.listed(&name);
        let mut addresses = if listed.is_empty() { self.asked(host, &name, timeout).await? } else { listed };
        put_unreachable_last(&mut addresses);
        Ok(addresses)
    }

    /// What the hosts file says.
    fn listed(&self, name: &Name) -> Vec<IpAddr> {
        let mut fqdn = name.clone();
        fqdn.set_fqdn(true);
        let mut found: Vec<IpAddr> = [RecordType::AAAA, RecordType::A]
            .into_iter()
            .filter_map(|family| self.hosts.lookup_static_host(&Query::query(fqdn.clone(), family)))
            .flat_map(|lookup| lookup.answers().iter().filter_map(|record| address_of(&record.data)).collect::<Vec<_>>())
            .collect();
        if found.is_empty() && fqdn.is_localhost() {
            found = vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]; // RFC 6761 6.3
        }
        found
    }

    /// What DNS says. Both families are asked, and told apart: one that fails doesn't spoil the other's answer.
    async fn asked(&self, host: &str, name: &Name, timeout: Duration) -> Result<Vec<IpAddr>, ResolveError> {
        let dns = self.dns.as_ref().map_err(|why| ResolveError::ServerFailure { host: host.to_owned(), why: why.to_string() })?;
        let both = async { tokio::join!(dns.lookup(name.clone(), RecordType::AAAA), dns.lookup(name.clone(), RecordType::A)) };
        let (six, four) =
            tokio::time::timeout(timeout, both).await.map_err(|_| ResolveError::Timeout { host: host.to_owned(), after: timeout })?;
        let mut addresses = Vec::new();
        let mut failures = Vec::new();
        for answer in [six, four] {
            match answer {
                Ok(lookup) => addresses.extend(lookup.answers().iter().filter_map(|record| address_of(&record.data))),
                Err(error) => failures.push(failure(host, timeout, &error)),
            }
        }
        if !addresses.is_empty() {
            return Ok(addresses);
        }
        Err(worst(failures).unwrap_or_else(|| ResolveError::NoAddress { host: host.to_owned() }))
    }
}

/// `192.0.2.1`, `2001:db8::1` or either in brackets.
fn literal(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

fn address_of(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(address) => Some(address.0.into()),
        RData::AAAA(address) => Some(address.0.into()),
        _ => None,
    }
}

fn failure(host: &str, timeout: Duration, error: &NetError) -> ResolveError {
    let host = host.to_owned();
    match error {
        NetError::Timeout => ResolveError::Timeout { host, after: timeout },
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => ResolveError::NoSuchName { host },
            ResponseCode::NoError => ResolveError::NoAddress { host },
            code => ResolveError::ServerFailure { host, why: format!("the server answered {code}") },
        },
        NetError::Dns(DnsError::ResponseCode(code)) => ResolveError::ServerFailure { host, why: format!("the server answered {code}") },
        NetError::NoConnections => ResolveError::ServerFailure { host, why: "no DNS server could be reached".to_owned() },
        other => ResolveError::ServerFailure { host, why: other.to_string() },
    }
}

/// Of two failures the one to tell: a name that doesn't exist settles it; otherwise what may pass counts before what won't.
fn worst(failures: Vec<ResolveError>) -> Option<ResolveError> {
    let rank = |error: &ResolveError| match error {
        ResolveError::NoSuchName { .. } => 0,
        ResolveError::ServerFailure { .. } => 1,
        ResolveError::Timeout { .. } => 2,
        ResolveError::NoAddress { .. } | ResolveError::NotAName { .. } => 3,
    };
    failures.into_iter().min_by_key(rank)
}

/// RFC 6724 rule 1: a machine without IPv6 should not try it first, and have that in each record.
fn put_unreachable_last(addresses: &mut [IpAddr]) {
    if addresses.len() > 1 {
        addresses.sort_by_cached_key(|address| !is_routed(*address));
    }
}

/// Whether the kernel knows a way there. Connecting a UDP socket sends nothing.
fn is_routed(address: IpAddr) -> bool {
    let any: SocketAddr = match address {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    UdpSocket::bind(any).and_then(|socket| socket.connect((address, 25))).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::op::{Message, MessageType};
    use hickory_resolver::proto::rr::Record;
    use tokio::net::UdpSocket as Socket;

    const LONG: Duration = Duration::from_secs(30);

    /// A DNS server that answers each question by `answer`: records, or a response code.
    async fn server(answer: fn(&Query) -> Result<Vec<RData>, ResponseCode>) -> SocketAddr {
        let socket = Socket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let question = Message::from_vec(&buffer[..length]).unwrap();
                let query = question.queries[0].clone();
                let mut reply = Message::new(question.metadata.id, MessageType::Response, question.metadata.op_code);
                reply.metadata.recursion_desired = true;
                reply.metadata.recursion_available = true;
                reply.add_query(query.clone());
                match answer(&query) {
                    Ok(records) => {
                        for data in records {
                            reply.add_answer(Record::from_rdata(query.name().clone(), 60, data));
                        }
                    }
                    Err(code) => reply.metadata.response_code = code,
                }
                socket.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
            }
        });
        address
    }

    async fn words(answer: fn(&Query) -> Result<Vec<RData>, ResponseCode>) -> String {
        let resolver = Resolver::from_server(server(answer).await);
        resolver.addresses("mx.example", LONG).await.unwrap_err().to_string()
    }

    #[test]
    fn it_can_be_made_before_any_runtime() {
        let _ = Resolver::from_system();
        let _ = Resolver::from_server("127.0.0.1:53".parse().unwrap());
    }

    #[tokio::test]
    async fn literals_need_no_server() {
        let resolver = Resolver { hosts: Arc::default(), dns: Err("none".into()) };
        for (host, address) in [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1")] {
            assert_eq!(resolver.addresses(host, LONG).await, Ok(vec![address.parse().unwrap()]));
        }
    }

    #[tokio::test]
    async fn localhost_and_the_hosts_file_need_no_server() {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf(&b"192.0.2.9 relay relay.example\n"[..]).unwrap();
        let resolver = Resolver { hosts: Arc::new(hosts), dns: Err("none".into()) };
        assert_eq!(resolver.addresses("relay.example", LONG).await, Ok(vec!["192.0.2.9".parse().unwrap()]));
        assert_eq!(resolver.addresses("relay", LONG).await, Ok(vec!["192.0.2.9".parse().unwrap()]));
        let mut local = resolver.addresses("localhost", LONG).await.unwrap();
        local.sort();
        assert_eq!(local, ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        let error = resolver.addresses("other.example", LONG).await.unwrap_err();
        assert_eq!(error.to_string(), "DNS failed for other.example: none");
        assert!(error.is_temporary());
    }

    #[tokio::test]
    async fn both_families_are_found() {
        let resolver = Resolver::from_server(
            server(|query| match query.query_type() {
                RecordType::A => Ok(vec![RData::A(Ipv4Addr::LOCALHOST.into())]),
                _ => Ok(vec![RData::AAAA(Ipv6Addr::LOCALHOST.into())]),
            })
            .await,
        );
        let mut found = resolver.addresses("mx.example", LONG).await.unwrap();
        found.sort();
        assert_eq!(found, ["127.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    }

    #[tokio::test]
    async fn one_family_that_fails_does_not_spoil_the_other() {
        let resolver = Resolver::from_server(
            server(|query| match query.query_type() {
                RecordType::A => Ok(vec![RData::A(Ipv4Addr::LOCALHOST.into())]),
                _ => Err(ResponseCode::ServFail),
            })
            .await,
        );
        assert_eq!(resolver.addresses("mx.example", LONG).await, Ok(vec!["127.0.0.1".parse().unwrap()]));
    }

    #[tokio::test]
    async fn each_failure_has_its_words() {
        assert_eq!(words(|_| Err(ResponseCode::NXDomain)).await, "no such name in DNS: mx.example");
        assert_eq!(words(|_| Ok(Vec::new())).await, "mx.example exists in DNS but has no address (no A or AAAA record)");
        assert_eq!(words(|_| Err(ResponseCode::ServFail)).await, "DNS failed for mx.example: the server answered Server Failure");
    }

    #[tokio::test]
    async fn a_silent_server_is_a_time_out() {
        let silent = Socket::bind("127.0.0.1:0").await.unwrap();
        let resolver = Resolver::from_server(silent.local_addr().unwrap());
        let error = resolver.addresses("mx.example", Duration::from_millis(20)).await.unwrap_err();
        assert_eq!(error.to_string(), "DNS did not answer for mx.example within 0.02 s");
    }

    #[tokio::test]
    async fn what_is_no_name_is_said_so() {
        let resolver = Resolver { hosts: Arc::default(), dns: Err("none".into()) };
        let error = resolver.addresses("a..b", LONG).await.unwrap_err();
        assert!(matches!(error, ResolveError::NotAName { .. }), "{error}");
        assert!(!error.is_temporary());
    }
}
