//! Why a connection has no usable PROXY header, and what its administrator can do about it.

use std::io;
use std::time::Duration;

use thiserror::Error;

/// A variant for each way in which a header can be missing or wrong.
#[derive(Debug, Error)]
pub enum HeaderError {
    #[error(
        "no PROXY header within {} s ({received} octets came): switch it on at the load balancer (haproxy: `send-proxy-v2`), or take it out of accept_proxy",
        .after.as_secs_f64()
    )]
    TimedOut { after: Duration, received: usize },
    #[error("closed within the PROXY header, after {received} octets")]
    Closed { received: usize },
    #[error("closed without a word: a port check that sends no PROXY header")]
    ClosedAtOnce,
    #[error(
        "the connection begins with {found:?} instead of a PROXY header: switch it on at the load balancer (haproxy: `send-proxy-v2`), or take it out of accept_proxy"
    )]
    NotAHeader { found: String },
    #[error("the PROXY v1 line has no end within {most} octets")]
    LineTooLong { most: usize },
    #[error("the PROXY v1 line doesn't end with CRLF, or has a CR within: {line:?}")]
    LineEnd { line: String },
    #[error("the PROXY v1 line can't be read ({why}): {line:?}")]
    Line { line: String, why: String },
    #[error("PROXY header of version {version}: only 1 and 2 exist")]
    Version { version: u8 },
    #[error("PROXY v2 command {command}: only 0 (LOCAL) and 1 (PROXY) exist")]
    Command { command: u8 },
    #[error("PROXY v2 address family and transport {octet:#04x}, which the protocol reserves")]
    Family { octet: u8 },
    #[error("PROXY v2 header for a datagram transport ({octet:#04x}): mail comes over streams")]
    NotAStream { octet: u8 },
    #[error("PROXY v2 header of {length} octets: more than {most} are not accepted")]
    TooLong { length: usize, most: usize },
    #[error("PROXY v2 header of {length} octets can't hold the addresses of its family ({needed} octets)")]
    AddressesCut { length: usize, needed: usize },
    #[error("PROXY v2 header ends within an entry of type {kind:#04x} that claims {length} octets")]
    EntryCut { kind: u8, length: usize },
    #[error("PROXY v2 header has {left} octets behind its last entry that make none")]
    Leftover { left: usize },
    #[error("PROXY v2 header has two entries of type {kind:#04x}")]
    Repeated { kind: u8 },
    #[error("PROXY v2 entry of type {kind:#04x} is {length} octets long, which its type doesn't allow")]
    EntryLength { kind: u8, length: usize },
    #[error("PROXY v2 checksum says {claimed:#010x}, the octets make {found:#010x}: the header was altered, or its sender is broken")]
    Checksum { claimed: u32, found: u32 },
    #[error("PROXY v2 header that the reader made no sense of: {why}")]
    Unreadable { why: String },
    #[error("reading the PROXY header: {source}")]
    Io {
        #[from]
        source: io::Error,
    },
}

impl HeaderError {
    /// Nobody spoke at all: not worth a record.
    pub fn is_silent_close(&self) -> bool {
        matches!(self, Self::ClosedAtOnce)
    }
}

/// Octets of the peer, cut short and escaped, for an error.
pub(super) fn shown(octets: &[u8]) -> String {
    const MOST: usize = 120;
    String::from_utf8_lossy(octets.get(..MOST).unwrap_or(octets)).into_owned()
}
