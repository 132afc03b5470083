//! Finds whole replies in the upstream's octets and reads them, keeping their octets as they are.

use thiserror::Error;

/// Why the upstream's octets are no reply. The leg ends here.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum ReplyError {
    #[error("a reply line is longer than {limit} octets")]
    LineTooLong { limit: usize },
    #[error("a reply has more than {limit} lines")]
    TooManyLines { limit: usize },
    #[error("not an SMTP reply: {start:?}")]
    Garbage { start: String },
}

/// Octets of garbage that an error shows.
const SHOWN: usize = 60;

/// Remembers how far a reply has been read, so that no octet is looked at twice however it trickles in.
#[derive(Debug, Default, Clone)]
pub struct ReplyScanner {
    /// Octets already known to be whole lines of an unfinished reply.
    lines_end: usize,
    /// Octets of the unfinished line already searched for its end.
    searched: usize,
    lines: usize,
}

impl ReplyScanner {
    /// The length of the first whole reply in `octets`, or `None` until more octets come. `octets` must begin where it
    /// began in the call before, unless that call found a reply.
    ///
    /// RFC 5321 §4.2: `code SP text CRLF`, with `-` instead of SP on all lines but the last. Lines that end with LF alone, and codes
    /// that differ between lines, are let through ([`ReplyView::malformed`] tells).
    ///
    /// # Errors
    /// What came can't be a reply, or breaks the limits.
    pub fn next(&mut self, octets: &[u8], line_limit: usize, lines_limit: usize) -> Result<Option<usize>, ReplyError> {
        loop {
            let unread = octets.get(self.lines_end..).unwrap_or_default();
            let unsearched = unread.get(self.searched..).unwrap_or_default();
            let Some(end) = memchr::memchr(b'\n', unsearched).map(|at| self.searched + at + 1) else {
                if unread.len() >= line_limit {
                    return Err(ReplyError::LineTooLong { limit: line_limit });
                }
                if unread.len() >= SHOWN {
                    plausible(unread)?; // what is shorter is shown as a whole line, or not at all
                }
                self.searched = unread.len();
                return Ok(None);
            };
            let line = unread.get(..end).unwrap_or(unread);
            if line.len() > line_limit {
                return Err(ReplyError::LineTooLong { limit: line_limit });
            }
            plausible(line)?;
            self.lines += 1;
            self.lines_end += end;
            self.searched = 0;
            if line.get(3) != Some(&b'-') {
                let whole = self.lines_end;
                *self = Self::default();
                return Ok(Some(whole));
            }
            if self.lines >= lines_limit {
                return Err(ReplyError::TooManyLines { limit: lines_limit });
            }
        }
    }

    /// Whether part of a reply has been seen.
    pub fn in_reply(&self) -> bool {
        self.lines_end + self.searched > 0
    }
}

/// Whether this can be (the start of) a reply line: three digits, 200 to 599, then blank, hyphen or line end.
fn plausible(line: &[u8]) -> Result<(), ReplyError> {
    let fits = line.iter().take(4).enumerate().all(|(at, octet)| match at {
        0 => matches!(octet, b'2'..=b'5'),
        1 | 2 => octet.is_ascii_digit(),
        _ => matches!(octet, b' ' | b'-' | b'\r' | b'\n'),
    });
    if fits && (line.len() > 3 || !line.contains(&b'\n')) {
        Ok(())
    } else {
        Err(ReplyError::Garbage { start: String::from_utf8_lossy(line.get(..SHOWN).unwrap_or(line)).trim_end().to_owned() })
    }
}

/// A whole reply, read but not copied.
#[derive(Debug, Clone, Copy)]
pub struct ReplyView<'a> {
    octets: &'a [u8],
    code: u16,
}

impl<'a> ReplyView<'a> {
    /// `octets` is what [`ReplyScanner::next`] found.
    pub fn new(octets: &'a [u8]) -> Self {
        let last = memchr::memrchr(b'\n', octets.trim_ascii_end()).map_or(0, |at| at + 1);
        let code = octets
            .get(last..)
            .unwrap_or_default()
            .iter()
            .take(3)
            .fold(0u16, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0') % 10));
        Self { octets, code }
    }

    /// The last line's code.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// As it came, every line with its end.
    pub fn octets(&self) -> &'a [u8] {
        self.octets
    }

    /// First digit of the code: 2, 3, 4 or 5.
    pub fn class(&self) -> u16 {
        self.code / 100
    }

