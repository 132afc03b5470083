//! Folds what the engine sees into records: the session's facts, its dialogue, and one transaction after the other.
//!
//! It decides nothing about the relay. Times come in as µs since the session began; the one wall-clock reading is the session's.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::options::{Limits, UpstreamOptions};
use super::settling::{Cut, settle};
use crate::diagnose::Diagnosing;
use crate::message::lossy;
use crate::smtp::ReplyView;
use crate::trace::diagnosis;
use crate::trace::{
    Actor, Auth, Client, Direction, EndHow, Ended, Envelope, Flag, Flow, Kept, Leg, MarkView, Message, Origin, Outcome, Phases, Recipient,
    Record, RecordId, Reply, Session, Stage, State, Timeline, Tls, Transaction, Tried, Upstream, Via, WallMicros,
};

/// What is known of a session before its first octet.
#[derive(Debug, Clone)]
pub struct SessionFacts {
    pub id: RecordId,
    /// 80 random bits, from which the transactions' ids are made.
    pub random: u128,
    pub at: WallMicros,
    pub origin: Arc<Kept<Origin>>,
    pub client_ip: IpAddr,
    pub client_port: u16,
    pub via: Option<Box<Via>>,
    /// The rule that chose the upstream at the door.
    pub route_rule: Option<String>,
    /// Where the client had connected to: this proxy, or what stands before it.
    pub destination: Option<SocketAddr>,
}

/// How a transaction ended, as the engine tells it.
#[derive(Debug, Clone)]
pub struct Verdict {
    pub state: State,
    pub stage: Stage,
    pub by: Actor,
    pub reply: Option<Reply>,
    pub detail: Option<String>,
    pub upstream_queue_id: Option<String>,
}

#[derive(Debug)]
pub struct Recorder {
    facts: SessionFacts,
    listener: String,
    direction: Direction,
    limits: Arc<Limits>,
    diagnosing: Diagnosing,
    pub client: Arc<Kept<Client>>,
    pub upstream: Arc<Kept<Upstream>>,
    /// The rule of the routing table that chose the upstream.
    pub route_rule: Option<String>,
    /// Phases of the session: DNS, connect, banner, TLS, AUTH.
    pub phases: Phases,
    timeline: Timeline,
    flags: Vec<Flag>,
    open: Option<Box<Open>>,
    transactions: u32,
    /// What the upstream said to the client's login, if it refused it and TLS hasn't begun since.
    login_refused: Option<Reply>,
    pub commands: u32,
    /// Replies of the upstream that nobody has counted yet, by their first digit, from 2 on.
    pub replies: [u16; 4],
}

/// The transaction under way.
#[derive(Debug)]
struct Open {
    id: RecordId,
    number: u32,
    began_us: u64,
    envelope: Envelope,
    message: Message,
    phases: Phases,
    flags: Vec<Flag>,
    /// What became of the recipients that are only counted.
    cut: Cut,
    /// What of the upstream's tries is this transaction's alone.
    tried: Option<Box<Tried>>,
}

impl Recorder {
    pub fn new(facts: SessionFacts, listener: String, direction: Direction, limits: Arc<Limits>, diagnosing: Diagnosing) -> Self {
        let client = Client { ip: facts.client_ip, port: facts.client_port, helo: None, tls: None, auth: None, via: facts.via.clone() };
        Self {
            facts,
            listener,
            direction,
            limits,
            diagnosing,
            client: Arc::new(client.into()),
            upstream: Arc::default(),
            route_rule: None,
            phases: Phases::default(),
            timeline: Timeline::default(),
            flags: Vec::new(),
            open: None,
            transactions: 0,
            login_refused: None,
            commands: 0,
            replies: [0; 4],
        }
    }

    /// From here on the upstream is another one, of which nothing is known yet.
    pub fn goes_to(&mut self, upstream: &UpstreamOptions, rule: Option<String>) {
        self.upstream = Arc::new(Upstream { name: upstream.name.clone(), kind: upstream.kind, ..Upstream::default() }.into());
        self.route_rule = rule.or_else(|| self.facts.route_rule.clone());
    }

    /// The id to tell the peer: the transaction's, or the session's if there is none.
    pub fn trace_id(&self) -> RecordId {
        self.open.as_ref().map_or(self.facts.id, |open| open.id)
    }

