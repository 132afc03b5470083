//! Findings about hosts that can't be had, in words.

use super::attempts::Why;
use super::health::{BLOCKED_PORT, about};
use super::host::{Failing, Host};
use super::options::Options;
use crate::anomaly::finding::Finding;
use crate::anomaly::pair::Pair;
use crate::diagnose::Rules;
use crate::trace::{About, AboutKind, Act, Anomaly, Cause, RecordId, Severity, UpstreamKind, WallMicros};
use crate::wording::{clock, several, span};

const BLOCKED_ADVICE: &str = "Somebody closes port 25 on the way: test `nc -vz HOST 25` from here, ask the provider or the firewall's admin to open it, \
     or send through a smart host on port 587 or 465.";

pub(super) fn tries(count: u64) -> String {
    several(count, "try", "tries")
}

/// The name that can't be looked up, and whose it is.
pub(super) fn about_name(key: &Pair) -> Vec<About> {
    vec![About { kind: AboutKind::Upstream, value: key.0.clone() }, About { kind: AboutKind::Domain, value: key.1.clone() }]
}

/// Some hosts of the upstream still answer.
pub(super) fn host_down(key: &Pair, host: &mut Host, now: WallMicros, apart_us: u64) -> Finding {
    let (reached, kind) = (host.reached, host.kind);
    let Some(failing) = &mut host.failing else { return Finding::new(Anomaly::UpstreamDown, Severity::Notice, "", "") };
    let summary = format!(
        "Host {} of upstream {} doesn't answer since {}: {}; mail goes through the other hosts",
        key.1,
        key.0,
        clock(failing.since, now),
        failing.last_why.words()
    );
    let finding = Finding::new(Anomaly::UpstreamDown, Severity::Warning, summary, arithmetic(failing, reached, now, apart_us));
    explained(Finding { about: about(key, true), ..finding }, failing, kind)
}

/// No host of the upstream can be had.
pub(super) fn upstream_down(
    name: &str,
    group: &mut [(&Pair, &mut Host)],
    reached: Option<WallMicros>,
    now: WallMicros,
    options: &Options,
) -> Finding {
    let (mut since, mut last, mut fresh, mut samples) = (u64::MAX, 0, 0, Vec::<RecordId>::new());
    let (mut told, mut blocked, mut on_25, mut dns, mut addresses) = (Vec::new(), true, true, true, 0);
    let mut kind = UpstreamKind::SmartHost;
    let mut worst: Option<(Pair, Failing)> = None;
    for (key, host) in group.iter_mut() {
        let (port, reached) = (host.port, host.reached);
        kind = host.kind;
        let Some(failing) = &mut host.failing else { continue };
        since = since.min(failing.since);
        last = last.max(failing.evidence.last);
        fresh += failing.evidence.take_fresh();
        samples.extend(failing.evidence.samples());
        on_25 &= port == BLOCKED_PORT && matches!(failing.last_why, Why::TimedOut | Why::Unreachable | Why::Refused);
        blocked &= port == BLOCKED_PORT && failing.only(Why::TimedOut);
        dns &= failing.only(Why::Dns);
        addresses += failing.addresses().max(1);
        told.push(format!("{}:{port}: {}", key.1, arithmetic(failing, reached, now, options.down_after_us)));
        worst.get_or_insert_with(|| ((*key).clone(), failing.clone()));
    }
    let arithmetic = told.join("; ");
    let Some((key, mut failing)) = worst else { return Finding::new(Anomaly::UpstreamDown, Severity::Notice, "", "") };
    let what = if kind == UpstreamKind::Fixed { "The mail server behind" } else { "Upstream" };
    let gone_well = reached.is_some_and(|at| at > 0);
    let gone = reached.filter(|&at| at > 0).map_or("never a success before".to_owned(), |at| format!("last success {}", clock(at, now)));
    let begun = clock(since, now);
    let finding = if blocked && addresses > 1 {
        let summary = format!("Port 25 seems to be blocked: no host of upstream {name} answers on it since {begun}, all time out; {gone}");
        let finding = Finding::new(Anomaly::PortBlocked, Severity::Critical, summary, arithmetic).caused(Cause::PortBlocked);
        Finding { about: about(&key, false), ..finding.advising(Act::LocalAdmin, BLOCKED_ADVICE) }
    } else if dns {
        let summary = format!("The name {} of upstream {name} can't be looked up since {begun}, so no mail gets there; {gone}", key.1);
        let finding = Finding::new(Anomaly::DnsFailing, Severity::Critical, summary, arithmetic);
        let finding = explained(finding, &mut failing, kind);
        Finding { about: about_name(&key), act: Act::Network, ..finding }
    } else {
        let summary = match failing.last_why {
            Why::Tls | Why::Greeting => format!("{what} {name} can't be used since {begun}: {}; {gone}", failing.words),
            why => format!("{what} {name} can't be reached since {begun}: {}; {gone}", why.words()),
        };
        let finding = Finding::new(Anomaly::UpstreamDown, Severity::Critical, summary, arithmetic);
        let mut finding = explained(Finding { about: about(&key, false), ..finding }, &mut failing, kind);
        if kind == UpstreamKind::Fixed {
            finding.act = Act::LocalAdmin;
            finding.advice = format!("See on that server whether its mail service runs and listens. {}", finding.advice);
        } else {
            // It took mail before and can be reached: its mail service has stopped, or keeps this machine out.
            if kind == UpstreamKind::SmartHost && gone_well && matches!(failing.last_why, Why::Refused | Why::Silent) {
                finding.act = Act::SmartHost;
            }
            if on_25 {
                finding.advice.push_str(&format!(
                    ". If no other host answers on port 25 either, it is blocked on the way: `relayscope doctor upstream {name}` tries 587 and 465 as well."
                ));
            }
        }
        finding
    };
    samples.sort_unstable();
    samples.dedup();
    samples.truncate(crate::anomaly::window::SAMPLES);
    finding.evidence(since, last, fresh, samples)
}

