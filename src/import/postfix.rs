//! Postfix: the daemons' lines, tied together by queue id.
//!
//! Forms as in Postfix 2.x to 3.x: `msg_info` calls of smtpd, cleanup, qmgr, the delivery agents, bounce, postscreen, postsuper.

use super::entry::{Entry, Fate, LogEvent};
use super::envelope::{self, Envelope};
use super::facts::{Facts, Verdict, some};
use super::known::Known;
use super::said::{self, bare};
use super::syslog::Message;
use crate::message::upstream_queue_id;
use crate::trace::{Actor, Reply, Stage, State};

/// Daemons and commands of Postfix that speak of mail, as the last part of the program's name.
const DAEMONS: &[&str] = &[
    "smtpd",
    "smtp",
    "lmtp",
    "qmgr",
    "nqmgr",
    "oqmgr",
    "cleanup",
    "local",
    "virtual",
    "pipe",
    "bounce",
    "error",
    "retry",
    "discard",
    "relay",
    "pickup",
    "postscreen",
    "postsuper",
    "qmqpd",
    "sendmail",
    "postdrop",
    "verify",
    "trivial-rewrite",
    "flush",
    "proxymap",
];
/// Daemons whose name may be another's: only below a name of Postfix's own.
const COMMON: &[&str] = &["sendmail", "error", "local", "virtual", "relay", "flush", "discard", "retry", "pipe", "verify"];

#[derive(Debug, Default)]
pub struct Postfix {
    known: Known<Facts>,
    /// The queue id with its host and instance: several may write to one log.
    key: String,
    /// Names under which smtpd takes mail in.
    doors: Vec<String>,
}

/// Such names that are told apart.
const MOST_DOORS: usize = 16;

impl Postfix {
    pub fn forgotten(&self) -> u64 {
        self.known.forgotten()
    }

    pub fn read(&mut self, message: &Message<'_>, out: &mut Vec<Entry>) -> Verdict {
        let (instance, daemon) = message.program.rsplit_once('/').unwrap_or(("", &message.program));
        let is_ours = DAEMONS.contains(&daemon) && (instance.contains("postfix") || (!instance.is_empty() && !COMMON.contains(&daemon)));
        if !is_ours {
            return Verdict::Foreign;
        }
        let text = &*message.text;
        // A filter before the queue has refused: smtpd tells it without an id.
        if text.starts_with("proxy-reject: ") {
            return refusal(message, None, text, None, out);
        }
        let Some((id, rest)) = text.split_once(": ").filter(|(id, _)| is_queue_id(id)) else { return Verdict::Foreign };
        if id == "NOQUEUE" {
            return refusal(message, None, rest, None, out);
        }
        let instance = instance.split('/').next().unwrap_or_default();
        self.key = key(message, instance, id);
        if daemon == "smtpd" && self.doors.len() < MOST_DOORS && !self.doors.iter().any(|it| it == instance) {
            self.doors.push(instance.to_owned());
        }
        self.take_over(message, instance, id);
        self.of_message(message, daemon, id, rest, out)
    }

    /// A service with a name of its own (`-o syslog_name=postfix-submission`) takes mail in for the instance whose name its own begins
    /// with; cleanup and qmgr go on under that one's. An instance that is run by itself has a qmgr, which has spoken of its sender.
    fn take_over(&mut self, message: &Message<'_>, instance: &str, id: &str) {
        let is_door_of = |it: &&String| it.strip_prefix(instance).is_some_and(|rest| rest.starts_with(['-', '_']));
        if !self.doors.iter().any(|it| is_door_of(&it)) || self.known.get(&self.key).is_some() {
            return;
        }
        for door in self.doors.iter().filter(is_door_of) {
            let door = key(message, door, id);
            if self.known.get(&door).is_some_and(|it| it.came.is_some() && it.reverse_path.is_none())
                && let Some(facts) = self.known.take(&door)
            {
                *self.known.of(&self.key, message.at) = facts;
                return;
            }
        }
    }

