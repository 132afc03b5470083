//! Clients that try passwords, and those that log in where or how it isn't carried.

use std::net::IpAddr;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::login::{self, Came};
use super::options::Options;
use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::recent::hash;
use crate::anomaly::room;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{Evidence, HOUR, MINUTE, Sliding};
use crate::diagnose::Rules;
use crate::trace::{AboutKind, Act, Anomaly, Cause, Direction, Flag, Severity, WallMicros};
use crate::wording::{clock, several};

const MOST_CLIENTS: usize = 10_000;
/// User names of a client that are told apart.
const MOST_USERS: usize = 32;
/// Failures count for so long. µs.
const LATELY: u64 = 10 * MINUTE;
/// Listeners and upstreams with passwords in clear.
const MOST_WAYS: usize = 32;

#[derive(Debug)]
pub struct Guessing {
    options: Options,
    clients: HashMap<IpAddr, Client>,
    /// By listener and upstream: logins in clear.
    clear: HashMap<crate::anomaly::pair::Pair, Evidence>,
    forgotten: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Client {
    failures: Evidence,
    /// Hashes of the names that failed of late, and when last.
    users: Vec<(u64, WallMicros)>,
    /// Refused because of the way, not the password.
    ways: Evidence,
    way: String,
    words: String,
    /// Somebody got in from there after failures.
    got_in: Option<(WallMicros, String)>,
}

/// As version 1 of what is kept had it: names without a time.
#[derive(Deserialize)]
struct FormerClient {
    failures: Evidence,
    users: Vec<u64>,
    ways: Evidence,
    way: String,
    words: String,
    got_in: Option<(WallMicros, String)>,
}

impl From<FormerClient> for Client {
    fn from(FormerClient { failures, users, ways, way, words, got_in }: FormerClient) -> Self {
        let users = users.into_iter().map(|user| (user, failures.last)).collect();
        Self { failures, users, ways, way, words, got_in }
    }
}

impl Guessing {
    pub fn new(options: &Options) -> Self {
        Self { options: options.clone(), clients: HashMap::new(), clear: HashMap::new(), forgotten: 0 }
    }

