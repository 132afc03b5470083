//! Events as syslog messages (RFC 5424), and how these are told apart on a stream (RFC 6587).

use std::io::{self, Write as _};

use jiff::Timestamp;
pub use syslog_fmt::Facility;
use syslog_fmt::v5424::{Config, Formatter, Msg, write_msg};

use crate::export::batch::Event;
use crate::export::format::{Meta, Severity};

/// What all messages of a sink have in common.
#[derive(Debug, Clone)]
pub struct Header {
    pub facility: Facility,
    /// HOSTNAME: this proxy's.
    pub host_name: String,
    pub app_name: String,
}

/// How messages are told apart on a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Each behind its length (RFC 6587 §3.4.1, RFC 5425 §4.3).
    OctetCounting,
    /// Each ends with LF (RFC 6587 §3.4.2). No event has one within.
    Lf,
}

/// Writes messages.
#[derive(Debug)]
pub struct Writer {
    formatter: Formatter,
    message: Vec<u8>,
}

impl Writer {
    pub fn new(header: &Header) -> Self {
        let (host_name, app_name) = (field(&header.host_name, 255), field(&header.app_name, 48));
        let config = Config { facility: header.facility, hostname: Some(&host_name), app_name: Some(&app_name), proc_id: None };
        Self { formatter: config.into_formatter(), message: Vec::new() }
    }

    /// One message, without a frame.
    ///
    /// # Errors
    /// None: it writes into memory.
    pub fn message(&mut self, event: &Event, octets: &[u8]) -> io::Result<&[u8]> {
        self.message.clear();
        let Meta { at, id, severity, msgid, .. } = event.meta;
        let at = i64::try_from(at).ok().and_then(|at| Timestamp::from_microsecond(at).ok()).unwrap_or_default();
        let text = format!("{at:.6}");
        self.formatter.write_header(&mut self.message, of(severity), text.as_str(), Some(msgid))?;
        // Neither has a character that would have to be escaped: an id is a ULID, an event's name one of ours.
        write!(self.message, " [relayscope@32473 id=\"{id}\" event=\"{msgid}\"]")?;
        // Without a byte order mark: most receivers take it for a part of the text. The octets are UTF-8 all the same.
        write_msg(&mut self.message, Msg::NonUnicodeBytes(octets))?;
        Ok(&self.message)
    }

    /// Appends one message in its frame.
    ///
    /// # Errors
    /// None: it writes into memory.
    pub fn frame(&mut self, event: &Event, octets: &[u8], framing: Framing, out: &mut Vec<u8>) -> io::Result<()> {
        let message = self.message(event, octets)?;
        match framing {
            Framing::OctetCounting => {
                write!(out, "{} ", message.len())?;
                out.extend_from_slice(message);
            }
            Framing::Lf => {
                out.extend_from_slice(message);
                out.push(b'\n');
            }
        }
        Ok(())
    }
}

fn of(severity: Severity) -> syslog_fmt::Severity {
    match severity {
        Severity::Critical => syslog_fmt::Severity::Crit,
        Severity::Error => syslog_fmt::Severity::Err,
        Severity::Warning => syslog_fmt::Severity::Warning,
        Severity::Notice => syslog_fmt::Severity::Notice,
        Severity::Informational => syslog_fmt::Severity::Info,
    }
}

/// Printable US-ASCII without spaces, as RFC 5424 §6 wants the fields of a header.
fn field(text: &str, longest: usize) -> String {
    let field: String = text.chars().filter(char::is_ascii_graphic).take(longest).collect();
    if field.is_empty() { "-".to_owned() } else { field }
}
