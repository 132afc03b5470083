//! EHLO sets: what is offered is one whole reply, made of the upstream's lines and our own SIZE and STARTTLS.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relayscope::smtp::ehlo::{Extensions, OfferPolicy, offer};
use relayscope::smtp::{ReplyScanner, ReplyView};

fuzz_target!(|data: &[u8]| {
    let Some((&switches, octets)) = data.split_first() else { return };
    let Ok(Some(length)) = ReplyScanner::default().next(octets, 4_096, 256) else { return };
    let view = ReplyView::new(&octets[..length]);
    let hide = ["CHUNKING".to_owned()];
    let on = |bit: u8| switches & (1 << bit) != 0;
    let policy = OfferPolicy {
        recipients: None,
        starttls: on(0),
        passed_through: on(6),
        auth: if on(1) { Ok(()) } else { Err("no TLS") },
        tls_terminated: on(2),
        requiretls: on(3),
        size: if on(4) { 1_000 } else { 0 },
        hide: if on(5) { &hide } else { &[] },
        pass: &[],
    };
    let made = offer(&view, &policy);
    let mut scanner = ReplyScanner::default();
    assert_eq!(scanner.next(&made.octets, usize::MAX, usize::MAX), Ok(Some(made.octets.len())), "one whole reply");
    let theirs: Vec<&[u8]> = view.lines().collect();
    let offered = ReplyView::new(&made.octets);
    assert_eq!(offered.code(), 250);
    for line in offered.lines() {
        let ours = line.starts_with(b"SIZE ") || line == b"STARTTLS" || line.starts_with(b"AUTH ");
        assert!(ours || theirs.contains(&line));
        assert!(on(1) || !line.to_ascii_uppercase().starts_with(b"AUTH"));
    }
    let extensions = Extensions::read(&view);
    assert!(extensions.chunking || !made.chunking);
    assert!(!(on(5) && made.chunking));
});