/// No exchanger of any domain answers.
pub(super) fn nobody_reached(upstream: &str, hosts: &[(&Pair, &Host)], reached: WallMicros, now: WallMicros, many: usize) -> Finding {
    let failing: Vec<&Failing> = hosts.iter().filter_map(|(_, host)| host.failing.as_ref()).collect();
    let all = |why| failing.iter().all(|it| it.last_why == why);
    let blocked = hosts.iter().all(|(_, host)| host.port == BLOCKED_PORT) && (all(Why::TimedOut) || all(Why::Refused));
    let since = failing.iter().map(|it| it.since.max(reached)).min().unwrap_or(now);
    let last = failing.iter().map(|it| it.evidence.last).max().unwrap_or(now);
    let names: Vec<&str> = hosts.iter().take(5).map(|(key, _)| key.1.as_str()).collect();
    let gone = if reached == 0 { "none ever did".to_owned() } else { format!("the last success was at {}", clock(reached, now)) };
    let count = hosts.len();
    let arithmetic =
        format!("{count} of {count} exchangers tried since then can't be reached, threshold {many}: {}; {gone}", names.join(", "));
    let samples =
        failing.iter().flat_map(|it| it.evidence.samples().into_iter().next_back()).take(crate::anomaly::window::SAMPLES).collect();
    let (anomaly, summary, cause, act, advice) = if blocked {
        let how = if all(Why::Refused) { "all refuse" } else { "all time out" };
        let summary = format!("Port 25 seems to be blocked: since {} no mail exchanger answers on it, {how}", clock(since, now));
        (Anomaly::PortBlocked, summary, Cause::PortBlocked, Act::LocalAdmin, BLOCKED_ADVICE)
    } else {
        let why = failing.first().map_or("", |it| it.last_why.words());
        let summary = format!("No mail exchanger of any domain can be reached since {}: {why}", clock(since, now));
        let advice = "It isn't they: look at this machine's own network, gateway, firewall and resolver.";
        (Anomaly::UpstreamDown, summary, Cause::ConnectionFailed, Act::Network, advice)
    };
    Finding::new(anomaly, Severity::Critical, summary, arithmetic)
        .about(AboutKind::Upstream, upstream)
        .caused(cause)
        .advising(act, advice)
        .evidence(since, last, failing.iter().filter(|it| it.evidence.last >= now.saturating_sub(10_000_000)).count() as u64, samples)
}

