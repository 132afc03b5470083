//! Apache James: the lines of its SMTP server, local delivery and RemoteDelivery, from log4j, logback or as JSON.
//!
//! Messages as in the sources of James 2.3 to 3.9 (SendMailHandler, LocalDelivery, RemoteDelivery). Success of RemoteDelivery is logged at INFO
//! since 3.8; before, at DEBUG.

use serde::Deserialize;

use super::entry::{Entry, LogEvent};
use super::facts::{Facts, Verdict, some};
use super::known::Known;
use super::moment::Clock;
use super::said::{self, bare};
use crate::trace::{State, WallMicros};

/// Recipients of one line.
const RECIPIENTS: usize = 1_000;
/// How lines of a stack trace begin.
const TRACES: &[&str] = &["\t", " ", "at ", "Caused by", "Suppressed:", "java", "jakarta", "org.", "com.", "... ", "nested exception"];

#[derive(Debug, Default)]
pub struct James {
    /// By the name of the mail.
    known: Known<Facts>,
}

/// A line of a JSON layout: logstash's or logback's.
#[derive(Debug, Deserialize)]
struct Json {
    #[serde(alias = "@timestamp")]
    timestamp: String,
    message: String,
}

impl James {
    pub fn forgotten(&self) -> u64 {
        self.known.forgotten()
    }

    pub fn read(&mut self, text: &str, clock: &mut Clock, out: &mut Vec<Entry>) -> Verdict {
        if text.starts_with('{') {
            let Ok(line) = serde_json::from_str::<Json>(text) else { return Verdict::Unreadable("no JSON with timestamp and message") };
            return match clock.iso(&line.timestamp) {
                Some((at, _)) => self.told(at, &line.message, out),
                None => Verdict::Unreadable("no time in its timestamp"),
            };
        }
        let plain = without_colours(text);
        let text = plain.as_deref().unwrap_or(text);
        if let Some((at, rest)) = clock.iso(text).or_else(|| clock.civil(text)) {
            return self.told(at, rest, out);
        }
        if TRACES.iter().any(|start| text.starts_with(start)) {
            return Verdict::Foreign;
        }
        if super::moment::time_of_day(text).is_some() {
            return Verdict::Unreadable("a time without its date: give the pattern in logback.xml a %d{yyyy-MM-dd HH:mm:ss.SSS}");
        }
        Verdict::Unreadable("no time at its beginning")
    }

    fn told(&mut self, at: WallMicros, text: &str, out: &mut Vec<Entry>) -> Verdict {
        let behind = |words: &str| text.find(words).and_then(|at| text.get(at + words.len()..));
        if let Some(rest) = behind("Successfully spooled mail ") {
            return self.came(Entry::new(at, None, LogEvent::Received), rest, out);
        }
        if let Some(rest) = behind("Local delivered mail ") {
            // James 2 writes "sucessfully".
            let Some((name, rest)) = rest.split_once(' ') else { return Verdict::Read };
            let Some((from, to)) = rest.split_once(" from ").and_then(|(_, it)| it.split_once(" to ")) else { return Verdict::Read };
            let mut entry = Entry { queue_id: some(name), fate: Some(said::DELIVERED), ..Entry::new(at, None, LogEvent::Delivered) };
            (entry.reverse_path, entry.recipient) = (Some(sender(from)), some(bare(to.split(' ').next().unwrap_or_default())));
            self.complete(&mut entry);
            out.push(entry);
            return Verdict::Read;
        }
        if let Some((name, rest)) =
            behind("Mail (").and_then(|it| it.split_once(')')).filter(|(_, it)| it.contains("sent successfully to "))
        {
            return self.sent(Entry { queue_id: some(name), ..Entry::new(at, None, LogEvent::Sent) }, rest, out);
        }
        for (words, event, state) in [
            ("Temporary exception delivering mail (", LogEvent::Deferred, State::Deferred),
            ("Permanent exception delivering mail (", LogEvent::Bounced, State::Rejected),
        ] {
            if let Some((name, why)) = behind(words).map(|it| it.split_once([')', '.', ':']).unwrap_or((it, ""))) {
                let mut entry = Entry { queue_id: some(name), ..Entry::new(at, None, event) };
                let why = why.trim_start_matches([')', '.', ':', ' ']).trim_end_matches([':', ' ']);
                // JavaMail quotes the reply behind its exceptions' names.
                entry.reply = said::reply(why).or_else(|| why.match_indices(": ").find_map(|(at, _)| said::reply(why.get(at + 2..)?)));
                entry.detail = some(why);
                entry.fate = Some(said::failed(state, entry.reply.is_some(), why));
                self.complete(&mut entry);
                out.push(entry);
                return Verdict::Read;
            }
        }
        if let Some((name, rest)) = behind("Bouncing message ").and_then(|it| it.split_once(' ')).filter(|(_, it)| it.starts_with("after "))
        {
            let mut entry = Entry { queue_id: some(name), detail: some(rest), ..Entry::new(at, None, LogEvent::Expired) };
            entry.fate = Some(said::failed(State::Rejected, false, rest));
            self.complete(&mut entry);
            out.push(entry);
            return Verdict::Read;
        }
        Verdict::Foreign
    }

