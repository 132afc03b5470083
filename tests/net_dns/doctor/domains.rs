//! Domains in good order and in every kind of disorder.

use std::net::UdpSocket;
use std::process::Command;
use std::time::Duration;

use relayscope::doctor::{DomainOptions, Verdict, examine_domain};
use relayscope::net::resolve::Resolver;

use super::{expect, long_txt, options, told, trouble, zones};
use crate::mta_sts::{Web, returns, rules};
use crate::support::certificates::{self, Certificates};
use crate::support::dns::Dns;
use crate::support::place::Place;
use crate::support::postfix::Postfix;
use crate::support::process::run;
use crate::support::programs::need;
use crate::{LONG, block_on, resolver};

fn tls(certificates: &Certificates) -> String {
    let (certificate, key) = (certificates.certificate.display(), certificates.key.display());
    format!("smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}\n")
}

/// The public key of a new RSA key, as a DKIM record has it.
fn rsa_key(bits: u16) -> String {
    let pipe = format!("openssl genrsa {bits} 2>/dev/null | openssl rsa -pubout -outform DER 2>/dev/null | base64 -w0");
    let (code, key) = run(Command::new("sh").args(["-c", &pipe]));
    assert_eq!(code, 0, "{key}");
    key
}

#[test]
fn a_domain_in_good_order_has_nothing_wrong() {
    need!("knotd", "keymgr", "unbound", "postconf", "openssl", "root");
    let place = Place::new();
    let certificates = certificates::make(&place, "mail", &["mx1.good.example"]);
    let postfix = Postfix::behind(&place, &tls(&certificates));
    let port = postfix.address.port();
    let digest = certificates::key_digest(&certificates);
    let zones = zones()
        .mx("good.example", 10, "mx1.good.example")
        .a("mx1.good.example", "127.0.0.1")
        .record(&format!("_{port}._tcp.mx1.good.example"), &format!("TLSA 3 1 1 {digest}"))
        .txt("good.example", "v=spf1 mx ip4:192.0.2.0/24 -all")
        .txt("_dmarc.good.example", "v=DMARC1; p=reject; rua=mailto:dmarc@good.example")
        .txt("_smtp._tls.good.example", "v=TLSRPTv1; rua=mailto:tls@good.example");
    let zones = long_txt(zones, "site._domainkey.good.example", &format!("v=DKIM1; k=rsa; p={}", rsa_key(2_048)));
    let dns = Dns::start(&place, &zones);
    let options = DomainOptions {
        senders: vec!["192.0.2.7".parse().unwrap(), "198.51.100.7".parse().unwrap()],
        selectors: vec!["site".to_owned()],
        ..options(&dns, port, &certificates)
    };
    let report = block_on(examine_domain(&resolver(&dns), &options, "Good.Example"));
    // One name server is all that the test has, and one of the senders isn't in the record.
    assert_eq!(trouble(&report), ["ns.records", "spf.sender"], "{}", told(&report));
    expect(&report, "resolver.dnssec", Verdict::Ok, "it validates");
    expect(&report, "resolver.nxdomain", Verdict::Ok, "no such name");
    expect(&report, "resolver.tcp", Verdict::Ok, "answered");
    expect(&report, "mx.records", Verdict::Ok, "10 mx1.good.example; DNSSEC: secure");
    expect(&report, "host.greeting", Verdict::Ok, "220 behind.example ESMTP");
    expect(&report, "host.certificate", Verdict::Ok, "verified (trusted authority)");
    expect(&report, "dane.certificate", Verdict::Ok, "DANE-EE 3 1 1 vouches for it");
    expect(&report, "dkim.key", Verdict::Ok, "an RSA key of 2048 bits");
    expect(&report, "spf.sender", Verdict::Ok, "pass: `ip4:192.0.2.0/24`");
    expect(&report, "spf.sender", Verdict::Fail, "fail: `-all`");
    expect(&report, "ns.server", Verdict::Ok, "serial");
    // It came, said EHLO with its name, began TLS, and took its leave.
    postfix.log().expect("ehlo=1 starttls=1 quit=1");
}

