//! Policies that hold, and fetches that failed lately; bounded, and portable as JSON over a restart.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::policy::Policy;

/// A failed fetch isn't tried again sooner (RFC 8461 3.3: five minutes at least).
const FAILURE_SECONDS: u64 = 300;
/// A policy is fetched again before it runs out, so that it can't be starved to death (RFC 8461 3.3, 10.2).
const REFRESH_SECONDS: u64 = 86_400;
/// Octets of policies kept, roughly: one that names 200 hosts takes 56 KB, and whoever publishes it may have many domains.
const MOST_OCTETS: usize = 16 << 20;
const VERSION: u8 = 1;

/// Times are seconds since 1970.
#[derive(Debug, Default)]
pub(super) struct Cache {
    policies: HashMap<String, Kept>,
    failures: HashMap<String, Failed>,
}

#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub policy: Arc<Policy>,
    pub fetched_at: u64,
}

#[derive(Debug, Clone)]
struct Failed {
    id: String,
    why: String,
    until: u64,
}

/// One policy in the exported text.
#[derive(Serialize, Deserialize)]
struct Line {
    domain: String,
    fetched_at: u64,
    #[serde(flatten)]
    policy: Policy,
}

#[derive(Serialize, Deserialize)]
struct Export {
    v: u8,
    policies: Vec<Line>,
}

/// Why a saved cache is of no use. Nothing was taken from it.
#[derive(Debug, Error)]
pub enum ImportError {
    #[error("the saved MTA-STS policies can't be read: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("the saved MTA-STS policies are of version {found}, not {VERSION}")]
    Version { found: u8 },
}

impl Kept {
    fn expires_at(&self) -> u64 {
        self.fetched_at.saturating_add(self.policy.max_age)
    }

    fn holds(&self, now: u64) -> bool {
        now < self.expires_at()
    }

    fn octets(&self) -> usize {
        let Policy { id, mx, .. } = self.policy.as_ref();
        size_of::<Self>() + size_of::<Policy>() + id.len() + mx.iter().map(|host| size_of::<String>() + host.len()).sum::<usize>()
    }

    /// Whether it is time to look whether the policy is still the same.
    pub fn is_due(&self, now: u64) -> bool {
        now.saturating_sub(self.fetched_at) >= REFRESH_SECONDS.min(self.policy.max_age / 2)
    }
}

impl Cache {
    /// The policy that holds for the domain now.
    pub fn policy(&self, domain: &str, now: u64) -> Option<Kept> {
        self.policies.get(domain).filter(|kept| kept.holds(now)).cloned()
    }

    /// Why this version could not be fetched, if that was tried lately.
    pub fn failure(&self, domain: &str, id: &str, now: u64) -> Option<String> {
        let failed = self.failures.get(domain).filter(|failed| failed.id == id && now < failed.until);
        failed.map(|failed| failed.why.clone())
    }

    pub fn keep(&mut self, domain: &str, policy: Arc<Policy>, now: u64, most: usize) {
        self.failures.remove(domain);
        self.policies.insert(domain.to_owned(), Kept { policy, fetched_at: now });
        shrink(&mut self.policies, most, now, Kept::expires_at, Kept::octets);
    }

    pub fn keep_failure(&mut self, domain: &str, id: &str, why: String, now: u64, most: usize) {
        let until = now.saturating_add(FAILURE_SECONDS);
        self.failures.insert(domain.to_owned(), Failed { id: id.to_owned(), why, until });
        shrink(&mut self.failures, most, now, |failed| failed.until, |failed| failed.id.len() + failed.why.len());
    }

    pub fn export(&self, now: u64) -> String {
        let holding = self.policies.iter().filter(|(_, kept)| kept.holds(now));
        let mut policies: Vec<Line> = holding
            .map(|(domain, kept)| Line { domain: domain.clone(), fetched_at: kept.fetched_at, policy: kept.policy.as_ref().clone() })
            .collect();
        policies.sort_by(|one, other| one.domain.cmp(&other.domain));
        serde_json::to_string(&Export { v: VERSION, policies }).unwrap_or_default()
    }

    /// Takes over what still holds and is newer than what is known; how many policies that was. What isn't sound is left out.
    pub fn import(&mut self, text: &str, now: u64, most: usize) -> Result<usize, ImportError> {
        let export: Export = serde_json::from_str(text)?;
        if export.v != VERSION {
            return Err(ImportError::Version { found: export.v });
        }
        let mut taken = 0;
        for line in export.policies {
            let kept = Kept { policy: Arc::new(line.policy), fetched_at: line.fetched_at.min(now) };
            let known = self.policies.get(&line.domain).map(|known| known.fetched_at);
            if kept.policy.is_sound() && kept.holds(now) && known.is_none_or(|known| known < kept.fetched_at) {
                self.policies.insert(line.domain, kept);
                taken += 1;
            }
        }
        shrink(&mut self.policies, most, now, Kept::expires_at, Kept::octets);
        Ok(taken)
    }
}

