//! A session that is passed through: from STARTTLS on (or from the first octet), client and upstream share one TLS connection, and the
//! proxy passes its octets on unread. `sight` has what a handshake shows, `watch` how it is read in passing.
//!
//! Before TLS the session is an ordinary one, in clear. What follows 220 must begin like TLS: otherwise it would be mail that nobody traces.

mod sight;
#[cfg(test)]
mod tests;
mod watch;

use self::sight::{ClientHello, ServerHello, Sight};
use self::watch::Watch;
use super::action::{Action, Wire};
use super::machine::{Expect, Machine, Mode};
use super::options::UpstreamTls;
use super::replies::OwnReply;
use crate::smtp::{Command, ReplyView, Verb};
use crate::trace::{Actor, EndHow, Flag, Flow, Leg, Spliced, Stage, Tls};

#[derive(Debug)]
pub(super) struct Splice {
    client: Watch,
    upstream: Watch,
    began: u64,
    /// Absent where there was nothing in clear.
    starttls_at: Option<u64>,
    hello_at: Option<u64>,
    /// The session that the client asks to go on with.
    asked: Vec<u8>,
    alpn: Vec<String>,
    /// A fatal alert in clear, and whose.
    alert: Option<(Leg, String)>,
    /// The client's first encrypted record was an alert, by its length.
    refused: bool,
    /// The leg that closed its side first.
    closed: Option<Leg>,
}

impl Splice {
    fn new(now: u64, starttls_at: Option<u64>) -> Self {
        Self {
            client: Watch::new(Leg::Client),
            upstream: Watch::new(Leg::Upstream),
            began: now,
            starttls_at,
            hello_at: None,
            asked: Vec::new(),
            alpn: Vec::new(),
            alert: None,
            refused: false,
            closed: None,
        }
    }

    fn watch(&mut self, leg: Leg) -> &mut Watch {
        match leg {
            Leg::Client => &mut self.client,
            Leg::Upstream => &mut self.upstream,
        }
    }

    /// Whether the leg may still say something.
    pub(super) fn reads(&self, leg: Leg) -> bool {
        self.closed != Some(leg)
    }

    /// As far as can be seen, the handshake succeeded.
    pub(super) fn is_established(&self) -> bool {
        self.client.is_done() && self.upstream.is_done() && self.alert.is_none() && !self.refused
    }

    fn facts(&self) -> Spliced {
        Spliced {
            client_octets: self.client.octets,
            upstream_octets: self.upstream.octets,
            starttls_at_us: self.starttls_at,
            alpn: self.alpn.clone(),
        }
    }

    /// Why it ended, as far as that can be seen from outside.
    fn verdict(&self, by: Actor, how: EndHow, words: &str) -> (Actor, EndHow, String) {
        if matches!(how, EndHow::Close | EndHow::Reset) {
            if let Some((leg, name)) = &self.alert {
                return (actor(*leg), EndHow::TlsFailure, format!("the {leg} broke off the TLS handshake: {name}"));
            }
            if self.refused {
                let words =
                    "the client broke off the TLS handshake with an encrypted alert, as one does that doesn't trust the certificate";
                return (Actor::Client, EndHow::TlsFailure, words.to_owned());
            }
        }
        let says_it = matches!(how, EndHow::Timeout | EndHow::Protocol);
        let before = if says_it || self.is_established() { "" } else { ", before the TLS handshake was over" };
        (by, how, format!("{words}{before}"))
    }
}

impl Machine {
    /// The client starts TLS with the upstream. `None`: the command is none of those, or the session isn't passed through.
    pub(super) fn take_passed(&mut self, now: u64, command: &Command<'_>, line: &[u8], wire: &mut dyn Wire) -> Option<bool> {
        let starts_tls = command.verb == Verb::StartTls || command.word.eq_ignore_ascii_case(b"X-ANONYMOUSTLS");
        if !self.passes || !starts_tls {
            return None;
        }
        if !self.pending.is_empty() {
            return Some(false);
        }
        self.pass(now, line, Expect::StartTls, wire);
        Some(true)
    }

