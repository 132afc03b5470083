//! Certificates that end soon, of every peer that showed one.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{DAY, HOUR, MINUTE, SAMPLES};
use crate::diagnose::Cause;
use crate::trace::{About, AboutKind, Act, Anomaly, RecordId, Severity, Tls, UpstreamKind, WallMicros};
use crate::wording::{clock, quoted, span};

/// Certificates near their end that are remembered.
const MOST: usize = 2_000;
/// A stranger's that ended longer ago has been left so.
const ABANDONED_US: u64 = 7 * DAY;
/// In so long each host of a pool is met.
const POOL_US: u64 = 6 * HOUR;

#[derive(Debug, Serialize, Deserialize)]
struct Ending {
    about: About,
    subject: String,
    issuer: String,
    expires_at: WallMicros,
    since: WallMicros,
    last: WallMicros,
    /// When a later one was seen in its place.
    renewed: WallMicros,
    fresh: u64,
    /// A stranger's: somebody else's business.
    foreign: bool,
    verified: Option<bool>,
    samples: Vec<RecordId>,
}

#[derive(Debug)]
pub struct Certificates {
    options: Options,
    ending: HashMap<(String, String), Ending>,
    judged: WallMicros,
    forgotten: u64,
}

impl Certificates {
    pub fn new(options: Options) -> Self {
        Self { options, ending: HashMap::new(), judged: 0, forgotten: 0 }
    }

    fn note(&mut self, seen: &Seen<'_>, tls: &Tls, about: impl Fn() -> About, foreign: bool) {
        let Some(expires_at) = tls.expires_at else { return };
        let ends_soon = expires_at < seen.at.saturating_add(self.options.expires_us);
        // Most certificates have long to go, and nothing here is older: that is all there is to do.
        if !ends_soon && self.ending.is_empty() {
            return;
        }
        let about = about();
        let subject = tls.subject.as_deref().unwrap_or("(no subject)");
        if !ends_soon {
            // Also under another subject, where the one that ends soon isn't shown any more. Clients behind one address have one each, and
            // so may the hosts of a pool, which show theirs in turn.
            let own = quoted([subject]);
            let is_gone = |it: &Ending| it.subject == own || (about.kind != AboutKind::Client && seen.at > it.last + POOL_US);
            for ending in self.ending.values_mut().filter(|it| it.about == about && is_gone(it)) {
                ending.renewed = seen.at;
            }
            return;
        }
        let key = (about.value.clone(), subject.to_owned());
        if foreign && expires_at.saturating_add(ABANDONED_US) < seen.at {
            return;
        }
        if self.ending.len() >= MOST && !self.ending.contains_key(&key) {
            self.forgotten += room::make(&mut self.ending, |it| it.last);
        }
        let ending = self.ending.entry(key).or_insert_with(|| Ending {
            about,
            subject: quoted([subject]),
            issuer: quoted([tls.issuer.as_deref().unwrap_or("(no issuer)")]),
            expires_at,
            since: seen.at,
            last: seen.at,
            renewed: 0,
            fresh: 0,
            foreign,
            verified: tls.verified,
            samples: Vec::new(),
        });
        ending.expires_at = expires_at;
        ending.last = seen.at;
        ending.fresh += 1;
        if ending.samples.len() >= SAMPLES {
            ending.samples.remove(SAMPLES / 2);
        }
        ending.samples.push(seen.id);
    }
}

impl Detector for Certificates {
    fn name(&self) -> &'static str {
        "certificate_expiring"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        if let (Some(upstream), Some(host)) = (seen.upstream, seen.server())
            && let Some(tls) = &upstream.tls
        {
            let about = || About { kind: AboutKind::Host, value: host.clone().into_owned() };
            self.note(seen, tls, about, upstream.kind == UpstreamKind::Mx);
        }
        if let Some(client) = seen.client
            && let Some(tls) = &client.tls
        {
            self.note(seen, tls, || About { kind: AboutKind::Client, value: client.ip.to_string() }, false);
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        // A clock that was ahead puts nothing off.
        self.judged = self.judged.min(now);
        // Days count here; new ones are told at once.
        if now < self.judged + 10 * MINUTE && self.ending.values().all(|it| it.fresh == 0 || it.since < self.judged) {
            return;
        }
        self.judged = now;
        let options = &self.options;
        self.ending.retain(|_, ending| {
            (ending.since, ending.last, ending.renewed) = (ending.since.min(now), ending.last.min(now), ending.renewed.min(now));
            let about = || vec![ending.about.clone(), About { kind: AboutKind::Part, value: "certificate".to_owned() }];
            if ending.renewed > ending.last + 10 * MINUTE {
                findings.clear(
                    Anomaly::CertificateExpiring,
                    about(),
                    format!("renewed: a later one is seen since {}", clock(ending.renewed, now)),
                );
                return false;
            }
            if ending.last + 2 * DAY < now {
                return false;
            }
            findings.raise(finding(ending, now, options));
            true
        });
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &(&self.ending, self.judged))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((ending, judged)) = kept::read(1, kept) else { return false };
        (self.ending, self.judged) = (ending, judged);
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

fn finding(ending: &mut Ending, now: WallMicros, options: &Options) -> Finding {
    let (name, subject) = (&ending.about.value, &ending.subject);
    let left = ending.expires_at.saturating_sub(now);
    let is_client = ending.about.kind == AboutKind::Client;
    let at = clock(ending.expires_at, now);
    let summary = match left {
        0 => format!("the certificate of {name} ({subject}) has expired: {at}"),
        _ => format!("the certificate of {name} ({subject}) expires in {}: {at}", span(left)),
    };
    let mut arithmetic = format!(
        "ends {at}; told {} before, urgent {} before; issued by {}",
        span(options.expires_us),
        span(options.expires_urgent_us),
        ending.issuer
    );
    if ending.verified == Some(false) {
        arithmetic.push_str("; it isn't verified now either");
    }
    let severity = match () {
        () if ending.foreign => Severity::Notice,
        () if left < options.expires_urgent_us => Severity::Critical,
        () => Severity::Warning,
    };
    let (act, advice) = match () {
        () if is_client => {
            (Act::LocalAdmin, "Renew the certificate of that client; where it logs in with it, its mail stops at that time.")
        }
        () if ending.foreign => (
            Act::RecipientSide,
            "Nothing to do here unless its policy (DANE, MTA-STS) demands a valid certificate: then mail to it will wait.",
        ),
        () => (
            Act::SmartHost,
            "Tell the server's operator, or renew it if the server is yours. Where `tls = \"required\"`, mail stops at that time.",
        ),
    };
    Finding::new(Anomaly::CertificateExpiring, severity, summary, arithmetic)
        .about(ending.about.kind, name)
        .about(AboutKind::Part, "certificate")
        .caused(Cause::TlsFailure)
        .advising(act, advice)
        .evidence(ending.since, ending.last, std::mem::take(&mut ending.fresh), ending.samples.clone())
        .lasting(DAY + HOUR)
}
