//! What real servers can't be made to say, and what needs no server; `tests/net_dns.rs` has the rest, against real ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::AtomicUsize;

use hickory_resolver::proto::op::{Message, MessageType, Query};
use hickory_resolver::proto::rr::rdata::opt::EdnsOption;
use hickory_resolver::proto::rr::{RData, Record as Rr, RecordType};
use tokio::net::UdpSocket as Socket;

use super::*;

const LONG: Duration = Duration::from_secs(30);

fn without_dns(hosts: Hosts) -> Resolver {
    Resolver::with(HostsFile::fixed(hosts), System::fixed(Asked::new(Vec::new(), Vec::new(), Some("none".to_owned()), TrustAd::No)))
}

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
                        reply.add_answer(Rr::from_rdata(query.name().clone(), 60, data));
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
    let resolver = without_dns(Hosts::default());
    for (host, address) in [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::1"), ("[2001:db8::1]", "2001:db8::1")] {
        assert_eq!(resolver.addresses(host, LONG).await, Ok(vec![address.parse().unwrap()]));
    }
}

#[tokio::test]
async fn localhost_and_the_hosts_file_need_no_server() {
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(&b"192.0.2.9 relay relay.example\n"[..]).unwrap();
    let resolver = without_dns(hosts);
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
async fn our_own_host_comes_before_others_of_its_preference() {
    let own: IpAddr = Ipv4Addr::new(192, 0, 2, 7).into();
    let resolver = Resolver::from_server(
        server(|query| match (query.name().to_ascii().as_str(), query.query_type()) {
            ("own.example.", RecordType::A) => Ok(vec![RData::A(Ipv4Addr::new(192, 0, 2, 7).into())]),
            ("broken.example.", _) => Err(ResponseCode::ServFail),
            (_, RecordType::A) => Ok(vec![RData::A(Ipv4Addr::new(192, 0, 2, 8).into())]),
            _ => Ok(Vec::new()),
        })
        .await,
    );
    let hosts = [(10, "first"), (20, "other"), (20, "broken"), (20, "own"), (20, "more"), (30, "last")];
    let host = |(preference, name): (u16, &str)| Exchanger { preference, host: format!("{name}.example") };
    let mut hosts: Vec<Exchanger> = hosts.map(host).into();
    resolver.put_own_first(&mut hosts, |ip| ip == own, LONG, LONG).await;
    let order: Vec<&str> = hosts.iter().filter_map(|it| it.host.strip_suffix(".example")).collect();
    assert_eq!(order, ["first", "own", "other", "broken", "more", "last"]);
    assert_eq!(resolver.counts().outcomes().map(|(_, count)| count).sum::<u64>(), 8, "who is alone in its preference isn't looked up");
}

#[tokio::test]
async fn who_orders_the_hosts_leaves_slow_look_ups_to_whoever_tries_them() {
    let slow = Socket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::from_server(slow.local_addr().unwrap());
    let mut hosts = ["a.example", "b.example"].map(|host| Exchanger { preference: 10, host: host.to_owned() });
    resolver.put_own_first(&mut hosts, |_| false, Duration::from_millis(20), LONG).await;
    let mut asked = std::collections::HashSet::new();
    let answering = async {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = slow.recv_from(&mut buffer).await.unwrap();
            let question = Message::from_vec(&buffer[..length]).unwrap();
            let query = question.queries[0].clone();
            assert!(asked.insert((query.name().to_ascii(), query.query_type())), "asked twice: {query}");
            let mut reply = Message::new(question.metadata.id, MessageType::Response, question.metadata.op_code);
            reply.add_query(query);
            slow.send_to(&reply.to_vec().unwrap(), from).await.unwrap();
        }
    };
    let lookup = tokio::select! {
        lookup = resolver.look_up("b.example", Kind::A, LONG) => lookup,
        () = answering => unreachable!("it has no end"),
    };
    assert_eq!(lookup.failure(), Some(&Failure::NoRecord));
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
async fn a_failure_that_passes_is_not_taken_for_a_bogus_answer() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let server = server(|_| match ASKED.fetch_add(1, Ordering::Relaxed) {
        0 => Err(ResponseCode::ServFail),
        _ => Ok(vec![RData::A(Ipv4Addr::LOCALHOST.into())]),
    });
    let resolver = Resolver::from_server(server.await);
    let lookup = resolver.look_up("mx.example", Kind::A, LONG).await;
    assert_eq!((lookup.failure(), lookup.data().len()), (None, 1));
    assert_eq!(ASKED.load(Ordering::Relaxed), 3, "as it is, without validation, and again");
}

