//! PROXY headers, as a real HAProxy writes them.

use std::net::TcpListener;
use std::time::Duration;

use relayscope::net::proxy_header::{HeaderError, Subject, Version, read_header};

use crate::support::certificates;
use crate::support::haproxy::Haproxy;
use crate::support::place::Place;
use crate::support::programs::need;

const LONG: Duration = Duration::from_secs(90);

/// What is read off the next connection.
fn header_of(listener: &TcpListener) -> Result<relayscope::net::proxy_header::Header, HeaderError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_nonblocking(true).unwrap();
    runtime.block_on(async { read_header(&mut tokio::net::TcpStream::from_std(stream).unwrap(), LONG).await })
}

#[test]
fn haproxys_headers_are_read() {
    need!("haproxy");
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let haproxy = Haproxy::start(&place, "v1", at, "", "send-proxy");
    let client = std::net::TcpStream::connect(haproxy.address).unwrap();
    let header = header_of(&listener).unwrap();
    assert_eq!(header.version, Version::V1);
    assert_eq!(header.subject, Subject::Client { source: client.local_addr().unwrap(), destination: haproxy.address });

    let haproxy = Haproxy::start(&place, "v2", at, "", "send-proxy-v2 proxy-v2-options unique-id,crc32c");
    let client = std::net::TcpStream::connect(haproxy.address).unwrap();
    let header = header_of(&listener).unwrap();
    assert_eq!(header.version, Version::V2);
    assert_eq!(header.subject, Subject::Client { source: client.local_addr().unwrap(), destination: haproxy.address });
    assert!(header.notes.checksummed);
    let id = String::from_utf8(header.notes.unique_id.unwrap()).unwrap();
    assert!(id.starts_with("mail-127.0.0.1-"), "{id}");

    let haproxy = Haproxy::start(&place, "checks", at, "", "send-proxy-v2 check inter 100ms");
    assert_eq!(header_of(&listener).unwrap().subject, Subject::Local);
    drop(haproxy);
}

#[test]
fn haproxys_word_on_tls_is_read() {
    need!("haproxy", "openssl");
    let place = Place::new();
    let made = certificates::make(&place, "certificates", &["balancer.example"]);
    let both = [std::fs::read(&made.certificate).unwrap(), std::fs::read(&made.key).unwrap()].concat();
    let pem = place.file("certificates/both.pem", both);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = format!("ssl crt {} ca-file {} verify optional", pem.display(), made.authority.display());
    let options = "send-proxy-v2-ssl-cn proxy-v2-options ssl,cert-cn,ssl-cipher,authority,unique-id";
    let haproxy = Haproxy::start(&place, "tls", listener.local_addr().unwrap(), &bind, options);
    let mut command = std::process::Command::new("openssl");
    command.args(["s_client", "-quiet", "-servername", "mx.example", "-connect", &haproxy.address.to_string()]);
    command.arg("-cert").arg(&made.certificate).arg("-key").arg(&made.key);
    let _client = crate::support::process::Process::start(command, false);
    let notes = header_of(&listener).unwrap().notes;
    let tls = notes.tls.unwrap();
    assert!(tls.used && tls.client_certificate && tls.client_verified, "{tls:?}");
    assert_eq!(tls.version.as_deref(), Some("TLSv1.3"));
    assert!(tls.cipher.is_some_and(|it| it.starts_with("TLS_")));
    assert_eq!(notes.authority.as_deref(), Some("mx.example"));
}
