//! The proxy's own login at a smart host.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::login::{self, Came};
use super::options::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::pair::{Pair, PairRef};
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{Evidence, HOUR, Sliding};
use crate::diagnose::Rules;
use crate::trace::{AboutKind, Act, Anomaly, Cause, Severity, Stage, WallMicros};
use crate::wording::{clock, several};

const MOST: usize = 1_000;
/// Nobody tried for so long: whether it still fails, nobody knows. µs.
const STALE: u64 = 6 * HOUR;

/// By upstream and user.
#[derive(Debug)]
pub struct Own {
    options: Options,
    logins: HashMap<Pair, Logins>,
    forgotten: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Logins {
    succeeded: WallMicros,
    failing: Option<Failing>,
    cleared: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failing {
    evidence: Evidence,
    since: WallMicros,
    /// For good (5xx), and for now (4xx).
    refused: u64,
    deferred: u64,
    cause: Cause,
    words: String,
    mechanism: String,
    provider: Option<String>,
}

impl Own {
    pub fn new(options: &Options) -> Self {
        Self { options: options.clone(), logins: HashMap::new(), forgotten: 0 }
    }

    fn logins(&mut self, key: PairRef<'_>) -> Option<&mut Logins> {
        if !self.logins.contains_key(&key) {
            if self.logins.len() >= MOST {
                let last = |it: &Logins| it.failing.as_ref().map_or(it.succeeded, |failing| failing.evidence.last);
                self.forgotten += room::make(&mut self.logins, last);
            }
            self.logins.insert(Pair::from(&key), Logins { succeeded: 0, failing: None, cleared: false });
        }
        self.logins.get_mut(&key)
    }

    /// Nothing fails any more at that upstream, as whoever the proxy logged in there before. Whether anything did.
    fn is_over(&mut self, upstream: &str) -> bool {
        let of_upstream = self.logins.iter_mut().filter(|(key, _)| key.0 == upstream);
        of_upstream.fold(false, |any, (_, logins)| logins.failing.take().is_some() || any)
    }
}

impl Logins {
    fn failed(&mut self, seen: &Seen<'_>, deferred: bool, cause: Cause, words: String, mechanism: &str) {
        let failing = self.failing.get_or_insert_with(|| Failing {
            evidence: Evidence::new(Sliding::new(24, HOUR / 4)),
            since: seen.at,
            refused: 0,
            deferred: 0,
            cause,
            words: String::new(),
            mechanism: mechanism.to_owned(),
            provider: seen.provider().map(str::to_owned),
        });
        failing.evidence.add(seen.at, seen.id, 1);
        *(if deferred { &mut failing.deferred } else { &mut failing.refused }) += 1;
        (failing.cause, failing.words) = (cause, words);
    }
}

impl Detector for Own {
    fn name(&self) -> &'static str {
        "auth_own"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let Some(login) = login::of_proxy(seen) else {
            // No mechanism that both have: there was no login to record.
            let none = seen.session.filter(|it| it.transactions == 0 && it.ended.stage == Stage::Auth && it.client.auth.is_none());
            let words = none.and_then(|it| it.ended.detail.as_deref()).filter(|it| it.contains("no usable login mechanism"));
            if let (Some(words), Some(upstream)) = (words, seen.upstream_name())
                && let Some(logins) = self.logins(PairRef(upstream, ""))
            {
                logins.failed(seen, false, Cause::AuthMechanismUnsupported, words.chars().take(200).collect(), "none");
            }
            return;
        };
        // The configuration names one user of an upstream: others are those that it named before.
        let is_over = login.came == Came::Succeeded && self.is_over(login.upstream);
        let Some(logins) = self.logins(PairRef(login.upstream, login.user)) else { return };
        if login.came == Came::Succeeded {
            logins.succeeded = logins.succeeded.max(seen.at);
            logins.cleared |= is_over;
            return;
        }
        let deferred = login.reply.is_some_and(|it| it.code < 500);
        logins.failed(seen, deferred, login.cause(), login.words(), login.mechanism);
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        for (key, logins) in &mut self.logins {
            if std::mem::take(&mut logins.cleared) {
                let at = clock(logins.succeeded, now);
                let why = format!("the login as {} succeeded at {at}", key.1);
                for anomaly in [Anomaly::AuthAllFail, Anomaly::AuthMechanismRefused] {
                    let about = Finding::new(anomaly, Severity::Notice, "", "").about(AboutKind::Upstream, key.0.as_str()).about;
                    findings.clear(anomaly, about, why.as_str());
                }
            }
            let succeeded = logins.succeeded;
            let Some(failing) = &mut logins.failing else { continue };
            failing.evidence.is_not_after(now);
            let enough = failing.refused >= self.options.own_failures || failing.refused + failing.deferred >= self.options.own_deferrals;
            // A locked account is told as one.
            if !enough || now > failing.evidence.last.saturating_add(STALE) || failing.cause == Cause::AccountLocked {
                continue;
            }
            findings.raise(failing.finding(key, succeeded, now, &self.options));
        }
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &self.logins)
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some(logins) = kept::read(1, kept) else { return false };
        self.logins = logins;
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

impl Failing {
    fn finding(&mut self, key: &Pair, succeeded: WallMicros, now: WallMicros, options: &Options) -> Finding {
        let upstream = &key.0;
        let of_way = self.cause == Cause::AuthMechanismUnsupported;
        let since = clock(self.since, now);
        let last = if succeeded == 0 { "no success known".to_owned() } else { format!("last success {}", clock(succeeded, now)) };
        let summary = if of_way {
            format!("The proxy can't log in at upstream {upstream} since {since}: no way to log in that both have; {}", self.words)
        } else {
            format!("The proxy's login as {} at upstream {upstream} fails since {since}, so no mail passes; it says: {}", key.1, self.words)
        };
        let count = self.refused + self.deferred;
        let arithmetic = format!(
            "{} of {count} refused ({} for good, mechanism {}), {last}; threshold {} for good or {} in all",
            several(count, "login", "logins"),
            self.refused,
            self.mechanism,
            options.own_failures,
            options.own_deferrals
        );
        let token = self.mechanism == "XOAUTH2";
        let known = Rules::builtin().advice(self.cause, self.provider.as_deref());
        let advice = match (of_way, token, succeeded > 0) {
            (true, ..) => known.to_owned(),
            (_, true, _) => format!("The token has expired or was withdrawn: get a new one for `[upstream.auth]`. {known}"),
            (_, _, true) => {
                format!("It worked before: the password was changed, has expired, or the provider now wants an app password. {known}")
            }
            _ => format!("Check user and secret in `[upstream.auth]`; `relayscope doctor upstream {upstream}` tries the login. {known}"),
        };
        let anomaly = if of_way { Anomaly::AuthMechanismRefused } else { Anomaly::AuthAllFail };
        let fresh = self.evidence.take_fresh();
        Finding::new(anomaly, Severity::Critical, summary, arithmetic)
            .about(AboutKind::Upstream, upstream.as_str())
            .caused(self.cause)
            .advising(Act::LocalAdmin, advice.trim_end())
            .evidence(self.since, self.evidence.last, fresh, self.evidence.samples())
    }
}
