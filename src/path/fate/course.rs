//! What became of each recipient: over retries and hops, and then by what logs and reports say.

use std::collections::HashMap;

use super::super::answer::{Confidence, Fate, PathState, Reason};
use super::super::join::{Attempt, Group, ended_at, key, original};
use super::{later, retry};
use crate::diagnose::Rules;
use crate::trace::json::{Id, Reply, Time, Word};
use crate::trace::{Recipient, Stage, State, Transaction, WallMicros};

/// One recipient through the attempts that named it, in time order.
struct Course<'a> {
    address: &'a str,
    steps: Vec<(&'a Attempt, &'a Recipient)>,
}

/// In the order in which they were first named.
pub fn fates(group: &Group, now: WallMicros) -> Vec<Fate> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut courses: Vec<Course<'_>> = Vec::new();
    for attempt in &group.attempts {
        let recipients = &attempt.transaction.envelope.recipients;
        let mut members: HashMap<String, usize> = HashMap::new();
        recipients.iter().filter_map(original).for_each(|before| *members.entry(before).or_default() += 1);
        for recipient in recipients {
            // A server that rewrites an address says whom it was for (ORCPT). One that became several is a list: each member has its own fate.
            let before = original(recipient).filter(|before| members.get(before) == Some(&1));
            let known = before.and_then(|before| places.get(&before).copied());
            let place = known.unwrap_or_else(|| *places.entry(key(&recipient.address)).or_insert(courses.len()));
            match courses.get_mut(place) {
                Some(course) => course.steps.push((attempt, recipient)),
                None => courses.push(Course { address: &recipient.address, steps: vec![(attempt, recipient)] }),
            }
        }
    }
    let mut fates: Vec<Fate> = courses.iter().filter_map(|course| course.fate(group, now)).collect();
    later::only_logged(group, &mut fates);
    fates.iter_mut().for_each(advise);
    fates
}

/// Who must act and what to do, where the record has the cause only.
fn advise(fate: &mut Fate) {
    let Some(cause) = fate.cause else { return };
    fate.act = fate.act.or(Some(Word(cause.0.act())));
    if fate.advice.is_none() {
        let advice = Rules::builtin().advice(cause.0, fate.provider.as_deref());
        fate.advice = (!advice.is_empty()).then(|| advice.to_owned());
    }
}

impl Course<'_> {
    fn fate(&self, group: &Group, now: WallMicros) -> Option<Fate> {
        // Where the message came by several times, the last passage tells.
        let passage = self.steps.iter().map(|(attempt, _)| attempt.passage).max()?;
        let steps: Vec<_> = self.steps.iter().filter(|(attempt, _)| attempt.passage == passage).collect();
        // Once accepted, it is there: a later attempt that fared otherwise doesn't take it back.
        let accepted = steps.iter().rev().find(|(_, recipient)| recipient.state == State::Accepted);
        let (attempt, recipient) = accepted.or(steps.last())?;
        let mut fate = of_attempt(&attempt.transaction, recipient);
        fate.address = self.address.to_owned();
        fate.confidence = attempt.tie.confidence;
        fate.attempts = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        fate.reasons = reasons(&steps);
        let times = |state: State| steps.iter().filter(|(_, recipient)| recipient.state == state).count();
        let copies = times(State::Accepted);
        fate.duplicate_likely = copies > 1 || (copies > 0 && times(State::Unknown) > 0);
        fate.copies = if copies > 1 { u32::try_from(copies).unwrap_or(u32::MAX) } else { 0 };
        let in_doubt = steps.iter().rev().find(|(_, recipient)| recipient.state == State::Unknown).map(|(it, _)| Id(it.transaction.id));
        fate.doubt = in_doubt.filter(|id| *id != fate.hop);
        let may_have_got_there = |state: State| matches!(state, State::Accepted | State::Unknown);
        let earlier = |it: &&(&Attempt, &Recipient)| it.0.transaction.at < attempt.transaction.at && may_have_got_there(it.1.state);
        let again = (may_have_got_there(recipient.state) && self.steps.iter().any(|it| earlier(&it))).then_some(&attempt.transaction);
        let names: Vec<&str> = self.steps.iter().map(|(_, recipient)| recipient.address.as_str()).collect();
        let attempts: Vec<&Transaction> = steps.iter().map(|(attempt, _)| &attempt.transaction).collect();
        later::settle(group, &later::About { names: &names, attempts: &attempts, in_doubt, again }, &mut fate);
        if matches!(fate.state.0, PathState::Deferred | PathState::Aborted) && fate.hop.0 == attempt.transaction.id {
            let moments: Vec<u64> = steps.iter().map(|(attempt, _)| attempt.transaction.at).collect();
            fate.retry = retry::expected(&moments, ended_at(&attempt.transaction), now);
        }
        Some(fate)
    }
}

