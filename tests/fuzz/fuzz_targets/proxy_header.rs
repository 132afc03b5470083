//! PROXY headers: no octets panic, a cut changes nothing, nothing behind the header is taken, and what is written anew is read the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relayscope::net::proxy_header::{Framing, Subject, encode};

fuzz_target!(|data: &[u8]| {
    let Some((&piece, octets)) = data.split_first() else { return };
    let at_once = Framing::default().take(octets);
    let mut framing = Framing::default();
    let mut taken = 0;
    let mut arrived = 0;
    let in_pieces = loop {
        if arrived == octets.len() {
            break Ok((taken, None));
        }
        arrived = (arrived + usize::from(piece % 32) + 1).min(octets.len());
        match framing.take(&octets[taken..arrived]) {
            Ok((count, Some(header))) => break Ok((taken + count, Some(header))),
            Ok((count, None)) => taken += count,
            Err(error) => break Err(error),
        }
        assert_eq!(taken, arrived);
    };
    match (at_once, in_pieces) {
        (Ok(one), Ok(other)) => {
            assert_eq!(one, other);
            let (count, Some(header)) = one else { return };
            let alone = Framing::default().take(&octets[..count]).expect("the same header");
            assert_eq!(alone, (count, Some(header.clone())));
            let Subject::Client { source, destination } = header.subject else { return };
            let id = header.notes.unique_id.unwrap_or_default();
            let anew = encode(source, destination, &id);
            let (_, Some(read)) = Framing::default().take(&anew).expect("a header of our own") else { panic!("a whole header") };
            assert!(read.notes.checksummed);
            assert_eq!(read.subject, Subject::Client { source, destination });
            assert_eq!(read.notes.unique_id.unwrap_or_default(), id);
        }
        (Err(_), Err(_)) => {}
        (one, other) => panic!("{one:?} at once, {other:?} in pieces"),
    }
});
