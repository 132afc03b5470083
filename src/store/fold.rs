//! A record with what became known later.

use crate::trace::{AmendedRecipient, Amendment, Flag, Outcome, Record, State};

/// Applies an amendment. Whichever is applied last wins.
pub(super) fn amend(record: &mut Record, amendment: &Amendment) {
    match record {
        Record::Transaction(transaction) => {
            // Recipients whose fate hung on the reply to end-of-data share it.
            if amendment.outcome.state != State::Partial {
                for recipient in transaction.envelope.recipients.iter_mut().filter(|recipient| recipient.state == State::Unknown) {
                    let Outcome { state, stage, by, cause, act, ref rule, .. } = amendment.outcome;
                    (recipient.state, recipient.stage, recipient.by) = (state, stage, by);
                    (recipient.cause, recipient.act, recipient.rule) = (cause, act, rule.clone());
                }
            }
            for AmendedRecipient { place, cause, act, rule } in &amendment.recipients {
                if let Some(recipient) = transaction.envelope.recipients.get_mut(*place as usize) {
                    (recipient.cause, recipient.act, recipient.rule) = (*cause, *act, rule.clone());
                }
            }
            for AmendedRecipient { place, cause, act, rule } in &amendment.reported {
                let reported = transaction.message.report.as_mut().and_then(|report| report.recipients.get_mut(*place as usize));
                if let Some(recipient) = reported {
                    (recipient.cause, recipient.act, recipient.rule) = (*cause, *act, rule.clone());
                }
            }
            transaction.outcome = amendment.outcome.clone();
            add(&mut transaction.flags, &amendment.flags);
        }
        Record::Session(session) => {
            session.outcome = Some(amendment.outcome.clone());
            add(&mut session.flags, &amendment.flags);
        }
        Record::Log(log) => log.outcome = Some(amendment.outcome.clone()),
        Record::Amendment(_) | Record::Gap(_) | Record::Mark(_) | Record::Audit(_) | Record::Incident(_) => {}
    }
}

fn add(flags: &mut Vec<Flag>, more: &[Flag]) {
    for &flag in more {
        if !flags.contains(&flag) {
            flags.push(flag);
        }
    }
}