/// Why the attempts failed, each reason as long as it lasted.
fn reasons(steps: &[&(&Attempt, &Recipient)]) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = Vec::new();
    if steps.len() < 2 {
        return reasons;
    }
    for (attempt, recipient) in steps.iter().filter(|(_, recipient)| recipient.state != State::Accepted) {
        let cause = recipient.cause.map(Word);
        let code = reply(&attempt.transaction, recipient).map(|reply| reply.code);
        let stage = Word(recipient.stage);
        match reasons.last_mut() {
            Some(last) if last.cause == cause && last.code == code && last.stage == stage => last.attempts += 1,
            _ => reasons.push(Reason { cause, code, stage, attempts: 1, first_at: Time(attempt.transaction.at) }),
        }
    }
    reasons
}

fn reply<'a>(transaction: &'a Transaction, recipient: &'a Recipient) -> Option<&'a crate::trace::Reply> {
    let outcome = &transaction.outcome;
    match recipient.stage {
        // What ended the transaction of a recipient that was taken isn't in its own reply.
        Stage::RcptTo if was_taken(recipient) => outcome.reply.as_ref(),
        Stage::RcptTo => recipient.reply.as_ref(),
        // By LMTP each recipient has a word of its own at the end; otherwise its own is that to RCPT TO, which took it.
        Stage::EndOfData => recipient.reply.as_ref().filter(|reply| reply.code >= 400).or(outcome.reply.as_ref()),
        Stage::MailFrom => transaction.envelope.reply.as_ref().or(outcome.reply.as_ref()),
        _ => outcome.reply.as_ref(),
    }
}

/// Whether the recipient was taken, and its transaction came to nothing before there was a message.
fn was_taken(recipient: &Recipient) -> bool {
    recipient.state != State::Accepted && recipient.reply.as_ref().is_some_and(|reply| reply.code < 400)
}

fn of_attempt(transaction: &Transaction, recipient: &Recipient) -> Fate {
    let outcome = &transaction.outcome;
    let own = recipient.stage == Stage::RcptTo && !was_taken(recipient);
    let of_outcome = recipient.state == outcome.state || !own;
    let same_rule = recipient.rule.is_none() || recipient.rule == outcome.rule;
    Fate {
        address: recipient.address.clone(),
        state: Word(recipient.state.into()),
        stage: Word(recipient.stage),
        by: Word(recipient.by),
        reply: reply(transaction, recipient).map(Reply::from),
        detail: if of_outcome { outcome.detail.clone() } else { None },
        host: None,
        cause: recipient.cause.map(Word),
        act: recipient.act.or(outcome.act.filter(|_| of_outcome)).map(Word),
        advice: if of_outcome && same_rule { outcome.advice.clone() } else { None },
        meant: None,
        provider: outcome.provider.clone().or_else(|| transaction.upstream.provider.clone()),
        attempts: 1,
        upstream_queue_id: if recipient.state == State::Accepted { outcome.upstream_queue_id.clone() } else { None },
        at: Time(ended_at(transaction)),
        hop: Id(transaction.id),
        accepted: None,
        confidence: Confidence::Proof,
        reasons: Vec::new(),
        retry: None,
        duplicate_likely: false,
        copies: 0,
        doubt: None,
        member: None,
    }
}
