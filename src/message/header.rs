//! Keeps a copy of the header section, and of nothing behind it, while the message streams by.

use memchr::memchr_iter;

use super::fields::Headers;

/// Takes the octets of a message as they come, in any split, until the first empty line or the limit.
///
/// Feed it while it wants more, then [`finish`](Self::finish). It owns no memory before the first octet and none afterwards.
#[derive(Debug)]
pub struct HeaderCapture {
    /// The header section so far, dot-stuffing removed, without the empty line.
    octets: Vec<u8>,
    limit: usize,
    dot_stuffed: bool,
    place: Place,
}

/// Where in the current line the next octet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    LineStart,
    /// Behind a leading dot that was stuffing.
    AfterDot,
    /// Behind a CR that stands where an empty line would have it. That CR isn't in `octets` yet.
    AfterCr,
    InLine,
    /// Behind the header section.
    Ended,
    /// The limit came first.
    Cut,
}

impl HeaderCapture {
    /// For DATA: lines that begin with a dot have one dot too many (RFC 5321 §4.5.2).
    pub fn for_data(limit: usize) -> Self {
        Self { octets: Vec::new(), limit, dot_stuffed: true, place: Place::LineStart }
    }

    /// For BDAT: the octets are the message (RFC 3030 §2).
    pub fn for_bdat(limit: usize) -> Self {
        Self { dot_stuffed: false, ..Self::for_data(limit) }
    }

    /// Takes the next octets. `false`: there is no need to feed any more.
    pub fn feed(&mut self, octets: &[u8]) -> bool {
        self.feed_to_end(octets).is_none()
    }

