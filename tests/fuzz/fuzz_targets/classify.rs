//! Replies: whatever they say, there is a verdict, and the explanation agrees with it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relayscope::diagnose::{Facts, Rules};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (host, said) = text.split_once('\n').unwrap_or(("", &text));
    let rules = Rules::builtin();
    for host in [None, Some(host)] {
        let facts = Facts { text: said, host, banner: host, ..Facts::default() };
        let verdict = rules.classify(&facts);
        let explained = rules.explain(&facts);
        assert_eq!((verdict.cause, verdict.rule), (explained.cause, explained.rule.as_str()));
    }
    let _ = Rules::with_own(&[("fuzz.toml".to_owned(), text.chars().take(400).collect())]);
});
