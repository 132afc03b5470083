//! What the traces know of a domain before DNS is asked.

use crate::store::{PageRequest, Query, Store, StoreError, Term};
use crate::trace::{Direction, Record, RecordKind, State, WallMicros};

/// Messages that are looked at, the newest.
pub const MOST: usize = 500;
/// What was signed before is of no account: two weeks, in µs.
const LATELY: WallMicros = 14 * 86_400_000_000;
/// Selectors that are told.
const SELECTORS: usize = 8;

/// DKIM selectors that a domain's mail was signed with when it went out lately, the last used first.
///
/// # Errors
/// The store can't be read.
pub fn selectors(store: &Store, domain: &str) -> Result<Vec<String>, StoreError> {
    let domain = domain.trim_end_matches('.').to_lowercase();
    let query = Query { all: vec![Term::Kind(RecordKind::Transaction), Term::Domain(domain.clone())], ..Query::default() };
    let page = store.query(&query, &PageRequest::newest(MOST))?;
    let now = store.now();
    let signatures = page.records.iter().flat_map(|record| match record {
        Record::Transaction(it) if tells(it.direction, it.outcome.state, it.at, now) => it.message.signatures.as_slice(),
        _ => &[],
    });
    Ok(selectors_of(signatures.map(|it| (it.domain.as_str(), it.selector.as_str())), &domain))
}

/// Whether a message's signatures tell of a domain's keys: strangers sign what they send here with any name, and keys that were in use long
/// ago may be gone.
pub fn tells(direction: Direction, state: State, at: WallMicros, now: WallMicros) -> bool {
    direction == Direction::Outbound && at >= now.saturating_sub(LATELY) && matches!(state, State::Accepted | State::Partial)
}

/// Of signatures as domain and selector, those of one domain, each once.
pub fn selectors_of<'a>(signatures: impl Iterator<Item = (&'a str, &'a str)>, domain: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (_, selector) in signatures.filter(|(of, _)| *of == domain) {
        if !found.iter().any(|it| it == selector) && found.len() < SELECTORS {
            found.push(selector.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mail_of_ones_own_that_was_taken_lately_tells() {
        let now = 10 * LATELY;
        let (out, inward) = (Direction::Outbound, Direction::Inbound);
        assert!(tells(out, State::Accepted, now, now) && tells(out, State::Partial, now - LATELY, now));
        for (direction, state, at) in
            [(inward, State::Accepted, now), (out, State::Rejected, now), (out, State::Accepted, now - LATELY - 1)]
        {
            assert!(!tells(direction, state, at, now), "{direction:?} {state:?} {at}");
        }
    }
}
