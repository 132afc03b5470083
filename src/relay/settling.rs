//! What a transaction comes to: the fate of each recipient, and the sum of them.

use super::recorder::{Verdict, state_of};
use crate::trace::{Actor, Envelope, Recipient, Stage, State};

/// How RCPT TO was answered for recipients that are only counted, beyond those that the record keeps.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cut {
    taken: bool,
    deferred: bool,
    rejected: bool,
    /// Those that no reply has come for.
    pub(super) unanswered: u32,
}

impl Cut {
    pub(super) fn add(&mut self, state: State) {
        match state {
            State::Accepted => self.taken = true,
            State::Deferred => self.deferred = true,
            _ => self.rejected = true,
        }
    }
}

/// Gives every recipient its fate, and the transaction the sum of them.
pub(super) fn settle(envelope: &mut Envelope, cut: Cut, mut verdict: Verdict) -> Verdict {
    // MAIL refused: that decides, whatever the pipelined RCPTs were answered.
    if let Some(reply) = envelope.reply.as_ref().filter(|reply| reply.code >= 400 && verdict.state != State::Accepted) {
        let (state, by) = (
            state_of(reply.code),
            if verdict.stage == Stage::MailFrom && verdict.by == Actor::Proxy { Actor::Proxy } else { Actor::Upstream },
        );
        verdict =
            Verdict { state, stage: Stage::MailFrom, by, reply: Some(reply.clone()), detail: verdict.detail, upstream_queue_id: None };
        // Those that the proxy itself had answered were never the upstream's to refuse.
        let asked = |it: &&mut Recipient| it.by != Actor::Proxy || it.reply.is_none() || by == Actor::Proxy;
        for recipient in envelope.recipients.iter_mut().filter(asked) {
            (recipient.state, recipient.stage, recipient.by) = (state, Stage::MailFrom, by);
        }
        if envelope.recipients.iter().any(|recipient| recipient.state != state) {
            verdict.state = State::Partial;
        }
        return verdict;
    }
    // Only LMTP has final replies of recipients' own; what they come to is the verdict.
    let one_by_one = envelope.recipients.iter().any(|recipient| recipient.stage == Stage::EndOfData);
    let mut last_refusal = None;
    for recipient in &mut envelope.recipients {
        match &recipient.reply {
            Some(_) if recipient.stage == Stage::EndOfData => {}
            Some(reply) if reply.code >= 400 => last_refusal = Some((recipient.state, recipient.stage, recipient.by, reply.clone())),
            _ => (recipient.state, recipient.stage, recipient.by) = (verdict.state, verdict.stage, verdict.by),
        }
    }
    let all_refused = !cut.taken
        && cut.unanswered == 0
        && !envelope.recipients.is_empty()
        && envelope.recipients.iter().all(|it| it.reply.as_ref().is_some_and(|reply| reply.code >= 400));
    if let (true, Some((state, stage, by, reply))) = (all_refused && !one_by_one, last_refusal) {
        verdict.stage = stage;
        verdict.by = by;
        verdict.reply = Some(reply);
        verdict.state = state;
        verdict.upstream_queue_id = None;
        if stage != Stage::RcptTo {
            verdict.detail = None; // the reply says it; that the client then gave up is a matter of course
        }
    }
    // With LMTP those that were taken have replies of their own, which aren't kept either.
    let taken = (cut.taken && !one_by_one).then_some(verdict.state);
    let unanswered = (cut.unanswered > 0).then_some(verdict.state);
    let counted = [taken, unanswered, cut.deferred.then_some(State::Deferred), cut.rejected.then_some(State::Rejected)];
    let mut states = envelope.recipients.iter().map(|recipient| recipient.state).chain(counted.into_iter().flatten());
    let first = states.next();
    if first.is_some_and(|first| states.any(|state| state != first)) {
        verdict.state = State::Partial;
    }
    verdict
}
