//! Looks for a secret in every form in which it could have slipped into a record.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use relayscope::trace::{Record, json, stored};

/// The forms of `secret` that are found in `records`, and where.
pub fn found(secret: &str, records: &[Record]) -> Vec<String> {
    let needles = forms(secret);
    let mut found = Vec::new();
    for record in records {
        let shown = format!("{record:?}");
        let octets = stored::encode(record, Vec::new()).expect("a record has a stored form");
        let public = serde_json::to_string(&json::Record::from(record)).expect("a record has a JSON form");
        for (place, haystack) in [("Debug", shown.as_bytes()), ("the stored form", &octets), ("JSON", public.as_bytes())] {
            let haystack = haystack.to_ascii_lowercase();
            for (form, needle) in &needles {
                if haystack.windows(needle.len()).any(|window| window == needle) {
                    found.push(format!("the secret ({form}) is in {place} of a {}", record.kind()));
                }
            }
        }
    }
    found
}

/// Plain, hex, and base 64 at each of the three places at which it can begin; all in lower case.
fn forms(secret: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut forms = vec![("plain", secret.as_bytes().to_vec())];
    forms.push(("hex", secret.bytes().map(|octet| format!("{octet:02x}")).collect::<String>().into_bytes()));
    for before in 0..3 {
        let padded = [&b"\0\0\0"[..before], secret.as_bytes()].concat();
        for (form, engine) in [("base 64", &STANDARD), ("URL-safe base 64", &URL_SAFE)] {
            let encoded = engine.encode(&padded);
            // Digits that also depend on what stands before or after the secret are left out.
            let (start, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
            forms.push((form, encoded.as_bytes()[start..end].to_vec()));
        }
    }
    for (_, form) in &mut forms {
        form.make_ascii_lowercase();
    }
    forms
}