#[tokio::test]
async fn each_failure_has_its_words() {
    assert_eq!(words(|_| Err(ResponseCode::NXDomain)).await, "no such name in DNS: mx.example");
    assert_eq!(words(|_| Ok(Vec::new())).await, "mx.example exists in DNS but has no address (no A or AAAA record)");
    assert_eq!(words(|_| Err(ResponseCode::ServFail)).await, "DNS failed for mx.example: the DNS server answered SERVFAIL");
}

#[tokio::test]
async fn a_family_that_is_denied_does_not_settle_it_for_one_that_failed() {
    let server = server(|query| match query.query_type() {
        RecordType::A => Err(ResponseCode::ServFail),
        RecordType::AAAA => Err(ResponseCode::NXDomain),
        _ => Ok(Vec::new()),
    });
    let resolver = Resolver::from_server(server.await);
    let error = resolver.addresses("mx.example", LONG).await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    let without_mx = resolver.mail_exchangers("mx.example", &ExchangerOptions::default()).await.outcome.unwrap_err();
    assert!(without_mx.is_temporary(), "{without_mx}");
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
    let resolver = without_dns(Hosts::default());
    let error = resolver.addresses("a..b", LONG).await.unwrap_err();
    assert!(matches!(error, ResolveError::NotAName { .. }), "{error}");
    assert!(!error.is_temporary());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_noticed_at_once() {
    let gone = Socket::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let lookup = Resolver::from_server(address).look_up("a.example", Kind::Mx, LONG).await;
    assert_eq!(lookup.failure(), Some(&Failure::Unreachable { why: format!("{address}: Connection refused (os error 111)") }));
}

#[tokio::test]
async fn the_next_server_is_asked_where_the_first_fails() {
    let gone = Socket::bind("127.0.0.1:0").await.unwrap();
    let dead = gone.local_addr().unwrap();
    drop(gone);
    let refusing = server(|_| Err(ResponseCode::Refused)).await;
    let good = server(|_| Ok(vec![RData::A(Ipv4Addr::LOCALHOST.into())])).await;
    let options = Options { servers: vec![dead, refusing, good], hosts_file: false, trust_ad: TrustAd::No };
    let lookup = Resolver::new(&options).look_up("a.example", Kind::A, LONG).await;
    assert_eq!((lookup.failure(), lookup.answer.server, lookup.dnssec()), (None, Some(good), Dnssec::Unchecked));
}

#[tokio::test]
async fn an_extended_error_tells_bogus_from_broken() {
    let explained = |code: u16| {
        let mut message = Message::new(7, MessageType::Response, hickory_resolver::proto::op::OpCode::Query);
        message.metadata.response_code = ResponseCode::ServFail;
        let octets = [&code.to_be_bytes()[..], &b"said\nso"[..]].concat();
        message.edns.get_or_insert_default().options_mut().insert(EdnsOption::Unknown(15, octets));
        let message = Message::from_vec(&message.to_vec().unwrap()).unwrap();
        read(&message, &Name::from_ascii("a.example.").unwrap(), RecordType::MX).failure
    };
    let bogus = Failure::Bogus { why: "extended error 7, signature expired: said\\nso".to_owned() };
    assert_eq!(explained(7), Some(bogus));
    let why = Some("extended error 22, no reachable authority: said\\nso".to_owned());
    assert_eq!(explained(22), Some(Failure::ServerFailure { rcode: "SERVFAIL".to_owned(), explained: why }));
}

#[tokio::test]
async fn a_target_that_the_server_keeps_to_itself_is_asked_for() {
    let resolver = Resolver::from_server(
        server(|query| match query.name().to_ascii().as_str() {
            "mx.example." => Ok(vec![RData::CNAME(hickory_resolver::proto::rr::rdata::CNAME(Name::from_ascii("host.example.").unwrap()))]),
            _ => Ok(vec![RData::A(Ipv4Addr::LOCALHOST.into())]),
        })
        .await,
    );
    let lookup = resolver.look_up("mx.example", Kind::A, LONG).await;
    let texts: Vec<_> = lookup.answer.records.iter().map(|it| (it.record_type, it.text.as_str())).collect();
    assert_eq!(texts, [("CNAME", "host.example."), ("A", "127.0.0.1")]);
    assert_eq!(lookup.answer.canonical_name.as_deref(), Some("host.example"));
    assert!(resolver.look_up("mx.example", Kind::A, LONG).await.cached_for.is_some());
}

#[tokio::test]
async fn the_search_list_is_for_names_that_administrators_write() {
    let server = server(|query| match (query.name().to_ascii().as_str(), query.query_type()) {
        ("relay.inside.example.", RecordType::A) => Ok(vec![RData::A(Ipv4Addr::LOCALHOST.into())]),
        ("relay.inside.example.", _) => Ok(Vec::new()),
        _ => Err(ResponseCode::NXDomain),
    })
    .await;
    let search = vec![Name::from_ascii("other.example").unwrap(), Name::from_ascii("inside.example").unwrap()];
    let resolver = Resolver::with(HostsFile::fixed(Hosts::default()), System::fixed(Asked::new(vec![server], search, None, TrustAd::No)));
    assert_eq!(resolver.addresses("relay", LONG).await, Ok(vec![Ipv4Addr::LOCALHOST.into()]));
    for (name, as_it_is) in [("relay.", true), ("relay", false)] {
        let error = if as_it_is {
            resolver.addresses(name, LONG).await.unwrap_err()
        } else {
            resolver.host_addresses(name, LONG).await.failure.unwrap()
        };
        assert!(matches!(error, ResolveError::NoSuchName { .. }), "{error}");
    }
}

#[tokio::test]
async fn the_hosts_of_a_sender_are_its_exchangers_and_the_networks_of_its_spf_record() {
    use hickory_resolver::proto::rr::rdata::{MX, PTR, TXT};
    let resolver = Resolver::from_server(
        server(|query| {
            let text = |text: &str| Ok(vec![RData::TXT(TXT::new(vec![text.to_owned()]))]);
            match (query.name().to_ascii().as_str(), query.query_type()) {
                ("sender.example.", RecordType::MX) => Ok(vec![RData::MX(MX::new(10, Name::from_ascii("mx.sender.example.").unwrap()))]),
                ("mx.sender.example.", RecordType::A) => Ok(vec![RData::A(Ipv4Addr::new(192, 0, 2, 25).into())]),
                ("sender.example.", RecordType::TXT) => text("v=spf1 ip4:198.51.100.0/24 include:spf.provider.example -all"),
                ("spf.provider.example.", RecordType::TXT) => {
                    text("v=spf1 ip6:2001:db8::/32 ip4:0.0.0.0/0 include:sender.example a:silent.example ~all")
                }
                ("silent.example.", _) => Err(ResponseCode::ServFail),
                ("1.2.0.192.in-addr.arpa.", RecordType::PTR) => {
                    Ok(vec![RData::PTR(PTR(Name::from_ascii("Mail.Sender.example.").unwrap()))])
                }
                _ => Err(ResponseCode::NXDomain),
            }
        })
        .await,
    );
    let found = resolver.senders("sender.example", LONG).await;
    let networks: Vec<(String, &str)> = found.networks.iter().map(|it| (it.network.to_string(), it.by.as_str())).collect();
    let own = |network: &str, by: &'static str| (network.to_owned(), by);
    let expected = [
        own("192.0.2.25/32", "its MX mx.sender.example"),
        own("198.51.100.0/24", "its SPF record"),
        own("2001:db8::/32", "SPF of spf.provider.example"),
    ];
    assert_eq!(networks, expected);
    assert!(found.failures.len() == 1 && found.failures[0].contains("silent.example"), "{:?}", found.failures);
    assert_eq!(resolver.name_of("192.0.2.1".parse().unwrap(), LONG).await.as_deref(), Some("mail.sender.example"));
    assert_eq!(resolver.name_of("192.0.2.2".parse().unwrap(), LONG).await, None);
}
