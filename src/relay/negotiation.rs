//! EHLO on the upstream leg with what the proxy has to settle there first: TLS, then its own login. All under the client's own name.

use super::action::{Action, Refusal, Wire};
use super::machine::{Expect, Machine, Mode};
use super::no_auth;
use super::opening::LeftHost;
use super::options::{AuthMechanism, Protocol, TellClient, UpstreamAuth, UpstreamTls};
use super::recorder::{bounded, reply_of};
use super::replies::OwnReply;
use crate::smtp::{Extensions, ReplyView};
use crate::trace::{Actor, Auth, EndHow, Flag, Flow, Leg, Reply, Stage, Tls};

/// A client's EHLO or HELO that waits until the upstream leg is ready for it.
#[derive(Debug)]
pub(super) struct Negotiation {
    /// The client's line with CRLF.
    line: Vec<u8>,
    helo: bool,
    step: Step,
    /// The upstream's last reply to EHLO.
    ehlo_reply: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Ehlo,
    /// Late only: EHLO wasn't understood.
    Helo,
    StartTls,
    Handshake,
    Reconnect,
    Xclient,
    Auth {
        mechanism: AuthMechanism,
        responses: u8,
    },
}

impl Negotiation {
    pub(super) fn handshaking(&self) -> bool {
        self.step == Step::Handshake
    }

    /// The proxy's own secret is on its way, or has been.
    pub(super) fn logging_in(&self) -> bool {
        matches!(self.step, Step::Auth { .. })
    }

    pub(super) fn stage(&self) -> Stage {
        match self.step {
            Step::Ehlo | Step::Helo | Step::Xclient => Stage::Ehlo,
            Step::StartTls | Step::Handshake | Step::Reconnect => Stage::StartTls,
            Step::Auth { .. } => Stage::Auth,
        }
    }
}

/// Responses to the challenges of a login that was given up with `*`, which must be answered with a refusal (RFC 4954 §4).
const GIVEN_UP: u8 = u8::MAX;

impl Machine {
    fn tls_is_wanted(&self) -> bool {
        !self.passes && !self.upstream_tls && !self.clear_forced && !matches!(self.tls_policy, UpstreamTls::Off | UpstreamTls::Implicit)
    }

    /// Whether mail may go up as things stand: the upstream leg has the TLS and the login that it needs.
    pub(super) fn upstream_is_ready(&self) -> bool {
        let tls = self.passes || self.upstream_tls || matches!(self.tls_policy, UpstreamTls::Off | UpstreamTls::Opportunistic);
        tls && (self.passes || self.upstream.auth.is_none() || self.logged_in) && !self.is_untold()
    }

    /// The client said EHLO or HELO.
    pub(super) fn greet(&mut self, now: u64, line: &[u8], helo: bool, wire: &mut dyn Wire) {
        self.recorder.line(now, Leg::Client, Flow::In, line.trim_ascii_end());
        let logs_in = self.upstream.auth.is_some() && !self.logged_in && !self.passes;
        // XFORWARD needs to know what is offered, which HELO doesn't say.
        let unread = helo && self.upstream.tell_client == TellClient::Xforward;
        if self.tls_is_wanted() || logs_in || self.is_untold() || self.is_lmtp() || unread {
            let negotiation = Negotiation { line: line.to_vec(), helo, step: Step::Ehlo, ehlo_reply: Vec::new() };
            self.negotiation = Some(Box::new(negotiation));
            self.negotiate_from_start(now, wire);
        } else {
            self.say(now, Leg::Upstream, line, wire);
            self.expect(now, if helo { Expect::Helo } else { Expect::Ehlo });
        }
    }

    /// The proxy begins the dialogue with an upstream, under the client's own name.
    pub(super) fn negotiate_late(&mut self, now: u64, wire: &mut dyn Wire) {
        let name = self.recorder.client.helo.clone().unwrap_or_else(|| self.options.host_name.clone());
        let negotiation =
            Negotiation { line: format!("EHLO {name}\r\n").into_bytes(), helo: false, step: Step::Ehlo, ehlo_reply: Vec::new() };
        self.negotiation = Some(Box::new(negotiation));
        self.negotiate_from_start(now, wire);
    }

