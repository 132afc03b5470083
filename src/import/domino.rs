//! Domino: the console log, or the text of log.nsf, as far as the SMTP server and the router speak of messages.
//!
//! `[1234:0005-0006] 11/26/2026 10:02:03 AM  Router: Message 00123456 delivered to …`. Times are written as the server's system writes them.

use super::entry::{Entry, LogEvent};
use super::facts::{Facts, Verdict, some};
use super::known::Known;
use super::moment::Clock;
use super::said::{self, bare};
use crate::trace::{Stage, State};

#[derive(Debug, Default)]
pub struct Domino {
    known: Known<Facts>,
}

impl Domino {
    pub fn forgotten(&self) -> u64 {
        self.known.forgotten()
    }

    pub fn read(&mut self, text: &str, clock: &mut Clock, out: &mut Vec<Entry>) -> Verdict {
        let text = without_thread(text.trim_start());
        let Some((at, rest)) = clock.civil(text) else {
            return Verdict::Unreadable("no date and time at its beginning");
        };
        let rest = rest.trim_start();
        if let Some(told) = rest.strip_prefix("SMTP Server: ") {
            return self.came(Entry::new(at, None, LogEvent::Received), told, out);
        }
        if let Some(told) = rest.strip_prefix("Router: ") {
            return self.went(Entry::new(at, None, LogEvent::Sent), told, out);
        }
        Verdict::Foreign
    }

    /// `Message 00123456 (MessageID: <…>) received from client.example (192.0.2.1) size 1234 bytes`
    fn came(&mut self, mut entry: Entry, told: &str, out: &mut Vec<Entry>) -> Verdict {
        if told.contains("rejected") {
            entry.event = LogEvent::Rejected;
            entry.recipient = address_behind(told, " to ");
            entry.reverse_path = address_behind(told, " from ");
            entry.client_ip = told.split([' ', '(', ')', ';', '[', ']']).find_map(said::ip);
            entry.detail = some(told);
            let stage = if entry.recipient.is_some() { Stage::RcptTo } else { Stage::MailFrom };
            entry.fate = Some(said::refused(None, stage));
            out.push(entry);
            return Verdict::Read;
        }
        let Some((id, rest)) = told.strip_prefix("Message ").and_then(|it| it.split_once(' ')).filter(|(id, _)| is_id(id)) else {
            return Verdict::Foreign;
        };
        let facts = self.known.of(id, entry.at);
        facts.message_id =
            rest.split_once("(MessageID: ").and_then(|(_, it)| it.split_once(") received")).and_then(|(it, _)| some(bare(it)));
        if let Some((client, size)) = rest.split_once("received from ").map(|(_, it)| it.split_once(" size ").unwrap_or((it, ""))) {
            facts.size = size.split(' ').next().and_then(|it| it.parse().ok());
            let client = client.replace('(', "[").replace(')', "]");
            facts.client(said::host(&client));
        }
        facts.came = Some(LogEvent::Received);
        entry.queue_id = Some(id.to_owned());
        facts.complete(&mut entry);
        out.push(entry);
        Verdict::Read
    }

