//! An upstream that speaks LMTP (RFC 2033): LHLO, and a final reply for each recipient that it took, of which the client hears one.
//!
//! With one recipient a transaction, as by default, that one reply is exact. With more they are folded: a temporary failure outweighs a
//! permanent one, and that a success. So no recipient's failure is hidden from the sender; the price is that those who have the message may
//! get it once more.

use super::action::Wire;
use super::machine::{Expect, Machine, Pending, Refused};
use super::options::{Protocol, UpstreamOptions};
use super::recorder::{Verdict, final_state_of, reply_of};
use super::replies::OwnReply;
use crate::smtp::{Command, ReplyView};
use crate::trace::{Actor, Flag, Flow, Leg, Recipient, Stage};

/// What LMTP adds to a transaction.
#[derive(Debug, Default)]
pub(super) struct Lmtp {
    /// The recipients that the upstream took, in their order: their places in the record, as far as they are kept there.
    taken: Vec<Option<u32>>,
    tally: Tally,
}

/// The final replies so far.
#[derive(Debug, Default)]
struct Tally {
    answered: usize,
    accepted: Kind,
    deferred: Kind,
    rejected: Kind,
}

/// Replies of one kind: how many, and the first of them as it came.
#[derive(Debug, Default)]
struct Kind {
    count: usize,
    first: Vec<u8>,
}

impl Kind {
    fn add(&mut self, view: &ReplyView<'_>, times: usize) {
        if self.count == 0 {
            self.first = view.octets().to_vec();
        }
        self.count += times;
    }
}

/// The one reply that the client hears.
enum Folded {
    /// An upstream's own.
    AsItCame(Vec<u8>),
    /// Some have the message and some don't.
    Mixed { code: u16, enhanced: (u8, u16, u16), words: String },
}

impl Tally {
    fn add(&mut self, view: &ReplyView<'_>, times: usize) {
        self.answered += times;
        let kind = match view.class() {
            2 => &mut self.accepted,
            5 => &mut self.rejected,
            _ => &mut self.deferred, // a 3xx answers nothing here: better asked again
        };
        kind.add(view, times);
    }

    fn fold(self) -> Folded {
        let Self { answered, accepted, deferred, rejected } = self;
        let refused = if deferred.count > 0 { &deferred } else { &rejected };
        if refused.count == 0 {
            return Folded::AsItCame(accepted.first);
        }
        if accepted.count == 0 {
            return Folded::AsItCame(refused.first.clone());
        }
        let view = ReplyView::new(&refused.first);
        let first = String::from_utf8_lossy(view.octets().trim_ascii_end()).replace("\r\n", " ");
        let counts = format!(
            "of {answered} recipients {} took the message, {} deferred it, {} rejected it (\"{first}\")",
            accepted.count, deferred.count, rejected.count
        );
        if deferred.count > 0 {
            Folded::Mixed { code: 451, enhanced: (4, 2, 0), words: format!("{counts}; it comes again to all") }
        } else {
            Folded::Mixed { code: 554, enhanced: (5, 2, 0), words: counts }
        }
    }
}

impl Lmtp {
    /// The recipients that a transaction still has in its next record, of which those that weren't taken are no part.
    pub(super) fn without(self, recipients: &[Recipient], stays: impl Fn(&Recipient) -> bool) -> Self {
        let place = |old: u32| {
            let before = recipients.get(..old as usize)?;
            recipients.get(old as usize).filter(|it| stays(it))?;
            u32::try_from(before.iter().filter(|it| stays(it)).count()).ok()
        };
        Self { taken: self.taken.into_iter().map(|old| old.and_then(place)).collect(), tally: Tally::default() }
    }
}

impl Machine {
    pub(super) fn is_lmtp(&self) -> bool {
        self.upstream.protocol == Protocol::Lmtp
    }

    /// Most recipients of a transaction, where the upstream's protocol sets a limit.
    pub(super) fn lmtp_limit(&self) -> Option<usize> {
        self.is_lmtp().then_some(self.upstream.lmtp_recipients)
    }

    /// A recipient too many for one exact answer is told to come in a transaction of its own (true).
    pub(super) fn parts_recipient(
        &mut self,
        now: u64,
        command: &Command<'_>,
        text: &[u8],
        recipient: &Recipient,
        wire: &mut dyn Wire,
    ) -> bool {
        let Some(own) = self.too_many_for_lmtp(&self.upstream) else { return false };
        self.count();
        let shown = self.shown(command, text);
        self.recorder.line(now, Leg::Client, Flow::In, &shown);
        self.refuse_parted(now, own, recipient.clone(), wire);
        true
    }

    pub(super) fn refuse_parted(&mut self, now: u64, own: OwnReply, recipient: Recipient, wire: &mut dyn Wire) {
        self.recorder.flag(Flag::Split);
        let recipient = super::recorder::refused(recipient, Stage::RcptTo, Actor::Proxy, own.record());
        self.answer_in_turn_for(now, own, Some(Refused::Recipient(Box::new(recipient))), wire);
    }

