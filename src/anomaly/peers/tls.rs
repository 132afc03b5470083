//! TLS that a server had and has no more, or weaker; STARTTLS that somebody takes out on the way.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{DAY, SAMPLES};
use crate::diagnose::Cause;
use crate::trace::{About, AboutKind, Act, Anomaly, Change, Flag, RecordId, Severity, Upstream, WallMicros};
use crate::wording::clock;

/// Servers whose history is kept.
const MOST_HOSTS: usize = 20_000;
/// Counts are halved there, so that history fades.
const MOST_COUNT: u32 = 2_000;
/// What lasts so long is how it is now.
const LASTS_US: u64 = 3 * DAY;
/// As it was, and nothing worse for so long before: it is over. Until then a pool's good and bad hosts take turns.
const OVER_US: u64 = DAY / 12;
/// Without a session for so long nobody knows how it is.
const QUIET_US: u64 = DAY;

const AS_BEFORE: &str = "it is as it was before";
const AS_USUAL: &str = "it has been like that for three days: taken for how it is now";

/// From none to the strongest; where the certificate was found good, half a step more is kept apart.
const LEVELS: [&str; 5] = ["no TLS", "TLSv1.0", "TLSv1.1", "TLSv1.2", "TLSv1.3"];

/// What a server's sessions were like.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct History {
    /// Messages by level.
    levels: [u32; 5],
    verified: u32,
    unverified: u32,
    /// Sessions whose EHLO offered STARTTLS, or that had TLS.
    offered: u32,
    last: WallMicros,
    /// When it was last as it always was.
    last_good: WallMicros,
    weaker: Option<Box<Weaker>>,
    stripped: Option<Box<Weaker>>,
}

/// What is worse than it was.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Weaker {
    since: WallMicros,
    last: WallMicros,
    count: u64,
    fresh: u64,
    before: String,
    after: String,
    severity: Severity,
    masked: bool,
    samples: Vec<RecordId>,
}

#[derive(Debug)]
pub struct Tls {
    options: Options,
    hosts: HashMap<String, History>,
    /// Servers with something fresh to tell.
    told: Vec<String>,
    /// What is over, and why; not kept.
    over: Vec<(Anomaly, String, &'static str)>,
    forgotten: u64,
}

impl Tls {
    pub fn new(options: Options) -> Self {
        Self { options, hosts: HashMap::new(), told: Vec::new(), over: Vec::new(), forgotten: 0 }
    }
}

fn level(upstream: &Upstream) -> usize {
    let Some(tls) = &upstream.tls else { return 0 };
    // "TLSv1.3", "TLS 1.3", "TLSv1_3": the last digit tells, and what can't be read is taken for usual.
    match tls.version.bytes().rev().find(u8::is_ascii_digit) {
        Some(b'0' | b'1') if tls.version.ends_with("v1") => 1,
        Some(b'0') => 1,
        Some(b'1') => 2,
        Some(b'3') => 4,
        _ => 3,
    }
}

impl History {
    /// The share of mail that had that level or a lower one.
    fn share_up_to(&self, level: usize) -> f32 {
        let total: u32 = self.levels.iter().sum();
        let up_to: u32 = self.levels.iter().take(level + 1).sum();
        up_to as f32 / total.max(1) as f32
    }

    fn total(&self) -> u32 {
        self.levels.iter().sum()
    }

    /// The level of most of its mail.
    fn usual(&self) -> usize {
        self.levels.iter().enumerate().max_by_key(|(_, count)| **count).map_or(0, |(level, _)| level)
    }

    /// Whether there is something fresh to tell.
    fn is_told(&self) -> bool {
        [&self.weaker, &self.stripped].into_iter().flatten().any(|it| it.fresh > 0)
    }

    /// What it was like before is no measure any more.
    fn begin_anew(&mut self) {
        (self.levels, self.verified, self.unverified, self.weaker) = ([0; 5], 0, 0, None);
    }

    fn count(&mut self, level: usize, verified: Option<bool>) {
        if let Some(count) = self.levels.get_mut(level) {
            *count += 1;
        }
        match verified {
            Some(true) => self.verified += 1,
            Some(false) => self.unverified += 1,
            None => {}
        }
        if self.total() >= MOST_COUNT {
            for count in self.levels.iter_mut().chain([&mut self.verified, &mut self.unverified, &mut self.offered]) {
                *count /= 2;
            }
        }
    }
}

impl Weaker {
    /// It has been like that for so long, with nothing better between, that it is how it is now.
    fn lasts(&self, at: WallMicros) -> bool {
        self.since + LASTS_US < at
    }

