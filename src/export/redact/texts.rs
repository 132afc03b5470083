//! Every free text of a record: where a value may recur that is hidden in its own field.

use std::sync::Arc;

use super::{of_outcome, of_reply};
use crate::trace::{Auth, Client, Kept, Record, Report, Transaction, Upstream};

/// Calls `f` with each.
pub(super) fn each(record: &mut Record, f: &mut dyn FnMut(&mut String)) {
    match record {
        Record::Transaction(it) => transaction(it, f),
        Record::Session(it) => {
            client(&mut it.client, f);
            upstream(&mut it.upstream, f);
            it.outcome.as_mut().into_iter().for_each(|outcome| of_outcome(outcome, f));
            it.ended.detail.as_mut().into_iter().for_each(f);
        }
        Record::Amendment(it) => of_outcome(&mut it.outcome, f),
        Record::Gap(it) => f(&mut it.why),
        Record::Audit(it) => it.who.iter_mut().chain(&mut it.detail).for_each(f),
        Record::Incident(it) => {
            it.about.iter_mut().for_each(|about| f(&mut about.value));
            f(&mut it.summary);
            f(&mut it.arithmetic);
            f(&mut it.advice);
            it.baseline.iter_mut().chain(&mut it.note).for_each(&mut *f);
            it.change.iter_mut().for_each(|change| {
                f(&mut change.before);
                f(&mut change.after);
            });
        }
        Record::Log(it) => {
            let texts = [&mut it.reverse_path, &mut it.recipient, &mut it.original_recipient];
            texts.into_iter().flatten().for_each(&mut *f);
            it.outcome.as_mut().into_iter().for_each(|outcome| of_outcome(outcome, f));
        }
        Record::Mark(_) => {}
    }
}

fn transaction(it: &mut Transaction, f: &mut dyn FnMut(&mut String)) {
    client(&mut it.client, f);
    upstream(&mut it.upstream, f);
    let envelope = &mut it.envelope;
    envelope.params.iter_mut().chain(&mut envelope.envid).for_each(&mut *f);
    envelope.reply.iter_mut().for_each(|reply| of_reply(reply, f));
    for recipient in &mut envelope.recipients {
        recipient.params.iter_mut().chain(&mut recipient.orcpt).for_each(&mut *f);
        recipient.reply.iter_mut().for_each(|reply| of_reply(reply, f));
    }
    let message = &mut it.message;
    // Message-IDs look like addresses, and are none.
    let header = [&mut message.from, &mut message.to, &mut message.subject];
    header.into_iter().flatten().for_each(&mut *f);
    message.report.iter_mut().for_each(|it| report(it, f));
    of_outcome(&mut it.outcome, f);
}

fn report(it: &mut Report, f: &mut dyn FnMut(&mut String)) {
    let texts = [&mut it.original_from, &mut it.original_to, &mut it.envid, &mut it.original_subject];
    texts.into_iter().flatten().for_each(&mut *f);
    for recipient in &mut it.recipients {
        recipient.original.iter_mut().chain(&mut recipient.text).for_each(&mut *f);
    }
}

fn client(client: &mut Arc<Kept<Client>>, f: &mut dyn FnMut(&mut String)) {
    let mut changed = (***client).clone();
    auth(changed.auth.as_mut(), f);
    *client = Arc::new(Kept::new(changed));
}

fn upstream(upstream: &mut Arc<Kept<Upstream>>, f: &mut dyn FnMut(&mut String)) {
    let mut changed = (***upstream).clone();
    auth(changed.auth.as_mut(), f);
    changed.banner.iter_mut().for_each(&mut *f);
    changed.offered.iter_mut().for_each(&mut *f);
    changed.tried.iter_mut().for_each(|tried| f(&mut tried.error));
    *upstream = Arc::new(Kept::new(changed));
}

fn auth(auth: Option<&mut Auth>, f: &mut dyn FnMut(&mut String)) {
    if let Some(auth) = auth {
        auth.reply.iter_mut().for_each(|reply| of_reply(reply, f));
    }
}
