//! What the client says: passed on as it came, or answered here where the proxy must.

use super::action::{Action, Wire};
use super::machine::{Expect, Machine, Mode, Refused};
use super::options::{ClientTls, UpstreamTls};
use super::recorder::bounded;
use super::replies::OwnReply;
use crate::smtp::{Command, LineError, Verb, auth};
use crate::trace::{Actor, EndHow, Envelope, Flag, Flow, Leg, Recipient, Stage, UpstreamKind};

/// Responses of one AUTH exchange that are looked for in its final reply; of more, these and the last.
const MOST_RESPONSES: usize = 8;

/// Commands that may be under way upstream at once. Beyond, the client waits.
const MOST_PENDING: usize = 1_000;

impl Machine {
    /// Whether the next command can be looked at: nothing is under way that it depends on.
    pub(super) fn ready_for_command(&self) -> bool {
        // While a final reply waits for its record, nothing may be answered before it.
        if !self.greeted || self.busy_late() || self.negotiation.is_some() || self.held_terminator || self.hold.is_some() {
            return false;
        }
        // The session would end here, and a message that the upstream has would be in doubt.
        if self.has_too_many_errors() && self.awaits_final_reply() {
            return false;
        }
        if self.pending.is_empty() {
            return true;
        }
        self.offered_pipelining && self.pending.len() < MOST_PENDING && !self.pending.iter().any(|it| ends_group(&it.expect))
    }

    /// Takes one command line (with CRLF). False: not now. `behind`: more octets have already come.
    pub(super) fn take_command(&mut self, now: u64, line: &[u8], behind: bool, wire: &mut dyn Wire) -> bool {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        let command = Command::parse(text);
        if command.verb == Verb::Auth {
            self.auth_seen = true; // what comes in a command's place from here on may be a password
        }
        if command.verb == Verb::Uncarried && speaks_for_another(command.word) {
            self.recorder.flag(Flag::SpoofedClient);
        }
        if !self.upstream_open && self.gone.is_none() && self.late.is_none() {
            self.gone = Some(format!("the {} closed the connection", self.peer()));
        }
        if self.gone.is_some() {
            self.answer_while_gone(now, &command, text, wire);
            return true;
        }
        let own = |code, enhanced, words: &str, machine: &Self| OwnReply::new(code, enhanced, words, machine.recorder.trace_id());
        if self.needs_tls() && !self.client_tls {
            let needs_no_tls = matches!(command.verb, Verb::Ehlo | Verb::Helo | Verb::StartTls | Verb::Noop | Verb::Quit | Verb::Rset);
            if !needs_no_tls {
                let reply = own(530, (5, 7, 0), "this listener takes mail over TLS only: send STARTTLS first", self);
                return self.refuse_early(now, &command, text, reply, wire);
            }
        }
        let must_introduce =
            (self.client_tls && self.options.listener.tls != ClientTls::Implicit) || self.late.is_some() || !self.upstream_is_ready();
        if !self.introduced
            && must_introduce
            && matches!(command.verb, Verb::Mail | Verb::Rcpt | Verb::Data | Verb::Bdat | Verb::Auth | Verb::Vrfy | Verb::Expn | Verb::Etrn)
        {
            return self.refuse_early(now, &command, text, own(503, (5, 5, 1), "send EHLO first", self), wire);
        }
        if self.late.is_some() {
            return self.take_late(now, &command, line, text, behind, wire);
        }
        if (self.upstream_tls_pending() || self.is_untold())
            && !matches!(command.verb, Verb::Ehlo | Verb::Helo | Verb::StartTls | Verb::Noop | Verb::Quit | Verb::Rset | Verb::Help)
        {
            return self.refuse_early(now, &command, text, own(503, (5, 5, 1), "send EHLO first", self), wire);
        }
        if text.iter().any(|octet| !octet.is_ascii()) && !self.offered_smtputf8 {
            self.recorder.flag(Flag::EightBitCommand);
        }
        if let Some(taken) = self.take_passed(now, &command, line, wire) {
            return taken;
        }
        match command.verb {
            Verb::Ehlo | Verb::Helo => {
                if !self.pending.is_empty() {
                    return false;
                }
                self.count();
                self.recorder.client_mut().helo = Some(bounded(command.argument, 255));
                self.said_helo = command.verb == Verb::Helo;
                self.greet(now, line, command.verb == Verb::Helo, wire);
            }
            Verb::StartTls => return self.take_starttls(now, &command, text, behind, wire),
            Verb::Auth => return self.take_auth(now, &command, line, wire),
            Verb::Mail => return self.take_mail(now, &command, line, wire),
            Verb::Rcpt => return self.take_rcpt(now, &command, line, wire),
            Verb::Data => self.pass(now, line, Expect::Data, wire),
            Verb::Bdat => return self.take_bdat(now, &command, line, wire),
            Verb::Rset => self.pass(now, line, Expect::Rset, wire),
            Verb::Quit => self.pass(now, line, Expect::Quit, wire),
            Verb::Noop | Verb::Vrfy | Verb::Expn | Verb::Help | Verb::Etrn => self.pass(now, line, Expect::Other { secret: None }, wire),
            Verb::Uncarried => {
                let words = format!("{} is not carried by this proxy", bounded(command.word, 20).to_ascii_uppercase());
                return self.refuse(now, &command, text, own(502, (5, 5, 1), &words, self), wire);
            }
            // A server may read RCPT where it isn't read here (behind a blank, before a form feed), and would be sent anywhere by that.
            // The same with XCLIENT: a server of one's own takes the proxy's word for who its clients are.
            Verb::Unknown if !self.options.listener.accept_domains.is_empty() || self.upstream.kind == UpstreamKind::Fixed => {
                return self.refuse(now, &command, text, own(500, (5, 5, 2), "command not recognized", self), wire);
            }
            Verb::Unknown => self.pass_unknown(now, line, text, wire),
        }
        true
    }

