//! Keeps a copy of a delivery report while it streams by: its header section, and enough of its body.

/// The octets of one message from its start, up to a limit.
#[derive(Debug)]
pub struct ReportCapture {
    octets: Vec<u8>,
    limit: usize,
    dot_stuffed: bool,
    /// The next octet begins a line.
    at_line_start: bool,
    cut: bool,
}

impl ReportCapture {
    /// Behind a header section, given as [`super::HeaderCapture`] kept it. `dot_stuffed`: what follows is of DATA (RFC 5321 §4.5.2).
    pub fn behind(mut header: Vec<u8>, limit: usize, dot_stuffed: bool) -> Self {
        header.extend_from_slice(b"\r\n");
        Self { octets: header, limit, dot_stuffed, at_line_start: true, cut: false }
    }

    /// Takes the next octets of the body, in any split.
    pub fn feed(&mut self, mut octets: &[u8]) {
        while !octets.is_empty() && !self.cut {
            if self.at_line_start && self.dot_stuffed && octets.first() == Some(&b'.') {
                octets = octets.get(1..).unwrap_or_default();
                self.at_line_start = false;
                continue;
            }
            let line = memchr::memchr(b'\n', octets).map_or(octets.len(), |line_end| line_end + 1);
            let room = self.limit.saturating_sub(self.octets.len());
            let kept = octets.get(..line.min(room)).unwrap_or_default();
            self.octets.extend_from_slice(kept);
            self.cut = room < line;
            self.at_line_start = kept.ends_with(b"\n");
            octets = octets.get(line..).unwrap_or_default();
        }
    }

    /// What was kept, dot-stuffing removed, and whether that is less than there was.
    pub fn finish(self) -> (Vec<u8>, bool) {
        (self.octets, self.cut)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn captured(pieces: &[&[u8]], limit: usize, dot_stuffed: bool) -> (String, bool) {
        let mut capture = ReportCapture::behind(b"A: 1\r\n".to_vec(), limit, dot_stuffed);
        pieces.iter().for_each(|piece| capture.feed(piece));
        let (octets, cut) = capture.finish();
        (octets.escape_ascii().to_string(), cut)
    }

    #[test]
    fn dots_are_taken_away_from_data_only() {
        assert_eq!(captured(&[b"..b\r\n.c.\r\n"], 99, true).0, r"A: 1\r\n\r\n.b\r\nc.\r\n");
        assert_eq!(captured(&[b"..b\r\n"], 99, false).0, r"A: 1\r\n\r\n..b\r\n");
    }

    #[test]
    fn it_stops_at_the_limit() {
        assert_eq!(captured(&[b"abc", b"def"], 12, true), (r"A: 1\r\n\r\nabcd".to_owned(), true));
        assert_eq!(captured(&[b"abcd"], 12, true), (r"A: 1\r\n\r\nabcd".to_owned(), false));
    }

    proptest! {
        #[test]
        fn any_split_keeps_the_same(body in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a')], 0..60), cut in any::<prop::sample::Index>(), limit in 0usize..90) {
            let cut = cut.index(body.len() + 1);
            prop_assert_eq!(captured(&[&body], limit, true), captured(&[&body[..cut], &body[cut..]], limit, true));
        }
    }
}
