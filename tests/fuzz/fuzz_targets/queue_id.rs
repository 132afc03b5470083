//! Queue ids in final replies: found in the reply's own words, or not at all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relayscope::message::upstream_queue_id;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines: Vec<&str> = text.split('\n').collect();
    for code in [250, 251, 354, 451, 550] {
        if let Some(found) = upstream_queue_id(code, &lines) {
            assert!(!found.id.is_empty() && lines.iter().any(|line| line.contains(&found.id)));
        }
    }
});
