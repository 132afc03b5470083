//! Accounts of clients at an upstream: one that fails where it used to succeed, all that fail at once, and those that are locked.

use std::net::IpAddr;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::login::{self, Came, Login};
use super::options::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::pair::{Pair, PairRef};
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{DAY, Evidence, HOUR, MINUTE, SAMPLES, Sliding};
use crate::diagnose::Rules;
use crate::trace::{About, AboutKind, Act, Anomaly, Cause, Severity, WallMicros};
use crate::wording::{clock, quoted, several};

const MOST_ACCOUNTS: usize = 20_000;
/// Clients from which an account logs in, at most.
const MOST_CLIENTS: usize = 4;
/// Without a failure for so long, nothing is judged any more. µs.
const LATELY: u64 = 30 * MINUTE;
/// Failures that belong together when all fail. µs.
const AT_ONCE: u64 = 10 * MINUTE;

/// By upstream and user.
#[derive(Debug)]
pub struct Accounts {
    options: Options,
    accounts: HashMap<Pair, Account>,
    locked: HashMap<Pair, Locked>,
    /// By upstream: the last login that succeeded.
    succeeded: HashMap<String, WallMicros>,
    any_failing: bool,
    /// Upstreams of which it was said that every login fails, and when it was last said. Not kept: it ends by itself as well.
    told: HashMap<String, WallMicros>,
    forgotten: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    clients: Vec<IpAddr>,
    succeeded: WallMicros,
    touched: WallMicros,
    failing: Option<Failing>,
    cleared: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Failing {
    evidence: Evidence,
    count: u64,
    client: IpAddr,
    cause: Cause,
    words: String,
    mechanism: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Locked {
    evidence: Evidence,
    words: String,
    provider: Option<String>,
}

impl Accounts {
    pub fn new(options: &Options) -> Self {
        let (accounts, locked) = (HashMap::new(), HashMap::new());
        Self {
            options: options.clone(),
            accounts,
            locked,
            succeeded: HashMap::new(),
            any_failing: false,
            told: HashMap::new(),
            forgotten: 0,
        }
    }

    fn login(&mut self, login: &Login<'_>, seen: &Seen<'_>) {
        let key = PairRef(login.upstream, login.user);
        if let Some(account) = self.accounts.get_mut(&key) {
            account.login(login, seen);
        } else {
            if self.accounts.len() >= MOST_ACCOUNTS {
                // Accounts that never succeeded go first: somebody may be inventing them.
                let goes = |it: &mut Account| it.succeeded == 0 || seen.at >= it.touched.saturating_add(30 * DAY);
                self.forgotten += room::drop_where(&mut self.accounts, goes);
            }
            if self.accounts.len() >= MOST_ACCOUNTS {
                self.forgotten += room::make(&mut self.accounts, |it| it.touched);
            }
            let mut account = Account::default();
            account.login(login, seen);
            self.accounts.insert(Pair::from(&key), account);
        }
        if login.came == Came::Succeeded {
            match self.succeeded.get_mut(login.upstream) {
                Some(at) => *at = (*at).max(seen.at),
                None => drop(self.succeeded.insert(login.upstream.to_owned(), seen.at)),
            }
        } else {
            self.any_failing = true;
        }
    }

    /// Upstreams where several accounts that used to work fail at once, and nobody gets in.
    fn all_fail(&mut self, now: WallMicros, findings: &mut Findings) -> Vec<String> {
        let mut by_upstream: HashMap<&str, Vec<(&Pair, &Failing)>> = HashMap::new();
        for (key, account) in self.accounts.iter().filter(|(_, it)| it.succeeded > 0) {
            // Wrong passwords of strangers say nothing of the upstream.
            let is_usual = |it: &&Failing| account.clients.contains(&it.client) && now < it.evidence.last.saturating_add(LATELY);
            let Some(failing) = account.failing.as_ref().filter(is_usual) else { continue };
            let last_success = self.succeeded.get(&key.0).copied().unwrap_or_default();
            if failing.evidence.last > last_success {
                by_upstream.entry(key.0.as_str()).or_default().push((key, failing));
            }
        }
        let mut all = Vec::new();
        for (upstream, mut failing) in by_upstream {
            // It lasts as long as nobody gets in, also where nobody tries for a while: it doesn't fall apart into single accounts.
            let newest = failing.iter().map(|(_, it)| it.evidence.last).max().unwrap_or(now);
            failing.retain(|(_, it)| newest < it.evidence.last.saturating_add(AT_ONCE));
            if failing.len() < self.options.all_accounts {
                continue;
            }
            failing.sort_by(|one, other| one.0.cmp(other.0));
            let last_success = self.succeeded.get(upstream).copied().unwrap_or_default();
            let since = failing.iter().map(|(_, it)| it.evidence.since).min().unwrap_or(now);
            let last = failing.iter().map(|(_, it)| it.evidence.last).max().unwrap_or(now);
            let count: u64 = failing.iter().map(|(_, it)| it.count).sum();
            let users: Vec<&str> = failing.iter().take(5).map(|(key, _)| key.1.as_str()).collect();
            let words = failing.first().map_or("", |(_, it)| it.words.as_str());
            let summary = format!("Every login at upstream {upstream} fails since {}; it says: {words}", clock(since, now));
            let arithmetic = format!(
                "{count} of {count} logins of {} refused within 10 min ({}), all of which worked before; last success {}; threshold {} accounts and no success",
                several(failing.len() as u64, "account", "accounts"),
                users.join(", "),
                clock(last_success, now),
                self.options.all_accounts
            );
            let samples = failing.iter().filter_map(|(_, it)| it.evidence.samples().pop()).take(SAMPLES).collect();
            let advice = "So many passwords don't change at once: the upstream's user directory or login service fails, or it no longer takes \
                 this way to log in (OAuth instead of passwords, app passwords). Ask its operator, and see its announcements.";
            all.push((upstream.to_owned(), count));
            findings.raise(
                Finding::new(Anomaly::AuthAllFail, Severity::Critical, summary, arithmetic)
                    .about(AboutKind::Upstream, upstream)
                    .caused(Cause::AuthFailed)
                    .advising(Act::SmartHost, advice)
                    .evidence(since, last, 0, samples),
            );
        }
        // Counted apart: the accounts' own counts are no longer said.
        let names: Vec<String> = all.into_iter().map(|(name, _)| name).collect();
        let fresh = |account: &mut Account| account.failing.as_mut().map_or(0, |it| it.evidence.take_fresh());
        for finding in &mut findings.raised {
            if finding.anomaly == Anomaly::AuthAllFail && finding.fresh == 0 {
                let upstream = finding.about.first().map(|it| it.value.clone()).unwrap_or_default();
                let of_upstream = self.accounts.iter_mut().filter(|(key, _)| key.0 == upstream);
                finding.fresh = of_upstream.map(|(_, account)| fresh(account)).sum();
            }
        }
        names
    }

    /// Somebody gets in again: what every account shared is over.
    fn end_all_fail(&mut self, now: WallMicros, findings: &mut Findings) {
        let succeeded = &self.succeeded;
        self.told.retain(|upstream, told| {
            let Some(&at) = succeeded.get(upstream).filter(|at| **at > *told) else { return now < told.saturating_add(DAY) };
            let about = vec![About { kind: AboutKind::Upstream, value: upstream.clone() }];
            findings.clear(Anomaly::AuthAllFail, about, format!("a login succeeded at {}", clock(at, now)));
            false
        });
    }
}

impl Account {
    fn login(&mut self, login: &Login<'_>, seen: &Seen<'_>) {
        self.touched = self.touched.max(seen.at);
        if login.came == Came::Succeeded {
            self.succeeded = self.succeeded.max(seen.at);
            self.cleared |= self.failing.take().is_some();
            if !self.clients.contains(&login.client) {
                if self.clients.len() >= MOST_CLIENTS {
                    self.clients.remove(0);
                }
                self.clients.push(login.client);
            }
            return;
        }
        let (cause, words) = (login.cause(), login.words());
        let failing = self.failing.get_or_insert_with(|| Failing {
            evidence: Evidence::new(Sliding::new(30, MINUTE)),
            count: 0,
            client: login.client,
            cause,
            words: String::new(),
            mechanism: login.mechanism.to_owned(),
        });
        if seen.at > failing.evidence.last.saturating_add(LATELY) {
            failing.count = 0;
        }
        failing.evidence.add(seen.at, seen.id, 1);
        failing.count += 1;
        (failing.client, failing.cause, failing.words) = (login.client, cause, words);
    }

    fn judge(&mut self, key: &Pair, now: WallMicros, others: bool, options: &Options) -> Option<Finding> {
        let usual = self.succeeded > 0;
        let failing = self.failing.as_mut()?;
        let from_usual = usual && self.clients.contains(&failing.client);
        let threshold = if from_usual { options.account_failures } else { options.stranger_failures };
        if now > failing.evidence.last.saturating_add(LATELY) || failing.count < threshold {
            return None;
        }
        let user = if key.1.is_empty() { "An account that isn't shown" } else { &key.1 };
        let worked = if from_usual {
            "which usually logs in from there"
        } else if usual {
            "which usually logs in from elsewhere"
        } else {
            "which never logged in so far"
        };
        let summary = format!(
            "{user} can't log in at upstream {} since {}, from {}, {worked}; it says: {}",
            key.0,
            clock(failing.evidence.since, now),
            failing.client,
            failing.words
        );
        let last = if usual { format!("last success {}", clock(self.succeeded, now)) } else { "no success known".to_owned() };
        let arithmetic = format!(
            "{0} of {0} logins refused ({1}), {last}; threshold {threshold}; {2}",
            failing.count,
            failing.mechanism,
            if others { "others log in at the same upstream" } else { "nobody else logged in there lately" }
        );
        let advice = if usual {
            "The account's password was changed or has expired: enter the new one where this client sends from. If nobody changed it, look at the account."
        } else {
            "Check user name and password where this client sends from; some providers want an app password or OAuth."
        };
        let severity = if usual && !others { Severity::Critical } else { Severity::Warning };
        let finding = Finding::new(Anomaly::AuthAccountFails, severity, summary, arithmetic)
            .about(AboutKind::Upstream, key.0.as_str())
            .about(AboutKind::User, key.1.as_str())
            .caused(failing.cause)
            .advising(Act::LocalAdmin, advice);
        let fresh = failing.evidence.take_fresh();
        Some(finding.evidence(failing.evidence.since, failing.evidence.last, fresh, failing.evidence.samples()))
    }
}

impl Detector for Accounts {
    fn name(&self) -> &'static str {
        "auth_accounts"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        if let Some(login) = login::of_client(seen).filter(|it| matches!(it.came, Came::Succeeded | Came::Failed)) {
            self.login(&login, seen);
        }
        if seen.cause() != Some(Cause::AccountLocked) || seen.is_synthetic() {
            return;
        }
        let user = seen.upstream_user().or(seen.user()).or(seen.reverse_path()).unwrap_or_default();
        let key = Pair(seen.upstream_name().unwrap_or_default().to_owned(), user.to_owned());
        if self.locked.len() >= MOST_ACCOUNTS && !self.locked.contains_key(&key) {
            self.forgotten += room::make(&mut self.locked, |it| it.evidence.last);
        }
        // The upstream's own words, of whichever login it was; the client may have heard others.
        let logins = [seen.client.and_then(|it| it.auth.as_ref()), seen.upstream.and_then(|it| it.auth.as_ref())];
        let reply = logins.into_iter().flatten().filter_map(|it| it.reply.as_ref()).find(|it| it.code >= 400);
        let words = reply.map_or_else(|| quoted(seen.reply_lines()), |it| quoted(it.lines.iter().map(String::as_str)));
        let provider = seen.provider().map(str::to_owned);
        let locked =
            self.locked.entry(key).or_insert_with(|| Locked { evidence: Evidence::new(Sliding::new(24, HOUR / 4)), words, provider });
        locked.evidence.add(seen.at, seen.id, 1);
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        self.locked.retain(|key, locked| {
            let count = locked.evidence.count(now);
            if count > 0 && now < locked.evidence.last.saturating_add(2 * HOUR) {
                findings.raise(locked.finding(key, count, now));
            }
            count > 0
        });
        if !self.any_failing {
            return;
        }
        // A success by a clock that was ahead isn't later than what fails now.
        self.succeeded.values_mut().for_each(|at| *at = (*at).min(now));
        for failing in self.accounts.values_mut().filter_map(|it| it.failing.as_mut()) {
            failing.evidence.is_not_after(now);
        }
        self.end_all_fail(now, findings);
        let all = self.all_fail(now, findings);
        self.told.extend(all.iter().map(|upstream| (upstream.clone(), now)));
        for (key, account) in &mut self.accounts {
            if std::mem::take(&mut account.cleared) {
                let finding = Finding::new(Anomaly::AuthAccountFails, Severity::Notice, "", "")
                    .about(AboutKind::Upstream, key.0.as_str())
                    .about(AboutKind::User, key.1.as_str());
                findings.clear(Anomaly::AuthAccountFails, finding.about, format!("it logged in at {}", clock(account.succeeded, now)));
            }
            let locked = self.locked.contains_key(key);
            if account.failing.is_none() || all.contains(&key.0) || locked {
                continue;
            }
            let others = self.succeeded.get(&key.0).is_some_and(|&at| at > account.succeeded && now < at.saturating_add(HOUR));
            if let Some(finding) = account.judge(key, now, others, &self.options) {
                findings.raise(finding);
            }
            if account.failing.as_ref().is_some_and(|it| now > it.evidence.last.saturating_add(DAY)) {
                account.failing = None;
            }
        }
        self.any_failing = self.accounts.values().any(|it| it.failing.is_some());
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(2, &(&self.accounts, &self.locked, &self.succeeded, self.any_failing))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((accounts, locked, succeeded, any_failing)) = kept::read(2, kept) else { return false };
        (self.accounts, self.locked, self.succeeded, self.any_failing) = (accounts, locked, succeeded, any_failing);
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

impl Locked {
    fn finding(&mut self, key: &Pair, count: u64, now: WallMicros) -> Finding {
        let refusals = several(count, "refusal", "refusals");
        let who = if key.1.is_empty() { "The account".to_owned() } else { format!("Account {}", key.1) };
        let summary =
            format!("{who} at upstream {} is locked since {}: {refusals}; it says: {}", key.0, clock(self.evidence.since, now), self.words);
        let arithmetic = format!("{refusals} of that kind since {}; one is enough", clock(self.evidence.since, now));
        let advice = Rules::builtin().advice(Cause::AccountLocked, self.provider.as_deref());
        let fresh = self.evidence.take_fresh();
        Finding::new(Anomaly::AccountLocked, Severity::Critical, summary, arithmetic)
            .about(AboutKind::Upstream, key.0.as_str())
            .about(AboutKind::User, key.1.as_str())
            .caused(Cause::AccountLocked)
            .advising(Cause::AccountLocked.act(), advice)
            .evidence(self.evidence.since, self.evidence.last, fresh, self.evidence.samples())
    }
}
