//! The doctor at real servers: what works, what doesn't, and that it says which.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::certificates::{self, Certificates};
use crate::support::client::Client;
use crate::support::haproxy::Haproxy;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::ports;
use crate::support::postfix::Postfix;
use crate::support::process::run;
use crate::support::programs::need;
use crate::support::records;
use crate::support::relayscope::{Relayscope, command};
use crate::support::sink::{Manner, Sink};

const USER: &str = "ann@submission.example";
const PASSWORD: &str = "sesame-Zwerg0815";

/// `relayscope doctor …` with the test's configuration: its exit status and its report.
pub fn doctor(place: &Place, arguments: &[&str]) -> (i32, Report) {
    doctor_by(place, arguments, &mut |mut command| run(&mut command))
}

/// The same, run by somebody who knows where.
pub fn doctor_by(place: &Place, arguments: &[&str], run: &mut dyn FnMut(Command) -> (i32, String)) -> (i32, Report) {
    let all = [&["doctor"], arguments, &["--config", "relayscope.toml", "--json", "--timeout", "2"]].concat();
    let (code, text) = run(command(place, &all));
    let report = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"));
    let schema = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/doctor.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    assert!(validator.is_valid(&report), "{arguments:?}: not as config/doctor.schema.json says: {report:#}");
    (code, Report(report))
}

pub struct Report(pub Value);

impl Report {
    /// Verdict and answer of the first check of that name in a section whose title has these words.
    #[track_caller]
    pub fn check(&self, section: &str, name: &str) -> (String, String) {
        let check = self.find(section, name).unwrap_or_else(|| panic!("no {name} in {section:?}: {:#}", self.0));
        let text = format!("{} => {}", check["answer"].as_str().unwrap(), check["fix"].as_str().unwrap_or_default());
        (check["verdict"].as_str().unwrap().to_owned(), text)
    }

    pub fn find(&self, section: &str, name: &str) -> Option<&Value> {
        let sections = self.0["sections"].as_array().unwrap().iter();
        let fitting = sections.filter(|it| it["title"].as_str().unwrap().contains(section));
        fitting.flat_map(|it| it["checks"].as_array().unwrap()).find(|check| check["name"] == name)
    }

    #[track_caller]
    pub fn expect(&self, section: &str, name: &str, verdict: &str, words: &str) {
        let (found, text) = self.check(section, name);
        assert_eq!(found, verdict, "{name}: {text}");
        assert!(text.contains(words), "{name}: {text}");
    }

    pub fn conclusion(&self) -> &str {
        self.0["conclusion"].as_str().unwrap()
    }
}

/// A configuration whose listener has a port of its own, so that the doctor finds the running proxy by it.
fn submission(place: &Place, postfix: SocketAddr, authority: &Certificates, listen: u16, password: &str) -> String {
    place.file("password", password);
    run(Command::new("chmod").arg("600").arg(place.path("password")));
    format!(
        "host_name = \"relay.example\"\n[[listener]]\nlisten = [\"127.0.0.1:{listen}\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"main\"\nhosts = [\"127.0.0.1:{}\"]\ntls = \"required\"\nca_file = \"{}\"\n\
         [upstream.auth]\nuser = \"{USER}\"\npassword_file = \"{}\"\n",
        postfix.port(),
        authority.authority.display(),
        place.path("password").display(),
    )
}