    /// `Message 00123456 transferred to MX.EXAMPLE for b@to.example from a@from.example OF…:… ON…:… Size: 3K via SMTP`
    fn went(&mut self, mut entry: Entry, told: &str, out: &mut Vec<Entry>) -> Verdict {
        if let Some((host, why)) = told.strip_prefix("No messages transferred to ").and_then(|it| it.split_once(": ")) {
            entry.event = LogEvent::Deferred;
            let host = host.split(" via ").next().unwrap_or_default();
            entry.relay_host = some(host.split(" (host ").next().unwrap_or_default());
            entry.reply = said::reply(why);
            entry.detail = some(why);
            entry.fate = Some(said::failed(State::Deferred, entry.reply.is_some(), why));
            out.push(entry);
            return Verdict::Read;
        }
        let Some((id, rest)) = told.strip_prefix("Message ").and_then(|it| it.split_once(' ')) else { return Verdict::Foreign };
        // Copies have ids of their own: "00123456, 00123457 delivered to …".
        let id = id.trim_end_matches(',');
        let rest = rest.split_once(' ').filter(|(copy, _)| is_id(copy)).map_or(rest, |(_, rest)| rest);
        if !is_id(id) {
            return Verdict::Foreign;
        }
        entry.queue_id = Some(id.to_owned());
        if let Some(to) = rest.strip_prefix("delivered to ") {
            (entry.event, entry.fate) = (LogEvent::Delivered, Some(said::DELIVERED));
            parties(&mut entry, to);
        } else if let Some(to) = rest.strip_prefix("transferred to ") {
            let (relay, to) = to.split_once(" for ").unwrap_or((to, ""));
            entry.relay_host = some(relay.split(" via ").next().unwrap_or_default());
            (entry.event, entry.fate) = (LogEvent::Sent, Some(said::SENT));
            parties(&mut entry, to);
        } else if let Some((by, to)) = rest.strip_prefix("auto forwarded by ").and_then(|it| it.split_once(" to ")) {
            (entry.event, entry.original_recipient) = (LogEvent::Redirected, some(by));
            parties(&mut entry, to);
        } else if let Some(to) = rest.strip_prefix("forwarded to ") {
            entry.event = LogEvent::Redirected;
            parties(&mut entry, to);
        } else if rest.contains("not delivered") || rest.contains("not transferred") || rest.contains("failed") {
            entry.event = LogEvent::Deferred;
            entry.recipient = address_behind(rest, " to ");
            entry.reply = rest.match_indices(": ").find_map(|(at, _)| said::reply(rest.get(at + 2..)?));
            entry.detail = some(rest);
            entry.fate = Some(said::failed(State::Deferred, entry.reply.is_some(), rest));
        } else {
            return Verdict::Read;
        }
        if let Some(facts) = self.known.get(id) {
            facts.complete(&mut entry);
        }
        out.push(entry);
        Verdict::Read
    }
}

/// `b@to.example from a@from.example OF…:… ON…:… Size: 3K Time: 00:00:01`; names of Notes users have blanks.
fn parties(entry: &mut Entry, text: &str) {
    let (to, rest) = text.split_once(" from ").unwrap_or((text.split(" Size:").next().unwrap_or_default(), ""));
    entry.recipient = some(bare(to.split(" via ").next().unwrap_or_default()));
    let head = rest.split(" Size:").next().unwrap_or_default();
    // The document's ids stand behind the sender.
    let words: Vec<&str> = head.split(' ').take_while(|word| !(word.starts_with("OF") && word.contains(':'))).collect();
    entry.reverse_path = some(bare(&words.join(" ")));
    entry.size = rest.split_once("Size: ").and_then(|(_, it)| octets(it.split(' ').next()?));
}

/// `3K`, `1234`, `2M`.
fn octets(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let scale = match text.get(digits.len()..)?.chars().next() {
        Some('K') => 1_024,
        Some('M') => 1_024 * 1_024,
        _ => 1,
    };
    digits.parse::<u64>().ok()?.checked_mul(scale)
}

/// `[1234:0005-0006] ` or `[003DE0:00007-03B84] `.
fn without_thread(text: &str) -> &str {
    match text.strip_prefix('[').and_then(|it| it.split_once(']')) {
        Some((thread, rest)) if thread.contains(':') && thread.len() < 40 => rest.trim_start(),
        _ => text,
    }
}

fn is_id(word: &str) -> bool {
    let word = word.trim_end_matches(',');
    word.len() == 8 && word.bytes().all(|it| it.is_ascii_hexdigit())
}

/// The first address right behind these words.
fn address_behind(text: &str, words: &str) -> Option<String> {
    text.match_indices(words).find_map(|(at, _)| {
        let word = text.get(at + words.len()..)?.split([' ', ',', ';']).next()?;
        Some(bare(word.trim_end_matches(['.', ':'])).to_owned()).filter(|it| it.contains('@'))
    })
}
