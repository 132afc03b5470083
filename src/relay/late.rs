//! A listener with a static EHLO: the client is answered here until its first RCPT TO, which chooses the next hop.
//!
//! One destination a transaction: recipients who need another one are told to come in a transaction of their own. A connection is kept
//! for the client's next message if that goes the same way. What was sent behind a MAIL FROM of ours is kept until that is answered, so
//! that a connection which turns out to be dead costs nobody a message. `unreachable` is what recipients hear where no host can be had.

use std::collections::VecDeque;
use std::sync::Arc;

use super::action::{Action, Found, NotFound, Refusal, Wire};
use super::machine::{Expect, Machine, Refused};
use super::opening::LeftHost;
use super::options::UpstreamOptions;
use super::recorder::{refused, reply_of};
use super::replies::OwnReply;
use super::unreachable::Unreachable;
use crate::smtp::ReplyView;
use crate::trace::{Actor, EndHow, Flag, Flow, Leg, Recipient, Stage, UpstreamKind};

/// Where a transaction goes.
#[derive(Debug, Clone)]
pub(super) struct Destination {
    pub upstream: Arc<UpstreamOptions>,
    /// The recipient's domain, where its mail exchangers decide.
    pub domain: Option<String>,
    pub rule: Option<String>,
}

impl PartialEq for Destination {
    fn eq(&self, other: &Self) -> bool {
        self.upstream.name == other.upstream.name && self.domain == other.domain
    }
}

/// MAIL FROM as it was accepted here.
#[derive(Debug, Clone, Default)]
pub(super) struct Mail {
    /// `<ann@from.example>`, as it came.
    pub path: Vec<u8>,
    /// Without brackets, for the routing table.
    pub reverse_path: String,
    pub size: Option<u64>,
    pub eight_bit: bool,
    pub smtputf8: bool,
}

#[derive(Debug, Default)]
pub(super) struct Late {
    pub mail: Option<Mail>,
    /// Of the transaction under way.
    pub destination: Option<Destination>,
    /// Where the connection that stands leads.
    pub(super) connected: Option<Destination>,
    /// Hosts are looked for, connected to or greeted.
    pub(super) busy: bool,
    /// Since when.
    pub(super) busy_since: u64,
    /// Commands that wait for the connection, and what their replies answer.
    pub(super) queue: VecDeque<(Vec<u8>, Expect)>,
    /// Commands sent behind a MAIL FROM that is not answered yet.
    pub(super) sent: VecDeque<Vec<u8>>,
    /// MAIL FROM of this transaction has gone upstream.
    pub(super) mail_sent: bool,
    /// How the upstream refused it.
    refused: Option<Vec<u8>>,
    /// A transaction of this client went through the connection before.
    pub(super) reused: bool,
    /// The upstream may still be in a transaction.
    needs_reset: bool,
    /// The destination has no host besides the one that is connected.
    only_host: bool,
    /// The last destination that couldn't be reached in this transaction, and what its recipients are told.
    pub(super) unreachable: Option<(Destination, Unreachable)>,
    /// The first failure of a host that may pass: with one, no other host's refusal is the last word.
    pub(super) may_pass: Option<Unreachable>,
    /// The first final refusal of a host that was reached: that others may not be tried behind it is not the reason then.
    pub(super) turned_down: Option<Unreachable>,
}

impl Machine {
    /// Whether the client has to wait for the upstream.
    pub(super) fn busy_late(&self) -> bool {
        self.late.as_ref().is_some_and(|late| late.busy || !late.queue.is_empty())
    }

    /// The upstream is being reached: what goes wrong with it now concerns this host alone.
    pub(super) fn is_opening(&self) -> bool {
        match &self.late {
            Some(late) => late.busy,
            None => !self.greeted,
        }
    }

    /// MAIL FROM has gone upstream in this transaction.
    pub(super) fn mail_sent_late(&self) -> bool {
        self.late.as_ref().is_some_and(|late| late.mail_sent)
    }

