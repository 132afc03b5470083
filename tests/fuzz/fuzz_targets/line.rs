//! Command lines: what is cut out is what came, however it comes.
#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use relayscope::smtp::{LineError, next_line};

const LIMIT: usize = 40;

/// The lines, and the error that ended them.
fn lines<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<LineError>) {
    let (mut unread, mut lines) = (Vec::new(), Vec::new());
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            match next_line(&unread, LIMIT) {
                Ok(Some(length)) => lines.push(unread.drain(..length).collect()),
                Ok(None) => break,
                Err(error) => return (lines, Some(error)),
            }
        }
        assert!(unread.len() < LIMIT);
    }
    (lines, None)
}

fuzz_target!(|data: &[u8]| {
    let (pieces, input) = cuts::cut(data);
    let (made, error) = lines(pieces.into_iter());
    assert_eq!((made.clone(), error), lines(std::iter::once(input)));
    assert!(input.starts_with(&made.concat()));
    for line in made {
        let text = line.strip_suffix(b"\r\n").expect("a line ends with CRLF");
        assert!(line.len() <= LIMIT && !text.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)));
    }
});
