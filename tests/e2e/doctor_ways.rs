//! The doctor on other ways than a smart host's: LMTP, PROXY headers, mail exchangers, old TLS, and one examination at a time.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::doctor::{api, doctor};
use crate::support::PATIENCE;
use crate::support::certificates;
use crate::support::dns::{Dns, Zones};
use crate::support::dovecot::Dovecot;
use crate::support::place::Place;
use crate::support::ports;
use crate::support::postfix::Postfix;
use crate::support::programs::need;
use crate::support::relayscope::Relayscope;
use crate::support::sink::on_addresses;

/// A configuration with one upstream, and nobody listening.
fn upstream(place: &Place, text: &str) {
    let listen = ports::unused();
    place.file(
        "relayscope.toml",
        format!("host_name = \"relay.example\"\n[[listener]]\nlisten = [\"127.0.0.1:{listen}\"]\n[[upstream]]\n{text}\n"),
    );
}

#[test]
fn versions_of_tls_that_are_withdrawn_are_found() {
    need!("postfix", "root");
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &["127.0.0.1"]);
    let postfix = |name: &str, protocols: &str| {
        let place = Place::new();
        let extra = format!(
            "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nsmtpd_tls_protocols = {protocols}\n\
             tls_medium_cipherlist = ALL:@SECLEVEL=0\n",
            certificates.certificate.display(),
            certificates.key.display()
        );
        let postfix = Postfix::named(&place, name, &extra);
        (place, postfix)
    };
    let (_old_place, old) = postfix("old", ">=TLSv1");
    let (_ancient_place, ancient) = postfix("ancient", ">=TLSv1, <=TLSv1.1");
    let ask = |kind: &str, postfix: &Postfix| {
        let ca = certificates.authority.display();
        upstream(&place, &format!("name = \"main\"\nkind = \"{kind}\"\nhosts = [\"{}\"]\nca_file = \"{ca}\"", postfix.address));
        doctor(&place, &["upstream", "main", "--directly"]).1
    };
    let own = ask("fixed", &old);
    own.expect("directly", "upstream.tls_versions", "ok", "both");
    own.expect("directly", "upstream.tls_old", "warn", "the server speaks TLS 1.0 and TLS 1.1 => Switch it off there");
    ask("smart_host", &old).expect("directly", "upstream.tls_old", "ok", "mail through relayscope isn't concerned");
    let (_modern_place, modern) = postfix("modern", ">=TLSv1.2");
    ask("fixed", &modern).expect("directly", "upstream.tls_old", "ok", "neither (its version is refused)");
    // Where nothing else is spoken, it says why there is no handshake.
    ask("fixed", &ancient).expect("directly", "upstream.tls_old", "warn", "the server speaks TLS 1.0 and TLS 1.1");
}

#[test]
fn a_mail_store_is_asked_in_its_own_protocol() {
    need!("dovecot", "lmtp", "root");
    let place = Place::new();
    let dovecot = Dovecot::start(&place, "");
    upstream(&place, &format!("name = \"store\"\nkind = \"fixed\"\nprotocol = \"lmtp\"\ntls = \"off\"\nhosts = [\"{}\"]", dovecot.address));
    let (_, report) = doctor(&place, &["upstream", "store", "--directly", "--rcpt", "bob@to.example"]);
    report.expect("directly", "upstream.ehlo", "ok", "");
    report.expect("directly", "upstream.rcpt", "ok", "nothing was sent");
    let (code, report) = doctor(&place, &["upstream", "store", "--directly", "--rcpt", "nobody@to.example"]);
    report.expect("directly", "upstream.rcpt", "fail", "550");
    assert_eq!(code, 1);
    assert!(dovecot.mailbox("bob").is_empty());
}

