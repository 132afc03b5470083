//! Recognises commands: the verb and what follows it, as octets.

use super::exchange;

/// The commands that the proxy tells apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    Etrn,
    StartTls,
    Auth,
    /// Commands that hand over a connection, a trust or octets in a way the proxy doesn't carry:
    /// XCLIENT, XFORWARD, a PROXY header, BURL, TURN, ATRN, and Exchange's own.
    Uncarried,
    Unknown,
}

impl Verb {
    fn recognise(word: &[u8]) -> Self {
        const TABLE: &[(&[u8], Verb)] = &[
            (b"MAIL", Verb::Mail),
            (b"RCPT", Verb::Rcpt),
            (b"DATA", Verb::Data),
            (b"EHLO", Verb::Ehlo),
            (b"QUIT", Verb::Quit),
            (b"RSET", Verb::Rset),
            (b"BDAT", Verb::Bdat),
            (b"HELO", Verb::Helo),
            (b"NOOP", Verb::Noop),
            (b"VRFY", Verb::Vrfy),
            (b"EXPN", Verb::Expn),
            (b"HELP", Verb::Help),
            (b"ETRN", Verb::Etrn),
            (b"STARTTLS", Verb::StartTls),
            (b"AUTH", Verb::Auth),
            (b"XCLIENT", Verb::Uncarried),
            (b"XFORWARD", Verb::Uncarried),
            (b"BURL", Verb::Uncarried),
            (b"TURN", Verb::Uncarried),
            (b"ATRN", Verb::Uncarried),
            (b"LHLO", Verb::Uncarried),
            (b"PROXY", Verb::Uncarried),
        ];
        match TABLE.iter().find(|(name, _)| word.eq_ignore_ascii_case(name)) {
            Some(&(_, verb)) => verb,
            None if exchange::is_verb(word) => Verb::Uncarried,
            None => Verb::Unknown,
        }
    }

    /// RFC 2920 §3.1: what may only end a pipelined group, because the dialogue after it depends on its reply.
    pub fn ends_group(self) -> bool {
        matches!(self, Self::Ehlo | Self::Helo | Self::Data | Self::Quit | Self::StartTls | Self::Auth | Self::Etrn | Self::Unknown)
    }
}

/// One command line, without its CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command<'a> {
    pub verb: Verb,
    pub word: &'a [u8],
    /// What follows the verb, surrounding blanks removed.
    pub argument: &'a [u8],
}

impl<'a> Command<'a> {
    pub fn parse(line: &'a [u8]) -> Self {
        let end = line.iter().position(|octet| matches!(octet, b' ' | b'\t')).unwrap_or(line.len());
        let (word, rest) = line.split_at(end);
        Self { verb: Verb::recognise(word), word, argument: rest.trim_ascii() }
    }

    /// BDAT's chunk size and whether it is the last (RFC 3030 §2).
    pub fn chunk(&self) -> Option<(u64, bool)> {
        let mut words = self.argument.split(|&octet| octet == b' ').filter(|word| !word.is_empty());
        let digits = words.next()?;
        if digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let size = digits.iter().fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
        let last = match words.next() {
            None => false,
            Some(word) if word.eq_ignore_ascii_case(b"LAST") => true,
            Some(_) => return None,
        };
        if words.next().is_some() { None } else { Some((size, last)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, verb: Verb, argument: &str) {
        let command = Command::parse(line.as_bytes());
        assert_eq!((command.verb, command.argument), (verb, argument.as_bytes()), "{line:?}");
    }

    #[test]
    fn recognises_verbs() {
        check("EHLO mail.example", Verb::Ehlo, "mail.example");
        check("mail FROM:<a@x.example> SIZE=1", Verb::Mail, "FROM:<a@x.example> SIZE=1");
        check("DATA ", Verb::Data, "");
        check("rset", Verb::Rset, "");
        check("STARTTLS", Verb::StartTls, "");
        check("AUTHPLAIN x", Verb::Unknown, "x");
        check("XCLIENT NAME=x", Verb::Uncarried, "NAME=x");
        check("", Verb::Unknown, "");
        check("  NOOP", Verb::Unknown, "NOOP");
    }

    #[test]
    fn p39_exchanges_own_are_not_carried() {
        check("X-EXPS GSSAPI", Verb::Uncarried, "GSSAPI");
        check("x-link2state LAST CHUNK={0000}", Verb::Uncarried, "LAST CHUNK={0000}");
        check("XPROXYTO example", Verb::Uncarried, "example");
    }

    #[test]
    fn reads_chunks() {
        let chunk = |line: &str| Command::parse(line.as_bytes()).chunk();
        assert_eq!(chunk("BDAT 1000"), Some((1000, false)));
        assert_eq!(chunk("BDAT 0 LAST"), Some((0, true)));
        assert_eq!(chunk("bdat 86 last"), Some((86, true)));
        assert_eq!(chunk("BDAT"), None);
        assert_eq!(chunk("BDAT -1"), None);
        assert_eq!(chunk("BDAT 1 LAST x"), None);
        assert_eq!(chunk("BDAT 99999999999999999999"), None);
    }
}
