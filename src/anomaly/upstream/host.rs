//! One host: whether it answers, since when it doesn't, and how often that changed.

use serde::{Deserialize, Serialize};

use super::attempts::{Failed, Why};
use crate::anomaly::window::{Evidence, HOUR, MINUTE, Sliding};
use crate::trace::{RecordId, UpstreamKind, WallMicros};

/// Addresses of a host that are told apart.
const MOST_ADDRESSES: usize = 4;
/// Tries that are that far apart are not one and the same hiccup. µs.
const APART: u64 = 5 * MINUTE;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    pub kind: UpstreamKind,
    pub port: u16,
    /// When it last answered; 0: never.
    pub reached: WallMicros,
    /// Times that it answered.
    pub successes: u64,
    /// Failures since then.
    pub failing: Option<Failing>,
    /// Times that it came back after it had been down.
    pub returns: Sliding,
    pub said_down: bool,
    pub touched: WallMicros,
}

/// Nobody got through since then.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failing {
    pub evidence: Evidence,
    pub since: WallMicros,
    pub count: u64,
    pub whys: [u32; Why::COUNT],
    pub last_why: Why,
    /// Of the last try.
    pub words: String,
    ips: Vec<std::net::IpAddr>,
}

/// What is known of it beforehand.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    pub kind: UpstreamKind,
    pub port: u16,
    pub reached: WallMicros,
    pub successes: u64,
}

impl Host {
    pub fn new(known: Known) -> Self {
        Self {
            kind: known.kind,
            port: known.port,
            reached: known.reached,
            successes: known.successes,
            failing: None,
            returns: Sliding::new(12, 5 * MINUTE),
            said_down: false,
            touched: known.reached,
        }
    }

    pub fn failed(&mut self, at: WallMicros, id: RecordId, failed: &Failed<'_>) {
        self.touched = self.touched.max(at);
        if failed.port != 0 {
            self.port = failed.port;
        }
        let failing = self.failing.get_or_insert_with(|| Failing {
            // Long, so that the evidence stays as long as nobody gets through.
            evidence: Evidence::new(Sliding::new(96, HOUR / 4)),
            since: failed.began.max(self.reached).min(at),
            count: 0,
            whys: [0; Why::COUNT],
            last_why: failed.why,
            words: String::new(),
            ips: Vec::new(),
        });
        failing.evidence.add(at, id, 1);
        failing.count += 1;
        failing.last_why = failed.why;
        if let Some(count) = failing.whys.get_mut(failed.why as usize) {
            *count = count.saturating_add(1);
        }
        failing.words.clear();
        failing.words.extend(failed.words.chars().take(240));
        if let Some(ip) = failed.ip.filter(|ip| failing.ips.len() < MOST_ADDRESSES && !failing.ips.contains(ip)) {
            failing.ips.push(ip);
        }
    }

    /// A clock that was ahead and is right again leaves nothing that is later than the judgement.
    pub fn is_not_after(&mut self, now: WallMicros) {
        (self.reached, self.touched) = (self.reached.min(now), self.touched.min(now));
        if let Some(failing) = &mut self.failing {
            failing.since = failing.since.min(now);
            failing.evidence.is_not_after(now);
        }
    }

    /// It answered; when it had been failing, from when on.
    pub fn answered(&mut self, at: WallMicros) -> Option<Failing> {
        self.touched = self.touched.max(at);
        self.reached = self.reached.max(at);
        self.successes = self.successes.saturating_add(1);
        let failing = self.failing.take()?;
        if self.said_down {
            self.returns.add(at, 1);
        }
        Some(failing)
    }
}

impl Failing {
    /// Nobody got through in at least two tries that are so far apart.
    pub fn is_down(&self, apart_us: u64) -> bool {
        self.count >= 2 && self.evidence.last >= self.since.saturating_add(apart_us)
    }

    pub fn only(&self, why: Why) -> bool {
        self.whys.get(why as usize).is_some_and(|&count| u64::from(count) == self.count)
    }

    /// Whether most tries failed for one of these reasons.
    pub fn mostly(&self, whys: &[Why]) -> bool {
        let sum: u64 = whys.iter().filter_map(|why| self.whys.get(*why as usize)).map(|&count| u64::from(count)).sum();
        sum * 2 > self.count
    }

    pub fn addresses(&self) -> usize {
        self.ips.len()
    }

    /// Whether it is news: something was tried again not long ago.
    pub fn is_recent(&self, now: WallMicros, span_us: u64) -> bool {
        now < self.evidence.last.saturating_add(span_us.max(APART))
    }
}
