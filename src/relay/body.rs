//! The message on its way: DATA and BDAT octets streamed, looked at, never held beyond a few.

use super::action::{Action, Wire};
use super::digesting::Digesting;
use super::machine::{Expect, Hold, Machine, MarkState, Mode};
use super::options::{BareNewline, Limits};
use super::reading::Reading;
use super::recorder::{Verdict, reply_of, state_of};
use super::replies::OwnReply;
use crate::smtp::{BareNewlines, EndOfData, Found, ReplyView, TERMINATOR};
use crate::trace::{Actor, Digest, Flag, Flow, Leg, Reply, Stage, State};

/// A final reply that takes longer leaves time to put on record what is known of the message, for those who ask meanwhile.
const SLOW_REPLY_US: u64 = 1_000_000;

/// What is learnt of a message while it passes.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) framing: Framing,
    reading: Reading,
    pub(super) digesting: Digesting,
    /// Octets of content as sent on.
    octets: u64,
    /// Set once the upstream won't get the message whole, while the client still sends.
    pub(super) sealed: Option<Sealed>,
    /// `normalize`: the octet before was a CR that has not been sent on.
    after_cr: bool,
    /// A `Received` line goes into the first chunk.
    pub(super) received_due: bool,
}

/// How the end of the message is known.
#[derive(Debug)]
pub(super) enum Framing {
    Data(EndOfData),
    Chunks(BareNewlines),
}

/// A message that the upstream won't get whole: what the client hears after its end-of-data.
#[derive(Debug, Clone)]
pub(super) struct Sealed {
    /// The reply's lines with CRLF.
    pub reply: Vec<u8>,
    pub kept: Reply,
    pub state: State,
    pub by: Actor,
    pub detail: String,
}

impl Sealed {
    pub(super) fn own(reply: &OwnReply, state: State, by: Actor, detail: impl Into<String>) -> Self {
        Self { reply: reply.line(), kept: reply.record(), state, by, detail: detail.into() }
    }

    /// The upstream's own word, which came before the message had ended.
    pub(super) fn early(view: &ReplyView<'_>, peer: &str) -> Self {
        Self {
            reply: view.octets().to_vec(),
            kept: reply_of(view),
            state: state_of(view.code()),
            by: Actor::Upstream,
            detail: format!("the {peer} answered before the message had ended"),
        }
    }
}

impl Body {
    pub(super) fn new(framing: Framing, limits: &Limits, null_sender: bool) -> Box<Self> {
        let reading = Reading::new(limits, null_sender, matches!(framing, Framing::Data(_)));
        Box::new(Self { framing, reading, digesting: Digesting::Nothing, octets: 0, sealed: None, after_cr: false, received_due: true })
    }

    /// Looks at octets that go on.
    pub(super) fn look(&mut self, octets: &[u8]) {
        self.look_at(octets, false);
    }

    /// `last`: they end the message.
    fn look_at(&mut self, octets: &[u8], last: bool) {
        if octets.is_empty() {
            return;
        }
        self.octets += octets.len() as u64;
        self.digesting.look(octets, last);
        self.reading.look(octets);
    }

    /// Makes each CR or LF that stands alone a CRLF.
    fn normalized(&mut self, octets: &[u8]) -> Vec<u8> {
        let mut made = Vec::with_capacity(octets.len() + 16);
        for &octet in octets {
            if std::mem::take(&mut self.after_cr) {
                made.extend_from_slice(b"\r\n");
                if octet == b'\n' {
                    continue;
                }
            }
            match octet {
                b'\r' => self.after_cr = true,
                b'\n' => made.extend_from_slice(b"\r\n"),
                other => made.push(other),
            }
        }
        made
    }

    pub(super) fn size(&self) -> u64 {
        match &self.framing {
            Framing::Data(scanner) => self.octets.saturating_sub(scanner.stuffed_dots()),
            Framing::Chunks(_) => self.octets,
        }
    }
}

impl Machine {
    /// 354 came: what follows is the message.
    pub(super) fn begin_data(&mut self, now: u64) {
        self.body = Some(Body::new(Framing::Data(EndOfData::default()), &self.options.limits, self.has_null_sender()));
        self.data_began = now;
        self.mode = Mode::Body;
        self.append_mark();
    }

    pub(super) fn has_null_sender(&self) -> bool {
        self.recorder.envelope().is_some_and(|envelope| envelope.reverse_path.is_empty())
    }

    /// Asks for the open-transaction mark early, so that it is stored by the time end-of-data comes.
    pub(super) fn append_mark(&mut self) {
        self.mark = MarkState::None;
        self.mark_since = 0;
        if self.recorder.in_transaction() {
            self.mark = MarkState::Pending;
            self.actions.push_back(Action::AppendMark);
        }
    }