    pub fn session_id(&self) -> RecordId {
        self.facts.id
    }

    pub fn destination(&self) -> Option<SocketAddr> {
        self.facts.destination
    }

    /// The time of day.
    pub fn wall(&self, now: u64) -> WallMicros {
        self.facts.at.saturating_add(now)
    }

    /// Who the client logged in as.
    pub fn client_user(&self) -> Option<&str> {
        self.client.auth.as_ref().filter(|auth| auth.outcome == "succeeded").and_then(|auth| auth.user.as_deref())
    }

    pub fn client_mut(&mut self) -> &mut Client {
        &mut *Arc::make_mut(&mut self.client)
    }

    pub fn upstream_mut(&mut self) -> &mut Upstream {
        &mut *Arc::make_mut(&mut self.upstream)
    }

    pub fn set_tls(&mut self, leg: Leg, tls: Tls) {
        match leg {
            Leg::Client => self.client_mut().tls = Some(tls),
            Leg::Upstream => self.upstream_mut().tls = Some(tls),
        }
    }

    pub fn set_auth(&mut self, leg: Leg, auth: Auth) {
        match leg {
            Leg::Client => {
                self.login_refused = auth.reply.clone().filter(|reply| auth.outcome == "failed" && reply.code >= 400);
                self.client_mut().auth = Some(auth);
            }
            Leg::Upstream => self.upstream_mut().auth = Some(auth),
        }
    }

    pub fn flag(&mut self, flag: Flag) {
        let flags = self.open.as_mut().map_or(&mut self.flags, |open| &mut open.flags);
        if !flags.contains(&flag) {
            flags.push(flag);
        }
    }

    /// A line one leg sent or got, already redacted.
    pub fn line(&mut self, now: u64, leg: Leg, flow: Flow, text: &[u8]) {
        if self.has_room(1) {
            self.timeline.push(now, leg, flow, &bounded_text(text, self.limits.timeline_line));
        }
    }

    /// A line that came in on one leg and went out on the other as it was.
    pub fn relayed(&mut self, now: u64, from: Leg, text: &[u8]) {
        if self.has_room(2) {
            self.timeline.push_relayed(now, from, &bounded_text(text, self.limits.timeline_line));
        }
    }

    /// Whether the timeline takes that many lines more; otherwise they are counted.
    fn has_room(&mut self, lines: u32) -> bool {
        let room = self.timeline.len() + lines as usize <= self.limits.timeline_lines;
        if !room {
            self.timeline.cut = self.timeline.cut.saturating_add(lines);
        }
        room
    }

    pub fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// MAIL FROM arrived.
    pub fn begin(&mut self, now: u64, envelope: Envelope) {
        self.transactions += 1;
        let unix_ms = (self.facts.at + now) / 1000;
        let id = RecordId::from_parts(unix_ms, self.facts.random.wrapping_add(u128::from(self.transactions)));
        let flags = std::mem::take(&mut self.flags);
        self.open = Some(Box::new(Open {
            id,
            number: self.transactions,
            began_us: now,
            envelope,
            message: Message::default(),
            phases: std::mem::take(&mut self.phases),
            flags,
            cut: Cut::default(),
            tried: None,
        }));
    }

    pub fn mail_reply(&mut self, now: u64, sent_at: u64, reply: Reply) {
        if let Some(open) = &mut self.open {
            open.phases.mail_from_us = Some(now.saturating_sub(sent_at));
            open.envelope.reply = Some(reply);
        }
    }

    /// A try that came to nothing for the transaction under way, and says nothing of those that come by the same connection.
    pub fn tried_for_this_one(&mut self, tried: Tried) {
        if let Some(open) = &mut self.open {
            open.tried = Some(Box::new(tried.clone()));
            self.upstream_mut().tried.push(tried);
        }
    }

    /// The proxy's own reply to MAIL FROM, in the upstream's stead.
    pub fn mail_refused(&mut self, reply: Reply) {
        if let Some(open) = &mut self.open {
            open.envelope.reply = Some(reply);
        }
    }

