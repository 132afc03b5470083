//! Finds the end of a DATA body across any cuts: `<CRLF>.<CRLF>` and nothing else (RFC 5321 §4.1.1.4).
//!
//! Whatever a lenient server could take for that end (any mix of CR, LF and NUL around a lone dot) is found too, before the octet
//! that completes it has been let through: there SMTP smuggling lives.

use memchr::memchr3;

/// What a piece of body led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The body goes on.
    More,
    /// `<CRLF>.<CRLF>`.
    End,
    /// A lone dot between other line ends.
    LooseDot,
}

/// What to do with a piece of body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scan {
    /// Octets held back from an earlier piece that may go on now, before this piece.
    pub release: &'static [u8],
    /// Octets of this piece that may go on. At [`Found::End`] the terminator is the last of them.
    pub forward: usize,
    /// Content from earlier pieces that only now is known not to be the terminator.
    pub content_release: &'static [u8],
    /// Octets of this piece that are message content: not the terminator, nor what may become it.
    pub content: usize,
    /// At [`Found::End`]: the part of the terminator that has not gone on yet.
    pub terminator: &'static [u8],
    pub found: Found,
}

/// The scanner: a few octets of state, whatever the size of the message.
#[derive(Debug, Clone)]
pub struct EndOfData {
    state: State,
    bare_newlines: u32,
    nuls: u32,
    dots: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// After CRLF, or at the very start (the CRLF of `DATA` is before it).
    LineStart,
    /// After a run of CR, LF, NUL that doesn't end in CRLF.
    LooseStart,
    Cr,
    /// A dot after CRLF.
    Dot,
    /// A dot after a loose line end.
    LooseDot,
    /// CRLF, dot, CR: the CR is held back.
    DotCr,
    /// A dot at a line start, then NULs.
    DotNul,
}

impl Default for EndOfData {
    fn default() -> Self {
        Self { state: State::LineStart, bare_newlines: 0, nuls: 0, dots: 0 }
    }
}

impl EndOfData {
    /// How many CR or LF stood alone so far.
    pub fn bare_newlines(&self) -> u32 {
        self.bare_newlines
    }

    pub fn nuls(&self) -> u32 {
        self.nuls
    }

    /// Dots that the receiver will take away (RFC 5321 §4.5.2).
    pub fn stuffed_dots(&self) -> u64 {
        self.dots
    }