#[test]
fn a_smart_host_that_works_is_healthy_directly_and_through_the_proxy() {
    need!("postfix", "root", "saslpasswd2");
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &["127.0.0.1"]);
    let postfix = Postfix::submission(&place, &certificates, &[("ann", PASSWORD)]);
    let config = submission(&place, postfix.address, &certificates, ports::unused(), PASSWORD);
    let relayscope = Relayscope::configured(&place, &config);
    let (code, report) = doctor(&place, &["upstream", "main", "--rcpt", "bob@to.example", "--send", "bob@to.example"]);
    let open = format!("{} open in ", postfix.address.port());
    report.expect("127.0.0.1:", "upstream.port.ipv4", "ok", &open);
    report.expect("directly", "upstream.banner", "ok", "ESMTP Postfix");
    report.expect("directly", "upstream.ehlo", "ok", "STARTTLS");
    report.expect("directly", "upstream.ehlo_in_tls", "ok", "AUTH");
    report.expect("directly", "upstream.tls", "ok", "TLSv1.3");
    report.expect("directly", "upstream.tls_versions", "ok", "both");
    report.expect("directly", "upstream.tls_old", "ok", "");
    report.expect("directly", "upstream.certificate", "ok", "verified (trusted authority)");
    report.expect("directly", "upstream.login", "ok", "235 2.7.0 Authentication successful (CRAM-MD5)");
    report.expect("directly", "upstream.rcpt", "ok", "nothing was sent");
    report.expect("directly", "upstream.message", "ok", "taken: 250 2.0.0 Ok: queued as");
    report.expect("through the proxy", "through.difference", "ok", "the proxy logs in by itself");
    report.expect("through the proxy", "through.rcpt_difference", "ok", "the same: 250");
    report.expect("through the proxy", "through.message", "ok", "taken: 250");
    assert_eq!((code, report.conclusion()), (0, "nothing is wrong"), "{:#}", report.0);
    assert!(!report.0.to_string().contains(PASSWORD));
    // Two messages, one each way, and the one through the proxy is on record.
    let transactions = records::transactions(&relayscope.stop());
    let sent: Vec<_> = transactions.iter().filter_map(|it| it.message.subject.as_deref()).collect();
    assert_eq!(sent, ["Relayscope test message, sent through the proxy"]);
    postfix.log().expect_lines("status=sent (delivered to", 2);
    assert_eq!(postfix.mailbox("bob").len(), 2);
}

#[test]
fn a_wrong_password_is_named_and_never_shown() {
    need!("postfix", "root", "saslpasswd2");
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &["127.0.0.1"]);
    let postfix = Postfix::submission(&place, &certificates, &[("ann", PASSWORD)]);
    place.file("relayscope.toml", submission(&place, postfix.address, &certificates, ports::unused(), "wrong-Zwerg0815"));
    let (code, report) = doctor(&place, &["upstream", "--directly"]);
    assert_eq!(code, 1);
    report.expect("directly", "upstream.login", "fail", "535 5.7.8 Error: authentication failed");
    report.expect("directly", "upstream.login", "fail", "Cause auth_failed (to act: local_admin)");
    assert!(report.conclusion().starts_with("login as ann@submission.example at 127.0.0.1:"), "{}", report.conclusion());
    let (_, text) = run(&mut command(&place, &["doctor", "upstream", "--config", "relayscope.toml", "--directly"]));
    for shown in [report.0.to_string(), text] {
        assert!(!shown.contains("Zwerg"), "{shown}");
    }
    // The password is tried once, whatever families and ports there are.
    let tries = postfix.log().text().matches("authentication failed").count();
    assert_eq!(tries, 2, "one for each run of the doctor:\n{}", postfix.log().text());
}

#[test]
fn several_hosts_hear_of_one_wrong_password_and_of_one_message() {
    need!("postfix", "root", "saslpasswd2");
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &["127.0.0.1", "localhost"]);
    let postfix = Postfix::submission(&place, &certificates, &[("ann", PASSWORD)]);
    let port = postfix.address.port();
    let ask = |password: &str| {
        let config = submission(&place, postfix.address, &certificates, ports::unused(), password);
        let one = format!("hosts = [\"127.0.0.1:{port}\"]");
        assert!(config.contains(&one), "{config}");
        place.file("relayscope.toml", config.replace(&one, &format!("hosts = [\"127.0.0.1:{port}\", \"localhost:{port}\"]")));
        doctor(&place, &["upstream", "--directly", "--send", "bob@to.example"]).1
    };
    let report = ask("wrong-Zwerg0815");
    report.expect("127.0.0.1", "upstream.login", "fail", "535 5.7.8");
    report.expect("localhost:", "upstream.tls", "ok", "TLS");
    let (verdict, answer) = report.check("localhost:", "upstream.login");
    assert_eq!((verdict.as_str(), answer.contains("not tried again after 127.0.0.1:")), ("skipped", true), "{answer}");
    assert_eq!(postfix.log().text().matches("authentication failed").count(), 1);
    let report = ask(PASSWORD);
    report.expect("127.0.0.1", "upstream.message", "ok", "taken: 250");
    report.expect("localhost:", "upstream.login", "ok", "235");
    report.expect("localhost:", "upstream.message", "skipped", "given to 127.0.0.1:");
    postfix.log().expect("status=sent (delivered to");
    assert_eq!((postfix.queue().len(), postfix.mailbox("bob").len()), (0, 1));
}