#[test]
fn exchangers_in_disorder_are_told_apart() {
    need!("knotd", "keymgr", "unbound", "postconf", "root");
    let place = Place::new();
    let certificates = certificates::make(&place, "mail", &["other.example"]);
    let postfix = Postfix::behind(&place, &tls(&certificates));
    let zones = zones()
        .null_mx("null.example")
        .a("implicit.example", "127.0.0.1")
        .mx("mixed.example", 10, "gone.mixed.example")
        .mx("mixed.example", 20, "inner.mixed.example")
        .mx("mixed.example", 30, "alias.mixed.example")
        .record("mixed.example", "MX 40 192.0.2.1.")
        .a("inner.mixed.example", "10.0.0.1")
        .cname("alias.mixed.example", "implicit.example")
        .mx("copies.example", 10, "a.copies.example")
        .mx("copies.example", 20, "b.copies.example")
        .a("a.copies.example", "127.0.0.1")
        .a("b.copies.example", "127.0.0.1")
        .mx("refused.example", 10, "closed.refused.example")
        .mx("refused.example", 20, "open.refused.example")
        .mx("refused.example", 30, "trap.refused.example")
        .a("closed.refused.example", "127.0.0.2")
        .a("open.refused.example", "127.0.0.1")
        .a("trap.refused.example", "127.0.0.3")
        .dead("dead.example");
    let dns = Dns::start(&place, &zones);
    let (resolver, options) = (resolver(&dns), options(&dns, postfix.address.port(), &certificates));
    let of = |domain: &str| block_on(examine_domain(&resolver, &options, domain));

    let null = of("null.example");
    expect(&null, "mx.records", Verdict::Warn, "null MX");
    assert!(!null.sections.iter().any(|section| section.title == "Mail hosts"), "nobody is visited");
    expect(&of("implicit.example"), "mx.records", Verdict::Warn, "no MX record: the domain's own address");
    let none = of("nowhere.good.example");
    expect(&none, "mx.records", Verdict::Fail, "NXDOMAIN");
    assert_eq!(trouble(&none), ["mx.records"], "of a domain that isn't there nothing else is said:\n{}", told(&none));
    let dead = of("dead.example");
    expect(&dead, "mx.records", Verdict::Fail, "SERVFAIL");
    expect(&dead, "resolver.answer", Verdict::Fail, "SERVFAIL");

    let mixed = of("mixed.example");
    expect(&mixed, "mx.host", Verdict::Fail, "gone.mixed.example (preference 10): dangling: no such name");
    expect(&mixed, "mx.host", Verdict::Warn, "10.0.0.1 is a private network");
    expect(&mixed, "mx.host", Verdict::Warn, "alias (CNAME) of implicit.example");
    expect(&mixed, "mx.exchange", Verdict::Fail, "it is an address");
    let visited = told(&mixed);
    assert!(!visited.contains("[10.0.0.1] port"), "an inner address isn't connected to:\n{visited}");

    expect(&of("copies.example"), "mx.spread", Verdict::Warn, "the same machine");

    let refused = of("refused.example");
    expect(&refused, "host.connect", Verdict::Fail, "closed.refused.example [127.0.0.2]");
    expect(&refused, "host.connect", Verdict::Ok, "open.refused.example [127.0.0.1]");
    expect(&refused, "host.connect", Verdict::Warn, "trap.refused.example [127.0.0.3]");
    expect(&refused, "host.certificate", Verdict::Warn, "name mismatch");

    for (what, words) in [("[192.0.2.1]", "doctor sender 192.0.2.1"), ("a b", "behind the @")] {
        let refused = of(what);
        assert!(refused.verdict == Verdict::Fail && refused.conclusion.contains(words), "{}", refused.conclusion);
    }
}

