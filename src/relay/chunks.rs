//! Chunks (BDAT, RFC 3030): the command, and the octets that it brings, which are no commands whatever becomes of it.

use super::action::Wire;
use super::body::{Body, Framing};
use super::machine::{Expect, Machine, MarkState, Mode};
use super::replies::OwnReply;
use crate::smtp::{BareNewlines, Command, Verb};
use crate::trace::{Actor, EndHow, Flow, Leg, Stage};

impl Machine {
    /// Refuses a command before it is known whether it could be carried. The octets that a BDAT brings are no commands.
    pub(super) fn refuse_early(&mut self, now: u64, command: &Command<'_>, text: &[u8], reply: OwnReply, wire: &mut dyn Wire) -> bool {
        if command.verb == Verb::Bdat {
            return self.refuse_bdat(now, command, text, reply, wire);
        }
        self.refuse(now, command, text, reply, wire)
    }

    fn refuse_bdat(&mut self, now: u64, command: &Command<'_>, text: &[u8], reply: OwnReply, wire: &mut dyn Wire) -> bool {
        let Some((size, _)) = command.chunk() else { return self.end_at_unreadable_chunk(now, wire) };
        self.refuse(now, command, text, reply, wire);
        if size > 0 && !self.ended {
            self.mode = Mode::SwallowChunk { left: size, last: false };
        }
        true
    }

    /// How many octets follow can't be known: nothing after this line can be read. False: not before the message before is answered.
    fn end_at_unreadable_chunk(&mut self, now: u64, wire: &mut dyn Wire) -> bool {
        if self.awaits_final_reply() {
            return false;
        }
        let words = "BDAT without a readable chunk size";
        let reply = OwnReply::new(421, (4, 5, 4), words, self.recorder.trace_id());
        self.end_saying(now, Actor::Client, Stage::Body, EndHow::Protocol, words, reply, wire);
        true
    }

    pub(super) fn take_bdat(&mut self, now: u64, command: &Command<'_>, line: &[u8], wire: &mut dyn Wire) -> bool {
        let text = line.trim_ascii_end();
        let Some((size, last)) = command.chunk() else { return self.end_at_unreadable_chunk(now, wire) };
        if !self.offered_chunking {
            let reply = OwnReply::new(503, (5, 5, 1), "CHUNKING is not offered here", self.recorder.trace_id());
            return self.refuse_bdat(now, command, text, reply, wire);
        }
        if self.pending.iter().any(|it| matches!(it.expect, Expect::EndOfData | Expect::Bdat { last: true } | Expect::Rset)) {
            return false; // what came before is still to be answered, and its record to be made
        }
        if self.recorder.in_transaction() && self.pending.iter().any(|it| matches!(it.expect, Expect::Mail(Some(_)))) {
            return false; // whether this is the chunk of another message is the upstream's to say
        }
        self.begin_chunks(now);
        if last {
            match self.last_chunk_allowed() {
                None => {
                    self.mark_since = if self.mark_since == 0 { now } else { self.mark_since };
                    return false;
                }
                Some(false) => {
                    self.count();
                    self.recorder.line(now, Leg::Client, Flow::In, text);
                    self.refuse_last_chunk(now, size, wire);
                    return true;
                }
                Some(true) => {}
            }
        }
        if !self.pass_bdat_received(now, line, size, last, wire) {
            self.pass(now, line, Expect::Bdat { last }, wire);
        }
        if !self.ended && self.gone.is_none() {
            self.begin_chunk(now, size, last);
        }
        true
    }

    /// The first BDAT of a message: the transaction is begun (its MAIL may still be under way) and marked.
    pub(super) fn begin_chunks(&mut self, now: u64) {
        let begins = !self.recorder.in_transaction() && self.pending.iter().any(|it| matches!(it.expect, Expect::Mail(Some(_))));
        if begins {
            self.forget_chunks(); // what there is belonged to no transaction
            self.forget_left_open();
        }
        if self.body.is_some() {
            return;
        }
        if begins {
            let under_way = self.pending.iter_mut().find_map(|pending| match &mut pending.expect {
                Expect::Mail(envelope) => envelope.take().map(|envelope| (pending.sent_at, envelope)),
                _ => None,
            });
            if let Some((sent_at, envelope)) = under_way {
                self.recorder.begin(sent_at, *envelope);
            }
        }
        if self.left_open.is_some() {
            self.begin_unknown(now);
        }
        self.body = Some(Body::new(Framing::Chunks(BareNewlines::default()), &self.options.limits, self.has_null_sender()));
        self.data_began = now;
        self.append_mark();
    }

