//! Cuts the octets of a log into lines: of bounded length, in UTF-8 or UTF-16, however the octets come.

use std::borrow::Cow;

/// Octets of a line that are kept; further ones are skipped.
pub const LONGEST_LINE: usize = 1 << 20;

/// A line without its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1, counted from where reading began.
    pub number: u64,
    /// Where it begins in the file, and where the next one does.
    pub start: u64,
    pub end: u64,
    /// UTF-16 is made UTF-8; other octets are as they came.
    pub octets: Cow<'a, [u8]>,
    /// It is longer than [`LONGEST_LINE`]: this is its beginning.
    pub is_cut: bool,
}

/// How the file writes characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, or any other in which LF is one octet.
    Octets,
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    /// From the first octets of a file: its byte order mark, or zeros where ASCII in UTF-16 has them. With the mark's length.
    pub fn of(head: &[u8]) -> (Self, usize) {
        match head {
            [0xEF, 0xBB, 0xBF, ..] => (Self::Octets, 3),
            [0xFF, 0xFE, ..] => (Self::Utf16Le, 2),
            [0xFE, 0xFF, ..] => (Self::Utf16Be, 2),
            [first, 0, second, 0, ..] if *first != 0 && *second != 0 => (Self::Utf16Le, 0),
            [0, first, 0, second, ..] if *first != 0 && *second != 0 => (Self::Utf16Be, 0),
            _ => (Self::Octets, 0),
        }
    }
}

/// Octets that [`Encoding::of`] wants to see.
pub const HEAD: usize = 4;

/// Owns the unfinished line; neither file nor clock. The default is for octets from the beginning of a file.
#[derive(Debug, Default)]
pub struct Lines {
    encoding: Option<Encoding>,
    /// The beginning of a line whose end hasn't come.
    carry: Vec<u8>,
    /// Where the unfinished line begins.
    start: u64,
    /// Where the next octet fed belongs.
    at: u64,
    lines: u64,
    /// The rest of this line is beyond the bound.
    skipping: bool,
}

impl Lines {
    /// For octets from a line's beginning within a file whose encoding is known.
    pub fn resume(encoding: Encoding, at: u64) -> Self {
        Self { encoding: Some(encoding), start: at, at, ..Self::default() }
    }

    /// Where the first line that isn't whole begins.
    pub fn whole_until(&self) -> u64 {
        self.start
    }

    /// Takes octets in and gives each line that is whole.
    pub fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(Line<'_>)) {
        let Some(encoding) = self.encoding else {
            // The first octets decide; they wait until there are enough.
            self.carry.extend_from_slice(octets);
            if self.carry.len() >= HEAD {
                self.decide(each);
            }
            return;
        };
        self.take(encoding, octets, each);
    }

