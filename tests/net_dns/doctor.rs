//! The doctor's view of domains and senders: real zones, a real resolver, real mail hosts.

use relayscope::doctor::{Canaries, Check, DomainOptions, Report, Verdict, examine_domain};
use relayscope::net::tls::ClientTls;

use crate::support::certificates::{self, Certificates};
use crate::support::dns::{Dns, Zones};
use crate::support::place::Place;
use crate::support::postfix::Postfix;
use crate::support::programs::need;
use crate::{LONG, block_on, resolver};

/// 2048 bits.
const KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAu5oIUrFDWZK7F4thFxpZa2or6jBEX3cSL6b2TJdPkO5iNn9vHNXhNX31nOefN8FksX94YbLJ8NHcFPbaZTW8R2HthYxRaCyqodxlLHibg8aHdfa+bxKeiI/xABRuAM0WG0JEDSyakMFqIO40ghj/h7DUc/4OXNdeQhrKDTlgf2bd+FjpJ3bNAFcMYa3Oeju33b2Tp+PdtqIwXRZksfuXh7m30kuyavp3Uaso145DRBaJZA55lNxmHWMgMjO+YjNeuR6j4oQqyGwzPaVcSdOG8Js2mXt+J3Hr+nNmJGxZUUW4Uw5ws08wT9opRgSpn+ThX2d1AgQePpGrWOamC3PdcwIDAQAB";

fn options(dns: &Dns, smtp_port: u16, certificates: &Certificates) -> DomainOptions {
    DomainOptions {
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        smtp_port,
        dns_port: dns.authority_address().port(),
        canaries: Canaries {
            secure: "good.example".to_owned(),
            bogus: "bogus.example".to_owned(),
            absent_below: "good.example".to_owned(),
        },
        patience: LONG,
        smtp_patience: LONG,
        limit: LONG,
        ..DomainOptions::new("doctor.example", ClientTls::only(&certificates.authority).unwrap())
    }
}

/// What each test zone has for the canaries.
fn zones() -> Zones {
    Zones::new().signed("good.example").bogus("bogus.example").a("bogus.example", "192.0.2.1")
}

fn all<'a>(report: &'a Report, name: &str) -> Vec<&'a Check> {
    report.sections.iter().flat_map(|section| &section.checks).filter(|check| check.name == name).collect()
}

/// The only check of that name.
#[track_caller]
fn only<'a>(report: &'a Report, name: &str) -> &'a Check {
    match all(report, name).as_slice() {
        [check] => check,
        other => panic!("{name}: {other:#?}\n{}", told(report)),
    }
}

#[track_caller]
fn expect(report: &Report, name: &str, verdict: Verdict, words: &str) {
    let found = all(report, name);
    let fits = |check: &&&Check| check.verdict == verdict && (check.answer.contains(words) || check.asked.contains(words));
    assert!(found.iter().any(|check| fits(&check)), "{name} {verdict:?} {words:?}:\n{found:#?}\n{}", told(report));
}

fn told(report: &Report) -> String {
    let mut text = format!("{} {}: {}\n", report.target, report.verdict.word(), report.conclusion);
    for section in &report.sections {
        text += &format!("== {}\n", section.title);
        for check in &section.checks {
            text += &format!("{:8}{} — {}: {}\n", check.verdict.word(), check.name, check.asked, check.answer);
            text += &check.fix.as_ref().map(|fix| format!("        → {fix}\n")).unwrap_or_default();
        }
    }
    text
}

#[test]
fn a_domain_in_good_order_has_nothing_wrong() {
    need!("knotd", "keymgr", "unbound", "postconf", "openssl", "root");
    let place = Place::new();
    let certificates = certificates::make(&place, "mail", &["mx1.good.example"]);
    let postfix = Postfix::behind(&place, &tls(&certificates));
    let port = postfix.address.port();
    let digest = certificates::key_digest(&certificates);
    let dns = Dns::start(
        &place,
        &zones()
            .mx("good.example", 10, "mx1.good.example")
            .a("mx1.good.example", "127.0.0.1")
            .record(&format!("_{port}._tcp.mx1.good.example"), &format!("TLSA 3 1 1 {digest}"))
            .txt("good.example", "v=spf1 mx ip4:192.0.2.0/24 -all")
            .txt("site._domainkey.good.example", &format!("v=DKIM1; k=rsa; p={}", &KEY[..200]))
            .txt("_dmarc.good.example", "v=DMARC1; p=reject; rua=mailto:dmarc@good.example")
            .txt("_smtp._tls.good.example", "v=TLSRPTv1; rua=mailto:tls@good.example"),
    );
    let options = DomainOptions { senders: vec!["192.0.2.7".parse().unwrap()], ..options(&dns, port, &certificates) };
    let report = block_on(examine_domain(&resolver(&dns), &options, "Good.Example"));
    println!("{}", told(&report));
    panic!();
}

fn tls(certificates: &Certificates) -> String {
    let (certificate, key) = (certificates.certificate.display(), certificates.key.display());
    format!("smtpd_tls_security_level = may\nsmtpd_tls_cert_file = {certificate}\nsmtpd_tls_key_file = {key}\n")
}
