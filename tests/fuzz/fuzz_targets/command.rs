//! Commands: verb and argument are the line's own octets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relayscope::smtp::{Command, Verb};

fuzz_target!(|data: &[u8]| {
    let command = Command::parse(data);
    assert!(data.starts_with(command.word));
    assert!(command.argument.is_empty() || data.windows(command.argument.len()).any(|window| window == command.argument));
    let upper = data.to_ascii_uppercase();
    assert_eq!(command.verb, Command::parse(&upper).verb, "case means nothing");
    if let Some((size, last)) = command.chunk() {
        assert!(size < 1_000_000_000_000_000_000);
        assert_eq!(last, upper.trim_ascii_end().ends_with(b"LAST"));
    }
    if command.verb != Verb::Unknown {
        assert!(command.word.iter().all(|octet| octet.is_ascii_alphanumeric() || *octet == b'-'));
    }
});
