//! The engine's state and its inputs. One machine per session; it owns both legs' unread octets and nothing else of the outside.

use std::collections::VecDeque;
use std::sync::Arc;

use super::action::{Action, NextHop, Wire};
use super::body::Body;
pub(super) use super::expect::{Expect, Pending, Refused};
use super::late::Late;
use super::lmtp::Lmtp;
use super::negotiation::Negotiation;
use super::options::{Ehlo, OnStoreFailure, SessionOptions, UpstreamOptions, UpstreamTls};
use super::recorder::{Recorder, SessionFacts};
use super::splice::Splice;
use crate::smtp::{Extensions, ReplyScanner, auth::Exchange, next_line};
use crate::trace::{Flag, Leg, MarkView, RecordId, Stage};

/// What the client's next octets are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Command,
    /// The rest of a line that was too long.
    SkipLine,
    /// A response within an AUTH exchange.
    AuthResponse,
    /// Message octets of DATA.
    Body,
    /// Message octets of BDAT.
    Chunk {
        left: u64,
        last: bool,
    },
    /// A body whose fate is sealed: read to its end, not sent on.
    SwallowBody,
    SwallowChunk {
        left: u64,
        last: bool,
    },
    /// Nothing may come: a TLS handshake is under way.
    Handshake,
    Closed,
}

/// A final reply that waits until its record is stored.
#[derive(Debug)]
pub(super) struct Hold {
    pub reply: Vec<u8>,
    pub since: u64,
    /// End the session after the reply: it is a 421, at this stage.
    pub then_end: Option<Stage>,
}

/// State of the open-transaction mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkState {
    None,
    Pending,
    Stored,
    Failed,
}

#[derive(Debug)]
pub struct Machine {
    pub(super) options: Arc<SessionOptions>,
    pub(super) recorder: Recorder,
    pub(super) actions: VecDeque<Action>,
    pub(super) mode: Mode,
    pub(super) pending: VecDeque<Pending>,
    /// Where the session, or the message under way, goes.
    pub(super) upstream: Arc<UpstreamOptions>,
    /// Hosts left to try, best first.
    pub(super) hosts: VecDeque<NextHop>,
    /// The host that is connected, or being connected.
    pub(super) hop: Option<NextHop>,
    /// That it failed was told.
    pub(super) hop_failed: bool,
    /// TLS as it must be with that host.
    pub(super) tls_policy: UpstreamTls,
    /// With a static EHLO: what is known before there is an upstream.
    pub(super) late: Option<Box<Late>>,
    /// TLS is between client and upstream.
    pub(super) passes: bool,
    /// They have begun with it.
    pub(super) splice: Option<Box<Splice>>,

    pub(super) client_unread: Vec<u8>,
    pub(super) client_gone: bool,
    pub(super) client_reset: bool,
    /// The client sends nothing more but may still read.
    pub(super) client_half_closed: bool,
    pub(super) client_tls: bool,
    pub(super) client_last: u64,
    /// The greeting was relayed.
    pub(super) greeted: bool,
    /// EHLO or HELO succeeded since the start or the last TLS handshake of the client leg.
    pub(super) introduced: bool,
    /// Its last greeting was HELO.
    pub(super) said_helo: bool,
    /// The upstream's last reply to EHLO, while the client may still begin TLS and say EHLO again.
    pub(super) ehlo_reply: Option<Box<[u8]>>,
    /// Since when the opening (connect, TLS) or a handshake runs.
    pub(super) waiting_since: u64,

    pub(super) upstream_unread: Vec<u8>,
    pub(super) upstream_last: u64,
    pub(super) upstream_open: bool,
    pub(super) upstream_tls: bool,
    pub(super) upstream_verified: bool,
    pub(super) scanner: ReplyScanner,
    pub(super) extensions: Extensions,
    /// What the client was offered.
    pub(super) offered_pipelining: bool,
    pub(super) offered_chunking: bool,
    pub(super) offered_smtputf8: bool,
    pub(super) offered_auth: bool,
    pub(super) offered_requiretls: bool,
    pub(super) negotiation: Option<Box<Negotiation>>,
    /// TLS was given up for this session after a failed handshake.
    pub(super) clear_forced: bool,
    /// A TLS handshake with the upstream failed in this session.
    pub(super) tls_broke: bool,
    /// The proxy logged in on this upstream connection.
    pub(super) logged_in: bool,
    /// XCLIENT was taken on this upstream connection (or that there is no XFORWARD was noted).
    pub(super) told: bool,
    /// XFORWARD is answered, and its MAIL FROM comes next.
    pub(super) forwarded: bool,
    pub(super) lmtp: Lmtp,

