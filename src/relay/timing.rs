//! What time does: when a reply, a command or the store is overdue, and what follows.

use super::action::{Action, Wire};
use super::machine::{Expect, Machine, MarkState, Mode};
use super::replies::OwnReply;
use crate::trace::{Actor, EndHow, Flag, Stage};

/// How long the upstream's goodbye is awaited for a client that has closed its side: Courier loses a QUIT that comes with end-of-data.
const GOODBYE_US: u64 = 5_000_000;

impl Machine {
    /// When [`Machine::tick`] is due, in µs since the session began.
    pub fn deadline(&self) -> Option<u64> {
        if self.ended {
            return None;
        }
        if self.splice.is_some() {
            return self.splice_deadline();
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
        if let Some(at) = self.renew_mark_at.filter(|_| self.awaits_final_reply()) {
            at_most(at);
        }
        if let Some(at) = self.reply_due() {
            at_most(at);
        }
        // The client's time begins when it has been answered, however long that took.
        let client_since = self.client_last.max(self.upstream_last);
        match self.mode {
            Mode::Body | Mode::Chunk { .. } | Mode::SwallowBody | Mode::SwallowChunk { .. } => {
                at_most(client_since.saturating_add(us(limits.client_data)))
            }
            Mode::Handshake => at_most(self.waiting_since.saturating_add(us(limits.tls_handshake))),
            Mode::Command | Mode::SkipLine | Mode::AuthResponse
                if self.pending.is_empty() && self.greeted && self.negotiation.is_none() && !self.busy_late() =>
            {
                at_most(client_since.saturating_add(us(limits.client_command)));
            }
            _ => {}
        }
        due
    }

    /// When the upstream's next reply is overdue. None while the chunk that it will answer is still being sent.
    fn reply_due(&self) -> Option<u64> {
        let limits = &self.options.limits.timeouts;
        let us = |duration: std::time::Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let front = self.pending.front()?;
        if matches!(self.mode, Mode::Chunk { .. }) && self.pending.len() == 1 {
            return None;
        }
        let wait = match front.expect {
            Expect::Banner => limits.banner,
            Expect::Data => limits.data_reply,
            Expect::EndOfData | Expect::Bdat { last: true } => limits.end_of_data,
            _ => limits.reply,
        };
        let wait = if self.only_goodbye_is_due() { us(wait).min(GOODBYE_US) } else { us(wait) };
        let due = front.sent_at.max(self.upstream_last).saturating_add(wait);
        let due = self.late_reply_due(front.sent_at).map_or(due, |late| due.min(late));
        let late = self.waiting_since.saturating_add(us(limits.late_reply));
        Some(if self.client_gone && self.awaits_final_reply() { due.min(late) } else { due })
    }

    fn only_goodbye_is_due(&self) -> bool {
        (self.client_half_closed || self.client_gone) && self.pending.front().is_some_and(|it| matches!(it.expect, Expect::Quit))
    }

    /// The upstream has yet to take what the client sent, or has just taken it: the client isn't read meanwhile, and that time isn't its
    /// own.
    pub fn client_held_back(&mut self, now: u64) {
        if matches!(self.mode, Mode::Body | Mode::Chunk { .. } | Mode::SwallowBody | Mode::SwallowChunk { .. }) {
            self.client_last = self.client_last.max(now);
        }
    }

    /// A deadline may have passed.
    pub fn tick(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.deadline().is_none_or(|due| now < due) {
            return;
        }
        if self.splice.is_some() {
            return self.splice_timed_out(now, wire);
        }
        if self.hold.is_some() {
            return self.release_hold(now, wire); // promise 2: tracing delays a reply by no more than this
        }
        if self.renew_mark_at.take_if(|at| now >= *at).is_some() {
            // A store that fails has lost the first one already.
            if self.awaits_final_reply() && self.mark != MarkState::Failed && self.recorder.in_transaction() {
                self.actions.push_back(Action::RenewMark);
            }
            return; // what else is due comes next
        }
        if self.awaits_mark() {
            let us = u64::try_from(self.options.limits.timeouts.store_wait.as_micros()).unwrap_or(u64::MAX);
            if now >= self.mark_since.saturating_add(us) {
                self.recorder.flag(Flag::StoredLate);
                return self.mark_stored(now, false, wire);
            }
        }
        if self.reply_due().is_some_and(|due| now >= due) {
            if self.only_goodbye_is_due() {
                return self.end(now, Actor::Client, Stage::Quit, EndHow::Quit, None, wire);
            }
            let words = format!("the {} did not {} in time", self.peer(), self.owed());
            return self.upstream_lost(now, &words, Actor::Upstream, EndHow::Timeout, wire);
        }
        if self.mode == Mode::Handshake {
            self.client_gone = true; // nothing can be said in the middle of a handshake
            let words = "the TLS handshake took too long".to_owned();
            return self.end(now, Actor::Client, Stage::StartTls, EndHow::Timeout, Some(words), wire);
        }
        let words = match self.mode {
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