    /// The upstream's 220 to STARTTLS. `surplus`: octets have come behind it.
    pub(super) fn starts_tls(&mut self, now: u64, view: &ReplyView<'_>, surplus: bool, wire: &mut dyn Wire) {
        if surplus {
            // RFC 3207 §4.2, CVE-2021-22947: the client must not take them for said in TLS.
            self.recorder.flag(Flag::TlsInjection);
            return self.upstream_broke(now, "sent octets behind its 220 to STARTTLS (injection?)", Flag::SurplusReply, wire);
        }
        if !self.client_unread.is_empty() {
            // CVE-2011-0411, likewise for the upstream.
            self.recorder.flag(Flag::TlsInjection);
            self.recorder.line(now, Leg::Upstream, Flow::In, view.octets().trim_ascii_end());
            let reply = OwnReply::new(421, (4, 7, 0), "octets behind STARTTLS before the handshake", self.recorder.trace_id());
            let words = "commands were sent behind STARTTLS before the handshake";
            return self.end_saying(now, Actor::Client, Stage::StartTls, EndHow::Protocol, words, reply, wire);
        }
        self.abandon(now, "the client sent STARTTLS");
        self.relay_reply(now, view, wire);
        self.begin_splice(now, Some(now), wire);
        if self.client_half_closed {
            self.splice_closed(now, Leg::Client, false, wire);
        }
    }

    /// The upstream begins with TLS, and so must the client: nothing is said in clear.
    pub(super) fn splices_at_once(&self) -> bool {
        self.passes && self.hop.as_ref().is_some_and(|hop| hop.tls == UpstreamTls::Implicit)
    }

    /// What a client says before its greeting that may be the beginning of TLS with the upstream.
    pub(super) fn may_begin_with_tls(&self, octets: &[u8]) -> bool {
        self.passes && self.client_unread.first().or(octets.first()) == Some(&0x16)
    }

    pub(super) fn begin_splice(&mut self, now: u64, starttls_at: Option<u64>, wire: &mut dyn Wire) {
        self.recorder.flag(Flag::PassedThrough);
        self.recorder.forget_refused_login();
        self.greeted = true;
        self.mode = Mode::Handshake;
        (self.client_last, self.upstream_last) = (now, now);
        self.splice = Some(Box::new(Splice::new(now, starttls_at)));
        let early = std::mem::take(&mut self.client_unread);
        if !early.is_empty() {
            self.splice_octets(now, Leg::Client, &early, wire);
        }
    }

    /// Octets of one leg for the other.
    pub(super) fn splice_octets(&mut self, now: u64, leg: Leg, octets: &[u8], wire: &mut dyn Wire) {
        let Some(splice) = self.splice.as_mut().filter(|_| !self.ended) else { return };
        let other = match leg {
            Leg::Client => {
                self.client_last = now;
                Leg::Upstream
            }
            Leg::Upstream => {
                self.upstream_last = now;
                Leg::Client
            }
        };
        if !splice.watch(leg).takes(octets) {
            self.recorder.flag(Flag::ForeignProtocol);
            self.recorder.line(now, leg, Flow::In, b"[octets that are no TLS]");
            return self.end_splice(now, actor(leg), EndHow::Protocol, &format!("what came from the {leg} was no TLS"), wire);
        }
        let sights = splice.watch(leg).observe(octets);
        wire.send(other, octets);
        if sights.is_empty() {
            return;
        }
        sights.into_iter().for_each(|sight| self.note_sight(now, leg, sight));
        if self.went_unseen() {
            self.actions.push_back(Action::HostServes { connect_us: self.recorder.phases.connect_us });
        }
    }

    fn note_sight(&mut self, now: u64, leg: Leg, sight: Sight) {
        let Some(splice) = &mut self.splice else { return };
        if let Some(words) = sight.words(&splice.asked) {
            self.recorder.line(now, leg, Flow::In, words.as_bytes());
        }
        match sight {
            Sight::ClientHello(hello) => self.note_client_hello(now, hello),
            Sight::ServerHello(hello) => self.note_server_hello(now, hello),
            Sight::Retry => splice.client.tls13 = true,
            Sight::Certificate(certificate) => {
                let tls = self.tls_of(leg);
                (tls.subject, tls.issuer, tls.expires_at) = (certificate.subject, certificate.issuer, certificate.expires_at);
            }
            Sight::Alert { fatal: true, name } => _ = splice.alert.get_or_insert((leg, name)),
            Sight::Dark { alert } => splice.refused |= alert && leg == Leg::Client,
            Sight::Alert { fatal: false, .. } | Sight::Unreadable => {}
        }
    }

    fn note_client_hello(&mut self, now: u64, hello: ClientHello) {
        for leg in [Leg::Client, Leg::Upstream] {
            self.tls_of(leg).sni.clone_from(&hello.sni);
        }
        if let Some(splice) = &mut self.splice {
            splice.hello_at.get_or_insert(now);
            (splice.asked, splice.alpn) = (hello.session_id, hello.alpn);
        }
    }

