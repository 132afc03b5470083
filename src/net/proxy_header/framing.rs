//! Finds where the header ends, without taking an octet of what follows it.

use super::decode::{decode_v1, decode_v2};
use super::error::shown;
use super::{Header, HeaderError};

/// Octets that a header of version 2 may have behind its first 16. haproxy's own receive buffer is smaller by default.
pub const LONGEST: usize = 4_096;

/// The protocol text, 2.1: the longest line of version 1, with its CRLF.
const LONGEST_LINE: usize = 107;

const LINE_START: &[u8] = b"PROXY ";
pub(super) const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
pub(super) const FIXED: usize = 16;

/// Gathers one header. What follows it is the client's: TLS hello or SMTP.
#[derive(Debug, Default)]
pub struct Framing {
    octets: Vec<u8>,
}

/// What is still missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Octets(usize),
    LineEnd,
    Nothing,
}

impl Framing {
    /// Looks at octets that came and takes those that belong to the header: how many, and the header once it is whole.
    ///
    /// Takes at least one of them until the header is whole; the rest must be offered again only to whoever comes after.
    pub fn take(&mut self, ahead: &[u8]) -> Result<(usize, Option<Header>), HeaderError> {
        let mut rest = ahead;
        loop {
            let count = match self.missing(rest)? {
                Missing::Nothing => return Ok((ahead.len() - rest.len(), Some(self.decode()?))),
                Missing::Octets(count) => count,
                Missing::LineEnd => memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1).min(LONGEST_LINE - self.octets.len()),
            };
            if rest.is_empty() {
                return Ok((ahead.len(), None));
            }
            let (taken, later) = rest.split_at(count.min(rest.len()));
            self.octets.extend_from_slice(taken);
            rest = later;
        }
    }

    /// Octets taken so far.
    pub fn received(&self) -> usize {
        self.octets.len()
    }

    fn missing(&self, rest: &[u8]) -> Result<Missing, HeaderError> {
        let octets = &*self.octets;
        if agree(octets, SIGNATURE) {
            return self.missing_v2();
        }
        if !agree(octets, LINE_START) {
            return Err(HeaderError::NotAHeader { found: beginning(&[octets, rest].concat()) });
        }
        match octets.last() {
            _ if octets.len() < LINE_START.len() => Ok(Missing::Octets(LINE_START.len() - octets.len())),
            Some(b'\n') => Ok(Missing::Nothing),
            _ if octets.len() >= LONGEST_LINE => Err(HeaderError::LineTooLong { most: LONGEST_LINE }),
            _ => Ok(Missing::LineEnd),
        }
    }

    fn missing_v2(&self) -> Result<Missing, HeaderError> {
        let &[.., version_and_command, _, high, low] = self.octets.get(..FIXED).unwrap_or_default() else {
            // The first octet alone tells the versions apart; version 1 is longer than its first six.
            let known = if self.octets.is_empty() { 1 } else { FIXED - self.octets.len() };
            return Ok(Missing::Octets(known));
        };
        match (version_and_command >> 4, version_and_command & 0x0f) {
            (2, 0 | 1) => {}
            (2, command) => return Err(HeaderError::Command { command }),
            (version, _) => return Err(HeaderError::Version { version }),
        }
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > LONGEST {
            return Err(HeaderError::TooLong { length, most: LONGEST });
        }
        match FIXED + length - self.octets.len() {
            0 => Ok(Missing::Nothing),
            count => Ok(Missing::Octets(count)),
        }
    }

    fn decode(&self) -> Result<Header, HeaderError> {
        if self.octets.starts_with(SIGNATURE) { decode_v2(&self.octets) } else { decode_v1(&self.octets) }
    }
}

/// Enough to tell what it is, too little for a password.
fn beginning(octets: &[u8]) -> String {
    let line = octets.get(..16).unwrap_or(octets).split(|octet| matches!(octet, b'\r' | b'\n')).next();
    shown(line.unwrap_or_default())
}

/// One begins with the other.
fn agree(octets: &[u8], start: &[u8]) -> bool {
    octets.iter().zip(start).all(|(one, other)| one == other)
}