    /// The greeting, with no upstream behind it yet.
    pub(super) fn greet_late(&mut self, now: u64, wire: &mut dyn Wire) {
        let line = format!("220 {} ESMTP relayscope\r\n", self.options.host_name);
        self.say(now, Leg::Client, line.as_bytes(), wire);
        self.greeted = true;
        self.client_last = now;
        if self.draining {
            self.end_draining(now, wire);
        }
    }

    /// A recipient, within a transaction. `line`: its RCPT TO with CRLF.
    pub(super) fn route_recipient(&mut self, now: u64, line: &[u8], recipient: Recipient, destination: Destination, wire: &mut dyn Wire) {
        self.count();
        self.recorder.line(now, Leg::Client, Flow::In, line.trim_ascii_end());
        let Some(late) = &mut self.late else { return };
        match &late.destination {
            Some(chosen) if *chosen != destination => {
                let words = match (&chosen.domain, &destination.domain) {
                    (Some(_), Some(_)) => "one recipient domain a transaction: send this recipient in another one",
                    _ => "this recipient has another next hop: send it in another transaction",
                };
                let own = OwnReply::new(452, (4, 5, 3), words, self.recorder.trace_id());
                self.recorder.flag(Flag::Split);
                let recipient = refused(recipient, Stage::RcptTo, Actor::Proxy, own.record());
                return self.answer_in_turn_for(now, own, Some(Refused::Recipient(Box::new(recipient))), wire);
            }
            _ => {}
        }
        let in_turn = self.pending.is_empty();
        if let Some(refused) = late.refused.clone().filter(|_| in_turn) {
            return self.refuse_like_mail(now, recipient, &refused, wire);
        }
        if let Some(own) = self.too_many_for_lmtp(&destination.upstream) {
            return self.refuse_parted(now, own, recipient, wire);
        }
        let Some(late) = &self.late else { return };
        if late.mail_sent {
            self.send_behind_mail(now, line.to_vec(), Expect::Rcpt(Box::new(recipient)), wire);
            return;
        }
        if let Some((_, why)) = late.unreachable.as_ref().filter(|(other, _)| *other == destination) {
            let why = why.clone();
            return self.tell_unreachable(now, recipient, &why, wire);
        }
        // MAIL FROM was answered before anybody knew whose quota the message counts for.
        let (begins, stands) = (late.destination.is_none(), late.connected.as_ref() == Some(&destination));
        let reverse_path = late.mail.as_ref().map(|mail| mail.reverse_path.as_str()).filter(|_| begins);
        if let Some(own) = reverse_path.and_then(|reverse_path| self.over_quota(now, &destination.upstream, reverse_path)) {
            if !stands {
                self.turn_to(now, destination, wire);
            }
            let recipient = refused(recipient, Stage::RcptTo, Actor::Proxy, own.record());
            return self.answer_in_turn_for(now, own, Some(Refused::Recipient(Box::new(recipient))), wire);
        }
        let Some(late) = &mut self.late else { return };
        late.queue.push_back((line.to_vec(), Expect::Rcpt(Box::new(recipient))));
        // Part of a reply that nobody asked for would become the answer to MAIL FROM.
        let surplus = self.pending.is_empty() && self.scanner.in_reply();
        let stands = stands && self.upstream_open && !surplus;
        late.destination = Some(destination);
        // What this host can't take another one may, and that one was perhaps away before.
        let serves = stands && (self.late.as_ref().is_some_and(|late| late.only_host) || self.unfit().is_none());
        if serves { self.send_mail(now, wire) } else { self.find_hosts(now, wire) }
    }

    /// DATA, if there is a transaction upstream. False: there is none.
    pub(super) fn data_late(&mut self, now: u64, line: &[u8], wire: &mut dyn Wire) -> bool {
        if !self.mail_sent_late() {
            return false;
        }
        self.count();
        self.recorder.line(now, Leg::Client, Flow::In, line.trim_ascii_end());
        self.send_behind_mail(now, line.to_vec(), Expect::Data, wire);
        true
    }

    fn send_behind_mail(&mut self, now: u64, line: Vec<u8>, expect: Expect, wire: &mut dyn Wire) {
        if self.pending.is_empty() && self.scanner.in_reply() {
            return self.upstream_broke(now, "sent part of a reply that nobody asked for", Flag::SurplusReply, wire);
        }
        self.say(now, Leg::Upstream, &line, wire);
        let unanswered = self.pending.iter().any(|it| matches!(it.expect, Expect::LateMail));
        self.expect(now, expect);
        if let Some(late) = self.late.as_mut().filter(|_| unanswered) {
            late.sent.push_back(line);
        }
    }

