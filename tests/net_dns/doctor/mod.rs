//! The doctor's view of domains and senders: real zones, a real resolver, real mail hosts.

mod delegations;
mod domains;
mod records;
mod senders;

use relayscope::doctor::{Canaries, Check, DomainOptions, Report, Verdict};
use relayscope::net::tls::ClientTls;

use crate::LONG;
use crate::support::certificates::Certificates;
use crate::support::dns::{Dns, Zones};

fn options(dns: &Dns, smtp_port: u16, certificates: &Certificates) -> DomainOptions {
    let good = || "good.example".to_owned();
    DomainOptions {
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        smtp_port,
        dns_port: dns.authority_address().port(),
        canaries: Canaries { secure: good(), bogus: "bogus.example".to_owned(), absent_below: good() },
        patience: LONG,
        smtp_patience: LONG,
        limit: LONG,
        ..DomainOptions::new("doctor.example", ClientTls::only(&certificates.authority).unwrap())
    }
}

/// What each test has for the canaries.
fn zones() -> Zones {
    Zones::new().signed("good.example").bogus("bogus.example").a("bogus.example", "192.0.2.1")
}

/// A TXT record of any length, cut as DNS wants it.
fn long_txt(zones: Zones, name: &str, text: &str) -> Zones {
    let strings: Vec<String> = text.as_bytes().chunks(200).map(|it| format!("\"{}\"", String::from_utf8_lossy(it))).collect();
    zones.record(name, &format!("TXT {}", strings.join(" ")))
}

/// Some check of that name has this verdict and holds these words.
#[track_caller]
fn expect(report: &Report, name: &str, verdict: Verdict, words: &str) {
    let found: Vec<&Check> = report.sections.iter().flat_map(|section| &section.checks).filter(|check| check.name == name).collect();
    let fits = |check: &&Check| check.verdict == verdict && format!("{}: {}", check.asked, check.answer).contains(words);
    assert!(found.into_iter().any(|check| fits(&check)), "{name} {verdict:?} {words:?} isn't there:\n{}", told(report));
}

/// Each check with its verdict, for comparison and for people.
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

/// The names of all checks that found trouble.
fn trouble(report: &Report) -> Vec<&str> {
    let checks = report.sections.iter().flat_map(|section| &section.checks);
    checks.filter(|check| check.verdict >= Verdict::Warn).map(|check| check.name.as_str()).collect()
}
