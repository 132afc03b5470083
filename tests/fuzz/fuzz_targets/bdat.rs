//! BDAT through the machine: chunks of any octets, cut anywhere, arrive as they are; and bare newlines are counted the same.
#![no_main]

#[path = "../../support/conversation/mod.rs"]
mod conversation;
mod cuts;

use std::net::IpAddr;
use std::sync::Arc;

use conversation::script::plain_options;
use conversation::world::{ByHand, Input, Sign, World};
use libfuzzer_sys::fuzz_target;
use relayscope::smtp::BareNewlines;
use relayscope::trace::Leg;

fn octets(signs: &[Sign]) -> Vec<u8> {
    let all = signs.iter().filter_map(|sign| if let Sign::Octets(octets) = sign { Some(octets.as_slice()) } else { None });
    all.collect::<Vec<_>>().concat()
}

fuzz_target!(|data: &[u8]| {
    let (pieces, input) = cuts::cut(data);
    let count = |pieces: &[&[u8]]| {
        let mut newlines = BareNewlines::default();
        pieces.iter().for_each(|piece| newlines.look(piece));
        newlines.found()
    };
    assert_eq!(count(&[input]), count(&pieces));

    let mut world =
        World::new(Arc::new(plain_options()), IpAddr::from([127, 0, 0, 1]), ByHand { connect: false, store: false, mark: false, failures: false });
    world.start();
    for (leg, text) in [
        (Leg::Upstream, "220 mx.example\r\n"),
        (Leg::Client, "EHLO client.example\r\n"),
        (Leg::Upstream, "250-mx.example\r\n250-PIPELINING\r\n250 CHUNKING\r\n"),
        (Leg::Client, "MAIL FROM:<>\r\nRCPT TO:<bob@y.example>\r\n"),
        (Leg::Upstream, "250 ok\r\n250 ok\r\n"),
    ] {
        world.input(leg, Input::Octets(text.into()));
    }
    world.upstream_out.clear();
    // The chunks as one client would write them, then cut where the input's own pieces end.
    let (mut said, mut cuts) = (Vec::new(), Vec::new());
    for (at, chunk) in pieces.iter().enumerate() {
        let last = if at + 1 == pieces.len() { " LAST" } else { "" };
        said.extend_from_slice(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
        cuts.push(said.len() - at % 3);
        said.extend_from_slice(chunk);
    }
    let mut from = 0;
    for to in cuts.into_iter().chain([said.len()]) {
        world.input(Leg::Client, Input::Octets(said[from..to].to_vec()));
        from = to;
    }
    assert_eq!(octets(&world.upstream_out), said);
    assert!(world.violations.is_empty(), "{:?}", world.violations);
});
