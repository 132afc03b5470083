//! How it all ends: a peer gone, a time-out, a shutdown, and what is said and recorded of each.

use super::body::Sealed;
use super::machine::{Action, Expect, Machine, MarkState, Mode, Wire};
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
        if self.negotiation.is_some() {
            return Stage::Ehlo;
        }
        let asked = self.pending.iter().find(|it| !matches!(it.expect, Expect::Own(_))).map(|it| &it.expect);
        match asked {
            Some(Expect::Banner) => Stage::Banner,
            Some(Expect::Negotiation | Expect::Ehlo | Expect::Helo) => Stage::Ehlo,
            Some(Expect::Auth) => Stage::Auth,
            Some(Expect::Mail(_)) => Stage::MailFrom,
            Some(Expect::Rcpt(_)) => Stage::RcptTo,
            Some(Expect::Data) => Stage::Data,
            Some(Expect::Bdat { last: false }) => Stage::Body,
            Some(Expect::EndOfData | Expect::Bdat { last: true }) => Stage::EndOfData,
            Some(Expect::Quit) => Stage::Quit,
            Some(Expect::Rset | Expect::Other { .. } | Expect::Own(_)) | None if !self.greeted => Stage::Connect,
            _ if self.recorder.recipients() > 0 => Stage::RcptTo,
            _ if self.recorder.in_transaction() => Stage::MailFrom,
            _ => Stage::Ehlo,
        }
    }

    fn awaits_final_reply(&self) -> bool {
        self.pending.iter().any(|it| matches!(it.expect, Expect::EndOfData | Expect::Bdat { last: true }))
    }

    /// The client has closed its side (`reset`: with RST or an error). It may still read.
    pub fn client_closed(&mut self, now: u64, reset: bool, wire: &mut dyn Wire) {
        if self.ended || self.client_gone {
            return;
        }
        if !reset && !self.pending.is_empty() && self.mode == Mode::Command && self.greeted && !self.held_terminator {
            // Half-closed: what it asked for is still answered.
            self.recorder.flag(Flag::ClientHalfClosed);
            self.client_half_closed = true;
            return;
        }
        self.client_gone = true;
        self.client_reset = reset;
        self.recorder.line(now, Leg::Client, Flow::In, if reset { b"(connection reset)" } else { b"(closed)" });
        self.client_is_gone(now, wire);
    }

    /// A write to the client failed: it is gone for good.
    pub fn client_lost(&mut self, now: u64, wire: &mut dyn Wire) {
        if !self.ended && !self.client_gone {
            self.client_gone = true;
            self.client_reset = true;
            self.recorder.line(now, Leg::Client, Flow::Out, b"(connection lost)");
            self.client_is_gone(now, wire);
        }
    }

    /// A client that has closed its side has now heard all that it asked for.
    pub(super) fn ends_half_closed(&mut self, now: u64, wire: &mut dyn Wire) -> bool {
        let over =
            (self.client_half_closed || self.client_gone) && self.pending.is_empty() && self.hold.is_none() && self.negotiation.is_none();
        if over && !self.ended && self.mode != Mode::Handshake {
            self.client_gone = true;
            self.client_is_gone(now, wire);
        }
        over
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

    /// The upstream has closed (`reset`: with RST or an error).
    pub fn upstream_closed(&mut self, now: u64, reset: bool, wire: &mut dyn Wire) {
        if self.ended || !self.upstream_open {
            return;
        }
        self.recorder.line(now, Leg::Upstream, Flow::In, if reset { b"(connection reset)" } else { b"(closed)" });
        let words = if reset { "the connection to the smart host was reset" } else { "the smart host closed the connection" };
        self.upstream_lost(now, words, if reset { Actor::Network } else { Actor::Upstream }, wire);
    }

    /// The upstream broke the protocol; its leg ends, and the client hears why.
    pub(super) fn upstream_broke(&mut self, now: u64, words: &str, flag: Flag, wire: &mut dyn Wire) {
        self.recorder.flag(flag);
        self.recorder.line(now, Leg::Upstream, Flow::In, format!("({words})").as_bytes());
        self.upstream_lost(now, &format!("the smart host broke the protocol: {words}"), Actor::Upstream, wire);
    }

    pub(super) fn upstream_lost(&mut self, now: u64, words: &str, by: Actor, wire: &mut dyn Wire) {
        let stage = self.stage();
        self.drop_upstream();
        if self.hold.is_some() {
            return; // the final reply came; the loss is dealt with after it
        }
        if !self.greeted {
            self.pending.clear();
            let left = super::opening::LeftHost { stage: Stage::Banner, by, error: words.to_owned(), banner: None };
            return self.leave_host(now, left, wire);
        }
        if self.negotiation.is_some() {
            return self.fail_negotiation(now, stage, by, words, wire);
        }
        if self.awaits_final_reply() {
            let reply = OwnReply::new(
                451,
                (4, 4, 2),
                format!("{words} after end-of-data: the message may or may not have been delivered"),
                self.recorder.trace_id(),
            );
            self.recorder.flag(Flag::InDoubt);
            self.finish_unanswered(now, State::Unknown, Stage::EndOfData, by, words, &reply);
            return self.end_saying(now, by, Stage::EndOfData, EndHow::Close, words, reply, wire);
        }
        if matches!(self.mode, Mode::Body | Mode::Chunk { .. }) || self.held_terminator {
            let reply =
                OwnReply::new(451, (4, 4, 2), format!("{words} within the message; nothing was delivered"), self.recorder.trace_id());
            return self.seal_body(now, Sealed::own(&reply, State::Deferred, by, words), false, wire);
        }
        if self.pending.iter().any(|it| matches!(it.expect, Expect::Quit)) {
            // The client wanted to go anyway.
            self.pending.clear();
            self.abandon(now, "the client sent QUIT");
            let bye = OwnReply::new(221, (2, 0, 0), "closing; the smart host had gone", self.recorder.trace_id());
            return self.end_saying(now, Actor::Client, Stage::Quit, EndHow::Quit, words, bye, wire);
        }
        let asked = self.asked_words();
        let reply = OwnReply::new(421, (4, 4, 2), format!("{words}{asked}"), self.recorder.trace_id());
        self.finish_unanswered(now, State::Deferred, stage, by, words, &reply);
        self.end_saying(now, by, stage, EndHow::Close, words, reply, wire);
    }

    fn asked_words(&self) -> &'static str {
        match self.pending.iter().find(|it| !matches!(it.expect, Expect::Own(_))).map(|it| &it.expect) {
            Some(Expect::Mail(_)) => " instead of answering MAIL FROM",
            Some(Expect::Rcpt(_)) => " instead of answering RCPT TO",
            Some(Expect::Data) => " instead of answering DATA",
            Some(_) => " instead of answering",
            None => "",
        }
    }

    /// The upstream went away after a final reply, with nothing under way.
    pub(super) fn upstream_gone_idle(&mut self, now: u64, wire: &mut dyn Wire) {
        let words = "the smart host closed the connection";
        let reply = OwnReply::new(421, (4, 4, 2), words, self.recorder.trace_id());
        self.end_saying(now, Actor::Upstream, self.stage(), EndHow::Close, words, reply, wire);
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
        let shown = if command.verb == Verb::Unknown { &b"[redacted]"[..] } else { text };
        self.recorder.line(now, Leg::Client, Flow::In, shown);
        let why = self.gone.clone().unwrap_or_default();
        if command.verb == Verb::Quit {
            let bye = OwnReply::new(221, (2, 0, 0), "closing", self.recorder.trace_id());
            return self.end_saying(now, Actor::Client, Stage::Quit, EndHow::Quit, &why, bye, wire);
        }
        let reply = OwnReply::new(
            421,
            (4, 3, 0),
            format!("the session with the smart host has ended ({why}); connect again"),
            self.recorder.trace_id(),
        );
        self.end_saying(now, Actor::Proxy, Stage::AfterAcceptance, EndHow::Close, &why, reply, wire);
    }

    /// The client gives the transaction under way up (RSET, EHLO, QUIT, another MAIL).
    pub(super) fn abandon(&mut self, now: u64, words: &str) {
        if !self.recorder.in_transaction() {
            return;
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
            None => Verdict {
                state: State::Aborted,
                stage: if self.recorder.recipients() > 0 { Stage::RcptTo } else { Stage::MailFrom },
                by: Actor::Client,
                reply: None,
                detail: Some(format!("{words} before the message")),
                upstream_queue_id: None,
            },
        };
        self.finish_quietly(now, verdict);
    }

    /// Records the transaction under way without holding a reply back.
    pub(super) fn finish_quietly(&mut self, now: u64, verdict: Verdict) {
        self.note_message(now, false);
        self.mark = MarkState::None;
        self.chunk_refused = None;
        if let Some(record) = self.recorder.finish(now, verdict) {
            self.actions.push_back(Action::Append { record: Box::new(record), then_reply: false });
        }
    }

    /// What was asked and not answered becomes part of the record, then the record is made.
    fn finish_unanswered(&mut self, now: u64, state: State, stage: Stage, by: Actor, words: &str, reply: &OwnReply) {
        self.take_unanswered();
        let verdict = Verdict { state, stage, by, reply: Some(reply.record()), detail: Some(words.to_owned()), upstream_queue_id: None };
        self.finish_quietly(now, verdict);
    }

    /// Commands that no reply came for still tell who the mail was from and for.
    fn take_unanswered(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            match pending.expect {
                Expect::Mail(Some(envelope)) if !self.recorder.in_transaction() => self.recorder.begin(pending.sent_at, *envelope),
                Expect::Rcpt(recipient) => {
                    self.recorder.recipient(*recipient);
                }
                _ => {}
            }
        }
    }

    /// MAIL FROM refused by the proxy itself: a record of its own.
    pub(super) fn record_refused_mail(&mut self, now: u64, mut envelope: Envelope, reply: &OwnReply) {
        if self.recorder.in_transaction() || self.pending.iter().any(|it| matches!(it.expect, Expect::Mail(_) | Expect::EndOfData)) {
            return;
        }
        envelope.reply = Some(reply.record());
        self.recorder.begin(now, envelope);
        let verdict = Verdict {
            state: state_of(reply.code),
            stage: Stage::MailFrom,
            by: Actor::Proxy,
            reply: Some(reply.record()),
            detail: None,
            upstream_queue_id: None,
        };
        self.finish_quietly(now, verdict);
    }

    /// Ends the session with a last reply.
    #[allow(clippy::too_many_arguments)] // the six facts of an end, and the wire
    pub(super) fn end_saying(&mut self, now: u64, by: Actor, stage: Stage, how: EndHow, words: &str, reply: OwnReply, wire: &mut dyn Wire) {
        self.take_unanswered_if_any(now, by, stage, words, &reply);
        self.say(now, Leg::Client, &reply.line(), wire);
        self.end_with(now, by, stage, how, Some(words.to_owned()), Some(reply.record()), wire);
    }

    fn take_unanswered_if_any(&mut self, now: u64, by: Actor, stage: Stage, words: &str, reply: &OwnReply) {
        self.take_unanswered();
        if self.recorder.in_transaction() {
            let state = if reply.code >= 400 { state_of(reply.code) } else { State::Aborted };
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
            let verdict =
                Verdict { state: State::Aborted, stage, by, reply: reply.clone(), detail: detail.clone(), upstream_queue_id: None };
            self.finish_quietly(now, verdict);
        }
        let outcome = (how != EndHow::Quit).then(|| Outcome {
            state: reply.as_ref().map_or(State::Aborted, |reply| state_of(reply.code)),
            stage,
            by,
            reply,
            cause: None,
            act: None,
            advice: None,
            rule: None,
            rules_version: None,
            upstream_queue_id: None,
            detail: detail.clone(),
        });
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

    /// The client isn't let in: it hears this in the greeting's place. Nothing about the upstream is told.
    pub fn refuse_client(&mut self, now: u64, code: u16, words: &str, wire: &mut dyn Wire) {
        let trace = self.recorder.trace_id();
        let reply = OwnReply { code, enhanced: None, text: format!("relayscope: {words} (trace {trace})") };
        self.say(now, Leg::Client, &reply.line(), wire);
        self.end_with(now, Actor::Proxy, Stage::Connect, EndHow::Refused, Some(words.to_owned()), Some(reply.record()), wire);
    }

    /// The process shuts down: between transactions the session ends with 421, a transaction under way may finish.
    pub fn drain(&mut self, now: u64, wire: &mut dyn Wire) {
        self.draining = true;
        let idle =
            self.greeted && !self.recorder.in_transaction() && self.pending.is_empty() && self.hold.is_none() && self.negotiation.is_none();
        if idle && !self.ended && matches!(self.mode, Mode::Command | Mode::SkipLine) {
            self.end_draining(now, wire);
        }
    }

    /// Drain time is over: ends whatever is under way, honestly.
    pub fn shut_down(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.ended {
            return;
        }
        let stage = self.stage();
        if self.awaits_final_reply() {
            self.recorder.flag(Flag::InDoubt);
            let reply = OwnReply::new(
                451,
                (4, 3, 2),
                "shutting down before the smart host answered: the message may or may not have been delivered",
                self.recorder.trace_id(),
            );
            self.finish_unanswered(
                now,
                State::Unknown,
                stage,
                Actor::Proxy,
                "the proxy was shut down before the reply to end-of-data",
                &reply,
            );
            return self.end_saying(now, Actor::Proxy, stage, EndHow::Shutdown, "the proxy was shut down", reply, wire);
        }
        if self.recorder.in_transaction() {
            self.drop_upstream();
        }
        let reply = if self.greeted {
            OwnReply::new(421, (4, 3, 2), "shutting down", self.recorder.trace_id())
        } else {
            OwnReply::greeting(421, &self.options.host_name, "shutting down", self.recorder.trace_id())
        };
        self.end_saying(now, Actor::Proxy, stage, EndHow::Shutdown, "the proxy was shut down", reply, wire);
    }

    pub(super) fn end_draining(&mut self, now: u64, wire: &mut dyn Wire) {
        let reply = OwnReply::new(421, (4, 3, 2), "shutting down, connect again later", self.recorder.trace_id());
        self.end_saying(now, Actor::Proxy, self.stage(), EndHow::Shutdown, "the proxy is shutting down", reply, wire);
    }

    /// When [`Machine::tick`] is due, in µs since the session began.
    pub fn deadline(&self) -> Option<u64> {
        if self.ended {
            return None;
        }
        let limits = &self.options.limits.timeouts;
        let us = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if let Some(hold) = &self.hold {
            return Some(hold.since.saturating_add(us(limits.store_wait)));
        }
        let mut due: Option<u64> = None;
        let mut at_most = |at: u64| due = Some(due.map_or(at, |due| due.min(at)));
        if self.awaits_mark() {
            at_most(self.mark_since.saturating_add(us(limits.store_wait)));
        }
        if let Some(front) = self.pending.front() {
            let wait = match front.expect {
                Expect::Banner => limits.banner,
                Expect::Data => limits.data_reply,
                Expect::EndOfData | Expect::Bdat { last: true } => {
                    if self.client_gone {
                        let late = self.waiting_since.saturating_add(us(limits.late_reply));
                        at_most(late);
                    }
                    limits.end_of_data
                }
                _ => limits.reply,
            };
            at_most(front.sent_at.max(self.upstream_last).saturating_add(us(wait)));
        }
        match self.mode {
            Mode::Body | Mode::Chunk { .. } | Mode::SwallowBody | Mode::SwallowChunk { .. } => {
                at_most(self.client_last.saturating_add(us(limits.client_data)))
            }
            Mode::Handshake => at_most(self.waiting_since.saturating_add(us(limits.tls_handshake))),
            Mode::Command | Mode::SkipLine | Mode::AuthResponse
                if self.pending.is_empty() && self.greeted && self.negotiation.is_none() =>
            {
                at_most(self.client_last.saturating_add(us(limits.client_command)));
            }
            _ => {}
        }
        due
    }

    /// A deadline may have passed.
    pub fn tick(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.deadline().is_none_or(|due| now < due) {
            return;
        }
        if self.hold.is_some() {
            return self.release_hold(now, wire); // promise 2: tracing delays a reply by no more than this
        }
        if self.awaits_mark() {
            let us = u64::try_from(self.options.limits.timeouts.store_wait.as_micros()).unwrap_or(u64::MAX);
            if now >= self.mark_since.saturating_add(us) {
                self.recorder.flag(Flag::StoredLate);
                return self.mark_stored(now, false, wire);
            }
        }
        if self.pending.iter().any(|it| !matches!(it.expect, Expect::Own(_))) {
            let stage = self.stage();
            let words = match stage {
                Stage::EndOfData => "the smart host did not answer end-of-data in time".to_owned(),
                stage => format!("the smart host did not answer in time ({stage})"),
            };
            return self.upstream_lost(now, &words, Actor::Upstream, wire);
        }
        let words = match self.mode {
            Mode::Handshake => "the TLS handshake took too long",
            Mode::Body | Mode::Chunk { .. } | Mode::SwallowBody | Mode::SwallowChunk { .. } => {
                "no more of the message came from the client in time"
            }
            _ => "no command came from the client in time",
        };
        let stage = self.stage();
        if self.recorder.in_transaction() || self.body.is_some() {
            self.drop_upstream();
        }
        let reply = OwnReply::new(421, (4, 4, 2), words, self.recorder.trace_id());
        self.end_saying(now, Actor::Client, stage, EndHow::Timeout, words, reply, wire);
    }
}