    pub(super) auth: Option<Box<Exchange>>,
    /// The client's responses within the exchange, so that an echo of them can be recognised.
    pub(super) auth_secrets: Vec<Vec<u8>>,
    pub(super) auth_seen: bool,
    pub(super) auth_began: u64,

    pub(super) body: Option<Box<Body>>,
    /// The reply that refused a chunk: the transaction's outcome, unless a later chunk's reply says otherwise.
    pub(super) chunk_refused: Option<Box<crate::trace::Reply>>,
    /// What the upstream may still hold to after it has refused DATA: the transaction as it took it, whose record is made.
    pub(super) left_open: Option<Box<crate::trace::Envelope>>,
    pub(super) data_began: u64,
    pub(super) mark: MarkState,
    pub(super) mark_since: u64,
    /// When the mark is written once more with what is known of the message, if its reply hasn't come by then.
    pub(super) renew_mark_at: Option<u64>,
    /// End-of-data has come, and its terminator waits for the mark.
    pub(super) held_terminator: bool,
    pub(super) hold: Option<Hold>,
    /// Why the upstream is gone while the client still talks.
    pub(super) gone: Option<String>,
    pub(super) own_refusals: u32,
    pub(super) store_failed: bool,
    /// Quotas that are used up, where they are to be kept.
    pub(super) exhausted: Option<Arc<Vec<super::quota::Exhausted>>>,
    pub(super) draining: bool,
    /// Nobody knows whether the last message was delivered: the session ended before its final reply.
    pub(super) in_doubt: bool,
    pub(super) ended: bool,
    pub(super) quit: bool,
}

impl Machine {
    /// `upstream`: where the session goes as far as is known at its door, with its hosts in the order to try (none with a static EHLO).
    pub fn new(options: Arc<SessionOptions>, facts: SessionFacts, upstream: Arc<UpstreamOptions>, hosts: Vec<NextHop>) -> Self {
        let listener = &options.listener;
        let facts_rule = facts.route_rule.clone();
        let mut recorder =
            Recorder::new(facts, listener.name.clone(), listener.direction, options.limits.clone(), options.diagnosing.clone());
        let late = (listener.ehlo == Ehlo::Static).then(Box::default);
        let passes = late.is_none() && options.passes_through(facts_rule.as_deref());
        recorder.goes_to(&upstream, None);
        Self {
            recorder,
            passes,
            splice: None,
            actions: VecDeque::new(),
            mode: Mode::Command,
            pending: VecDeque::new(),
            upstream,
            hosts: hosts.into(),
            hop: None,
            hop_failed: false,
            tls_policy: UpstreamTls::Off,
            late,
            client_unread: Vec::new(),
            client_gone: false,
            client_reset: false,
            client_half_closed: false,
            client_tls: false,
            client_last: 0,
            greeted: false,
            introduced: false,
            said_helo: false,
            ehlo_reply: None,
            waiting_since: 0,
            upstream_unread: Vec::new(),
            upstream_last: 0,
            upstream_open: false,
            upstream_tls: false,
            upstream_verified: false,
            scanner: ReplyScanner::default(),
            extensions: Extensions::default(),
            offered_pipelining: false,
            offered_chunking: false,
            offered_smtputf8: false,
            offered_auth: false,
            offered_requiretls: false,
            negotiation: None,
            clear_forced: false,
            tls_broke: false,
            logged_in: false,
            told: false,
            forwarded: false,
            lmtp: Lmtp::default(),
            auth: None,
            auth_secrets: Vec::new(),
            auth_seen: false,
            auth_began: 0,
            body: None,
            chunk_refused: None,
            left_open: None,
            data_began: 0,
            mark: MarkState::None,
            mark_since: 0,
            renew_mark_at: None,
            held_terminator: false,
            hold: None,
            gone: None,
            own_refusals: 0,
            store_failed: false,
            exhausted: None,
            draining: false,
            in_doubt: false,
            ended: false,
            quit: false,
            options,
        }
    }

    /// Begins: the upstream is connected before the client is greeted, unless EHLO is static.
    pub fn start(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.late.is_some() { self.greet_late(now, wire) } else { self.try_next_host(now, None, wire) }
    }

