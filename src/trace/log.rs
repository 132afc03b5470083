//! A line of another server's log.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::id::RecordId;
use super::kinds::LogEvent;
use super::record::{Outcome, Reply, WallMicros};

/// What a line of a server's log says of a message, completed by what earlier lines of the same queue id said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// Made of the line, its time and its server: the same line always has the same id.
    pub id: RecordId,
    /// The line's own time.
    pub at: WallMicros,
    /// Whose log: "postfix", "exchange", "exim", "sendmail", "courier", "hmailserver", "domino", "james".
    pub format: String,
    /// The server that wrote it.
    pub host: Option<String>,
    pub event: LogEvent,
    /// At that server.
    pub queue_id: Option<String>,
    /// At the next hop, from its reply.
    pub next_queue_id: Option<String>,
    /// Without angle brackets.
    pub message_id: Option<String>,
    /// Without angle brackets; empty for the null sender, absent where no line told it.
    pub reverse_path: Option<String>,
    pub recipient: Option<String>,
    /// What the recipient was before an alias or a list.
    pub original_recipient: Option<String>,
    pub subject: Option<String>,
    /// Octets.
    pub size: Option<u64>,
    pub client_host: Option<String>,
    pub client_ip: Option<IpAddr>,
    pub relay_host: Option<String>,
    pub relay_ip: Option<IpAddr>,
    pub relay_port: Option<u16>,
    /// Since the message came to that server.
    pub delay_us: Option<u64>,
    /// What the next hop, or this server, said.
    pub reply: Option<Reply>,
    /// The line's words, where they are none of the above.
    pub detail: Option<String>,
    /// For events that say how it went.
    pub outcome: Option<Outcome>,
}

impl Log {
    /// The queue id under which the message itself goes on; that of a report on it is another message's.
    pub fn goes_on_as(&self) -> Option<&str> {
        self.next_queue_id.as_deref().filter(|_| self.event != LogEvent::ReportSent)
    }

    /// A line of which nothing else is known.
    pub fn of(id: RecordId, at: WallMicros, format: &str, event: LogEvent) -> Self {
        Self {
            id,
            at,
            format: format.to_owned(),
            host: None,
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
            delay_us: None,
            reply: None,
            detail: None,
            outcome: None,
        }
    }
}