    /// `Mail1 with messageId <…> from a@from.example on /192.0.2.1 for [b@to.example, c@to.example]`
    fn came(&mut self, mut entry: Entry, text: &str, out: &mut Vec<Entry>) -> Verdict {
        let Some((name, rest)) = text.split_once(' ') else { return Verdict::Unreadable("a spooled mail without its end") };
        let Some((head, rest)) = rest.split_once("from ") else { return Verdict::Unreadable("a spooled mail without its sender") };
        let (from, rest) = rest.split_once(" on ").unwrap_or((rest, ""));
        let (ip, recipients) = rest.split_once(" for ").unwrap_or((rest, ""));
        let facts = self.known.of(name, entry.at);
        facts.message_id = head.trim().strip_prefix("with messageId ").and_then(|it| some(bare(it)));
        facts.reverse_path = Some(sender(from));
        let (host, ip) = ip.rsplit_once('/').unwrap_or(("", ip));
        (facts.client_host, facts.client_ip) = (some(host), said::ip(ip));
        entry.queue_id = some(name);
        facts.complete(&mut entry);
        each(&entry, recipients, out);
        Verdict::Read
    }

    /// ` with messageId <…> sent successfully to mx.example at 192.0.2.1 from a@from.example for [b@to.example]`
    fn sent(&mut self, mut entry: Entry, text: &str, out: &mut Vec<Entry>) -> Verdict {
        entry.message_id = text.split_once("with messageId ").and_then(|(_, it)| some(bare(it.split(' ').next()?)));
        let Some((_, rest)) = text.split_once("sent successfully to ") else { return Verdict::Read };
        let (host, rest) = rest.split_once(" at ").unwrap_or((rest, ""));
        let (ip, rest) = rest.split_once(" from ").unwrap_or((rest, ""));
        let (from, recipients) = rest.split_once(" for ").unwrap_or((rest, ""));
        // "smtp://192.0.2.1:25"
        let ip = ip.rsplit_once("://").map_or(ip, |(_, it)| it);
        let ip = ip.rsplit_once(':').filter(|(head, _)| !head.contains(':')).map_or(ip, |(head, _)| head);
        (entry.relay_host, entry.relay_ip) = (some(host.trim_end_matches('.')), said::ip(ip));
        (entry.reverse_path, entry.fate) = (Some(sender(from)), Some(said::SENT));
        self.complete(&mut entry);
        each(&entry, recipients, out);
        Verdict::Read
    }

    fn complete(&mut self, entry: &mut Entry) {
        // What is retried is split: "Mail123-!7-to-to.example" came as Mail123.
        let Some(name) = entry.queue_id.as_deref() else { return };
        let first = name.split(['!']).next().unwrap_or_default().trim_end_matches('-');
        let known = if self.known.get(name).is_some() { name } else { first };
        if let Some(facts) = self.known.get(known) {
            facts.complete(entry);
        }
    }
}

/// One entry for each of `[b@to.example, c@to.example]`.
fn each(entry: &Entry, recipients: &str, out: &mut Vec<Entry>) {
    let list = recipients.split_once('[').map_or(recipients, |(_, it)| it.split(']').next().unwrap_or_default());
    let mut recipients = list.split(',').map(|it| bare(it.trim())).filter(|it| !it.is_empty()).take(RECIPIENTS).peekable();
    // What is too long is cut before it is copied.
    let mut entry = entry.clone();
    entry.bound();
    if recipients.peek().is_none() {
        out.push(entry.clone());
    }
    out.extend(recipients.map(|to| Entry { recipient: Some(to.to_owned()), ..entry.clone() }));
}

/// `MaybeSender{…}`, `<>` and `null` for the null sender.
fn sender(text: &str) -> String {
    let text = text.trim();
    let text = text.strip_prefix("MaybeSender{mailAddress=").and_then(|it| it.strip_suffix('}')).unwrap_or(text);
    let text = text.strip_prefix("Optional[").and_then(|it| it.strip_suffix(']')).unwrap_or(text);
    match bare(text) {
        "null" | "Optional.empty" => String::new(),
        plain => plain.to_owned(),
    }
}

/// Without the escape sequences with which logback colours a console; `None` if there are none.
fn without_colours(text: &str) -> Option<String> {
    if !text.contains('\u{1b}') {
        return None;
    }
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        let length = behind.bytes().take_while(|it| it.is_ascii_digit() || *it == b';').count();
        rest = behind.get(length + 1..).unwrap_or_default();
    }
    plain.push_str(rest);
    Some(plain)
}
