//! What happened, in one sentence: what a person sees first, whatever the system.

use std::fmt::Write;

use super::named::Named;
use crate::trace::record::{Outcome, Session, Transaction};
use crate::trace::{Amendment, Audit, Record};

/// Puts the sentence into `out`, which is emptied before.
pub fn write(out: &mut String, record: &Record, named: Named) {
    out.clear();
    // Writing to a String can't fail.
    let _ = match record {
        Record::Transaction(it) => transaction(out, it, named),
        Record::Session(it) => session(out, it, named),
        Record::Amendment(it) => amendment(out, it),
        Record::Gap(it) => write!(out, "{}: {} lost: {}", named.name, it.records_lost, it.why),
        Record::Audit(it) => audit(out, it, named),
        Record::Incident(it) => write!(out, "{}: {}", named.name, it.summary),
        Record::Mark(_) | Record::Log(_) => Ok(()),
    };
}

fn transaction(out: &mut String, it: &Transaction, named: Named) -> std::fmt::Result {
    write!(out, "{}: from <{}>", named.name, it.envelope.reverse_path)?;
    if let Some(first) = it.envelope.recipients.first() {
        write!(out, " to <{}>", first.address)?;
        let more = it.envelope.recipients.len() - 1 + it.envelope.recipients_cut as usize;
        if more > 0 {
            write!(out, " and {more} more")?;
        }
    }
    outcome(out, &it.outcome)
}

fn session(out: &mut String, it: &Session, named: Named) -> std::fmt::Result {
    write!(out, "{}: client {}", named.name, it.client.ip)?;
    if let Some(user) = it.client.auth.as_ref().and_then(|auth| auth.user.as_deref()) {
        write!(out, ", user {user}")?;
    }
    let auth = it.client.auth.as_ref().and_then(|auth| auth.reply.as_ref());
    match (&it.outcome, &it.ended.detail) {
        (Some(said), _) => outcome(out, said),
        (None, Some(detail)) => write!(out, "; at {}, {detail}", it.ended.stage),
        (None, None) => match auth.and_then(|reply| reply.lines.first().map(|line| (reply.code, line))) {
            Some((code, line)) => write!(out, "; at {}, {} said {code} {line}", it.ended.stage, it.ended.by),
            None => write!(out, "; at {} by {}", it.ended.stage, it.ended.by),
        },
    }
}

fn amendment(out: &mut String, it: &Amendment) -> std::fmt::Result {
    write!(out, "Record {} amended: {}", it.of, it.outcome.state)?;
    outcome(out, &it.outcome)
}

fn audit(out: &mut String, it: &Audit, named: Named) -> std::fmt::Result {
    out.write_str(named.name)?;
    match &it.detail {
        Some(detail) => write!(out, ": {detail}"),
        None => Ok(()),
    }
}

/// "; at rcpt_to, upstream said 550 5.1.1 No such user".
fn outcome(out: &mut String, it: &Outcome) -> std::fmt::Result {
    write!(out, "; at {}, {}", it.stage, it.by)?;
    match (&it.reply, &it.detail) {
        (Some(reply), _) => {
            write!(out, " said {}", reply.code)?;
            for line in reply.lines.iter().take(3) {
                write!(out, " {line}")?;
            }
            Ok(())
        }
        (None, Some(detail)) => write!(out, ": {detail}"),
        (None, None) => Ok(()),
    }
}
