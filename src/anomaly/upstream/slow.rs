//! Phases that take far longer than they usually do with that host.

use std::collections::VecDeque;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::attempts::first_told;
use super::options::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::pair::{Pair, PairRef};
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{DAY, HOUR, MINUTE, SAMPLES};
use crate::trace::{AboutKind, Act, Anomaly, Cause, RecordId, Severity, WallMicros};
use crate::wording::{clock, number, took};

const MOST_HOSTS: usize = 2_000;
/// Samples of the last ten minutes that are compared, at most.
const MOST_SAMPLES: usize = 256;
const LATELY: u64 = 10 * MINUTE;
/// Steps of a factor of 2^(1/4), from 64 µs to 20 min.
const BUCKETS: usize = 97;
const FIRST_US: f64 = 64.0;
/// A sample's weight; those of an incident weigh one, so that it takes days until slowness is usual.
const WEIGHT: u32 = 8;
/// The usual is known when its samples span so long. µs.
const KNOWN_SPAN: u64 = HOUR;
/// Every so often what is usual loses half its weight. µs.
const HALF: u64 = 3 * DAY;
const PHASES: [&str; 5] = ["connect", "banner", "tls", "auth", "end_of_data"];

/// By upstream and host.
#[derive(Debug)]
pub struct Slow {
    options: Options,
    hosts: HashMap<Pair, Host>,
    forgotten: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Host {
    phases: [Phase; PHASES.len()],
    last: WallMicros,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Phase {
    usual: Usual,
    lately: VecDeque<(WallMicros, u64, RecordId)>,
    slow: bool,
    /// Samples since the judgement before.
    fresh: u64,
}

/// How long it took, weighted, in steps of a logarithm.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Usual {
    buckets: Vec<u32>,
    weight: u64,
    began: WallMicros,
    halved: WallMicros,
}

impl Slow {
    pub fn new(options: &Options) -> Self {
        Self { options: options.clone(), hosts: HashMap::new(), forgotten: 0 }
    }

