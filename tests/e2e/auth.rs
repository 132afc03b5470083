//! swaks logs in through Relayscope, over TLS on both legs, to a real Postfix with Cyrus SASL.

use relayscope::trace::{Flag, Record, Stage, State, Transaction};

use crate::support::certificates::{self, Certificates};
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::postfix::Postfix;
use crate::support::programs::need;
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::swaks::swaks;

const USER: &str = "ann";
const REALM_USER: &str = "ann@submission.example";
const PASSWORD: &str = "sesame-Zwerg0815";

struct Scene {
    place: Place,
    certificates: Certificates,
    postfix: Postfix,
}

fn scene() -> Scene {
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &["localhost", "127.0.0.1"]);
    let postfix = Postfix::submission(&place, &certificates, &[(USER, PASSWORD)]);
    Scene { place, certificates, postfix }
}

impl Scene {
    /// Relays to the Postfix, whose certificate is trusted; `listener` and `upstream` go into those tables.
    fn relayscope(&self, listener: &str, upstream: &str) -> Relayscope {
        let config = format!(
            "[[listener]]\nlisten = [\"127.0.0.1:0\"]\n{listener}\n\
             [[upstream]]\nhosts = [\"localhost:{}\"]\nca_file = \"{}\"\n{upstream}\n",
            self.postfix.address.port(),
            self.certificates.authority.display(),
        );
        Relayscope::configured(&self.place, &config)
    }
}

#[test]
fn swaks_logs_in_with_each_mechanism_over_starttls() {
    need!("postfix", "root", "swaks", "saslpasswd2");
    let scene = scene();
    let relayscope = scene.relayscope("tls = \"required\"", "tls = \"required\"");
    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] {
        let id = format!("{mechanism}@swaks.example");
        let login = ["-tls", "--auth", mechanism, "--auth-user", REALM_USER, "--auth-password", PASSWORD];
        let (code, said) = swaks(relayscope.address(), &id, &login);
        assert_eq!(code, 0, "{mechanism}: {said}");
        assert!(said.contains("235 2.7.0 Authentication successful"), "{said}");
    }
    let output = relayscope.output().clone();
    let store = relayscope.stop();
    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] {
        let transaction = records::one(&store, &format!("{mechanism}@swaks.example"));
        assert_eq!(transaction.outcome.state, State::Accepted);
        let auth = transaction.client.auth.clone().unwrap();
        assert_eq!((auth.mechanism.as_str(), auth.outcome.as_str()), (mechanism, "succeeded"));
        assert_eq!(auth.user.as_deref(), Some(REALM_USER), "{mechanism} shows the user's name");
        assert!(transaction.client.tls.as_ref().unwrap().version.starts_with("TLSv1."));
        let upstream = transaction.upstream.tls.as_ref().unwrap();
        assert_eq!(upstream.verified, Some(true), "{upstream:?}");
        assert!(!format!("{transaction:?}").contains(PASSWORD));
    }
    assert!(!output.text().contains(PASSWORD));
    assert_eq!(scene.postfix.mailbox("bob").len(), 3);
}

#[test]
fn a_wrong_password_is_the_smart_hosts_to_refuse() {
    need!("postfix", "root", "swaks", "saslpasswd2");
    let scene = scene();
    let relayscope = scene.relayscope("", "tls = \"required\"");
    let login = ["-tls", "--auth", "LOGIN", "--auth-user", REALM_USER, "--auth-password", "wrong-Zwerg0815"];
    let (code, said) = swaks(relayscope.address(), "wrong@swaks.example", &login);
    assert_ne!(code, 0);
    assert!(said.contains("535 5.7.8 Error: authentication failed"), "{said}");
    let store = relayscope.stop();
    let records = records::all(&store);
    let failed = records.iter().any(|record| match record {
        Record::Session(it) => it.client.auth.as_ref().is_some_and(|auth| auth.outcome == "failed" && auth.mechanism == "LOGIN"),
        _ => false,
    });
    assert!(failed, "{records:#?}");
    assert!(!format!("{records:?}").contains("wrong-Zwerg0815"));
}

/// Promise 7: where the smart host's certificate can't be verified, AUTH isn't even offered, and nothing secret is sent.
#[test]
fn no_auth_is_offered_where_the_password_could_be_read() {
    need!("postfix", "root", "swaks", "saslpasswd2");
    let scene = scene();
    let port = scene.postfix.address.port();
    // Not trusted at all; trusted, but of another name.
    let other = certificates::make(&scene.place, "other", &["elsewhere.example"]);
    let stranger = Postfix::submission_as(&scene.place, "stranger", &other, &[(USER, PASSWORD)]);
    let cases = [(port, String::new()), (stranger.address.port(), format!("ca_file = \"{}\"", other.authority.display()))];
    for (port, trust) in cases {
        let config = format!("[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nhosts = [\"localhost:{port}\"]\n{trust}\n");
        let relayscope = Relayscope::configured(&scene.place, &config);
        let login = ["-tls", "--auth", "PLAIN", "--auth-user", REALM_USER, "--auth-password", PASSWORD];
        let (code, said) = swaks(relayscope.address(), "unverified@swaks.example", &login);
        assert_ne!(code, 0, "{said}");
        assert!(!said.contains("250-AUTH") && !said.contains("250 AUTH"), "{said}");
        swaks(relayscope.address(), "again@swaks.example", &login);
        let told = relayscope.output().expect("clients are not offered the upstream's AUTH");
        assert!(told.contains("`ca_file`") && told.contains("credentials go upstream only over verified TLS"), "{told}");
        let output = relayscope.output().clone();
        assert_eq!(output.text().matches("clients are not offered").count(), 1, "once is enough");
        let store = relayscope.stop();
        let records = records::all(&store);
        let flagged = records.iter().any(|it| matches!(it, Record::Session(it) if it.flags.contains(&Flag::TlsUnverified)));
        assert!(flagged, "{records:#?}");
    }
    assert_eq!(stranger.log().count("sasl_method"), 0);
    assert_eq!(scene.postfix.log().count("sasl_method"), 0);
    // With tls = "required" there is no mail at all.
    let config = format!("[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nhosts = [\"localhost:{port}\"]\ntls = \"required\"\n");
    let relayscope = Relayscope::configured(&scene.place, &config);
    let (code, said) = swaks(relayscope.address(), "required@swaks.example", &[]);
    assert_ne!(code, 0);
    assert!(said.contains("421 "), "{said}");
    let sessions = records::sessions(&relayscope.stop());
    assert!(sessions.iter().any(|it| it.ended.stage == Stage::StartTls), "{sessions:#?}");
}

