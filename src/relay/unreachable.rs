//! Hosts that can't be had: how long they are tried, and what the recipients hear whose destination they were.

use super::action::{Refusal, Wire};
use super::expect::{Expect, Refused};
use super::machine::Machine;
use super::opening::LeftHost;
use super::recorder::{refused, reply_of};
use super::replies::OwnReply;
use crate::smtp::ReplyView;
use crate::trace::{Actor, EndHow, Leg, Recipient, Stage};

/// How long hosts are tried one after the other, µs: less than the five minutes that clients wait for a reply (RFC 5321 §4.5.3.2.3).
const PATIENCE: u64 = 240_000_000;

/// How long one host may take for a reply while there are others: the client's patience is for all of them.
const SLICE: u64 = 60_000_000;

/// The same before the client is greeted: many wait no longer than a minute for that.
const GREETING_SLICE: u64 = 30_000_000;

/// A client that goes after waiting longer than this didn't only look at the port: the record says what it waited for.
const WAITED: u64 = 10_000_000;

/// Why a destination can't be reached.
#[derive(Debug, Clone)]
pub(super) enum Unreachable {
    Own {
        refusal: Refusal,
        words: String,
        stage: Stage,
        by: Actor,
    },
    /// The upstream's own greeting, as it came.
    Banner(Vec<u8>),
}

impl Unreachable {
    /// Whether it may be otherwise later.
    fn may_pass(&self) -> bool {
        match self {
            Self::Own { refusal, .. } => refusal.code < 500,
            Self::Banner(banner) => ReplyView::new(banner).code() < 500,
        }
    }
}

impl Machine {
    /// The client would have given up by the time that another host was tried.
    pub(super) fn out_of_patience(&self, now: u64) -> bool {
        self.late.as_ref().is_some_and(|late| now.saturating_sub(late.busy_since) > PATIENCE)
    }

    /// When a reply is overdue that a client waits for behind others: in the opening, and to the proxy's own MAIL FROM. However slowly it
    /// comes, it counts from when it was asked for.
    pub(super) fn late_reply_due(&self, sent_at: u64) -> Option<u64> {
        let Some(late) = self.late.as_ref() else { return self.greeting_due(sent_at) };
        let own = matches!(self.pending.front().map(|it| &it.expect), Some(Expect::LateMail | Expect::LateReset | Expect::Xforward));
        let whole = match (late.busy, own) {
            (true, _) => late.busy_since.saturating_add(PATIENCE).max(sent_at),
            (false, true) => sent_at.saturating_add(PATIENCE),
            (false, false) => return None,
        };
        let others = !self.hosts.is_empty() || late.reused;
        Some(if others { whole.min(sent_at.saturating_add(SLICE)) } else { whole })
    }

    /// When the greeting is overdue that the client waits for, while there is a host that is known to serve. Otherwise it has all of its
    /// time: slow mail is better than none.
    fn greeting_due(&self, sent_at: u64) -> Option<u64> {
        let waits = self.is_opening() && self.negotiation.is_none();
        (waits && self.hosts.iter().any(|hop| hop.proven)).then(|| sent_at.saturating_add(GREETING_SLICE))
    }

    /// The client left before the host that it waited for had greeted. Where that took too long, or nobody has got through to that host
    /// lately, it has failed: the next session tries another first. Returns what the record says of it.
    pub(super) fn lost_to_silence(&mut self, now: u64) -> Option<String> {
        let waited = now.saturating_sub(self.waiting_since);
        if !self.is_opening() || self.negotiation.is_some() || waited < WAITED {
            return None;
        }
        let (host, port, serves) = self.hop.as_ref().map(|hop| (hop.host.clone(), hop.port, hop.serves))?;
        let (stage, missing) = if self.upstream_open { (Stage::Banner, "greeting") } else { (Stage::Connect, "connection") };
        let seconds = waited / 1_000_000;
        let error = format!("no {missing} within {seconds} s, when the client left");
        self.note_tried(now, stage, &error);
        if waited >= GREETING_SLICE || !serves {
            self.host_failed(stage, &error);
        }
        Some(format!("the client left after {seconds} s without a greeting from {host}:{port}"))
    }

    /// A host failed, and there may be others.
    pub(super) fn note_left(&mut self, left: &LeftHost) {
        let why = self.why_unreachable(left);
        let Some(late) = &mut self.late else { return };
        if why.may_pass() {
            late.may_pass.get_or_insert(why);
        } else if left.by == Actor::Upstream {
            late.turned_down.get_or_insert(why);
        }
    }

