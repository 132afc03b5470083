//! The words for "nothing": the sentence, and what to do next.

use super::super::answer::{EarlyEnd, NeverSeen, Wider};
use super::super::clock::Clock;
use super::super::lex::written;
use super::super::words;
use super::SESSIONS;
use super::outside::{Dns, MailExchangers};
use crate::trace::{RecordKind, State};
use crate::wording::in_shell;

/// The one sentence for "nothing".
pub fn verdict(seen: &NeverSeen, query: &str, clock: &Clock) -> String {
    let tracing = &seen.tracing;
    let span = match (tracing.since, tracing.until) {
        (Some(since), Some(until)) => format!(" between {} and {}", clock.moment(since), clock.moment(until)),
        (Some(since), None) => format!(" since {}", clock.moment(since)),
        (None, Some(until)) => format!(" before {}", clock.moment(until)),
        (None, None) => String::new(),
    };
    if let Some(it) = &seen.of_id {
        let what = match it.kind.0 {
            RecordKind::Session => "a session without mail, or of its end".to_owned(),
            kind => format!("kind {kind}"),
        };
        return format!("{} is no message: it is the record of {what}, {}.", it.id, clock.moment(it.at));
    }
    let mut text = format!("Never seen: no message that passed Relayscope{span} matches {query}");
    match (tracing.oldest_at, tracing.since) {
        (None, _) => text.push_str("; the trace is empty"),
        (Some(oldest), None) => text.push_str(&format!("; the trace begins {}", clock.moment(oldest))),
        (Some(oldest), Some(since)) if since < oldest => text.push_str(&format!("; the trace begins only {}", clock.moment(oldest))),
        _ => {}
    }
    text.push('.');
    if let Some(near) = seen.nearest.first() {
        text.push_str(&format!(" Did you mean {} (last seen {})?", near.address, clock.moment(near.last_at)));
    }
    for near in &seen.domains {
        text.push_str(&format!(" {} looks like {}, misspelled.", near.asked, near.domain));
    }
    if let Some(report) = seen.reports.first() {
        text.push_str(&format!(
            " A report that passed {} speaks of it ({}), which proves nothing: it may be forged, or the message went another way.",
            clock.moment(report.at),
            words::reported(&report.report)
        ));
    }
    let cut_off = seen.without_header.iter().any(|it| it.state.0 == State::Unknown);
    let which = if cut_off { "refused before its text, or of whose end no record is kept," } else { "refused before its text" };
    match seen.without_header.len() {
        0 => {}
        1 => text.push_str(&format!(" A message that is {which} leaves no Message-ID or subject here: one such attempt is listed.")),
        many => {
            text.push_str(&format!(" A message that is {which} leaves no Message-ID or subject here: {many} such attempts are listed."))
        }
    }
    if let Some(last) = seen.sessions.first() {
        let why = early_end_words(last);
        let who = words::client_of(&last.client);
        let theirs = if last.of_sender.is_some() { " of the sender's hosts" } else { "" };
        match seen.sessions.len() {
            1 => text.push_str(&format!(" One session{theirs} ended before MAIL FROM: {who}, {}: {why}.", clock.moment(last.at))),
            many => text.push_str(&format!(
                " {}{many} sessions{theirs} ended before MAIL FROM, the last from {who}, {}: {why}.",
                if many == SESSIONS { "At least " } else { "" },
                clock.moment(last.at)
            )),
        }
    }
    if let Some(it) = seen.incidents.first() {
        text.push_str(&format!(" This may be why: {}.", incident(it, clock)));
    }
    for exchangers in seen.dns.iter().flat_map(|dns| &dns.exchangers).filter(|it| it.lead_here() == Some(false)) {
        text.push_str(&format!(" {}", elsewhere(exchangers)));
    }
    let lost: u64 = tracing.gaps.iter().map(|gap| gap.records_lost).sum();
    if lost > 0 {
        text.push_str(&format!(
            " The trace has holes: {} went unrecorded.",
            words::count(usize::try_from(lost).unwrap_or(usize::MAX), "record")
        ));
    }
    let away: Vec<String> = tracing
        .gaps
        .iter()
        .filter(|gap| gap.down)
        .take(2)
        .map(|gap| format!("from {} to {}", clock.moment(gap.at), clock.moment(gap.until)))
        .collect();
    if !away.is_empty() {
        text.push_str(&format!(" Relayscope was not running {}: what was sent then didn't pass it.", away.join(" and ")));
    }
    match (tracing.running, tracing.stopped_at) {
        (true, _) => {}
        (false, Some(at)) => text.push_str(&format!(" Relayscope was stopped {}; no proxy is adding to this trace now.", clock.moment(at))),
        (false, None) => text.push_str(" No proxy is adding to this trace now."),
    }
    text
}

/// Why a session came to nothing, as part of a sentence.
pub fn early_end_words(end: &EarlyEnd) -> String {
    let stage = words::stage(end.stage.0);
    let detail = end.detail.as_deref().map(|detail| detail.trim_end_matches('.'));
    match (&end.reply, detail) {
        (Some(reply), Some(detail)) => format!("{stage}: {detail} (the client got {})", words::code(reply)),
        (Some(reply), None) => format!("{stage}: {}", words::reply(reply)),
        (None, Some(detail)) => format!("{stage}: {detail}"),
        (None, None) => format!("{stage}: ended by the {}", end.by),
    }
}

