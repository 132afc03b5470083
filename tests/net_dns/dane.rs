//! DANE from the signed zone to the handshake (RFC 7672): the records that count, and a real TLS server judged by them.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use relayscope::net::resolve::{Dane, DaneLookup, Dnssec, Failure, Resolver};
use relayscope::net::tls::{ClientTls, HandshakeError, TlsFacts};
use tokio::net::TcpStream;

use crate::support::certificates::{self, Certificates, key_digest};
use crate::support::dns::{Dns, Zones};
use crate::support::place::Place;
use crate::support::ports;
use crate::support::process::Process;
use crate::support::programs::{need, path_of};
use crate::{LONG, block_on, resolver};

const OTHER: &str = "00000000000000000000000000000000000000000000000000000000000000ff";

async fn dane(resolver: &Resolver, exchangers: Dnssec, host: &str) -> DaneLookup {
    let addresses = resolver.host_addresses(host, LONG).await;
    resolver.dane(exchangers, &addresses, 25, LONG).await
}

fn zones() -> Zones {
    let host = |zones: Zones, name: &str| zones.a(name, "127.0.0.1");
    let zones = Zones::new()
        .signed("a.example")
        .signed("c.example")
        .bogus("_tcp.forged.a.example")
        .dead("_tcp.dead.a.example")
        .tlsa("good.a.example", (3, 1, 1), OTHER)
        .tlsa("good.a.example", (1, 1, 1), OTHER)
        .tlsa("pkix.a.example", (0, 1, 1), OTHER)
        .tlsa("forged.a.example", (3, 1, 1), OTHER)
        .cname("to-plain.a.example", "host.plain.example")
        .tlsa("to-plain.a.example", (3, 1, 1), OTHER)
        .cname("to-plain-without.a.example", "host.plain.example")
        .cname("to-signed.a.example", "host.c.example")
        .tlsa("to-signed.a.example", (3, 1, 2), &format!("{OTHER}{OTHER}"))
        .tlsa("host.c.example", (3, 1, 1), OTHER)
        .cname("to-bare.a.example", "bare.c.example")
        .tlsa("to-bare.a.example", (2, 1, 1), OTHER)
        .tlsa("host.plain.example", (3, 1, 1), OTHER)
        // Signed as it is, the host's zone says nothing about records in an unsigned one below it.
        .zone("_tcp.unsigned.a.example")
        .tlsa("unsigned.a.example", (3, 1, 1), OTHER);
    let hosts = ["good", "pkix", "none", "forged", "dead", "unsigned"].map(|it| format!("{it}.a.example"));
    let others = ["host.c.example", "bare.c.example", "host.plain.example"].map(str::to_owned);
    hosts.iter().chain(&others).fold(zones, |zones, name| host(zones, name))
}