#[test]
fn a_certificate_that_expired_keeps_the_password_at_home() {
    need!("postfix", "root", "saslpasswd2");
    let place = Place::new();
    let certificates = certificates::expired(&place, "tls", &["127.0.0.1"]);
    let postfix = Postfix::submission(&place, &certificates, &[("ann", PASSWORD)]);
    place.file("relayscope.toml", submission(&place, postfix.address, &certificates, ports::unused(), PASSWORD));
    let (code, report) = doctor(&place, &["upstream", "main", "--directly"]);
    assert_eq!(code, 1);
    report.expect("directly", "upstream.certificate", "fail", "not verified: certificate expired 2021-01-01");
    report.expect("directly", "upstream.certificate", "fail", "certbot renew");
    report.expect("directly", "upstream.login", "fail", "not tried: its certificate isn't verified, so the password is not sent");
    assert!(!postfix.log().text().contains("sasl_username"));
}

#[test]
fn refused_silent_and_empty_ports_are_told_apart() {
    need!("haproxy");
    let place = Place::new();
    let write = |host: &str| {
        let config = format!("[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nname = \"main\"\nhosts = [\"{host}\"]\n");
        place.file("relayscope.toml", config)
    };
    // Nobody listens.
    let closed = ports::unused();
    write(&format!("127.0.0.1:{closed}"));
    let (code, report) = doctor(&place, &["upstream", "--directly"]);
    assert_eq!(code, 1);
    report.expect("127.0.0.1:", "upstream.port.ipv4", "fail", &format!("{closed} refused"));
    // A load balancer whose server is gone takes the connection, and nothing comes.
    let dead = SocketAddr::from(([127, 0, 0, 1], ports::unused()));
    let haproxy = Haproxy::start(&place, "front", dead, "", "");
    write(&haproxy.address.to_string());
    let (code, report) = doctor(&place, &["upstream", "--directly"]);
    assert_eq!(code, 1);
    report.expect("127.0.0.1:", "upstream.port.ipv4", "ok", "open in");
    report.expect("directly", "upstream.banner", "fail", "TCP is open and no greeting came");
    // Connected, and silent.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    write(&silent.local_addr().unwrap().to_string());
    let (_, report) = doctor(&place, &["upstream", "--directly"]);
    report.expect("directly", "upstream.banner", "fail", "said nothing for 2 s");
    // Something that is no mail server.
    let garbage = Sink::start(Manner::Garbage);
    write(&garbage.address.to_string());
    let (_, report) = doctor(&place, &["upstream", "--directly"]);
    report.expect("directly", "upstream.banner", "fail", "sent what is no reply");
}

fn inbound(place: &Place, postfix: SocketAddr, accept_domains: &str) -> String {
    let config = format!(
        "[[listener]]\nname = \"in\"\nlisten = [\"127.0.0.1:{}\"]\ndirection = \"inbound\"\ntls = \"offered\"\n{accept_domains}\n\
         [[upstream]]\nname = \"store\"\nkind = \"fixed\"\nhosts = [\"{postfix}\"]\ntls = \"off\"\n[doctor]\ndomains = [\"to.example\"]\n",
        ports::unused(),
    );
    place.file("relayscope.toml", &config);
    config
}