    fn floor(options: &Options, phase: usize) -> u64 {
        let floors =
            [options.slow_connect_us, options.slow_banner_us, options.slow_tls_us, options.slow_auth_us, options.slow_end_of_data_us];
        floors.get(phase).copied().unwrap_or(u64::MAX)
    }
}

impl Detector for Slow {
    fn name(&self) -> &'static str {
        "upstream_slow"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let (Some(name), Some(host)) = (seen.upstream_name(), seen.host()) else { return };
        let phases = match (seen.transaction, seen.session) {
            (Some(it), _) => it.phases,
            (_, Some(it)) if first_told(seen).is_some() => it.phases,
            _ => return,
        };
        let took = [phases.connect_us, phases.banner_us, phases.tls_us, phases.auth_us, phases.end_of_data_us];
        if took.iter().all(Option::is_none) {
            return;
        }
        let key = PairRef(name, host);
        if !self.hosts.contains_key(&key) {
            if self.hosts.len() >= MOST_HOSTS {
                self.forgotten += room::make(&mut self.hosts, |host| host.last);
            }
            self.hosts.insert(Pair::from(&key), Host::default());
        }
        let Some(host) = self.hosts.get_mut(&key) else { return };
        host.last = host.last.max(seen.at);
        for (phase, took) in host.phases.iter_mut().zip(took) {
            if let Some(took) = took {
                phase.add(seen.at, took, seen.id);
            }
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        for (key, host) in &mut self.hosts {
            if host.last + LATELY < now {
                continue;
            }
            for (number, phase) in host.phases.iter_mut().enumerate() {
                let finding = phase.judge(key, number, now, &self.options);
                phase.slow = finding.is_some();
                if let Some(finding) = finding {
                    findings.raise(finding);
                }
            }
        }
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(2, &self.hosts)
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some(hosts) = kept::read::<HashMap<Pair, Host>>(2, kept) else { return false };
        let sound = |host: &Host| host.phases.iter().all(|it| it.usual.buckets.is_empty() || it.usual.buckets.len() == BUCKETS);
        self.hosts = hosts.into_iter().filter(|(_, host)| sound(host)).collect();
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

impl Phase {
    fn add(&mut self, at: WallMicros, took: u64, id: RecordId) {
        self.age(at);
        if self.lately.len() >= MOST_SAMPLES
            && let Some((at, took, _)) = self.lately.pop_front()
        {
            self.usual.add(at, took, if self.slow { 1 } else { WEIGHT });
        }
        self.lately.push_back((at, took, id));
        self.fresh += 1;
    }

    /// What is older than ten minutes is part of what is usual.
    fn age(&mut self, now: WallMicros) {
        while let Some(&(at, took, _)) = self.lately.front()
            && at.saturating_add(LATELY) < now
        {
            self.lately.pop_front();
            self.usual.add(at, took, if self.slow { 1 } else { WEIGHT });
        }
    }

    fn judge(&mut self, key: &Pair, phase: usize, now: WallMicros, options: &Options) -> Option<Finding> {
        // A clock that was ahead keeps nothing here until then.
        if self.lately.front().is_some_and(|(at, ..)| *at > now) {
            self.lately.iter_mut().for_each(|(at, ..)| *at = (*at).min(now));
        }
        (self.usual.began, self.usual.halved) = (self.usual.began.min(now), self.usual.halved.min(now));
        self.age(now);
        let lately = std::mem::take(&mut self.fresh) as usize;
        let known = self.usual.weight / u64::from(WEIGHT);
        if self.lately.len() < options.slow_samples || known < options.slow_known || now < self.usual.began.saturating_add(KNOWN_SPAN) {
            return None;
        }
        let floor = Slow::floor(options, phase);
        let usual = self.usual.percentile(90);
        let limit = ((usual as f64 * options.slow_factor) as u64).max(floor);
        // Nine of ten are above their usual p90 only if at least a tenth are above the limit: cheap to rule out.
        let above = self.lately.iter().filter(|(_, took, _)| *took >= limit).count();
        if above * 10 < self.lately.len() {
            return None;
        }
        let mut sorted: Vec<u64> = self.lately.iter().map(|(_, took, _)| *took).collect();
        sorted.sort_unstable();
        let p90 = *sorted.get(sorted.len() * 9 / 10).or(sorted.last())?;
        if p90 < limit {
            return None;
        }
        // The first time, all that make it slow are news.
        let fresh = match self.slow {
            true => self.lately.iter().rev().take(lately).filter(|(_, took, _)| *took >= limit).count(),
            false => above,
        };
        let name = PHASES.get(phase).copied().unwrap_or_default();
        let mut slow = self.lately.iter().filter(|(_, took, _)| *took >= limit);
        let (since, last) = (slow.next().map_or(now, |it| it.0), self.lately.back().map_or(now, |it| it.0));
        let samples = self.lately.iter().filter(|(_, took, _)| *took >= limit).map(|(.., id)| *id).take(SAMPLES).collect();
        let summary = format!(
            "{} is slow since {}: {} takes {} (nine of ten), usually {}",
            key.1,
            clock(since, now),
            words(phase),
            took(p90),
            took(usual)
        );
        let arithmetic = format!(
            "p90 of the last 10 min {} ({} samples, {above} at or above the limit); usual p90 {} ({} samples); limit {} = the larger of {} × usual and {}",
            took(p90),
            sorted.len(),
            took(usual),
            number(known),
            took(limit),
            options.slow_factor,
            took(floor)
        );
        let advice = match phase {
            0 => "Look at the way there: packet loss, a full link, a firewall that is overloaded (`mtr HOST`).",
            1 => {
                "The server makes callers wait: it is overloaded, or looks something up about this machine (its PTR record, a block list) that doesn't answer."
            }
            2 => "The TLS handshake waits: an overloaded server, or lost packets of a size that doesn't pass (MTU).",
            3 => "The server's user directory answers slowly.",
            _ => "The server takes long to accept messages: a content filter, a full disk, or a queue that is too long.",
        };
        let finding = Finding::new(Anomaly::UpstreamSlow, Severity::Warning, summary, arithmetic)
            .about(AboutKind::Upstream, key.0.as_str())
            .about(AboutKind::Host, key.1.as_str())
            .about(AboutKind::Phase, name)
            .caused(Cause::RemoteSystemError)
            .advising(if phase == 0 { Act::Network } else { Act::SmartHost }, advice)
            .evidence(since, last, fresh as u64, samples);
        Some(Finding { baseline: Some(format!("nine of ten within {}, of {} samples", took(usual), number(known))), ..finding })
    }
}

fn words(phase: usize) -> &'static str {
    ["connecting", "the greeting", "the TLS handshake", "the login", "the reply to end-of-data"].get(phase).copied().unwrap_or_default()
}

impl Usual {
    fn add(&mut self, at: WallMicros, took: u64, weight: u32) {
        if self.buckets.is_empty() {
            (self.buckets, self.began, self.halved) = (vec![0; BUCKETS], at, at);
        }
        if at >= self.halved.saturating_add(HALF) {
            self.halved = at;
            self.buckets.iter_mut().for_each(|it| *it /= 2);
            self.weight = self.buckets.iter().map(|it| u64::from(*it)).sum();
        }
        let bucket = ((took as f64 / FIRST_US).max(1.0).log2() * 4.0) as usize;
        if let Some(count) = self.buckets.get_mut(bucket.min(BUCKETS - 1)) {
            *count = count.saturating_add(weight);
            self.weight += u64::from(weight);
        }
    }

    /// The upper edge of the step in which it lies.
    fn percentile(&self, percent: u64) -> u64 {
        let (goal, mut sum) = (self.weight * percent / 100, 0);
        let bucket = self.buckets.iter().position(|&count| {
            sum += u64::from(count);
            sum > goal
        });
        (FIRST_US * 2f64.powf((bucket.unwrap_or(BUCKETS - 1) as f64 + 1.0) / 4.0)) as u64
    }
}