#[test]
fn the_proxy_logs_in_for_a_server_that_can_not() {
    need!("postfix", "root", "swaks", "saslpasswd2");
    let scene = scene();
    let file = scene.place.file("smart-host.password", format!("{PASSWORD}\n"));
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let login = format!("tls = \"required\"\n[upstream.auth]\nuser = \"{REALM_USER}\"\npassword_file = \"{}\"\n", file.display());

    let relayscope = scene.relayscope("", &login);
    let front = Postfix::front(&scene.place, relayscope.address(), "smtp_tls_security_level = encrypt\n");
    let mut client = front.client();
    assert_eq!(client.deliver(&Message::named("own")).unwrap().code, 250);
    client.quit();
    front.log().expect("status=sent");
    drop(front);
    let transaction = records::one(&relayscope.stop(), "own@msg.example");
    assert!(transaction.client.tls.is_some() && transaction.client.auth.is_none(), "Postfix in front uses STARTTLS, and no AUTH");
    check_own_login(&transaction, "CRAM-MD5");

    for mechanism in ["PLAIN", "LOGIN", "CRAM-MD5"] {
        let relayscope = scene.relayscope("", &format!("{login}mechanism = \"{mechanism}\"\n"));
        let id = format!("{mechanism}@swaks.example");
        let (code, said) = swaks(relayscope.address(), &id, &[]);
        assert_eq!(code, 0, "{mechanism}: {said}");
        assert!(!said.contains("AUTH"), "clients have nothing to log in to: {said}");
        check_own_login(&records::one(&relayscope.stop(), &id), mechanism);
    }
}

#[track_caller]
fn check_own_login(transaction: &Transaction, mechanism: &str) {
    let auth = transaction.upstream.auth.clone().unwrap();
    assert_eq!((auth.mechanism.as_str(), auth.outcome.as_str()), (mechanism, "succeeded"));
    assert_eq!(auth.user.as_deref(), Some(REALM_USER));
    assert_eq!(transaction.outcome.state, State::Accepted);
    assert!(!format!("{transaction:?}").contains(PASSWORD));
}

#[test]
fn tls_of_the_client_leg_as_configured() {
    need!("postfix", "root", "swaks", "saslpasswd2");
    let scene = scene();
    let own = certificates::make(&scene.place, "listener", &["relay.example", "127.0.0.1"]);
    std::fs::set_permissions(&own.key, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let login = ["--auth", "PLAIN", "--auth-user", REALM_USER, "--auth-password", PASSWORD];
    let trust = ["--tls-verify", "--tls-ca-path", own.authority.to_str().unwrap()];
    let certificate = format!("certificate = \"{}\"\nkey = \"{}\"\n", own.certificate.display(), own.key.display());

    let relayscope = scene.relayscope(&format!("tls = \"required\"\n{certificate}"), "tls = \"required\"");
    let (code, said) = swaks(relayscope.address(), "clear@swaks.example", &[]);
    assert_ne!(code, 0);
    assert!(said.contains("530 5.7.0 "), "no mail without STARTTLS: {said}");
    let (code, said) = swaks(relayscope.address(), "verified@swaks.example", &[&["-tls"], &trust[..], &login].concat());
    assert_eq!(code, 0, "the listener's own certificate is shown: {said}");
    relayscope.stop();

    let relayscope = scene.relayscope(&format!("tls = \"implicit\"\n{certificate}"), "tls = \"required\"");
    let (code, said) = swaks(relayscope.address(), "implicit@swaks.example", &[&["-tlsc"], &trust[..], &login].concat());
    assert_eq!(code, 0, "TLS from the first octet: {said}");
    relayscope.stop();

    let relayscope = scene.relayscope("tls = \"off\"\n", "tls = \"required\"");
    let (code, said) = swaks(relayscope.address(), "off@swaks.example", &login);
    assert_eq!(code, 0, "on loopback AUTH needs no TLS: {said}");
    assert!(!said.contains("STARTTLS"), "{said}");
    let store = relayscope.stop();
    for id in ["verified", "implicit", "off"] {
        let transaction = records::one(&store, &format!("{id}@swaks.example"));
        assert_eq!(transaction.outcome.state, State::Accepted);
        assert_eq!(transaction.client.tls.is_some(), id != "off");
    }
}