    fn in_clear(&mut self, seen: &Seen<'_>) {
        let key = crate::anomaly::pair::PairRef(seen.listener().unwrap_or_default(), seen.upstream_name().unwrap_or_default());
        if !self.clear.contains_key(&key) {
            if self.clear.len() >= MOST_WAYS {
                self.forgotten += room::make(&mut self.clear, |it| it.last);
            }
            self.clear.insert((&key).into(), Evidence::new(Sliding::new(24, HOUR)));
        }
        if let Some(evidence) = self.clear.get_mut(&key) {
            evidence.add(seen.at, seen.id, 1);
        }
    }
}

impl Detector for Guessing {
    fn name(&self) -> &'static str {
        "auth_guessing"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        // The option alone is no password: there must have been a login.
        let any = seen.client.is_some_and(|it| it.auth.is_some()) || seen.upstream.is_some_and(|it| it.auth.is_some());
        if any && seen.has(Flag::PlaintextAuth) && !seen.is_synthetic() {
            self.in_clear(seen);
        }
        let Some(login) = login::of_client(seen) else { return };
        if login.came == Came::Succeeded {
            if let Some(client) = self.clients.get_mut(&login.client) {
                client.succeeded(seen.at, login.user, &self.options);
            }
            return;
        }
        if !self.clients.contains_key(&login.client) {
            if self.clients.len() >= MOST_CLIENTS {
                self.clients.retain(|_, it| seen.at < it.failures.last.max(it.ways.last).saturating_add(LATELY));
            }
            if self.clients.len() >= MOST_CLIENTS {
                self.forgotten += room::make(&mut self.clients, |it| it.failures.last.max(it.ways.last));
            }
            let (failures, ways) = (Evidence::new(Sliding::new(10, MINUTE)), Evidence::new(Sliding::new(12, 5 * MINUTE)));
            let client = Client { failures, users: Vec::new(), ways, way: String::new(), words: String::new(), got_in: None };
            self.clients.insert(login.client, client);
        }
        let Some(client) = self.clients.get_mut(&login.client) else { return };
        // A way that isn't carried inwards is what password guessers meet: it counts as their try.
        let of_way = match login.came {
            Came::Refused => login.direction == Direction::Outbound,
            _ => login.cause() == Cause::AuthMechanismUnsupported,
        };
        if of_way {
            client.ways.add(seen.at, seen.id, 1);
            (client.way, client.words) = (login.mechanism.to_owned(), login.words());
            return;
        }
        client.failed(seen, login.user);
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let options = &self.options;
        self.clients.retain(|ip, client| {
            let (failures, ways) = (client.failures.count(now), client.ways.count(now));
            client.forget_users(now);
            client.users.iter_mut().for_each(|(_, at)| *at = (*at).min(now));
            if failures > 0 && client.is_guessing(failures, options) {
                findings.raise(client.guesses(*ip, failures, now, options));
            }
            if ways >= options.mechanism_refusals {
                findings.raise(client.wrong_way(*ip, ways, options));
            }
            failures + ways > 0
        });
        self.clear.retain(|key, evidence| {
            let count = evidence.count(now);
            if count > 0 {
                findings.raise(in_clear(key, evidence, count));
            }
            count > 0
        });
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(2, &(&self.clients, &self.clear))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let former = || {
            let (clients, clear) = kept::read::<(HashMap<IpAddr, FormerClient>, _)>(1, kept)?;
            Some((kept::renewed(clients), clear))
        };
        let Some((clients, clear)) = kept::read(2, kept).or_else(former) else { return false };
        (self.clients, self.clear) = (clients, clear);
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

impl Client {
    fn failed(&mut self, seen: &Seen<'_>, user: &str) {
        if self.failures.window.count_at(seen.at) == 0 {
            self.got_in = None;
        }
        self.failures.add(seen.at, seen.id, 1);
        self.forget_users(seen.at);
        let user = hash(user);
        if let Some(known) = self.users.iter_mut().find(|it| it.0 == user) {
            known.1 = known.1.max(seen.at);
        } else if self.users.len() < MOST_USERS {
            self.users.push((user, seen.at));
        }
    }

    /// Many people behind one address log in there all the time, some of them at the second try: that alone is nobody who got in.
    fn succeeded(&mut self, at: WallMicros, user: &str, options: &Options) {
        self.forget_users(at);
        let name = hash(user);
        let had_failed = self.users.iter().any(|it| it.0 == name);
        if had_failed || self.users.len() >= options.guessing_users {
            self.got_in = Some((at, user.to_owned()));
        }
        let failures = self.failures.window.count_at(at);
        if !self.is_guessing(failures, options) {
            self.users.retain(|it| it.0 != name);
        }
    }

    fn is_guessing(&self, failures: u64, options: &Options) -> bool {
        failures >= options.guessing_failures || self.users.len() >= options.guessing_users
    }

    fn forget_users(&mut self, now: WallMicros) {
        self.users.retain(|(_, at)| now < at.saturating_add(LATELY));
    }

    fn guesses(&mut self, ip: IpAddr, failures: u64, now: WallMicros, options: &Options) -> Finding {
        let users = self.users.len() as u64;
        let names = several(users, "user name", "user names");
        let more = if self.users.len() >= MOST_USERS { "at least " } else { "" };
        let got_in = self.got_in.as_ref().filter(|(at, _)| *at >= self.failures.since);
        let end = match got_in {
            Some((at, user)) => format!("; at {} it got in as {user}", clock(*at, now)),
            None => String::new(),
        };
        let summary =
            format!("{ip} tries passwords: {} with {more}{names} within 10 min{end}", several(failures, "failed login", "failed logins"));
        let arithmetic = format!(
            "{failures} failed logins, {more}{names}; threshold {} failures or {} names within 10 min",
            options.guessing_failures, options.guessing_users
        );
        let severity = if got_in.is_some() { Severity::Critical } else { Severity::Warning };
        let advice = if got_in.is_some() {
            "If that login isn't the owner's, the account is broken into: change its password, end its sessions, and look at what it has sent since."
        } else {
            "Bar the address at the firewall (fail2ban), and offer logins only where they are needed. If it is one of yours, see which program has wrong passwords."
        };
        Finding::new(Anomaly::AuthGuessing, severity, summary, arithmetic)
            .about(AboutKind::Client, ip.to_string())
            .caused(Cause::AuthFailed)
            .advising(Act::LocalAdmin, advice)
            .evidence(self.failures.since, self.failures.last, self.failures.take_fresh(), self.failures.samples())
    }