    /// Begins with the client's TLS handshake (implicit TLS); the upstream is connected after it.
    pub fn begin_with_tls(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.passes {
            return self.start(now, wire); // the handshake is the upstream's
        }
        self.mode = Mode::Handshake;
        self.waiting_since = now;
        self.actions.push_back(Action::StartTls { leg: Leg::Client });
    }

    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Both legs are closed or being closed, and nothing is left to record.
    pub fn finished(&self) -> bool {
        self.ended
    }

    pub fn trace_id(&self) -> RecordId {
        self.recorder.trace_id()
    }

    /// Whether more of the client's octets can be used. Otherwise don't read: the back-pressure is meant.
    pub fn wants_client(&self) -> bool {
        const EARLY: usize = 8_192;
        if let Some(splice) = &self.splice {
            return !self.ended && splice.reads(Leg::Client);
        }
        let limits = &self.options.limits;
        let most = EARLY.max(limits.auth_line).max(limits.command_line); // the longest line must fit in
        !self.ended
            && !self.client_gone
            && !self.client_half_closed
            && match self.mode {
                Mode::Handshake | Mode::Closed => false,
                _ => self.client_unread.len() < most,
            }
    }

    /// Whether replies can be taken. Not while a final reply waits for its record.
    pub fn wants_upstream(&self) -> bool {
        self.upstream_open
            && self.splice.as_ref().is_none_or(|splice| splice.reads(Leg::Upstream))
            && self.hold.is_none()
            && !matches!(&self.negotiation, Some(it) if it.handshaking())
    }

    /// Octets read and not yet used, of the client and of the upstream. Bounded by the limits on lines and by one read.
    pub fn unread(&self) -> (usize, usize) {
        (self.client_unread.len(), self.upstream_unread.len())
    }

    /// Says whether the store works, for `on_store_failure = "defer"`. To be called before octets are passed in.
    pub fn set_store_failed(&mut self, failed: bool) {
        self.store_failed = failed;
    }