    fn is_over(&self, at: WallMicros) -> bool {
        self.last + OVER_US < at
    }

    fn note(place: &mut Option<Box<Self>>, seen: &Seen<'_>, make: impl FnOnce() -> (String, String, Severity, bool)) {
        let weaker = place.get_or_insert_with(|| {
            let (before, after, severity, masked) = make();
            Box::new(Self { since: seen.at, last: seen.at, count: 0, fresh: 0, before, after, severity, masked, samples: Vec::new() })
        });
        weaker.last = weaker.last.max(seen.at);
        weaker.count += 1;
        weaker.fresh += 1;
        if weaker.samples.len() >= SAMPLES {
            weaker.samples.remove(SAMPLES / 2);
        }
        weaker.samples.push(seen.id);
    }
}

impl Detector for Tls {
    fn name(&self) -> &'static str {
        "tls_history"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let (Some(upstream), Some(host)) = (seen.upstream, seen.server()) else { return };
        let host = &*host;
        // Passed through unread, or over before EHLO: nothing was learnt.
        if upstream.spliced.is_some() || (upstream.offered.is_empty() && upstream.tls.is_none()) {
            return;
        }
        if !self.hosts.contains_key(host) {
            if self.hosts.len() >= MOST_HOSTS {
                self.forgotten += room::make(&mut self.hosts, |history| history.last);
            }
            self.hosts.insert(host.to_owned(), History::default());
        }
        let Some(history) = self.hosts.get_mut(host) else { return };
        history.last = history.last.max(seen.at);
        let (known, least) = (self.options.tls_known, self.options.tls_share);
        let level = level(upstream);
        let stripped = level == 0 && (seen.has(Flag::MiddleboxSuspected) || seen.has(Flag::StarttlsMissing));
        if stripped {
            let masked = seen.has(Flag::MiddleboxSuspected);
            if let Some(lasting) = history.stripped.as_mut().filter(|it| it.lasts(seen.at)) {
                // It is like that now: told again only after it was otherwise.
                lasting.last = lasting.last.max(seen.at);
                if history.offered > 0 {
                    history.offered = 0;
                    history.begin_anew();
                    self.over.push((Anomaly::StarttlsStripped, host.to_owned(), AS_USUAL));
                }
            } else if masked || history.offered >= known / 4 {
                let was_told = history.is_told();
                let before = if history.offered > 0 { "STARTTLS offered" } else { "unknown" };
                let after = if masked { "the keyword painted over (XXXXXXXA)" } else { "STARTTLS not offered" };
                Weaker::note(&mut history.stripped, seen, || (before.to_owned(), after.to_owned(), Severity::Warning, masked));
                if !was_told {
                    self.told.push(host.to_owned());
                }
                return;
            }
        } else if (level > 0 || upstream.offered.iter().any(|line| line.eq_ignore_ascii_case("STARTTLS")))
            && (history.offered == 0 || seen.transaction.is_none_or(|it| it.transaction_no == 1))
        {
            history.offered = (history.offered + 1).min(MOST_COUNT);
        }
        if !stripped && history.stripped.take_if(|it| it.is_over(seen.at)).is_some() {
            self.over.push((Anomaly::StarttlsStripped, host.to_owned(), AS_BEFORE));
        }
        if seen.transaction.is_none() {
            return;
        }
        let verified = upstream.tls.as_ref().and_then(|tls| tls.verified);
        let total = history.total();
        let is_lower = total >= known && level < history.usual() && history.share_up_to(level) < least;
        let (good, bad) = (history.verified, history.unverified);
        let lost_trust = verified == Some(false) && good >= known && (bad as f32) < least * good as f32;
        if !is_lower && !lost_trust {
            history.last_good = history.last_good.max(seen.at);
            if history.weaker.take_if(|it| it.is_over(seen.at)).is_some() {
                self.over.push((Anomaly::TlsDowngrade, host.to_owned(), AS_BEFORE));
            }
            return history.count(level, verified);
        }
        if history.weaker.as_ref().is_some_and(|it| it.lasts(seen.at)) {
            history.begin_anew();
            self.over.push((Anomaly::TlsDowngrade, host.to_owned(), AS_USUAL));
            return history.count(level, verified);
        }
        let was_told = history.is_told();
        let usual = history.usual();
        Weaker::note(&mut history.weaker, seen, || {
            let name = |level: usize| LEVELS.get(level).copied().unwrap_or_default();
            match () {
                () if is_lower && level == 0 => (name(usual).to_owned(), "in clear".to_owned(), Severity::Warning, false),
                () if is_lower => (name(usual).to_owned(), name(level).to_owned(), Severity::Notice, false),
                () => {
                    let why = upstream.tls.as_ref().and_then(|tls| tls.why_not.as_deref()).unwrap_or("no reason given");
                    (
                        "certificate verified".to_owned(),
                        format!("not verified: {}", crate::wording::quoted([why])),
                        Severity::Warning,
                        false,
                    )
                }
            }
        });
        if !was_told {
            self.told.push(host.to_owned());
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let Self { options, hosts, told, over, .. } = self;
        for (anomaly, host, why) in over.drain(..) {
            findings.clear(anomaly, vec![About { kind: AboutKind::Host, value: host }], why);
        }
        for host in told.drain(..) {
            let host = host.as_str();
            let Some(history) = hosts.get_mut(host) else { continue };
            let last_good = (history.last_good > 0).then_some(history.last_good);
            if let Some(stripped) = history.stripped.as_deref_mut().filter(|it| it.fresh > 0) {
                findings.raise(stripped_finding(host, stripped, history.offered, last_good, now));
            }
            // Without STARTTLS there is no TLS: the same thing is told once.
            let is_stripped = history.stripped.as_deref().is_some_and(|it| !it.is_over(now));
            if let Some(weaker) = history.weaker.as_deref_mut().filter(|it| it.fresh > 0) {
                let total: u32 = history.levels.iter().sum();
                let finding = weaker_finding(host, weaker, total, options, last_good, now);
                if !is_stripped {
                    findings.raise(finding);
                }
            }
        }
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(2, &(&self.hosts, &self.told))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((hosts, told)) = kept::read(2, kept) else { return false };
        (self.hosts, self.told) = (hosts, told);
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

fn stripped_finding(host: &str, it: &mut Weaker, offered: u32, last_good: Option<WallMicros>, now: WallMicros) -> Finding {
    let (summary, advice) = if it.masked {
        (
            format!("a firewall between here and {host} paints STARTTLS over: mail goes in clear"),
            "Switch SMTP inspection off on the firewall (Cisco ASA: `no inspect esmtp`, or allow TLS in the policy map), or set the upstream's `tls = \"required\"` so that nothing goes in clear meanwhile.",
        )
    } else {
        (
            format!("{host} offers STARTTLS no more: mail goes in clear, or not at all where TLS is required"),
            "Ask the server's operator whether TLS was switched off. If it wasn't, somebody on the way takes it out: compare with `openssl s_client -starttls smtp` from another network, and set `tls = \"required\"`.",
        )
    };
    let arithmetic = format!("{} sessions without STARTTLS since {}; before, {offered} had it", it.count, clock(it.since, now));
    finding(Anomaly::StarttlsStripped, host, it, (summary, arithmetic, advice), "STARTTLS", last_good)
}

fn weaker_finding(host: &str, it: &mut Weaker, total: u32, options: &Options, last_good: Option<WallMicros>, now: WallMicros) -> Finding {
    let summary = format!("TLS to {host} is weaker than it was: {} before, now {}", it.before, it.after);
    let arithmetic = format!(
        "{} messages since {}; of the {total} before, less than {:.0} % were like that",
        it.count,
        clock(it.since, now),
        100.0 * options.tls_share
    );
    let advice = "Ask the server's operator what was changed. Until it is explained, set the upstream's `tls = \"required\"`: mail then waits instead of going out less protected.";
    finding(Anomaly::TlsDowngrade, host, it, (summary, arithmetic, advice), "TLS", last_good)
}

fn finding(
    anomaly: Anomaly,
    host: &str,
    it: &mut Weaker,
    (summary, arithmetic, advice): (String, String, &str),
    what: &str,
    last_good: Option<WallMicros>,
) -> Finding {
    let finding = Finding::new(anomaly, it.severity, summary, arithmetic)
        .about(AboutKind::Host, host)
        .caused(Cause::TlsFailure)
        .advising(Act::LocalAdmin, advice)
        .evidence(it.since, it.last, std::mem::take(&mut it.fresh), it.samples.clone());
    let change = Change { what: what.to_owned(), before: it.before.clone(), after: it.after.clone(), last_before: last_good };
    Finding { change: Some(change), quiet_after_us: Some(QUIET_US), ..finding }
}
