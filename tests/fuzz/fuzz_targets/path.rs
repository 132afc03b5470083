//! MAIL FROM and RCPT TO: address and parameters are the command's own octets.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relayscope::smtp::PathCommand;
use relayscope::smtp::path::decode_xtext;

fn is_part(part: &[u8], whole: &[u8]) -> bool {
    part.is_empty() || whole.windows(part.len()).any(|window| window == part)
}

fuzz_target!(|data: &[u8]| {
    for argument in [data.to_vec(), [b"FROM:", data].concat(), [b"FROM:<", data].concat()] {
        let Some(path) = PathCommand::parse(&argument, b"FROM:") else { continue };
        assert!(is_part(path.address, &argument));
        assert!(path.parameters.iter().all(|parameter| !parameter.is_empty() && is_part(parameter, &argument)));
        for keyword in ["SIZE", "ENVID", "SMTPUTF8", ""] {
            let _ = path.has(keyword);
            if let Some(value) = path.value(keyword) {
                assert!(is_part(value, &argument));
                assert!(decode_xtext(value).len() <= value.len());
            }
        }
    }
});
