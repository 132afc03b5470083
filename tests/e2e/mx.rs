//! To the internet: the mail exchangers of recipient domains, found through a real DNS, signed where DANE needs it.

use std::net::SocketAddr;
use std::process::Command;

use relayscope::trace::{Actor, Dnssec, Flag, LookupOutcome, Stage, State, Transaction};

use crate::support::certificates::{self, Certificates, key_digest};
use crate::support::client::Client;
use crate::support::dns::{Dns, Zones};
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::postfix::Postfix;
use crate::support::process::Process;
use crate::support::programs::{need, path_of};
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink, on_addresses};

/// Relayscope in front of the mail exchangers that `dns` names, all of them on `port` of addresses of loopback.
fn relayscope(place: &Place, dns: &Dns, port: u16, extra: &str) -> Relayscope {
    let config = format!(
        "host_name = \"relay.example\"\n\
         [[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nkind = \"mx\"\nport = {port}\nprivate_networks = [\"127.0.0.0/8\"]\n{extra}\
         [dns]\nservers = [\"{}\"]\nhosts_file = false\n\
         [limits.timeouts]\ndns = \"3s\"\nconnect = \"2s\"\n",
        dns.resolver_address()
    );
    Relayscope::configured(place, &config)
}

fn transactions(relayscope: Relayscope) -> Vec<Transaction> {
    records::transactions(&relayscope.stop())
}

/// MAIL and one RCPT on a session of its own; the reply to RCPT.
fn recipient(relayscope: &Relayscope, recipient: &str) -> String {
    let mut client = Client::ready(relayscope.address());
    client.command("MAIL FROM:<ann@from.example>", 250);
    client.send(format!("RCPT TO:<{recipient}>\r\n"));
    let reply = client.reply().unwrap();
    client.quit();
    reply.text
}

#[test]
fn a_message_to_three_domains_arrives_once_at_each_from_postfix() {
    need!("postfix", "root", "knotd", "keymgr", "unbound", "unbound-control");
    let place = Place::new();
    let (hosts, port) = on_addresses(["127.1.0.1", "127.1.0.2", "127.1.0.3"]);
    let zones = Zones::new()
        .mx("a.example", 10, "mx.a.example")
        .a("mx.a.example", "127.1.0.1")
        .mx("b.example", 10, "mx.b.example")
        .a("mx.b.example", "127.1.0.2")
        .mx("c.example", 10, "mx.c.example")
        .a("mx.c.example", "127.1.0.3");
    let dns = Dns::start(&place, &zones);
    let relayscope = relayscope(&place, &dns, port, "");
    // Postfix tries a deferred recipient again by itself, if not as soon as this.
    let front =
        Postfix::front(&place, relayscope.address(), "minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\n");
    let mut client = front.client();
    client.command("MAIL FROM:<ann@from.example>", 250);
    for recipient in ["bob@a.example", "carol@b.example", "dave@c.example", "eve@a.example"] {
        client.command(&format!("RCPT TO:<{recipient}>"), 250);
    }
    client.command("DATA", 354);
    client.send(Message::named("three").on_the_wire());
    client.command(".", 250);
    client.quit();
    front.log().expect(": removed");
    let taken: Vec<Vec<Vec<String>>> = hosts.iter().map(|host| host.taken().into_iter().map(|it| it.recipients).collect()).collect();
    assert_eq!(
        taken,
        [
            vec![vec!["bob@a.example".to_owned(), "eve@a.example".to_owned()]],
            vec![vec!["carol@b.example".to_owned()]],
            vec![vec!["dave@c.example".to_owned()]]
        ]
    );
    drop(front);
    let records = transactions(relayscope);
    let split = records.iter().find(|it| it.flags.contains(&Flag::Split)).unwrap();
    assert_eq!(split.outcome.state, State::Partial);
    let waiting: Vec<_> = split.envelope.recipients.iter().filter(|it| it.state == State::Deferred).map(|it| it.by).collect();
    assert_eq!(waiting, [Actor::Proxy, Actor::Proxy]);
    let one = records
        .iter()
        .find(|it| it.envelope.recipients.iter().any(|it| it.address == "carol@b.example" && it.state == State::Accepted))
        .unwrap();
    assert_eq!(one.upstream.host.as_deref(), Some("mx.b.example"));
    assert_eq!(one.upstream.mx_preference, Some(10));
    assert_eq!(one.upstream.choice.as_deref(), Some("MX preference 10"));
    let mx = &one.upstream.lookups[0];
    assert_eq!((mx.name.as_str(), mx.query.as_str(), mx.outcome), ("b.example", "MX", LookupOutcome::Found));
    assert_eq!(mx.answers[0].data, "10 mx.b.example.");
    assert!(mx.answers[0].ttl <= 300 && mx.server.is_some());
    assert_eq!(mx.dnssec, Some(Dnssec::Insecure));
}

