//! Which address was meant where there is no such mailbox or domain: one a slip away to which mail was accepted, or a well-known domain.

use super::super::answer::{Fate, MessagePath};
use super::super::fate::retell;
use super::super::nearest::address_distance;
use super::super::never::{near, well_known};
use super::Traces;
use crate::trace::{Cause, State, Transaction};

/// Recipients of one answer for which it is looked for: some five questions to the index each.
const RECIPIENTS: usize = 3;

/// Finds it for the first few recipients that don't exist.
pub fn look<T: Traces>(traces: &T, paths: &mut [MessagePath]) -> Result<(), T::Error> {
    let mut asked = 0;
    for path in paths {
        let mut found = false;
        for fate in path.recipients.iter_mut().filter(|fate| is_unknown(fate)).take(RECIPIENTS.saturating_sub(asked)) {
            asked += 1;
            fate.meant = meant(traces, fate)?;
            found |= fate.meant.is_some();
        }
        if found {
            retell(path);
        }
    }
    Ok(())
}

fn is_unknown(fate: &Fate) -> bool {
    !fate.state.0.is_well() && fate.cause.is_some_and(|cause| matches!(cause.0, Cause::RecipientUnknown | Cause::DomainNotFound))
}

fn meant<T: Traces>(traces: &T, fate: &Fate) -> Result<Option<String>, T::Error> {
    let seen = near::search(traces, &fate.address, accepted)?;
    let nearest = seen.into_iter().min_by_key(|near| (near.distance, std::cmp::Reverse(near.last_at)));
    if let Some(near) = nearest {
        return Ok(Some(near.address));
    }
    let Some((local_part, domain)) = fate.address.rsplit_once('@').filter(|_| fate.cause.is_some_and(|it| it.0 == Cause::DomainNotFound))
    else {
        return Ok(None);
    };
    let known = well_known::like(&domain.to_ascii_lowercase());
    Ok(known.first().map(|(known, _)| format!("{local_part}@{known}")).filter(|it| address_distance(it, &fate.address).is_some()))
}

/// Those to whom this mail was accepted.
fn accepted(transaction: &Transaction) -> Vec<&str> {
    let recipients = transaction.envelope.recipients.iter();
    recipients.filter(|recipient| recipient.state == State::Accepted).map(|recipient| recipient.address.as_str()).collect()
}