    /// Looks at the next piece of body.
    pub fn scan(&mut self, piece: &[u8]) -> Scan {
        let before = self.state;
        let mut scan = Scan {
            release: if before == State::DotCr { b"\r" } else { b"" },
            forward: piece.len(),
            content_release: b"",
            content: piece.len(),
            terminator: b"",
            found: Found::More,
        };
        if piece.is_empty() {
            scan.release = b"";
            return scan;
        }
        let mut at = 0;
        // Where the strict dot that is now undecided stands; `None` if it came in an earlier piece.
        let mut dot_at = None;
        while let Some(&octet) = piece.get(at) {
            if self.state == State::Text {
                match memchr3(b'\r', b'\n', 0, piece.get(at..).unwrap_or_default()) {
                    None => break,
                    Some(skip) => at += skip,
                }
                // The common line end, followed by an ordinary octet: stay in the fast lane.
                if let Some([b'\r', b'\n', next]) = piece.get(at..at + 3)
                    && !matches!(next, b'.' | b'\r' | b'\n' | 0)
                {
                    at += 3;
                    continue;
                }
                let special = piece.get(at).copied().unwrap_or_default();
                self.state = self.after_text(special);
                at += 1;
                continue;
            }
            match (self.state, octet) {
                (State::Dot, b'\r') => self.state = State::DotCr,
                (State::DotCr, b'\n') => {
                    self.state = State::LineStart;
                    scan.found = Found::End;
                    scan.forward = at + 1;
                    scan.content = dot_at.unwrap_or(0);
                    scan.terminator = match (dot_at, before) {
                        (Some(_), _) => b".\r\n",
                        _ => b"\r\n",
                    };
                    return scan;
                }
                (State::Dot | State::LooseDot | State::DotNul, b'\r' | b'\n') | (State::DotCr, _) => {
                    scan.found = Found::LooseDot;
                    scan.forward = at;
                    scan.content = at;
                    return scan;
                }
                (State::Dot | State::LooseDot, 0) => {
                    self.nuls = self.nuls.saturating_add(1);
                    self.state = State::DotNul;
                }
                (State::DotNul, 0) => self.nuls = self.nuls.saturating_add(1),
                (State::Dot | State::LooseDot, _) => {
                    self.dots += u64::from(self.state == State::Dot);
                    self.state = State::Text;
                }
                (State::DotNul, _) => self.state = State::Text,
                (State::LineStart, b'.') => {
                    self.state = State::Dot;
                    dot_at = Some(at);
                }
                (State::LooseStart, b'.') => self.state = State::LooseDot,
                (State::Cr, b'\n') => self.state = State::LineStart,
                (State::Cr, b'.') => {
                    self.bare_newlines = self.bare_newlines.saturating_add(1);
                    self.state = State::LooseDot;
                }
                (State::Cr, 0) => {
                    self.bare_newlines = self.bare_newlines.saturating_add(1);
                    self.nuls = self.nuls.saturating_add(1);
                    self.state = State::LooseStart;
                }
                (State::LineStart | State::LooseStart, 0) => {
                    self.nuls = self.nuls.saturating_add(1);
                    self.state = State::LooseStart;
                }
                (State::Cr, _) => {
                    self.bare_newlines = self.bare_newlines.saturating_add(1);
                    self.state = self.after_text(octet);
                }
                _ => self.state = self.after_text(octet),
            }
            at += 1;
        }
        // The strict dot of an earlier piece turned out to be content.
        let was_dot = matches!(before, State::Dot | State::DotCr);
        let still_that_dot = dot_at.is_none() && matches!(self.state, State::Dot | State::DotCr);
        if was_dot && !still_that_dot {
            scan.content_release = b".";
        }
        match self.state {
            State::DotCr => {
                scan.forward = piece.len() - 1;
                scan.content = dot_at.unwrap_or(0);
            }
            State::Dot => scan.content = dot_at.unwrap_or(0),
            _ => {}
        }
        scan
    }

