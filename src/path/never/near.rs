//! Addresses that look like the one asked for, among those that were seen.

use std::collections::HashMap;

use super::super::answer::Nearest;
use super::super::find::Traces;
use super::super::join::key;
use super::super::nearest::address_distance;
use super::super::what::What;
use crate::store::{PageRequest, Query, Term, TextField};
use crate::trace::json::{Id, Time};
use crate::trace::{Record, Transaction};

/// Records looked through at each place: those of a domain lie far apart, and reading one takes some 50 µs.
const LOOKED_THROUGH: usize = 100;
const NEAREST: usize = 5;

/// Addresses a slip or two away from those asked for, nearest first.
pub(super) fn nearest<T: Traces>(traces: &T, what: &What) -> Result<Vec<Nearest>, T::Error> {
    let mut found: HashMap<String, Nearest> = HashMap::new();
    for wanted in what.addresses() {
        for near in search(traces, wanted, addresses)? {
            remember(&mut found, near);
        }
    }
    let mut nearest: Vec<Nearest> = found.into_values().collect();
    nearest.sort_by(|one, other| {
        (one.distance, std::cmp::Reverse(one.last_at), &one.address).cmp(&(
            other.distance,
            std::cmp::Reverse(other.last_at),
            &other.address,
        ))
    });
    nearest.truncate(NEAREST);
    Ok(nearest)
}

/// Addresses a slip or two away from this one, of those that `pick` takes out of a transaction: those of the domain that begin alike, then
/// all of the domain, those with the local part, those that begin like it, then among the newest records. The first place that has any
/// decides.
pub(in crate::path) fn search<T: Traces>(traces: &T, wanted: &str, pick: fn(&Transaction) -> Vec<&str>) -> Result<Vec<Nearest>, T::Error> {
    let Some((local_part, domain)) = wanted.rsplit_once('@') else { return Ok(Vec::new()) };
    let begins = Term::Begins(TextField::Address, beginning(local_part));
    let places = [
        vec![Term::Domain(domain.to_owned()), begins.clone()],
        vec![Term::Domain(domain.to_owned())],
        vec![Term::Address(local_part.to_owned())],
        vec![begins],
        Vec::new(),
    ];
    for all in places {
        let mut found: HashMap<String, Nearest> = HashMap::new();
        let page = traces.query(&Query { all, since: None, until: None }, &PageRequest::newest(LOOKED_THROUGH))?;
        for record in &page.records {
            let Record::Transaction(transaction) = record else { continue };
            for address in pick(transaction) {
                let Some(distance) = address_distance(wanted, address).filter(|far| *far > 0) else { continue };
                let near = Nearest {
                    address: address.to_owned(),
                    distance: u32::try_from(distance).unwrap_or(u32::MAX),
                    last_at: Time(transaction.at),
                    id: Id(transaction.id),
                };
                remember(&mut found, near);
            }
        }
        if !found.is_empty() {
            return Ok(found.into_values().collect());
        }
    }
    Ok(Vec::new())
}

/// The newest record with an address stands for it.
fn remember(found: &mut HashMap<String, Nearest>, near: Nearest) {
    let known = found.entry(key(&near.address)).or_insert_with(|| near.clone());
    if known.last_at < near.last_at {
        *known = near;
    }
}

fn addresses(transaction: &Transaction) -> Vec<&str> {
    let recipients = transaction.envelope.recipients.iter().map(|recipient| recipient.address.as_str());
    std::iter::once(transaction.envelope.reverse_path.as_str()).chain(recipients).collect()
}

/// The half of a local part that a slip in the other half leaves as it is.
fn beginning(local_part: &str) -> String {
    let letters = local_part.chars().count();
    local_part.chars().take(letters.div_ceil(2)).collect()
}