    /// Why one recipient more would make the answer to the message inexact.
    pub(super) fn too_many_for_lmtp(&self, upstream: &UpstreamOptions) -> Option<OwnReply> {
        if upstream.protocol != Protocol::Lmtp {
            return None;
        }
        let behind_mail = self.pending.iter().rposition(|it| matches!(it.expect, Expect::Mail(_) | Expect::LateMail));
        let before = if behind_mail.is_some() { 0 } else { self.lmtp.taken.len() };
        let under_way = self.pending.iter().skip(behind_mail.unwrap_or(0)).filter(|it| matches!(it.expect, Expect::Rcpt(_))).count();
        (before + under_way + self.queued_recipients_late() >= upstream.lmtp_recipients).then(|| {
            let words = "the mail store behind answers for each recipient: send this one in another transaction";
            OwnReply::new(452, (4, 5, 3), words, self.recorder.trace_id())
        })
    }

    /// A recipient was answered.
    pub(super) fn note_lmtp_recipient(&mut self, class: u16, place: Option<u32>) {
        if class == 2 && self.is_lmtp() {
            self.lmtp.taken.push(place);
        }
    }

    /// The upstream asks for a message that nobody is to get: no reply would ever follow it.
    pub(super) fn is_message_for_nobody(&self) -> bool {
        self.is_lmtp() && self.lmtp.taken.is_empty()
    }

    /// One of the replies to the end of a message.
    pub(super) fn recipient_answered(&mut self, now: u64, expect: Expect, sent_at: u64, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        let taken = self.lmtp.taken.len();
        // Nobody was taken, or a chunk was refused before: what is answered is the command.
        if taken == 0 || self.chunk_refused.is_some() {
            return self.final_reply(now, sent_at, view, wire);
        }
        let first = self.lmtp.tally.answered;
        // The server leaves: this is its word on all that are left.
        let times = if view.code() == 421 { taken - first } else { 1 };
        for place in self.lmtp.taken.iter().skip(first).take(times) {
            self.recorder.recipient_reply(*place, reply_of(view));
        }
        self.lmtp.tally.add(view, times);
        if taken > 1 {
            self.recorder.line(now, Leg::Upstream, Flow::In, view.octets().trim_ascii_end());
        }
        if self.lmtp.tally.answered < taken {
            return self.pending.push_front(Pending { expect, sent_at });
        }
        let tally = std::mem::take(&mut self.lmtp.tally);
        let accepted = reply_of(&ReplyView::new(&tally.accepted.first));
        let octets = match tally.fold() {
            Folded::AsItCame(octets) => octets,
            Folded::Mixed { code, enhanced, words } => OwnReply::new(code, enhanced, words, self.recorder.trace_id()).line(),
        };
        let folded = ReplyView::new(&octets);
        self.note_final_reply(now, sent_at, folded.class());
        let upstream_queue_id = crate::message::upstream_queue_id(accepted.code, &accepted.lines).map(|it| it.id);
        let verdict = Verdict {
            state: final_state_of(folded.code()),
            stage: Stage::EndOfData,
            by: Actor::Upstream,
            reply: Some(reply_of(&folded)),
            detail: None,
            upstream_queue_id,
        };
        if taken > 1 {
            self.recorder.line(now, Leg::Client, Flow::Out, octets.trim_ascii_end());
            self.finish_saying(now, verdict, &folded, wire);
        } else {
            self.finish_with_reply(now, verdict, &folded, wire);
        }
    }

    /// LHLO was answered, and the client had said HELO: it hears the first line alone.
    pub(super) fn answer_helo_lmtp(&mut self, now: u64, lhlo: &ReplyView<'_>, wire: &mut dyn Wire) {
        self.introduced = true;
        (self.offered_pipelining, self.offered_chunking, self.offered_auth, self.offered_smtputf8) = (false, false, false, false);
        let line = [b"250 ", lhlo.lines().next().unwrap_or_default(), b"\r\n"].concat();
        self.say(now, Leg::Client, &line, wire);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(replies: &[&str], expected: &str) {
        let mut tally = Tally::default();
        for reply in replies {
            tally.add(&ReplyView::new(format!("{reply}\r\n").as_bytes()), 1);
        }
        let made = match tally.fold() {
            Folded::AsItCame(octets) => String::from_utf8(octets).unwrap().trim_end().to_owned(),
            Folded::Mixed { code, words, .. } => format!("own {code}: {words}"),
        };
        assert!(made.starts_with(expected), "{replies:?}: {made}");
    }

    #[test]
    fn p08_a_failure_outweighs_a_success() {
        check(&["250 a", "250 b"], "250 a");
        check(&["552 full", "452 later"], "452 later");
        check(&["550 no", "552 full"], "550 no");
        check(&["250 a", "452 later"], "own 451: of 2 recipients 1 took the message, 1 deferred it, 0 rejected it (\"452 later\")");
        check(&["552 full", "250 a", "250 b"], "own 554: of 3 recipients 2 took the message, 0 deferred it, 1 rejected it (\"552 full\")");
        check(
            &["552 full", "250 a", "450 later"],
            "own 451: of 3 recipients 1 took the message, 1 deferred it, 1 rejected it (\"450 later\")",
        );
    }
}
