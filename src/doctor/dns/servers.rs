//! The health of each DNS server that is asked, by itself: whether it answers, over TCP too, validates, and tells the truth.

use std::net::{IpAddr, SocketAddr};

use ulid::Ulid;

use super::super::check::{Check, Verdict};
use super::super::report::Section;
use super::DomainOptions;
use crate::net::resolve::{DirectAnswer, Failure, Kind, Manner, Resolver, ask};

/// Servers that are looked at; more are hardly ever configured.
const MOST: usize = 6;
/// An answer that takes longer delays each mail.
const SLOW_MS: u128 = 1_000;
const RECURSIVE: Manner = Manner { recursion: true, tcp: false };

pub(super) async fn examine(resolver: &Resolver, options: &DomainOptions, domain: &str) -> Vec<Check> {
    let servers = resolver.servers();
    if servers.is_empty() {
        let check = Check::asking("resolver.answer", "name servers of this machine", "without DNS no mail finds its way");
        return vec![check.fail(
            "there is none to ask: /etc/resolv.conf names no server",
            "Install a resolver (`apt install unbound`) and write `nameserver 127.0.0.1` into /etc/resolv.conf, or set `dns.servers`.",
        )];
    }
    let mut tasks = tokio::task::JoinSet::new();
    for (place, server) in servers.iter().copied().take(MOST).enumerate() {
        let (options, domain) = (options.clone(), domain.to_owned());
        tasks.spawn(async move { (place, one(server, &options, &domain).await) });
    }
    let mut found = tasks.join_all().await;
    found.sort_by_key(|(place, _)| *place);
    let mut checks: Vec<Check> = found.into_iter().flat_map(|(_, checks)| checks).collect();
    checks.extend(resolver.servers().iter().find_map(|server| public(server.ip())).map(asks_in_public));
    checks
}

async fn one(server: SocketAddr, options: &DomainOptions, domain: &str) -> Vec<Check> {
    let question = |name: String, kind, manner| async move { ask(server, &name, kind, manner, options.patience).await };
    let made_up = format!("{}.{}", Ulid::generate().to_string().to_ascii_lowercase(), options.canaries.absent_below);
    let canaries = &options.canaries;
    let (plain, tcp, secure, bogus, absent) = tokio::join!(
        question(domain.to_owned(), Kind::Mx, RECURSIVE),
        question(domain.to_owned(), Kind::Mx, Manner { tcp: true, ..RECURSIVE }),
        question(canaries.secure.clone(), Kind::Soa, RECURSIVE),
        question(canaries.bogus.clone(), Kind::A, RECURSIVE),
        question(made_up.clone(), Kind::A, RECURSIVE),
    );
    let first = answers(server, domain, &plain);
    if plain.failure.as_ref().is_some_and(is_silence) {
        return vec![first]; // who doesn't answer at all isn't asked for more
    }
    vec![
        first,
        over_tcp(server, &tcp),
        validates(server, canaries.secure.as_str(), &secure, canaries.bogus.as_str(), &bogus),
        is_honest(server, &made_up, &absent),
    ]
}

/// Whether nobody at all answers: who is silent is asked for nothing else.
pub(super) fn all_silent(section: &Section) -> bool {
    let mut checks = section.checks.iter().filter(|check| check.name != "resolver.public").peekable();
    checks.peek().is_some() && checks.all(|check| check.name == "resolver.answer" && check.verdict == Verdict::Fail)
}

fn is_silence(failure: &Failure) -> bool {
    matches!(failure, Failure::TimedOut { .. } | Failure::Unreachable { .. })
}

fn answers(server: SocketAddr, domain: &str, answer: &DirectAnswer) -> Check {
    let why = "each mail waits for DNS: a server that is dead or slow delays all of them";
    let check = Check::asking("resolver.answer", format!("MX of {domain} at {server}"), why).took(answer.took);
    let ms = answer.took.as_millis();
    match &answer.failure {
        Some(failure) if is_silence(failure) => check.fail(
            format!("no answer: {failure}"),
            format!("Take {server} out of `dns.servers` (or /etc/resolv.conf), or start it: `systemctl status unbound named`; is UDP 53 let through?"),
        ),
        Some(failure) if failure.is_denial() => check.ok(format!("answered in {ms} ms: {failure}")),
        Some(Failure::ServerFailure { rcode, .. }) if rcode == "REFUSED" => check.fail(
            "it refuses to answer this machine (REFUSED)",
            "Let it answer for this machine's address (Unbound: `access-control`, BIND: `allow-recursion`), or ask another server.",
        ),
        Some(failure) => check.fail(
            format!("{failure} ({ms} ms)"),
            "If other domains work with this server, the fault is with this domain's own name servers: see below. If not, look at its log.",
        ),
        None if ms >= SLOW_MS => {
            check.warn(format!("answered, but only after {ms} ms"), "Run a caching resolver on this machine (Unbound) and ask that one first.")
        }
        None => check.ok(format!("answered in {ms} ms: {}", answer.records.join(", "))),
    }
}

fn over_tcp(server: SocketAddr, answer: &DirectAnswer) -> Check {
    let why = "long answers (SPF, DKIM keys, DNSSEC) don't fit into UDP and are asked for again over TCP";
    let check = Check::asking("resolver.tcp", format!("the same at {server} over TCP"), why).took(answer.took);
    match &answer.failure {
        Some(failure) if is_silence(failure) => check.fail(
            format!("no answer over TCP: {failure}"),
            format!("Let TCP port {} through to {} in the firewall: DNS needs it as much as UDP (RFC 7766).", server.port(), server.ip()),
        ),
        _ => check.ok(format!("answered in {} ms", answer.took.as_millis())),
    }
}

