//! What DNS said, in the record's words.

use std::time::Instant;

use super::dial::micros;
use crate::net::resolve::{self, Failure};
use crate::trace::{Answer, Dnssec, Lookup, LookupOutcome};

/// Look-ups that have just been made; `began` is the session's start, the zero of its clock.
pub(super) fn recorded(lookups: &[resolve::Lookup], began: Instant) -> Vec<Lookup> {
    lookups.iter().map(|lookup| one(lookup, began)).collect()
}

fn one(lookup: &resolve::Lookup, began: Instant) -> Lookup {
    let answer = &lookup.answer;
    let took_us = u64::try_from(lookup.took.as_micros()).unwrap_or(u64::MAX);
    Lookup {
        name: answer.name.clone(),
        query: answer.kind.as_str().to_owned(),
        outcome: lookup.failure().map_or(LookupOutcome::Found, outcome),
        why: lookup.failure().filter(|failure| !failure.is_denial()).map(ToString::to_string),
        answers: answer
            .records
            .iter()
            .map(|record| Answer { kind: record.record_type.to_owned(), ttl: lookup.ttl_left(record), data: record.text.clone() })
            .collect(),
        answers_cut: u32::try_from(answer.records_beyond).unwrap_or(u32::MAX),
        server: answer.server.map(|server| server.to_string()),
        dnssec: Some(dnssec(lookup.dnssec())),
        at_us: micros(began).saturating_sub(took_us),
        took_us,
    }
}

fn outcome(failure: &Failure) -> LookupOutcome {
    match failure {
        Failure::NoSuchName => LookupOutcome::NoSuchName,
        Failure::NoRecord => LookupOutcome::NoData,
        Failure::ServerFailure { .. } => LookupOutcome::ServerFailure,
        Failure::TimedOut { .. } => LookupOutcome::Timeout,
        Failure::Bogus { .. } => LookupOutcome::Bogus,
        Failure::Unreachable { .. } | Failure::NotAName { .. } => LookupOutcome::Failed,
    }
}

pub(super) fn dnssec(status: resolve::Dnssec) -> Dnssec {
    match status {
        resolve::Dnssec::Secure => Dnssec::Secure,
        resolve::Dnssec::Insecure => Dnssec::Insecure,
        resolve::Dnssec::Bogus => Dnssec::Bogus,
        resolve::Dnssec::Unchecked => Dnssec::Unchecked,
    }
}

pub(super) fn of_record(status: Option<Dnssec>) -> resolve::Dnssec {
    match status {
        Some(Dnssec::Secure) => resolve::Dnssec::Secure,
        Some(Dnssec::Insecure) => resolve::Dnssec::Insecure,
        Some(Dnssec::Bogus) => resolve::Dnssec::Bogus,
        Some(Dnssec::Unchecked) | None => resolve::Dnssec::Unchecked,
    }
}