    /// Chunks before this are no part of what follows.
    pub(super) fn forget_chunks(&mut self) {
        self.body = None;
        self.chunk_refused = None;
    }

    /// Whether BDAT LAST may go upstream now; `None`: the mark is not stored yet.
    pub(super) fn last_chunk_allowed(&self) -> Option<bool> {
        if self.mark == MarkState::Pending { None } else { Some(self.mark_allows()) }
    }

    /// A BDAT command went on; its octets follow.
    pub(super) fn begin_chunk(&mut self, now: u64, left: u64, last: bool) {
        self.mode = Mode::Chunk { left, last };
        self.chunk_passed(now);
    }

    /// Untraced mail isn't passed: the last chunk is swallowed and answered here.
    pub(super) fn refuse_last_chunk(&mut self, now: u64, left: u64, wire: &mut dyn Wire) {
        self.mode = Mode::Chunk { left, last: true };
        self.expect(now, Expect::Bdat { last: true });
        let sealed = self.sealed_for_store();
        self.seal_body(now, sealed, false, wire);
        self.swallow_chunk(now, b"", left, true, wire);
    }

    /// Message octets of BDAT. Returns how many are used.
    pub(super) fn take_chunk(&mut self, now: u64, rest: &[u8], left: u64, last: bool, wire: &mut dyn Wire) -> usize {
        let take = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        let octets = rest.get(..take).unwrap_or(rest);
        let limit = self.options.limits.message_size;
        self.mode = Mode::Chunk { left: left - take as u64, last };
        let is_answered = self.answered_chunk().is_some();
        if let Some(body) = &mut self.body {
            if let Framing::Chunks(newlines) = &mut body.framing {
                newlines.look(octets);
            }
            body.look(octets);
            if limit > 0 && body.size() > limit && !is_answered {
                let sealed = self.sealed_for_size();
                self.seal_body(now, sealed, false, wire);
                self.swallow_chunk(now, b"", left - take as u64, last, wire);
                return take;
            }
        }
        wire.send(Leg::Upstream, octets);
        self.chunk_passed(now);
        take
    }

    /// What is to come of the chunk under way, if the upstream has refused it already: it gets no second reply.
    pub(super) fn answered_chunk(&self) -> Option<(u64, bool)> {
        let Mode::Chunk { left, last } = self.mode else { return None };
        let awaited = matches!(self.pending.back().map(|it| &it.expect), Some(Expect::Bdat { .. }));
        (!awaited && self.chunk_refused.is_some()).then_some((left, last))
    }

    fn chunk_passed(&mut self, now: u64) {
        let Mode::Chunk { left: 0, last } = self.mode else { return };
        self.mode = Mode::Command;
        if let Some(pending) = self.pending.back_mut().filter(|it| matches!(it.expect, Expect::Bdat { .. })) {
            pending.sent_at = now; // the reply is due from here on, however long the octets took
        }
        if last {
            self.recorder.relayed(now, Leg::Client, b"[end of last chunk]");
            self.note_message(now, true);
        }
    }

    /// Octets of a chunk that is not passed on. Returns how many are used.
    pub(super) fn swallow_chunk(&mut self, now: u64, rest: &[u8], left: u64, last: bool, wire: &mut dyn Wire) -> usize {
        let take = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        let left = left - take as u64;
        self.mode = if left > 0 { Mode::SwallowChunk { left, last } } else { Mode::Command };
        if let Some(body) = self.body.as_mut().filter(|body| body.sealed.is_some()) {
            let octets = rest.get(..take).unwrap_or(rest);
            if let Framing::Chunks(newlines) = &mut body.framing {
                newlines.look(octets);
            }
            body.look(octets);
        }
        if left == 0 && self.body.as_ref().is_some_and(|body| body.sealed.is_some()) {
            // Refused mid-way: the chunk's own reply is the message's.
            self.body_swallowed(now, wire);
        }
        take
    }
}
