//! What the proxy itself answers on a listener with a static EHLO: everything up to the first RCPT TO, and what belongs to no transaction.

use std::sync::Arc;

use super::action::Wire;
use super::late::Mail;
use super::machine::Machine;
use super::options::{ClientTls, Protocol, UpstreamOptions};
use super::recorder::bounded;
use super::replies::OwnReply;
use crate::route::Rule;
use crate::smtp::{Command, PathCommand, Verb};
use crate::trace::{Actor, EndHow, Flow, Leg, Stage, UpstreamKind};

impl Machine {
    /// Takes one command. False: not now.
    pub(super) fn take_late(
        &mut self,
        now: u64,
        command: &Command<'_>,
        line: &[u8],
        text: &[u8],
        behind: bool,
        wire: &mut dyn Wire,
    ) -> bool {
        let trace = self.recorder.trace_id();
        let own = |code, enhanced, words: &str| OwnReply::new(code, enhanced, words, trace);
        match command.verb {
            Verb::StartTls => self.take_starttls(now, command, text, behind, wire),
            Verb::Auth => self.refuse(now, command, text, own(502, (5, 5, 1), "AUTH is not offered here"), wire),
            Verb::Rcpt => self.take_rcpt_late(now, command, line, wire),
            Verb::Data => {
                let asked = self.mail_sent_late() && self.data_late(now, line, wire);
                asked || self.refuse(now, command, text, own(554, (5, 5, 1), "no valid recipients"), wire)
            }
            Verb::Bdat => self.take_bdat(now, command, line, wire),
            _ if !self.pending.is_empty() => false,
            Verb::Ehlo | Verb::Helo if command.argument.is_empty() => {
                self.refuse(now, command, text, own(501, (5, 5, 4), "write EHLO and the name of your host"), wire)
            }
            Verb::Ehlo | Verb::Helo => {
                self.recorder.client_mut().helo = Some(bounded(command.argument, 255));
                self.said_helo = command.verb == Verb::Helo;
                self.abandon(now, "the client said EHLO again");
                self.introduced = true;
                let reply = if command.verb == Verb::Ehlo { self.static_ehlo() } else { format!("250 {}\r\n", self.options.host_name) };
                self.answer(now, text, reply.as_bytes(), wire)
            }
            Verb::Mail => self.take_mail_late(now, command, text, wire),
            Verb::Rset => {
                self.abandon(now, "the client sent RSET");
                self.answer(now, text, b"250 2.0.0 Ok\r\n", wire);
                if self.draining {
                    self.drain(now, wire);
                }
                true
            }
            Verb::Quit => {
                self.abandon(now, "the client sent QUIT");
                self.leave_upstream(now, wire);
                self.answer(now, text, b"221 2.0.0 Bye\r\n", wire);
                self.end(now, Actor::Client, Stage::Quit, EndHow::Quit, None, wire);
                true
            }
            Verb::Noop => self.answer(now, text, b"250 2.0.0 Ok\r\n", wire),
            Verb::Vrfy => self.answer(now, text, b"252 2.1.5 send mail, and it will be tried\r\n", wire),
            Verb::Help => self.answer(now, text, b"214 2.0.0 RFC 5321\r\n", wire),
            Verb::Expn | Verb::Etrn => self.refuse(now, command, text, own(502, (5, 5, 1), "not offered here"), wire),
            Verb::Uncarried => {
                let words = format!("{} is not carried by this proxy", bounded(command.word, 20).to_ascii_uppercase());
                self.refuse(now, command, text, own(502, (5, 5, 1), &words), wire)
            }
            Verb::Unknown => self.refuse(now, command, text, own(500, (5, 5, 2), "command not recognized"), wire),
        }
    }

    /// Takes note of a command, and answers it. Always true: it is taken.
    fn answer(&mut self, now: u64, text: &[u8], reply: &[u8], wire: &mut dyn Wire) -> bool {
        self.count();
        self.recorder.line(now, Leg::Client, Flow::In, text);
        self.say(now, Leg::Client, reply, wire);
        true
    }

    /// What this listener offers whatever the next hop (RFC 9422 for LIMITS).
    fn static_ehlo(&self) -> String {
        let mut lines = vec![self.options.host_name.clone(), "PIPELINING".to_owned()];
        lines.push(match self.options.limits.message_size {
            0 => "SIZE".to_owned(),
            limit => format!("SIZE {limit}"),
        });
        lines.extend(["8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"].map(str::to_owned));
        if self.offers_starttls() {
            lines.push("STARTTLS".to_owned());
        }
        let limits = self.static_limits();
        if !limits.is_empty() {
            lines.push(format!("LIMITS {}", limits.join(" ")));
        }
        let last = lines.len() - 1;
        let line = |(number, line): (usize, &String)| format!("250{}{line}\r\n", if number == last { ' ' } else { '-' });
        lines.iter().enumerate().map(line).collect()
    }

    /// What clients that know RFC 9422 had better keep to, whatever the next hop: one domain where the domain chooses it, and the recipients
    /// of a message that the least of the LMTP servers takes, where there are no others.
    fn static_limits(&self) -> Vec<String> {
        let own = |rule: &&Rule| rule.listeners.is_empty() || rule.listeners.contains(&self.options.listener.name);
        let rules = || self.options.routes.rules.iter().filter(own);
        let named = |upstream: &&Arc<UpstreamOptions>| rules().any(|rule| rule.upstream == upstream.name);
        let reachable = || self.options.upstreams.iter().filter(named).chain([&self.options.upstream]);
        let by_domain = reachable().any(|it| it.kind == UpstreamKind::Mx) || rules().any(|rule| !rule.recipient_domains.is_empty());
        let mut limits = Vec::new();
        if reachable().all(|it| it.protocol == Protocol::Lmtp) {
            limits.extend(reachable().map(|it| it.lmtp_recipients).min().map(|most| format!("RCPTMAX={most}")));
        }
        if by_domain {
            limits.push("RCPTDOMAINMAX=1".to_owned());
        }
        limits
    }

