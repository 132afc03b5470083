//! Logs of other servers: any cut gives the same entries, and every line is counted.
#![no_main]

mod cuts;

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use relayscope::import::{Counts, Format, Identified, Options, Reader};

fn run<'a>(format: Format, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Identified>, Counts, u64) {
    let (mut reader, mut entries) = (Reader::new(Options::new(format, TimeZone::UTC)), Vec::new());
    pieces.for_each(|piece| reader.feed(piece, &mut entries));
    reader.finish(&mut entries);
    (entries, reader.counts(), reader.whole_until())
}

fuzz_target!(|data: &[u8]| {
    let Some((&which, data)) = data.split_first() else { return };
    let format = Format::ALL[usize::from(which) % Format::ALL.len()];
    let (pieces, input) = cuts::cut(data);
    let whole = run(format, std::iter::once(input));
    assert_eq!(whole.1.lines, whole.1.read + whole.1.foreign + whole.1.unreadable);
    assert_eq!((whole.0.len() as u64, whole.2), (whole.1.entries() + whole.1.older, input.len() as u64));
    assert_eq!(whole, run(format, pieces.iter().copied()));
});
