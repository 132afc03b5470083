//! Cuts command lines out of octets, strictly: a line ends with CRLF and holds no other CR, LF or NUL.

use memchr::memchr3;
use thiserror::Error;

/// Why the octets can't be taken as a command line.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum LineError {
    #[error("line is longer than {limit} octets")]
    TooLong { limit: usize },
    #[error("LF without CR at octet {at}")]
    BareLf { at: usize },
    #[error("CR without LF at octet {at}")]
    BareCr { at: usize },
    #[error("NUL at octet {at}")]
    Nul { at: usize },
}

impl LineError {
    /// What the peer is told: the stage and the cause, no internals.
    pub fn reply(self) -> &'static str {
        match self {
            Self::TooLong { .. } => "500 5.5.2 relayscope: line too long",
            Self::BareLf { .. } | Self::BareCr { .. } => "500 5.5.2 relayscope: lines end with CRLF",
            Self::Nul { .. } => "500 5.5.2 relayscope: NUL in a command",
        }
    }
}

/// The length of the first line of `octets`, CRLF included; `None` until more octets come.
///
/// `limit` bounds the whole line. RFC 5321 §2.3.8: CR and LF appear only together; RFC 5321 §4.5.3.1.4 and .9 leave
/// longer lines to be refused.
///
/// # Errors
/// The line can never become valid, whatever comes.
pub fn next_line(octets: &[u8], limit: usize) -> Result<Option<usize>, LineError> {
    let window = octets.get(..limit).unwrap_or(octets);
    match memchr3(b'\r', b'\n', 0, window) {
        Some(at) => match (window.get(at), octets.get(at + 1)) {
            (Some(b'\n'), _) => Err(LineError::BareLf { at }),
            (Some(0), _) => Err(LineError::Nul { at }),
            (_, Some(b'\n')) if at + 2 <= limit => Ok(Some(at + 2)),
            (_, Some(b'\n')) => Err(LineError::TooLong { limit }),
            (_, Some(_)) => Err(LineError::BareCr { at }),
            (_, None) => Ok(None),
        },
        None if octets.len() >= limit => Err(LineError::TooLong { limit }),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(octets: &[u8], expected: Result<Option<usize>, LineError>) {
        assert_eq!(next_line(octets, 12), expected, "{:?}", octets.escape_ascii().to_string());
    }

    #[test]
    fn cuts_lines() {
        check(b"", Ok(None));
        check(b"NOOP", Ok(None));
        check(b"NOOP\r", Ok(None));
        check(b"NOOP\r\n", Ok(Some(6)));
        check(b"NOOP\r\nQUIT\r\n", Ok(Some(6)));
        check(b"\r\n", Ok(Some(2)));
        check(b"0123456789\r\n", Ok(Some(12)));
        check(b"0123456789a\r\n", Err(LineError::TooLong { limit: 12 }));
        check(b"0123456789abcdef", Err(LineError::TooLong { limit: 12 }));
        check(b"NO\nOP\r\n", Err(LineError::BareLf { at: 2 }));
        check(b"NO\rOP\r\n", Err(LineError::BareCr { at: 2 }));
        check(b"NOOP\r\r\n", Err(LineError::BareCr { at: 4 }));
        check(b"NO\0OP\r\n", Err(LineError::Nul { at: 2 }));
    }

    proptest! {
        #[test]
        fn a_cut_changes_nothing(octets in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(0u8), any::<u8>()], 0..40), cut in 0usize..40) {
            let whole = next_line(&octets, 24);
            let part = next_line(&octets[..cut.min(octets.len())], 24);
            match part {
                Ok(None) => {}
                decided => prop_assert_eq!(decided, whole),
            }
        }
    }
}
