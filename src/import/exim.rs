//! Exim: mainlog, and the refusals that go to the rejectlog as well.
//!
//! Flags and fields as in the Exim specification, chapter "Log files": `<=` came in, `=>` `->` `>>` went on, `**` bounced, `==` deferred.

use super::entry::{Entry, LogEvent};
use super::facts::{Facts, Verdict, some};
use super::known::Known;
use super::said::{self, bare};
use crate::message::{lossy, upstream_queue_id};
use crate::trace::{Reply, Stage, State, WallMicros};

#[derive(Debug, Default)]
pub struct Exim {
    known: Known<Facts>,
}

impl Exim {
    pub fn forgotten(&self) -> u64 {
        self.known.forgotten()
    }

    /// `rest`: what follows the time.
    pub fn read(&mut self, at: WallMicros, host: Option<&str>, rest: &str, out: &mut Vec<Entry>) -> Verdict {
        let rest = without_pid(rest.trim_start());
        let (word, behind) = rest.split_once(' ').unwrap_or((rest, ""));
        if !is_id(word) {
            return refusal(Entry::new(at, host, LogEvent::Rejected), rest, out);
        }
        let (flag, fields) = behind.split_once(' ').unwrap_or((behind, ""));
        let mut entry = Entry { queue_id: Some(word.to_owned()), ..Entry::new(at, host, LogEvent::Queued) };
        match flag {
            "<=" => self.came(entry, fields, out),
            "=>" | "->" | ">>" => {
                went(&mut entry, fields);
                self.complete(&mut entry);
                out.push(entry);
            }
            "**" | "==" => {
                stayed(&mut entry, flag == "**", fields);
                self.complete(&mut entry);
                out.push(entry);
            }
            "Completed" => {
                entry.event = LogEvent::Removed;
                if let Some(facts) = self.known.take(word) {
                    facts.complete(&mut entry);
                }
                out.push(entry);
            }
            "Frozen" => {
                (entry.event, entry.detail) = (LogEvent::Quarantined, Some(format!("frozen {fields}").trim_end().to_owned()));
                self.complete(&mut entry);
                out.push(entry);
            }
            // A queue runner or the administrator thaws it; the next attempt tells more.
            "Unfrozen" => {
                entry.detail = Some(format!("unfrozen {fields}").trim_end().to_owned());
                self.complete(&mut entry);
                out.push(entry);
            }
            "removed" if fields.starts_with("by ") => {
                (entry.event, entry.detail) = (LogEvent::Discarded, Some(format!("deleted from the queue {fields}")));
                self.complete(&mut entry);
                out.push(entry);
            }
            _ => return refusal(entry, behind, out),
        }
        Verdict::Read
    }

    /// `a@from.example H=client.example (helo) [192.0.2.1]:4567 P=esmtps S=1234 id=… T="subject" from <…> for b@to.example …`
    fn came(&mut self, mut entry: Entry, fields: &str, out: &mut Vec<Entry>) {
        let (sender, rest) = sender_and_rest(fields);
        let (rest, recipients) = match said::unquoted(rest, " for ").last() {
            Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 5..).unwrap_or_default()),
            None => (rest, ""),
        };
        let facts = self.known.of(entry.queue_id.as_deref().unwrap_or_default(), entry.at);
        facts.reverse_path = Some(bare(sender).to_owned());
        facts.message_id = field(rest, "id=").and_then(|it| some(bare(it)));
        facts.size = field(rest, "S=").and_then(|it| it.parse().ok());
        facts.subject = quoted(rest, "T=").and_then(|it| said::subject(&it));
        if let Some(client) = host_field(rest) {
            facts.client(client);
        }
        let protocol = field(rest, "P=").unwrap_or_default();
        entry.event = match field(rest, "U=") {
            Some(_) if protocol.starts_with("local") || protocol.is_empty() => LogEvent::Submitted,
            _ if facts.client_ip.is_some() || facts.client_host.is_some() => LogEvent::Received,
            _ => LogEvent::Queued,
        };
        facts.complete(&mut entry);
        // A bounce names the message that it is about.
        let about = field(rest, "R=").filter(|id| is_id(id) && sender == "<>");
        let report = about.map(|about| Entry {
            queue_id: Some(about.to_owned()),
            next_queue_id: entry.queue_id.clone(),
            ..Entry::new(entry.at, entry.host.as_deref(), LogEvent::ReportSent)
        });
        if recipients.trim().is_empty() {
            out.push(entry);
        } else {
            entry.for_each(recipients.split_whitespace().map(bare), out);
        }
        if let Some(mut report) = report {
            self.complete(&mut report);
            out.push(report);
        }
    }

    fn complete(&mut self, entry: &mut Entry) {
        if let Some(facts) = entry.queue_id.as_deref().and_then(|id| self.known.get(id)) {
            facts.complete(entry);
        }
    }
}