    /// The open-transaction mark, while there is a transaction.
    pub fn mark(&self) -> Option<MarkView<'_>> {
        self.recorder.mark()
    }

    /// End-of-data waits for the mark.
    pub fn awaits_mark(&self) -> bool {
        self.mark == MarkState::Pending && (self.held_terminator || self.mark_since > 0)
    }

    /// Where the session, or the message under way, goes.
    pub fn upstream(&self) -> &Arc<UpstreamOptions> {
        &self.upstream
    }

    pub fn ended_by_quit(&self) -> bool {
        self.quit
    }

    pub(super) fn defers(&self) -> bool {
        self.options.on_store_failure == OnStoreFailure::Defer
    }

    /// Octets of the client.
    pub fn client_octets(&mut self, now: u64, octets: &[u8], wire: &mut dyn Wire) {
        let (line_began, before, unread) = (self.client_last, self.mode, self.client_unread.len());
        self.client_last = now;
        if self.ended {
            return;
        }
        if self.splice.is_some() {
            return self.splice_octets(now, Leg::Client, octets, wire);
        }
        if !self.greeted && !self.may_begin_with_tls(octets) {
            self.recorder.flag(Flag::EarlyTalker);
        }
        if self.client_unread.is_empty() {
            let used = self.take_client(now, octets, wire);
            self.client_unread.extend_from_slice(octets.get(used..).unwrap_or_default());
        } else {
            self.client_unread.extend_from_slice(octets);
            self.resume_client(now, wire);
        }
        // A line has its time as a whole, however it comes: an octet now and then must not keep a session for ever.
        let goes_on = match before {
            Mode::Command | Mode::AuthResponse => unread > 0 && self.client_unread.len() == unread + octets.len(),
            _ => before == Mode::SkipLine,
        };
        if goes_on && self.mode == before {
            self.client_last = line_began;
        }
        let early =
            !self.client_unread.is_empty() && self.mode == Mode::Command && !self.offered_pipelining && self.greeted && self.late.is_none();
        // Behind an XFORWARD that waits for its reply, a command is not early.
        if early && !self.forwarded && !self.pending.is_empty() && !self.pending.iter().any(|it| super::commands::ends_group(&it.expect)) {
            self.recorder.flag(Flag::PipeliningWithoutOffer);
        }
    }

    /// Goes on with the client's octets that had to wait.
    pub(super) fn resume_client(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.client_unread.is_empty() || self.ended {
            return;
        }
        let mut unread = std::mem::take(&mut self.client_unread);
        let used = self.take_client(now, &unread, wire);
        if used < unread.len() {
            unread.drain(..used);
            self.client_unread = unread;
        }
    }

    /// Uses what can be used of the client's octets; returns how many.
    fn take_client(&mut self, now: u64, octets: &[u8], wire: &mut dyn Wire) -> usize {
        let mut used = 0;
        while let Some(rest) = octets.get(used..).filter(|rest| !rest.is_empty()) {
            let mode = self.mode;
            let step = match mode {
                Mode::Command => self.take_command_line(now, rest, wire),
                Mode::SkipLine => self.skip_line(rest),
                Mode::AuthResponse => self.take_auth_response(now, rest, wire),
                Mode::Body => self.take_body(now, rest, wire),
                Mode::Chunk { left, last } => self.take_chunk(now, rest, left, last, wire),
                Mode::SwallowBody => self.swallow_body(now, rest, wire),
                Mode::SwallowChunk { left, last } => self.swallow_chunk(now, rest, left, last, wire),
                Mode::Handshake => 0,
                Mode::Closed => rest.len(),
            };
            if step == 0 && self.mode == mode {
                break; // more octets, or an answer, must come first
            }
            used += step;
        }
        used
    }

    fn take_command_line(&mut self, now: u64, rest: &[u8], wire: &mut dyn Wire) -> usize {
        if self.foreign_protocol(now, rest, wire) {
            return rest.len();
        }
        if !self.ready_for_command() {
            return 0;
        }
        let is_auth = rest.get(..4).is_some_and(|word| word.eq_ignore_ascii_case(b"AUTH"));
        let limit = if is_auth { self.options.limits.auth_line } else { self.options.limits.command_line };
        match next_line(rest, limit) {
            Ok(None) => 0,
            Ok(Some(length)) => {
                let line = rest.get(..length).unwrap_or(rest);
                if self.take_command(now, line, rest.len() > length, wire) { length } else { 0 }
            }
            Err(error) => self.refuse_line(now, rest, error, wire),
        }
    }

    fn skip_line(&mut self, rest: &[u8]) -> usize {
        match memchr::memchr(b'\n', rest) {
            Some(at) => {
                self.mode = Mode::Command;
                at + 1
            }
            None => rest.len(),
        }
    }

    /// Octets of the upstream.
    pub fn upstream_octets(&mut self, now: u64, octets: &[u8], wire: &mut dyn Wire) {
        if self.ended || !self.upstream_open {
            return;
        }
        if self.splice.is_some() {
            return self.splice_octets(now, Leg::Upstream, octets, wire);
        }
        self.upstream_last = now;
        if self.upstream_unread.is_empty() {
            let used = self.take_replies(now, octets, wire);
            self.upstream_unread.extend_from_slice(octets.get(used..).unwrap_or_default());
        } else {
            self.upstream_unread.extend_from_slice(octets);
            self.resume_upstream(now, wire);
        }
        if self.draining {
            self.drain(now, wire);
        }
        self.resume_client(now, wire);
        self.ends_half_closed(now, wire);
    }

    /// Goes on with the upstream's octets that had to wait.
    pub(super) fn resume_upstream(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.upstream_unread.is_empty() || self.ended {
            return;
        }
        let mut unread = std::mem::take(&mut self.upstream_unread);
        let used = self.take_replies(now, &unread, wire);
        if used < unread.len() && self.upstream_open {
            unread.drain(..used);
            self.upstream_unread = unread;
        }
    }

    /// The record asked for with `then_reply` is durable, or could not be made so.
    pub fn stored(&mut self, now: u64, ok: bool, wire: &mut dyn Wire) {
        if !ok {
            self.store_failed = true;
        }
        if self.hold.is_some() {
            self.release_hold(now, wire);
        }
    }

    /// The mark is durable, or could not be made so.
    pub fn mark_stored(&mut self, now: u64, ok: bool, wire: &mut dyn Wire) {
        if self.mark != MarkState::Pending {
            return;
        }
        self.mark = if ok { MarkState::Stored } else { MarkState::Failed };
        self.store_failed |= !ok;
        self.after_mark(now, wire);
        self.resume_client(now, wire);
    }

    pub(super) fn say(&mut self, now: u64, leg: Leg, octets: &[u8], wire: &mut dyn Wire) {
        use crate::trace::Flow;
        if leg == Leg::Client && self.client_gone {
            return;
        }
        wire.send(leg, octets);
        self.recorder.line(now, leg, Flow::Out, octets.trim_ascii_end());
    }

    pub(super) fn expect(&mut self, now: u64, expect: Expect) {
        self.pending.push_back(Pending { expect, sent_at: now });
    }
}
