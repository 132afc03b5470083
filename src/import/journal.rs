//! The journal's export format (`journalctl -o export`): entries of fields, cut out of a stream of octets.
//!
//! A field is `NAME=text` and LF, or `NAME` and LF, a length of 64 bits (little-endian), as many octets, and LF. An empty line ends an entry.
//! Described at <https://systemd.io/JOURNAL_EXPORT_FORMATS/>.

use super::lines::LONGEST_LINE;

/// Fields of an entry that are looked at.
const FIELDS: usize = 1_000;

/// Whether octets begin as an export does.
pub fn is_export(head: &[u8]) -> bool {
    head.starts_with(b"__CURSOR=") || head.starts_with(b"__REALTIME_TIMESTAMP=")
}

/// An entry, as far as it matters.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Exported {
    pub received: Option<u64>,
    pub sent: Option<u64>,
    pub host: Option<String>,
    pub program: Option<String>,
    pub text: Option<String>,
}

/// An entry, its place, and its octets; `None` where they can't be read.
#[derive(Debug, PartialEq, Eq)]
pub struct Cut<'a> {
    /// From 1.
    pub number: u64,
    pub start: u64,
    pub end: u64,
    pub octets: &'a [u8],
    pub entry: Option<Exported>,
}

/// Owns the unfinished entry.
#[derive(Debug, Default)]
pub struct Entries {
    carry: Vec<u8>,
    start: u64,
    entries: u64,
    /// What is being skipped is no whole entry: until the next empty line.
    skipping: bool,
}

/// What stands at the beginning of octets.
enum Found {
    /// A whole entry of that length.
    Entry(usize, Exported),
    /// It can't be an entry.
    Broken,
    Unfinished,
}

impl Entries {
    /// For octets from an entry's beginning within a file.
    pub fn resume(at: u64) -> Self {
        Self { start: at, ..Self::default() }
    }

    pub fn whole_until(&self) -> u64 {
        self.start
    }

    pub fn feed(&mut self, octets: &[u8], each: &mut dyn FnMut(Cut<'_>)) {
        self.carry.extend_from_slice(octets);
        self.cut(false, each);
    }

    pub fn finish(&mut self, each: &mut dyn FnMut(Cut<'_>)) {
        self.cut(true, each);
    }

    fn cut(&mut self, at_end: bool, each: &mut dyn FnMut(Cut<'_>)) {
        let carry = std::mem::take(&mut self.carry);
        let mut rest = carry.as_slice();
        while !rest.is_empty() {
            let (length, entry) = match if self.skipping { Found::Broken } else { read(rest) } {
                Found::Entry(length, entry) => (length, Some(entry)),
                // A stream that ends without the last empty line.
                Found::Unfinished if at_end => match read(&[rest, b"\n\n"].concat()) {
                    Found::Entry(_, entry) => (rest.len(), Some(entry)),
                    _ => (rest.len(), None),
                },
                Found::Unfinished if rest.len() <= LONGEST_LINE => break,
                Found::Unfinished | Found::Broken => match memchr::memmem::find(rest, b"\n\n") {
                    Some(at) => (at + 2, None),
                    None if at_end || rest.len() > LONGEST_LINE => (rest.len(), None),
                    None => break,
                },
            };
            let (octets, behind) = rest.split_at(length);
            rest = behind;
            self.skipping = entry.is_none() && !octets.ends_with(b"\n\n") && !at_end;
            let (start, end) = (self.start, self.start + length as u64);
            self.start = end;
            if octets != b"\n" {
                self.entries += 1;
                each(Cut { number: self.entries, start, end, octets, entry });
            }
        }
        self.carry = rest.to_vec();
    }
}

fn read(octets: &[u8]) -> Found {
    let (mut entry, mut at) = (Exported::default(), 0);
    for _ in 0..FIELDS {
        let Some(rest) = octets.get(at..) else { return Found::Unfinished };
        let Some(end) = memchr::memchr(b'\n', rest) else { return Found::Unfinished };
        let line = rest.get(..end).unwrap_or_default();
        at += end + 1;
        if line.is_empty() {
            return Found::Entry(at, entry);
        }
        match memchr::memchr(b'=', line) {
            Some(equals) => keep(&mut entry, line.get(..equals).unwrap_or_default(), line.get(equals + 1..).unwrap_or_default()),
            None => {
                let Some((length, behind)) = octets.get(at..).and_then(|rest| rest.split_first_chunk::<8>()) else {
                    return Found::Unfinished;
                };
                let Ok(length) = usize::try_from(u64::from_le_bytes(*length)) else { return Found::Broken };
                if length > LONGEST_LINE {
                    return Found::Broken;
                }
                let Some(value) = behind.get(..length) else { return Found::Unfinished };
                match behind.get(length) {
                    None => return Found::Unfinished,
                    Some(b'\n') => keep(&mut entry, line, value),
                    Some(_) => return Found::Broken,
                }
                at += 8 + length + 1;
            }
        }
    }
    Found::Broken
}

fn keep(entry: &mut Exported, name: &[u8], value: &[u8]) {
    let text = || Some(String::from_utf8_lossy(value).into_owned());
    let number = || std::str::from_utf8(value).ok().and_then(|it| it.parse().ok());
    match name {
        b"__REALTIME_TIMESTAMP" => entry.received = number(),
        b"_SOURCE_REALTIME_TIMESTAMP" => entry.sent = number(),
        b"_HOSTNAME" => entry.host = text(),
        b"SYSLOG_IDENTIFIER" => entry.program = text(),
        b"MESSAGE" => entry.text = text(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (u64, u64, u64, Option<Exported>);

    fn cut(octets: &[u8], length: usize) -> Vec<Owned> {
        let (mut entries, mut found) = (Entries::default(), Vec::new());
        let mut each = |it: Cut<'_>| found.push((it.number, it.start, it.end, it.entry));
        octets.chunks(length).for_each(|piece| entries.feed(piece, &mut each));
        entries.finish(&mut each);
        found
    }

    fn texts(octets: &[u8]) -> Vec<Option<String>> {
        cut(octets, 5).into_iter().map(|it| it.3.and_then(|it| it.text)).collect()
    }

    #[test]
    fn entries_are_cut_out() {
        let octets = b"__CURSOR=s\n__REALTIME_TIMESTAMP=17\nMESSAGE=one=1\n\n\
                       __CURSOR=t\nMESSAGE\n\x04\0\0\0\0\0\0\0a\n\nb\n_HOSTNAME=mail\n\n\
                       __CURSOR=u\nMESSAGE=three\n";
        assert_eq!(texts(octets), [Some("one=1".into()), Some("a\n\nb".into()), Some("three".into())]);
        assert_eq!(cut(octets, 5)[0].3.as_ref().unwrap().received, Some(17));
        assert_eq!(cut(octets, 5)[1].2, octets.len() as u64 - 25);
    }

    #[test]
    fn a_broken_entry_takes_none_along() {
        let octets = b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xffrest\n\n__CURSOR=u\nMESSAGE=two\n\n";
        assert_eq!(texts(octets), [None, Some("two".into())]);
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_entries(
            octets in "((MESSAGE|_HOSTNAME|X)=[a=]{0,3}\n|MESSAGE\n\u{1}\0\0\0\0\0\0\0[ab]\n|\n|[a\0]){0,12}", length in 1usize..9,
        ) {
            prop_assert_eq!(cut(octets.as_bytes(), length), cut(octets.as_bytes(), octets.len().max(1)));
        }
    }
}
