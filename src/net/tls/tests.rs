//! Real handshakes over loopback, against authorities made for the occasion.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::{self, ServerConfig};

use super::*;

/// An authority, and a directory with what it issued.
pub(super) struct Authority {
    dir: TempDir,
    pub issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        Self::named("Test Authority")
    }

    pub fn named(name: &str) -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { dir, issuer }
    }

    pub fn ca_file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A server's certificate and key, as files.
    pub fn issue(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters(names, change).signed_by(&key, &self.issuer).unwrap();
        self.keep(&certificate.pem(), &key)
    }

    /// One that nobody issued.
    pub fn self_issued(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = parameters(names, change).self_signed(&key).unwrap();
        self.keep(&certificate.pem(), &key)
    }

    pub fn keep(&self, certificate: &str, key: &KeyPair) -> (PathBuf, PathBuf) {
        let files = (self.dir.path().join("server.crt"), self.dir.path().join("server.key"));
        std::fs::write(&files.0, certificate).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        set_mode(&files.1, 0o600);
        files
    }
}

pub(super) fn parameters(names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut parameters = CertificateParams::new(names).unwrap();
    parameters.distinguished_name.push(DnType::CommonName, "server under test");
    change(&mut parameters);
    parameters
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub(super) fn expired(parameters: &mut CertificateParams) {
    parameters.not_before = date_time_ymd(2025, 1, 3);
    parameters.not_after = date_time_ymd(2026, 1, 3);
}

type Handshake = Result<(tokio_rustls::client::TlsStream<TcpStream>, TlsFacts), HandshakeError>;

/// One handshake; the server echoes an octet, so that a client it doesn't believe is noticed on both sides.
async fn shake(
    files: &(PathBuf, PathBuf),
    client: &ClientTls,
    host: &str,
    accept_unverified: bool,
) -> (Handshake, Result<TlsFacts, HandshakeError>) {
    let server = ServerTls::from_files(&files.0, &files.1).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut stream, facts) = server.accept(stream).await?;
        let mut octet = [0];
        let _ = stream.read(&mut octet).await;
        let _ = stream.write_all(&octet).await;
        Ok(facts)
    });
    let stream = TcpStream::connect(address).await.unwrap();
    let mut outcome = client.handshake(stream, host, accept_unverified).await;
    if let Ok((stream, _)) = &mut outcome {
        stream.write_all(b"x").await.unwrap();
        let mut octet = [0];
        stream.read_exact(&mut octet).await.unwrap();
    }
    (outcome, served.await.unwrap())
}

#[tokio::test]
async fn a_good_certificate_is_verified_and_described() {
    let authority = Authority::new();
    let files = authority.issue(&["mx.example"], |_| {});
    let (client, server) = shake(&files, &ClientTls::only(&authority.ca_file()).unwrap(), "mx.example", false).await;
    let (_, facts) = client.unwrap();
    assert_eq!(facts.version, "TLSv1.3");
    assert!(facts.cipher.starts_with("TLS_"), "{facts:?}");
    assert_eq!(facts.sni.as_deref(), Some("mx.example"));
    assert_eq!(facts.subject.as_deref(), Some("CN=server under test"));
    assert_eq!(facts.issuer.as_deref(), Some("CN=Test Authority"));
    assert_eq!(facts.verified, Some(true));
    assert_eq!(facts.how.as_deref(), Some("trusted authority"));
    assert_eq!(facts.why_not, None);
    let seen = server.unwrap();
    assert_eq!((seen.sni.as_deref(), seen.verified, seen.version.as_str()), (Some("mx.example"), None, "TLSv1.3"));
}

#[tokio::test]
async fn an_address_works_as_host_without_server_name() {
    let authority = Authority::new();
    let files = authority.issue(&["127.0.0.1"], |_| {});
    let tls = ClientTls::only(&authority.ca_file()).unwrap();
    let (client, server) = shake(&files, &tls, "127.0.0.1", false).await;
    assert_eq!(client.unwrap().1.sni, None);
    assert_eq!(server.unwrap().sni, None);
}