#[test]
fn what_dns_says_no_to_is_refused_in_its_words() {
    need!("knotd", "keymgr", "unbound", "unbound-control");
    let place = Place::new();
    let zones = Zones::new()
        .null_mx("null.example")
        .txt("empty.example", "nothing else")
        .bogus("bogus.example")
        .mx("bogus.example", 10, "mx.bogus.example")
        .dead("dead.example")
        .mx("own.example", 10, "mx.own.example")
        .a("mx.own.example", "127.0.0.1")
        .mx("private.example", 10, "mx.private.example")
        .a("mx.private.example", "10.1.2.3")
        .mx("broken.example", 10, "192.0.2.1")
        .mx("away.example", 10, "mx.away.example");
    let dns = Dns::start(&place, &zones);
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nkind = \"mx\"\n[dns]\nservers = [\"{}\"]\n[limits.timeouts]\ndns = \"5s\"\n",
        dns.resolver_address()
    );
    let relayscope = Relayscope::configured(&place, &config);
    let cases = [
        ("bob@null.example", "556 5.1.10 relayscope: null.example takes no mail (null MX) (trace "),
        ("bob@gone.example", "550 5.1.2 relayscope: no such domain in DNS: gone.example (trace "),
        ("bob@empty.example", "550 5.4.4 relayscope: empty.example exists in DNS but has neither an MX record nor an address (trace "),
        (
            "bob@bogus.example",
            "451 4.4.3 relayscope: the mail exchangers of bogus.example can't be looked up: the answer fails DNSSEC validation",
        ),
        ("bob@dead.example", "451 4.4.3 relayscope: the mail exchangers of dead.example can't be looked up: the DNS server answered"),
        (
            "bob@own.example",
            "550 5.4.6 relayscope: mail exchanger mx.own.example:25: 127.0.0.1 is this machine: mail would go round in a circle (trace ",
        ),
        ("bob@private.example", "550 5.4.6 relayscope: mail exchanger mx.private.example:25: 10.1.2.3 is "),
        ("bob@broken.example", "550 5.4.4 relayscope: none of the 1 MX records of broken.example names a host: "),
        ("bob@away.example", "451 4.4.3 relayscope: mail exchanger mx.away.example:25: no such name in DNS: mx.away.example (trace "),
        ("bob@[127.0.0.1]", "550 5.4.6 relayscope: mail exchanger 127.0.0.1:25: 127.0.0.1 is this machine"),
        ("bob@[300.1.1.1]", "550 5.1.2 relayscope: "),
        ("bob@a..b", "550 5.1.2 relayscope: "),
    ];
    for (address, expected) in cases {
        let reply = recipient(&relayscope, address);
        assert!(reply.starts_with(expected), "{address}: {reply}");
    }
    let records = transactions(relayscope);
    assert_eq!(records.len(), cases.len());
    let of = |address: &str| records.iter().find(|it| it.envelope.recipients[0].address == address).unwrap();
    assert_eq!(of("bob@null.example").outcome.by, Actor::Dns);
    assert_eq!(of("bob@gone.example").upstream.lookups[0].outcome, LookupOutcome::NoSuchName);
    assert_eq!(of("bob@empty.example").upstream.lookups[0].outcome, LookupOutcome::NoData);
    assert_eq!(of("bob@bogus.example").upstream.lookups[0].outcome, LookupOutcome::Bogus);
    assert!(of("bob@bogus.example").flags.contains(&Flag::DnsBogus));
    assert_eq!(of("bob@dead.example").upstream.lookups[0].outcome, LookupOutcome::ServerFailure);
    assert!(of("bob@own.example").flags.contains(&Flag::LoopRefused));
    assert_eq!((of("bob@private.example").outcome.stage, of("bob@private.example").outcome.by), (Stage::Connect, Actor::Proxy));
    assert_eq!(of("bob@private.example").upstream.tried[0].ip, Some("10.1.2.3".parse().unwrap()));
}