    /// Asks for the hosts of the destination.
    fn find_hosts(&mut self, now: u64, wire: &mut dyn Wire) {
        let Some(late) = &mut self.late else { return };
        let Some(destination) = late.destination.clone() else { return };
        late.busy = true;
        late.busy_since = now;
        (late.may_pass, late.turned_down) = (None, None);
        self.turn_to(now, destination.clone(), wire);
        self.waiting_since = now;
        self.actions.push_back(Action::FindHosts { upstream: destination.upstream, domain: destination.domain });
    }

    /// From here on it is about that destination. A connection that leads elsewhere is taken leave of.
    fn turn_to(&mut self, now: u64, destination: Destination, wire: &mut dyn Wire) {
        if let Some(late) = &mut self.late {
            late.connected = None;
            (late.reused, late.needs_reset) = (false, false);
        }
        self.leave_upstream(now, wire);
        self.recorder.goes_to(&destination.upstream, destination.rule);
        self.upstream = destination.upstream;
        self.hop = None; // whoever waits doesn't wait for it
        self.hosts.clear();
    }

    /// Says QUIT to an upstream that is no longer needed; nobody waits for its answer.
    pub(super) fn leave_upstream(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.upstream_open {
            self.say(now, Leg::Upstream, b"QUIT\r\n", wire);
            self.upstream_open = false;
            self.actions.push_back(Action::Close { leg: Leg::Upstream });
        }
        self.upstream_unread = Vec::new();
        self.scanner = Default::default();
    }

    /// The hosts asked for with [`Action::FindHosts`], in the order to try.
    pub fn hosts_found(&mut self, now: u64, found: Found, wire: &mut dyn Wire) {
        if self.ended {
            return;
        }
        self.recorder.phases_mut().dns_us = found.dns_us;
        let upstream = self.recorder.upstream_mut();
        upstream.lookups.extend(found.lookups);
        upstream.tried.extend(found.skipped);
        if let Some(late) = &mut self.late {
            late.only_host = found.hops.len() == 1;
        }
        self.hosts = found.hops.into();
        self.try_next_host(now, None, wire);
    }

    /// There are no hosts, or none that may be used.
    pub fn hosts_not_found(&mut self, now: u64, not: NotFound, wire: &mut dyn Wire) {
        if self.ended {
            return;
        }
        self.recorder.phases_mut().dns_us = not.dns_us;
        let upstream = self.recorder.upstream_mut();
        upstream.lookups.extend(not.lookups);
        upstream.tried.extend(not.skipped);
        self.hop = None;
        self.flag_failure(Some(not.refusal));
        let left = LeftHost {
            stage: Stage::Connect,
            by: not.by,
            error: not.error,
            how: EndHow::ConnectFailure,
            banner: None,
            refusal: Some(not.refusal),
        };
        self.unreachable(now, left, wire);
    }

    /// The upstream leg is greeted, in TLS and logged in as it has to be.
    pub(super) fn ready_late(&mut self, now: u64, wire: &mut dyn Wire) {
        let Some(late) = &mut self.late else { return };
        late.busy = false;
        late.connected = late.destination.clone();
        self.offered_pipelining = self.extensions.pipelining;
        self.send_mail(now, wire);
    }

