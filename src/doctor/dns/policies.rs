//! What a domain asks of TLS on the way to it: MTA-STS, DANE, and where reports of failures go.

use std::time::SystemTime;

use super::super::check::Check;
use super::exchangers::Mx;
use super::hosts::Visit;
use super::tags::{Tags, described};
use super::{DomainOptions, counted};
use crate::net::mta_sts::{Answer, Mode, MtaSts, Policy, PolicyLookup};
use crate::net::resolve::{Dane, Dnssec, Kind, Resolver};

/// RFC 8461 3.2 suggests weeks; under a day, it protects hardly anybody.
const SHORT_SECONDS: u64 = 86_400;
/// Digits of an id such as `20260101T000000Z`, as an example.
const EXAMPLE_ID: &str = "20260101000000";

/// The policy as senders see it.
pub(super) async fn mta_sts(resolver: &Resolver, options: &DomainOptions, domain: &str) -> PolicyLookup {
    MtaSts::new(resolver.clone(), options.tls.clone(), options.mta_sts()).policy(domain, SystemTime::now()).await
}

/// What to say of it, with what was seen at the hosts.
pub(super) fn judge_mta_sts(domain: &str, found: &PolicyLookup, mx: &Mx, visits: &[Visit]) -> Vec<Check> {
    let why = "with a policy, senders that look for it send over verified TLS only; a policy that is wrong stops their mail";
    let check =
        Check::asking("mta_sts.policy", format!("TXT of _mta-sts.{domain}, and the policy at mta-sts.{domain}"), why).took(found.took);
    let unknown = found.lookup.failure().filter(|failure| !failure.is_denial());
    if let (Answer::Unusable { .. }, Some(failure)) = (&found.answer, unknown) {
        return vec![
            check.fail(format!("whether there is one can't be looked up: {failure}"), "The domain's name servers must be put right."),
        ];
    }
    let policy = match &found.answer {
        Answer::NoPolicy => return vec![check.skipped("none is announced: TLS to this domain isn't protected by MTA-STS")],
        Answer::Unusable { why } => {
            let fix = format!(
                "Serve the policy at https://mta-sts.{domain}/.well-known/mta-sts.txt (text/plain, a valid certificate for mta-sts.{domain}, no \
                 redirect), and publish one `_mta-sts.{domain}. IN TXT \"v=STSv1; id={EXAMPLE_ID}\"`."
            );
            return vec![check.fail(format!("announced, and not to be had: {why}"), fix)];
        }
        Answer::Policy { policy, .. } => policy,
    };
    let answer = format!("mode {}, id {}, max_age {} s, mx {}", policy.mode.as_str(), policy.id, policy.max_age, policy.mx.join(", "));
    let mut checks = vec![match policy.mode {
        Mode::None => check.ok(format!("{answer}: switched off")),
        _ if policy.max_age < SHORT_SECONDS => check
            .warn(format!("{answer}: it is forgotten within a day"), "Raise max_age to a week at least (604800), once the policy works."),
        Mode::Testing => check.ok(format!("{answer}: failures are reported, and stop no mail")),
        Mode::Enforce => check.ok(answer),
    }];
    if policy.mode != Mode::None {
        checks.extend(mx.hosts.iter().filter_map(|host| unnamed(domain, policy, &host.addresses.host)));
        checks.extend(visits.iter().filter_map(|visit| unverified(policy, visit)));
    }
    checks
}

fn by_mode(policy: &Policy, check: Check, answer: String, fix: String) -> Check {
    if policy.mode == Mode::Enforce { check.fail(answer, fix) } else { check.warn(answer, fix) }
}

fn unnamed(domain: &str, policy: &Policy, host: &str) -> Option<Check> {
    if policy.matches(host) {
        return None;
    }
    let check = Check::asking(
        "mta_sts.mx",
        format!("{host} in the policy of {domain}"),
        "senders that go by the policy don't send to hosts that it doesn't name",
    );
    let fix = format!("Add the line `mx: {host}` to the policy file, then change the id in the TXT record of _mta-sts.{domain}.");
    Some(by_mode(policy, check, "it is in the MX records and not in the policy".to_owned(), fix))
}

fn unverified(policy: &Policy, visit: &Visit) -> Option<Check> {
    let host = &visit.host.addresses.host;
    let answer = match (&visit.starttls, &visit.tls) {
        (Some(false), _) => "it offers no STARTTLS".to_owned(),
        (Some(true), Some(facts)) if facts.verified != Some(true) => {
            format!("its certificate can't be verified: {}", facts.why_not.as_deref().unwrap_or("unknown"))
        }
        _ => return None,
    };
    let check = Check::asking(
        "mta_sts.host",
        format!("{host} [{}] as the policy wants it", visit.address),
        "the policy asks for TLS with a certificate that can be verified",
    );
    let fix = format!(
        "Put a certificate of a public authority for {host} on it, with the intermediate certificates; or set the policy's mode to testing until then."
    );
    Some(by_mode(policy, check, answer, fix))
}

