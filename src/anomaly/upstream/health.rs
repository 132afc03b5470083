//! Says which upstreams can't be had: down, coming and going, or behind a port that somebody blocks.

use hashbrown::HashMap;

use super::attempts::{self, Why};
use super::host::{Failing, Host, Known};
use super::options::Options;
use super::telling;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::Findings;
use crate::anomaly::kept;
use crate::anomaly::pair::{Pair, PairRef};
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{DAY, HOUR, MINUTE};
use crate::trace::{About, AboutKind, Anomaly, UpstreamKind, WallMicros};
use crate::wording::clock;

/// Hosts that are remembered: those untouched longest make room.
const MOST_HOSTS: usize = 5_000;
/// Nobody tried for so long: whether it is still down, nobody knows. µs.
const STALE: u64 = 6 * HOUR;
/// Hosts of an upstream that were not used for so long are none of it any more. µs.
const LEFT: u64 = DAY;
/// While it comes and goes, it counts as up only after so long without a failure. µs.
const STEADY: u64 = 10 * MINUTE;
/// An exchanger that answered so often is expected to.
const TRUSTED: u64 = 20;
/// So many exchangers that answered before, and none does: it isn't they.
const MANY: usize = 3;
const PORT_25: u16 = 25;

/// What is known of the hosts, by upstream and name.
#[derive(Debug)]
pub struct Health {
    options: Options,
    hosts: HashMap<Pair, Host>,
    /// By upstream: when any of its hosts last answered.
    reached: HashMap<String, WallMicros>,
    /// Came back since the last judgement, with when and after how long.
    back: Vec<(Pair, WallMicros, Failing)>,
    /// Something was tried since then, or fails: there is something to judge.
    any_failing: bool,
    forgotten: u64,
}

impl Health {
    pub fn new(options: &Options) -> Self {
        Self {
            options: options.clone(),
            hosts: HashMap::new(),
            reached: HashMap::new(),
            back: Vec::new(),
            any_failing: false,
            forgotten: 0,
        }
    }

    fn change(&mut self, key: PairRef<'_>, known: Known, now: WallMicros, change: impl FnOnce(&mut Host)) {
        if let Some(host) = self.hosts.get_mut(&key) {
            return change(host);
        }
        if self.hosts.len() >= MOST_HOSTS {
            self.forgotten += room::make(&mut self.hosts, |host| host.touched);
        }
        let mut host = Host::new(Known { reached: 0, successes: 0, ..known });
        host.touched = now;
        change(&mut host);
        self.hosts.insert(Pair::from(&key), host);
    }