    /// MAIL FROM, with what the upstream understands of its parameters, and the recipients that wait behind it.
    fn send_mail(&mut self, now: u64, wire: &mut dyn Wire) {
        let Some(mail) = self.late.as_ref().and_then(|late| late.mail.clone()) else { return };
        if let Some(left) = self.unfit() {
            return self.leave_unfit(now, left, wire);
        }
        let mut line = [b"MAIL FROM:", mail.path.as_slice()].concat();
        if let Some(size) = mail.size.filter(|_| self.extensions.size.is_some()) {
            line.extend_from_slice(format!(" SIZE={size}").as_bytes());
        }
        if mail.eight_bit {
            line.extend_from_slice(b" BODY=8BITMIME");
        }
        if mail.smtputf8 {
            line.extend_from_slice(b" SMTPUTF8");
        }
        line.extend_from_slice(b"\r\n");
        let Some(late) = &mut self.late else { return };
        late.refused = None;
        late.sent.clear();
        if std::mem::take(&mut late.needs_reset) {
            self.say(now, Leg::Upstream, b"RSET\r\n", wire);
            self.expect(now, Expect::LateReset);
            if !self.extensions.pipelining {
                return; // see `reset_late`
            }
        }
        if !self.forward_client(now, wire) {
            return; // see `forwarded_late`
        }
        if let Some(late) = &mut self.late {
            late.mail_sent = true;
            (late.may_pass, late.turned_down) = (None, None);
        }
        self.say(now, Leg::Upstream, &line, wire);
        self.expect(now, Expect::LateMail);
        if self.extensions.pipelining {
            self.send_queued(now, usize::MAX, wire);
        }
    }

    /// RSET is answered, and MAIL FROM had to wait for that.
    pub(super) fn reset_late(&mut self, now: u64, wire: &mut dyn Wire) {
        if !self.mail_sent_late() && self.pending.is_empty() {
            self.send_mail(now, wire);
        }
    }

    /// XFORWARD is answered, and MAIL FROM had to wait for that.
    pub(super) fn forwarded_late(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.forwarded && self.late.is_some() && !self.mail_sent_late() {
            self.send_mail(now, wire);
        }
    }

    /// Recipients that wait for the connection.
    pub(super) fn queued_recipients_late(&self) -> usize {
        self.late.as_ref().map_or(0, |late| late.queue.iter().filter(|(_, expect)| matches!(expect, Expect::Rcpt(_))).count())
    }

    /// Sends so many commands of those that wait; the proxy's own replies between them are none.
    fn send_queued(&mut self, now: u64, most: usize, wire: &mut dyn Wire) {
        let mut sent = 0;
        while sent < most {
            match self.late.as_mut().and_then(|late| late.queue.pop_front()) {
                Some((_, Expect::Own(own, refused))) => self.answer_in_turn_for(now, *own, refused, wire),
                Some((line, expect)) => {
                    self.send_behind_mail(now, line, expect, wire);
                    sent += 1;
                }
                None => return,
            }
        }
    }

    /// The upstream's reply to our MAIL FROM.
    pub(super) fn mail_reply_late(&mut self, now: u64, sent_at: u64, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        self.recorder.line(now, Leg::Upstream, Flow::In, view.octets().trim_ascii_end());
        if view.code() == 421 {
            return self.mail_lost_late(now, &format!("answered MAIL FROM with {} {}", view.code(), text_of(view)), wire);
        }
        self.recorder.mail_reply(now, sent_at, reply_of(view));
        let Some(late) = &mut self.late else { return };
        late.sent.clear();
        if view.class() == 2 {
            late.needs_reset = true;
            return self.send_queued(now, 1, wire);
        }
        late.refused = Some(view.octets().to_vec());
        for (_, expect) in std::mem::take(&mut late.queue) {
            match expect {
                Expect::Rcpt(recipient) => self.refuse_like_mail(now, *recipient, view.octets(), wire),
                other => self.answer_unasked(now, other, wire),
            }
        }
    }