/// `[1234] `, where the log has process ids.
fn without_pid(text: &str) -> &str {
    match text.strip_prefix('[').and_then(|it| it.split_once("] ")) {
        Some((pid, rest)) if !pid.is_empty() && pid.bytes().all(|it| it.is_ascii_digit()) => rest,
        _ => text,
    }
}

/// `1r5abc-0003Xy-2B`, and since 4.97 `1r5abc-00000003XyZ-2Bcd`.
fn is_id(word: &str) -> bool {
    let octets = word.as_bytes();
    let dashes = match octets.len() {
        16 => [6, 13],
        23 => [6, 18],
        _ => return false,
    };
    octets.iter().enumerate().all(|(at, octet)| if dashes.contains(&at) { *octet == b'-' } else { octet.is_ascii_alphanumeric() })
}

/// The value of a field at a word's beginning, up to the next blank.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let at = position(text, name)?;
    text.get(at..)?.split(' ').next().map(|it| it.trim_end_matches(':'))
}

/// The sender at the beginning, up to a blank outside of its quotes, and what follows.
fn sender_and_rest(fields: &str) -> (&str, &str) {
    let is_address = |at: &usize| fields.get(..*at).is_some_and(|it| it.rsplit('"').next().is_some_and(|end| end.contains('@')));
    let end = said::unquoted(fields, " ").next().filter(is_address).or_else(|| fields.find(' ')).unwrap_or(fields.len());
    let (sender, rest) = fields.split_at(end);
    (sender, rest.trim_start())
}

/// What stands up to a `>` outside of quotes, and what follows.
fn up_to_bracket(text: &str) -> Option<(&str, &str)> {
    let end = said::unquoted(text, ">").next().or_else(|| text.find('>'))?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// `F=<a@from.example>`: a local part in quotes may hold blanks and brackets.
fn sender(text: &str) -> Option<String> {
    up_to_bracket(text.get(position(text, "F=<")?..)?).map(|(sender, _)| sender.to_owned())
}

/// Where the value of a field begins; what stands in quotes is no field.
fn position(text: &str, name: &str) -> Option<usize> {
    let is_first = |at: usize| at.checked_sub(1).is_none_or(|before| text.as_bytes().get(before) == Some(&b' '));
    said::unquoted(text, name).find(|at| is_first(*at)).map(|at| at + name.len())
}

/// A quoted value, without its escapes: Exim writes octets that aren't printable ASCII as `\303\274`.
fn quoted(text: &str, name: &str) -> Option<String> {
    let rest = text.get(position(text, &format!("{name}\""))?..)?;
    let (mut value, mut octets) = (Vec::new(), rest.as_bytes().iter());
    loop {
        match *octets.next()? {
            b'"' => return Some(lossy(&value).into_owned()),
            b'\\' => {
                let octal = octets.as_slice().get(..3).and_then(octet_of);
                if let Some(octet) = octal {
                    octets.nth(2);
                    value.push(octet);
                    continue;
                }
                value.push(match *octets.next()? {
                    b'n' => b'\n',
                    b't' => b'\t',
                    other => other,
                });
            }
            other => value.push(other),
        }
    }
}

/// Three octal digits.
fn octet_of(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0_u16, |sum, digit| matches!(digit, b'0'..=b'7').then(|| sum * 8 + u16::from(digit - b'0')))?.try_into().ok()
}