    /// Why the connected host can't take this mail, if it can't: it isn't converted here.
    pub(super) fn unfit(&self) -> Option<LeftHost> {
        let mail = self.late.as_ref()?.mail.as_ref()?;
        let (refusal, error) = if mail.smtputf8 && !self.extensions.smtputf8 {
            (Refusal { code: 550, enhanced: (5, 6, 7) }, "it doesn't take internationalized mail (SMTPUTF8)")
        } else if mail.eight_bit && !self.extensions.eight_bit_mime {
            (Refusal { code: 554, enhanced: (5, 6, 3) }, "it doesn't take 8-bit mail (8BITMIME), and mail isn't converted here")
        } else {
            return None;
        };
        Some(LeftHost {
            stage: Stage::Ehlo,
            by: Actor::Upstream,
            error: error.to_owned(),
            how: EndHow::Refused,
            banner: None,
            refusal: Some(refusal),
        })
    }

    /// The connected host is well, and can't take this mail. The next one may; the last one serves the client's next message.
    pub(super) fn leave_unfit(&mut self, now: u64, left: LeftHost, wire: &mut dyn Wire) {
        let tried = self.tried(now, left.stage, &left.error);
        let Some(late) = &mut self.late else { return };
        if self.hosts.is_empty() {
            let stays = late.connected.clone();
            self.recorder.tried_for_this_one(tried);
            self.unreachable(now, left, wire);
            if let Some(late) = &mut self.late {
                late.connected = stays;
            }
            return;
        }
        (late.busy, late.connected) = (true, None);
        self.recorder.upstream_mut().tried.push(tried);
        self.leave_upstream(now, wire);
        self.try_next_host(now, Some(left), wire);
    }

    fn why_unreachable(&self, left: &LeftHost) -> Unreachable {
        let refusal = left.refusal.unwrap_or(Refusal { code: 451, enhanced: (4, 4, 1) });
        let own = |refusal| Unreachable::Own { refusal, words: self.host_words(&left.error), stage: left.stage, by: left.by };
        match &left.banner {
            // 421 says that the connection ends, and the client's doesn't (RFC 5321 §3.8).
            Some(banner) if ReplyView::new(banner).code() == 421 => own(Refusal { code: 451, enhanced: (4, 4, 2) }),
            Some(banner) => Unreachable::Banner(banner.clone()),
            None => own(refusal),
        }
    }

    /// No host of the destination could be had: its recipients hear why, and the client may go on with others.
    pub(super) fn unreachable(&mut self, now: u64, left: LeftHost, wire: &mut dyn Wire) {
        let why = self.why_unreachable(&left);
        let Some(late) = &mut self.late else { return };
        // RFC 5321 §5.1: while a host of the destination may come back, what another one says is not final.
        let (may_pass, turned_down) = (late.may_pass.take(), late.turned_down.take());
        let why = match why.may_pass() {
            true => why,
            false => may_pass.or(turned_down.filter(|_| left.by == Actor::Proxy)).unwrap_or(why),
        };
        (late.busy, late.mail_sent, late.connected) = (false, false, None);
        late.sent.clear();
        let destination = late.destination.take();
        late.unreachable = destination.map(|destination| (destination, why.clone()));
        for (_, expect) in std::mem::take(&mut late.queue) {
            match expect {
                Expect::Rcpt(recipient) => self.tell_unreachable(now, *recipient, &why, wire),
                other => self.answer_unasked(now, other, wire),
            }
        }
        self.client_last = now;
        if self.draining {
            self.drain(now, wire);
        }
        self.resume_client(now, wire);
        self.ends_half_closed(now, wire);
    }

    pub(super) fn tell_unreachable(&mut self, now: u64, recipient: Recipient, why: &Unreachable, wire: &mut dyn Wire) {
        match why {
            Unreachable::Own { refusal, words, stage, by } => {
                let own = OwnReply::new(refusal.code, refusal.enhanced, words, self.recorder.trace_id());
                let recipient = refused(recipient, *stage, *by, own.record());
                self.answer_in_turn_for(now, own, Some(Refused::Recipient(Box::new(recipient))), wire);
            }
            Unreachable::Banner(banner) => {
                let reply = reply_of(&ReplyView::new(banner));
                self.recorder.recipient(refused(recipient, Stage::Banner, Actor::Upstream, reply));
                self.say(now, Leg::Client, banner, wire);
            }
        }
    }

    /// What waited behind recipients that nobody asks about any more.
    pub(super) fn answer_unasked(&mut self, now: u64, expect: Expect, wire: &mut dyn Wire) {
        match expect {
            Expect::Own(own, refused) => self.say_own(now, &own, refused, wire),
            Expect::Data => {
                let reply = OwnReply::new(554, (5, 5, 1), "no valid recipients", self.recorder.trace_id());
                self.say(now, Leg::Client, &reply.line(), wire);
            }
            _ => {}
        }
    }
}