/// TLS-RPT (RFC 8460). `wanted`: there is a policy whose failures are worth knowing.
pub(super) async fn tls_reports(resolver: &Resolver, options: &DomainOptions, domain: &str, wanted: bool) -> Check {
    let name = format!("_smtp._tls.{domain}");
    let lookup = resolver.look_up(&name, Kind::Txt, options.patience).await;
    let why = "senders report failures of TLS there; without it nobody tells you that a policy stops your mail";
    let check = Check::asking("tls_rpt.record", format!("TXT of {name}"), why).took(lookup.took);
    let publish = format!("Publish `{name}. IN TXT \"v=TLSRPTv1; rua=mailto:tls-reports@{domain}\"`.");
    let texts: Vec<String> = lookup
        .texts()
        .iter()
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .filter(|text| text.trim_start().starts_with("v=TLSRPTv1"))
        .collect();
    match (lookup.failure(), texts.as_slice()) {
        (Some(failure), _) if !failure.is_denial() => check.fail(failure.to_string(), "The domain's name servers must be put right."),
        (_, []) if wanted => check.warn("there is none, although the domain has a policy for TLS", publish),
        (_, []) => check.skipped("there is none; it is worth having with MTA-STS or DANE"),
        (_, [text]) => {
            let tags = Tags::read(text);
            let rua = tags.value("rua").unwrap_or_default();
            let sound = !rua.is_empty() && rua.split(',').all(|uri| uri.trim().starts_with("mailto:") || uri.trim().starts_with("https:"));
            match (&tags.flaw, sound) {
                (Some(flaw), _) => check.fail(format!("{}: {flaw}", described(text)), publish),
                (None, false) => check.fail(format!("{}: rua names no mailto: or https: address", described(text)), publish),
                (None, true) => check.ok(described(text)),
            }
        }
        (_, several) => check.fail(format!("there are {} records; one is allowed", several.len()), "Delete all but one."),
    }
}

/// DANE, host by host.
pub(super) async fn dane(resolver: &Resolver, options: &DomainOptions, mx: &Mx, visits: &[Visit]) -> Vec<Check> {
    let mut checks: Vec<Check> = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for visit in visits {
        let host = visit.host.addresses.host.as_str();
        if !seen.contains(&host) {
            seen.push(host);
            checks.push(records(resolver, options, mx, visit).await);
        }
        checks.extend(vouched(visit));
    }
    checks
}

async fn records(resolver: &Resolver, options: &DomainOptions, mx: &Mx, visit: &Visit) -> Check {
    let host = &visit.host.addresses.host;
    let name = format!("_{}._tcp.{host}", options.smtp_port);
    let why = "with TLSA records in a signed zone, senders that look for them send over TLS with exactly these certificates, or not at all";
    let check = Check::asking("dane.records", format!("TLSA of {name}"), why);
    match &visit.dane {
        Dane::Usable { records, .. } => {
            let shown: Vec<String> = records.iter().map(ToString::to_string).collect();
            check.ok(format!("{}: {}", counted(records.len(), "usable record", "usable records"), shown.join(", ")))
        }
        Dane::Unusable { why, .. } => check.fail(
            format!("{why}: senders take any certificate then, but insist on TLS"),
            format!("Publish `{name}. IN TLSA 3 1 1 DIGEST` (SHA-256 of the certificate's public key), and take the others out."),
        ),
        Dane::Failed { failure, .. } => check.fail(
            format!("{failure}: senders that go by DANE defer all mail to this host (RFC 7672 2.1.1)"),
            "The name servers of this zone must answer for TLSA records, if only with \"no such record\": some old servers and firewalls don't.",
        ),
        Dane::Absent { why } => {
            let found = resolver.look_up(&name, Kind::Tlsa, options.patience).await;
            if found.failure().is_some() {
                return check.skipped("there are none: DANE isn't used");
            }
            if !resolver.is_trusted() {
                return check.skipped("there are some; the resolver's word on DNSSEC isn't taken here (`dns.trust_ad`), so nothing can be said of them");
            }
            let unsigned = if mx.dnssec == Dnssec::Secure { "the host's zone" } else { "the domain's zone" };
            check.warn(
                format!("there are some, and nobody may go by them: {why}"),
                format!("Sign {unsigned} with DNSSEC and publish its DS record at the registrar, or take the TLSA records out."),
            )
        }
    }
}

fn vouched(visit: &Visit) -> Option<Check> {
    let host = &visit.host.addresses.host;
    let Dane::Usable { records, .. } = &visit.dane else { return None };
    let check = Check::asking(
        "dane.certificate",
        format!("certificate of {host} [{}] against its TLSA records", visit.address),
        "a certificate that no record vouches for stops all mail of senders that go by DANE",
    );
    let first = records.first().map(ToString::to_string).unwrap_or_default();
    let fix = format!(
        "Publish the new certificate's digest beside the old one before it is put into use, and take the old one out a TTL later. The digest for 3 1 1: \
         `openssl x509 -in CERT -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum` (the records there now are {first} …)."
    );
    Some(match (&visit.by_dane, visit.starttls) {
        (_, Some(false)) => check.fail("the host offers no STARTTLS", "Switch TLS on at this host, or take its TLSA records out."),
        (Some(Ok(how)), _) => check.ok(format!("{how} vouches for it")),
        (Some(Err(why)), _) => check.fail(why.clone(), fix),
        (None, _) => check.skipped("the host showed no certificate"),
    })
}
