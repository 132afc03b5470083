//! Replies: what is found is what came, however it trickles in.
#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use relayscope::smtp::{ReplyError, ReplyScanner, ReplyView};

const LINE: usize = 70;
const LINES: usize = 4;

fn replies<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<ReplyError>) {
    let (mut unread, mut found, mut scanner) = (Vec::new(), Vec::new(), ReplyScanner::default());
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            match scanner.next(&unread, LINE, LINES) {
                Ok(Some(length)) => found.push(unread.drain(..length).collect()),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(unread.len() <= LINE * LINES);
        assert_eq!(scanner.in_reply(), !unread.is_empty());
    }
    (found, None)
}

fuzz_target!(|data: &[u8]| {
    let (pieces, input) = cuts::cut(data);
    let (found, error) = replies(pieces.into_iter());
    assert_eq!((found.clone(), error), replies(std::iter::once(input)));
    assert!(input.starts_with(&found.concat()));
    for reply in &found {
        let view = ReplyView::new(reply);
        assert!((200..600).contains(&view.code()));
        assert_eq!(view.octets(), reply);
        assert!(view.lines().count() >= 1);
        if let Some((class, ..)) = view.enhanced() {
            assert_eq!(u16::from(class), view.class());
        }
        let _ = view.malformed();
    }
    let _ = (ReplyView::new(input).enhanced(), ReplyView::new(input).malformed());
});
