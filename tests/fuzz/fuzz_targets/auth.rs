//! AUTH exchanges: nothing of a response shows but the user's name.
#![no_main]

use libfuzzer_sys::fuzz_target;
use relayscope::smtp::auth::{Exchange, cram_md5, decode, encode, plain, suspicious, xoauth2};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.split(|octet| *octet == b'\n');
    let mut exchange = Exchange::begin(parts.next().unwrap_or_default());
    for response in parts {
        exchange.response(response);
    }
    assert!(exchange.mechanism().len() <= 20);
    assert!(exchange.user().is_none_or(|user| !user.is_empty()));
    let _ = (decode(data), suspicious(data, false), cram_md5(data, "ann", "tanstaaf"));
    assert!(suspicious(data, true));

    // Whatever the user is called, the password doesn't show.
    let user: String = String::from_utf8_lossy(data).chars().filter(|it| !it.is_control()).take(40).collect();
    if user.contains("tanstaaf") {
        return;
    }
    for (argument, responses) in [
        (format!("PLAIN {}", plain(&user, "tanstaaf")), vec![]),
        ("PLAIN".to_owned(), vec![plain(&user, "tanstaaf")]),
        ("LOGIN".to_owned(), vec![encode(&user), encode("tanstaaf")]),
        (format!("XOAUTH2 {}", xoauth2(&user, "tanstaaf")), vec![]),
    ] {
        let mut exchange = Exchange::begin(argument.as_bytes());
        responses.iter().for_each(|response| exchange.response(response.as_bytes()));
        assert!(!format!("{exchange:?}").contains("tanstaaf"));
    }
});
