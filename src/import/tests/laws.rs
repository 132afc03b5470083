//! What holds for whatever octets come: no panic, nothing lost, and cuts that change nothing.

use proptest::prelude::*;

use super::{options, samples};
use crate::import::{Counts, Format, Identified, Reader};

fn read(format: Format, octets: &[u8], length: usize) -> (Vec<Identified>, Counts, u64) {
    let (mut reader, mut entries) = (Reader::new(options(format)), Vec::new());
    octets.chunks(length).for_each(|piece| reader.feed(piece, &mut entries));
    reader.finish(&mut entries);
    (entries, reader.counts(), reader.whole_until())
}

/// A line of a server with some of its octets changed, moved or lost.
fn damaged() -> impl Strategy<Value = (Format, Vec<u8>)> {
    let samples = samples();
    (0..samples.len()).prop_flat_map(move |at| {
        let (format, log) = samples[at];
        let length = log.len();
        let change = (0..length, prop_oneof![Just(b' '), Just(b'"'), Just(b'<'), Just(b'\n'), Just(0u8), Just(0xFF), any::<u8>()]);
        (Just(format), proptest::collection::vec(change, 0..12), 0..length, 0..length).prop_map(move |(format, changes, from, to)| {
            let mut octets = log.as_bytes().to_vec();
            changes.iter().for_each(|(at, octet)| octets[*at] = *octet);
            octets.drain(from.min(to)..from.max(to).min(from.min(to) + 9));
            (format, octets)
        })
    })
}

#[test]
fn cuts_change_nothing() {
    for (format, log) in samples() {
        let whole = read(format, log.as_bytes(), log.len());
        for length in [1, 2, 3, 7, 64, 1_000] {
            assert_eq!(read(format, log.as_bytes(), length), whole, "{format} in pieces of {length}");
        }
    }
}

/// A line has the id that it has where its file is read alone: what is read twice is there once.
#[test]
fn ids_are_the_same_behind_another_file() {
    let log = b"2026-11-26T10:02:03Z mail postfix/qmgr[1]: 4F1A2B3C4D: removed\n".repeat(2);
    let alone = read(Format::Postfix, &log, log.len()).0;
    let (mut reader, mut entries) = (Reader::new(options(Format::Postfix)), Vec::new());
    for _ in 0..2 {
        reader.go_on(&options(Format::Postfix));
        reader.feed(&log, &mut entries);
        reader.finish(&mut entries);
    }
    assert_eq!(entries, [alone.clone(), alone].concat());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn damage_is_counted_and_cuts_change_nothing((format, octets) in damaged(), length in 1usize..200) {
        let whole = read(format, &octets, octets.len().max(1));
        prop_assert_eq!(whole.1.lines, whole.1.read + whole.1.foreign + whole.1.unreadable);
        prop_assert_eq!(whole.1.entries() + whole.1.older, whole.0.len() as u64);
        prop_assert_eq!(whole.2, octets.len() as u64);
        prop_assert_eq!(read(format, &octets, length), whole);
    }

    #[test]
    fn no_octets_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        for format in Format::ALL {
            read(*format, &octets, 50);
        }
    }

    #[test]
    fn no_line_panics(line in "(Nov 26 10:02:03 h |2026-11-26 10:02:03 )?(postfix/smtp\\[1\\]: 4F1A2B3C4D: |sm-mta\\[1\\]: 5AQA2B3x000011: |courieresmtp: |1r5abc-0003Xy-2B )?(to=<|from=<|=> |== |\\*\\* |<= |status=|stat=|relay=|H=|C=\"|\\[|\\]|, |>|: |id=|addr=<|550|ü){0,12}") {
        for format in Format::ALL {
            read(*format, line.as_bytes(), 50);
        }
    }
}
