//! MAIL FROM and RCPT TO: read for the record, refused where the proxy must, passed on as they came.

use super::action::Wire;
use super::machine::{Expect, Machine};
use super::recorder::bounded;
use super::replies::OwnReply;
use crate::smtp::path::decode_xtext;
use crate::smtp::{Command, PathCommand};
use crate::trace::{Actor, Envelope, Recipient, Stage, State};

impl Machine {
    pub(super) fn take_mail(&mut self, now: u64, command: &Command<'_>, line: &[u8], wire: &mut dyn Wire) -> bool {
        // What can't be read is the upstream's to judge; it leaves a record like any other.
        let path = PathCommand::parse(command.argument, b"FROM:")
            .unwrap_or_else(|| PathCommand { address: command.argument, parameters: Vec::new() });
        let (envelope, own) = self.read_mail(&path);
        let text = line.trim_ascii_end();
        if let Some(own) = own {
            self.record_refused_mail(now, envelope, &own);
            return self.refuse(now, command, text, own, wire);
        }
        self.pass(now, line, Expect::Mail(Some(Box::new(envelope))), wire);
        true
    }

    /// The envelope that MAIL FROM begins, and why the proxy itself refuses it, if it does.
    pub(super) fn read_mail(&self, path: &PathCommand<'_>) -> (Envelope, Option<OwnReply>) {
        let declared = path.value("SIZE").and_then(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
        let limit = self.options.limits.message_size;
        let envelope = Envelope {
            reverse_path: bounded(path.address, 1_024),
            params: path.parameters.iter().take(32).map(|it| bounded(it, 512)).collect(),
            size_declared: declared,
            envid: path.value("ENVID").map(|value| bounded(&decode_xtext(value), 256)),
            reply: None,
            recipients: Vec::new(),
            recipients_cut: 0,
        };
        let own = if self.defers() && self.store_failed {
            Some(OwnReply::new(451, (4, 3, 0), "mail is deferred because the trace store has failed", self.recorder.trace_id()))
        } else if limit > 0 && declared.is_some_and(|size| size > limit) {
            Some(OwnReply::new(
                552,
                (5, 3, 4),
                format!("message is larger than this proxy's limit of {limit} octets"),
                self.recorder.trace_id(),
            ))
        } else if path.has("SMTPUTF8") && !self.offered_smtputf8 && self.late.is_none() {
            let words = format!("the {} doesn't take internationalized mail (SMTPUTF8)", self.peer());
            Some(OwnReply::new(550, (5, 6, 7), words, self.recorder.trace_id()))
        } else if path.has("REQUIRETLS") && !self.offered_requiretls {
            let words = format!("REQUIRETLS needs TLS to this proxy and verified TLS to the {}", self.peer());
            Some(OwnReply::new(550, (5, 7, 30), words, self.recorder.trace_id()))
        } else {
            None
        };
        (envelope, own)
    }

    pub(super) fn take_rcpt(&mut self, now: u64, command: &Command<'_>, line: &[u8], wire: &mut dyn Wire) -> bool {
        let path = PathCommand::parse(command.argument, b"TO:")
            .unwrap_or_else(|| PathCommand { address: command.argument, parameters: Vec::new() });
        let recipient = recipient_of(&path);
        if let Some(reply) = self.refuses_recipient(&recipient) {
            return self.refuse_recipient(now, command, line.trim_ascii_end(), recipient, reply, wire);
        }
        self.pass(now, line, Expect::Rcpt(Box::new(recipient)), wire);
        true
    }

    /// Why the proxy itself refuses a recipient, if it does.
    pub(super) fn refuses_recipient(&self, recipient: &Recipient) -> Option<OwnReply> {
        let trace = self.recorder.trace_id();
        let accepted = &self.options.listener.accept_domains;
        let domain = crate::route::table::domain_of(&recipient.address);
        if !accepted.is_empty() && !domain.is_empty() && !accepted.iter().any(|it| crate::route::table::takes_domain(it, &domain)) {
            return Some(OwnReply::new(550, (5, 7, 1), "mail for this domain is not accepted here", trace));
        }
        let behind_mail = self.pending.iter().rposition(|it| matches!(it.expect, Expect::Mail(_)));
        let before = if behind_mail.is_some() { 0 } else { self.recorder.recipients() };
        let under_way = self.pending.iter().skip(behind_mail.unwrap_or(0)).filter(|it| matches!(it.expect, Expect::Rcpt(_))).count();
        (before + under_way >= self.options.limits.recipients)
            .then(|| OwnReply::new(452, (4, 5, 3), "too many recipients in one transaction", trace))
    }
}

/// A recipient as RCPT TO names it, not yet answered.
pub(super) fn recipient_of(path: &PathCommand<'_>) -> Recipient {
    Recipient {
        address: bounded(path.address, 1_024),
        params: path.parameters.iter().take(32).map(|it| bounded(it, 512)).collect(),
        orcpt: path.value("ORCPT").map(|value| bounded(&decode_xtext(value), 512)),
        reply: None,
        stage: Stage::RcptTo,
        by: Actor::Upstream,
        state: State::Aborted,
        cause: None,
        rule: None,
    }
}
