//! Joins lines of a CSV file whose quoted fields hold line ends.

use super::lines::Line;

/// Lines of one record, and their octets together.
const MOST_LINES: usize = 500;
const MOST_OCTETS: usize = 1 << 20;

/// Holds the lines of a record whose quotes are still open.
#[derive(Debug, Default)]
pub struct Quoted {
    held: Vec<Line<'static>>,
    octets: usize,
    is_open: bool,
}

impl Quoted {
    /// Takes a line; gives the record that it ends. Where quotes stay open for too long, they were none: the first line goes by itself, and
    /// what came behind it is looked at anew.
    pub fn take<'a>(&mut self, line: Line<'a>) -> Vec<Line<'a>> {
        let quotes = memchr::memchr_iter(b'"', &line.octets).count();
        if self.held.is_empty() && quotes.is_multiple_of(2) {
            return vec![line];
        }
        let mut given = Vec::new();
        self.hold(line, quotes);
        if !self.is_open {
            given.extend(self.join());
        } else if self.held.len() > MOST_LINES || self.octets > MOST_OCTETS {
            given.extend(self.without_first());
        }
        given
    }

    /// The file ends: what is held is no record, but its lines may be.
    pub fn give_up(&mut self) -> Vec<Line<'static>> {
        let mut given = Vec::new();
        while !self.held.is_empty() {
            given.extend(self.without_first());
        }
        given
    }

    /// Where the record begins whose end hasn't come.
    pub fn start(&self) -> Option<u64> {
        self.held.first().map(|line| line.start)
    }

    fn hold(&mut self, line: Line<'_>, quotes: usize) {
        self.is_open ^= quotes % 2 == 1;
        self.octets += line.octets.len();
        self.held.push(Line { octets: line.octets.into_owned().into(), ..line });
    }

    fn join(&mut self) -> Option<Line<'static>> {
        let mut lines = std::mem::take(self).held.into_iter();
        let mut whole = lines.next()?;
        for line in lines {
            let octets = whole.octets.to_mut();
            octets.push(b'\n');
            octets.extend_from_slice(&line.octets);
            whole.end = line.end;
            whole.is_cut |= line.is_cut;
        }
        Some(whole)
    }

    fn without_first(&mut self) -> Vec<Line<'static>> {
        let mut lines = std::mem::take(self).held.into_iter();
        let mut given: Vec<_> = lines.next().into_iter().collect();
        for line in lines {
            let quotes = memchr::memchr_iter(b'"', &line.octets).count();
            if self.held.is_empty() && quotes.is_multiple_of(2) {
                given.push(line);
                continue;
            }
            self.hold(line, quotes);
            if !self.is_open {
                given.extend(self.join());
            }
        }
        given
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(text: &str) -> Vec<String> {
        let (mut quoted, mut given) = (Quoted::default(), Vec::new());
        for (number, line) in text.lines().enumerate() {
            let line = Line { number: number as u64, start: 0, end: 0, octets: line.as_bytes().to_vec().into(), is_cut: false };
            given.extend(quoted.take(line));
        }
        given.extend(quoted.give_up());
        given.into_iter().map(|line| String::from_utf8(line.octets.into_owned()).unwrap()).collect()
    }

    #[test]
    fn quoted_line_ends_are_part_of_a_record() {
        assert_eq!(joined("a,\"b\nc\"\"\nd\",e\nf"), ["a,\"b\nc\"\"\nd\",e", "f"]);
        assert_eq!(joined("a\"\nb\n\"c,\"d\"\ne"), ["a\"\nb\n\"c,\"d\"", "e"]);
        assert_eq!(joined("a,\"b\nc\nd"), ["a,\"b", "c", "d"]);
    }

    #[test]
    fn a_lost_quote_takes_few_lines_along() {
        let text = format!("a,\"b\n{}", "c\n".repeat(2_000));
        let given = joined(&text);
        assert_eq!((given.len(), given[0].as_str()), (2_001, "a,\"b"));
    }
}
