//! What the upstream says: each reply matched to what it answers, and relayed as it came.

use super::action::{Action, Wire};
use super::body::Sealed;
use super::lmtp::Lmtp;
use super::machine::{Expect, Hold, Machine, MarkState, Mode, Pending};
use super::recorder::{Verdict, final_state_of, reply_of, state_of};
use crate::smtp::{ReplyError, ReplyView};
use crate::trace::{Actor, Auth, EndHow, Envelope, Flag, Leg, Recipient, Reply, Stage, State};

impl Machine {
    /// Takes the whole replies out of the upstream's octets; returns how many octets are used.
    pub(super) fn take_replies(&mut self, now: u64, octets: &[u8], wire: &mut dyn Wire) -> usize {
        let mut used = 0;
        while self.upstream_open && !self.ended && self.hold.is_none() {
            let rest = octets.get(used..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let limits = &self.options.limits;
            match self.scanner.next(rest, limits.reply_line, limits.reply_lines) {
                Ok(None) => break,
                Ok(Some(length)) => {
                    let view = ReplyView::new(rest.get(..length).unwrap_or(rest));
                    used += length;
                    self.reply(now, &view, rest.len() > length, wire);
                    self.flush_own(now, wire);
                    if self.negotiation.as_ref().is_some_and(|it| it.handshaking()) {
                        break;
                    }
                }
                Err(error) => {
                    let words = match error {
                        ReplyError::Garbage { .. } if self.answers_a_secret() => "not an SMTP reply".to_owned(),
                        error => error.to_string(),
                    };
                    self.upstream_broke(now, &words, Flag::MalformedReply, wire);
                    return octets.len();
                }
            }
        }
        used
    }

    /// How many replies the upstream gave since this was last asked, by their first digit, from 2 on.
    pub fn reply_counts(&mut self) -> [u16; 4] {
        std::mem::take(&mut self.recorder.replies)
    }

    fn reply(&mut self, now: u64, view: &ReplyView<'_>, surplus: bool, wire: &mut dyn Wire) {
        if let Some(count) = self.recorder.replies.get_mut(usize::from(view.class()).wrapping_sub(2)) {
            *count = count.saturating_add(1);
        }
        if view.malformed() || view.class() == 3 && self.pending.front().is_some_and(|it| !it.expect.may_ask_for_more()) {
            self.recorder.flag(Flag::MalformedReply);
        }
        let stage = self.stage();
        let Some(pending) = self.pending.pop_front() else { return self.unasked(now, view, wire) };
        let (sent_at, code) = (pending.sent_at, view.code());
        // A reply that ends the session is kept by itself, and may repeat what it answers.
        let secrets = match &pending.expect {
            Expect::Auth if code == 421 => self.auth_secrets.clone(),
            Expect::Other { secret: Some(secret) } if code == 421 => vec![secret.to_vec()],
            _ => Vec::new(),
        };
        match pending.expect {
            Expect::Own(..) => {}
            Expect::Banner => return self.banner(now, sent_at, view, wire),
            Expect::Negotiation => return self.negotiation_reply(now, view, surplus, wire),
            Expect::Ehlo if view.class() == 2 => {
                self.learn(view);
                self.recorder.line(now, Leg::Upstream, crate::trace::Flow::In, view.octets().trim_ascii_end());
                self.abandon(now, "the client said EHLO again");
                return self.answer_ehlo(now, view, wire);
            }
            Expect::Ehlo if code == 503 && !self.introduced && self.ehlo_reply.is_some() => {
                return self.ehlo_refused_again(now, view, wire);
            }
            Expect::Helo if view.class() == 2 => {
                self.introduced = true;
                (self.offered_pipelining, self.offered_chunking, self.offered_auth, self.offered_smtputf8) = (false, false, false, false);
                self.abandon(now, "the client said HELO again");
                self.relay_reply(now, view, wire);
            }
            Expect::Auth => self.auth_reply(now, view, wire),
            Expect::LateReset if code == 421 => return self.mail_lost_late(now, "answered RSET with 421", wire),
            Expect::LateReset => {
                self.recorder.line(now, Leg::Upstream, crate::trace::Flow::In, view.octets().trim_ascii_end());
                self.reset_late(now, wire);
            }
            Expect::LateMail => return self.mail_reply_late(now, sent_at, view, wire),
            Expect::Xforward => {
                self.xforward_reply(now, view);
                match (code, self.late.is_some()) {
                    (421, true) => return self.mail_lost_late(now, "answered XFORWARD with 421", wire),
                    (421, false) => self.send_client(view.octets(), wire),
                    _ => self.forwarded_late(now, wire),
                }
            }
            Expect::Mail(envelope) => {
                self.mail_reply(now, sent_at, envelope, view);
                self.relay_reply(now, view, wire);
            }
            Expect::Rcpt(recipient) if self.refused_mail_late().is_some() => {
                self.recorder.line(now, Leg::Upstream, crate::trace::Flow::In, view.octets().trim_ascii_end());
                if let Some(refused) = self.refused_mail_late() {
                    self.refuse_like_mail(now, *recipient, &refused, wire);
                }
            }
            Expect::Rcpt(recipient) => {
                if view.class() == 2 || self.left_open.is_some() {
                    self.begin_unknown(sent_at);
                }
                let place = self.recorder.recipient(*recipient);
                self.note_lmtp_recipient(view.class(), place);
                self.recorder.rcpt_reply(now, sent_at, place, Actor::Upstream, reply_of(view));
                self.relay_reply(now, view, wire);
                self.after_recipient_late(now, wire);
            }
            Expect::Data => return self.data_reply(now, sent_at, view, wire),
            Expect::Bdat { .. } if view.class() == 2 && self.pending.is_empty() && matches!(self.mode, Mode::Chunk { .. }) => {
                // Accepted before it was sent: what the upstream means by that can't be known.
                self.expect(sent_at, Expect::Bdat { last: false });
                return self.upstream_broke(now, "accepted a chunk before its octets were sent", Flag::EarlyReply, wire);
            }
            expect @ (Expect::EndOfData | Expect::Bdat { last: true }) if self.is_lmtp() => {
                return self.recipient_answered(now, expect, sent_at, view, wire);
            }
            Expect::EndOfData => return self.final_reply(now, sent_at, view, wire),
            Expect::Bdat { last: true } => return self.final_reply(now, sent_at, view, wire),
            Expect::Bdat { last: false } => {
                if view.class() != 2 {
                    self.chunk_refused = Some(Box::new(reply_of(view)));
                }
                self.relay_reply(now, view, wire);
            }
            Expect::Rset => {
                if view.class() == 2 {
                    self.abandon(now, "the client sent RSET");
                }
                self.relay_reply(now, view, wire);
            }
            Expect::Quit => {
                self.abandon(now, "the client sent QUIT");
                self.relay_reply(now, view, wire);
                return self.end(now, Actor::Client, Stage::Quit, EndHow::Quit, None, wire);
            }
            Expect::Other { secret } => match secret {
                Some(secret) if code == 334 => {
                    // It was AUTH in disguise: what follows is a response.
                    self.auth_secrets.push(secret.to_vec());
                    self.auth_reply(now, view, wire);
                }
                Some(secret) => self.relay_reply_redacted(now, view, &[secret.to_vec()], wire),
                None => self.relay_reply(now, view, wire),
            },
            Expect::StartTls if code == 220 => return self.starts_tls(now, view, surplus, wire),
            Expect::StartTls | Expect::Ehlo | Expect::Helo => self.relay_reply(now, view, wire),
        }
        if code == 421 {
            self.upstream_says_goodbye(now, view, stage, &secrets, wire);
        }
    }

    /// What comes from the upstream now may repeat a secret that it was sent.
    pub(super) fn answers_a_secret(&self) -> bool {
        let logs_in = self.negotiation.as_ref().is_some_and(|it| it.logging_in());
        // Between a challenge and its response nothing is asked, and the initial response has been sent.
        self.mode == Mode::AuthResponse
            || self.pending.iter().any(|it| match it.expect {
                Expect::Auth | Expect::Other { secret: Some(_) } => true,
                Expect::Negotiation => logs_in,
                _ => false,
            })
    }

    /// The reply to MAIL FROM: a transaction begins with it, refused or not.
    fn mail_reply(&mut self, now: u64, sent_at: u64, envelope: Option<Box<Envelope>>, view: &ReplyView<'_>) {
        if let Some(envelope) = envelope {
            if self.left_open.is_some() && view.code() == 503 {
                return; // likewise: a refused DATA had ended none
            }
            if self.recorder.in_transaction() {
                if view.class() != 2 && !self.mail_was_refused() {
                    return; // RFC 5321 §4.1.4: a MAIL FROM within a transaction is refused, and changes nothing
                }
                self.abandon(now, "the client began another transaction");
            }
            if view.class() == 2 {
                self.forget_left_open();
            }
            self.forget_chunks();
            self.recorder.begin(sent_at, *envelope);
        }
        self.recorder.mail_reply(now, sent_at, reply_of(view));
    }

    /// The transaction under way is one that MAIL FROM's reply refused.
    pub(super) fn mail_was_refused(&self) -> bool {
        self.recorder.envelope().and_then(|envelope| envelope.reply.as_ref()).is_some_and(|reply| reply.code >= 400)
    }

    /// The upstream takes recipients or a message where no MAIL FROM was seen that it took: that leaves a record too.
    pub(super) fn begin_unknown(&mut self, now: u64) {
        if !self.recorder.in_transaction() {
            self.recorder.begin(now, self.left_open.take().map_or_else(Envelope::default, |envelope| *envelope));
        }
    }

    /// A reply passed to the client as it came.
    pub(super) fn relay_reply(&mut self, now: u64, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        self.recorder.relayed(now, Leg::Upstream, view.octets().trim_ascii_end());
        self.send_client(view.octets(), wire);
    }

    pub(super) fn send_client(&mut self, octets: &[u8], wire: &mut dyn Wire) {
        if !self.client_gone {
            wire.send(Leg::Client, octets);
        }
    }

    /// The same where the reply could repeat a secret.
    fn relay_reply_redacted(&mut self, now: u64, view: &ReplyView<'_>, secrets: &[Vec<u8>], wire: &mut dyn Wire) {
        let shown = redacted(view, secrets);
        self.recorder.relayed(now, Leg::Upstream, shown.as_bytes());
        self.send_client(view.octets(), wire);
    }

    fn auth_reply(&mut self, now: u64, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        if view.code() == 334 {
            // The challenge may hold names or tokens: its octets are the client's business alone.
            self.recorder.relayed(now, Leg::Upstream, b"334 [redacted]");
            self.send_client(view.octets(), wire);
            self.mode = Mode::AuthResponse;
            return;
        }
        let sent = std::mem::take(&mut self.auth_secrets);
        let kept = reply_without(view, &sent);
        self.recorder.phases_mut().auth_us = Some(now.saturating_sub(self.auth_began));
        let outcome = match view.code() {
            235 => "succeeded",
            _ if sent.last().is_some_and(|last| last == b"*") => "cancelled",
            _ => "failed",
        };
        if let Some(exchange) = self.auth.take() {
            let made = Auth {
                mechanism: exchange.mechanism().to_owned(),
                user: exchange.user().map(str::to_owned),
                outcome: outcome.to_owned(),
                reply: Some(kept),
            };
            self.recorder.set_auth(Leg::Client, made);
        }
        self.relay_reply_redacted(now, view, &sent, wire);
    }

    fn data_reply(&mut self, now: u64, sent_at: u64, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        self.recorder.phases_mut().data_us = Some(now.saturating_sub(sent_at));
        // A refused DATA ends no transaction (RFC 5321 §4.1.1.4 resets at its end only): more recipients, or DATA once more, may follow.
        let left = self.recorder.envelope().filter(|_| view.class() != 3 && self.late.is_none() && !self.mail_was_refused()).cloned();
        if view.class() == 2 {
            // It has no message yet that it could take: what it means by that can't be known.
            self.pending.push_front(Pending { expect: Expect::Data, sent_at });
            return self.upstream_broke(now, &format!("answered DATA with {}", view.code()), Flag::SurplusReply, wire);
        }
        if view.class() == 3 && self.is_message_for_nobody() {
            return self.upstream_broke(now, "asked for a message although it took no recipient", Flag::SurplusReply, wire);
        }
        if view.class() == 3 {
            self.begin_unknown(sent_at);
            self.begin_data(now);
            self.add_received(now, wire);
            return self.relay_reply(now, view, wire);
        }
        let verdict = Verdict {
            state: state_of(view.code()),
            stage: Stage::Data,
            by: Actor::Upstream,
            reply: Some(reply_of(view)),
            detail: None,
            upstream_queue_id: None,
        };
        let lmtp = std::mem::take(&mut self.lmtp);
        self.finish_with_reply(now, verdict, view, wire);
        if let Some(mut envelope) = left {
            let took = |it: &Recipient| it.reply.as_ref().is_some_and(|reply| reply.code < 300);
            self.lmtp = lmtp.without(&envelope.recipients, took);
            envelope.recipients.retain(took);
            self.left_open = Some(Box::new(envelope));
        }
    }

    /// The transaction that a refused DATA had left open is over after all.
    pub(super) fn forget_left_open(&mut self) {
        if self.left_open.take().is_some() {
            self.lmtp = Lmtp::default();
        }
    }

    /// The reply that decides about the message.
    pub(super) fn final_reply(&mut self, now: u64, sent_at: u64, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        self.note_final_reply(now, sent_at, view.class());
        let reply = reply_of(view);
        let queue_id = crate::message::upstream_queue_id(reply.code, &reply.lines);
        let verdict = Verdict {
            state: final_state_of(view.code()),
            stage: Stage::EndOfData,
            by: Actor::Upstream,
            reply: Some(reply),
            detail: None,
            upstream_queue_id: queue_id.map(|it| it.id),
        };
        self.finish_with_reply(now, verdict, view, wire);
    }

    pub(super) fn note_final_reply(&mut self, now: u64, sent_at: u64, class: u16) {
        if class == 2 {
            self.begin_unknown(sent_at);
        }
        if matches!(self.mode, Mode::Chunk { .. }) {
            self.recorder.flag(Flag::EarlyReply);
        }
        self.recorder.phases_mut().end_of_data_us = Some(now.saturating_sub(sent_at));
        if self.client_gone {
            self.recorder.flag(Flag::LateReply);
        }
    }

    pub(super) fn finish_with_reply(&mut self, now: u64, verdict: Verdict, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        self.recorder.relayed(now, Leg::Upstream, view.octets().trim_ascii_end());
        self.finish_saying(now, verdict, view, wire);
    }

    /// The record first, then the reply.
    pub(super) fn finish_saying(&mut self, now: u64, verdict: Verdict, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        self.note_message(now, false); // what came of it before it was refused
        self.mark = MarkState::None;
        self.chunk_refused = None;
        self.transaction_over_late(verdict.stage == Stage::EndOfData);
        let then_end = (view.code() == 421).then_some(verdict.stage);
        match self.recorder.finish(now, verdict) {
            Some(record) => {
                self.hold = Some(Hold { reply: view.octets().to_vec(), since: now, then_end });
                self.actions.push_back(Action::Append { record: Box::new(record), then_reply: true });
            }
            None => {
                self.send_client(view.octets(), wire);
                if let Some(stage) = then_end {
                    self.upstream_says_goodbye(now, view, stage, &[], wire);
                }
            }
        }
    }

    /// The record is stored, or waited for long enough: now the reply.
    pub(super) fn release_hold(&mut self, now: u64, wire: &mut dyn Wire) {
        let Some(hold) = self.hold.take() else { return };
        if !hold.reply.is_empty() {
            self.send_client(&hold.reply, wire);
        }
        if let Some(stage) = hold.then_end {
            let view = ReplyView::new(&hold.reply);
            return self.upstream_says_goodbye(now, &view, stage, &[], wire);
        }
        self.flush_own(now, wire);
        if !self.upstream_open && self.gone.is_none() && !self.ended && self.late.is_none() {
            return self.upstream_gone_idle(now, wire);
        }
        self.resume_upstream(now, wire);
        if self.draining && !self.recorder.in_transaction() && self.pending.is_empty() {
            self.end_draining(now, wire);
        }
        self.resume_client(now, wire);
        self.ends_half_closed(now, wire);
    }

    /// A reply that answers nothing.
    fn unasked(&mut self, now: u64, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        let in_body = matches!(self.mode, Mode::Body) || self.held_terminator;
        if in_body && view.class() >= 4 {
            // The upstream's word on the message came early: it gets no more of it, and the client hears it after its end-of-data.
            self.recorder.flag(Flag::EarlyReply);
            self.recorder.line(now, Leg::Upstream, crate::trace::Flow::In, view.octets().trim_ascii_end());
            return self.seal_body(now, Sealed::early(view, self.peer()), false, wire);
        }
        let is_goodbye = view.code() == 421 || (view.class() == 4 && self.mode == Mode::Command && self.pending.is_empty());
        if is_goodbye && self.dropped_quietly_late() {
            self.recorder.line(now, Leg::Upstream, crate::trace::Flow::In, view.octets().trim_ascii_end());
            return self.drop_upstream();
        }
        if is_goodbye && view.code() != 421 {
            return self.upstream_says_goodbye_amiss(now, view, wire);
        }
        let secrets = if self.mode == Mode::AuthResponse { std::mem::take(&mut self.auth_secrets) } else { Vec::new() };
        if view.code() == 421 {
            self.relay_reply_redacted(now, view, &secrets, wire);
            return self.upstream_says_goodbye(now, view, self.stage(), &secrets, wire);
        }
        let shown = redacted(view, &secrets);
        self.recorder.line(now, Leg::Upstream, crate::trace::Flow::In, shown.as_bytes());
        let words = format!("sent a reply that nobody asked for ({})", view.code());
        self.upstream_broke(now, &words, Flag::SurplusReply, wire);
    }

    /// SES, Gmail and Exchange end sessions that have been idle for too long with 451, not 421: the client, which asked nothing, hears what
    /// was meant.
    fn upstream_says_goodbye_amiss(&mut self, now: u64, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        self.recorder.line(now, Leg::Upstream, crate::trace::Flow::In, view.octets().trim_ascii_end());
        let words = view.lines().map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
        let words =
            format!("the {} ended the session: {} {}", self.peer(), view.code(), super::recorder::bounded(words.trim().as_bytes(), 256));
        self.upstream_lost(now, &words, Actor::Upstream, EndHow::Close, wire);
    }

    /// 421 was relayed: both legs end (RFC 5321 §3.8).
    pub(super) fn upstream_says_goodbye(&mut self, now: u64, view: &ReplyView<'_>, stage: Stage, secrets: &[Vec<u8>], wire: &mut dyn Wire) {
        let reply = reply_without(view, secrets);
        self.take_unanswered();
        if self.recorder.in_transaction() {
            let verdict = Verdict {
                state: State::Deferred,
                stage,
                by: Actor::Upstream,
                reply: Some(reply.clone()),
                detail: Some(format!("the {} ended the session with 421", self.peer())),
                upstream_queue_id: None,
            };
            self.finish_quietly(now, verdict);
        }
        let detail = format!("the {} ended the session: {} {}", self.peer(), reply.code, reply.lines.join(" "));
        self.end_with(now, Actor::Upstream, stage, EndHow::Close, Some(detail), Some(reply), wire);
    }
}

/// The kept form of a reply that may repeat what it answers.
fn reply_without(view: &ReplyView<'_>, secrets: &[Vec<u8>]) -> Reply {
    let secrets: Vec<&[u8]> = secrets.iter().map(Vec::as_slice).collect();
    super::login::without_secrets(reply_of(view), &secrets)
}

/// The same for the timeline.
fn redacted(view: &ReplyView<'_>, secrets: &[Vec<u8>]) -> String {
    let kept = reply_without(view, secrets);
    format!("{} {}", kept.code, kept.lines.join("\n"))
}