    /// The text of each line, without code, separator and line end.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.octets.split_inclusive(|octet| *octet == b'\n').map(|line| line.get(4..).unwrap_or_default().trim_ascii_end())
    }

    /// The enhanced status code of the first line (RFC 3463 §2), if its class fits the reply's.
    pub fn enhanced(&self) -> Option<(u8, u16, u16)> {
        let first = self.lines().next()?;
        let word = first.split(|octet| *octet == b' ').next()?;
        let mut parts = word.split(|octet| *octet == b'.').map(numeric);
        let (class, subject, detail) = (parts.next()??, parts.next()??, parts.next()??);
        (parts.next().is_none() && class == self.class() && matches!(class, 2 | 4 | 5)).then_some((class as u8, subject, detail))
    }

    /// Codes that differ between lines, LF without CR, stray CR or NUL, 8-bit octets, or no blank after the code.
    pub fn malformed(&self) -> bool {
        let code = self.octets.get(..3);
        self.octets.split_inclusive(|octet| *octet == b'\n').any(|line| {
            let body = line.strip_suffix(b"\r\n");
            line.get(..3) != code || body.is_none_or(|body| memchr::memchr2(b'\r', 0, body).is_some())
        })
    }
}

/// One to three digits.
fn numeric(digits: &[u8]) -> Option<u16> {
    let fits = (1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    fits.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(octets: &str, expected: Result<Option<usize>, ReplyError>) {
        assert_eq!(ReplyScanner::default().next(octets.as_bytes(), 64, 3), expected, "{octets:?}");
    }

    #[test]
    fn finds_replies() {
        check("", Ok(None));
        check("2", Ok(None));
        check("250", Ok(None));
        check("250 ok\r", Ok(None));
        check("250 ok\r\n", Ok(Some(8)));
        check("250\r\n", Ok(Some(5)));
        check("250 ok\n", Ok(Some(7)));
        check("250-a\r\n250 b\r\n354 go\r\n", Ok(Some(14)));
        check("250-a\r\n250-b\r\n", Ok(None));
        check("250-a\r\n250-b\r\n250-c\r\n", Err(ReplyError::TooManyLines { limit: 3 }));
        check("hello\r\n", Err(ReplyError::Garbage { start: "hello".into() }));
        check("25\r\n", Err(ReplyError::Garbage { start: "25".into() }));
        check("999 x\r\n", Err(ReplyError::Garbage { start: "999 x".into() }));
        check("2500 x\r\n", Err(ReplyError::Garbage { start: "2500 x".into() }));
        check(&format!("250 {}", "x".repeat(70)), Err(ReplyError::LineTooLong { limit: 64 }));
    }

    #[test]
    fn reads_replies() {
        let view = ReplyView::new(b"550-5.1.1 No such user\r\n550 5.1.1 here\r\n");
        assert_eq!((view.code(), view.enhanced(), view.malformed()), (550, Some((5, 1, 1)), false));
        assert_eq!(view.lines().collect::<Vec<_>>(), [&b"5.1.1 No such user"[..], b"5.1.1 here"]);
        assert_eq!(ReplyView::new(b"250 5.1.1 odd\r\n").enhanced(), None);
        assert_eq!(ReplyView::new(b"250\r\n").lines().collect::<Vec<_>>(), [&b""[..]]);
        assert!(ReplyView::new(b"250-a\r\n251 b\r\n").malformed());
        assert_eq!(ReplyView::new(b"250-a\r\n251 b\r\n").code(), 251);
        assert!(ReplyView::new(b"250 a\n").malformed());
    }

    proptest! {
        #[test]
        fn trickling_changes_nothing(octets in "(250-[a-z]{0,9}\r\n){0,3}(250 [a-z.0-9]{0,9}\r?\n)?[2-6x]?") {
            let octets = octets.as_bytes();
            let whole = ReplyScanner::default().next(octets, 64, 8);
            let mut scanner = ReplyScanner::default();
            let mut trickled = Ok(None);
            for end in 1..=octets.len() {
                trickled = scanner.next(&octets[..end], 64, 8);
                if trickled != Ok(None) { break; }
            }
            prop_assert_eq!(trickled, whole);
        }

        #[test]
        fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = ReplyScanner::default().next(&octets, 64, 8);
            let view = ReplyView::new(&octets);
            let _ = (view.enhanced(), view.malformed(), view.lines().count());
        }
    }
}