    fn of_message(&mut self, message: &Message<'_>, daemon: &str, id: &str, rest: &str, out: &mut Vec<Entry>) -> Verdict {
        if rest.starts_with("to=<") {
            return self.delivery(message, daemon, id, rest, out);
        }
        if let Some(client) = rest.strip_prefix("client=") {
            let facts = self.known.of(&self.key, message.at);
            // Behind a content filter the client proper is told by XFORWARD.
            let client = rest.split_once("orig_client=").map_or(client, |(_, original)| original);
            facts.client(said::host(client.split(", ").next().unwrap_or_default()));
            facts.came = Some(LogEvent::Received);
            return Verdict::Read;
        }
        if let Some(name) = rest.strip_prefix("message-id=").or_else(|| rest.strip_prefix("resent-message-id=")) {
            self.known.of(&self.key, message.at).message_id = some(bare(name));
            return Verdict::Read;
        }
        if rest.starts_with("uid=") {
            self.known.of(&self.key, message.at).came = Some(LogEvent::Submitted);
            return Verdict::Read;
        }
        if let Some(behind) = rest.strip_prefix("from=<") {
            return self.queue(message, id, behind, out);
        }
        if rest == "removed" {
            let by_hand = daemon == "postsuper";
            let mut entry = of(message, if by_hand { LogEvent::Discarded } else { LogEvent::Removed }, id);
            entry.detail = by_hand.then(|| "deleted from the queue by postsuper".to_owned());
            if let Some(facts) = self.known.take(&self.key) {
                facts.complete(&mut entry);
            }
            out.push(entry);
            return Verdict::Read;
        }
        if let Some((what, report)) = rest.split_once(" notification: ") {
            let mut entry = of(message, LogEvent::ReportSent, id);
            (entry.next_queue_id, entry.detail) = (some(report), Some(format!("{what} notification")));
            self.complete(&mut entry);
            out.push(entry);
            return Verdict::Read;
        }
        if matches!(rest, "placed on hold" | "released from hold") {
            let event = if rest == "placed on hold" { LogEvent::Quarantined } else { LogEvent::Queued };
            let mut entry = of(message, event, id);
            entry.detail = some(rest);
            self.complete(&mut entry);
            out.push(entry);
            return Verdict::Read;
        }
        if let Some(subject) = subject(rest) {
            self.known.of(&self.key, message.at).subject = said::subject(subject);
            return Verdict::Read;
        }
        let facts = self.known.get(&self.key);
        refusal(message, Some(id), rest, facts.map(|it| &*it), out)
    }

    /// qmgr: `from=<a@from.example>, size=1234, nrcpt=1 (queue active)`, at each attempt; or `from=<…>, status=expired, returned to sender`.
    fn queue(&mut self, message: &Message<'_>, id: &str, behind: &str, out: &mut Vec<Entry>) -> Verdict {
        let Some((from, rest)) = address(behind, &["size=", "status="]) else {
            return Verdict::Unreadable("a line of qmgr without its end");
        };
        let facts = self.known.of(&self.key, message.at);
        facts.reverse_path = Some(from.to_owned());
        if let Some(status) = rest.strip_prefix("status=") {
            let mut entry = of(message, LogEvent::Expired, id);
            entry.fate = Some(Fate { state: State::Rejected, stage: Stage::AfterAcceptance, by: Actor::Recipient });
            entry.detail = some(status);
            facts.complete(&mut entry);
            out.push(entry);
            return Verdict::Read;
        }
        facts.size = rest.strip_prefix("size=").and_then(|it| it.split(',').next()?.parse().ok());
        if !facts.is_announced {
            facts.is_announced = true;
            let mut entry = of(message, facts.came.unwrap_or(LogEvent::Queued), id);
            facts.complete(&mut entry);
            out.push(entry);
        }
        Verdict::Read
    }