    fn say_helo(&mut self, now: u64, wire: &mut dyn Wire) {
        self.step(Step::Helo);
        let Some(negotiation) = &self.negotiation else { return };
        let line = [b"HELO ", negotiation.line.get(5..).unwrap_or_default()].concat();
        self.extensions = Extensions::default();
        self.say(now, Leg::Upstream, &line, wire);
        self.expect(now, Expect::Negotiation);
    }

    /// Sends the client's name as EHLO.
    pub(super) fn negotiate_from_start(&mut self, now: u64, wire: &mut dyn Wire) {
        let Some(negotiation) = &mut self.negotiation else { return };
        negotiation.step = Step::Ehlo;
        let name = negotiation.line.get(4..).unwrap_or_default().trim_ascii();
        let verb: &[u8] = if self.upstream.protocol == Protocol::Lmtp { b"LHLO " } else { b"EHLO " };
        let line = [verb, name, b"\r\n"].concat();
        self.say(now, Leg::Upstream, &line, wire);
        self.expect(now, Expect::Negotiation);
    }

    /// A reply to what the proxy itself said. `surplus`: octets have come behind it.
    pub(super) fn negotiation_reply(&mut self, now: u64, view: &ReplyView<'_>, surplus: bool, wire: &mut dyn Wire) {
        let Some(step) = self.negotiation.as_ref().map(|it| it.step) else { return };
        if !matches!(step, Step::Auth { .. }) {
            self.recorder.line(now, Leg::Upstream, Flow::In, view.octets().trim_ascii_end());
        }
        match step {
            Step::Ehlo | Step::Helo | Step::StartTls | Step::Xclient if view.code() == 421 && self.late.is_none() => {
                self.say(now, Leg::Client, view.octets(), wire);
                self.upstream_says_goodbye(now, view, self.stage(), &[], wire);
            }
            Step::Ehlo if view.class() == 2 => {
                self.learn(view);
                if let Some(negotiation) = &mut self.negotiation {
                    negotiation.ehlo_reply = view.octets().to_vec();
                }
                if !self.tls_is_wanted() {
                    self.tell_then_log_in(now, wire);
                } else if self.extensions.starttls {
                    self.step(Step::StartTls);
                    self.say(now, Leg::Upstream, b"STARTTLS\r\n", wire);
                    self.expect(now, Expect::Negotiation);
                } else {
                    self.recorder.flag(Flag::StarttlsMissing);
                    self.without_tls(now, "doesn't offer STARTTLS", None, wire);
                }
            }
            Step::Helo if view.class() == 2 => self.finish_negotiation(now, wire),
            Step::Ehlo if self.upstream_is_ready() && self.upstream.auth.is_none() => self.ehlo_refused(now, view, wire),
            Step::Ehlo | Step::Helo => {
                let needs = if self.is_untold() { "XCLIENT needs" } else { "TLS or AUTH need" };
                let error = format!("refused EHLO, which {needs}: {} {}", view.code(), first_line(view));
                self.fail_negotiation(now, Stage::Ehlo, Actor::Upstream, &error, wire);
            }
            Step::StartTls if view.code() == 220 && surplus => {
                // RFC 3207 §4.2, CVE-2021-22947: what came before the handshake can't be trusted.
                self.recorder.flag(Flag::SurplusReply);
                self.recorder.flag(Flag::TlsInjection);
                self.fail_negotiation(now, Stage::StartTls, Actor::Upstream, "sent octets behind its 220 to STARTTLS (injection?)", wire);
            }
            Step::StartTls if view.code() == 220 => {
                self.step(Step::Handshake);
                self.waiting_since = now;
                self.actions.push_back(Action::StartTls { leg: Leg::Upstream });
            }
            Step::StartTls => {
                let error = format!("refused STARTTLS: {} {}", view.code(), first_line(view));
                self.without_tls(now, &error, Some(Flag::ClearAfterTlsFailure), wire);
            }
            Step::Xclient => self.xclient_reply(now, view, surplus, wire),
            Step::Auth { mechanism, responses } => self.login_reply(now, view, mechanism, responses, wire),
            Step::Handshake | Step::Reconnect => {}
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        if let Some(negotiation) = &mut self.negotiation {
            negotiation.step = step;
        }
    }

    /// A TLS handshake asked for with [`Action::StartTls`] succeeded.
    /// `how`: what vouches for the upstream's certificate.
    pub fn tls_established(&mut self, now: u64, leg: Leg, tls: Tls, how: Option<String>, wire: &mut dyn Wire) {
        if self.ended {
            return;
        }
        self.recorder.line(now, leg, Flow::In, format!("({} {})", tls.version, tls.cipher).as_bytes());
        match leg {
            Leg::Client => {
                // RFC 3207 §4.2: forget what was said before TLS.
                self.recorder.set_tls(Leg::Client, tls);
                self.client_unread = Vec::new(); // came in clear; must never be taken for said in TLS
                self.client_tls = true;
                self.introduced = false;
                self.client_last = now;
                self.mode = Mode::Command;
                if !self.greeted {
                    self.start(now, wire);
                }
            }
            Leg::Upstream => {
                self.recorder.phases_mut().tls_us = Some(now.saturating_sub(self.waiting_since));
                self.upstream_tls = true;
                self.upstream_verified = tls.verified == Some(true);
                if !self.upstream_verified {
                    self.recorder.flag(Flag::TlsUnverified);
                }
                let why_not = tls.why_not.clone().unwrap_or_default();
                if let Some(policy) = &mut self.recorder.upstream_mut().tls_policy {
                    policy.verified_by = how;
                }
                self.recorder.set_tls(Leg::Upstream, tls);
                self.upstream_unread = Vec::new(); // likewise
                if self.tls_policy == UpstreamTls::Required && !self.upstream_verified {
                    let error = format!("its certificate isn't verified ({why_not}); {}", self.tls_demand());
                    return self.fail_negotiation(now, Stage::StartTls, Actor::Proxy, &error, wire);
                }
                self.negotiate_from_start(now, wire);
            }
        }
    }

    /// A TLS handshake asked for with [`Action::StartTls`] failed; that leg is dead. `facts`: what was learnt before it failed.
    pub fn tls_failed(&mut self, now: u64, leg: Leg, error: String, facts: Option<Tls>, wire: &mut dyn Wire) {
        if self.ended {
            return;
        }
        self.recorder.line(now, leg, Flow::In, format!("(TLS failed: {error})").as_bytes());
        match leg {
            Leg::Client => {
                self.client_gone = true;
                self.end(
                    now,
                    Actor::Client,
                    Stage::StartTls,
                    EndHow::TlsFailure,
                    Some(format!("TLS with the client failed: {error}")),
                    wire,
                );
            }
            Leg::Upstream => {
                if let Some(facts) = facts {
                    self.recorder.set_tls(Leg::Upstream, facts);
                }
                self.drop_upstream();
                self.note_tried(now, Stage::StartTls, &format!("TLS failed: {error}"));
                let policy_allows = self.tls_policy == UpstreamTls::Opportunistic && self.upstream.auth.is_none();
                if !policy_allows {
                    return self.fail_negotiation(now, Stage::StartTls, Actor::Upstream, &format!("TLS failed: {error}"), wire);
                }
                self.host_failed(Stage::StartTls, &error);
                self.recorder.flag(Flag::ClearAfterTlsFailure);
                (self.clear_forced, self.tls_broke) = (true, true);
                self.step(Step::Reconnect);
                self.waiting_since = now;
                if let Some(hop) = self.hop.clone() {
                    self.actions.push_back(Action::Connect { hop: Box::new(hop) });
                }
            }
        }
    }

    /// TLS can't be had on this connection: go on in clear where the policy allows it.
    fn without_tls(&mut self, now: u64, error: &str, in_clear: Option<Flag>, wire: &mut dyn Wire) {
        if self.tls_policy == UpstreamTls::Opportunistic && (self.upstream.auth.is_none() || self.upstream.allow_plaintext_auth) {
            in_clear.into_iter().for_each(|flag| self.recorder.flag(flag));
            self.clear_forced = true;
            self.tell_then_log_in(now, wire);
        } else if self.tls_policy != UpstreamTls::Opportunistic {
            self.fail_negotiation(now, Stage::StartTls, Actor::Upstream, &format!("{error}; {}", self.tls_demand()), wire);
        } else {
            self.fail_negotiation(now, Stage::StartTls, Actor::Upstream, &format!("{error}; a password is never sent without TLS"), wire);
        }
    }

    /// Who says that there must be TLS.
    fn tls_demand(&self) -> String {
        match &self.recorder.upstream.tls_policy {
            Some(policy) => format!("TLS is demanded by {}", policy.source),
            None => format!(
                "this upstream is set to tls = \"{}\"",
                if self.tls_policy == UpstreamTls::Encrypt { "encrypt" } else { "required" }
            ),
        }
    }

    pub(super) fn log_in_or_finish(&mut self, now: u64, wire: &mut dyn Wire) {
        let Some(login) = self.upstream.auth.clone().filter(|_| !self.logged_in) else { return self.finish_negotiation(now, wire) };
        if !(self.upstream_verified || self.upstream.allow_plaintext_auth) {
            let why = match self.recorder.upstream.tls.as_ref().and_then(|tls| tls.why_not.clone()) {
                Some(why) => format!("its certificate isn't verified ({why}); the password was not sent"),
                None => "there is no TLS; the password was not sent".to_owned(),
            };
            return self.fail_negotiation(now, Stage::Auth, Actor::Proxy, &why, wire);
        }
        if !self.upstream_verified {
            self.recorder.flag(Flag::PlaintextAuth);
        }
        let Some(mechanism) = login.choose(&self.extensions.auth) else {
            let offered = if self.extensions.auth.is_empty() { "no AUTH at all".to_owned() } else { self.extensions.auth.join(", ") };
            let error = format!("no usable login mechanism: it offers {offered}");
            return self.fail_negotiation(now, Stage::Auth, Actor::Upstream, &error, wire);
        };
        let line = login.begin(mechanism);
        self.auth_began = now;
        self.auth_secrets = Vec::new();
        self.step(Step::Auth { mechanism, responses: 0 });
        self.send_secret(now, &line, &format!("AUTH {} [redacted]", mechanism.name()), wire);
    }

    fn send_secret(&mut self, now: u64, line: &str, shown: &str, wire: &mut dyn Wire) {
        self.auth_secrets.extend(super::login::secret_of(line).map(<[u8]>::to_vec));
        wire.send(Leg::Upstream, line.as_bytes());
        self.recorder.line(now, Leg::Upstream, Flow::Out, shown.as_bytes());
        self.expect(now, Expect::Negotiation);
    }

    fn login_reply(&mut self, now: u64, view: &ReplyView<'_>, mechanism: AuthMechanism, responses: u8, wire: &mut dyn Wire) {
        let Some(login) = self.upstream.auth.clone() else { return };
        let mut secrets = vec![login.secret.reveal().as_bytes()];
        secrets.extend(self.auth_secrets.iter().map(Vec::as_slice));
        let reply = super::login::without_secrets(reply_of(view), &secrets);
        let shown = if view.code() == 334 { "334 [redacted]".to_owned() } else { format!("{} {}", reply.code, reply.lines.join(" ")) };
        self.recorder.line(now, Leg::Upstream, Flow::In, shown.as_bytes());
        match view.code() {
            334 if responses < GIVEN_UP => {
                let challenge = view.lines().next().unwrap_or_default();
                let answer = login.answer(mechanism, responses, challenge);
                self.step(Step::Auth { mechanism, responses: if answer.is_some() { responses.saturating_add(1) } else { GIVEN_UP } });
                match answer {
                    Some(answer) => self.send_secret(now, &format!("{answer}\r\n"), "[redacted]", wire),
                    None => self.send_secret(now, "*\r\n", "*", wire),
                }
            }
            235 => {
                self.recorder.phases_mut().auth_us = Some(now.saturating_sub(self.auth_began));
                self.logged_in = true;
                self.record_login(mechanism, &login, "succeeded", reply);
                self.finish_negotiation(now, wire);
            }
            code => {
                self.recorder.phases_mut().auth_us = Some(now.saturating_sub(self.auth_began));
                let error = match code {
                    334 => format!("goes on with the login as {} after the proxy gave it up: 334", login.user),
                    _ => format!("refused the proxy's login as {}: {code} {}", login.user, reply.lines.join(" ")),
                };
                let reply = if code == 334 { Reply { lines: Vec::new(), ..reply } } else { reply };
                self.record_login(mechanism, &login, "failed", reply);
                self.fail_negotiation(now, Stage::Auth, Actor::Upstream, &error, wire);
            }
        }
    }

    fn record_login(&mut self, mechanism: AuthMechanism, login: &UpstreamAuth, outcome: &str, reply: crate::trace::Reply) {
        let made = Auth { mechanism: mechanism.name().into(), user: Some(login.user.clone()), outcome: outcome.into(), reply: Some(reply) };
        self.recorder.set_auth(Leg::Upstream, made);
    }

    /// The upstream leg is ready: the client gets its answer.
    fn finish_negotiation(&mut self, now: u64, wire: &mut dyn Wire) {
        let Some(negotiation) = self.negotiation.take() else { return };
        if self.late.is_some() {
            return self.ready_late(now, wire);
        }
        if self.is_lmtp() {
            self.abandon(now, "the client said EHLO again");
        }
        if negotiation.helo && self.is_lmtp() {
            self.answer_helo_lmtp(now, &ReplyView::new(&negotiation.ehlo_reply), wire);
        } else if negotiation.helo {
            self.say(now, Leg::Upstream, &negotiation.line, wire);
            self.expect(now, Expect::Helo);
        } else {
            self.answer_ehlo(now, &ReplyView::new(&negotiation.ehlo_reply), wire);
        }
    }

    /// EHLO isn't understood upstream, and nothing needs it.
    fn ehlo_refused(&mut self, now: u64, view: &ReplyView<'_>, wire: &mut dyn Wire) {
        if self.is_lmtp() {
            let error = format!("refused LHLO (is it an LMTP server?): {} {}", view.code(), first_line(view));
            return self.fail_negotiation(now, Stage::Ehlo, Actor::Upstream, &error, wire);
        }
        if self.late.is_some() {
            return self.say_helo(now, wire);
        }
        let Some(negotiation) = self.negotiation.take() else { return };
        if negotiation.helo {
            self.say(now, Leg::Upstream, &negotiation.line, wire);
            self.expect(now, Expect::Helo);
        } else {
            self.say(now, Leg::Client, view.octets(), wire);
        }
    }

    /// The upstream leg can't be made ready. In the place of EHLO's reply: 421, and no mail was tried.
    pub(super) fn fail_negotiation(&mut self, now: u64, stage: Stage, by: Actor, error: &str, wire: &mut dyn Wire) {
        self.negotiation = None;
        let published = |policy: &crate::trace::TlsPolicy| matches!(policy.policy.as_str(), "dane" | "mta-sts");
        if stage == Stage::StartTls && self.recorder.upstream.tls_policy.as_ref().is_some_and(published) {
            self.recorder.flag(Flag::TlsPolicyFailed);
        }
        if self.late.is_some() {
            let (error, how) = (error.to_owned(), how_of(stage));
            return self.leave_host(now, LeftHost { stage, by, error, how, banner: None, refusal: refusal_of(stage) }, wire);
        }
        self.host_failed(stage, error);
        let own = OwnReply::greeting(421, &self.options.host_name, self.host_words(error), self.recorder.trace_id());
        self.say(now, Leg::Client, &own.line(), wire);
        self.end_with(now, by, stage, how_of(stage), Some(error.to_owned()), Some(own.record()), wire);
    }

    /// Whether AUTH can be relayed on this session, or why not (DESIGN: credentials don't travel in clear).
    pub(super) fn auth_is_carried(&self) -> Result<(), &'static str> {
        let upstream = &self.upstream;
        if upstream.auth.is_some() {
            Err("the proxy logs in to the smart host itself")
        } else if self.tls_broke {
            Err(no_auth::UPSTREAM_TLS_BROKE)
        } else if !(self.upstream_verified || upstream.allow_plaintext_auth) {
            Err(no_auth::UPSTREAM_UNVERIFIED)
        } else if !(self.client_tls || self.recorder.client.ip.is_loopback() || self.options.listener.allow_plaintext_auth) {
            Err(no_auth::CLIENT_IN_CLEAR)
        } else {
            Ok(())
        }
    }
}

fn how_of(stage: Stage) -> EndHow {
    match stage {
        Stage::StartTls => EndHow::TlsFailure,
        Stage::Auth => EndHow::AuthFailure,
        _ => EndHow::ConnectFailure,
    }
}

/// What a recipient is told where the upstream could be reached and its leg can't be made ready (RFC 3463 §3.8: cryptographic failure).
fn refusal_of(stage: Stage) -> Option<Refusal> {
    match stage {
        Stage::StartTls => Some(Refusal { code: 451, enhanced: (4, 7, 5) }),
        Stage::Auth => Some(Refusal { code: 451, enhanced: (4, 7, 8) }),
        _ => None,
    }
}

pub(super) fn first_line(view: &ReplyView<'_>) -> String {
    bounded(view.lines().next().unwrap_or_default(), 256)
}