fn validates(server: SocketAddr, secure: &str, good: &DirectAnswer, bogus: &str, bad: &DirectAnswer) -> Check {
    let why = "only a validating server makes DANE possible, and forged answers harmless";
    let asked = format!("{secure} (signed) and {bogus} (signed badly, by intent) at {server}");
    let check = Check::asking("resolver.dnssec", asked, why).took(good.took.max(bad.took));
    let (answered, refused) = (good.failure.is_none(), matches!(bad.failure, Some(Failure::ServerFailure { .. } | Failure::Bogus { .. })));
    match (answered, good.validated, refused) {
        (true, true, true) => check.ok("it validates: the good one is vouched for, the bad one refused"),
        (true, _, false) if bad.failure.is_none() => check.warn(
            format!("it doesn't validate DNSSEC: it gave the address of {bogus} without a word"),
            "Switch validation on (Unbound: `auto-trust-anchor-file`, BIND: `dnssec-validation auto`, systemd-resolved: `DNSSEC=yes`), or run \
             Unbound on this machine.",
        ),
        (true, false, true) => check.warn(
            format!("it refuses {bogus}, and doesn't vouch for {secure} (no AD bit)"),
            "Something between it and this machine strips DNSSEC: ask the validating server itself, best one on this machine.",
        ),
        (false, _, _) => {
            let said = good.failure.as_ref().map(ToString::to_string).unwrap_or_default();
            check.skipped(format!("{secure} could not be looked up ({said}): nothing can be said"))
        }
        _ => {
            let said = bad.failure.as_ref().map(ToString::to_string).unwrap_or_default();
            check.skipped(format!("{bogus} could not be asked for ({said}): nothing can be said"))
        }
    }
}

fn is_honest(server: SocketAddr, made_up: &str, answer: &DirectAnswer) -> Check {
    let why = "a server that invents addresses turns each misspelled domain into a host that mail is tried at for days";
    let check = Check::asking("resolver.nxdomain", format!("A of {made_up} (made up just now) at {server}"), why).took(answer.took);
    match &answer.failure {
        Some(Failure::NoSuchName) => check.ok("no such name, as it should be"),
        Some(failure) => check.skipped(format!("{failure}: nothing can be said")),
        None => check.fail(
            format!("it gave an address to a name that doesn't exist: {}", answer.records.join(", ")),
            "Use another server: this one (often a provider's, with a \"search page\") forges answers. Unbound on this machine asks the \
             authorities itself.",
        ),
    }
}

/// Who runs this server for everybody: blocklists and others that count questions don't answer these.
pub(in crate::doctor) fn public(server: IpAddr) -> Option<&'static str> {
    const KNOWN: &[(&str, &str)] = &[
        ("8.8.8.8", "Google"),
        ("8.8.4.4", "Google"),
        ("2001:4860:4860::8888", "Google"),
        ("2001:4860:4860::8844", "Google"),
        ("1.1.1.1", "Cloudflare"),
        ("1.0.0.1", "Cloudflare"),
        ("1.1.1.2", "Cloudflare"),
        ("1.0.0.2", "Cloudflare"),
        ("1.1.1.3", "Cloudflare"),
        ("1.0.0.3", "Cloudflare"),
        ("2606:4700:4700::1111", "Cloudflare"),
        ("2606:4700:4700::1001", "Cloudflare"),
        ("9.9.9.9", "Quad9"),
        ("9.9.9.10", "Quad9"),
        ("9.9.9.11", "Quad9"),
        ("149.112.112.112", "Quad9"),
        ("2620:fe::fe", "Quad9"),
        ("2620:fe::9", "Quad9"),
        ("208.67.222.222", "OpenDNS"),
        ("208.67.220.220", "OpenDNS"),
        ("2620:119:35::35", "OpenDNS"),
        ("2620:119:53::53", "OpenDNS"),
        ("64.6.64.6", "Vercara"),
        ("64.6.65.6", "Vercara"),
        ("94.140.14.14", "AdGuard"),
        ("94.140.15.15", "AdGuard"),
        ("185.228.168.9", "CleanBrowsing"),
        ("185.228.169.9", "CleanBrowsing"),
        ("4.2.2.1", "Level 3"),
        ("4.2.2.2", "Level 3"),
        ("77.88.8.8", "Yandex"),
        ("77.88.8.1", "Yandex"),
        ("114.114.114.114", "114DNS"),
        ("223.5.5.5", "Alibaba"),
        ("223.6.6.6", "Alibaba"),
    ];
    let server = server.to_canonical();
    KNOWN.iter().find(|(address, _)| address.parse() == Ok(server)).map(|(_, whose)| *whose)
}

fn asks_in_public(whose: &str) -> Check {
    let why =
        "blocklists answer a public resolver with an error or not at all, and mail servers that take the error for a listing refuse mail";
    Check::asking("resolver.public", "whose resolver this is", why).warn(
        format!("the public resolver of {whose} is asked"),
        "Run a resolver of your own for mail (`apt install unbound`, then `nameserver 127.0.0.1`).",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_resolvers_are_known() {
        assert_eq!(public("8.8.8.8".parse().unwrap()), Some("Google"));
        assert_eq!(public("::ffff:1.1.1.1".parse().unwrap()), Some("Cloudflare"));
        assert_eq!(public("127.0.0.53".parse().unwrap()), None);
    }
}