    /// `to=<…>, orig_to=<…>, relay=host[address]:port, conn_use=2, delay=1.2, delays=0.1/0/0.5/0.6, dsn=2.0.0, status=sent (…)`.
    fn delivery(&mut self, message: &Message<'_>, daemon: &str, id: &str, text: &str, out: &mut Vec<Entry>) -> Verdict {
        const NO_END: Verdict = Verdict::Unreadable("a delivery without its status");
        let Some((to, mut rest)) = text.strip_prefix("to=<").and_then(|it| address(it, &["orig_to=<", "relay="])) else { return NO_END };
        let mut entry = of(message, LogEvent::Sent, id);
        entry.recipient = Some(to.to_owned());
        if let Some((original, behind)) = rest.strip_prefix("orig_to=<").and_then(|it| address(it, &["relay="])) {
            (entry.original_recipient, rest) = (Some(original.to_owned()), behind);
        }
        let Some((fields, status)) = rest.split_once(", status=") else { return NO_END };
        for field in fields.split(", ") {
            match field.split_once('=') {
                Some(("relay", host)) => {
                    let host = said::host(host);
                    (entry.relay_host, entry.relay_ip, entry.relay_port) = (host.name, host.ip, host.port);
                }
                Some(("delay", delay)) => entry.delay_us = said::duration_us(delay),
                _ => {}
            }
        }
        let (status, told) = status.split_once(' ').unwrap_or((status, ""));
        let told = told.strip_prefix('(').map_or(told, |it| it.strip_suffix(')').unwrap_or(it));
        let has_reply = said_by_host(told, &mut entry);
        entry.detail = some(told).filter(|_| entry.reply.is_none() || has_reply);
        match status {
            "sent" => accepted(&mut entry, daemon, told),
            // With `soft_bounce = yes` a final refusal leaves it in the queue.
            "deferred" | "SOFTBOUNCE" => {
                entry.event = LogEvent::Deferred;
                entry.fate = Some(said::failed(State::Deferred, has_reply, told));
            }
            "bounced" | "expired" => {
                entry.event = if status == "bounced" { LogEvent::Bounced } else { LogEvent::Expired };
                entry.fate = Some(said::failed(State::Rejected, has_reply, told));
            }
            // An address is being tried, without a message.
            "undeliverable" => {
                entry.event = LogEvent::Rejected;
                entry.fate = Some(said::failed(State::Rejected, has_reply, told));
            }
            "deliverable" => return Verdict::Read,
            _ => return Verdict::Unreadable("a delivery of unknown status"),
        }
        self.complete(&mut entry);
        out.push(entry);
        Verdict::Read
    }

    fn complete(&mut self, entry: &mut Entry) {
        if let Some(facts) = self.known.get(&self.key) {
            facts.complete(entry);
        }
    }
}

fn key(message: &Message<'_>, instance: &str, id: &str) -> String {
    [message.host.as_deref().unwrap_or_default(), "/", instance, "/", id].concat()
}

fn of(message: &Message<'_>, event: LogEvent, id: &str) -> Entry {
    Entry { queue_id: Some(id.to_owned()), ..Entry::new(message.at, message.host.as_deref(), event) }
}

/// Short ids are of hexadecimal digits, long ones of digits and consonants.
fn is_queue_id(id: &str) -> bool {
    let hexadecimal = id.len() >= 5 && id.bytes().all(|it| matches!(it, b'0'..=b'9' | b'A'..=b'F'));
    let long = id.len() >= 10 && id.bytes().all(|it| it.is_ascii_alphanumeric() && !b"aeiouAEIOU".contains(&it)) && id.contains('z');
    id.len() <= 40 && (id == "NOQUEUE" || hexadecimal || long)
}

fn accepted(entry: &mut Entry, daemon: &str, told: &str) {
    if let Some(next) = told.strip_prefix("forwarded as ") {
        (entry.event, entry.next_queue_id) = (LogEvent::Redirected, some(next));
        return;
    }
    if let Some(reply) = &entry.reply {
        entry.next_queue_id = upstream_queue_id(reply.code, &reply.lines).map(|it| it.id);
    }
    // amavis' words where its policy is to throw mail away: its own number is no queue's.
    if daemon != "local" && is_thrown_away(entry.reply.as_ref()) {
        (entry.event, entry.next_queue_id) = (LogEvent::Discarded, None);
        return;
    }
    (entry.event, entry.fate) = match daemon {
        "smtp" | "relay" => (LogEvent::Sent, Some(said::SENT)),
        // A content filter: another queue has it, not a mailbox.
        "lmtp" if told.contains("queued as ") => (LogEvent::Sent, Some(said::SENT)),
        "discard" => (LogEvent::Discarded, None),
        _ => (LogEvent::Delivered, Some(said::DELIVERED)),
    };
}