    fn after_text(&mut self, octet: u8) -> State {
        match octet {
            b'\r' => State::Cr,
            b'\n' => {
                self.bare_newlines = self.bare_newlines.saturating_add(1);
                State::LooseStart
            }
            0 => {
                self.nuls = self.nuls.saturating_add(1);
                State::Text
            }
            _ => State::Text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What went on, what was content, and how it ended, for a body fed in the given pieces.
    fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<u8>, Found, usize) {
        let mut scanner = EndOfData::default();
        let (mut forwarded, mut content, mut consumed) = (Vec::new(), Vec::new(), 0);
        for piece in pieces {
            let scan = scanner.scan(piece);
            content.extend_from_slice(scan.content_release);
            content.extend_from_slice(&piece[..scan.content]);
            if scan.found == Found::End {
                let mut split = forwarded.clone();
                split.extend_from_slice(&piece[..scan.content]);
                split.extend_from_slice(scan.terminator);
                forwarded.extend_from_slice(scan.release);
                forwarded.extend_from_slice(&piece[..scan.forward]);
                assert_eq!(split, forwarded, "content and terminator are what goes on");
            } else if scan.found == Found::More {
                forwarded.extend_from_slice(scan.release);
                forwarded.extend_from_slice(&piece[..scan.forward]);
            }
            consumed += if scan.found == Found::More { piece.len() } else { scan.forward };
            if scan.found != Found::More {
                return (forwarded, content, scan.found, consumed);
            }
        }
        (forwarded, content, Found::More, consumed)
    }

    fn whole(body: &[u8]) -> (Vec<u8>, Vec<u8>, Found, usize) {
        run(std::iter::once(body))
    }

    #[track_caller]
    fn check(body: &str, content: &str, found: Found) {
        for size in [body.len().max(1), 1, 2, 3, 5] {
            let (_, got, how, _) = run(body.as_bytes().chunks(size));
            assert_eq!(how, found, "{body:?} in pieces of {size}");
            if found == Found::End {
                assert_eq!(String::from_utf8_lossy(&got), content, "{body:?} in pieces of {size}");
            }
        }
    }

    #[test]
    fn finds_the_end() {
        check(".\r\n", "", Found::End);
        check("a\r\n.\r\n", "a\r\n", Found::End);
        check("a\r\n..\r\n.\r\n", "a\r\n..\r\n", Found::End);
        check("a\r\n.b\r\n.\r\nMAIL", "a\r\n.b\r\n", Found::End);
        check("a\r\n\r\n.\r\n", "a\r\n\r\n", Found::End);
        check("a\r\r\n.\r\n", "a\r\r\n", Found::End);
        check("a.\r\nb\r\n.\r\n", "a.\r\nb\r\n", Found::End);
        check("a\nb\r\n.\r\n", "a\nb\r\n", Found::End);
        check("a\rb\r\n.\r\n", "a\rb\r\n", Found::End);
        check("a\r\n.", "", Found::More);
        check("a\r\n.\r", "", Found::More);
        check("a.\r\n", "", Found::More);
    }

    #[test]
    fn p58_finds_what_a_lenient_server_could_take_for_the_end() {
        for loose in [
            "\n.\n",
            "\n.\r\n",
            "\r\n.\n",
            "\r.\r",
            "\r.\r\n",
            "\r\n.\rx",
            "\n.\r",
            "\r.\n",
            "\n\0.\r\n",
            "\r\n\0.\r\n",
            "\r\n.\0\r\n",
            "\n.\0\n",
            "\r\n.\0\0\n",
            "\r\0.\0\r",
            "\r\n.\r\r\n",
            "\n\n.\r\n",
        ] {
            check(&format!("text{loose}"), "", Found::LooseDot);
        }
        check(".\n", "", Found::LooseDot);
        check("a\n.b\r\n.\r\n", "a\n.b\r\n", Found::End);
        check("a\n..\nb\r\n.\r\n", "a\n..\nb\r\n", Found::End);
        check("a\0.\r\nb\r\n.\r\n", "a\0.\r\nb\r\n", Found::End);
    }

    #[test]
    fn counts() {
        let mut scanner = EndOfData::default();
        scanner.scan(b"a\nb\rc\0d\r\n..x\r\n.y\r\n");
        scanner.scan(b"\r\n.\r\n");
        assert_eq!((scanner.bare_newlines(), scanner.nuls(), scanner.stuffed_dots()), (2, 1, 2));
    }

    proptest! {
        #[test]
        fn p19_any_cut_gives_the_same(body in "[ab.\r\n\0]{0,24}(\r\n\\.\r\n)?[x]{0,3}", cuts in proptest::collection::vec(1usize..6, 1..30)) {
            let body = body.as_bytes();
            let mut pieces = Vec::new();
            let mut rest = body;
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (piece, tail) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = tail;
            }
            let cut = run(pieces.into_iter());
            let uncut = whole(body);
            prop_assert_eq!(cut.2, uncut.2);
            if uncut.2 == Found::End {
                prop_assert_eq!(&cut.0, &uncut.0);
                prop_assert_eq!(&cut.1, &uncut.1);
                prop_assert_eq!(cut.3, uncut.3);
            }
        }

        #[test]
        fn what_leaves_is_what_came(body in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a')], 0..60)) {
            let (forwarded, _, _, consumed) = whole(&body);
            prop_assert!(body.starts_with(&forwarded));
            prop_assert!(consumed <= body.len());
        }
    }
}