#[test]
fn a_server_that_wants_a_proxy_header_gets_one() {
    need!("postfix", "root");
    let place = Place::new();
    let postfix = Postfix::behind(&place, "smtpd_upstream_proxy_protocol = haproxy\nsmtpd_upstream_proxy_timeout = 2s\n");
    let ask = |tell: &str| {
        upstream(&place, &format!("name = \"store\"\nkind = \"fixed\"\ntls = \"off\"\n{tell}hosts = [\"{}\"]", postfix.address));
        doctor(&place, &["upstream", "store", "--directly", "--rcpt", "bob@to.example"]).1
    };
    let report = ask("tell_client = \"proxy_v2\"\n");
    report.expect("directly", "upstream.rcpt", "ok", "nothing was sent");
    let (verdict, answer) = ask("").check("directly", "upstream.banner");
    assert_eq!(verdict, "fail", "{answer}");
}

#[test]
fn the_exchangers_of_a_recipient_are_visited() {
    need!("knotd", "keymgr", "unbound", "unbound-control");
    let place = Place::new();
    let ([first, second], port) = on_addresses(["127.1.0.1", "127.1.0.2"]);
    let zones = Zones::new()
        .mx("a.example", 10, "mx1.a.example")
        .mx("a.example", 20, "mx2.a.example")
        .a("mx1.a.example", "127.1.0.1")
        .a("mx2.a.example", "127.1.0.2")
        .null_mx("null.example")
        .mx("inner.example", 10, "mx.inner.example")
        .a("mx.inner.example", "10.1.2.3");
    let dns = Dns::start(&place, &zones);
    let text = format!(
        "name = \"world\"\nkind = \"mx\"\nport = {port}\nprivate_networks = [\"127.0.0.0/8\"]\n[dns]\nservers = [\"{}\"]\nhosts_file = false",
        dns.resolver_address()
    );
    upstream(&place, &text);
    let ask = |more: &[&str]| doctor(&place, &[&["upstream", "world", "--directly"], more].concat()).1;
    let report = ask(&["--rcpt", "bob@a.example"]);
    report.expect("world (mx)", "upstream.hosts", "ok", "mail exchangers of a.example: mx1.a.example, mx2.a.example");
    for host in ["mx1.a.example", "mx2.a.example"] {
        report.expect(&format!("{host}:{port}, directly"), "upstream.rcpt", "ok", "nothing was sent");
    }
    ask(&[]).expect("world (mx)", "upstream.hosts", "skipped", "`--rcpt ADDRESS` looks at those of one");
    ask(&["--rcpt", "bob@null.example"]).expect("world (mx)", "upstream.hosts", "fail", "null MX");
    ask(&["--rcpt", "bob@inner.example"]).expect("mx.inner.example", "upstream.resolve", "fail", "not connected to, as in sessions");
    assert!(first.taken().is_empty() && second.taken().is_empty());
}

#[test]
fn the_api_examines_one_thing_at_a_time() {
    let place = Place::new();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n[doctor]\ntimeout = \"60s\"\n",
        silent.local_addr().unwrap()
    );
    let relayscope = Relayscope::configured(&place, &config);
    let socket = place.path("store/api.sock");
    let until = Instant::now() + PATIENCE;
    let wait = |what: &str| {
        assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    };
    // The listeners are there before the API is.
    while UnixStream::connect(&socket).is_err() {
        wait("the API");
    }
    let ask = {
        let socket = socket.clone();
        std::thread::spawn(move || api(&socket, "/api/v1/doctor?target=upstream&name=main"))
    };
    // Once it has knocked, the first one sits in the chair.
    silent.set_nonblocking(true).unwrap();
    let mut knocked = loop {
        match silent.accept() {
            Ok((stream, _)) => break stream,
            Err(_) => wait("a knock"),
        }
    };
    let (status, body) = api(&socket, "/api/v1/doctor?target=self");
    assert_eq!(status, 409, "{body}");
    println!("{body}");
    // Let go, the first one ends, and the next may come.
    let _ = knocked.write_all(b"554 5.3.2 closed\r\n");
    drop((knocked, silent));
    let (status, body) = ask.join().unwrap();
    assert!(status == 200 && body.contains("\"verdict\":\"fail\""), "{status} {body}");
    assert_eq!(api(&socket, "/api/v1/doctor?target=self").0, 200);
    relayscope.stop();
}
