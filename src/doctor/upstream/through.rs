//! The same visit through a listener of the proxy, and what differs from the direct one.

use std::net::SocketAddr;

use super::super::dialogue::in_words;
use super::super::{Check, Section};
use super::Bench;
use super::visit::{Seen, Visit};
use crate::relay::options::{ClientTls, ListenerOptions, UpstreamTls};
use crate::smtp::exchange::why_hidden;
use crate::trace::UpstreamKind;

/// One listener of the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Through {
    pub listener: String,
    pub address: SocketAddr,
    pub tls: ClientTls,
    /// It wants a PROXY header from this machine.
    pub proxy_header: bool,
    /// It answers EHLO by itself, before there is an upstream.
    pub answers_itself: bool,
}

impl Through {
    /// Where this machine reaches a listener; `None` where it can't: no address, or only diverted connections are taken.
    pub fn of(listener: &ListenerOptions) -> Option<Self> {
        use crate::relay::options::{Ehlo, Intercept};
        if listener.intercept != Intercept::Off {
            return None;
        }
        let listen = listener.listen.first().copied().filter(|it| it.port() != 0)?;
        let ip = match listen.ip() {
            ip if !ip.is_unspecified() => ip,
            ip if ip.is_ipv6() => std::net::Ipv6Addr::LOCALHOST.into(),
            _ => std::net::Ipv4Addr::LOCALHOST.into(),
        };
        Some(Self {
            listener: listener.name.clone(),
            address: SocketAddr::new(ip, listen.port()),
            tls: listener.tls,
            proxy_header: listener.accept_proxy.iter().any(|network| network.contains(&ip)),
            answers_itself: listener.ehlo == Ehlo::Static,
        })
    }
}

impl Through {
    /// The TLS that its clients use, as ours.
    pub fn upstream_tls(&self) -> UpstreamTls {
        match self.tls {
            ClientTls::Implicit => UpstreamTls::Implicit,
            ClientTls::Required => UpstreamTls::Encrypt,
            ClientTls::Off | ClientTls::Passthrough => UpstreamTls::Off,
            ClientTls::Offered | ClientTls::Mirror => UpstreamTls::Opportunistic,
        }
    }
}

pub(super) async fn visit(bench: &Bench<'_>, through: &Through, direct: Option<&Seen>) -> Section {
    let mut section = Section::new(format!("the same through the proxy, listener {} at {}", through.listener, through.address));
    let host = through.address.ip().to_string();
    let visit = Visit {
        name: "through",
        place: format!("listener {} ({})", through.listener, through.address),
        host: &host,
        address: through.address,
        host_name: &bench.options.host_name,
        lmtp: false,
        mark: None,
        proxy_header: through.proxy_header,
        tls: through.upstream_tls(),
        client_tls: &bench.client_tls,
        certificate: false,
        auth: None,
        allow_plaintext_auth: false,
        probe: &bench.asked.probe,
        diagnosing: &bench.options.diagnosing,
        hosts_are_listed: matches!(bench.upstream.kind, UpstreamKind::SmartHost | UpstreamKind::Fixed),
        patience: bench.options.patience,
    };
    let seen = visit.make(&mut section).await;
    explain_a_closed_door(&mut section, through);
    if let (Some(direct), Some(_)) = (direct, &seen.offer) {
        section.push(compare(bench, through, direct, &seen));
        section.checks.extend(compare_rcpt(direct, &seen));
    }
    section
}

/// Nobody listens, or the door is shut to this machine: that says nothing of the upstream, and has a fix of its own.
fn explain_a_closed_door(section: &mut Section, through: &Through) {
    let Some(check) = section.checks.iter_mut().find(|check| check.name == "through.banner") else { return };
    // What it says itself is of the smart host.
    if check.answer.contains("refused the connection") && !check.answer.starts_with("it answered") {
        check.fix = Some(format!(
            "Relayscope doesn't listen there: is it running (`systemctl status relayscope`), with this configuration? `ss -ltn sport = :{}` \
             shows who listens.",
            through.address.port()
        ));
    } else if check.answer.contains("554") && check.answer.contains("not allowed") {
        check.fix = Some(format!(
            "This machine is not in `allow` of listener {}, and need not be: mail servers that are will be served. To compare, run the doctor \
             on one of them, or add this address.",
            through.listener
        ));
        check.verdict = super::super::Verdict::Skipped;
    }
}