#[test]
fn a_server_that_trusts_the_proxy_is_an_open_relay() {
    need!("postfix", "root");
    let place = Place::new();
    // As people misconfigure it: whoever comes from this machine may relay.
    let postfix =
        Postfix::behind(&place, "mynetworks = 127.0.0.0/8\nsmtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n");
    let config = inbound(&place, postfix.address, "");
    let relayscope = Relayscope::configured(&place, &config);
    let (code, report) = doctor(&place, &["upstream", "store"]);
    assert_eq!(code, 1);
    report.expect("relay for this machine", "behind.open_relay", "fail", "from a stranger to a stranger");
    report.expect("relay for this machine", "behind.open_relay", "fail", "`mynetworks`");
    report.expect("listener in", "listener.open_relay", "fail", "an open relay for whoever may connect");
    drop(relayscope);
    // With accept_domains only the direct way is open.
    let config = inbound(&place, postfix.address, "accept_domains = [\"to.example\"]");
    let relayscope = Relayscope::configured(&place, &config);
    let (code, report) = doctor(&place, &["upstream", "store"]);
    assert_eq!(code, 1);
    report.expect("relay for this machine", "behind.open_relay", "warn", "only the proxy's `accept_domains` stands between");
    report.expect("listener in", "listener.open_relay", "ok", "all refused (8 of 8)");
    drop(relayscope);
    assert!(postfix.queue().is_empty(), "nothing was sent");
}

#[test]
fn a_server_that_knows_its_clients_may_trust_this_machine() {
    need!("postfix", "root");
    let restrictions = "mynetworks = 127.0.0.0/8\nsmtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n\
                        smtpd_peername_lookup = no\nvirtual_alias_maps = inline:{{postmaster@to.example=bob@to.example}}\n";
    for (tell, behind) in
        [("proxy_v2", "smtpd_upstream_proxy_protocol = haproxy\n"), ("xclient", "smtpd_authorized_xclient_hosts = 127.0.0.1\n")]
    {
        let place = Place::new();
        let postfix = Postfix::behind(&place, &format!("{restrictions}{behind}"));
        let config = inbound(&place, postfix.address, "")
            .replace("tls = \"off\"\n[doctor]", &format!("tls = \"off\"\ntell_client = \"{tell}\"\n[doctor]"));
        place.file("relayscope.toml", &config);
        let relayscope = Relayscope::configured(&place, &config);
        let (_, report) = doctor(&place, &["upstream", "store"]);
        report.expect("relay for a stranger (203.0.113.1)", "behind.open_relay", "ok", "all refused (8 of 8): 554 5.7.1");
        report.expect("listener in", "listener.open_relay", "skipped", "this machine's own address is trusted by the server behind");
        drop(relayscope);
        // A load balancer's place is as good as the server's: the listener takes a stranger's name from us.
        let config = config.replace(
            "tls = \"offered\"",
            "tls = \"offered\"\naccept_proxy = [\"127.0.0.0/8\"]\nallow = [\"127.0.0.0/8\", \"203.0.113.0/24\"]",
        );
        place.file("relayscope.toml", &config);
        let relayscope = Relayscope::configured(&place, &config);
        let (_, report) = doctor(&place, &["upstream", "store"]);
        let (verdict, answer) = report.check("listener in", "listener.open_relay");
        assert!(verdict == "ok" && answer.contains("all refused (8 of 8): 554 5.7.1"), "{tell}: {verdict} {answer}");
        drop(relayscope);
        assert!(postfix.queue().is_empty(), "nothing was sent");
    }
    // One that relays for anybody is found out all the same, and isn't told to do what is done.
    let place = Place::new();
    let open = Postfix::behind(
        &place,
        "mynetworks = 0.0.0.0/0\nsmtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\nsmtpd_peername_lookup = no\n\
         smtpd_upstream_proxy_protocol = haproxy\n",
    );
    let config =
        inbound(&place, open.address, "").replace("tls = \"off\"\n[doctor]", "tls = \"off\"\ntell_client = \"proxy_v2\"\n[doctor]");
    place.file("relayscope.toml", &config);
    let (code, report) = doctor(&place, &["upstream", "store", "--directly"]);
    assert_eq!(code, 1);
    report.expect("relay for a stranger", "behind.open_relay", "fail", "The server relays for strangers");
    // A Postfix that doesn't list the proxy takes no mail from it.
    place.file("relayscope.toml", config.replace("proxy_v2", "xclient"));
    let other = Place::new();
    let strict = Postfix::named(&other, "strict", "");
    place.file("relayscope.toml", config.replace("proxy_v2", "xclient").replace(&open.address.to_string(), &strict.address.to_string()));
    let (_, report) = doctor(&place, &["upstream", "store", "--directly"]);
    report.expect("relay for a stranger", "behind.open", "fail", "`smtpd_authorized_xclient_hosts`");
}