#[test]
fn the_next_exchanger_takes_over_and_a_crowd_of_them_is_cut() {
    need!("knotd", "keymgr", "unbound", "unbound-control");
    let place = Place::new();
    let ([good], port) = on_addresses(["127.1.1.9"]);
    let mut zones = Zones::new()
        .mx("a.example", 10, "mx1.a.example")
        .a("mx1.a.example", "127.1.1.1")
        .mx("a.example", 20, "mx2.a.example")
        .a("mx2.a.example", "127.1.1.9")
        .a("b.example", "127.1.1.9")
        .cname("alias.a.example", "a.example");
    for number in 0..300 {
        zones = zones.mx("crowd.example", 10 + number, &format!("mx{number}.crowd.example"));
    }
    let dns = Dns::start(&place, &zones.a("mx0.crowd.example", "127.1.1.9"));
    let relayscope = relayscope(&place, &dns, port, "");
    let mut client = Client::ready(relayscope.address());
    for (name, domain) in [
        ("first", "a.example"),
        ("implicit", "b.example"),
        ("alias", "alias.a.example"),
        ("crowd", "crowd.example"),
        ("literal", "[127.1.1.9]"),
    ] {
        let message = Message { recipient: format!("bob@{domain}"), ..Message::named(name) };
        assert_eq!(client.deliver(&message).unwrap().code, 250, "{name}");
    }
    client.quit();
    assert_eq!(good.taken().len(), 5);
    let store = relayscope.stop();
    let of = |name: &str| records::one(&store, &format!("{name}@msg.example"));
    let first = of("first");
    assert_eq!((first.upstream.host.as_deref(), first.upstream.mx_preference), (Some("mx2.a.example"), Some(20)));
    assert_eq!(first.upstream.tried[0].host, "mx1.a.example");
    assert!(first.flags.contains(&Flag::FailedOver));
    assert_eq!(of("implicit").upstream.choice.as_deref(), Some("no MX record: the domain's own address"));
    assert_eq!(of("literal").upstream.choice.as_deref(), Some("address literal"));
    let crowd = of("crowd");
    assert_eq!(crowd.upstream.lookups[0].answers.len() + crowd.upstream.lookups[0].answers_cut as usize, 300);
    assert!(crowd.upstream.tried.iter().any(|it| it.error == "280 more mail exchangers are not tried"), "{:?}", crowd.upstream.tried);
}

#[test]
fn an_idle_connection_is_used_again_and_dns_is_asked_once() {
    need!("knotd", "keymgr", "unbound", "unbound-control");
    let place = Place::new();
    let ([host], port) = on_addresses(["127.1.2.1"]);
    let dns = Dns::start(&place, &Zones::new().mx("a.example", 10, "mx.a.example").a("mx.a.example", "127.1.2.1"));
    let relayscope = relayscope(&place, &dns, port, "");
    for round in 0..2 {
        let mut client = Client::ready(relayscope.address());
        for number in 0..3 {
            let message = Message { recipient: "bob@a.example".into(), ..Message::named(&format!("m{round}{number}")) };
            assert_eq!(client.deliver(&message).unwrap().code, 250);
        }
        client.quit();
    }
    assert_eq!((host.taken().len(), host.connections()), (6, 2));
    let asked = dns.statistics().lines().find_map(|line| line.strip_prefix("total.num.queries=")?.parse::<u32>().ok()).unwrap();
    assert!(asked <= 3, "MX, A and AAAA once each, not {asked} questions");
    drop(relayscope);
}