    /// No mail before STARTTLS. Where TLS is the client's own with the upstream, what the upstream demands holds for the client.
    fn needs_tls(&self) -> bool {
        let by_upstream = self.passes && !matches!(self.tls_policy, UpstreamTls::Off | UpstreamTls::Opportunistic);
        self.options.listener.tls == ClientTls::Required || by_upstream
    }

    /// TLS upstream is wanted and has not been settled by an EHLO yet.
    fn upstream_tls_pending(&self) -> bool {
        !self.passes && !self.upstream_tls && !self.clear_forced && !self.introduced && self.tls_policy == UpstreamTls::Opportunistic
    }

    pub(super) fn count(&mut self) {
        self.recorder.commands = self.recorder.commands.saturating_add(1);
    }

    /// Forwards a command as it came.
    pub(super) fn pass(&mut self, now: u64, line: &[u8], expect: Expect, wire: &mut dyn Wire) {
        let text = line.trim_ascii_end();
        self.pass_shown(now, line, text, expect, wire);
    }

    fn pass_shown(&mut self, now: u64, line: &[u8], shown: &[u8], expect: Expect, wire: &mut dyn Wire) {
        self.count();
        if self.pending.is_empty() && self.scanner.in_reply() {
            // Half a reply that nobody asked for would become the answer to this command.
            return self.upstream_broke(now, "sent part of a reply that nobody asked for", Flag::SurplusReply, wire);
        }
        self.recorder.relayed(now, Leg::Client, shown);
        wire.send(Leg::Upstream, line);
        self.expect(now, expect);
    }

