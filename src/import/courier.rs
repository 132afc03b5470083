//! Courier: courierd, its delivery modules, and the refusals of courieresmtpd.
//!
//! Of each recipient a module logs what was said, then `status: success`, `deferred` or `failure`.

use super::entry::{Entry, LogEvent};
use super::facts::{Facts, Verdict, some};
use super::known::Known;
use super::said::{self, bare};
use super::syslog::Message;
use crate::message::upstream_queue_id;
use crate::trace::{Reply, Stage, State};

/// Recipients of one message whose reply is remembered until their status comes.
const RECIPIENTS: usize = 100;

#[derive(Debug, Default)]
pub struct Courier {
    known: Known<Open>,
}

#[derive(Debug, Default)]
struct Open {
    facts: Facts,
    /// By recipient.
    said: Vec<(String, Said)>,
}

#[derive(Debug, Default)]
struct Said {
    reply: Option<Reply>,
    detail: Option<String>,
    relay: said::Host,
}

impl Courier {
    pub fn forgotten(&self) -> u64 {
        self.known.forgotten()
    }

    pub fn read(&mut self, message: &Message<'_>, out: &mut Vec<Entry>) -> Verdict {
        let text = &*message.text;
        match &*message.program {
            "courierd" => self.queue(message, text, out),
            "courieresmtpd" => refusal(message, text, out),
            module if module.starts_with("courier") && text.starts_with("id=") => self.delivery(message, module, text, out),
            _ => Verdict::Foreign,
        }
    }

    /// `newmsg,id=…: dns; helo (client.example [192.0.2.1])`, `started,id=…,from=<…>,module=esmtp,host=…,addr=<…>`, `completed,id=…`
    fn queue(&mut self, message: &Message<'_>, text: &str, out: &mut Vec<Entry>) -> Verdict {
        let Some(id) = value(text, "id=") else { return Verdict::Foreign };
        let mut entry = Entry { queue_id: some(id), ..Entry::new(message.at, message.host.as_deref(), LogEvent::Queued) };
        if let Some(rest) = text.strip_prefix("newmsg,") {
            let facts = &mut self.known.of(id, message.at).facts;
            let client = rest.split_once('(').map_or("", |(_, it)| it.trim_end_matches(')'));
            facts.client(said::host(client));
            entry.event = if facts.client_ip.is_some() { LogEvent::Received } else { LogEvent::Submitted };
            facts.complete(&mut entry);
            out.push(entry);
        } else if text.starts_with("started,") {
            let facts = &mut self.known.of(id, message.at).facts;
            facts.reverse_path = bracketed(text, "from=").or(facts.reverse_path.take());
        } else if text.starts_with("completed,") {
            entry.event = LogEvent::Removed;
            if let Some(open) = self.known.take(id) {
                open.facts.complete(&mut entry);
            }
            out.push(entry);
        }
        Verdict::Read
    }

    fn delivery(&mut self, message: &Message<'_>, module: &str, text: &str, out: &mut Vec<Entry>) -> Verdict {
        let (Some(id), Some(to)) = (value(text, "id="), bracketed(text, "addr=")) else { return Verdict::Read };
        let open = self.known.of(id, message.at);
        open.facts.reverse_path = bracketed(text, "from=").or(open.facts.reverse_path.take());
        let told = behind_address(text);
        let size = value(text, "size=").and_then(|it| it.split([',', ':']).next()?.parse().ok());
        open.facts.size = open.facts.size.or(size);
        let at = open.said.iter().position(|(known, _)| *known == to);
        if let Some((_, status)) = told.split_once("status: ") {
            let said = at.map(|at| open.said.swap_remove(at).1).unwrap_or_default();
            let mut entry =
                Entry { queue_id: some(id), recipient: Some(to), ..Entry::new(message.at, message.host.as_deref(), LogEvent::Sent) };
            ended(&mut entry, module, status, said);
            open.facts.complete(&mut entry);
            out.push(entry);
            return Verdict::Read;
        }
        let said = match at {
            Some(at) => open.said.get_mut(at).map(|(_, said)| said),
            None if open.said.len() < RECIPIENTS => {
                open.said.push((to, Said::default()));
                open.said.last_mut().map(|(_, said)| said)
            }
            None => None,
        };
        if let Some(said) = said {
            said.add(told);
        }
        Verdict::Read
    }
}