#[test]
fn a_sound_server_passes_and_our_listeners_stand_the_attacks() {
    need!("postfix", "root");
    let place = Place::new();
    let postfix =
        Postfix::behind(&place, "mynetworks = 192.0.2.1\nsmtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n");
    let config = inbound(&place, postfix.address, "accept_domains = [\"to.example\"]");
    let relayscope = Relayscope::configured(&place, &config);
    let (_, report) = doctor(&place, &["upstream", "store", "--rcpt", "bob@to.example", "--self-test"]);
    report.expect("relay for this machine", "behind.open_relay", "ok", "all refused (8 of 8)");
    report.expect("listener in", "listener.open_relay", "ok", "all refused (8 of 8)");
    report.expect("attacked", "self_test.smuggling", "ok", "none of 9 was taken for the end of the message");
    report.expect("attacked", "self_test.starttls_injection", "ok", "421 4.7.0");
    relayscope.stop();
    assert!(postfix.queue().is_empty() && postfix.mailbox("bob").is_empty(), "no attack ended a message");
}

#[test]
fn a_listener_that_falls_for_it_is_found_out() {
    need!("root", "postfix");
    let place = Place::new();
    // An old Postfix as it was before smuggling was known, in our listener's place.
    let old = Postfix::behind(&place, "smtpd_forbid_bare_newline = no\nsmtpd_forbid_unauth_pipelining = no\n");
    inbound(&place, old.address, "");
    let through = old.address.to_string();
    let (code, report) = doctor(&place, &["upstream", "store", "--rcpt", "bob@to.example", "--self-test", "--through", &through]);
    assert_eq!(code, 1);
    report.expect("attacked", "self_test.smuggling", "fail", "<LF>.<LF>");
}

#[test]
fn a_message_that_stopped_is_explained_by_what_still_fails() {
    need!("postfix", "root", "saslpasswd2");
    let place = Place::new();
    let certificates = certificates::make(&place, "tls", &["127.0.0.1"]);
    let postfix = Postfix::submission(&place, &certificates, &[("ann", PASSWORD)]);
    let config = submission(&place, postfix.address, &certificates, ports::unused(), "wrong-Zwerg0815");
    let relayscope = Relayscope::configured(&place, &config);
    let mut client = Client::connect(relayscope.address());
    client.expect(220);
    client.command("EHLO client.example", 421);
    // The session is recorded once it has ended, which is after its last reply.
    let until = std::time::Instant::now() + crate::support::PATIENCE;
    let text = loop {
        let (code, text) = run(&mut command(&place, &["search", "stage:auth", "--store", "store", "--json"]));
        if code == 0 {
            break text;
        }
        assert!(std::time::Instant::now() < until, "{text}");
    };
    let record: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let id = record["id"].as_str().unwrap().to_owned();
    let (code, report) = doctor(&place, &["message", &id, "--store", "store"]);
    assert_eq!(code, 1, "{:#}", report.0);
    assert!(report.conclusion().starts_with("It would stop again: login as ann@submission.example"), "{}", report.conclusion());
    // The password is put right: what stopped it is gone.
    place.file("password", PASSWORD);
    let (code, report) = doctor(&place, &["message", &id, "--store", "store"]);
    assert_eq!(code, 0, "{:#}", report.0);
    assert!(report.conclusion().contains("What stopped it (auth_failed)"), "{}", report.conclusion());
    let (code, text) =
        run(&mut command(&place, &["doctor", "message", "01JDZZZZZZZZZZZZZZZZZZZZZZ", "--config", "relayscope.toml", "--store", "store"]));
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("no record 01JDZZZZZZZZZZZZZZZZZZZZZZ"), "{text}");
    relayscope.stop();
}

