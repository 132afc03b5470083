//! How it all ends: a peer gone, a time-out, a shutdown, and what is said and recorded of each.

use super::action::{Action, Closed, Wire};
use super::body::Sealed;
use super::machine::{Expect, Machine, MarkState, Mode, Refused};
use super::recorder::{Verdict, state_of};
use super::replies::OwnReply;
use crate::smtp::{Command, Verb};
use crate::trace::{Actor, EndHow, Envelope, Flag, Flow, Leg, Outcome, Reply, Stage, State};

impl Machine {
    /// Where the dialogue stands.
    pub(super) fn stage(&self) -> Stage {
        match self.mode {
            Mode::Body | Mode::Chunk { .. } | Mode::SwallowBody | Mode::SwallowChunk { .. } => return Stage::Body,
            Mode::AuthResponse => return Stage::Auth,
            Mode::Handshake => return Stage::StartTls,
            _ => {}
        }
        if self.held_terminator {
            return Stage::Body;
        }
        if let Some(negotiation) = &self.negotiation {
            return negotiation.stage();
        }
        let asked = self.pending.iter().find(|it| !matches!(it.expect, Expect::Own(..))).map(|it| &it.expect);
        match asked {
            Some(Expect::Banner) => Stage::Banner,
            Some(Expect::Negotiation | Expect::Ehlo | Expect::Helo) => Stage::Ehlo,
            Some(Expect::StartTls) => Stage::StartTls,
            Some(Expect::Auth) => Stage::Auth,
            Some(Expect::Mail(_) | Expect::LateMail | Expect::LateReset | Expect::Xforward) => Stage::MailFrom,
            Some(Expect::Rcpt(_)) => Stage::RcptTo,
            Some(Expect::Data) => Stage::Data,
            Some(Expect::Bdat { last: false }) => Stage::Body,
            Some(Expect::EndOfData | Expect::Bdat { last: true }) => Stage::EndOfData,
            Some(Expect::Quit) => Stage::Quit,
            Some(Expect::Rset | Expect::Other { .. } | Expect::Own(..)) | None if !self.greeted => Stage::Connect,
            _ if self.body.is_some() => Stage::Body, // between two chunks
            _ if self.recorder.recipients() > 0 => Stage::RcptTo,
            _ if self.recorder.in_transaction() => Stage::MailFrom,
            _ => Stage::Ehlo,
        }
    }

    pub(super) fn awaits_final_reply(&self) -> bool {
        !matches!(self.mode, Mode::Chunk { .. })
            && self.pending.iter().any(|it| matches!(it.expect, Expect::EndOfData | Expect::Bdat { last: true }))
    }

    /// The client has closed its side.
    pub fn client_closed(&mut self, now: u64, how: Closed, wire: &mut dyn Wire) {
        if self.ended || self.client_gone {
            return;
        }
        if self.splice.is_some() {
            return self.splice_closed(now, Leg::Client, how == Closed::Reset, wire);
        }
        let waits = !self.client_unread.is_empty() && self.awaits_mark();
        let asked = !self.pending.is_empty()
            || self.hold.is_some()
            || self.held_terminator
            || self.negotiation.is_some()
            || self.busy_late()
            || waits;
        if how == Closed::Orderly && asked && self.mode == Mode::Command && self.greeted {
            // Half-closed: what it asked for is still answered.
            self.recorder.flag(Flag::ClientHalfClosed);
            self.recorder.line(now, Leg::Client, Flow::In, b"(half-closed)");
            self.client_half_closed = true;
            return;
        }
        self.client_gone = true;
        self.client_reset = how == Closed::Reset;
        self.recorder.line(now, Leg::Client, Flow::In, how.note());
        self.client_is_gone(now, wire);
    }

    /// A write to the client failed: it is gone for good.
    pub fn client_lost(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.splice.is_some() && !self.ended {
            self.splice_closed(now, Leg::Client, true, wire);
        } else if !self.ended && !self.client_gone {
            self.client_gone = true;
            self.client_reset = true;
            self.recorder.line(now, Leg::Client, Flow::Out, b"(connection lost)");
            self.client_is_gone(now, wire);
        }
    }

    /// A client that has closed its side has now heard all that it asked for.
    pub(super) fn ends_half_closed(&mut self, now: u64, wire: &mut dyn Wire) {
        let over = (self.client_half_closed || self.client_gone)
            && self.pending.is_empty()
            && self.hold.is_none()
            && self.negotiation.is_none()
            && !self.busy_late()
            && !self.held_terminator
            && (self.client_unread.is_empty() || !self.awaits_mark());
        if over && !self.ended && self.mode != Mode::Handshake {
            self.client_gone = true;
            self.client_is_gone(now, wire);
        }
    }

