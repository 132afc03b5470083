//! What the traces know of a domain before DNS is asked.

use crate::store::{PageRequest, Query, Store, StoreError, Term};
use crate::trace::{Direction, Record, RecordKind, State, Transaction, WallMicros};

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
    // Strangers sign what they send here with any name, and keys that were in use long ago may be gone.
    let since = store.now().saturating_sub(LATELY);
    let is_own = |it: &Transaction| {
        it.direction == Direction::Outbound && it.at >= since && matches!(it.outcome.state, State::Accepted | State::Partial)
    };
    let signatures = page.records.iter().flat_map(|record| match record {
        Record::Transaction(it) if is_own(it) => it.message.signatures.as_slice(),
        _ => &[],
    });
    Ok(selectors_of(signatures.map(|it| (it.domain.as_str(), it.selector.as_str())), &domain))
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