/// A mail exchanger with TLS, whose certificate is for `names`.
fn with_tls(place: &Place, names: &[&str]) -> (Postfix, Certificates) {
    let certificates = certificates::make(place, "tls", names);
    let extra = format!(
        "smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\n",
        certificates.certificate.display(),
        certificates.key.display()
    );
    (Postfix::behind(place, &extra), certificates)
}

#[test]
fn dane_lets_pass_what_its_records_vouch_for_and_nothing_else() {
    need!("postfix", "root", "openssl", "knotd", "keymgr", "unbound", "unbound-control");
    let place = Place::new();
    let (behind, certificates) = with_tls(&place, &["elsewhere.example"]);
    let address = |behind: &Postfix| SocketAddr::ip(&behind.address).to_string();
    let tlsa = |zones: Zones, host: &str, data: &str| {
        zones.record(&format!("_{}._tcp.{host}", behind.address.port()), &format!("TLSA 3 1 1 {data}"))
    };
    let ip = address(&behind);
    let mut zones = Zones::new().signed("to.example").signed("other.example").zone("plain.example");
    for domain in ["to.example", "other.example", "plain.example"] {
        zones = zones.mx(domain, 10, &format!("mx.{domain}")).a(&format!("mx.{domain}"), &ip);
    }
    zones = tlsa(zones, "mx.to.example", &key_digest(&certificates));
    zones = tlsa(zones, "mx.other.example", &"00".repeat(32));
    let dns = Dns::start(&place, &zones);
    let relayscope = relayscope(&place, &dns, behind.address.port(), "tls = \"dane\"\n");

    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("vouched")).unwrap().code, 250);
    client.quit();
    let reply = recipient(&relayscope, "bob@other.example");
    assert!(reply.starts_with("451 4.7.5 relayscope: mail exchanger mx.other.example:"), "{reply}");
    assert!(reply.contains("no TLSA record matches"), "{reply}");
    // Without DNSSEC there is no DANE: opportunistic TLS, and the mailbox isn't there.
    let reply = recipient(&relayscope, "bob@plain.example");
    assert!(reply.starts_with("454 4.7.1") || reply.starts_with("554 5.7.1") || reply.starts_with("250"), "{reply}");

    let store = relayscope.stop();
    let vouched = records::one(&store, "vouched@msg.example");
    let policy = vouched.upstream.tls_policy.as_ref().unwrap();
    assert_eq!((policy.policy.as_str(), policy.source.as_str()), ("dane", "1 TLSA record(s) of mx.to.example"));
    assert_eq!(policy.verified_by.as_deref(), Some("DANE-EE 3 1 1"));
    assert_eq!(vouched.upstream.tls.as_ref().unwrap().verified, Some(true), "whatever name the certificate is for (RFC 7672 3.1.1)");
    assert!(vouched.upstream.lookups.iter().any(|it| it.query == "TLSA" && it.dnssec == Some(Dnssec::Secure)));
    let others = records::transactions(&store);
    let mismatch = others.iter().find(|it| it.envelope.recipients[0].address == "bob@other.example").unwrap();
    assert!(mismatch.flags.contains(&Flag::TlsPolicyFailed));
    assert_eq!((mismatch.outcome.stage, mismatch.outcome.state), (Stage::StartTls, State::Deferred));
    let plain = others.iter().find(|it| it.envelope.recipients[0].address == "bob@plain.example").unwrap();
    assert_eq!(plain.upstream.tls_policy.as_ref().unwrap().source, "no DANE: the MX answer is insecure, not secure");
}