    /// RCPT TO arrived. Returns the recipient's place, if it is kept.
    pub fn recipient(&mut self, recipient: Recipient) -> Option<u32> {
        let open = self.open.as_mut()?;
        if open.envelope.recipients.len() >= self.limits.recorded_recipients {
            open.envelope.recipients_cut = open.envelope.recipients_cut.saturating_add(1);
            match &recipient.reply {
                Some(reply) => open.cut.add(state_of(reply.code)),
                None => open.cut.unanswered += 1,
            }
            return None;
        }
        open.envelope.recipients.push(recipient);
        u32::try_from(open.envelope.recipients.len() - 1).ok()
    }

    pub fn recipients(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.envelope.recipients.len() + open.envelope.recipients_cut as usize)
    }

    /// The reply to a RCPT TO; `by` is the proxy where it answered itself.
    pub fn rcpt_reply(&mut self, now: u64, sent_at: u64, place: Option<u32>, by: Actor, reply: Reply) {
        let Some(open) = &mut self.open else { return };
        *open.phases.rcpt_to_us.get_or_insert(0) += now.saturating_sub(sent_at);
        let Some(recipient) = place.and_then(|place| open.envelope.recipients.get_mut(place as usize)) else {
            open.cut.unanswered = open.cut.unanswered.saturating_sub(1);
            return open.cut.add(state_of(reply.code));
        };
        recipient.state = state_of(reply.code);
        recipient.by = by;
        recipient.reply = Some(reply);
    }

    /// What was asked and the code, where 3xx came in an answer's place and nobody was taken: what that means can't be known.
    pub fn answered_amiss(&self) -> Option<(&'static str, u16)> {
        let envelope = self.envelope()?;
        let code_of = |reply: &Option<Reply>| reply.as_ref().map(|reply| reply.code);
        let is_amiss = |code: &u16| (300..400).contains(code);
        if envelope.recipients.iter().any(|it| code_of(&it.reply).is_some_and(|code| code < 300)) {
            return None;
        }
        let of_mail = code_of(&envelope.reply).filter(is_amiss).map(|code| ("MAIL FROM", code));
        let of_rcpt = || envelope.recipients.iter().filter_map(|it| code_of(&it.reply)).find(is_amiss).map(|code| ("RCPT TO", code));
        of_mail.or_else(of_rcpt)
    }

    /// A final reply of a recipient's own (LMTP).
    pub fn recipient_reply(&mut self, place: Option<u32>, reply: Reply) {
        let Some(open) = &mut self.open else { return };
        if let Some(recipient) = place.and_then(|place| open.envelope.recipients.get_mut(place as usize)) {
            (recipient.state, recipient.stage, recipient.by) = (final_state_of(reply.code), Stage::EndOfData, Actor::Upstream);
            recipient.reply = Some(reply);
        }
    }

    pub fn phases_mut(&mut self) -> &mut Phases {
        match &mut self.open {
            Some(open) => &mut open.phases,
            None => &mut self.phases,
        }
    }

    pub fn message_mut(&mut self) -> Option<&mut Message> {
        self.open.as_mut().map(|open| &mut open.message)
    }

    pub fn envelope(&self) -> Option<&Envelope> {
        self.open.as_ref().map(|open| &open.envelope)
    }

    /// What goes into the journal before end-of-data goes upstream.
    pub fn mark(&self) -> Option<MarkView<'_>> {
        let open = self.open.as_ref()?;
        Some(MarkView {
            id: open.id,
            session_id: self.facts.id,
            transaction_no: open.number,
            origin: &self.facts.origin,
            at: self.facts.at + open.began_us,
            listener: &self.listener,
            direction: self.direction,
            client: &self.client,
            upstream: &self.upstream,
            envelope: &open.envelope,
            // Known once it has ended.
            message: Some(&open.message).filter(|message| message.body_digest.is_some()),
        })
    }

    /// Closes the transaction under way and makes its record.
    pub fn finish(&mut self, now: u64, verdict: Verdict) -> Option<Record> {
        let mut open = *self.open.take()?;
        let verdict = settle(&mut open.envelope, open.cut, verdict);
        if self.timeline.cut > 0 && !open.flags.contains(&Flag::TimelineCut) {
            open.flags.push(Flag::TimelineCut);
        }
        if open.envelope.recipients_cut > 0 {
            open.flags.push(Flag::RecipientsCut);
        }
        let record = Record::Transaction(Box::new(Transaction {
            id: open.id,
            session_id: self.facts.id,
            transaction_no: open.number,
            origin: self.facts.origin.clone(),
            route_rule: self.route_rule.clone(),
            at: self.facts.at + open.began_us,
            duration_us: now.saturating_sub(open.began_us),
            listener: self.listener.clone(),
            direction: self.direction,
            client: self.client.clone(),
            upstream: self.upstream.clone(),
            envelope: open.envelope,
            message: open.message,
            phases: open.phases,
            outcome: Outcome {
                upstream_queue_id: verdict.upstream_queue_id,
                ..Outcome::of(verdict.state, verdict.stage, verdict.by, verdict.reply, verdict.detail)
            },
            flags: open.flags,
            timeline: std::mem::take(&mut self.timeline),
        }));
        let record = self.diagnosed(record);
        if let Some(of_this_one) = open.tried {
            self.upstream_mut().tried.retain(|it| *it != *of_this_one);
        }
        Some(record)
    }

    /// TLS begins: a login that was refused in clear is not what the session came to.
    pub fn forget_refused_login(&mut self) {
        self.login_refused = None;
    }

    /// What became of a session that came no further than to a login which the upstream refused.
    pub fn login_in_vain(&self) -> Option<Outcome> {
        let reply = self.login_refused.clone().filter(|_| self.transactions == 0)?;
        Some(Outcome::of(state_of(reply.code), Stage::Auth, Actor::Upstream, Some(reply), None))
    }

    /// The session's own record, if it deserves one: no transaction at all, or an end otherwise than by QUIT.
    pub fn session(
        &mut self,
        now: u64,
        by: Actor,
        stage: Stage,
        how: EndHow,
        detail: Option<String>,
        outcome: Option<Outcome>,
    ) -> Option<Record> {
        if self.transactions > 0 && how == EndHow::Quit {
            return None;
        }
        let record = Record::Session(Box::new(Session {
            id: self.facts.id,
            origin: self.facts.origin.clone(),
            route_rule: self.route_rule.clone(),
            at: self.facts.at,
            duration_us: now,
            listener: self.listener.clone(),
            direction: self.direction,
            client: self.client.clone(),
            upstream: self.upstream.clone(),
            phases: self.phases,
            transactions: self.transactions,
            outcome,
            ended: Ended { by, stage, how, commands: self.commands, detail },
            flags: std::mem::take(&mut self.flags),
            timeline: std::mem::take(&mut self.timeline),
        }));
        Some(self.diagnosed(record))
    }

    fn diagnosed(&self, mut record: Record) -> Record {
        diagnosis::diagnose(&mut record, self.diagnosing.rules());
        record
    }

    /// The upstream has told its name, or it is known otherwise: whose it is.
    pub fn recognise_upstream(&mut self) {
        let provider = self.diagnosing.rules().provider(self.upstream.host.as_deref(), self.upstream.banner.as_deref()).map(str::to_owned);
        if provider.is_some() {
            self.upstream_mut().provider = provider;
        }
    }
}

