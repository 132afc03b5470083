//! The end of DATA: what leaves is what came, the end is `<CRLF>.<CRLF>`, and nothing a lenient server could take for it gets through.
#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use relayscope::smtp::{EndOfData, Found, TERMINATOR};

/// What went on, how it ended, how many octets that took, and the counts.
fn run<'a>(pieces: impl Iterator<Item = &'a [u8]>, strict: bool) -> (Vec<u8>, Found, usize, (u32, u32, u64)) {
    let mut scanner = EndOfData::default();
    if strict {
        scanner.only_strict();
    }
    let (mut content, mut used, mut found) = (Vec::new(), 0, Found::More);
    for piece in pieces {
        let scan = scanner.scan(piece);
        content.extend_from_slice(scan.release);
        content.extend_from_slice(&piece[..scan.content]);
        used += scan.used;
        found = scan.found;
        if found != Found::More {
            break;
        }
        assert_eq!(scan.used, piece.len());
    }
    (content, found, used, (scanner.bare_newlines(), scanner.nuls(), scanner.stuffed_dots()))
}

/// A dot alone between any two of CR, LF and NUL, the way the laxest of servers would see the end.
fn loose_end(body: &[u8]) -> bool {
    let framed = [b"\r\n", body].concat();
    let lax = |octet: &u8| matches!(octet, b'\r' | b'\n');
    let no_nul: Vec<u8> = framed.iter().copied().filter(|octet| *octet != 0).collect();
    no_nul.windows(3).any(|window| lax(&window[0]) && window[1] == b'.' && lax(&window[2]))
}

fuzz_target!(|data: &[u8]| {
    let (pieces, input) = cuts::cut(data);
    for strict in [false, true] {
        let whole = run(std::iter::once(input), strict);
        let cut = run(pieces.iter().copied(), strict);
        assert_eq!(whole, cut);
        let (content, found, used, _) = whole;
        assert!(input.starts_with(&content));
        match found {
            Found::End => {
                assert_eq!([&content[..], TERMINATOR].concat(), &input[..used]);
                assert!(strict || !loose_end(&content), "a lenient server would end the message earlier");
            }
            Found::LooseDot => assert!(!strict),
            Found::More => assert!(input.len() - content.len() <= 2),
        }
    }
});