/// An incident that may be why, as part of a sentence: `clients are turned away before MAIL FROM (critical: "Upstream main …" since 02:14)`.
pub fn incident(it: &Wider, clock: &Clock) -> String {
    let how = it.relation.as_deref().unwrap_or("messages are kept from coming");
    let began = clock.moment(it.opened_at);
    let when = match it.resolved_at {
        None => format!("since {began}"),
        Some(ended) => format!("from {began} to {}", clock.moment(ended)),
    };
    format!("{how} ({}: \"{}\" {when})", it.severity, it.summary.trim_end_matches('.'))
}

/// Where mail for a domain goes if not here.
fn elsewhere(exchangers: &MailExchangers) -> String {
    let hosts: Vec<String> = exchangers.hosts.iter().map(|it| it.host.clone()).collect();
    format!("Mail for {} goes to {} by DNS, none of which is this machine.", exchangers.domain, words::list(&hosts))
}

/// What DNS says, line by line, for people.
pub fn dns_lines(dns: &Dns) -> Vec<String> {
    let mut lines = Vec::new();
    for it in &dns.exchangers {
        let hosts: Vec<String> = it
            .hosts
            .iter()
            .map(|host| format!("{} (preference {}{})", host.host, host.preference, if host.here { ", this machine" } else { "" }))
            .collect();
        match hosts.is_empty() {
            true => lines.push(format!("Mail for {}: {}", it.domain, failures(&it.failures))),
            false => lines.push(format!("Mail for {} goes to {}{}", it.domain, hosts.join(", "), but(&it.failures))),
        }
        if it.hosts.len() > 1 {
            lines.push(TRAPS.to_owned());
        }
    }
    for it in &dns.senders {
        let mut by: Vec<&str> = Vec::new();
        for network in &it.networks {
            if !by.contains(&network.by.as_str()) {
                by.push(&network.by);
            }
        }
        let count = it.networks.len() + it.networks_cut;
        match count {
            0 => lines.push(format!("Hosts of {}: {}", it.domain, failures(&it.failures))),
            _ => lines.push(format!(
                "Hosts of {}: {}, by {}{}",
                it.domain,
                words::count(count, "address or network").replace("address or networks", "addresses and networks"),
                words::list(&by),
                but(&it.failures)
            )),
        }
    }
    lines
}

/// What an exchanger that doesn't take mail means.
const TRAPS: &str = "An exchanger of the best preference that doesn't answer, or one of the worst that always defers, is often a trap for spam: \
                     mail goes to the others, and its failing is normal.";

fn failures(failures: &[String]) -> String {
    if failures.is_empty() { "DNS names none".to_owned() } else { format!("DNS names none ({})", failures.join("; ")) }
}

fn but(failures: &[String]) -> String {
    if failures.is_empty() { String::new() } else { format!("; not all could be found out: {}", words::list(failures)) }
}

/// What to do next where nothing was found.
pub fn next(seen: &NeverSeen, clock: &Clock) -> Vec<String> {
    let mut steps = Vec::new();
    if let Some(it) = &seen.of_id {
        let how = if it.kind.0 == RecordKind::Incident { "anomalies" } else { "show" };
        return vec![format!("What is known of it: relayscope {how} {}", it.id)];
    }
    if let Some(near) = seen.nearest.first() {
        // The address is what somebody sent: neither the shell nor the grammar may take it for more.
        let question = in_shell(&written(&near.address, false));
        steps.push(format!("If {} was meant: relayscope where {question}", near.address));
    }
    if let Some(near) = seen.domains.first() {
        steps.push(format!("Look whether it went to {} instead: whoever wrote {} probably meant that.", near.domain, near.asked));
    }
    if let Some(report) = seen.reports.first() {
        steps.push(format!("What that report says, and who brought it: relayscope show {}", report.id));
    }
    if !seen.without_header.is_empty() {
        steps.push("Ask by recipient or sender: those are seen before the message text.".to_owned());
    }
    if let Some(last) = seen.sessions.first() {
        steps.push(format!("What became of the last of those sessions: relayscope show {}", last.id));
    }
    if let Some(it) = seen.incidents.first() {
        // The command last: what it needs to be run as this one was is put behind it.
        steps.push(format!("What may be behind it: {}. All of it: relayscope anomalies {}", it.advice.trim_end_matches('.'), it.id));
    }
    for exchangers in seen.dns.iter().flat_map(|dns| &dns.exchangers).filter(|it| it.lead_here() == Some(false)) {
        if let Some(host) = exchangers.hosts.first() {
            steps.push(format!(
                "If mail for {} should come in through Relayscope: its MX leads to {}. Behind address translation its address is not this \
                 machine's; otherwise correct the MX record, or ask the admin of {}.",
                exchangers.domain, host.host, host.host
            ));
        }
    }
    if let Some(gap) = seen.tracing.gaps.iter().find(|gap| gap.down) {
        steps.push(format!(
            "Between {} and {} Relayscope was not running: did the sending server keep its mail, or send it another way?",
            clock.moment(gap.at),
            clock.moment(gap.until)
        ));
    }
    if let Some(gap) = seen.tracing.gaps.iter().find(|gap| !gap.down) {
        steps.push(format!(
            "Between {} and {} mail passed without a record ({}): for that time, ask the smart host and the sending server.",
            clock.moment(gap.at),
            clock.moment(gap.until),
            gap.why.trim_end_matches('.')
        ));
    }
    if !seen.tracing.running {
        steps.push("Start the proxy (relayscope run), or name the right store with --store.".to_owned());
    }
    steps.push("Look in the sending server's log for the message: which host and port did it hand it to? If that isn't Relayscope, the message never came here.".to_owned());
    steps
}