    fn wrong_way(&mut self, ip: IpAddr, ways: u64, options: &Options) -> Finding {
        let said =
            if self.words.is_empty() { "the proxy carries no AUTH there".to_owned() } else { format!("the upstream says: {}", self.words) };
        let summary =
            format!("{ip} can't log in: AUTH {} is refused ({} within an hour); {said}", self.way, several(ways, "time", "times"));
        let arithmetic =
            format!("{ways} logins refused because of their mechanism or the way within 60 min; threshold {}", options.mechanism_refusals);
        let advice = if self.words.is_empty() {
            "AUTH passes only over TLS on both sides: switch TLS on in that client, see that the smart host's certificate is verified, or let the proxy log in itself."
        } else {
            Rules::builtin().advice(Cause::AuthMechanismUnsupported, None)
        };
        Finding::new(Anomaly::AuthMechanismRefused, Severity::Warning, summary, arithmetic)
            .about(AboutKind::Client, ip.to_string())
            .caused(Cause::AuthMechanismUnsupported)
            .advising(Act::LocalAdmin, advice)
            .evidence(self.ways.since, self.ways.last, self.ways.take_fresh(), self.ways.samples())
    }
}

fn in_clear(key: &crate::anomaly::pair::Pair, evidence: &mut Evidence, count: u64) -> Finding {
    let summary = format!(
        "Passwords travel in clear on listener {} to upstream {}: {} within a day",
        key.0,
        key.1,
        several(count, "login", "logins")
    );
    let arithmetic = format!("{count} logins without TLS, or over TLS that wasn't verified, within 24 h; one is enough");
    let advice = "`allow_plaintext_auth` permits it. Use TLS on both sides, with a certificate upstream that can be verified, and take the option out.";
    Finding::new(Anomaly::AuthInClear, Severity::Notice, summary, arithmetic)
        .about(AboutKind::Listener, key.0.as_str())
        .about(AboutKind::Upstream, key.1.as_str())
        .advising(Act::LocalAdmin, advice)
        .evidence(evidence.since, evidence.last, evidence.take_fresh(), evidence.samples())
        .lasting(24 * HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::samples::{MONDAY, id};
    use crate::anomaly::trial::judge;

    #[test]
    fn what_an_earlier_version_knew_is_known() {
        let client: IpAddr = [203, 0, 113, 9].into();
        let mut failures = Evidence::new(Sliding::new(10, MINUTE));
        (0..40).for_each(|no| failures.add(MONDAY + no, id(MONDAY, no), 1));
        let users: Vec<u64> = (0..10).collect();
        // As version 1 wrote it.
        let it = (&failures, &users, &Evidence::new(Sliding::new(24, HOUR)), "PLAIN", "535 wrong", Some((MONDAY + 50, "bob")));
        let clients = std::collections::HashMap::from([(client, it)]);
        let clear: HashMap<crate::anomaly::pair::Pair, Evidence> = HashMap::new();
        let mut guessing = Guessing::new(&Options::default());
        assert!(guessing.restore(&kept::write(1, &(&clients, &clear))));
        let found = judge(&mut guessing, MONDAY + MINUTE);
        let [finding] = found.as_slice() else { panic!("{found:?}") };
        assert!(finding.summary.contains("10 user names") && finding.summary.ends_with("got in as bob"), "{}", finding.summary);
    }
}
