//! Upstreams' hosts as sessions and probes see them, look-ups, and certificates of either side.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use super::mail::summed;
use super::page::{Labels, Page, seconds};
use super::sources::Setup;
use crate::proxy::{Counters, HostState};
use crate::trace::{Circuit, UpstreamKind};

pub(super) fn add(page: &mut Page, counters: &Counters, setup: &Setup) {
    hosts(page, setup);
    let meters: Vec<_> = counters.meters.all().iter().flat_map(|it| it.upstreams()).collect();
    let upstream = |name: &str| -> Labels { vec![("upstream", name.to_owned())] };
    let unreached = meters.iter().map(|it| (upstream(&it.upstream), it.unreached.load(Relaxed)));
    page.counter("relayscope_upstream_unreached", "Attempts to reach a host of an upstream that came to nothing", summed(unreached));
    let probes = meters.iter().flat_map(|it| {
        ["failed", "succeeded"].into_iter().enumerate().map(|(at, outcome)| {
            let mut labels = upstream(&it.upstream);
            labels.push(("outcome", outcome.to_owned()));
            (labels, it.probes.at(at))
        })
    });
    page.counter("relayscope_upstream_probes", "Probes of hosts that no session had used lately", summed(probes));

    let mut expiry = Vec::new();
    for it in &setup.upstreams {
        // Of mail exchangers there are as many as there are domains.
        if !matches!(it.kind, UpstreamKind::SmartHost | UpstreamKind::Fixed) {
            continue;
        }
        let seen = meters.iter().filter(|meters| meters.upstream == it.name);
        let seen = seen.map(|meters| (meters.certificate_seen_at.load(Relaxed), meters.certificate_expires_at.load(Relaxed)));
        // Each worker and listener has met it in its own time: what was seen last holds.
        if let Some((_, expires_at)) = seen.filter(|&(_, expires_at)| expires_at > 0).max() {
            expiry.push((upstream(&it.name), seconds(expires_at)));
        }
    }
    page.gauge(
        "relayscope_upstream_certificate_expiry_timestamp_seconds",
        "When the certificate that an upstream showed last expires",
        expiry,
    );
    let own = setup.listeners.iter().filter_map(|it| {
        let expires_at = it.tls.as_ref()?.expires_at_unix_us()?;
        Some((vec![("listener", it.name.clone())], seconds(expires_at)))
    });
    page.gauge("relayscope_listener_certificate_expiry_timestamp_seconds", "When the certificate that a listener shows expires", own);

    let outcome = |word: &str| -> Labels { vec![("outcome", word.to_owned())] };
    let asked = setup.look_ups.outcomes().map(|(word, count)| (outcome(word), count));
    let cached = (outcome("cached"), setup.look_ups.cached.load(Relaxed));
    page.counter("relayscope_dns_lookups", "Look-ups in DNS, by what came of them; cached: none was needed", asked.chain([cached]));
}

fn hosts(page: &mut Page, setup: &Setup) {
    let now = Instant::now();
    let mut states: Vec<(Labels, HostState)> = Vec::new();
    for it in &setup.upstreams {
        let of = |host: &String| -> Labels { vec![("upstream", it.name.clone()), ("host", host.clone())] };
        states.extend(it.hosts.iter().map(of).zip(it.health.states(now)));
    }
    // A host may be listed twice.
    states.sort_by(|(a, _), (b, _)| a.cmp(b));
    states.dedup_by(|(a, _), (b, _)| a == b);
    let up = states.iter().map(|(labels, it)| (labels.clone(), f64::from(u8::from(is_up(it)))));
    page.gauge("relayscope_upstream_host_up", "1 unless the host failed lately, and is tried last for that", up);
    let failures = states.iter().map(|(labels, it)| (labels.clone(), f64::from(it.failures)));
    page.gauge("relayscope_upstream_host_failures", "How often the host failed in a row", failures);
    let known = |pick: fn(&HostState) -> u64| {
        states.iter().filter(move |(_, it)| pick(it) > 0).map(move |(labels, it)| (labels.clone(), seconds(pick(it)))).collect::<Vec<_>>()
    };
    page.gauge("relayscope_upstream_host_connect_seconds", "How long connecting to the host takes, smoothed", known(|it| it.connect_us));
    let help = "How long the host takes from end-of-data to its reply, smoothed";
    page.gauge("relayscope_upstream_host_end_of_data_seconds", help, known(|it| it.end_of_data_us));
}

/// A host whose time behind the others is over is tried in its turn, whether or not there is mail to prove it by.
fn is_up(host: &HostState) -> bool {
    host.circuit != Circuit::Open
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_down_only_while_it_is_put_last() {
        let is_up = |circuit| is_up(&HostState { circuit, failures: 1, connect_us: 0, end_of_data_us: 0 });
        assert!(is_up(Circuit::Closed) && is_up(Circuit::HalfOpen));
        assert!(!is_up(Circuit::Open));
    }
}
