//! TLS with certificates of both sides, and logins.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::broker::have;
use super::mail::deliver;
use super::scene::{Manner, scene_with};
use crate::support::certificates::{Certificates, make};
use crate::support::place::Place;

fn acceptor(server: &Certificates, clients: Option<&Path>) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(&server.certificate).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&server.key).unwrap();
    let builder = ServerConfig::builder();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
            builder.with_client_cert_verifier(WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap())
        }
    };
    TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
}

#[test]
fn both_sides_show_certificates() {
    if !have("both_sides_show_certificates") {
        return;
    }
    let place = Place::new();
    let (server, client) = (make(&place, "server", &["127.0.0.1"]), make(&place, "client", &["relay.example"]));
    let manner = Manner { tls: Some(acceptor(&server, Some(&client.authority))), ..Manner::default() };
    let export = "url = \"tls://127.0.0.1:{port}\"\nca_file = \"{dir}/server/authority.pem\"\n\
                  certificate = \"{dir}/client/server.crt\"\nkey = \"{dir}/client/server.key\"";
    fs::set_permissions(&client.key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let scene = scene_with(place, 1, manner, export, |_| {});
    deliver(&scene.relayscope, "one", 10);
    scene.arrive(10);
    scene.exactly_once();
}

#[test]
fn a_certificate_for_another_name_or_by_a_stranger_ends_it() {
    if !have("a_certificate_for_another_name_or_by_a_stranger_ends_it") {
        return;
    }
    for (name, ca_file) in [("elsewhere.example", "ca_file = \"{dir}/server/authority.pem\""), ("127.0.0.1", "")] {
        let place = Place::new();
        let server = make(&place, "server", &[name]);
        let manner = Manner { tls: Some(acceptor(&server, None)), ..Manner::default() };
        let scene = scene_with(place, 1, manner, &format!("url = \"tls://127.0.0.1:{{port}}\"\n{ca_file}"), |_| {});
        deliver(&scene.relayscope, "one", 1);
        let said = scene.complaint();
        assert!(said.contains("TLS with 127.0.0.1:") && said.contains("certificate"), "{said}");
        assert_eq!(scene.door.produced(), 0);
        scene.relayscope.stop();
    }
}

#[test]
fn a_port_for_tls_that_is_spoken_to_in_clear_is_said() {
    if !have("a_port_for_tls_that_is_spoken_to_in_clear_is_said") {
        return;
    }
    let place = Place::new();
    let server = make(&place, "server", &["127.0.0.1"]);
    let manner = Manner { tls: Some(acceptor(&server, None)), ..Manner::default() };
    let scene = scene_with(place, 1, manner, "", |_| {});
    deliver(&scene.relayscope, "one", 1);
    let said = scene.complaint();
    assert!(said.contains("if that port wants TLS, write tls://"), "{said}");
    scene.relayscope.stop();
}

#[test]
fn passwords_are_shown_to_be_known_by_each_mechanism() {
    if !have("passwords_are_shown_to_be_known_by_each_mechanism") {
        return;
    }
    for (offered, mechanism) in [("SCRAM-SHA-512", "scram-sha-512"), ("SCRAM-SHA-256", "scram-sha-256"), ("PLAIN", "plain")] {
        let manner = Manner { mechanism: Some(offered), password: "the password", ..Manner::default() };
        let export = format!("user = \"relayscope\"\nsecret_file = \"{{dir}}/secret\"\nmechanism = \"{mechanism}\"");
        let scene = scene_with(Place::new(), 1, manner, &export, |_| {});
        deliver(&scene.relayscope, "one", 5);
        scene.arrive(5);
        scene.exactly_once();
    }
}

#[test]
fn a_login_that_isnt_taken_is_said_without_the_password() {
    if !have("a_login_that_isnt_taken_is_said_without_the_password") {
        return;
    }
    let login = "user = \"relayscope\"\nsecret_file = \"{dir}/secret\"\n";
    for (offered, export, wanted) in [
        ("SCRAM-SHA-512", login.to_owned(), "doesn't take the login of user \\\"relayscope\\\""),
        ("PLAIN", format!("{login}mechanism = \"plain\""), "doesn't take the login of user \\\"relayscope\\\""),
        ("SCRAM-SHA-256", login.to_owned(), "write another `mechanism`"),
        ("SCRAM-SHA-512", String::new(), "if it wants a login, write `user`"),
    ] {
        let manner = Manner { mechanism: Some(offered), password: "not the password", ..Manner::default() };
        let scene = scene_with(Place::new(), 1, manner, &export, |_| {});
        deliver(&scene.relayscope, "one", 1);
        let said = scene.complaint();
        assert!(said.contains(wanted), "{offered}: {said}");
        assert!(!scene.relayscope.output().text().contains("not the password"));
        scene.relayscope.stop();
    }
}
