//! What one line of another server's log says of a message.

use std::net::IpAddr;

use super::format::Format;
pub use crate::trace::LogEvent;
use crate::trace::{Actor, Log, Outcome, Record, RecordId, Reply, Stage, State, WallMicros};

/// Octets of a text that are kept.
pub const LONGEST_TEXT: usize = 1_000;
/// Lines of a reply that are kept.
const REPLY_LINES: usize = 20;
/// Recipients of one line, of each of which an entry tells.
pub const RECIPIENTS: usize = 1_000;

/// One event of one message, and of one recipient where it concerns one.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The line's own time.
    pub at: WallMicros,
    /// The server that wrote the line.
    pub host: Option<String>,
    pub event: LogEvent,
    /// At this server.
    pub queue_id: Option<String>,
    /// At the next hop, from its reply; or of the message that this one became.
    pub next_queue_id: Option<String>,
    /// Without angle brackets, as all addresses here.
    pub message_id: Option<String>,
    /// Empty for the null sender.
    pub reverse_path: Option<String>,
    pub recipient: Option<String>,
    /// The recipient as it was before aliases.
    pub original_recipient: Option<String>,
    pub subject: Option<String>,
    pub size: Option<u64>,
    pub client_host: Option<String>,
    pub client_ip: Option<IpAddr>,
    pub relay_host: Option<String>,
    pub relay_ip: Option<IpAddr>,
    pub relay_port: Option<u16>,
    /// Texts that were cut.
    pub cut: u64,
    /// Since the message came in.
    pub delay_us: Option<u64>,
    /// What the next hop said, or this server itself.
    pub reply: Option<Reply>,
    pub detail: Option<String>,
    pub fate: Option<Fate>,
}

/// How it went, and where that was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fate {
    pub state: State,
    pub stage: Stage,
    pub by: Actor,
}

/// An entry with the id of its record.
#[derive(Debug, Clone, PartialEq)]
pub struct Identified {
    pub id: RecordId,
    pub entry: Entry,
}

impl Entry {
    pub fn new(at: WallMicros, host: Option<&str>, event: LogEvent) -> Self {
        Self {
            at,
            host: host.map(str::to_owned),
            event,
            queue_id: None,
            next_queue_id: None,
            message_id: None,
            reverse_path: None,
            recipient: None,
            original_recipient: None,
            subject: None,
            size: None,
            client_host: None,
            client_ip: None,
            relay_host: None,
            relay_ip: None,
            relay_port: None,
            cut: 0,
            delay_us: None,
            reply: None,
            detail: None,
            fate: None,
        }
    }

    /// One for each recipient of a line, [`RECIPIENTS`] at most. What is too long is cut before it is copied.
    pub fn for_each<'a>(mut self, recipients: impl Iterator<Item = &'a str>, out: &mut Vec<Self>) {
        self.bound();
        out.extend(recipients.take(RECIPIENTS).map(|to| Self { recipient: Some(to.to_owned()), ..self.clone() }));
    }

    /// The outcome as a record has it, before its diagnosis.
    fn outcome(&self) -> Option<Outcome> {
        let fate = self.fate?;
        // Where there is a reply, it says why.
        let detail = self.detail.clone().filter(|_| self.reply.is_none());
        let mut outcome = Outcome::of(fate.state, fate.stage, fate.by, self.reply.clone(), detail);
        outcome.upstream_queue_id.clone_from(&self.next_queue_id);
        Some(outcome)
    }

    /// Cuts texts that are too long, and counts them.
    pub fn bound(&mut self) {
        let texts = [
            &mut self.host,
            &mut self.queue_id,
            &mut self.next_queue_id,
            &mut self.message_id,
            &mut self.reverse_path,
            &mut self.recipient,
            &mut self.original_recipient,
            &mut self.subject,
            &mut self.client_host,
            &mut self.relay_host,
            &mut self.detail,
        ];
        let mut cut = texts.into_iter().flatten().map(bound).sum::<u64>();
        if let Some(reply) = &mut self.reply {
            cut += reply.lines.len().saturating_sub(REPLY_LINES) as u64;
            reply.lines.truncate(REPLY_LINES);
            cut += reply.lines.iter_mut().map(bound).sum::<u64>();
        }
        self.cut += cut;
    }
}

impl Identified {
    /// The record, before its diagnosis.
    pub fn into_record(self, format: Format) -> Record {
        let outcome = self.entry.outcome();
        let Self { id, entry } = self;
        Record::Log(Box::new(Log {
            id,
            at: entry.at,
            format: format.word().to_owned(),
            host: entry.host,
            event: entry.event,
            queue_id: entry.queue_id,
            next_queue_id: entry.next_queue_id,
            message_id: entry.message_id,
            reverse_path: entry.reverse_path,
            recipient: entry.recipient,
            original_recipient: entry.original_recipient,
            subject: entry.subject,
            size: entry.size,
            client_host: entry.client_host,
            client_ip: entry.client_ip,
            relay_host: entry.relay_host,
            relay_ip: entry.relay_ip,
            relay_port: entry.relay_port,
            delay_us: entry.delay_us,
            reply: entry.reply,
            detail: entry.detail,
            outcome,
        }))
    }
}

fn bound(text: &mut String) -> u64 {
    if text.len() <= LONGEST_TEXT {
        return 0;
    }
    text.truncate(text.floor_char_boundary(LONGEST_TEXT));
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_and_counted() {
        let reply = Reply { code: 550, enhanced: None, lines: vec!["ü".repeat(600); 22] };
        let mut entry = Entry { subject: Some("x".repeat(1_001)), reply: Some(reply), ..Entry::new(0, Some("mail"), LogEvent::Sent) };
        entry.bound();
        entry.bound();
        assert_eq!(entry.cut, 1 + 2 + 20);
        assert_eq!(entry.subject.as_ref().map(String::len), Some(LONGEST_TEXT));
        assert_eq!(entry.reply.map(|it| it.lines.len()), Some(REPLY_LINES));
    }

    #[test]
    fn recipients_of_a_line_are_bounded_and_share_what_is_cut() {
        let entry = Entry { detail: Some("x".repeat(100_000)), ..Entry::new(0, None, LogEvent::Sent) };
        let mut out = Vec::new();
        entry.for_each(std::iter::repeat_n("b@to.example", 250_000), &mut out);
        assert_eq!(out.len(), RECIPIENTS);
        assert!(out.iter().all(|it| it.cut == 1 && it.detail.as_ref().is_some_and(|it| it.len() == LONGEST_TEXT)));
    }
}