/// With and without `accept_unverified`, the same verdict in the same words.
#[track_caller]
fn check_words(host: &'static str, why_not: &'static str, make: impl FnOnce(&Authority) -> (PathBuf, PathBuf)) {
    let authority = Authority::new();
    let files = make(&authority);
    let tls = ClientTls::only(&authority.ca_file()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (accepted, _) = shake(&files, &tls, host, true).await;
        let (_, facts) = accepted.unwrap();
        assert_eq!((facts.verified, facts.why_not.as_deref()), (Some(false), Some(why_not)));
        assert_eq!(facts.version, "TLSv1.3");

        let (refused, server) = shake(&files, &tls, host, false).await;
        let error = refused.expect_err("must be refused");
        assert!(error.is_verification());
        assert_eq!(error.to_string(), format!("certificate refused: {why_not}"));
        let (kept, before) = (error.facts().unwrap(), facts);
        assert_eq!((&kept.subject, &kept.issuer, kept.expires_at_unix_us), (&before.subject, &before.issuer, before.expires_at_unix_us));
        // TLS 1.3: the server may think itself connected before the alert arrives.
        if let Err(error) = server {
            assert!(error.to_string().contains("does not accept our certificate"), "{error}");
        }
    });
}

#[test]
fn an_expired_certificate_says_since_when() {
    check_words("mx.example", "certificate expired 2026-01-03", |authority| authority.issue(&["mx.example"], expired));
}

#[test]
fn a_certificate_from_the_future_says_from_when() {
    check_words("mx.example", "certificate is not valid before 2999-01-01 (is this machine's clock right?)", |authority| {
        authority.issue(&["mx.example"], |parameters| parameters.not_before = date_time_ymd(2999, 1, 1))
    });
}

#[test]
fn a_wrong_name_says_both_names() {
    check_words("b.example", "name mismatch: certificate is for a.example, not b.example", |authority| {
        authority.issue(&["a.example"], |_| {})
    });
}

#[test]
fn a_certificate_without_names_says_so() {
    check_words("b.example", "name mismatch: certificate is for no host name at all, not b.example", |authority| {
        authority.issue(&[], |_| {})
    });
}

#[test]
fn a_self_signed_certificate_is_called_so() {
    check_words("mx.example", "issued by an unknown authority (self-signed)", |authority| authority.self_issued(&["mx.example"], |_| {}));
}

#[test]
fn a_self_signed_certificate_marked_as_authority_is_called_so_too() {
    check_words("mx.example", "issued by an unknown authority (self-signed)", |authority| {
        authority.self_issued(&["mx.example"], |parameters| parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
    });
}

#[test]
fn an_unknown_issuer_is_named() {
    let why = "issued by an unknown authority (CN=Other Authority), or an intermediate certificate is missing";
    check_words("mx.example", why, |ours| issued_elsewhere(ours, "Other Authority"));
}

#[test]
fn a_namesake_of_a_trusted_authority_is_not_believed() {
    let why = "its signature is not that of the trusted authority of that name (CN=Test Authority)";
    check_words("mx.example", why, |ours| issued_elsewhere(ours, "Test Authority"));
}

fn issued_elsewhere(ours: &Authority, name: &str) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let certificate = parameters(&["mx.example"], |_| {}).signed_by(&key, &Authority::named(name).issuer).unwrap();
    ours.keep(&certificate.pem(), &key)
}

#[tokio::test]
async fn a_self_signed_certificate_in_the_ca_file_is_believed() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let authority = Authority::new();
        let files = authority.self_issued(&["mx.example"], |parameters| parameters.is_ca = is_ca);
        let tls = ClientTls::only(&files.0).unwrap();
        let (client, _) = shake(&files, &tls, "mx.example", false).await;
        let (_, facts) = client.unwrap();
        assert_eq!((facts.verified, facts.how.as_deref()), (Some(true), Some("pinned in ca_file")));
        let (elsewhere, _) = shake(&files, &tls, "other.example", false).await;
        assert!(elsewhere.is_err_and(|error| error.to_string().contains("name mismatch")));
    }
}

#[tokio::test]
async fn an_expired_certificate_in_the_ca_file_is_not_believed() {
    let authority = Authority::new();
    let files = authority.self_issued(&["mx.example"], expired);
    let (client, _) = shake(&files, &ClientTls::only(&files.0).unwrap(), "mx.example", false).await;
    assert_eq!(client.err().unwrap().to_string(), "certificate refused: certificate expired 2026-01-03");
}