/// A recipient that was refused before it could be asked for: where, and by whom.
pub fn refused(mut recipient: Recipient, stage: Stage, by: Actor, reply: Reply) -> Recipient {
    (recipient.state, recipient.stage, recipient.by) = (state_of(reply.code), stage, by);
    recipient.reply = Some(reply);
    recipient
}

/// 2xx accepted, 4xx deferred, 5xx rejected.
pub fn state_of(code: u16) -> State {
    match code {
        200..=399 => State::Accepted,
        400..=499 => State::Deferred,
        _ => State::Rejected,
    }
}

/// The same of a reply to the end of a message, where 3xx answers nothing: the message's fate is not known.
pub fn final_state_of(code: u16) -> State {
    if (300..400).contains(&code) { State::Unknown } else { state_of(code) }
}

/// The kept form of a reply.
pub fn reply_of(view: &ReplyView<'_>) -> Reply {
    Reply { code: view.code(), enhanced: view.enhanced(), lines: view.lines().map(|line| bounded(line, 1024)).take(64).collect() }
}

/// Lossy UTF-8 of at most `limit` octets.
pub fn bounded(text: &[u8], limit: usize) -> String {
    bounded_text(text, limit).into_owned()
}

/// The same, borrowed where nothing has to be changed.
fn bounded_text(text: &[u8], limit: usize) -> Cow<'_, str> {
    match text.get(..limit) {
        Some(head) if text.len() > limit => format!("{}…", lossy(head)).into(),
        _ => lossy(text),
    }
}