#[test]
fn required_tls_looks_at_the_certificate() {
    need!("postfix", "root", "knotd", "keymgr", "unbound", "unbound-control");
    let place = Place::new();
    let (behind, certificates) = with_tls(&place, &["mx.to.example"]);
    let zones = Zones::new()
        .mx("to.example", 10, "mx.to.example")
        .a("mx.to.example", "127.0.0.1")
        .mx("wrong.example", 10, "mx.wrong.example")
        .a("mx.wrong.example", "127.0.0.1");
    let dns = Dns::start(&place, &zones);
    let extra = format!("tls = \"required\"\nca_file = \"{}\"\n", certificates.authority.display());
    let relayscope = relayscope(&place, &dns, behind.address.port(), &extra);
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("verified")).unwrap().code, 250);
    client.quit();
    let reply = recipient(&relayscope, "bob@wrong.example");
    assert!(reply.starts_with("451 4.7.5 relayscope: mail exchanger mx.wrong.example:") && reply.contains("name mismatch"), "{reply}");
    let store = relayscope.stop();
    assert_eq!(records::one(&store, "verified@msg.example").upstream.tls.as_ref().unwrap().verified, Some(true));
}

/// An HTTPS server on port 443 of an address of loopback, which answers each host with its policy.
fn policies(place: &Place, address: &str, certificates: &Certificates, policies: &[(&str, &str)]) -> Process {
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let pem = place.file("web/haproxy.pem", read(&certificates.certificate) + &read(&certificates.key));
    let rule = |(domain, policy): &(&str, &str)| {
        format!("    http-request return status 200 content-type text/plain string \"{policy}\" if {{ hdr(host) -i mta-sts.{domain} }}\n")
    };
    let rules: String = policies.iter().map(rule).collect();
    let config = format!(
        "global\n    log stderr format raw local0 info\ndefaults\n    mode http\n    timeout connect 60s\n    timeout client 60s\n    timeout server 60s\n\
         frontend web\n    bind {address}:443 ssl crt {}\n{rules}",
        pem.display()
    );
    let config = place.file("web/haproxy.cfg", config);
    let mut command = Command::new(path_of("haproxy"));
    command.arg("-db").arg("-f").arg(config);
    let mut process = Process::start(command, false);
    while std::net::TcpStream::connect((address, 443)).is_err() {
        assert!(process.is_running(), "{}", process.output.text());
        std::thread::yield_now();
    }
    process
}