/// `H=client.example (helo) [192.0.2.1]:4567`.
fn host_field(text: &str) -> Option<said::Host> {
    host_and_rest(text).map(|(host, _)| host)
}

/// The host of [`host_field`], and what stands behind its address. What the client called itself is skipped as a whole: `([192.0.2.66])` is
/// a word of its own choice.
fn host_and_rest(text: &str) -> Option<(said::Host, &str)> {
    let value = text.get(position(text, "H=")?..)?;
    let (name, rest) = value.split_at(value.find(['(', '[', ' '])?);
    let rest = rest.trim_start();
    let address = match rest.strip_prefix('(') {
        Some(helo) => helo.split_once(") [")?.1,
        None => rest.strip_prefix('[')?,
    };
    let end = address.find([' ', ',']).unwrap_or(address.len());
    let end = address.get(..end)?.trim_end_matches(':').len();
    let (address, rest) = address.split_at(end);
    Some((said::host(&format!("{name}[{address}")), rest))
}

/// `bob <bob@to.example> F=<a@from.example> R=dnslookup T=remote_smtp H=mx.example [192.0.2.1] C="250 OK id=…" QT=1s DT=0s`
fn went(entry: &mut Entry, fields: &str) {
    let rest = addresses(entry, fields);
    let transport = field(rest, "T=").unwrap_or_default();
    entry.delay_us = field(rest, "QT=").and_then(said::duration_us);
    entry.reverse_path = sender(rest);
    let relay = host_field(rest);
    let told = quoted(rest, "C=");
    entry.reply = told.as_deref().and_then(said::reply);
    if entry.recipient.as_deref().is_some_and(|it| it.starts_with(":blackhole:")) {
        entry.recipient = entry.original_recipient.take();
        entry.event = LogEvent::Discarded;
        return;
    }
    let is_mailbox = relay.is_none() || transport.contains("lmtp");
    (entry.event, entry.fate) = if is_mailbox { (LogEvent::Delivered, Some(said::DELIVERED)) } else { (LogEvent::Sent, Some(said::SENT)) };
    if is_mailbox {
        let file = entry.recipient.take_if(|it| it.starts_with(['/', '|', '>']));
        // A user of this system, and the address that stands for him.
        let is_user = entry.recipient.as_deref().is_none_or(|it| !it.contains('@'));
        if is_user && let Some(address) = entry.original_recipient.take_if(|it| it.contains('@')) {
            entry.recipient = Some(address);
        }
        entry.detail = file.or_else(|| some(transport).map(|it| format!("transport {it}")));
    }
    if let Some(relay) = relay {
        (entry.relay_host, entry.relay_ip, entry.relay_port) = (relay.name, relay.ip, relay.port);
    }
    entry.next_queue_id = entry.reply.as_ref().and_then(|reply| upstream_queue_id(reply.code, &reply.lines)).map(|it| it.id);
}

/// `bob@to.example R=… T=… defer (-44) H=mx.example [192.0.2.1]: SMTP error from remote mail server after RCPT TO:<…>: 451 …`
fn stayed(entry: &mut Entry, is_for_good: bool, fields: &str) {
    let rest = addresses(entry, fields);
    let (head, told) = match rest.strip_prefix(": ").map(|told| ("", told)) {
        Some(both) => both,
        None => rest.split_once(": ").unwrap_or((rest, "")),
    };
    if let Some(relay) = host_field(head) {
        (entry.relay_host, entry.relay_ip, entry.relay_port) = (relay.name, relay.ip, relay.port);
    }
    entry.reverse_path = sender(head);
    // "defer (111): Connection refused" keeps what it stands for.
    let told = if told.is_empty() { head.split_once("defer ").map_or("", |(_, it)| it) } else { told };
    entry.detail = some(told);
    entry.reply = quoted_reply(told);
    let is_expired = is_for_good && (told.contains("retry timeout exceeded") || told.contains("message has been in queue too long"));
    entry.event = match (is_expired, is_for_good) {
        (true, _) => LogEvent::Expired,
        (_, true) => LogEvent::Bounced,
        _ => LogEvent::Deferred,
    };
    let state = if is_for_good { State::Rejected } else { State::Deferred };
    entry.fate = Some(said::failed(state, entry.reply.is_some(), told));
}