/// `250 2.7.0 Ok, discarded, id=12345-02 - SPAM`: taken, and not to be delivered.
fn is_thrown_away(reply: Option<&Reply>) -> bool {
    reply.and_then(|reply| reply.lines.first()).is_some_and(|line| {
        let text = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == ' ').to_ascii_lowercase();
        text.starts_with("ok, discarded") || text.starts_with("ok discarded")
    })
}

/// The reply in `250 …`, `host mx.example[192.0.2.1] said: 550 … (in reply to RCPT TO command)` or `host … refused to talk to me: 421 …`;
/// whether another server said it in refusal.
fn said_by_host(told: &str, entry: &mut Entry) -> bool {
    if let Some(reply) = said::reply(told) {
        entry.reply = Some(reply);
        return false;
    }
    let Some((host, quoted)) = ["said: ", "refused to talk to me: "].iter().find_map(|words| told.split_once(words)) else { return false };
    let quoted = quoted.rfind(" (in reply to ").and_then(|at| quoted.get(..at)).unwrap_or(quoted);
    entry.reply = said::reply(quoted);
    if let Some(host) = host.trim_end().strip_prefix("host ").filter(|_| entry.relay_ip.is_none()) {
        let host = said::host(host);
        (entry.relay_host, entry.relay_ip) = (host.name, host.ip);
    }
    entry.reply.is_some()
}

/// cleanup, with a header check that logs subjects: `info: header Subject: … from client[address]; from=<…> …`.
fn subject(rest: &str) -> Option<&str> {
    let text = ["info: header Subject: ", "warning: header Subject: "].iter().find_map(|start| rest.strip_prefix(start))?;
    let text = envelope::behind_content(text).and_then(|at| text.get(..at)).unwrap_or(text);
    Some(text.rfind(" from ").and_then(|at| text.get(..at)).unwrap_or(text))
}

/// What a line of a refusal is made of.
struct Refused<'a> {
    /// The command, or `header Subject: …`.
    place: &'a str,
    client: &'a str,
    told: &'a str,
    envelope: &'a str,
}

impl<'a> Refused<'a> {
    /// `RCPT from host[address]: 554 5.7.1 …; from=<…> to=<…> proto=ESMTP helo=<…>`, of smtpd, postscreen and milters.
    fn of_command(text: &'a str) -> Option<Self> {
        let (place, behind) = text.split_once(" from ")?;
        let (client, told) = client_and_told(behind)?;
        Some(Self { client, ..Self::of_reply(place, told) })
    }

    /// `END-OF-MESSAGE: 554 5.7.0 Reject, id=31619-02 - spam; from=<…> to=<…> proto=ESMTP helo=<…>`, of a filter before the queue; some
    /// versions name the client as above.
    fn of_filter(text: &'a str) -> Option<Self> {
        if let Some(refused) = Self::of_command(text).filter(|it| !it.place.contains(": ")) {
            return Some(refused);
        }
        text.split_once(": ").map(|(place, told)| Self::of_reply(place, told))
    }

    fn of_reply(place: &'a str, told: &'a str) -> Self {
        let envelope = envelope::behind_reply(told).or_else(|| told.rfind("; proto="));
        let (told, envelope) = envelope.map_or((told, ""), |at| told.split_at(at));
        Self { place, client: "", told, envelope }
    }

    /// `header Subject: … from host[address]; from=<…> to=<…> proto=ESMTP helo=<…>: 5.7.1 …`, of cleanup's header and body checks: what is
    /// told comes last, or not at all. Whatever the sender wrote stands in front.
    fn of_content(text: &'a str) -> Option<Self> {
        let (head, behind) = text.split_at(envelope::behind_content(text).or_else(|| text.rfind("; proto="))?);
        let (place, client) = head.rsplit_once(" from ")?;
        // What the envelope's addresses hold ends nothing.
        let end = Envelope::of(behind).map_or(0, |it| it.end);
        let colon = behind.get(end..).and_then(|it| it.find(": ")).map(|at| end + at);
        let (envelope, told) =
            colon.map_or((behind, ""), |at| (behind.get(..at).unwrap_or_default(), behind.get(at + 2..).unwrap_or_default()));
        Some(Self { place, client, told, envelope })
    }
}

/// What postscreen logs where it says 421, without the reply.
const BUSY: &[&str] = &["too many connections", "all screening ports busy", "all server ports busy"];

