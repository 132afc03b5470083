//! Header sections: any cut gives the same fields, within bounds.
#![no_main]

mod cuts;

use libfuzzer_sys::fuzz_target;
use relayscope::message::HeaderCapture;

fn run<'a>(mut capture: HeaderCapture, pieces: impl Iterator<Item = &'a [u8]>) -> String {
    for piece in pieces {
        if !capture.feed(piece) {
            break;
        }
    }
    format!("{:?}", capture.finish())
}

fuzz_target!(|data: &[u8]| {
    let (pieces, input) = cuts::cut(data);
    for limit in [64, 65_536] {
        let whole = run(HeaderCapture::for_data(limit), std::iter::once(input));
        assert_eq!(whole, run(HeaderCapture::for_data(limit), pieces.iter().copied()));
        let whole = run(HeaderCapture::for_bdat(limit), std::iter::once(input));
        assert_eq!(whole, run(HeaderCapture::for_bdat(limit), pieces.iter().copied()));
    }
});