/// The addresses at the beginning: the final one, and in brackets the one that it came from. Gives what follows.
fn addresses<'a>(entry: &mut Entry, fields: &'a str) -> &'a str {
    // "|/usr/bin/program with arguments <bob@to.example> R=…"; where no router or transport is known, Exim says at what it was instead.
    const ENDS: &[&str] = &[" R=", " T=", " F=<", " P=<", " H=", " <", " routing defer (", " transporting defer (", " defer (", ": "];
    let ends = || ENDS.iter().filter(|it| **it != ": " || !fields.starts_with(':'));
    let unquoted = ends().filter_map(|it| said::unquoted(fields, it).next()).min();
    let end = unquoted.or_else(|| ends().filter_map(|it| fields.find(it)).min()).unwrap_or(fields.len());
    let (address, rest) = fields.split_at(end);
    let address = if address.starts_with(':') { address } else { address.trim_end_matches(':') };
    entry.recipient = some(bare(address));
    if let Some((original, behind)) = rest.strip_prefix(" <").and_then(up_to_bracket) {
        entry.original_recipient = Some(original.to_owned()).filter(|it| entry.recipient.as_deref() != Some(it));
        return if behind.starts_with(": ") { behind } else { behind.trim_start() };
    }
    if rest.starts_with(": ") { rest } else { rest.trim_start() }
}

/// The first reply that a text quotes behind a colon.
fn quoted_reply(text: &str) -> Option<Reply> {
    said::reply(text).or_else(|| text.match_indices(": ").find_map(|(at, _)| said::reply(text.get(at + 2..)?)))
}

/// `H=client.example (helo) [192.0.2.1] F=<a@from.example> rejected RCPT <b@to.example>: relay not permitted`.
fn refusal(mut entry: Entry, text: &str, out: &mut Vec<Entry>) -> Verdict {
    let no_mail = if entry.queue_id.is_some() { Verdict::Read } else { Verdict::Foreign };
    let Some((client, rest)) = host_and_rest(text) else { return no_mail };
    let Some(at) = said::unquoted(rest, "rejected ").next() else { return no_mail };
    let (head, behind) = (rest.get(..at).unwrap_or_default(), rest.get(at + "rejected ".len()..).unwrap_or_default());
    // `H=mx.example [192.0.2.1]: SMTP error from remote mail server …: 550 rejected …`, `H=… [192.0.2.1] Warning: …`: another one's words.
    if said::unquoted(head, ": ").next().is_some() {
        return no_mail;
    }
    let is_for_now = head.ends_with("temporarily ");
    (entry.client_host, entry.client_ip) = (client.name, client.ip);
    entry.reverse_path = sender(head);
    let colon = said::unquoted(behind, ": ").next().or_else(|| behind.find(": "));
    let (what, told) = colon.map_or((behind, ""), |at| (behind.get(..at).unwrap_or_default(), behind.get(at + 2..).unwrap_or_default()));
    let what = what.strip_prefix("after ").unwrap_or(what);
    let command = what.split([' ', ':', ',']).next().unwrap_or_default();
    let stage = match command {
        "connection" => Stage::Connect,
        "DATA" if behind.starts_with("after") => Stage::EndOfData,
        // "by local_scan()", "during MIME ACL checks", "DKIM": the message is there.
        _ => said::stage_of(command).unwrap_or(Stage::EndOfData),
    };
    let address = what.split_once('<').and_then(|(_, it)| up_to_bracket(it)).map(|(it, _)| it.to_owned());
    match stage {
        Stage::RcptTo => entry.recipient = address,
        Stage::MailFrom => entry.reverse_path = address.or(entry.reverse_path),
        _ => {}
    }
    entry.event = LogEvent::Rejected;
    entry.detail = some(if told.is_empty() { behind } else { told });
    entry.reply = said::reply(told);
    let mut fate = said::refused(entry.reply.as_ref(), stage);
    if is_for_now {
        fate.state = State::Deferred;
    }
    entry.fate = Some(fate);
    out.push(entry);
    Verdict::Read
}