    /// Message octets of DATA. Returns how many are used.
    pub(super) fn take_body(&mut self, now: u64, rest: &[u8], wire: &mut dyn Wire) -> usize {
        let options = self.options.clone();
        let policy = options.limits.bare_newline;
        let limit = options.limits.message_size;
        let Some(body) = &mut self.body else { return 0 };
        let Framing::Data(scanner) = &mut body.framing else { return 0 };
        let scan = scanner.scan(rest);
        let bare = scanner.bare_newlines() > 0;
        let content = rest.get(..scan.content).unwrap_or(rest);
        if scan.found == Found::LooseDot || (bare && policy == BareNewline::Reject) {
            body.look(scan.release);
            body.look(content);
            self.refuse_newlines(now, scan.found, wire);
            return scan.used;
        }
        let whole_end = if scan.found == Found::End && scan.content + TERMINATOR.len() == scan.used { rest.get(..scan.used) } else { None };
        if policy == BareNewline::Normalize {
            let mut made = body.normalized(scan.release);
            made.extend(body.normalized(content));
            body.look(&made);
            wire.send(Leg::Upstream, &made);
        } else {
            body.look(scan.release);
            body.look_at(content, scan.found == Found::End);
        }
        if limit > 0 && body.size() > limit {
            let sealed = self.sealed_for_size();
            self.seal_body(now, sealed, scan.found == Found::End, wire);
            return scan.used;
        }
        let sent_already = policy == BareNewline::Normalize;
        match (whole_end, scan.found) {
            // The usual case: content and terminator in one piece, in one write.
            (Some(octets), _) if !sent_already && self.mark_allows() && !self.scanner.in_reply() => {
                wire.send(Leg::Upstream, scan.release);
                wire.send(Leg::Upstream, octets);
                self.body_sent(now);
            }
            (_, found) => {
                if !sent_already {
                    wire.send(Leg::Upstream, scan.release);
                    wire.send(Leg::Upstream, content);
                }
                if found == Found::End {
                    self.held_terminator = true;
                    self.mark_since = now;
                    self.mode = Mode::Command;
                    self.after_mark(now, wire);
                }
            }
        }
        scan.used
    }

    /// Whether the terminator may go upstream.
    pub(super) fn mark_allows(&self) -> bool {
        match self.mark {
            MarkState::Stored | MarkState::None => !(self.defers() && self.store_failed),
            MarkState::Failed => !self.defers(),
            MarkState::Pending => false,
        }
    }

    /// Sends the terminator if it is held and the mark allows it; refuses the message where untraced mail is not passed.
    pub(super) fn after_mark(&mut self, now: u64, wire: &mut dyn Wire) {
        if !self.held_terminator || self.mark == MarkState::Pending {
            return;
        }
        if self.scanner.in_reply() {
            // Half a reply that nobody asked for would become the answer to the message.
            self.upstream_broke(now, "sent part of a reply that nobody asked for", Flag::SurplusReply, wire);
        } else if self.mark_allows() {
            self.held_terminator = false;
            wire.send(Leg::Upstream, TERMINATOR);
            self.body_sent(now);
        } else {
            let sealed = self.sealed_for_store();
            self.seal_body(now, sealed, true, wire);
        }
    }

    pub(super) fn sealed_for_size(&self) -> Sealed {
        Sealed::own(&self.too_large(), State::Rejected, Actor::Proxy, "the message is larger than message_size")
    }

    pub(super) fn sealed_for_store(&self) -> Sealed {
        let reply = OwnReply::new(451, (4, 3, 0), "the trace store has failed, and mail is not passed untraced", self.recorder.trace_id());
        Sealed::own(&reply, State::Deferred, Actor::Proxy, "the trace store failed before end-of-data (on_store_failure = \"defer\")")
    }

    /// The terminator is on its way: the message is the upstream's to answer for.
    fn body_sent(&mut self, now: u64) {
        self.recorder.relayed(now, Leg::Client, b"[end of data]");
        self.note_message(now, true);
        self.mode = Mode::Command;
        self.expect(now, Expect::EndOfData);
    }

    /// Puts what was learnt of the message into the record.
    pub(super) fn note_message(&mut self, now: u64, complete: bool) {
        let Some(mut body) = self.body.take() else { return };
        self.recorder.phases_mut().body_us = Some(now.saturating_sub(self.data_began));
        let headers = body.reading.headers();
        let (bare, nuls) = match &body.framing {
            Framing::Data(scanner) => (scanner.bare_newlines(), scanner.nuls()),
            Framing::Chunks(newlines) => (newlines.found(), 0),
        };
        if bare > 0 {
            self.recorder.flag(Flag::BareNewline);
        }
        if nuls > 0 {
            self.recorder.flag(Flag::NulOctet);
        }
        if headers.as_ref().is_some_and(|headers| headers.cut) {
            self.recorder.flag(Flag::HeaderCut);
        }
        let report = complete.then(|| body.reading.report()).flatten();
        if report.is_some() {
            self.recorder.flag(Flag::Report);
        }
        self.renew_mark_at = complete.then(|| now.saturating_add(SLOW_REPLY_US));
        let Some(message) = self.recorder.message_mut() else { return };
        message.report = report;
        message.size = body.size();
        message.bare_newlines = bare;
        message.body_digest = complete.then(|| body.digesting.digest());
        if let Some(headers) = headers {
            message.message_id = headers.message_id;
            message.subject = headers.subject;
            message.from = headers.from;
            message.to = headers.to;
            message.date = headers.date;
            message.in_reply_to = headers.in_reply_to;
            message.auto_submitted = headers.auto_submitted;
            message.received_count = headers.received_count;
            message.signatures = headers.signatures;
            message.client_queue_id = headers.client_queue_id;
            message.header_digest = Some(Digest(headers.digest));
        }
    }