    fn note_server_hello(&mut self, now: u64, hello: ServerHello) {
        for leg in [Leg::Client, Leg::Upstream] {
            let tls = self.tls_of(leg);
            (tls.version, tls.cipher) = (hello.version.clone(), hello.cipher.clone());
        }
        if let Some(splice) = &mut self.splice {
            splice.client.tls13 |= hello.tls13;
            self.recorder.phases_mut().tls_us = splice.hello_at.map(|at| now.saturating_sub(at));
        }
    }

    /// The one TLS connection, as it is recorded for a leg.
    fn tls_of(&mut self, leg: Leg) -> &mut Tls {
        let tls = match leg {
            Leg::Client => &mut self.recorder.client_mut().tls,
            Leg::Upstream => &mut self.recorder.upstream_mut().tls,
        };
        tls.get_or_insert_default()
    }

    /// A leg has closed its side (`reset`: for good). The other may still send.
    pub(super) fn splice_closed(&mut self, now: u64, leg: Leg, reset: bool, wire: &mut dyn Wire) {
        let Some(splice) = &mut self.splice else { return };
        self.recorder.line(now, leg, Flow::In, if reset { b"(connection reset)" } else { b"(closed)" });
        // Who answers a closed connection with a reset has only gone without hearing the goodbye.
        if reset && splice.closed.is_none() {
            let by = if leg == Leg::Client { Actor::Client } else { Actor::Network };
            return self.end_splice(now, by, EndHow::Reset, &format!("the {leg}'s connection was reset"), wire);
        }
        match splice.closed {
            None => {
                splice.closed = Some(leg);
                let other = if leg == Leg::Client { Leg::Upstream } else { Leg::Client };
                self.actions.push_back(Action::CloseSide { leg: other });
            }
            Some(first) => self.end_splice(now, actor(first), EndHow::Close, &format!("the {first} closed the connection"), wire),
        }
    }

    /// The upstream takes nothing more; what it has sent can still be read, unless it has closed its side.
    pub fn upstream_unwritable(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.splice.as_ref().is_some_and(|splice| !splice.reads(Leg::Upstream)) {
            self.splice_closed(now, Leg::Upstream, true, wire);
        }
    }

    pub(super) fn splice_deadline(&self) -> Option<u64> {
        let splice = self.splice.as_ref()?;
        let limits = &self.options.limits.timeouts;
        let (since, wait) = if !splice.is_established() {
            (splice.began, limits.tls_handshake)
        } else if !splice.reads(Leg::Upstream) {
            (self.client_last.max(self.upstream_last), limits.client_command)
        } else {
            // The reply to end-of-data may be what is waited for: giving up earlier can deliver a message twice.
            let wait = limits.end_of_data.max(limits.client_command).max(limits.client_data);
            (self.client_last.max(self.upstream_last), wait)
        };
        Some(since.saturating_add(u64::try_from(wait.as_micros()).unwrap_or(u64::MAX)))
    }

    /// [`Self::splice_deadline`] has passed.
    pub(super) fn splice_timed_out(&mut self, now: u64, wire: &mut dyn Wire) {
        let Some(splice) = &self.splice else { return };
        let (by, words) = match (splice.is_established(), splice.client.is_done()) {
            (true, _) => (Actor::Proxy, "nothing came from either side for too long"),
            (false, false) => (Actor::Client, "the TLS handshake took too long"),
            (false, true) => (Actor::Upstream, "the TLS handshake took too long"),
        };
        self.end_splice(now, by, EndHow::Timeout, words, wire);
    }

    pub(super) fn end_splice(&mut self, now: u64, by: Actor, how: EndHow, words: &str, wire: &mut dyn Wire) {
        let Some(splice) = &self.splice else { return };
        let (by, how, detail) = splice.verdict(by, how, words);
        self.recorder.upstream_mut().spliced = Some(splice.facts());
        self.client_gone |= how == EndHow::Reset && by == Actor::Client;
        self.end(now, by, Stage::StartTls, how, Some(detail), wire);
    }

    /// The session went its own way, unseen: nobody can say how its mail fared.
    pub(super) fn went_unseen(&self) -> bool {
        self.splice.as_ref().is_some_and(|splice| splice.is_established())
    }
}

fn actor(leg: Leg) -> Actor {
    match leg {
        Leg::Client => Actor::Client,
        Leg::Upstream => Actor::Upstream,
    }
}