/// What EHLO says on either way.
fn compare(bench: &Bench<'_>, through: &Through, direct: &Seen, seen: &Seen) -> Check {
    let why = "what the proxy doesn't pass on, clients can't use; what it adds is its own";
    let check = Check::asking("through.difference", "EHLO directly, and through the proxy", why);
    let (there, here) = (keywords(direct), keywords(seen));
    let missing: Vec<String> = there
        .iter()
        .filter(|line| !here.iter().any(|it| it == *line))
        .map(|line| format!("{line} ({})", reason(bench, through, line)))
        .collect();
    let added: Vec<&str> = here.iter().filter(|line| !there.contains(line)).map(String::as_str).collect();
    let time = match (direct.ready_us, seen.ready_us) {
        (Some(direct), Some(through)) => {
            format!("ready for mail after {} ms directly, {} ms through the proxy", direct / 1_000, through / 1_000)
        }
        _ => String::new(),
    };
    let words = match (missing.is_empty(), added.is_empty()) {
        (true, true) => "the same".to_owned(),
        (false, true) => format!("only directly: {}", missing.join(", ")),
        (true, false) => format!("only through the proxy: {}", added.join(", ")),
        (false, false) => format!("only directly: {}; only through the proxy: {}", missing.join(", "), added.join(", ")),
    };
    check.ok(format!("{words}; {time}").trim_end_matches("; ").to_owned())
}

/// Why a keyword line of the upstream isn't seen through the proxy.
fn reason(bench: &Bench<'_>, through: &Through, line: &str) -> String {
    let keyword = line.split([' ', '=']).next().unwrap_or_default().to_ascii_uppercase();
    if bench.upstream.hide.contains(&keyword) {
        return "hidden by `hide`".to_owned();
    }
    if let Some(why) = why_hidden(&keyword) {
        return why.to_owned();
    }
    match keyword.as_str() {
        "AUTH" if bench.upstream.auth.is_some() => "the proxy logs in by itself".to_owned(),
        "AUTH" => "logins are carried over TLS on both sides only; and some mechanisms not at all".to_owned(),
        "STARTTLS" => "each side has its own TLS: see `tls` of the listener".to_owned(),
        "SIZE" => "the lower of both limits counts".to_owned(),
        "XCLIENT" | "XFORWARD" => "for the proxy itself".to_owned(),
        _ if through.answers_itself => "the listener has ehlo = \"static\", which offers what every upstream has".to_owned(),
        _ => "the proxy doesn't carry it, or doesn't know it: `pass` lets unknown ones through".to_owned(),
    }
}

/// The keyword lines, sorted, in one manner of writing.
fn keywords(seen: &Seen) -> Vec<String> {
    let lines = seen.offer.iter().flat_map(|offer| &offer.lines);
    let mut lines: Vec<String> = lines.map(|line| line.trim().to_ascii_uppercase()).collect();
    lines.sort();
    lines.dedup();
    lines
}

/// A recipient that fares differently.
fn compare_rcpt(direct: &Seen, seen: &Seen) -> Option<Check> {
    let (there, here) = (direct.rcpt.as_ref()?, seen.rcpt.as_ref()?);
    let why = "if one way takes the recipient and the other doesn't, the fault lies between them";
    let check = Check::asking("through.rcpt_difference", "the same recipient directly, and through the proxy", why);
    if there.code / 100 == here.code / 100 {
        return Some(check.ok(format!("the same: {}", here.code)));
    }
    let answer = format!("directly {}; through the proxy {}", in_words(there), in_words(here));
    let fix = match here.lines.iter().any(|line| line.contains("relayscope")) {
        true => "The proxy itself said it, as the words show: its rules or limits, not the upstream, decide here.",
        false => {
            "The upstream treats the two differently: by the login (has the direct way one?), by the EHLO name, or by the client it is told of \
             (`tell_client`)."
        }
    };
    Some(check.warn(answer, fix))
}
