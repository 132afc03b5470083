//! MAIL FROM and RCPT TO: read for the record, refused where the proxy must, passed on as they came.

use super::action::Wire;
use super::machine::{Expect, Machine};
use super::options::ListenerOptions;
use super::recorder::bounded;
use super::replies::OwnReply;
use crate::smtp::path::decode_xtext;
use crate::smtp::{Command, PathCommand, exchange};
use crate::trace::{Actor, Envelope, Recipient, Stage, State};

impl Machine {
    pub(super) fn take_mail(&mut self, now: u64, command: &Command<'_>, line: &[u8], wire: &mut dyn Wire) -> bool {
        // What can't be read is the upstream's to judge; it leaves a record like any other.
        let path = PathCommand::parse(command.argument, b"FROM:")
            .unwrap_or_else(|| PathCommand { address: command.argument, parameters: Vec::new() });
        let (envelope, own) = self.read_mail(now, &path);
        let text = line.trim_ascii_end();
        if let Some(own) = own {
            return self.refuse_mail(now, command, text, envelope, own, wire);
        }
        if !self.forward_client(now, wire) {
            return false;
        }
        self.pass(now, line, Expect::Mail(Some(Box::new(envelope))), wire);
        true
    }

    /// The envelope that MAIL FROM begins, and why the proxy itself refuses it, if it does.
    pub(super) fn read_mail(&self, now: u64, path: &PathCommand<'_>) -> (Envelope, Option<OwnReply>) {
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
            Some(self.too_large())
        } else if self.late.is_none()
            && let Some(own) = self.over_quota(now, &self.upstream, &envelope.reverse_path)
        {
            Some(own)
        } else if path.has("SMTPUTF8") && !self.offered_smtputf8 && self.late.is_none() {
            let words = format!("the {} doesn't take internationalized mail (SMTPUTF8)", self.peer());
            Some(OwnReply::new(550, (5, 6, 7), words, self.recorder.trace_id()))
        } else if path.has("REQUIRETLS") && !self.offered_requiretls {
            let words = format!("REQUIRETLS needs TLS to this proxy and verified TLS to the {}", self.peer());
            Some(OwnReply::new(550, (5, 7, 30), words, self.recorder.trace_id()))
        } else {
            self.refuses_parameter(path)
        };
        (envelope, own)
    }

    /// By what MAIL FROM declares, or by what has come.
    pub(super) fn too_large(&self) -> OwnReply {
        let words = format!("message is larger than this proxy's limit of {} octets", self.options.limits.message_size);
        OwnReply::new(552, (5, 3, 4), words, self.recorder.trace_id())
    }

    /// Exchange's own parameters: who takes them may believe what they say, or expect other octets to follow.
    fn refuses_parameter(&self, path: &PathCommand<'_>) -> Option<OwnReply> {
        let name = path.parameters.iter().find_map(|it| exchange::parameter(it))?;
        let passed = self.upstream.pass.iter().any(|it| it == name);
        (!passed).then(|| OwnReply::new(555, (5, 5, 4), format!("{name} is not carried by this proxy"), self.recorder.trace_id()))
    }

    pub(super) fn take_rcpt(&mut self, now: u64, command: &Command<'_>, line: &[u8], wire: &mut dyn Wire) -> bool {
        let path = PathCommand::parse(command.argument, b"TO:")
            .unwrap_or_else(|| PathCommand { address: command.argument, parameters: Vec::new() });
        let recipient = recipient_of(&path);
        if let Some(reply) = self.refuses_recipient(&recipient).or_else(|| self.refuses_parameter(&path)) {
            return self.refuse_recipient(now, command, line.trim_ascii_end(), recipient, reply, wire);
        }
        if self.parts_recipient(now, command, line.trim_ascii_end(), &recipient, wire) {
            return true;
        }
        self.pass(now, line, Expect::Rcpt(Box::new(recipient)), wire);
        true
    }

    /// Why the proxy itself refuses a recipient, if it does.
    pub(super) fn refuses_recipient(&self, recipient: &Recipient) -> Option<OwnReply> {
        let trace = self.recorder.trace_id();
        if let Some(words) = self.options.listener.refuses(&recipient.address) {
            return Some(OwnReply::new(550, (5, 7, 1), words, trace));
        }
        let behind_mail = self.pending.iter().rposition(|it| matches!(it.expect, Expect::Mail(_)));
        let before = if behind_mail.is_some() { 0 } else { self.recorder.recipients() };
        let under_way = self.pending.iter().skip(behind_mail.unwrap_or(0)).filter(|it| matches!(it.expect, Expect::Rcpt(_))).count();
        (before + under_way >= self.options.limits.recipients)
            .then(|| OwnReply::new(452, (4, 5, 3), "too many recipients in one transaction", trace))
    }
}

impl ListenerOptions {
    /// Why a recipient isn't let in, if it isn't.
    pub fn refuses(&self, address: &str) -> Option<&'static str> {
        refuses_address(&self.accept_domains, address).filter(|_| !self.accept_domains.is_empty())
    }
}

/// Octets of a local part in which a server could read the way to another one: source routes, `user%host`, `host!user`, and what
/// separates addresses in a list or a comment. Quotes don't hide them, since servers take quotes away before they look (Postfix does).
const ROUTING: &[char] = &['@', '%', '!', ':', ',', ';', '<', '>', '(', ')', '[', ']'];

/// Why a recipient isn't one of these domains' own, for a server behind that would send it anywhere.
fn refuses_address(accepted: &[String], address: &str) -> Option<&'static str> {
    let domain = crate::route::table::domain_of(address);
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    if local.contains(ROUTING) {
        Some("an address that leads further is not accepted here")
    } else if domain.is_empty() {
        // RFC 5321 §4.5.1. Any other name alone means what the server behind makes of it.
        (!local.eq_ignore_ascii_case("postmaster")).then_some("a recipient without a domain is not accepted here")
    } else if accepted.iter().any(|it| crate::route::table::takes_domain(it, &domain)) {
        None
    } else {
        Some("mail for this domain is not accepted here")
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
        act: None,
        rule: None,
    }
}

#[cfg(test)]
mod tests {
    use super::refuses_address;

    #[test]
    fn only_plain_addresses_of_the_domains_come_in() {
        let accepted = ["our.example".to_owned(), ".sub.our.example".to_owned()];
        let good =
            ["bob@our.example", "Bob.B+tag=x@OUR.example", "\"bob b\"@our.example", "b@our.example.", "b@a.sub.our.example", "Postmaster"];
        for address in good {
            assert_eq!(refuses_address(&accepted, address), None, "{address}");
        }
        let bad = [
            "",
            "bob",
            "bob@",
            "bob@evil.example",
            "bob@sub.our.example",
            "bob@notour.example",
            "bob%evil.example",
            "bob%evil.example@our.example",
            "evil.example!bob@our.example",
            "evil.example!bob",
            "@evil.example:bob@our.example",
            "@our.example:bob@evil.example",
            "\"bob@evil.example\"@our.example",
            "\"bob@evil.example\"",
            "bob@evil.example(@our.example",
            "bob@evil.example@our.example",
            "bob@[192.0.2.1]",
            "bob@our.example\u{200b}",
            "bob@\u{43e}ur.example",
            "postmaster%evil.example",
        ];
        for address in bad {
            assert!(refuses_address(&accepted, address).is_some(), "{address}");
        }
    }
}