    pub(super) fn client_is_gone(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.hold.is_some() {
            return; // the record is on its way; what is left follows it
        }
        if self.awaits_final_reply() && self.upstream_open {
            self.mode = Mode::Closed;
            self.waiting_since = now; // the late reply is still awaited, and recorded
            return;
        }
        let stage = self.stage();
        let how = if self.client_reset { EndHow::Reset } else { EndHow::Close };
        if let Some(detail) = self.lost_to_silence(now) {
            return self.end(now, Actor::Client, stage, how, Some(detail), wire);
        }
        if self.recorder.in_transaction() || self.body.is_some() {
            // Never let the upstream take a part for the whole.
            self.drop_upstream();
        }
        let detail = match stage {
            Stage::Body => "the client closed the connection within the message; nothing was delivered",
            _ if self.recorder.in_transaction() => "the client closed the connection before the message",
            _ => "the client closed the connection without QUIT",
        };
        self.end(now, Actor::Client, stage, how, Some(detail.to_owned()), wire);
    }

    /// The upstream has closed.
    pub fn upstream_closed(&mut self, now: u64, how: Closed, wire: &mut dyn Wire) {
        if self.ended || !self.upstream_open {
            return;
        }
        if self.splice.is_some() {
            return self.splice_closed(now, Leg::Upstream, how == Closed::Reset, wire);
        }
        if !self.upstream_unread.is_empty() {
            // Half a reply, or no reply at all. What answers a secret may repeat it.
            let unread = std::mem::take(&mut self.upstream_unread);
            let shown = if self.answers_a_secret() { b"[redacted]" } else { unread.as_slice() };
            self.recorder.line(now, Leg::Upstream, Flow::In, shown);
        }
        self.recorder.line(now, Leg::Upstream, Flow::In, how.note());
        let peer = self.peer();
        let (words, by, how) = match how {
            Closed::Orderly => (format!("the {peer} closed the connection"), Actor::Upstream, EndHow::Close),
            Closed::Cut => (format!("the {peer} closed the connection (without close_notify)"), Actor::Upstream, EndHow::Close),
            Closed::Reset => (format!("the connection to the {peer} was reset"), Actor::Network, EndHow::Reset),
        };
        self.upstream_lost(now, &words, by, how, wire);
    }

    /// The upstream has taken no octet for too long: its connection was given up.
    pub fn upstream_stalled(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.ended || !self.upstream_open {
            return;
        }
        if self.splice.is_some() {
            return self.splice_closed(now, Leg::Upstream, true, wire);
        }
        self.recorder.line(now, Leg::Upstream, Flow::Out, b"(took nothing any more)");
        let words = format!("the {} took nothing any more", self.peer());
        self.upstream_lost(now, &words, Actor::Upstream, EndHow::Timeout, wire);
    }

    /// The upstream broke the protocol; its leg ends, and the client hears why.
    pub(super) fn upstream_broke(&mut self, now: u64, words: &str, flag: Flag, wire: &mut dyn Wire) {
        self.recorder.flag(flag);
        self.recorder.line(now, Leg::Upstream, Flow::In, format!("({words})").as_bytes());
        self.upstream_lost(now, &format!("the {} broke the protocol: {words}", self.peer()), Actor::Upstream, EndHow::Protocol, wire);
    }