/// The refusals of all daemons: `reject: …`, `milter-reject: …`, `hold: …`.
fn refusal(message: &Message<'_>, id: Option<&str>, rest: &str, facts: Option<&Facts>, out: &mut Vec<Entry>) -> Verdict {
    let Some((action, behind)) = rest.split_once(": ") else { return Verdict::Read };
    let event = match action {
        "reject" | "milter-reject" | "proxy-reject" => LogEvent::Rejected,
        "discard" | "milter-discard" => LogEvent::Discarded,
        "hold" | "milter-hold" | "quarantine" | "milter-quarantine" => LogEvent::Quarantined,
        "redirect" => LogEvent::Redirected,
        _ => return Verdict::Read,
    };
    let is_content = ["header ", "body ", "content "].iter().any(|class| behind.starts_with(class));
    let refused = match action {
        "proxy-reject" => Refused::of_filter(behind),
        _ if is_content => Refused::of_content(behind),
        _ => Refused::of_command(behind),
    };
    let Some(Refused { place, client, told, envelope }) = refused else { return Verdict::Read };
    let is_busy = BUSY.contains(&told) && message.program.ends_with("/postscreen");
    let mut entry = Entry { queue_id: id.map(str::to_owned), ..Entry::new(message.at, message.host.as_deref(), event) };
    // What was handed in on this machine is of no client.
    let client = said::host(if client == "local" { "" } else { client });
    (entry.client_host, entry.client_ip) = (client.name, client.ip);
    entry.subject = place.strip_prefix("header Subject: ").and_then(said::subject);
    (entry.reverse_path, entry.recipient) = addresses(envelope);
    entry.reply = said::reply(told);
    entry.detail = some(told).filter(|_| entry.reply.is_none());
    if event == LogEvent::Rejected {
        let stage = said::stage_of(place.split(' ').next().unwrap_or_default()).unwrap_or(Stage::EndOfData);
        let mut fate = said::refused(entry.reply.as_ref(), stage);
        if is_busy || (entry.reply.is_none() && said::enhanced(told).is_some_and(|it| it.0 == 4)) {
            fate.state = State::Deferred;
        }
        entry.fate = Some(fate);
    }
    if let Some(facts) = facts {
        facts.complete(&mut entry);
    }
    out.push(entry);
    Verdict::Read
}

/// `host[192.0.2.1]: 550 …`; postscreen adds the port: `[192.0.2.1]:34567: 550 …`.
fn client_and_told(text: &str) -> Option<(&str, &str)> {
    let bracket = text.find(']')?;
    let colon = bracket + text.get(bracket..)?.find(": ")?;
    Some((text.get(..colon)?, text.get(colon + 2..)?))
}

/// Sender and recipient of `; from=<…> to=<…> proto=ESMTP helo=<…>`. All but the words between is the client's: a local part in quotes may
/// hold `> to=<ceo@to.example>`, and its HELO too.
fn addresses(envelope: &str) -> (Option<String>, Option<String>) {
    if let Some(Envelope { from, to, .. }) = Envelope::of(envelope) {
        return (Some(from.to_owned()), to.map(str::to_owned));
    }
    let end = said::unquoted(envelope, " proto=").next().or_else(|| envelope.find(" proto="));
    let addresses = end.and_then(|end| envelope.get(..end)).unwrap_or(envelope);
    let to = addresses.rfind(" to=<");
    let (from, to) = to.map_or((addresses, ""), |at| addresses.split_at(at));
    (between(from, "from=<"), between(to, "to=<"))
}

/// What stands behind the words, up to the last `>`.
fn between(text: &str, start: &str) -> Option<String> {
    let (_, behind) = text.split_once(start)?;
    behind.rsplit_once('>').map(|(value, _)| value.to_owned())
}

/// An address up to `>, ` and one of these words: the first such place, outside of quotes if there is one.
fn address<'a>(text: &'a str, words: &[&str]) -> Option<(&'a str, &'a str)> {
    let is_end = |at: &usize| text.get(at + 3..).is_some_and(|rest| words.iter().any(|word| rest.starts_with(word)));
    let at = said::unquoted(text, ">, ").find(is_end).or_else(|| text.match_indices(">, ").map(|(at, _)| at).find(is_end))?;
    Some((text.get(..at)?, text.get(at + 3..)?))
}