#[test]
fn a_policy_that_the_hosts_do_not_keep_fails() {
    need!("knotd", "keymgr", "unbound", "haproxy", "postconf", "root");
    let place = Place::new();
    let good = returns(r"version: STSv1\r\nmode: enforce\r\nmx: mx.good.example\r\nmax_age: 86400\r\n");
    let web = Web::start(&place, &rules(&[("good.example", &good)]));
    let postfix = Postfix::behind(&place, &tls(&web.certificates));
    let port = postfix.address.port();
    let zones = zones()
        .mx("good.example", 10, "mx.good.example")
        .mx("good.example", 20, "other.good.example")
        .a("mx.good.example", "127.0.0.1")
        .a("other.good.example", "127.0.0.1")
        .txt("_mta-sts.good.example", "v=STSv1; id=1")
        .a("mta-sts.good.example", "127.0.0.1")
        .record(&format!("_{port}._tcp.mx.good.example"), &format!("TLSA 3 1 1 {}", "ab".repeat(32)))
        .mx("missing.example", 10, "mx.missing.example")
        .a("mx.missing.example", "127.0.0.1")
        .txt("_mta-sts.missing.example", "v=STSv1; id=1")
        .a("mta-sts.missing.example", "127.0.0.1")
        .record(&format!("_{port}._tcp.mx.missing.example"), &format!("TLSA 3 1 1 {}", "ab".repeat(32)));
    let dns = Dns::start(&place, &zones);
    let options = DomainOptions { https_port: web.address.port(), ..options(&dns, port, &web.certificates) };

    let report = block_on(examine_domain(&resolver(&dns), &options, "good.example"));
    expect(&report, "mta_sts.policy", Verdict::Ok, "mode enforce, id 1");
    expect(&report, "mta_sts.mx", Verdict::Fail, "other.good.example in the policy");
    expect(&report, "mta_sts.host", Verdict::Fail, "name mismatch");
    expect(&report, "tls_rpt.record", Verdict::Warn, "there is none, although");
    expect(&report, "dane.certificate", Verdict::Fail, "no TLSA record matches");

    let report = block_on(examine_domain(&resolver(&dns), &options, "missing.example"));
    expect(&report, "mta_sts.policy", Verdict::Fail, "answered 404 Not Found");
    expect(&report, "dane.records", Verdict::Warn, "the MX answer is insecure");
}

#[test]
fn a_name_server_that_does_not_know_the_zone_is_lame() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let certificates = certificates::make(&place, "mail", &["mx.example"]);
    let zones = zones()
        .zone("plain.example")
        .record("plain.example", "NS ns.other.example.")
        .record("plain.example", "NS gone.other.example.")
        .a("ns.other.example", "127.0.0.1")
        .dead("lame.example");
    let dns = Dns::start(&place, &zones);
    let resolver = resolver(&dns);
    let report = block_on(examine_domain(&resolver, &options(&dns, 25, &certificates), "plain.example"));
    expect(&report, "ns.server", Verdict::Fail, "gone.other.example: no such name");
    expect(&report, "ns.server", Verdict::Ok, "ns.other.example [127.0.0.1]: serial");
    expect(&report, "ns.serial", Verdict::Ok, "the same everywhere");
    expect(&report, "ns.apart", Verdict::Warn, "the same address");
    // Asked of a port where nobody is.
    let nobody = DomainOptions { dns_port: 1, ..options(&dns, 25, &certificates) };
    let report = block_on(examine_domain(&resolver, &nobody, "plain.example"));
    expect(&report, "ns.server", Verdict::Fail, "refused");
}

#[test]
fn a_resolver_that_is_not_there_is_the_only_trouble() {
    let place = Place::new();
    let certificates = certificates::make(&place, "mail", &["mx.example"]);
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tls = relayscope::net::tls::ClientTls::only(&certificates.authority).unwrap();
    let options = DomainOptions { patience: LONG, limit: LONG, ..DomainOptions::new("doctor.example", tls) };
    let report = block_on(examine_domain(&Resolver::from_server(gone), &options, "good.example"));
    assert_eq!(trouble(&report), ["resolver.answer"], "{}", told(&report));
}

#[test]
fn silence_everywhere_ends_at_the_limit() {
    let place = Place::new();
    let certificates = certificates::make(&place, "mail", &["mx.example"]);
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolver = Resolver::from_server(silent.local_addr().unwrap());
    let tls = relayscope::net::tls::ClientTls::only(&certificates.authority).unwrap();
    let limit = Duration::from_millis(200);
    let options = DomainOptions { patience: LONG, limit, ..DomainOptions::new("doctor.example", tls) };
    let report = block_on(examine_domain(&resolver, &options, "good.example"));
    assert!(report.verdict >= Verdict::Warn && trouble(&report).contains(&"doctor.unfinished"), "{}", told(&report));
}