    pub(super) fn upstream_lost(&mut self, now: u64, words: &str, by: Actor, how: EndHow, wire: &mut dyn Wire) {
        let stage = self.stage();
        self.drop_upstream();
        if self.hold.is_some() {
            return; // the final reply came; the loss is dealt with after it
        }
        if self.is_opening() {
            self.pending.clear();
            let left = super::opening::LeftHost { stage: Stage::Banner, by, error: words.to_owned(), how, banner: None, refusal: None };
            return self.leave_host(now, left, wire);
        }
        if self.negotiation.is_some() {
            return self.fail_negotiation(now, stage, by, words, wire);
        }
        if self.mail_is_unanswered_late() {
            return self.mail_lost_late(now, words, wire);
        }
        if self.dropped_quietly_late() {
            return;
        }
        if self.awaits_final_reply() {
            let reply = OwnReply::new(
                451,
                (4, 4, 2),
                match how {
                    EndHow::Timeout => format!("{words}: the message may or may not have been delivered"),
                    _ => format!("{words} after end-of-data: the message may or may not have been delivered"),
                },
                self.recorder.trace_id(),
            );
            self.doubt();
            self.finish_unanswered(now, State::Unknown, Stage::EndOfData, by, words, &reply);
            return self.end_saying(now, by, Stage::EndOfData, how, words, reply, wire);
        }
        if let Some((left, last)) = self.answered_chunk() {
            // The client has this chunk's reply already, and no other follows: its last octets are only read.
            self.abandon(now, "the chunk was refused");
            self.upstream_has_gone(words.to_owned());
            self.mode = Mode::SwallowChunk { left, last };
            return;
        }
        if matches!(self.mode, Mode::Body | Mode::Chunk { .. }) || self.held_terminator {
            let reply =
                OwnReply::new(451, (4, 4, 2), format!("{words} within the message; nothing was delivered"), self.recorder.trace_id());
            return self.seal_body(now, Sealed::own(&reply, State::Deferred, by, words), false, wire);
        }
        if matches!(self.pending.front().map(|it| &it.expect), Some(Expect::Quit)) {
            // The client wanted to go anyway.
            self.pending.clear();
            self.abandon(now, "the client sent QUIT");
            let bye = OwnReply::new(221, (2, 0, 0), format!("closing; the {} had gone", self.peer()), self.recorder.trace_id());
            return self.end_saying(now, Actor::Client, Stage::Quit, EndHow::Quit, words, bye, wire);
        }
        let told = match how {
            _ if self.pending.is_empty() => words.to_owned(),
            // It did answer, wrongly, or the words say what it owed.
            EndHow::Timeout | EndHow::Protocol => words.to_owned(),
            _ => format!("{words}; it did not {}", self.owed()),
        };
        let reply = OwnReply::new(421, (4, 4, 2), told, self.recorder.trace_id());
        self.finish_unanswered(now, State::Deferred, stage, by, words, &reply);
        self.end_saying(now, by, stage, how, words, reply, wire);
    }