    /// A line that is no command known to the proxy: passed on, but what it holds may be a secret that lost its way.
    fn pass_unknown(&mut self, now: u64, line: &[u8], text: &[u8], wire: &mut dyn Wire) {
        let word = text.split(|octet| *octet == b' ').next().unwrap_or_default();
        if auth::suspicious(text, self.auth_seen) {
            self.recorder.flag(Flag::SuspectedSecret);
            if self.auth_is_carried().is_err() {
                // Where AUTH may not go upstream, a password that lost its way may not either.
                let reply = OwnReply::new(500, (5, 5, 2), "command not recognized", self.recorder.trace_id());
                self.refuse(now, &Command::parse(text), text, reply, wire);
                return;
            }
            self.pass_shown(now, line, &hidden_line(text), Expect::Other { secret: Some(text.into()) }, wire);
        } else {
            let argument = text.len().saturating_sub(word.len() + 1);
            let shown = if argument > 0 { format!("{} [redacted: {argument} octets]", bounded(word, 40)) } else { bounded(word, 40) };
            self.pass_shown(now, line, shown.as_bytes(), Expect::Other { secret: Some(text.into()) }, wire);
        }
    }

    /// Answers a command in the upstream's stead, in its turn.
    pub(super) fn refuse(&mut self, now: u64, command: &Command<'_>, text: &[u8], reply: OwnReply, wire: &mut dyn Wire) -> bool {
        self.refuse_for(now, command, text, reply, None, wire)
    }

    /// Refuses a recipient likewise.
    pub(super) fn refuse_recipient(
        &mut self,
        now: u64,
        command: &Command<'_>,
        text: &[u8],
        recipient: Recipient,
        reply: OwnReply,
        wire: &mut dyn Wire,
    ) -> bool {
        let recipient = super::recorder::refused(recipient, Stage::RcptTo, Actor::Proxy, reply.record());
        self.refuse_for(now, command, text, reply, Some(Refused::Recipient(Box::new(recipient))), wire)
    }

    /// Refuses a message's sender likewise.
    pub(super) fn refuse_mail(
        &mut self,
        now: u64,
        command: &Command<'_>,
        text: &[u8],
        envelope: Envelope,
        reply: OwnReply,
        wire: &mut dyn Wire,
    ) -> bool {
        self.refuse_for(now, command, text, reply, Some(Refused::Mail(Box::new(envelope))), wire)
    }

    fn refuse_for(
        &mut self,
        now: u64,
        command: &Command<'_>,
        text: &[u8],
        reply: OwnReply,
        refused: Option<Refused>,
        wire: &mut dyn Wire,
    ) -> bool {
        self.count();
        let shown = self.shown(command, text);
        self.recorder.line(now, Leg::Client, Flow::In, &shown);
        // What may come again later is no error of the client's.
        self.own_refusals += u32::from(reply.code >= 500);
        self.answer_in_turn_for(now, reply, refused, wire);
        self.end_after_errors(now, wire);
        true
    }

    fn has_too_many_errors(&self) -> bool {
        let limit = self.options.limits.client_errors;
        limit > 0 && self.own_refusals >= limit
    }

    /// Ends the session of a client that goes on sending what is refused here, once no message of its is in the upstream's hands.
    fn end_after_errors(&mut self, now: u64, wire: &mut dyn Wire) {
        if self.has_too_many_errors() && !self.awaits_final_reply() {
            let reply = OwnReply::new(421, (4, 7, 0), "too many errors", self.recorder.trace_id());
            self.end_saying(now, Actor::Client, self.stage(), EndHow::Protocol, "too many refused commands", reply, wire);
        }
    }

    /// A command as the record shows it: without what may be a secret.
    pub(super) fn shown(&self, command: &Command<'_>, text: &[u8]) -> Vec<u8> {
        match command.verb {
            Verb::Unknown if auth::suspicious(text, self.auth_seen) => hidden_line(text),
            // XCLIENT's LOGIN, BURL's URLAUTH, X-EXPS' tokens are as secret as AUTH's.
            Verb::Unknown | Verb::Auth | Verb::Uncarried if command.argument.is_empty() => bounded(command.word, 40).into_bytes(),
            Verb::Unknown | Verb::Auth | Verb::Uncarried => format!("{} [redacted]", bounded(command.word, 40)).into_bytes(),
            _ => text.to_vec(),
        }
    }

