//! Sendmail: `from=` and `to=` lines, and its refusals.
//!
//! Forms as in the Sendmail Installation and Operation Guide, section "The System Log", of 8.12 and later.

use super::entry::{Entry, LogEvent};
use super::facts::{Facts, Verdict, some};
use super::known::Known;
use super::said::{self, bare};
use super::syslog::Message;
use crate::message::upstream_queue_id;
use crate::trace::{Reply, Stage, State};

#[derive(Debug, Default)]
pub struct Sendmail {
    known: Known<Facts>,
}

impl Sendmail {
    pub fn forgotten(&self) -> u64 {
        self.known.forgotten()
    }

    pub fn read(&mut self, message: &Message<'_>, out: &mut Vec<Entry>) -> Verdict {
        let is_ours = message.program.starts_with("sendmail") || message.program.starts_with("sm-") || &*message.program == "sendmail-mta";
        if !is_ours {
            return Verdict::Foreign;
        }
        let text = &*message.text;
        let Some((id, rest)) = text.split_once(": ").filter(|(id, _)| is_queue_id(id) || *id == "NOQUEUE") else {
            return if text.starts_with("ruleset=") { self.refusal(of(message, None), text, out) } else { Verdict::Foreign };
        };
        let entry = of(message, Some(id).filter(|it| *it != "NOQUEUE"));
        if rest.starts_with("from=") {
            return self.came(entry, id, rest, out);
        }
        if rest.starts_with("to=") {
            return self.went(entry, rest, out);
        }
        if rest.starts_with("ruleset=") || rest.starts_with("Milter: ") {
            return self.refusal(entry, rest, out);
        }
        if rest.starts_with("done; ") {
            let mut entry = Entry { event: LogEvent::Removed, ..entry };
            entry.delay_us = value(rest, "done; delay=").and_then(said::duration_us);
            if let Some(facts) = self.known.take(id) {
                facts.complete(&mut entry);
            }
            out.push(entry);
            return Verdict::Read;
        }
        if let Some((clone, what)) = rest.split_once(": clone: ").filter(|(id, _)| is_queue_id(id)) {
            return self.cloned(entry, id, clone, what, out);
        }
        if let Some((report, what)) = rest.split_once(": ").filter(|(id, _)| is_queue_id(id)) {
            let mut entry = Entry { event: LogEvent::ReportSent, next_queue_id: some(report), detail: some(what), ..entry };
            self.complete(&mut entry);
            out.push(entry);
            return Verdict::Read;
        }
        // "<unknown@to.example>... User unknown": told to the client at RCPT TO.
        if let Some((address, told)) = rest.strip_prefix('<').and_then(|it| it.split_once(">... ")) {
            let mut entry = Entry { event: LogEvent::Rejected, recipient: some(address), detail: some(told), ..entry };
            entry.fate = Some(said::refused(None, Stage::RcptTo));
            self.complete(&mut entry);
            out.push(entry);
        }
        Verdict::Read
    }

    /// `from=<a@from.example>, size=1234, class=0, nrcpts=1, msgid=<…>, proto=ESMTP, daemon=MTA, relay=client.example [192.0.2.1]`
    fn came(&mut self, mut entry: Entry, id: &str, text: &str, out: &mut Vec<Entry>) -> Verdict {
        let facts = self.known.of(id, entry.at);
        facts.reverse_path = value(text, "from=").map(|it| bare(it).to_owned());
        facts.size = value(text, "size=").and_then(|it| it.parse().ok());
        facts.message_id = value(text, "msgid=").and_then(|it| some(bare(it)));
        let relay = value(text, "relay=").unwrap_or_default();
        let is_local = relay.ends_with("@localhost") || relay == "local";
        if !is_local {
            facts.client(said::host(relay));
        }
        entry.event = match (is_local, facts.client_ip.is_some()) {
            (true, _) => LogEvent::Submitted,
            (_, true) => LogEvent::Received,
            _ => LogEvent::Queued,
        };
        facts.complete(&mut entry);
        if value(text, "nrcpts=") == Some("0") {
            // Every recipient was refused: there is no message.
            return Verdict::Read;
        }
        out.push(entry);
        Verdict::Read
    }

    /// `5AQA2B3y000011: clone: owner=owner-list`: members of a list that has an owner get a message of their own, of which no `from=` tells.
    fn cloned(&mut self, entry: Entry, id: &str, clone: &str, what: &str, out: &mut Vec<Entry>) -> Verdict {
        let mut entry = Entry { event: LogEvent::Expanded, next_queue_id: some(clone), detail: some(what), ..entry };
        self.complete(&mut entry);
        let facts = self.known.get(id).map(|it| it.clone()).unwrap_or_default();
        let of_clone = self.known.of(clone, entry.at);
        *of_clone = facts;
        if let Some(owner) = what.strip_prefix("owner=").and_then(some) {
            of_clone.reverse_path = Some(bare(&owner).to_owned());
        }
        out.push(entry);
        Verdict::Read
    }