#[tokio::test]
async fn a_resumed_session_tells_the_same() {
    let authority = Authority::new();
    let files = authority.issue(&["mx.example"], |_| {});
    let tls = ClientTls::only(&authority.ca_file()).unwrap();
    let server = Arc::new(ServerTls::from_files(&files.0, &files.1).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (mut stream, _) = server.accept(stream).await.unwrap();
            stream.write_all(b"x").await.unwrap();
            let _ = stream.read(&mut [0]).await;
        }
    });
    let mut seen = Vec::new();
    for _ in 0..2 {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut stream, facts) = tls.handshake(stream, "mx.example", false).await.unwrap();
        stream.read_exact(&mut [0]).await.unwrap(); // the tickets come before it
        seen.push((stream.get_ref().1.handshake_kind().unwrap(), facts));
    }
    assert_eq!(seen[0].0, rustls::HandshakeKind::Full);
    assert_eq!(seen[1].0, rustls::HandshakeKind::Resumed);
    assert_eq!(seen[0].1, seen[1].1);
}

#[tokio::test]
async fn tls_1_2_is_spoken_and_named() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["mx.example"], |_| {});
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(pem::certificates(&certificate).unwrap(), pem::private_key(&key).unwrap())
        .unwrap();
    let (near, far) = tokio::io::duplex(1 << 16);
    let served = tokio::spawn(tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(far));
    let tls = ClientTls::only(&authority.ca_file()).unwrap();
    let (_, facts) = tls.handshake(near, "mx.example", false).await.unwrap();
    assert_eq!((facts.version.as_str(), facts.verified), ("TLSv1.2", Some(true)));
    assert!(facts.cipher.starts_with("TLS_ECDHE_"), "{facts:?}");
    served.await.unwrap().unwrap();
}

/// What a peer that isn't a TLS server does to our handshake.
async fn against(octets: &'static [u8]) -> HandshakeError {
    let authority = Authority::new();
    let tls = ClientTls::only(&authority.ca_file()).unwrap();
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let peer = tokio::spawn(async move {
        let mut hello = [0; 16];
        far.read_exact(&mut hello).await.unwrap();
        far.write_all(octets).await.unwrap();
    });
    let error = tls.handshake(near, "mx.example", true).await.err().unwrap();
    peer.await.unwrap();
    error
}

#[tokio::test]
async fn a_peer_that_does_not_speak_tls_is_told_from_one_that_hangs_up_and_one_that_alerts() {
    assert_eq!(against(b"").await.to_string(), "the peer closed the connection during the TLS handshake");
    assert_eq!(against(b"220 mx.example ESMTP\r\n").await.to_string(), "the peer does not speak TLS here (it sent something else)");
    assert_eq!(
        against(b"\x15\x03\x03\x00\x02\x02\x46").await.to_string(),
        "the peer ended the TLS handshake with alert protocol_version: no TLS version in common (relayscope speaks TLS 1.2 and 1.3)"
    );
    assert_eq!(
        against(b"\x15\x03\x01\x00\x02\x02\x28").await.to_string(),
        "the peer ended the TLS handshake with alert handshake_failure: no cipher or parameter in common, or it wants a client certificate"
    );
}

#[tokio::test]
async fn a_client_that_does_not_speak_tls_is_told_apart_too() {
    let authority = Authority::new();
    let files = authority.issue(&["mx.example"], |_| {});
    let server = ServerTls::from_files(&files.0, &files.1).unwrap();
    let (mut near, far) = tokio::io::duplex(1 << 16);
    near.write_all(b"EHLO client.example\r\n").await.unwrap();
    let error = server.accept(far).await.err().unwrap();
    assert!(matches!(error, HandshakeError::NotTls), "{error:?}");
}

#[tokio::test]
async fn a_host_name_that_is_none_is_refused_before_anything_is_sent() {
    let authority = Authority::new();
    let tls = ClientTls::only(&authority.ca_file()).unwrap();
    let (near, _far) = tokio::io::duplex(64);
    let error = tls.handshake(near, "not a name", false).await.err().unwrap();
    assert_eq!(error.to_string(), "\"not a name\" is not a host name that a certificate can be verified for");
}