/// One exchanger that was reliable doesn't answer any more: somebody else's matter.
pub(super) fn exchanger_down(key: &Pair, host: &mut Host, now: WallMicros, after_us: u64) -> Finding {
    let (reached, successes, kind) = (host.reached, host.successes, host.kind);
    let Some(failing) = &mut host.failing else { return Finding::new(Anomaly::UpstreamDown, Severity::Notice, "", "") };
    let summary = format!("Mail exchanger {} can't be reached since {}: {}", key.1, clock(failing.since, now), failing.last_why.words());
    let finding = Finding::new(Anomaly::UpstreamDown, Severity::Notice, summary, arithmetic(failing, reached, now, after_us));
    let mut finding = explained(Finding { about: about(key, true), ..finding }, failing, kind);
    finding.baseline = Some(format!("it had answered {} before", several(successes, "time", "times")));
    finding.act = Act::RecipientSide;
    finding
}

pub(super) fn flapping(key: &Pair, host: &mut Host, returns: u64, now: WallMicros, threshold: u64) -> Finding {
    let summary = format!(
        "Host {} of upstream {} comes and goes: {} within an hour it was down and came back",
        key.1,
        key.0,
        several(returns, "time", "times")
    );
    let arithmetic =
        format!("{returns} returns after an outage within 60 min, threshold {threshold}; last success {}", clock(host.reached, now));
    let finding = Finding::new(Anomaly::UpstreamFlapping, Severity::Warning, summary, arithmetic)
        .caused(Cause::ConnectionFailed)
        .advising(
            Act::SmartHost,
            "Look for restarts, overload or a health check that takes it out of a pool; on the way, for a link or a route that is lost now and then.",
        );
    let (since, samples) = host.failing.as_ref().map_or((host.reached, Vec::new()), |it| (it.since, it.evidence.samples()));
    Finding {
        about: about(key, true),
        ..finding.evidence(since, host.touched, u64::from(host.touched > now.saturating_sub(10_000_000)), samples)
    }
}

fn arithmetic(failing: &Failing, reached: WallMicros, now: WallMicros, apart_us: u64) -> String {
    let mut whys: Vec<(u32, Why)> =
        WHYS.iter().filter_map(|&why| Some((*failing.whys.get(why as usize)?, why))).filter(|it| it.0 > 0).collect();
    whys.sort_unstable_by(|one, other| other.cmp(one));
    let parts: Vec<String> = whys.iter().map(|(count, why)| format!("{count} × {}", why.words())).collect();
    let last = if reached == 0 { "never a success".to_owned() } else { format!("last success {}", clock(reached, now)) };
    format!(
        "{0} of {0} tries failed since {1} ({2}), {last}; threshold 2 that are {3} apart",
        failing.count,
        clock(failing.since, now),
        parts.join(", "),
        span(apart_us)
    )
}

const WHYS: &[Why] = &[
    Why::Refused,
    Why::TimedOut,
    Why::NoRoute,
    Why::Unreachable,
    Why::Reset,
    Why::Dns,
    Why::NoSuchName,
    Why::Closing,
    Why::Greeting,
    Why::Unwelcome,
    Why::Tls,
    Why::Silent,
    Why::Other,
];

/// Cause, advice and evidence out of the failures.
fn explained(finding: Finding, failing: &mut Failing, kind: UpstreamKind) -> Finding {
    let facts =
        crate::diagnose::Facts { stage: Some(crate::trace::Stage::Connect), text: &failing.words, ..crate::diagnose::Facts::default() };
    let (verdict, mut cause) = (Rules::builtin().classify(&facts), failing.last_why.cause());
    let verdict = if kind == UpstreamKind::Mx { verdict } else { verdict.of_configured_host() };
    if cause == Cause::DomainNotFound && kind != UpstreamKind::Mx {
        cause = Cause::DnsFailure;
    }
    let fits = verdict.cause == cause && !verdict.advice.is_empty();
    let advice = if fits { verdict.advice } else { Rules::builtin().advice(cause, None) };
    let advice = format!("{advice} The last words: {}", failing.words);
    finding.caused(cause).advising(if fits { verdict.act } else { cause.act() }, advice).evidence(
        failing.since,
        failing.evidence.last,
        failing.evidence.take_fresh(),
        failing.evidence.samples(),
    )
}