    /// `to=<b@to.example>,<c@to.example>, delay=00:00:01, mailer=esmtp, relay=mx.example. [192.0.2.1], dsn=2.0.0, stat=Sent (…)`
    fn went(&mut self, mut entry: Entry, text: &str, out: &mut Vec<Entry>) -> Verdict {
        let Some((fields, stat)) = text.split_once(", stat=") else { return Verdict::Unreadable("a delivery without its stat") };
        let (fields, reply) = fields.split_once(", reply=").map_or((fields, None), |(fields, reply)| (fields, said::reply(reply)));
        let to = value(fields, "to=").unwrap_or_default();
        let mailer = value(fields, "mailer=").unwrap_or_default();
        let status = value(fields, "dsn=").and_then(said::enhanced);
        entry.delay_us = value(fields, "delay=").and_then(said::duration_us);
        let relay = said::host(value(fields, "relay=").unwrap_or_default());
        (entry.relay_host, entry.relay_ip, entry.relay_port) = (relay.name, relay.ip, relay.port);
        entry.reply = reply;
        let is_remote = mailer.contains("smtp") || mailer == "relay" || mailer == "lmtp";
        let is_refused = status.is_some_and(|it| it.0 == 5);
        if let Some(told) = stat.strip_prefix("Sent") {
            let told = told.trim().strip_prefix('(').and_then(|it| it.strip_suffix(')')).unwrap_or_default();
            (entry.event, entry.fate) = if is_remote && mailer != "lmtp" {
                (LogEvent::Sent, Some(said::SENT))
            } else {
                (LogEvent::Delivered, Some(said::DELIVERED))
            };
            if !told.is_empty() && is_remote {
                // The log leaves the code out, and the enhanced code goes to dsn=.
                let reply = Reply { code: 250, enhanced: status, lines: vec![told.to_owned()] };
                entry.next_queue_id = upstream_queue_id(reply.code, &reply.lines).map(|it| it.id);
                entry.reply = Some(reply);
            } else {
                entry.detail = some(told);
            }
        } else if stat == "queued" {
            return Verdict::Read;
        } else {
            let told = stat.split_once("Deferred: ").map_or(stat, |(_, told)| told);
            entry.reply = entry.reply.take().or_else(|| said::reply(told));
            let (event, state) = match (stat.starts_with("Deferred") || !is_refused, stat.contains("annot send message")) {
                (_, true) => (LogEvent::Expired, State::Rejected),
                (true, _) => (LogEvent::Deferred, State::Deferred),
                (false, _) => (LogEvent::Bounced, State::Rejected),
            };
            entry.event = event;
            entry.detail = some(stat);
            // Only a host that was spoken with can have said it.
            let is_said = entry.reply.is_some() || (is_remote && is_refused && entry.relay_ip.is_some());
            entry.fate = Some(said::failed(state, is_said, told));
        }
        self.complete(&mut entry);
        // Recipients of one delivery: "<b@to.example>,<c@to.example>".
        entry.for_each(to.split(',').filter(|it| !it.is_empty()).map(bare), out);
        Verdict::Read
    }

    /// `ruleset=check_rcpt, arg1=<b@to.example>, relay=client.example [192.0.2.1], reject=550 5.7.1 …`, `Milter: data, reject=554 …`
    fn refusal(&mut self, mut entry: Entry, text: &str, out: &mut Vec<Entry>) -> Verdict {
        let Some((head, told)) = text.split_once("reject=") else {
            if let Some((_, told)) = text.split_once("quarantine=") {
                (entry.event, entry.detail) = (LogEvent::Quarantined, some(told));
            } else if text.ends_with("discard") {
                entry.event = LogEvent::Discarded;
            } else {
                return Verdict::Read;
            }
            self.complete(&mut entry);
            out.push(entry);
            return Verdict::Read;
        };
        let argument = value(head, "arg1=").map(|it| bare(it).to_owned());
        let stage = if head.contains("check_rcpt") || head.contains("check_compat") || head.starts_with("Milter: to=") {
            entry.recipient = argument.or_else(|| value(head, "Milter: to=").map(|it| bare(it).to_owned()));
            Stage::RcptTo
        } else if head.contains("check_mail") || head.starts_with("Milter: from=") {
            entry.reverse_path = argument.or_else(|| value(head, "Milter: from=").map(|it| bare(it).to_owned()));
            Stage::MailFrom
        } else if head.contains("check_relay") {
            Stage::Connect
        } else {
            Stage::EndOfData
        };
        if let Some(relay) = value(head, "relay=") {
            let relay = said::host(relay);
            (entry.client_host, entry.client_ip) = (relay.name, relay.ip);
        }
        (entry.event, entry.reply) = (LogEvent::Rejected, said::reply(told));
        entry.detail = some(told).filter(|_| entry.reply.is_none());
        entry.fate = Some(said::refused(entry.reply.as_ref(), stage));
        self.complete(&mut entry);
        out.push(entry);
        Verdict::Read
    }

    fn complete(&mut self, entry: &mut Entry) {
        if let Some(facts) = entry.queue_id.as_deref().and_then(|id| self.known.get(id)) {
            facts.complete(entry);
        }
    }
}

fn of(message: &Message<'_>, id: Option<&str>) -> Entry {
    Entry { queue_id: id.map(str::to_owned), ..Entry::new(message.at, message.host.as_deref(), LogEvent::Queued) }
}

/// `3AQA2BxY012345`: a time in letters and digits, and the process id.
fn is_queue_id(id: &str) -> bool {
    (10..=20).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_alphanumeric()) && id.bytes().filter(u8::is_ascii_digit).count() >= 4
}

/// The value of a field, up to the next comma with a blank.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let at = if text.starts_with(name) { 0 } else { text.find(&format!(", {name}"))? + 2 };
    text.get(at + name.len()..)?.split(", ").next()
}
