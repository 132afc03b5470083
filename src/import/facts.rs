//! What several lines of one queue id say together.

use std::net::IpAddr;

use super::entry::{Entry, LogEvent};
use super::said::Host;

/// What a line came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It speaks of mail; entries may have come of it.
    Read,
    /// It speaks of something else, or is another program's.
    Foreign,
    /// It can't be read, and why.
    Unreadable(&'static str),
}

/// Of a message in the queue, from the lines so far.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    pub message_id: Option<String>,
    pub reverse_path: Option<String>,
    pub subject: Option<String>,
    pub size: Option<u64>,
    pub client_host: Option<String>,
    pub client_ip: Option<IpAddr>,
    /// How it came in, once a line has said so.
    pub came: Option<LogEvent>,
    /// An entry for its coming in has been made.
    pub is_announced: bool,
}

impl Facts {
    pub fn client(&mut self, host: Host) {
        (self.client_host, self.client_ip) = (host.name, host.ip);
    }

    /// Adds to an entry what its own line left open.
    pub fn complete(&self, entry: &mut Entry) {
        fill(&mut entry.message_id, &self.message_id);
        fill(&mut entry.reverse_path, &self.reverse_path);
        fill(&mut entry.subject, &self.subject);
        fill(&mut entry.client_host, &self.client_host);
        entry.size = entry.size.or(self.size);
        entry.client_ip = entry.client_ip.or(self.client_ip);
    }
}

fn fill(into: &mut Option<String>, from: &Option<String>) {
    if into.is_none() {
        into.clone_from(from);
    }
}

/// A text that isn't empty, to keep.
pub fn some(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
