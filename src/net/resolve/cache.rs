//! Answers that are still valid, bounded by their size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache as Moka;

use super::answer::{Answer, Kind};

/// Octets of answers kept, roughly.
const MOST_OCTETS: u64 = 16 << 20;
/// RFC 9520 3.2: a failure is kept too, so that a dead server isn't asked for each message; shortly, so that its return is noticed.
pub(super) const FAILURE_KEPT: Duration = Duration::from_secs(5);

pub(super) type Key = (Box<str>, Kind);

#[derive(Clone)]
pub(super) struct Kept {
    pub answer: Arc<Answer>,
    pub since: Instant,
}

pub(super) struct Cache {
    answers: Moka<Key, Kept>,
}

impl Cache {
    pub fn new() -> Self {
        let answers = Moka::builder().max_capacity(MOST_OCTETS).weigher(weight).expire_after(ByTtl).build();
        Self { answers }
    }

    /// What is kept and valid at `now`.
    pub fn find(&self, key: &Key, now: Instant) -> Option<Kept> {
        self.answers.get(key).filter(|kept| now.saturating_duration_since(kept.since) < kept.answer.lifetime)
    }

    pub fn keep(&self, key: Key, answer: Arc<Answer>, now: Instant) {
        if !answer.lifetime.is_zero() {
            self.answers.insert(key, Kept { answer, since: now });
        }
    }

    pub fn forget(&self) {
        self.answers.invalidate_all();
    }
}

fn weight(key: &Key, kept: &Kept) -> u32 {
    let texts: usize = kept.answer.records.iter().map(|record| record.text.len() + 48).sum();
    u32::try_from(key.0.len() + texts + kept.answer.data.len() * 320 + 512).unwrap_or(u32::MAX)
}

/// Lets moka drop what has run out.
struct ByTtl;

impl Expiry<Key, Kept> for ByTtl {
    fn expire_after_create(&self, _: &Key, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.answer.lifetime)
    }

    fn expire_after_update(&self, _: &Key, kept: &Kept, _: Instant, _: Option<Duration>) -> Option<Duration> {
        Some(kept.answer.lifetime)
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Failure;
    use super::*;

    #[test]
    fn an_answer_is_kept_as_long_as_its_ttl_says() {
        let (cache, now) = (Cache::new(), Instant::now());
        let key = |name: &str| (Box::from(name), Kind::Mx);
        let failed = Answer::failed("a.example", Kind::Mx, Failure::NoSuchName, Duration::ZERO);
        cache.keep(key("a.example"), Arc::new(Answer { lifetime: Duration::from_secs(60), ..failed.clone() }), now);
        cache.keep(key("b.example"), Arc::new(failed), now);
        assert!(cache.find(&key("a.example"), now + Duration::from_secs(59)).is_some());
        assert!(cache.find(&key("a.example"), now + Duration::from_secs(60)).is_none());
        assert!(cache.find(&key("b.example"), now).is_none(), "a TTL of zero is not kept");
        cache.forget();
        assert!(cache.find(&key("a.example"), now).is_none());
    }
}