#[test]
fn the_proxy_tells_of_its_own_health_running_and_stopped() {
    let place = Place::new();
    let sink = Sink::start(Manner::Take);
    let config = |workers: u32| {
        format!(
            "workers = {workers}\n[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n",
            sink.address
        )
    };
    let relayscope = Relayscope::configured(&place, &config(1));
    let mut client = Client::ready(relayscope.address());
    client.deliver(&Message::named("one")).unwrap();
    client.quit();
    let (code, report) = doctor(&place, &["self", "--store", "store"]);
    report.expect("trace store", "own.store_size", "ok", "records)");
    report.expect("trace store", "own.gaps", "ok", "none");
    report.expect("proxy", "own.certificate", "ok", "self-signed");
    report.expect("proxy", "own.descriptors", "ok", "open of");
    report.expect("proxy", "own.configuration", "ok", "the same since");
    report.expect("proxy", "own.configuration_file", "ok", "unchanged since");
    assert!(code <= 1, "{:#}", report.0);
    // Killed, and started again with another configuration.
    relayscope.kill();
    let (code, report) = doctor(&place, &["self", "--store", "store"]);
    assert_eq!(code, 1);
    report.expect("proxy", "own.running", "fail", "has ended without a word");
    let relayscope = Relayscope::configured(&place, &config(2));
    let (code, report) = doctor(&place, &["self", "--store", "store"]);
    assert_eq!(code, 1);
    report.expect("trace store", "own.crashes", "warn", "1; the last after");
    report.expect("proxy", "own.configuration", "ok", "workers: 1 -> 2");
    the_api_answers_alike(&place);
    relayscope.stop();
    let (_, report) = doctor(&place, &["self", "--store", "store"]);
    report.expect("proxy", "own.configuration", "ok", "workers: 1 -> 2");
    report.expect("proxy", "own.certificate", "ok", "self-signed");
    report.expect("proxy", "own.running", "warn", "none does since");
    assert!(report.find("proxy", "own.descriptors").is_none(), "a stopped proxy's limits aren't the doctor's");
    // What can't be looked at for want of a configuration is said.
    place.file("relayscope.toml", "no TOML");
    let (_, report) = doctor(&place, &["self", "--store", "store"]);
    report.expect("proxy", "own.certificate", "skipped", "`relayscope config check` says why");
}

fn the_api_answers_alike(place: &Place) {
    let cases = [
        ("?target=self", 200, "\"target\":\"self\""),
        ("?target=upstream&name=main&rcpt=bob@to.example", 200, "250 2.1.5 ok; nothing was sent"),
        ("?target=upstream&name=other", 404, "there is no upstream \\\"other\\\": there is main"),
        ("?target=upstream&name=main&rcpt=bob", 400, "is no address"),
        ("?target=sender&name=mail", 400, "is no IP address"),
        ("?target=message", 400, "target=message needs a name"),
        ("?target=message&name=01JDZZZZZZZZZZZZZZZZZZZZZZ", 404, "no record"),
        ("?target=weather", 400, "is none of all, dns, upstream, sender, message, self"),
        ("?target=upstream&send=bob@to.example", 400, "unknown field"),
    ];
    for (question, expected, part) in cases {
        let (status, body) = api(&place.path("store/api.sock"), &format!("/api/v1/doctor{question}"));
        assert_eq!(status, expected, "{question}: {body}");
        assert!(body.contains(part), "{question}: {body}");
    }
}

pub fn api(socket: &Path, path: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    (status, answer)
}