#[test]
fn files_of_no_use_are_refused_with_the_repair() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["mx.example"], |_| {});
    let words = |certificate: &Path, key: &Path| ServerTls::from_files(certificate, key).err().map(|error| error.to_string());
    let at = |path: &Path| path.display().to_string();

    let missing = authority.dir.path().join("absent.crt");
    assert_eq!(words(&missing, &key), Some(format!("{}: no such file", at(&missing))));
    assert_eq!(words(&key, &key), Some(format!("{}: no certificate in it (expected PEM, \"-----BEGIN CERTIFICATE-----\")", at(&key))));
    set_mode(&certificate, 0o600);
    assert!(words(&certificate, &certificate).unwrap().contains("no private key in it"));
    set_mode(&key, 0o644);
    assert_eq!(
        words(&certificate, &key),
        Some(format!("{0}: the private key is open to every user of this machine (mode 0644): run `chmod 640 {0}`", at(&key)))
    );
    let other_key = authority.dir.path().join("other.key");
    std::fs::write(&other_key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    set_mode(&other_key, 0o640);
    assert_eq!(
        words(&certificate, &other_key),
        Some(format!("{}: this key does not belong to the certificate in {}", at(&other_key), at(&certificate)))
    );
    assert_eq!(
        ClientTls::only(&key).err().unwrap().to_string(),
        format!("ca_file: {}: no certificate in it (expected PEM, \"-----BEGIN CERTIFICATE-----\")", at(&key))
    );
}

#[test]
fn a_reload_takes_new_files_and_keeps_the_old_ones_when_they_are_bad() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue(&["mx.example"], |parameters| parameters.not_after = date_time_ymd(2030, 1, 1));
    let server = ServerTls::from_files(&certificate, &key).unwrap();
    let first = server.expires_at_unix_us().unwrap();
    authority.issue(&["mx.example"], |parameters| parameters.not_after = date_time_ymd(2031, 1, 1));
    server.reload().unwrap();
    let second = server.expires_at_unix_us().unwrap();
    assert!(second > first);
    std::fs::write(&certificate, "").unwrap();
    assert!(server.reload().is_err());
    assert_eq!(server.expires_at_unix_us(), Some(second));
}

#[test]
fn a_self_signed_certificate_is_made_once_kept_and_replaced_when_useless() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let dirs = [dir.path().join("certs")];
    let made = self_signed(&dirs, "proxy.example").unwrap();
    assert!(made.made);
    assert_eq!(std::fs::metadata(&made.key).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = self_signed(&dirs, "proxy.example").unwrap();
    assert_eq!(kept, SelfSigned { made: false, ..made.clone() });

    let authority = Authority::new();
    let (certificate, key) = authority.self_issued(&["proxy.example"], expired);
    std::fs::copy(&certificate, &made.certificate).unwrap();
    std::fs::copy(&key, &made.key).unwrap();
    assert!(self_signed(&dirs, "proxy.example").unwrap().made, "expired");
    std::fs::copy(&key, &made.key).unwrap();
    assert!(self_signed(&dirs, "proxy.example").unwrap().made, "key of another certificate");
    assert!(!self_signed(&dirs, "proxy.example").unwrap().made);
}

#[test]
fn a_self_signed_certificate_goes_where_it_can_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let blocked = dir.path().join("blocked");
    std::fs::write(&blocked, "a file where the directory would be").unwrap();
    let made = self_signed(&[blocked.clone(), dir.path().join("state")], "proxy.example").unwrap();
    assert_eq!(made.certificate, dir.path().join("state/self-signed.crt"));
    let error = self_signed(&[blocked], "proxy.example").unwrap_err();
    assert!(error.to_string().contains("set `certificate` and `key` on the listener"), "{error}");
}

#[tokio::test]
async fn our_own_certificate_is_good_for_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let made = self_signed(&[dir.path().to_owned()], "proxy.example").unwrap();
    let files = (made.certificate, made.key);
    let tls = ClientTls::only(&files.0).unwrap();
    let (client, _) = shake(&files, &tls, "proxy.example", false).await;
    assert_eq!(client.unwrap().1.verified, Some(true));
}