#[test]
fn the_records_that_count() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let dns = Dns::start(&place, &zones());
    let resolver = resolver(&dns);
    let of = |exchangers, host: &str| block_on(dane(&resolver, exchangers, host));
    let secure = |host: &str| of(Dnssec::Secure, host).policy;
    let usable = |host: &str| match secure(host) {
        Dane::Usable { base_domain, records } => (base_domain, records.iter().map(ToString::to_string).collect::<Vec<_>>()),
        other => panic!("{host}: {other:?}"),
    };
    let absent = |policy: Dane| match policy {
        Dane::Absent { why } => why,
        other => panic!("{other:?}"),
    };

    assert_eq!(usable("good.a.example"), ("good.a.example".to_owned(), vec!["3 1 1".to_owned()]));
    let Dane::Unusable { why, .. } = secure("pkix.a.example") else { panic!("usable") };
    assert_eq!(why, "none of 1 TLSA records is usable: usages PKIX-TA (0) and PKIX-EE (1) are not for mail (RFC 7672 3.1.3)");
    assert_eq!(absent(secure("none.a.example")), "no TLSA record");
    assert_eq!(absent(secure("unsigned.a.example")), "the TLSA answer is insecure, not secure");
    assert_eq!(absent(secure("host.plain.example")), "the host's addresses are insecure, not secure");
    assert_eq!(absent(of(Dnssec::Insecure, "good.a.example").policy), "the MX answer is insecure, not secure");
    assert!(of(Dnssec::Insecure, "good.a.example").lookups.is_empty(), "nothing is asked for nothing");

    let failed = |host: &str| match secure(host) {
        Dane::Failed { failure, .. } => failure.as_str(),
        other => panic!("{host}: {other:?}"),
    };
    assert_eq!((failed("forged.a.example"), failed("dead.a.example")), ("bogus", "servfail"));

    // RFC 7672 2.2.2, 2.2.3: where the whole alias is signed, its end speaks first; where only its beginning is, that does.
    assert_eq!(usable("to-signed.a.example"), ("host.c.example".to_owned(), vec!["3 1 1".to_owned()]));
    assert_eq!(usable("to-bare.a.example"), ("to-bare.a.example".to_owned(), vec!["2 1 1".to_owned()]));
    assert_eq!(usable("to-plain.a.example"), ("to-plain.a.example".to_owned(), vec!["3 1 1".to_owned()]));
    assert_eq!(absent(secure("to-plain-without.a.example")), "no TLSA record");
}

/// `openssl s_server` with this certificate.
fn tls_server(certificates: &Certificates) -> (Process, SocketAddr) {
    for _ in 0..5 {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::unused()));
        let mut command = Command::new(path_of("openssl"));
        command.args(["s_server", "-www", "-accept", &address.to_string()]);
        command.arg("-cert").arg(&certificates.certificate).arg("-key").arg(&certificates.key);
        let process = Process::start(command, false);
        if process.output.wait_for("ACCEPT", |line| line.contains("ACCEPT").then_some(())).is_some() {
            return (process, address);
        }
    }
    panic!("openssl doesn't listen");
}

#[test]
fn a_real_server_is_believed_by_its_record_alone() {
    need!("knotd", "keymgr", "unbound", "openssl");
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &["whatever.example"]);
    let (_server, address) = tls_server(&certificates);
    let dns = Dns::start(
        &place,
        &Zones::new()
            .signed("a.example")
            .a("mx.a.example", "127.0.0.1")
            .tlsa("mx.a.example", (3, 1, 1), &key_digest(&certificates))
            .a("wrong.a.example", "127.0.0.1")
            .tlsa("wrong.a.example", (3, 1, 1), OTHER),
    );
    let resolver = resolver(&dns);
    let tls = ClientTls::new(None).unwrap();
    let shake = async |host: &str| -> Result<TlsFacts, HandshakeError> {
        let Dane::Usable { base_domain, records } = dane(&resolver, Dnssec::Secure, host).await.policy else { panic!("usable") };
        let stream = TcpStream::connect(address).await.unwrap();
        tls.handshake_dane(stream, &base_domain, &["a.example"], &records).await.map(|(_, facts)| facts)
    };
    block_on(async {
        let facts = shake("mx.a.example").await.unwrap();
        assert_eq!((facts.how.as_deref(), facts.sni.as_deref()), (Some("DANE-EE 3 1 1"), Some("mx.a.example")));
        let error = shake("wrong.a.example").await.unwrap_err();
        let why = format!("no TLSA record matches: 1 record (3 1 1), the certificate's SPKI SHA-256 is {}", key_digest(&certificates));
        assert_eq!(error.to_string(), format!("certificate refused: {why}"));
        assert_eq!(error.facts().unwrap().verified, Some(false));
    });
    assert!(matches!(
        block_on(resolver.look_up("_25._tcp.nowhere.a.example", relayscope::net::resolve::Kind::Tlsa, LONG)).failure(),
        Some(Failure::NoSuchName)
    ));
}