impl Said {
    /// `250 Ok: queued as …`, `success: delivered: mx.example [192.0.2.1]`, `Connection refused`, …
    fn add(&mut self, told: &str) {
        let told = told.trim();
        if let Some((_, host)) = told.split_once("delivered: ") {
            self.relay = said::host(host);
        } else if let Some(reply) = said::reply(told) {
            // A reply of several lines comes line by line.
            match &mut self.reply {
                Some(known) if known.code == reply.code => known.lines.extend(reply.lines),
                other => *other = Some(reply),
            }
        } else if !told.is_empty() {
            self.detail = Some(told.strip_prefix("success: ").unwrap_or(told).to_owned());
        }
    }
}

fn ended(entry: &mut Entry, module: &str, status: &str, said: Said) {
    let detail = said.detail.unwrap_or_default();
    (entry.relay_host, entry.relay_ip, entry.relay_port) = (said.relay.name, said.relay.ip, said.relay.port);
    entry.reply = said.reply;
    entry.detail = some(&detail);
    match status.trim() {
        "success" if module == "courieresmtp" => {
            entry.fate = Some(said::SENT);
            entry.next_queue_id = entry.reply.as_ref().and_then(|it| upstream_queue_id(it.code, &it.lines)).map(|it| it.id);
        }
        "success" => (entry.event, entry.fate) = (LogEvent::Delivered, Some(said::DELIVERED)),
        "failure" => {
            entry.event = LogEvent::Bounced;
            entry.fate = Some(said::failed(State::Rejected, entry.reply.is_some(), &detail));
        }
        _ => {
            entry.event = LogEvent::Deferred;
            entry.fate = Some(said::failed(State::Deferred, entry.reply.is_some(), &detail));
        }
    }
}

/// `error,relay=::ffff:192.0.2.1,from=<a@from.example>,to=<b@to.example>: 550 User unknown.`
fn refusal(message: &Message<'_>, text: &str, out: &mut Vec<Entry>) -> Verdict {
    let Some(rest) = text.strip_prefix("error,") else { return Verdict::Foreign };
    if !rest.contains("from=<") {
        return Verdict::Foreign;
    }
    let mut entry = Entry::new(message.at, message.host.as_deref(), LogEvent::Rejected);
    entry.client_ip = value(rest, "relay=").and_then(said::ip);
    (entry.reverse_path, entry.recipient) = (bracketed(rest, "from="), bracketed(rest, "to="));
    let told = rest.rfind(">: ").and_then(|at| rest.get(at + 3..)).unwrap_or_default();
    entry.reply = said::reply(told);
    entry.detail = some(told).filter(|_| entry.reply.is_none());
    let stage = if entry.recipient.is_some() { Stage::RcptTo } else { Stage::MailFrom };
    entry.fate = Some(said::refused(entry.reply.as_ref(), stage));
    out.push(entry);
    Verdict::Read
}

/// A field's value up to the next comma or colon with a blank.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let at = if text.starts_with(name) { 0 } else { text.find(&format!(",{name}"))? + 1 };
    let value = text.get(at + name.len()..)?;
    let value = value.split(',').next()?;
    Some(value.split(": ").next().unwrap_or(value)).filter(|it| !it.is_empty())
}

/// An address in angle brackets.
fn bracketed(text: &str, name: &str) -> Option<String> {
    let at = text.find(&format!("{name}<"))? + name.len();
    let value = text.get(at..)?;
    let end = value.find(">,").or_else(|| value.find(">:")).or_else(|| value.rfind('>'))?;
    Some(bare(value.get(..=end)?).to_owned())
}

/// What follows the recipient: `: 250 Ok`, `,size=329,success: …`, `,size=329,status: deferred`.
fn behind_address(text: &str) -> &str {
    let Some(at) = text.find("addr=<") else { return "" };
    let rest = text.get(at..).unwrap_or_default();
    let rest = rest.find(">:").or_else(|| rest.find(">,")).and_then(|at| rest.get(at + 2..)).unwrap_or_default();
    match rest.strip_prefix("size=").and_then(|it| it.split_once([',', ':'])) {
        Some((_, rest)) => rest.trim_start(),
        None => rest.trim_start(),
    }
}
