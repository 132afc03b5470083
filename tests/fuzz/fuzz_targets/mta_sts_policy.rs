//! MTA-STS policies: what is read holds no longer than a year, and names hosts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relayscope::net::mta_sts::{LONGEST_SECONDS, Mode, Policy};

fuzz_target!(|text: &str| {
    let Ok(policy) = Policy::parse("1", text) else { return };
    assert!(policy.max_age <= LONGEST_SECONDS);
    assert!(policy.mode == Mode::None || !policy.mx.is_empty());
    for pattern in &policy.mx {
        let host = pattern.strip_prefix("*.").map_or_else(|| pattern.clone(), |domain| format!("a.{domain}"));
        assert!(policy.matches(&host) && policy.matches(&host.to_ascii_uppercase()));
    }
});
