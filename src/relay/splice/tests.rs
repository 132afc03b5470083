//! Real handshakes, made in memory by rustls and watched in passing; and whatever octets there may be instead.

use std::io::Read;
use std::sync::Arc;

use proptest::prelude::*;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, SupportedProtocolVersion, crypto::ring, version,
};

use super::sight::{Certificate, ClientHello, ServerHello, Sight};
use super::watch::Watch;
use crate::trace::Leg;

struct Ends {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

fn certified(name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let certificate = params.self_signed(&made.signing_key).unwrap();
    (certificate.der().clone(), PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap())
}

fn ends(version: &'static SupportedProtocolVersion, client_shows: bool, trusted: bool) -> Ends {
    let provider = Arc::new(ring::default_provider());
    let (certificate, key) = certified("mx.example");
    let (own, own_key) = certified("hybrid.example");
    let mut roots = RootCertStore::empty();
    roots.add(if trusted { certificate.clone() } else { own.clone() }).unwrap();
    let mut clients = RootCertStore::empty();
    clients.add(own.clone()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[version]).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(clients.into(), provider.clone()).build().unwrap();
    let builder = if client_shows { builder.with_client_cert_verifier(verifier) } else { builder.with_no_client_auth() };
    let server = builder.with_single_cert(vec![certificate], key).unwrap();
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let mut client = if client_shows { builder.with_client_auth_cert(vec![own], own_key).unwrap() } else { builder.with_no_client_auth() };
    client.alpn_protocols = Vec::new();
    Ends { client: client.into(), server: server.into() }
}

/// What is seen of a handshake and a line each way, cut into pieces of so many octets.
fn watched(ends: &Ends, piece: usize) -> Vec<(Leg, Sight)> {
    let mut client = ClientConnection::new(ends.client.clone(), ServerName::try_from("mx.example").unwrap()).unwrap();
    let mut server = ServerConnection::new(ends.server.clone()).unwrap();
    let (mut from_client, mut from_server) = (Watch::new(Leg::Client), Watch::new(Leg::Upstream));
    let mut seen = Vec::new();
    let mut spoken = false;
    loop {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        client.write_tls(&mut up).unwrap();
        for piece in up.chunks(piece) {
            assert!(from_client.takes(piece));
            seen.extend(from_client.observe(piece).into_iter().map(|sight| (Leg::Client, sight)));
        }
        server.read_tls(&mut up.as_slice()).unwrap();
        let _ = server.process_new_packets();
        server.write_tls(&mut down).unwrap();
        for piece in down.chunks(piece) {
            assert!(from_server.takes(piece));
            let sights = from_server.observe(piece);
            from_client.tls13 |= from_server.tls13;
            seen.extend(sights.into_iter().map(|sight| (Leg::Upstream, sight)));
        }
        client.read_tls(&mut down.as_slice()).unwrap();
        let trusts = client.process_new_packets().is_ok();
        let _ = client.reader().read(&mut [0; 16]);
        if up.is_empty() && down.is_empty() {
            if !trusts || std::mem::replace(&mut spoken, true) {
                return seen;
            }
            std::io::Write::write_all(&mut client.writer(), b"EHLO hybrid.example\r\n").unwrap();
        }
    }
}

fn hello(seen: &[(Leg, Sight)]) -> &ClientHello {
    seen.iter().find_map(|(_, sight)| if let Sight::ClientHello(hello) = sight { Some(hello) } else { None }).unwrap()
}

fn answer(seen: &[(Leg, Sight)]) -> &ServerHello {
    seen.iter().find_map(|(_, sight)| if let Sight::ServerHello(hello) = sight { Some(hello) } else { None }).unwrap()
}

fn certificates(seen: &[(Leg, Sight)]) -> Vec<(Leg, &Certificate)> {
    seen.iter().filter_map(|(leg, sight)| if let Sight::Certificate(it) = sight { Some((*leg, it)) } else { None }).collect()
}

#[test]
fn tls_1_2_shows_both_certificates() {
    for piece in [1, 7, 1_000, 100_000] {
        let ends = ends(&version::TLS12, true, true);
        let seen = watched(&ends, piece);
        assert_eq!(hello(&seen).sni.as_deref(), Some("mx.example"));
        assert_eq!(hello(&seen).versions, ["TLSv1.3", "TLSv1.2"]);
        assert_eq!(answer(&seen).version, "TLSv1.2");
        assert!(answer(&seen).cipher.starts_with("TLS_ECDHE_"), "{}", answer(&seen).cipher);
        let shown = certificates(&seen);
        let subjects: Vec<_> = shown.iter().map(|(leg, it)| (*leg, it.subject.as_deref().unwrap_or_default())).collect();
        assert_eq!(subjects, [(Leg::Upstream, "CN=mx.example"), (Leg::Client, "CN=hybrid.example")]);
        assert!(shown.iter().all(|(_, it)| it.expires_at.is_some()));
        assert_eq!(seen.iter().filter(|(_, sight)| *sight == Sight::Dark { alert: false }).count(), 2, "{seen:?}");
        // The second time the session of before is used again, and no certificate is shown any more.
        let again = watched(&ends, piece);
        assert!(answer(&again).resumes(&hello(&again).session_id), "{again:?}");
        assert!(certificates(&again).is_empty() && !answer(&seen).resumes(&hello(&seen).session_id));
    }
}

#[test]
fn tls_1_3_shows_no_certificate() {
    let ends = ends(&version::TLS13, true, true);
    for piece in [1, 7, 100_000] {
        let seen = watched(&ends, piece);
        assert_eq!((answer(&seen).version.as_str(), answer(&seen).tls13), ("TLSv1.3", true));
        assert_eq!(answer(&seen).cipher, "TLS_AES_256_GCM_SHA384");
        assert!(certificates(&seen).is_empty());
        let dark: Vec<_> = seen.iter().filter(|(_, sight)| *sight == Sight::Dark { alert: false }).map(|(leg, _)| *leg).collect();
        assert_eq!(dark, [Leg::Upstream, Leg::Client], "{seen:?}");
    }
    let seen = watched(&ends, 100_000);
    assert!(hello(&seen).resumes && answer(&seen).pre_shared, "{seen:?}");
}

#[test]
fn a_client_that_does_not_trust_the_certificate_is_seen() {
    let seen = watched(&ends(&version::TLS12, false, false), 100_000);
    assert!(seen.iter().any(|(leg, sight)| *leg == Leg::Client && matches!(sight, Sight::Alert { fatal: true, .. })), "{seen:?}");
    let seen = watched(&ends(&version::TLS13, false, false), 100_000);
    assert!(seen.contains(&(Leg::Client, Sight::Dark { alert: true })), "{seen:?}");
}

#[test]
fn only_tls_is_taken() {
    for (from, octets, takes) in [
        (Leg::Client, &b"\x16\x03\x01\x02\x00\x01\x00"[..], true),
        (Leg::Client, b"\x16\x03\x01\x02\x00\x02\x00", false),
        (Leg::Client, b"\x15\x03\x01\x00\x02\x02\x28", false),
        (Leg::Client, b"MAIL FROM:<>\r\n", false),
        (Leg::Client, b"\x16", true),
        (Leg::Upstream, b"\x15\x03\x03\x00\x02\x02\x28", true),
        (Leg::Upstream, b"\x16\x03\x03", true),
        (Leg::Upstream, b"250 ok\r\n", false),
        (Leg::Upstream, b"\x16\x02", false),
    ] {
        assert_eq!(Watch::new(from).takes(octets), takes, "{from} {octets:?}");
    }
}

proptest! {
    /// No octets panic, and how they are cut changes nothing of what is seen.
    #[test]
    fn no_octets_panic(
        octets in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            // Records with plausible heads.
            proptest::collection::vec((20u8..25, proptest::collection::vec(any::<u8>(), 0..80), prop_oneof![Just(1u8), Just(2), Just(11), Just(16)]), 0..6)
                .prop_map(|records| records.into_iter().flat_map(|(kind, content, message)| {
                    let content = [&[message, 0, 0, content.len() as u8][..], &[3, 3], &content].concat();
                    [&[kind, 3, 3, 0, content.len() as u8][..], &content].concat()
                }).collect()),
        ],
        cut in 1usize..40,
    ) {
        let mut whole = Watch::new(Leg::Upstream);
        let seen = whole.observe(&octets);
        let mut cuts = Watch::new(Leg::Upstream);
        let pieces: Vec<_> = octets.chunks(cut).flat_map(|piece| cuts.observe(piece)).collect();
        prop_assert_eq!(&seen, &pieces);
        prop_assert_eq!(whole.octets, cuts.octets);
        for sight in seen {
            let _ = sight.words(b"");
        }
    }
}