    pub(super) fn answer_in_turn(&mut self, now: u64, reply: OwnReply, wire: &mut dyn Wire) {
        self.answer_in_turn_for(now, reply, None, wire);
    }

    /// The same to what becomes part of the record in turn.
    pub(super) fn answer_in_turn_for(&mut self, now: u64, reply: OwnReply, refused: Option<Refused>, wire: &mut dyn Wire) {
        if self.pending.is_empty() {
            self.say_own(now, &reply, refused, wire);
        } else {
            self.expect(now, Expect::Own(Box::new(reply), refused));
        }
    }

    /// Its turn has come: which record it is of is known only now.
    pub(super) fn say_own(&mut self, now: u64, reply: &OwnReply, refused: Option<Refused>, wire: &mut dyn Wire) {
        let reply = match refused {
            Some(Refused::Mail(envelope)) => self.record_refused_mail(now, *envelope, reply),
            Some(Refused::Recipient(mut recipient)) => {
                if self.left_open.is_some() {
                    self.begin_unknown(now);
                }
                let reply = reply.naming(self.recorder.trace_id());
                recipient.reply = Some(reply.record());
                self.recorder.recipient(*recipient);
                reply
            }
            None => reply.naming(self.recorder.trace_id()),
        };
        self.say(now, Leg::Client, &reply.line(), wire);
    }

    /// Sends the proxy's own replies whose turn has come.
    pub(super) fn flush_own(&mut self, now: u64, wire: &mut dyn Wire) {
        while self.hold.is_none()
            && let Some(Expect::Own(..)) = self.pending.front().map(|it| &it.expect)
        {
            if let Some(Expect::Own(reply, refused)) = self.pending.pop_front().map(|it| it.expect) {
                self.say_own(now, &reply, refused, wire);
            }
        }
    }

    /// A line that can't be one. Returns how many octets are used up.
    pub(super) fn refuse_line(&mut self, now: u64, rest: &[u8], error: LineError, wire: &mut dyn Wire) -> usize {
        if matches!(error, LineError::BareCr { .. } | LineError::BareLf { .. }) && self.awaits_final_reply() {
            return 0; // the session ends here, but not before the upstream's word on the message that it has
        }
        self.count();
        self.own_refusals += 1;
        let shown = format!("[refused line: {error}]");
        self.recorder.line(now, Leg::Client, Flow::In, shown.as_bytes());
        match error {
            LineError::TooLong { .. } => {
                self.recorder.flag(Flag::LongLine);
                self.answer_in_turn(now, OwnReply::new(500, (5, 5, 2), "line too long", self.recorder.trace_id()), wire);
                self.skip_refused(now, rest, wire)
            }
            LineError::Nul { at } => {
                self.recorder.flag(Flag::NulOctet);
                // A PROXY v2 header begins with two empty lines and a NUL.
                if at == 0 && self.recorder.commands == 3 && !self.introduced {
                    self.recorder.flag(Flag::SpoofedClient);
                }
                self.answer_in_turn(now, OwnReply::new(500, (5, 5, 2), "NUL in a command", self.recorder.trace_id()), wire);
                self.skip_refused(now, rest, wire)
            }
            LineError::BareCr { .. } | LineError::BareLf { .. } => {
                // Where commands can be hidden behind another's line end, nothing after it can be trusted.
                self.recorder.flag(Flag::BareNewline);
                let reply = OwnReply::new(421, (4, 5, 2), "lines end with CRLF; CR or LF alone is refused", self.recorder.trace_id());
                self.end_saying(now, Actor::Client, self.stage(), EndHow::Protocol, &error.to_string(), reply, wire);
                rest.len()
            }
        }
    }

    fn skip_refused(&mut self, now: u64, rest: &[u8], wire: &mut dyn Wire) -> usize {
        self.mode = Mode::SkipLine;
        let used = self.skip_over(rest);
        self.end_after_errors(now, wire);
        used
    }

