//! Answers that are still valid, bounded by their size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::proto::rr::{Name, RData};
use moka::Expiry;
use moka::sync::Cache as Moka;

use super::answer::{Answer, Failure, Kind};

/// Octets of answers kept, roughly.
const MOST_OCTETS: u64 = 16 << 20;
/// A single answer that takes more than this is used and not kept: nothing that mail goes by is as long, and a few dozen like it would push
/// out all others.
const MOST_OF_ONE: u32 = 256 << 10;
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

    /// What DNS said holds for its TTL: that it can't be asked again doesn't take its place.
    pub fn keep(&self, key: Key, answer: Arc<Answer>, now: Instant) {
        let is_said = |answer: &Answer| answer.failure.as_ref().is_none_or(Failure::is_denial);
        if !is_said(&answer) && self.find(&key, now).is_some_and(|kept| is_said(&kept.answer)) {
            return;
        }
        let kept = Kept { answer, since: now };
        if !kept.answer.lifetime.is_zero() && weight(&key, &kept) <= MOST_OF_ONE {
            self.answers.insert(key, kept);
        }
    }

    pub fn forget(&self) {
        self.answers.invalidate_all();
    }
}

fn weight(key: &Key, kept: &Kept) -> u32 {
    let answer = &kept.answer;
    let texts: usize = answer.records.iter().map(|record| record.text.len() + 48).sum();
    let data: usize = answer.data.iter().map(|data| size_of::<RData>() + beyond(data)).sum();
    let names = key.0.len() + answer.name.len() + answer.canonical_name.as_ref().map_or(0, String::len);
    u32::try_from(names + texts + data + 512).unwrap_or(u32::MAX)
}

/// What the data holds outside of itself, as an allocator counts it: the length of what is asked for is up to whoever answers.
fn beyond(data: &RData) -> usize {
    let of_name = |name: &Name| 2 * name.len();
    match data {
        RData::TXT(txt) => txt.txt_data.iter().map(|text| text.len() + 48).sum(),
        RData::TLSA(tlsa) => tlsa.cert_data.len(),
        RData::MX(mx) => of_name(&mx.exchange),
        RData::CNAME(target) => of_name(&target.0),
        RData::PTR(target) => of_name(&target.0),
        RData::NS(target) => of_name(&target.0),
        RData::SOA(soa) => of_name(&soa.mname) + of_name(&soa.rname),
        _ => 0,
    }
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

    #[test]
    fn what_an_answer_holds_counts_and_a_giant_is_not_kept() {
        use hickory_resolver::proto::rr::rdata::TXT;
        let (cache, now) = (Cache::new(), Instant::now());
        let with = |data| {
            let failed = Answer::failed("a.example", Kind::Txt, Failure::NoRecord, Duration::ZERO);
            Kept { answer: Arc::new(Answer { failure: None, lifetime: Duration::from_secs(60), data, ..failed }), since: now }
        };
        let key: Key = (Box::from("a.example"), Kind::Txt);
        let strings = |count: usize| with(vec![RData::TXT(TXT::new(vec![String::new(); count]))]);
        let least = |count: usize| u32::try_from(count * (size_of::<Box<[u8]>>() + 1)).unwrap();
        assert!(weight(&key, &strings(1_000)) > least(1_000), "many empty strings are not nothing");
        for (count, is_kept) in [(100, true), (60_000, false)] {
            cache.forget();
            cache.keep(key.clone(), strings(count).answer, now);
            assert_eq!(cache.find(&key, now).is_some(), is_kept, "{count} strings");
        }
    }

    #[test]
    fn a_failure_takes_no_valid_answers_place() {
        let (cache, now) = (Cache::new(), Instant::now());
        let key: Key = (Box::from("a.example"), Kind::Mx);
        let failed = |failure, seconds| {
            let failed = Answer::failed("a.example", Kind::Mx, failure, Duration::ZERO);
            Arc::new(Answer { lifetime: Duration::from_secs(seconds), ..failed })
        };
        let silence = || failed(Failure::TimedOut { after: Duration::from_secs(5) }, 5);
        let outcome = |at| cache.find(&key, at).and_then(|kept| kept.answer.failure.clone());
        cache.keep(key.clone(), silence(), now);
        cache.keep(key.clone(), failed(Failure::NoRecord, 60), now);
        assert_eq!(outcome(now), Some(Failure::NoRecord), "an answer takes a failure's place");
        cache.keep(key.clone(), silence(), now);
        assert_eq!(outcome(now), Some(Failure::NoRecord));
        cache.keep(key.clone(), failed(Failure::NoSuchName, 30), now);
        assert_eq!(outcome(now), Some(Failure::NoSuchName), "a newer answer counts");
        let later = now + Duration::from_secs(30);
        cache.keep(key.clone(), silence(), later);
        assert!(matches!(outcome(later), Some(Failure::TimedOut { .. })), "it has run out");
    }
}