#[test]
fn an_mta_sts_policy_decides_about_hosts_and_certificates() {
    need!("postfix", "root", "haproxy", "knotd", "keymgr", "unbound", "unbound-control");
    let place = Place::new();
    let domains = ["to.example", "other.example", "wrong.example", "testing.example", "broken.example"];
    let names: Vec<String> = domains.iter().map(|it| format!("mta-sts.{it}")).chain(["mx.to.example".to_owned()]).collect();
    let (behind, certificates) = with_tls(&place, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let policy = |mode: &str, mx: &str| format!(r"version: STSv1\r\nmode: {mode}\r\nmx: {mx}\r\nmax_age: 86400\r\n");
    let texts = [
        policy("enforce", "mx.to.example"),
        policy("enforce", "elsewhere.example"),
        policy("enforce", "mx.wrong.example"),
        policy("testing", "elsewhere.example"),
        "no policy".to_owned(),
    ];
    let pages: Vec<(&str, &str)> = domains.into_iter().zip(texts.iter().map(String::as_str)).collect();
    let _web = policies(&place, "127.1.3.1", &certificates, &pages);
    let zones = domains.iter().fold(Zones::new(), |zones, domain| {
        zones
            .mx(domain, 10, &format!("mx.{domain}"))
            .a(&format!("mx.{domain}"), "127.0.0.1")
            .a(&format!("mta-sts.{domain}"), "127.1.3.1")
            .txt(&format!("_mta-sts.{domain}"), "v=STSv1; id=1;")
    });
    let dns = Dns::start(&place, &zones);
    let extra = format!("tls = \"dane-or-mta-sts\"\nca_file = \"{}\"\n", certificates.authority.display());
    let relayscope = relayscope(&place, &dns, behind.address.port(), &extra);
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named("enforced")).unwrap().code, 250);
    client.quit();
    let reply = recipient(&relayscope, "bob@other.example");
    assert!(reply.starts_with("451 4.7.5 relayscope: mail exchanger mx.other.example:"), "{reply}");
    let reply = recipient(&relayscope, "bob@wrong.example");
    assert!(reply.starts_with("451 4.7.5 relayscope: mail exchanger mx.wrong.example:") && reply.contains("name mismatch"), "{reply}");
    // What isn't enforced changes nothing: the server itself says that it doesn't serve these domains.
    for domain in ["testing.example", "broken.example"] {
        let reply = recipient(&relayscope, &format!("bob@{domain}"));
        assert!(!reply.contains("relayscope"), "{reply}");
    }

    let store = relayscope.stop();
    let kept = std::fs::read_to_string(store.join("mta-sts.json")).unwrap();
    assert!(kept.contains("mx.to.example"), "known policies outlive the process: {kept}");
    let enforced = records::one(&store, "enforced@msg.example");
    let policy = enforced.upstream.tls_policy.as_ref().unwrap();
    assert_eq!((policy.policy.as_str(), policy.source.as_str()), ("mta-sts", "MTA-STS policy 1, enforce"));
    assert_eq!(policy.verified_by.as_deref(), Some("trusted authority"));
    assert_eq!(enforced.upstream.tls.as_ref().unwrap().verified, Some(true));
    let all = records::transactions(&store);
    let of = |domain: &str| all.iter().find(|it| it.envelope.recipients[0].address == format!("bob@{domain}")).unwrap();
    assert!(of("wrong.example").flags.contains(&Flag::TlsPolicyFailed));
    assert_eq!(of("other.example").upstream.tried[0].error, "the MTA-STS policy of other.example (1) doesn't name it");
    assert!(of("other.example").flags.contains(&Flag::TlsPolicyFailed));
    let source = |domain: &str| of(domain).upstream.tls_policy.as_ref().unwrap().source.clone();
    assert_eq!(source("testing.example"), "MTA-STS policy 1, testing; it doesn't name this host");
    assert!(source("broken.example").starts_with("MTA-STS policy of no use: "), "{}", source("broken.example"));
}

/// Who has the store may have learnt more of other domains' policies than the one that leaves knows.
#[test]
fn the_former_process_leaves_known_policies_to_the_next() {
    let place = Place::new();
    let sink = Sink::start(Manner::Hold);
    let world = "\n[[upstream]]\nname = \"world\"\nkind = \"mx\"\ntls = \"mta-sts\"\n\
                 [[route]]\nname = \"world\"\nclient = [\"192.0.2.1\"]\nupstream = \"world\"\n";
    let config = format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\nehlo = \"static\"\nupstream = \"main\"\n[[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n{world}",
        sink.address
    );
    let mut former = Relayscope::configured(&place, &config);
    let mut busy = Client::ready(former.address());
    let message = Message::named("busy");
    busy.hand_in(&message);
    sink.wait_held(1);
    let next = Relayscope::taking_over(&place, &config);
    former.output().expect("handed over");
    let kept = place.path("store/mta-sts.json");
    assert!(kept.exists(), "it was written when the store was given up");
    std::fs::write(&kept, "what the next one knows").unwrap();
    sink.set(Manner::Take);
    busy.expect(250);
    assert!(former.wait().success());
    assert_eq!(std::fs::read_to_string(&kept).unwrap(), "what the next one knows");
    next.stop();
}