    /// What the upstream has yet to do.
    pub(super) fn owed(&self) -> &'static str {
        match self.pending.front().map(|it| &it.expect) {
            Some(Expect::Banner) => "greet",
            Some(Expect::Ehlo | Expect::Negotiation) => "answer EHLO, STARTTLS or AUTH",
            Some(Expect::StartTls) => "answer STARTTLS",
            Some(Expect::Helo) => "answer HELO",
            Some(Expect::Auth) => "answer AUTH",
            Some(Expect::Mail(_) | Expect::LateMail | Expect::LateReset | Expect::Xforward) => "answer MAIL FROM",
            Some(Expect::Rcpt(_)) => "answer RCPT TO",
            Some(Expect::Data) => "answer DATA",
            Some(Expect::Bdat { .. }) => "answer BDAT",
            Some(Expect::EndOfData) => "answer end-of-data",
            Some(Expect::Rset | Expect::Quit | Expect::Other { .. } | Expect::Own(..)) | None => "answer",
        }
    }

    /// The upstream went away after a final reply, with nothing under way.
    pub(super) fn upstream_gone_idle(&mut self, now: u64, wire: &mut dyn Wire) {
        let words = format!("the {} closed the connection", self.peer());
        let reply = OwnReply::new(421, (4, 4, 2), &words, self.recorder.trace_id());
        self.end_saying(now, Actor::Upstream, self.stage(), EndHow::Close, &words, reply, wire);
    }

    /// Drops the upstream's connection without another octet.
    pub(super) fn drop_upstream(&mut self) {
        if self.upstream_open {
            self.upstream_open = false;
            self.actions.push_back(Action::Abort { leg: Leg::Upstream });
        }
        self.upstream_unread = Vec::new();
        self.scanner = Default::default();
    }

    /// Commands after the upstream has gone: QUIT is answered, everything else ends the session with 421.
    pub(super) fn answer_while_gone(&mut self, now: u64, command: &Command<'_>, text: &[u8], wire: &mut dyn Wire) {
        self.recorder.commands = self.recorder.commands.saturating_add(1);
        let shown = self.shown(command, text);
        self.recorder.line(now, Leg::Client, Flow::In, &shown);
        let why = self.gone.clone().unwrap_or_default();
        if command.verb == Verb::Quit {
            let bye = OwnReply::new(221, (2, 0, 0), "closing", self.recorder.trace_id());
            return self.end_saying(now, Actor::Client, Stage::Quit, EndHow::Quit, &why, bye, wire);
        }
        let reply = OwnReply::new(
            421,
            (4, 3, 0),
            format!("the session with the {} has ended ({why}); connect again", self.peer()),
            self.recorder.trace_id(),
        );
        self.end_saying(now, Actor::Proxy, self.stage(), EndHow::Close, &why, reply, wire);
    }

    /// The client gives the transaction under way up (RSET, EHLO, QUIT, another MAIL).
    pub(super) fn abandon(&mut self, now: u64, words: &str) {
        self.forget_left_open();
        if !self.recorder.in_transaction() {
            return self.forget_chunks();
        }
        self.body = None;
        let verdict = match self.chunk_refused.take() {
            Some(reply) => Verdict {
                state: state_of(reply.code),
                stage: Stage::Body,
                by: Actor::Upstream,
                reply: Some(*reply),
                detail: Some("a chunk of the message was refused".into()),
                upstream_queue_id: None,
            },
            None if self.mail_was_refused() => Verdict {
                state: State::Rejected, // settled by MAIL FROM's reply
                stage: Stage::MailFrom,
                by: Actor::Upstream,
                reply: None,
                detail: None,
                upstream_queue_id: None,
            },
            None => {
                let stage = if self.recorder.recipients() > 0 { Stage::RcptTo } else { Stage::MailFrom };
                let left = format!("{words} before the message");
                // Whoever gets an answer that answers nothing can but leave.
                let (by, detail) = match self.recorder.answered_amiss() {
                    Some((asked, code)) => {
                        (Actor::Upstream, format!("the {} broke the protocol: answered {asked} with {code}; {left}", self.peer()))
                    }
                    None => (Actor::Client, left),
                };
                Verdict { state: State::Aborted, stage, by, reply: None, detail: Some(detail), upstream_queue_id: None }
            }
        };
        self.finish_quietly(now, verdict);
    }

    /// Records the transaction under way without holding a reply back.
    pub(super) fn finish_quietly(&mut self, now: u64, verdict: Verdict) {
        self.note_message(now, false);
        self.mark = MarkState::None;
        self.chunk_refused = None;
        self.transaction_over_late(false);
        if let Some(record) = self.recorder.finish(now, verdict) {
            self.actions.push_back(Action::Append { record: Box::new(record), then_reply: false });
        }
    }

    /// What was asked and not answered becomes part of the record, then the record is made.
    pub(super) fn finish_unanswered(&mut self, now: u64, state: State, stage: Stage, by: Actor, words: &str, reply: &OwnReply) {
        self.take_unanswered();
        let verdict = Verdict { state, stage, by, reply: Some(reply.record()), detail: Some(words.to_owned()), upstream_queue_id: None };
        self.finish_quietly(now, verdict);
        self.finish_behind(now, stage, by);
    }

    /// Commands that no reply came for still tell who the mail was from and for. Stops where the next transaction begins.
    pub(super) fn take_unanswered(&mut self) {
        while let Some(pending) = self.pending.pop_front() {
            match pending.expect {
                Expect::Mail(Some(_)) | Expect::Own(_, Some(Refused::Mail(_))) if self.recorder.in_transaction() => {
                    return self.pending.push_front(pending);
                }
                Expect::Mail(Some(envelope)) | Expect::Own(_, Some(Refused::Mail(envelope))) => {
                    self.recorder.begin(pending.sent_at, *envelope);
                }
                Expect::Rcpt(recipient) | Expect::Own(_, Some(Refused::Recipient(recipient))) => {
                    self.recorder.recipient(*recipient);
                }
                _ => {}
            }
        }
    }

    /// Transactions that were pipelined behind the one that ended the session.
    fn finish_behind(&mut self, now: u64, stage: Stage, by: Actor) {
        loop {
            self.take_unanswered();
            if !self.recorder.in_transaction() {
                return;
            }
            let state = if by == Actor::Client { State::Aborted } else { State::Deferred };
            let detail = Some("the session ended before this was answered".to_owned());
            let stage = if stage == Stage::EndOfData { Stage::MailFrom } else { stage };
            self.finish_quietly(now, Verdict { state, stage, by, reply: None, detail, upstream_queue_id: None });
        }
    }

    /// MAIL FROM refused by the proxy itself: a record of its own, which the reply names.
    pub(super) fn record_refused_mail(&mut self, now: u64, envelope: Envelope, reply: &OwnReply) -> OwnReply {
        if self.mail_was_refused() {
            self.abandon(now, "the client began another transaction");
        } else if self.recorder.in_transaction() {
            return reply.naming(self.recorder.trace_id());
        }
        // The upstream hears nothing of it: whom it has taken, it still has.
        let lmtp = self.left_open.is_some().then(|| std::mem::take(&mut self.lmtp));
        self.recorder.begin(now, envelope);
        let reply = reply.naming(self.recorder.trace_id());
        self.recorder.mail_refused(reply.record());
        let verdict = Verdict {
            state: state_of(reply.code),
            stage: Stage::MailFrom,
            by: Actor::Proxy,
            reply: Some(reply.record()),
            detail: None,
            upstream_queue_id: None,
        };
        self.finish_quietly(now, verdict);
        if let Some(lmtp) = lmtp {
            self.lmtp = lmtp;
        }
        reply
    }

    /// Ends the session with a last reply.
    #[allow(clippy::too_many_arguments)] // the six facts of an end, and the wire
    pub(super) fn end_saying(&mut self, now: u64, by: Actor, stage: Stage, how: EndHow, words: &str, reply: OwnReply, wire: &mut dyn Wire) {
        self.take_unanswered_if_any(now, by, stage, words, &reply);
        self.say(now, Leg::Client, &reply.line(), wire);
        self.end_with(now, by, stage, how, Some(words.to_owned()), Some(reply.record()), wire);
    }

    /// The transaction under way, and the session with it, end without anybody knowing whether the message was delivered.
    pub(super) fn doubt(&mut self) {
        self.in_doubt = true;
        self.recorder.flag(Flag::InDoubt);
    }

    fn take_unanswered_if_any(&mut self, now: u64, by: Actor, stage: Stage, words: &str, reply: &OwnReply) {
        let in_doubt = self.awaits_final_reply();
        self.take_unanswered();
        if self.recorder.in_transaction() {
            let state = match reply.code {
                _ if in_doubt => State::Unknown,
                400.. => state_of(reply.code),
                _ => State::Aborted,
            };
            if in_doubt {
                self.doubt();
            }
            let verdict =
                Verdict { state, stage, by, reply: Some(reply.record()), detail: Some(words.to_owned()), upstream_queue_id: None };
            self.finish_quietly(now, verdict);
        }
    }

    /// Ends the session; nothing more is said.
    pub(super) fn end(&mut self, now: u64, by: Actor, stage: Stage, how: EndHow, detail: Option<String>, wire: &mut dyn Wire) {
        self.end_with(now, by, stage, how, detail, None, wire);
    }

    #[allow(clippy::too_many_arguments)] // the six facts of an end, and the wire
    pub(super) fn end_with(
        &mut self,
        now: u64,
        by: Actor,
        stage: Stage,
        how: EndHow,
        detail: Option<String>,
        reply: Option<Reply>,
        _wire: &mut dyn Wire,
    ) {
        if self.ended {
            return;
        }
        self.ended = true;
        self.quit = how == EndHow::Quit;
        self.take_unanswered();
        if self.recorder.in_transaction() {
            let state = reply.as_ref().filter(|reply| reply.code >= 400).map_or(State::Aborted, |reply| state_of(reply.code));
            let verdict = Verdict { state, stage, by, reply: reply.clone(), detail: detail.clone(), upstream_queue_id: None };
            self.finish_quietly(now, verdict);
        }
        self.finish_behind(now, stage, by);
        // Who logs in in vain and leaves never came to its message.
        let left = by == Actor::Client && reply.is_none() && matches!(how, EndHow::Quit | EndHow::Close | EndHow::Reset);
        let in_vain = self.recorder.login_in_vain().filter(|_| left && !self.went_unseen());
        let otherwise = || {
            let state = match &reply {
                _ if self.in_doubt => State::Unknown, // its 451 defers nothing
                Some(reply) => state_of(reply.code),
                None => State::Aborted,
            };
            Outcome::of(state, stage, by, reply.clone(), detail.clone())
        };
        let outcome = in_vain.or_else(|| (how != EndHow::Quit && !self.went_unseen()).then(otherwise));
        if let Some(record) = self.recorder.session(now, by, stage, how, detail, outcome) {
            self.actions.push_back(Action::Append { record: Box::new(record), then_reply: false });
        }
        self.mode = Mode::Closed;
        self.client_unread = Vec::new();
        if self.upstream_open {
            self.upstream_open = false;
            let action = if how == EndHow::Quit { Action::Close { leg: Leg::Upstream } } else { Action::Abort { leg: Leg::Upstream } };
            self.actions.push_back(action);
        }
        self.actions.push_back(Action::Close { leg: Leg::Client });
    }
}