    fn take_mail_late(&mut self, now: u64, command: &Command<'_>, text: &[u8], wire: &mut dyn Wire) -> bool {
        let trace = self.recorder.trace_id();
        let own = |code, enhanced, words: &str| OwnReply::new(code, enhanced, words, trace);
        let Some(path) = PathCommand::parse(command.argument, b"FROM:") else {
            return self.refuse(now, command, text, own(501, (5, 5, 4), "write MAIL FROM:<address>"), wire);
        };
        if self.late.as_ref().is_some_and(|late| late.mail.is_some()) {
            return self.refuse(now, command, text, own(503, (5, 5, 1), "a transaction is under way: send RSET first"), wire);
        }
        let (mut envelope, refusal) = self.read_mail(now, &path);
        let mut mail = Mail {
            path: [b"<", path.address, b">"].concat(),
            reverse_path: String::from_utf8_lossy(path.address).into_owned(),
            size: envelope.size_declared,
            ..Mail::default()
        };
        let unknown = path.parameters.iter().find(|parameter| !mail.takes(parameter));
        let refusal = match (refusal, unknown) {
            (Some(refusal), _) => Some(refusal),
            (None, Some(parameter)) => {
                Some(own(555, (5, 5, 4), &format!("{} is not offered here", bounded(parameter, 40).to_ascii_uppercase())))
            }
            (None, None) if !mail.smtputf8 && !path.address.is_ascii() => {
                Some(own(553, (5, 6, 7), "an address beyond ASCII needs SMTPUTF8"))
            }
            (None, None) => None,
        };
        if let Some(own) = refusal {
            return self.refuse_mail(now, command, text, envelope, own, wire);
        }
        let reply = b"250 2.1.0 Ok\r\n";
        envelope.reply = Some(super::recorder::reply_of(&crate::smtp::ReplyView::new(reply)));
        self.recorder.begin(now, envelope);
        if let Some(late) = &mut self.late {
            late.mail = Some(mail);
        }
        self.answer(now, text, reply, wire)
    }

    fn take_rcpt_late(&mut self, now: u64, command: &Command<'_>, line: &[u8], wire: &mut dyn Wire) -> bool {
        let text = line.trim_ascii_end();
        let trace = self.recorder.trace_id();
        let own = |code, enhanced, words: &str| OwnReply::new(code, enhanced, words, trace);
        let Some(path) = PathCommand::parse(command.argument, b"TO:").filter(|path| !path.address.is_empty()) else {
            return self.refuse(now, command, text, own(501, (5, 5, 4), "write RCPT TO:<address>"), wire);
        };
        let Some(smtputf8) = self.late.as_ref().and_then(|late| late.mail.as_ref()).map(|mail| mail.smtputf8) else {
            return self.refuse(now, command, text, own(503, (5, 5, 1), "send MAIL FROM first"), wire);
        };
        let recipient = super::envelope::recipient_of(&path);
        let foreign = !smtputf8 && !path.address.is_ascii();
        let foreign = foreign.then(|| own(553, (5, 6, 7), "an address beyond ASCII needs SMTPUTF8"));
        let refusal = foreign.or_else(|| self.refuses_recipient(&recipient)).or_else(|| {
            let parameter = path.parameters.first()?;
            Some(own(555, (5, 5, 4), &format!("{} is not offered here", bounded(parameter, 40).to_ascii_uppercase())))
        });
        if let Some(refusal) = refusal {
            return self.refuse_recipient(now, command, text, recipient, refusal, wire);
        }
        match self.destination_of(&recipient.address) {
            Ok(destination) => self.route_recipient(now, &without_blanks(line, &path), recipient, destination, wire),
            Err(words) => {
                let refusal = own(550, (5, 1, 3), words);
                return self.refuse_recipient(now, command, text, recipient, refusal, wire);
            }
        }
        true
    }

    /// STARTTLS where there is no upstream to mirror.
    pub(super) fn offers_starttls_late(&self) -> bool {
        !self.client_tls && matches!(self.options.listener.tls, ClientTls::Offered | ClientTls::Required | ClientTls::Mirror)
    }
}

impl Mail {
    /// Takes a parameter of MAIL FROM over; false: it isn't offered.
    fn takes(&mut self, parameter: &[u8]) -> bool {
        let parameter = parameter.to_ascii_uppercase();
        match parameter.as_slice() {
            b"BODY=8BITMIME" => self.eight_bit = true,
            b"BODY=7BIT" => {}
            b"SMTPUTF8" => self.smtputf8 = true,
            other => return other.starts_with(b"SIZE="),
        }
        true
    }
}

/// The command as an exacting server wants it: `RCPT TO:<address>`.
fn without_blanks(line: &[u8], path: &PathCommand<'_>) -> Vec<u8> {
    let made = [b"RCPT TO:<", path.address, b">\r\n"].concat();
    if line.eq_ignore_ascii_case(&made) { line.to_vec() } else { made }
}