    /// Upstreams whose mail goes to hosts that the admin has named, each with its hosts that were used lately.
    fn judge_named(&mut self, now: WallMicros, findings: &mut Findings) {
        let mut names: Vec<&str> =
            self.hosts.iter().filter(|(_, it)| is_named(it.kind) && it.failing.is_some()).map(|(key, _)| key.0.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        for name in names {
            let mut group: Vec<(&Pair, &mut Host)> =
                self.hosts.iter_mut().filter(|(key, it)| key.0 == name && now < it.touched.saturating_add(LEFT)).collect();
            group.sort_by(|one, other| one.0.cmp(other.0));
            let apart = self.options.down_after_us;
            let down = |host: &Host| host.failing.as_ref().is_some_and(|it| it.is_down(apart) && it.is_recent(now, STALE));
            // What the upstream refuses in the greeting's place is told elsewhere: as closing, or as a matter of reputation.
            let ours = |host: &Host| !host.failing.as_ref().is_some_and(|it| it.mostly(&[Why::Closing, Why::Unwelcome]));
            let all = group.iter().all(|(_, host)| down(host));
            let several = group.len() > 1;
            let reached = self.reached.get(&name).copied();
            for (key, host) in group.iter_mut().filter(|(_, host)| down(host) && ours(host)) {
                host.said_down = true;
                let since = host.failing.as_ref().map_or(0, |it| it.since);
                // While the others are only about to be found down as well, mail doesn't go through them.
                if !all && reached.is_some_and(|at| at > since) {
                    findings.raise(telling::host_down(key, host, now, self.options.down_after_us));
                }
            }
            if all && group.iter().any(|(_, host)| ours(host)) {
                if several {
                    for (key, _) in &group {
                        findings.clear(Anomaly::UpstreamDown, about(key, true), "the whole upstream is down");
                    }
                }
                findings.raise(telling::upstream_down(&name, &mut group, reached, now, &self.options));
            }
        }
    }

    /// Exchangers of the internet: one that was reliable, or all of them at once.
    fn judge_exchangers(&mut self, now: WallMicros, findings: &mut Findings) {
        let after = self.options.exchanger_down_after_us;
        let mut silent: HashMap<&str, Vec<(&Pair, &Host)>> = HashMap::new();
        let failing = self.hosts.iter().filter(|(_, it)| it.kind == UpstreamKind::Mx && it.failing.is_some());
        for (key, host) in failing.filter(|(_, host)| host.failing.as_ref().is_some_and(|it| it.is_recent(now, HOUR))) {
            silent.entry(key.0.as_str()).or_default().push((key, host));
        }
        let mut whole = Vec::new();
        for (upstream, mut hosts) in silent {
            let reached = self.reached.get(upstream).copied().unwrap_or_default();
            // Those that failed after anybody was last reached; a host that never answered proves nothing once others have.
            hosts.retain(|(_, host)| {
                let silent = |why: Why| !why.reached() || why == Why::Refused;
                host.failing.as_ref().is_some_and(|it| it.evidence.last > reached && silent(it.last_why))
                    && (host.successes > 0 || reached == 0)
            });
            // One that refuses can be reached, unless somebody refuses for all of them.
            let refuses = |host: &Host| host.failing.as_ref().is_some_and(|it| it.last_why == Why::Refused);
            if !hosts.iter().all(|(_, host)| refuses(host)) {
                hosts.retain(|(_, host)| !refuses(host));
            }
            hosts.sort_by(|one, other| one.0.cmp(other.0));
            let span = |host: &Host| host.failing.as_ref().map_or((u64::MAX, 0), |it| (it.since.max(reached), it.evidence.last));
            let (first, last) = hosts.iter().map(|(_, host)| span(host)).fold((u64::MAX, 0), |all, it| (all.0.min(it.0), all.1.max(it.1)));
            if hosts.len() >= MANY && last >= first.saturating_add(self.options.down_after_us) {
                findings.raise(telling::nobody_reached(upstream, &hosts, reached, now, MANY));
                whole.push(upstream.to_owned());
            }
        }
        for (key, host) in self.hosts.iter_mut().filter(|(_, it)| it.kind == UpstreamKind::Mx && it.successes >= TRUSTED) {
            let down = host.failing.as_ref().is_some_and(|it| it.is_down(after) && it.count >= 5 && it.is_recent(now, 2 * HOUR));
            if down && !whole.contains(&key.0) {
                host.said_down = true;
                findings.raise(telling::exchanger_down(key, host, now, after));
            }
        }
    }

    fn judge_flapping(&mut self, now: WallMicros, findings: &mut Findings) {
        for (key, host) in self.hosts.iter_mut().filter(|(_, it)| is_named(it.kind) && it.said_down) {
            let returns = host.returns.count(now);
            if returns >= self.options.flaps {
                findings.raise(telling::flapping(key, host, returns, now, self.options.flaps));
            }
        }
    }

    fn clear(&mut self, now: WallMicros, findings: &mut Findings) {
        for (key, at, failing) in std::mem::take(&mut self.back) {
            let (at, Some(host)) = (at.min(now), self.hosts.get_mut(&key)) else { continue };
            let flapping = host.returns.count(now) >= self.options.flaps;
            if flapping && host.failing.is_none() && now < at.saturating_add(STEADY) {
                self.back.push((key, at, failing));
                continue;
            }
            if host.failing.is_some() && flapping {
                continue;
            }
            host.said_down = flapping;
            let why = format!("{} answered at {}, after {} without a success", key.1, clock(at, now), telling::tries(failing.count));
            for about in [about(&key, true), about(&key, false)] {
                findings.clear(Anomaly::UpstreamDown, about.clone(), why.clone());
                findings.clear(Anomaly::PortBlocked, about.clone(), why.clone());
                findings.clear(Anomaly::DnsFailing, about, why.clone());
            }
            findings.clear(Anomaly::DnsFailing, telling::about_name(&key), why);
        }
    }
}

impl Detector for Health {
    fn name(&self) -> &'static str {
        "upstream_health"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let (Some(name), Some(upstream)) = (seen.upstream_name(), seen.upstream) else { return };
        let known = Known { kind: upstream.kind, port: upstream.port.unwrap_or_default(), reached: 0, successes: 0 };
        let mut failed = false;
        attempts::failures(seen, |it| {
            failed = true;
            self.change(PairRef(name, it.host), Known { port: it.port, ..known }, seen.at, |host| host.failed(seen.at, seen.id, &it));
        });
        self.any_failing |= failed;
        if attempts::reached(seen)
            && let Some(host) = upstream.host.as_deref()
        {
            let mut back = None;
            self.change(PairRef(name, host), known, seen.at, |host| {
                host.kind = known.kind;
                let was_down = host.said_down;
                back = host.answered(seen.at).filter(|_| was_down);
            });
            if let Some(reached) = self.reached.get_mut(name) {
                *reached = (*reached).max(seen.at);
            } else if self.reached.len() < MOST_HOSTS {
                self.reached.insert(name.to_owned(), seen.at);
            }
            if let Some(failing) = back {
                self.back.push((Pair(name.to_owned(), host.to_owned()), seen.at, failing));
            }
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        if !self.back.is_empty() {
            self.clear(now, findings);
        }
        if !self.any_failing {
            return;
        }
        // What was reached by a clock that was ahead is no proof that it was later than what fails now.
        self.hosts.values_mut().for_each(|host| host.is_not_after(now));
        self.reached.values_mut().for_each(|at| *at = (*at).min(now));
        self.judge_named(now, findings);
        self.judge_exchangers(now, findings);
        self.judge_flapping(now, findings);
        self.any_failing = self.hosts.values().any(|it| it.failing.is_some() || it.said_down);
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(2, &(&self.hosts, &self.reached, &self.back, self.any_failing))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((hosts, reached, back, any_failing)) = kept::read(2, kept) else { return false };
        (self.hosts, self.reached, self.back, self.any_failing) = (hosts, reached, back, any_failing);
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// Whether the admin has named the hosts; otherwise DNS or the client did.
fn is_named(kind: UpstreamKind) -> bool {
    matches!(kind, UpstreamKind::SmartHost | UpstreamKind::Fixed)
}

pub(super) fn about(key: &Pair, host: bool) -> Vec<About> {
    let mut about = vec![About { kind: AboutKind::Upstream, value: key.0.clone() }];
    if host {
        about.push(About { kind: AboutKind::Host, value: key.1.clone() });
    }
    about
}

pub(super) const BLOCKED_PORT: u16 = PORT_25;