    /// Takes the next octets. Once the header section has ended: those behind the empty line, or none where the limit came first.
    pub fn feed_to_end<'a>(&mut self, octets: &'a [u8]) -> Option<&'a [u8]> {
        let mut rest = octets;
        while let Some(&first) = rest.first() {
            match self.place {
                Place::Ended => return Some(rest.strip_prefix(b"\n").unwrap_or(rest)),
                Place::Cut => return Some(&[]),
                Place::InLine => rest = self.lines(rest),
                Place::LineStart if first == b'.' && self.dot_stuffed => {
                    self.place = Place::AfterDot;
                    rest = &rest[1..];
                }
                Place::LineStart | Place::AfterDot => match first {
                    b'\n' => self.place = Place::Ended,
                    b'\r' => {
                        self.place = Place::AfterCr;
                        rest = &rest[1..];
                    }
                    _ => self.place = Place::InLine,
                },
                Place::AfterCr if first == b'\n' => self.place = Place::Ended,
                Place::AfterCr => {
                    self.keep(b"\r");
                    if self.place != Place::Cut {
                        self.place = Place::InLine;
                    }
                }
            }
        }
        (!self.wants_more()).then_some(&[])
    }

    /// Whether [`feed`](Self::feed) still looks at what it is given.
    pub fn wants_more(&self) -> bool {
        !matches!(self.place, Place::Ended | Place::Cut)
    }

    /// Reads the fields out of what was captured and gives the memory back. To be called once; then there is nothing left.
    pub fn finish(&mut self) -> Headers {
        self.finish_with_octets().0
    }

    /// The same, with the octets that it was read from.
    pub fn finish_with_octets(&mut self) -> (Headers, Vec<u8>) {
        let octets = std::mem::take(&mut self.octets);
        let cut = self.place == Place::Cut;
        self.place = Place::Ended;
        (Headers::read(&octets, cut), octets)
    }

    /// Keeps whole lines in one piece until one is empty or begins with a dot; returns what is to be looked at next.
    fn lines<'a>(&mut self, octets: &'a [u8]) -> &'a [u8] {
        // Beyond the limit nothing is kept, so nothing needs to be searched either.
        let window = &octets[..octets.len().min((self.limit - self.octets.len()).saturating_add(1))];
        for line_end in memchr_iter(b'\n', window) {
            let next = line_end + 1;
            match window.get(next) {
                None => {}
                Some(b'\r' | b'\n') => {}
                Some(b'.') if self.dot_stuffed => {}
                Some(_) => continue,
            }
            self.keep(&octets[..next]);
            if self.place != Place::Cut {
                self.place = Place::LineStart;
            }
            return &octets[next..];
        }
        self.keep(window);
        &octets[window.len()..]
    }

    fn keep(&mut self, octets: &[u8]) {
        let room = self.limit - self.octets.len();
        if octets.len() > room {
            self.place = Place::Cut;
        }
        self.octets.extend_from_slice(&octets[..octets.len().min(room)]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn captured(capture: &mut HeaderCapture, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        for piece in pieces {
            let more = capture.feed(piece);
            assert_eq!(more, capture.wants_more());
        }
        (capture.octets.clone(), capture.place == Place::Cut)
    }

    #[track_caller]
    fn check(message: &[u8], header: &[u8]) {
        let (octets, cut) = captured(&mut HeaderCapture::for_data(64), &[message]);
        assert_eq!((octets.escape_ascii().to_string(), cut), (header.escape_ascii().to_string(), false));
        let single: Vec<&[u8]> = message.chunks(1).collect();
        let (octets, cut) = captured(&mut HeaderCapture::for_data(64), &single);
        assert_eq!((octets.escape_ascii().to_string(), cut), (header.escape_ascii().to_string(), false), "octet by octet");
    }

    #[test]
    fn ends_at_the_first_empty_line() {
        check(b"A: 1\r\nB: 2\r\n\r\nbody\r\n", b"A: 1\r\nB: 2\r\n");
        check(b"A: 1\n\nbody", b"A: 1\n");
        check(b"A: 1\r\n\nbody", b"A: 1\r\n");
        check(b"\r\nbody", b"");
        check(b"\nbody", b"");
        check(b"A: 1\r\n \r\nB: 2\r\n\r\n", b"A: 1\r\n \r\nB: 2\r\n");
        check(b"A: 1\r\n", b"A: 1\r\n");
        check(b"A: 1", b"A: 1");
        check(b"", b"");
    }

    #[test]
    fn a_cr_alone_is_not_an_empty_line() {
        check(b"\rA: 1\r\n\r\n", b"\rA: 1\r\n");
        check(b"A: 1\r\n\r\rB\r\n\r\n", b"A: 1\r\n\r\rB\r\n");
        check(b"A: 1\r\n\r.B\r\n\r\n", b"A: 1\r\n\r.B\r\n");
    }

    #[test]
    fn takes_the_stuffing_dot_away() {
        check(b"..A: 1\r\n.B: 2\r\n\r\n", b".A: 1\r\nB: 2\r\n");
        check(b"A: 1\r\n.\r\n", b"A: 1\r\n");
        check(b".\r\n", b"");
    }

    #[test]
    fn leaves_dots_alone_in_bdat() {
        let (octets, _) = captured(&mut HeaderCapture::for_bdat(64), &[b"..A: 1\r\n.B: 2\r\n\r\n"]);
        assert_eq!(octets, b"..A: 1\r\n.B: 2\r\n");
    }

    #[test]
    fn stops_at_the_limit() {
        let (octets, cut) = captured(&mut HeaderCapture::for_data(4), &[b"A: 1\r\n"]);
        assert_eq!((octets.as_slice(), cut), (&b"A: 1"[..], true));
        let (octets, cut) = captured(&mut HeaderCapture::for_data(6), &[b"A: 1\r\n\r\n"]);
        assert_eq!((octets.as_slice(), cut), (&b"A: 1\r\n"[..], false));
        let (octets, cut) = captured(&mut HeaderCapture::for_data(0), &[b"A"]);
        assert_eq!((octets.as_slice(), cut), (&b""[..], true));
    }

    #[test]
    fn owns_no_memory_before_and_after() {
        let mut capture = HeaderCapture::for_data(65_536);
        assert_eq!(capture.octets.capacity(), 0);
        capture.feed(b"Subject: a\r\n\r\n");
        assert_eq!(capture.finish().subject.as_deref(), Some("a"));
        assert_eq!(capture.octets.capacity(), 0);
        assert!(!capture.feed(b"Subject: b\r\n"));
    }

    /// Octets in the alphabet in which header sections end.
    fn message() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b':'), Just(b' '), Just(b'a'), any::<u8>()], 0..200)
    }

    /// The same in the plainest way: line by line.
    fn by_lines(message: &[u8], limit: usize) -> (Vec<u8>, bool) {
        let mut kept = Vec::new();
        for line in message.split_inclusive(|&octet| octet == b'\n') {
            let line = line.strip_prefix(b".").unwrap_or(line);
            if matches!(line, b"\r\n" | b"\n") {
                break;
            }
            kept.extend_from_slice(line);
        }
        let cut = kept.len() > limit;
        kept.truncate(limit);
        (kept, cut)
    }

    proptest! {
        #[test]
        fn any_split_captures_the_same(message in message(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6), limit in 0usize..260) {
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(message.len() + 1)).collect();
            cuts.push(0);
            cuts.push(message.len());
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &message[pair[0]..pair[1]]).collect();
            let (whole, whole_cut) = captured(&mut HeaderCapture::for_data(limit), &[&message]);
            let (split, split_cut) = captured(&mut HeaderCapture::for_data(limit), &pieces);
            prop_assert_eq!((&whole, whole_cut), (&split, split_cut));
            // A CR that may belong to an empty line is held back at the end of the octets.
            let (mut plain, plain_cut) = by_lines(&message, limit);
            if plain.len() > whole.len() {
                prop_assert_eq!(plain.pop(), Some(b'\r'));
            }
            prop_assert_eq!(&plain, &whole);
            prop_assert!(plain_cut == whole_cut || message.ends_with(b"\r"));
        }

        #[test]
        fn no_octets_panic(message in message(), limit in 0usize..260) {
            let mut capture = HeaderCapture::for_data(limit);
            capture.feed(&message);
            capture.finish();
        }
    }
}