    /// The connection is of no use before MAIL FROM was answered: nothing is lost, the next host or a fresh connection takes it over.
    pub(super) fn mail_lost_late(&mut self, now: u64, words: &str, wire: &mut dyn Wire) {
        let mut asked: VecDeque<Expect> = std::mem::take(&mut self.pending).into_iter().map(|it| it.expect).collect();
        asked.retain(|it| !matches!(it, Expect::LateReset | Expect::Xforward | Expect::LateMail));
        let Some(late) = &mut self.late else { return };
        // Replies of the proxy's own that wait in between have no line.
        let mut lines = std::mem::take(&mut late.sent);
        let again = asked.into_iter().map(|expect| match expect {
            Expect::Own(..) => (Vec::new(), expect),
            expect => (lines.pop_front().unwrap_or_default(), expect),
        });
        let again: Vec<(Vec<u8>, Expect)> = again.collect();
        for again in again.into_iter().rev() {
            late.queue.push_front(again);
        }
        late.mail_sent = false;
        let reused = late.reused;
        late.busy = true;
        self.drop_upstream();
        if reused {
            // It may have grown tired of us, and nothing else: the same hosts once more, from the first.
            let left = self.tried(now, Stage::MailFrom, words);
            self.find_hosts(now, wire);
            self.recorder.upstream_mut().tried.push(left);
            return;
        }
        let left = LeftHost {
            stage: Stage::MailFrom,
            by: Actor::Upstream,
            error: words.to_owned(),
            how: EndHow::Close,
            banner: None,
            refusal: Some(Refusal { code: 451, enhanced: (4, 4, 2) }),
        };
        self.leave_host(now, left, wire);
    }

    /// Whether the loss of the upstream now can be made good.
    pub(super) fn mail_is_unanswered_late(&self) -> bool {
        self.late.is_some() && self.pending.iter().any(|it| matches!(it.expect, Expect::LateMail | Expect::LateReset | Expect::Xforward))
    }

    /// The reply to a recipient of a transaction whose MAIL FROM was refused: the refusal itself.
    pub(super) fn refused_mail_late(&self) -> Option<Vec<u8>> {
        self.late.as_ref().and_then(|late| late.refused.clone())
    }

    pub(super) fn refuse_like_mail(&mut self, now: u64, recipient: Recipient, refusal: &[u8], wire: &mut dyn Wire) {
        let reply = reply_of(&ReplyView::new(refusal));
        self.recorder.recipient(refused(recipient, Stage::MailFrom, Actor::Upstream, reply));
        self.say(now, Leg::Client, refusal, wire);
    }

    /// A recipient was answered: the next that waits for an upstream without PIPELINING.
    pub(super) fn after_recipient_late(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.late.as_ref().is_some_and(|late| !late.busy && !late.queue.is_empty()) && self.pending.is_empty() {
            self.send_queued(now, 1, wire);
        }
    }

    /// The transaction is over. `settled`: the upstream has answered end-of-data, and knows so.
    pub(super) fn transaction_over_late(&mut self, settled: bool) {
        self.lmtp = Default::default();
        let Some(late) = &mut self.late else { return };
        late.needs_reset = late.needs_reset && !settled;
        late.reused |= late.mail_sent;
        (late.mail, late.destination, late.refused, late.unreachable) = (None, None, None, None);
        late.mail_sent = false;
        late.sent.clear();
    }

    /// An upstream that goes away while nothing of a transaction lies with it is missed by nobody. False: something does.
    pub(super) fn dropped_quietly_late(&mut self) -> bool {
        let idle = self.pending.is_empty() && !self.held_terminator && self.body.is_none() && self.hold.is_none();
        match &mut self.late {
            Some(late) if idle && !late.mail_sent && !late.busy => {
                late.connected = None;
                true
            }
            _ => false,
        }
    }

    /// Where a message goes from here on, or why it can't go anywhere.
    pub(super) fn destination_of(&self, forward_path: &str) -> Result<Destination, &'static str> {
        let Some(mail) = self.late.as_ref().and_then(|late| late.mail.as_ref()) else { return Err("send MAIL FROM first") };
        let session = crate::route::Session { listener: &self.options.listener.name, client: self.recorder.client.ip };
        let envelope = crate::route::Envelope { reverse_path: Some(&mail.reverse_path), forward_path: Some(forward_path), size: mail.size };
        let (upstream, rule) = self.options.destination(session, Some(envelope));
        let domain = crate::route::table::domain_of(forward_path);
        let by_domain = upstream.kind == UpstreamKind::Mx;
        if by_domain && domain.is_empty() {
            return Err("a recipient without a domain has no mail exchanger");
        }
        Ok(Destination { upstream, domain: by_domain.then_some(domain), rule: rule.map(|rule| rule.name.clone()) })
    }
}

fn text_of(view: &ReplyView<'_>) -> String {
    super::recorder::bounded(view.lines().next().unwrap_or_default(), 256)
}