    fn refuse_newlines(&mut self, now: u64, found: Found, wire: &mut dyn Wire) {
        self.recorder.flag(Flag::BareNewline);
        let (words, detail) = if found == Found::LooseDot {
            self.recorder.flag(Flag::SmugglingGuard);
            let words = "a lone dot between bare line ends is refused: a lenient server would end the message there";
            (words, "a lone dot between line ends other than CRLF (SMTP smuggling)")
        } else {
            ("CR or LF alone in a message is refused", "CR or LF alone in the message (bare_newline = \"reject\")")
        };
        let reply = OwnReply::new(554, (5, 6, 0), words, self.recorder.trace_id());
        let sealed = Sealed::own(&reply, State::Rejected, Actor::Proxy, detail);
        self.seal_body(now, sealed, found == Found::End, wire);
    }

    /// From here on the upstream gets nothing more, and never the end of the message. `complete`: the client has ended it.
    pub(super) fn seal_body(&mut self, now: u64, sealed: Sealed, complete: bool, wire: &mut dyn Wire) {
        self.drop_upstream();
        self.answer_behind_seal(now, &sealed.reply, wire);
        let complete = std::mem::take(&mut self.held_terminator) || complete;
        match &mut self.body {
            Some(body) => {
                body.sealed = Some(sealed);
                if let Framing::Data(scanner) = &mut body.framing {
                    scanner.only_strict();
                }
            }
            // Its final reply was given before its last octets came; they are only read.
            None => self.upstream_has_gone(sealed.detail),
        }
        match self.mode {
            Mode::Body => self.mode = Mode::SwallowBody,
            Mode::Chunk { left, last } => self.mode = Mode::SwallowChunk { left, last },
            _ => {}
        }
        if complete {
            self.body_swallowed(now, wire);
        }
    }

    /// Another connection is made for the next message where the upstream is chosen late; elsewhere the session is over.
    pub(super) fn upstream_has_gone(&mut self, why: String) {
        if self.late.is_none() {
            self.gone = Some(why);
        }
    }

    /// What was pipelined ahead of a sealed chunk has no other answer to wait for: one reply each, or the client loses count.
    fn answer_behind_seal(&mut self, now: u64, reply: &[u8], wire: &mut dyn Wire) {
        let mut unanswered = std::mem::take(&mut self.pending);
        if matches!(self.mode, Mode::Chunk { .. }) && matches!(unanswered.back().map(|it| &it.expect), Some(Expect::Bdat { .. })) {
            unanswered.pop_back(); // the chunk under way: answered once its octets have come
        }
        for pending in unanswered {
            match pending.expect {
                Expect::Own(own, refused) => self.say_own(now, &own, refused, wire),
                Expect::Xforward => {} // not the client's
                other => {
                    if let Expect::Rcpt(recipient) = other {
                        self.recorder.recipient(*recipient);
                    }
                    self.say(now, Leg::Client, reply, wire);
                }
            }
        }
    }

    /// Reads on for the end of a message that is not passed on.
    pub(super) fn swallow_body(&mut self, now: u64, rest: &[u8], wire: &mut dyn Wire) -> usize {
        let Some(body) = &mut self.body else { return rest.len() };
        let Framing::Data(scanner) = &mut body.framing else { return rest.len() };
        let scan = scanner.scan(rest);
        body.look(scan.release);
        body.look(rest.get(..scan.content).unwrap_or(rest));
        if scan.found == Found::End {
            self.body_swallowed(now, wire);
        }
        scan.used
    }

    /// The client has ended a message that was not passed on: record, then reply.
    pub(super) fn body_swallowed(&mut self, now: u64, wire: &mut dyn Wire) {
        self.recorder.line(now, Leg::Client, Flow::In, b"[end of data]");
        self.mode = Mode::Command;
        let Some(sealed) = self.body.as_mut().and_then(|body| body.sealed.take()) else { return };
        let then_end = (sealed.kept.code == 421).then_some(Stage::Body);
        self.note_message(now, false);
        self.recorder.line(now, Leg::Client, Flow::Out, sealed.reply.trim_ascii_end());
        self.upstream_has_gone(sealed.detail.clone());
        self.transaction_over_late(false);
        let verdict = Verdict {
            state: sealed.state,
            stage: Stage::Body,
            by: sealed.by,
            reply: Some(sealed.kept),
            detail: Some(sealed.detail),
            upstream_queue_id: None,
        };
        self.mark = MarkState::None;
        self.chunk_refused = None;
        match self.recorder.finish(now, verdict) {
            Some(record) => {
                self.hold = Some(Hold { reply: sealed.reply, since: now, then_end });
                self.actions.push_back(Action::Append { record: Box::new(record), then_reply: true });
            }
            None => self.send_client(&sealed.reply, wire),
        }
    }
}
