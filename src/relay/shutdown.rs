//! The door and the end of the process: clients that aren't let in, sessions that drain, and what is cut short.

use super::action::Wire;
use super::machine::{Machine, Mode};
use super::replies::OwnReply;
use crate::trace::{Actor, EndHow, Leg, Stage, State};

impl Machine {
    /// The client isn't let in: it hears this in the greeting's place. Nothing about the upstream is told.
    ///
    /// `why` is for the record.
    pub fn refuse_client(&mut self, now: u64, code: u16, words: &str, why: &str, wire: &mut dyn Wire) {
        let reply = OwnReply::at_the_door(code, words, self.recorder.trace_id());
        self.say(now, Leg::Client, &reply.line(), wire);
        self.end_with(now, Actor::Proxy, Stage::Connect, EndHow::Refused, Some(why.to_owned()), Some(reply.record()), wire);
    }

    /// The process shuts down: between transactions the session ends with 421, a transaction under way may finish.
    pub fn drain(&mut self, now: u64, wire: &mut dyn Wire) {
        self.draining = true;
        let idle = self.greeted
            && !self.recorder.in_transaction()
            && self.pending.is_empty()
            && self.hold.is_none()
            && self.negotiation.is_none()
            && !self.busy_late();
        if idle && !self.ended && matches!(self.mode, Mode::Command | Mode::SkipLine) {
            self.end_draining(now, wire);
        }
    }

    /// Drain time is over: ends whatever is under way, honestly.
    pub fn shut_down(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.ended {
            return;
        }
        if self.splice.is_some() {
            return self.end_splice(now, Actor::Proxy, EndHow::Shutdown, "the proxy was shut down", wire);
        }
        if self.hold.is_some() {
            // The upstream's word on the message is there, and is the client's whatever becomes of the record.
            self.draining = true;
            self.release_hold(now, wire);
            if self.ended {
                return;
            }
        }
        let stage = self.stage();
        if self.awaits_final_reply() {
            self.doubt();
            let reply = OwnReply::new(
                451,
                (4, 3, 2),
                format!("shutting down before the {} answered: the message may or may not have been delivered", self.peer()),
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
}
