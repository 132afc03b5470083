//! A record with what became known later.

use crate::trace::{Amendment, Flag, Outcome, Record, State};

/// Applies an amendment. Whichever is applied last wins.
pub(super) fn amend(record: &mut Record, amendment: &Amendment) {
    match record {
        Record::Transaction(transaction) => {
            // Recipients whose fate hung on the reply to end-of-data share it.
            if amendment.outcome.state != State::Partial {
                for recipient in transaction.envelope.recipients.iter_mut().filter(|recipient| recipient.state == State::Unknown) {
                    let Outcome { state, stage, by, .. } = amendment.outcome;
                    (recipient.state, recipient.stage, recipient.by) = (state, stage, by);
                }
            }
            transaction.outcome = amendment.outcome.clone();
            add(&mut transaction.flags, &amendment.flags);
        }
        Record::Session(session) => {
            session.outcome = Some(amendment.outcome.clone());
            add(&mut session.flags, &amendment.flags);
        }
        Record::Amendment(_) | Record::Gap(_) | Record::Mark(_) => {}
    }
}

fn add(flags: &mut Vec<Flag>, more: &[Flag]) {
    for &flag in more {
        if !flags.contains(&flag) {
            flags.push(flag);
        }
    }
}