    fn skip_over(&mut self, rest: &[u8]) -> usize {
        match memchr::memchr(b'\n', rest) {
            Some(at) => {
                self.mode = Mode::Command;
                at + 1
            }
            None => rest.len(),
        }
    }

    /// TLS or HTTP where SMTP is spoken: closed at once (true).
    pub(super) fn foreign_protocol(&mut self, now: u64, rest: &[u8], wire: &mut dyn Wire) -> bool {
        if self.recorder.commands > 0 || (!self.greeted && self.may_begin_with_tls(rest)) {
            return false;
        }
        let what = if rest.starts_with(&[0x16, 0x03]) {
            "a TLS handshake on a listener that begins in clear (is the client set to implicit TLS?)"
        } else if [&b"GET "[..], b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"CONNECT "].iter().any(|verb| rest.starts_with(verb)) {
            "HTTP on an SMTP listener"
        } else {
            return false;
        };
        self.recorder.flag(Flag::ForeignProtocol);
        self.recorder.line(now, Leg::Client, Flow::In, format!("[{what}]").as_bytes());
        self.end(now, Actor::Client, Stage::Banner, EndHow::Protocol, Some(what.to_owned()), wire);
        true
    }

    pub(super) fn offers_starttls(&self) -> bool {
        if self.late.is_some() {
            return self.offers_starttls_late();
        }
        !self.client_tls
            && !self.passes
            && match self.options.listener.tls {
                ClientTls::Offered | ClientTls::Required => true,
                ClientTls::Mirror => self.extensions.starttls || self.upstream_tls,
                ClientTls::Off | ClientTls::Implicit | ClientTls::Passthrough => false,
            }
    }

    pub(super) fn take_starttls(&mut self, now: u64, command: &Command<'_>, text: &[u8], behind: bool, wire: &mut dyn Wire) -> bool {
        if !self.pending.is_empty() {
            return false;
        }
        let trace = self.recorder.trace_id();
        if !self.offers_starttls() {
            return self.refuse(now, command, text, OwnReply::new(502, (5, 5, 1), "STARTTLS is not offered here", trace), wire);
        }
        if !command.argument.is_empty() {
            return self.refuse(now, command, text, OwnReply::new(501, (5, 5, 4), "STARTTLS takes no parameters", trace), wire);
        }
        if self.recorder.in_transaction() {
            return self.refuse(now, command, text, OwnReply::new(503, (5, 5, 1), "no STARTTLS within a mail transaction", trace), wire);
        }
        if self.recorder.client.auth.as_ref().is_some_and(|auth| auth.outcome == "succeeded") {
            // RFC 3207 §4.2: the login would have to be forgotten, and the upstream can't be told to.
            return self.refuse(now, command, text, OwnReply::new(503, (5, 5, 1), "no STARTTLS after AUTH", trace), wire);
        }
        self.count();
        self.recorder.line(now, Leg::Client, Flow::In, text);
        if behind {
            // RFC 3207 §4.2, CVE-2011-0411: commands sent in clear behind STARTTLS must never be taken for sent in TLS.
            self.recorder.flag(Flag::TlsInjection);
            let reply = OwnReply::new(421, (4, 7, 0), "octets behind STARTTLS before the handshake", trace);
            self.end_saying(
                now,
                Actor::Client,
                Stage::StartTls,
                EndHow::Protocol,
                "commands were sent behind STARTTLS before the handshake",
                reply,
                wire,
            );
            return true;
        }
        let words = format!("220 2.0.0 {} ready to start TLS\r\n", self.options.host_name);
        self.say(now, Leg::Client, words.as_bytes(), wire);
        self.recorder.forget_refused_login();
        self.mode = Mode::Handshake;
        self.waiting_since = now;
        self.actions.push_back(Action::StartTls { leg: Leg::Client });
        true
    }