    /// The file ends here: what is left is a line as well.
    pub fn finish(&mut self, each: &mut dyn FnMut(Line<'_>)) {
        if self.encoding.is_none() {
            self.decide(each);
        }
        if self.at > self.start {
            let line = std::mem::take(&mut self.carry);
            self.give(self.encoding.unwrap_or(Encoding::Octets), &line, each);
        }
    }

    fn decide(&mut self, each: &mut dyn FnMut(Line<'_>)) {
        let head = std::mem::take(&mut self.carry);
        let (encoding, mark) = Encoding::of(&head);
        self.encoding = Some(encoding);
        (self.start, self.at) = (mark as u64, mark as u64);
        self.take(encoding, head.get(mark..).unwrap_or_default(), each);
    }

    fn take(&mut self, encoding: Encoding, mut octets: &[u8], each: &mut dyn FnMut(Line<'_>)) {
        while let Some(length) = self.line_length(encoding, octets) {
            let (line, rest) = octets.split_at(length);
            octets = rest;
            self.at += length as u64;
            if self.carry.is_empty() {
                self.give(encoding, line, each);
            } else {
                self.keep(line);
                let mut whole = std::mem::take(&mut self.carry);
                self.give(encoding, &whole, each);
                whole.clear();
                self.carry = whole;
            }
        }
        self.at += octets.len() as u64;
        self.keep(octets);
    }

    /// Keeps octets of an unfinished line within the bound.
    fn keep(&mut self, octets: &[u8]) {
        let room = LONGEST_LINE.saturating_sub(self.carry.len());
        self.skipping |= octets.len() > room;
        self.carry.extend_from_slice(octets.get(..room.min(octets.len())).unwrap_or_default());
    }

    /// Octets up to and with the first line end, of which the carry may hold the first half.
    fn line_length(&self, encoding: Encoding, octets: &[u8]) -> Option<usize> {
        let is_odd = (self.at - self.start) % 2;
        match encoding {
            Encoding::Octets => memchr::memchr(b'\n', octets).map(|at| at + 1),
            // The second half of LF in little-endian is the zero; a pair begins at an even place of the line.
            Encoding::Utf16Le => {
                if is_odd == 1 && octets.first() == Some(&0) && self.carry.last() == Some(&b'\n') && !self.skipping {
                    return Some(1);
                }
                pair(octets, is_odd as usize, b"\n\0")
            }
            Encoding::Utf16Be => {
                if is_odd == 1 && octets.first() == Some(&b'\n') && self.carry.last() == Some(&0) && !self.skipping {
                    return Some(1);
                }
                pair(octets, is_odd as usize, b"\0\n")
            }
        }
    }

    fn give(&mut self, encoding: Encoding, line: &[u8], each: &mut dyn FnMut(Line<'_>)) {
        self.lines += 1;
        let is_cut = std::mem::take(&mut self.skipping) || line.len() > LONGEST_LINE;
        let line = line.get(..LONGEST_LINE.min(line.len())).unwrap_or_default();
        let octets = match encoding {
            Encoding::Octets => Cow::Borrowed(without_end(line)),
            Encoding::Utf16Le => Cow::Owned(without_end(decode(line, u16::from_le_bytes).as_bytes()).to_vec()),
            Encoding::Utf16Be => Cow::Owned(without_end(decode(line, u16::from_be_bytes).as_bytes()).to_vec()),
        };
        each(Line { number: self.lines, start: self.start, end: self.at, octets, is_cut });
        self.start = self.at;
    }
}

/// Octets up to and with the first such pair at an even distance from `from`.
fn pair(octets: &[u8], from: usize, pair: &[u8; 2]) -> Option<usize> {
    let unread = octets.get(from..)?;
    unread.as_chunks::<2>().0.iter().position(|it| it == pair).map(|at| from + at * 2 + 2)
}

fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn decode(line: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = line.as_chunks::<2>().0.iter().map(|pair| unit(*pair));
    char::decode_utf16(units).map(|it| it.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (u64, u64, u64, Vec<u8>, bool);

    /// The lines of octets that come in pieces of that length.
    fn cut(octets: &[u8], length: usize) -> Vec<Owned> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        let mut each = |line: Line<'_>| found.push((line.number, line.start, line.end, line.octets.into_owned(), line.is_cut));
        octets.chunks(length).for_each(|piece| lines.feed(piece, &mut each));
        lines.finish(&mut each);
        found
    }

    fn texts(octets: &[u8]) -> Vec<String> {
        cut(octets, 7).into_iter().map(|line| String::from_utf8_lossy(&line.3).into_owned()).collect()
    }

    #[test]
    fn lines_end_as_they_like() {
        assert_eq!(texts(b"a\nb\r\n\nlast"), ["a", "b", "", "last"]);
        assert_eq!(texts(b""), [] as [&str; 0]);
        assert_eq!(texts(b"a"), ["a"]);
        assert_eq!(texts(b"\xEF\xBB\xBFa\nb\n"), ["a", "b"]);
        let places: Vec<_> = cut(b"ab\r\nc\n", 2).iter().map(|it| (it.0, it.1, it.2)).collect();
        assert_eq!(places, [(1, 0, 4), (2, 4, 6)]);
    }

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn utf_16_is_read_with_and_without_a_mark() {
        // U+0A00 and U+000A side by side: only whole pairs count.
        for text in ["\u{feff}#ab\r\nüc\nz", "#ab\r\nüc\nz", "\u{feff}#\u{a00}\u{a0a}\nx"] {
            let expected: Vec<_> = text.trim_start_matches('\u{feff}').lines().map(str::to_owned).collect();
            for length in 1..9 {
                for octets in [utf16(text, u16::to_le_bytes), utf16(text, u16::to_be_bytes)] {
                    let found: Vec<_> = cut(&octets, length).into_iter().map(|it| String::from_utf8(it.3).unwrap()).collect();
                    assert_eq!(found, expected, "{text:?} in pieces of {length}");
                }
            }
        }
    }

    #[test]
    fn endless_lines_are_cut() {
        let octets = [&vec![b'x'; LONGEST_LINE + 5][..], b"\nnext\n"].concat();
        for length in [4_096, octets.len()] {
            let lines = cut(&octets, length);
            assert_eq!((lines[0].3.len(), lines[0].4), (LONGEST_LINE, true));
            assert_eq!((lines[1].3.as_slice(), lines[1].4, lines[1].2), (&b"next"[..], false, octets.len() as u64));
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_lines(octets in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(0u8), Just(b'\r'), any::<u8>()], 0..80), length in 1usize..9) {
            prop_assert_eq!(cut(&octets, length), cut(&octets, octets.len().max(1)));
        }
    }
}