/// Keeps the map within `most` entries and [`MOST_OCTETS`]: drops what has run out, then what runs out first, a tenth at a time.
fn shrink<T>(map: &mut HashMap<String, T>, most: usize, now: u64, ends_at: impl Fn(&T) -> u64, octets: impl Fn(&T) -> usize) {
    let octets = |domain: &String, it: &T| domain.len() + octets(it);
    let all = |map: &HashMap<String, T>| map.iter().map(|(domain, it)| octets(domain, it)).sum::<usize>();
    if map.len() <= most && all(map) <= MOST_OCTETS {
        return;
    }
    map.retain(|_, it| now < ends_at(it));
    let (mut count, mut sum) = (map.len(), all(map));
    if count <= most && sum <= MOST_OCTETS {
        return;
    }
    let mut ends: Vec<(u64, String)> = map.iter().map(|(domain, it)| (ends_at(it), domain.clone())).collect();
    ends.sort_unstable();
    let (most, most_octets) = (most - most / 10, MOST_OCTETS - MOST_OCTETS / 10);
    for (_, domain) in ends {
        if count <= most && sum <= most_octets {
            return;
        }
        count -= 1;
        sum -= map.remove(&domain).map_or(0, |it| octets(&domain, &it));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::*;

    fn policy(id: &str, max_age: u64) -> Arc<Policy> {
        Arc::new(Policy { id: id.to_owned(), mode: Mode::Enforce, mx: vec!["*.a.example".to_owned()], max_age })
    }

    #[test]
    fn a_policy_holds_for_its_age_and_is_looked_at_before() {
        let mut cache = Cache::default();
        cache.keep("a.example", policy("1", 1_000), 5_000, 10);
        assert!(cache.policy("a.example", 5_999).is_some_and(|kept| kept.is_due(5_999)));
        assert!(cache.policy("a.example", 5_499).is_some_and(|kept| !kept.is_due(5_499)));
        assert!(cache.policy("a.example", 6_000).is_none());
    }

    #[test]
    fn a_failure_is_remembered_for_its_version_and_its_time() {
        let mut cache = Cache::default();
        cache.keep_failure("a.example", "1", "404".to_owned(), 1_000, 10);
        assert_eq!(cache.failure("a.example", "1", 1_299).as_deref(), Some("404"));
        assert_eq!(cache.failure("a.example", "2", 1_299), None);
        assert_eq!(cache.failure("a.example", "1", 1_300), None);
    }

    #[test]
    fn what_was_exported_comes_back_while_it_holds() {
        let mut cache = Cache::default();
        cache.keep("a.example", policy("1", 1_000), 5_000, 10);
        cache.keep("b.example", policy("2", 100), 5_000, 10);
        let text = cache.export(5_050);
        let mut other = Cache::default();
        assert_eq!(other.import(&text, 5_200, 10).unwrap(), 1);
        assert_eq!(other.export(5_200), cache.export(5_200));
        assert!(text.starts_with(r#"{"v":1,"policies":[{"domain":"a.example","fetched_at":5000,"id":"1","mode":"enforce""#), "{text}");

        assert!(matches!(other.import("{", 0, 10), Err(ImportError::NotJson(_))));
        assert!(matches!(other.import(r#"{"v":2,"policies":[]}"#, 0, 10), Err(ImportError::Version { found: 2 })));
        let forged = text.replace("*.a.example", "*");
        assert_eq!(Cache::default().import(&forged, 5_050, 10).unwrap(), 0);
        let future = text.replace("5000", "999999");
        let mut cautious = Cache::default();
        cautious.import(&future, 5_050, 10).unwrap();
        assert!(cautious.policy("a.example", 6_050).is_none(), "a clock that ran ahead makes nothing last longer");
    }

    #[test]
    fn what_is_imported_takes_no_newer_ones_place() {
        let mut old = Cache::default();
        old.keep("a.example", policy("1", 1_000), 5_000, 10);
        old.keep("b.example", policy("1", 1_000), 5_200, 10);
        let mut cache = Cache::default();
        cache.keep("a.example", policy("2", 1_000), 5_100, 10);
        cache.keep("b.example", policy("2", 1_000), 5_100, 10);
        assert_eq!(cache.import(&old.export(5_300), 5_300, 10).unwrap(), 1);
        let id = |domain| cache.policy(domain, 5_300).map(|kept| kept.policy.id.clone());
        assert_eq!((id("a.example").as_deref(), id("b.example").as_deref()), (Some("2"), Some("1")));
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let mut cache = Cache::default();
        for at in 0..100 {
            cache.keep(&format!("{at}.example"), policy("1", 1_000 + at), 0, 20);
            cache.keep_failure(&format!("{at}.example"), "1", String::new(), at, 20);
            assert!(cache.policies.len() <= 20 && cache.failures.len() <= 20);
        }
        assert!(cache.policy("99.example", 500).is_some(), "what holds longest stays");
    }

    #[test]
    fn long_policies_are_bounded_by_what_they_hold() {
        let mut cache = Cache::default();
        let long = |max_age| Arc::new(Policy { mx: vec!["a".repeat(253); 200], ..policy("1", max_age).as_ref().clone() });
        for at in 0..400 {
            cache.keep(&format!("{at}.example"), long(1_000 + at), 0, 10_000);
        }
        let kept: usize = cache.policies.values().map(Kept::octets).sum();
        assert!(cache.policies.len() > 200 && kept <= MOST_OCTETS, "{} policies of {kept} octets", cache.policies.len());
        assert!(cache.policy("399.example", 500).is_some(), "what holds longest stays");
    }
}
