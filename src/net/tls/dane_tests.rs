//! Real handshakes judged by TLSA records; `tests/net_dns/` has them out of real DNS.

use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};
use ring::digest::{SHA256, SHA512, digest};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::tests::{Authority, expired, parameters};
use super::*;
use crate::net::resolve::Tlsa;

fn key_of(certificate: &CertificateDer<'_>) -> Vec<u8> {
    X509Certificate::from_der(certificate.as_ref()).unwrap().1.tbs_certificate.subject_pki.raw.to_vec()
}

/// A record of these parameters for this certificate.
fn tlsa(parameters: (u8, u8, u8), certificate: &CertificateDer<'_>) -> Tlsa {
    let (usage, selector, matching) = parameters;
    let selected = if selector == 0 { certificate.to_vec() } else { key_of(certificate) };
    let data = match matching {
        1 => digest(&SHA256, &selected).as_ref().to_vec(),
        2 => digest(&SHA512, &selected).as_ref().to_vec(),
        _ => selected,
    };
    Tlsa::new(usage, selector, matching, data)
}

fn first(files: &(PathBuf, PathBuf)) -> CertificateDer<'static> {
    pem::certificates(&files.0).unwrap().remove(0)
}

/// The authority's certificate behind the server's own, as DANE-TA needs it.
fn with_authority(authority: &Authority, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let certificate = parameters(names, change).signed_by(&key, &authority.issuer).unwrap();
    authority.keep(&format!("{}{}", certificate.pem(), authority.issuer.pem()), &key)
}

/// What a client says that trusts nobody but the records.
async fn verdict(files: &(PathBuf, PathBuf), names: &[&str], records: &[Tlsa]) -> Result<String, String> {
    let server = ServerTls::from_files(&files.0, &files.1).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let _ = server.accept(stream).await;
    });
    let tls = ClientTls::only(&files.0).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    match tls.handshake_dane(stream, "mx.example", names, records).await {
        Ok((_, facts)) => {
            assert_eq!((facts.verified, facts.sni.as_deref(), &facts.why_not), (Some(true), Some("mx.example"), &None));
            Ok(facts.how.unwrap())
        }
        Err(HandshakeError::Unverified { facts }) => {
            assert_eq!((facts.verified, &facts.how), (Some(false), &None));
            assert!(facts.subject.is_some() && !facts.version.is_empty(), "{facts:?}");
            Err(facts.why_not.unwrap())
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_servers_own_key_needs_neither_name_nor_date() {
    let authority = Authority::new();
    let files = authority.self_issued(&["elsewhere.example"], expired);
    for of in [(3, 0, 0), (3, 0, 1), (3, 0, 2), (3, 1, 0), (3, 1, 1), (3, 1, 2)] {
        let how = verdict(&files, &[], &[tlsa(of, &first(&files))]).await;
        assert_eq!(how, Ok(format!("DANE-EE {} {} {}", of.0, of.1, of.2)));
    }
}

#[tokio::test]
async fn one_record_that_matches_is_enough() {
    let authority = Authority::new();
    let files = authority.issue(&["mx.example"], |_| {});
    let other = authority.issuer.der().clone();
    let records = [tlsa((3, 1, 1), &other), tlsa((2, 1, 1), &other), tlsa((3, 1, 1), &first(&files))];
    assert_eq!(verdict(&files, &[], &records).await, Ok("DANE-EE 3 1 1".to_owned()));
}

#[tokio::test]
async fn no_match_names_what_was_seen() {
    let authority = Authority::new();
    let files = authority.issue(&["mx.example"], |_| {});
    let other = authority.issuer.der().clone();
    let shown: String = digest(&SHA256, &key_of(&first(&files))).as_ref().iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(
        verdict(&files, &[], &[tlsa((3, 1, 1), &other), tlsa((3, 0, 2), &other)]).await,
        Err(format!("no TLSA record matches: 2 records (3 1 1, 3 0 2), the certificate's SPKI SHA-256 is {shown}"))
    );
}

#[tokio::test]
async fn a_weak_digest_beside_a_strong_one_does_not_count() {
    let authority = Authority::new();
    let files = authority.issue(&["mx.example"], |_| {});
    let records = [tlsa((3, 1, 1), &first(&files)), tlsa((3, 1, 2), authority.issuer.der())];
    assert!(verdict(&files, &[], &records).await.unwrap_err().starts_with("no TLSA record matches: 1 record (3 1 2)"));
}

#[tokio::test]
async fn an_authority_vouches_for_the_names_asked_for() {
    let authority = Authority::new();
    let files = with_authority(&authority, &["mx.example"], |_| {});
    for of in [(2, 0, 0), (2, 0, 1), (2, 1, 1), (2, 1, 2)] {
        let how = verdict(&files, &[], &[tlsa(of, authority.issuer.der())]).await;
        assert_eq!(how, Ok(format!("DANE-TA {} {} {}", of.0, of.1, of.2)));
    }
    let elsewhere = with_authority(&authority, &["domain.example"], |_| {});
    let record = [tlsa((2, 1, 1), authority.issuer.der())];
    assert_eq!(verdict(&elsewhere, &["domain.example"], &record).await, Ok("DANE-TA 2 1 1".to_owned()), "RFC 7672 3.2.2");
    assert_eq!(
        verdict(&elsewhere, &["other.example"], &record).await.unwrap_err(),
        "TLSA record 2 1 1 matches an authority in the chain, but: name mismatch: certificate is for domain.example, not mx.example"
    );
}

#[tokio::test]
async fn an_authority_asks_for_dates_and_signatures() {
    let authority = Authority::new();
    let late = with_authority(&authority, &["mx.example"], expired);
    let record = [tlsa((2, 0, 1), authority.issuer.der())];
    let why = verdict(&late, &[], &record).await.unwrap_err();
    assert_eq!(why, "TLSA record 2 0 1 matches an authority in the chain, but: certificate expired 2026-01-03");

    // The authority's certificate is shown, but it has not issued the server's.
    let key = KeyPair::generate().unwrap();
    let certificate = parameters(&["mx.example"], |_| {}).signed_by(&key, &Authority::named("Other").issuer).unwrap();
    let forged = authority.keep(&format!("{}{}", certificate.pem(), authority.issuer.pem()), &key);
    let why = verdict(&forged, &[], &record).await.unwrap_err();
    assert!(why.contains("issued by an unknown authority (CN=Other)"), "{why}");
}

#[tokio::test]
async fn an_authority_that_is_not_shown_is_known_only_whole() {
    let authority = Authority::new();
    let files = authority.issue(&["mx.example"], |_| {});
    assert_eq!(verdict(&files, &[], &[tlsa((2, 0, 0), authority.issuer.der())]).await, Ok("DANE-TA 2 0 0".to_owned()));
    assert!(verdict(&files, &[], &[tlsa((2, 0, 1), authority.issuer.der())]).await.is_err());
}