    fn take_auth(&mut self, now: u64, command: &Command<'_>, line: &[u8], wire: &mut dyn Wire) -> bool {
        if !self.pending.is_empty() {
            return false;
        }
        let carried = self.auth_is_carried();
        if !self.offered_auth || carried.is_err() {
            let why = carried.err().unwrap_or("the smart host doesn't offer it");
            let code = if why.contains("TLS") { (538, (5, 7, 11)) } else { (502, (5, 5, 1)) };
            let exchange = auth::Exchange::begin(command.argument);
            let made = crate::trace::Auth {
                mechanism: exchange.mechanism().to_owned(),
                user: exchange.user().map(str::to_owned),
                outcome: "refused".into(),
                reply: None,
            };
            self.recorder.set_auth(Leg::Client, made);
            let reply = OwnReply::new(code.0, code.1, format!("no AUTH here: {why}"), self.recorder.trace_id());
            return self.refuse(now, command, line, reply, wire);
        }
        if !(self.upstream_verified && (self.client_tls || self.recorder.client.ip.is_loopback())) {
            self.recorder.flag(Flag::PlaintextAuth);
        }
        let exchange = auth::Exchange::begin(command.argument);
        let initial = command.argument.iter().position(|octet| *octet == b' ').map(|at| command.argument.get(at + 1..).unwrap_or_default());
        let shown = format!("AUTH {}{}", exchange.mechanism(), if initial.is_some() { " [redacted]" } else { "" });
        // What is no mechanism known may be the secret itself.
        self.auth_secrets = vec![if exchange.is_known() { initial.unwrap_or_default() } else { command.argument }.to_vec()];
        self.auth = Some(Box::new(exchange));
        self.auth_began = now;
        self.pass_shown(now, line, shown.as_bytes(), Expect::Auth, wire);
        true
    }

    /// A line within an AUTH exchange: passed on, never looked at but for the user's name.
    pub(super) fn take_auth_response(&mut self, now: u64, rest: &[u8], wire: &mut dyn Wire) -> usize {
        match crate::smtp::next_line(rest, self.options.limits.auth_line) {
            Ok(None) => 0,
            Ok(Some(length)) => {
                let line = rest.get(..length).unwrap_or(rest);
                let text = line.strip_suffix(b"\r\n").unwrap_or(line);
                let cancelled = text == b"*";
                if let Some(exchange) = self.auth.as_mut().filter(|_| !cancelled) {
                    exchange.response(text);
                }
                if self.auth_secrets.len() < MOST_RESPONSES {
                    self.auth_secrets.push(text.to_vec());
                } else if let Some(last) = self.auth_secrets.last_mut() {
                    *last = text.to_vec();
                }
                self.mode = Mode::Command;
                self.pass_shown(now, line, if cancelled { b"*" } else { b"[redacted]" }, Expect::Auth, wire);
                length
            }
            Err(error) => {
                self.mode = Mode::Command;
                let reply = OwnReply::new(421, (4, 5, 2), "broken line within AUTH", self.recorder.trace_id());
                self.end_saying(now, Actor::Client, Stage::Auth, EndHow::Protocol, &error.to_string(), reply, wire);
                rest.len()
            }
        }
    }
}

/// A way to say who the client is that only those may use who are known to know.
fn speaks_for_another(word: &[u8]) -> bool {
    [&b"PROXY"[..], b"XCLIENT", b"XFORWARD"].iter().any(|it| word.eq_ignore_ascii_case(it))
}

/// What is shown of a line that may be a secret.
fn hidden_line(text: &[u8]) -> Vec<u8> {
    format!("[unknown command redacted: {} octets]", text.len()).into_bytes()
}

/// Whether what comes after depends on this reply.
pub(super) fn ends_group(expect: &Expect) -> bool {
    matches!(
        expect,
        Expect::Banner
            | Expect::Negotiation
            | Expect::StartTls
            | Expect::Ehlo
            | Expect::Helo
            | Expect::Auth
            | Expect::Data
            | Expect::Quit
            | Expect::Other { secret: Some(_) }
    )
}
