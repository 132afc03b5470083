//! The keys that a domain publishes for DKIM (RFC 6376, RFC 8301, RFC 8463): there, readable, long enough, in use.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::task::JoinSet;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::{PublicKey, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

use super::super::check::Check;
use super::DomainOptions;
use super::tags::{Tags, described};
use crate::net::resolve::{Failure, Kind, Lookup, Resolver};

/// Selectors that providers and programs use unless told otherwise. One of them that isn't there means nothing.
const USUAL: &[&str] = &[
    "default",
    "dkim",
    "mail",
    "selector1",
    "selector2",
    "google",
    "k1",
    "k2",
    "s1",
    "s2",
    "smtp",
    "key1",
    "fm1",
    "protonmail",
    "mandrill",
    "zoho",
];
/// Selectors that are asked for.
const MOST: usize = 40;
/// RFC 8301 3.2: signers use 1024 bits at least, 2048 where they can; verifiers take nothing shorter than 1024 bits.
const SHORTEST: usize = 1_024;
const GOOD: usize = 2_048;

const WHY: &str = "receivers verify signatures with this key; without a good one the mail counts as unsigned";

pub(super) async fn examine(resolver: &Resolver, options: &DomainOptions, domain: &str) -> Vec<Check> {
    let mut wanted: Vec<(String, Origin)> = Vec::new();
    let named = options.selectors.iter().map(|it| (it, Origin::Named));
    let seen = options.seen_selectors.iter().map(|it| (it, Origin::Seen));
    let owned = named.chain(seen).map(|(selector, origin)| (selector.to_ascii_lowercase(), origin));
    for (selector, origin) in owned.chain(USUAL.iter().map(|it| ((*it).to_owned(), Origin::Usual))) {
        if wanted.len() < MOST && !wanted.iter().any(|(known, _)| *known == selector) {
            wanted.push((selector, origin));
        }
    }
    let mut tasks = JoinSet::new();
    for (place, (selector, origin)) in wanted.into_iter().enumerate() {
        let (resolver, name, patience) = (resolver.clone(), format!("{selector}._domainkey.{domain}"), options.patience);
        tasks.spawn(async move { (place, origin, resolver.look_up(&name, Kind::Txt, patience).await) });
    }
    let mut found = tasks.join_all().await;
    found.sort_by_key(|(place, ..)| *place);
    let checks: Vec<Check> = found.iter().filter_map(|(_, origin, lookup)| check(*origin, lookup)).collect();
    if !checks.is_empty() {
        return checks;
    }
    let unknown = found.iter().find_map(|(_, _, lookup)| lookup.failure().filter(|failure| !failure.is_denial()));
    let none = Check::asking("dkim.key", format!("the usual selectors of {domain} ({})", USUAL.join(", ")), WHY);
    if let Some(failure) = unknown {
        return vec![none.skipped(format!("they can't be looked up: {failure}"))];
    }
    vec![none.warn(
        "there is a key under none of them",
        "If the mail is signed, name the selector (`doctor.dkim_selectors`; it is s= in a DKIM-Signature header). If it isn't: have the mail server or the \
         smart host sign it.",
    )]
}

/// Who says that there is such a selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Named,
    Seen,
    Usual,
}

fn check(origin: Origin, lookup: &Lookup) -> Option<Check> {
    let name = &lookup.answer.name;
    let check = Check::asking("dkim.key", format!("TXT of {name}"), WHY).took(lookup.took);
    let whence = if origin == Origin::Seen { ", which signatures in the traces name" } else { "" };
    let publish =
        format!("Publish the key that the signer holds: `{name}. IN TXT \"v=DKIM1; k=rsa; p=…\"` (the signer's setup prints it).");
    match lookup.failure() {
        Some(_) if origin == Origin::Usual => return None,
        // Whoever signed wrote whatever they liked.
        Some(Failure::NotAName { .. }) if origin == Origin::Seen => return None,
        // It may have been in use until it was changed.
        Some(failure) if failure.is_denial() && origin == Origin::Seen => {
            return Some(check.warn(format!("there is no key{whence}: each signature with it fails, if it is still in use"), publish));
        }
        Some(failure) if failure.is_denial() => {
            return Some(check.fail("there is no key: each signature with it fails", publish));
        }
        Some(failure) => {
            return Some(check.fail(format!("{failure}{whence}"), "The name servers must be put right: receivers can't verify now."));
        }
        None => {}
    }
    let texts: Vec<String> = lookup.texts().iter().map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let keys: Vec<&String> = texts.iter().filter(|text| Tags::read(text).value("p").is_some()).collect();
    // A wildcard record of something else; or a key that was revoked, perhaps for all selectors, as domains do that send no mail.
    let is_revoked = |text: &&String| Tags::read(text).value("p").is_some_and(|key| key.trim().is_empty());
    if origin == Origin::Usual && keys.iter().all(is_revoked) {
        return None;
    }
    Some(match (keys.as_slice(), texts.as_slice()) {
        ([text], [_]) => {
            let (verdict, said) = judge(text);
            let answer = format!("{said}: {}", described(text));
            match verdict {
                Worth::Good => check.ok(answer),
                Worth::Weak(fix) => check.warn(answer, fix),
                Worth::Useless(fix) => check.fail(answer, fix),
            }
        }
        ([], [text, ..]) => check.fail(format!("it is no key: it has no p= tag: {}", described(text)), publish),
        _ => check.fail(
            format!("there are {} records; one is allowed, and receivers take any of them", texts.len()),
            "Delete all but the one that the signer uses.",
        ),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worth {
    Good,
    Weak(&'static str),
    Useless(&'static str),
}

/// What a key record is worth, and what it is, in words.
fn judge(text: &str) -> (Worth, String) {
    let tags = Tags::read(text);
    let syntax = "Publish the record again, exactly as the signer's setup printed it.";
    if let Some(flaw) = &tags.flaw {
        return (Worth::Useless(syntax), format!("it can't be read ({flaw})"));
    }
    let version = tags.list.iter().position(|tag| tag.name == "v");
    match (version, tags.value("v")) {
        (Some(0), Some("DKIM1")) | (None, _) => {}
        (Some(0), Some(other)) => return (Worth::Useless(syntax), format!("its version is {:?}, not DKIM1", described(other))),
        _ => return (Worth::Useless(syntax), "v=DKIM1 must come first".to_owned()),
    }
    let key: String = tags.value("p").unwrap_or_default().chars().filter(|it| !it.is_ascii_whitespace()).collect();
    if key.is_empty() {
        return (
            Worth::Useless("If the signer still uses this selector, give it the new one; otherwise all is well: leave the record."),
            "the key is revoked (empty p=)".to_owned(),
        );
    }
    let Ok(octets) = STANDARD.decode(&key) else {
        return (Worth::Useless(syntax), "p= is not base64: it was cut, or two strings were joined wrongly".to_owned());
    };
    let kind = tags.value("k").unwrap_or("rsa").to_ascii_lowercase();
    let (worth, said) = match kind.as_str() {
        "rsa" => rsa(&octets),
        "ed25519" if octets.len() == 32 => {
            (Worth::Good, "an Ed25519 key (keep an RSA one beside it: not all receivers know this kind)".to_owned())
        }
        "ed25519" => (Worth::Useless(syntax), format!("an Ed25519 key has 32 octets, this one {}", octets.len())),
        other => (Worth::Useless(syntax), format!("the key type {:?} is not known", described(other))),
    };
    let flags: Vec<&str> = tags.value("t").unwrap_or_default().split(':').map(str::trim).collect();
    let hashes = tags.value("h").map(|it| it.split(':').any(|hash| hash.trim() == "sha256"));
    let services = tags.value("s").map(|it| it.split(':').any(|service| matches!(service.trim(), "*" | "email")));
    if hashes == Some(false) {
        return (
            Worth::Useless("Take the h= tag out: SHA-1 alone is not accepted any more (RFC 8301)."),
            format!("{said}, for SHA-1 only"),
        );
    }
    if services == Some(false) {
        return (Worth::Useless("Take the s= tag out."), format!("{said}, not meant for mail (s=)"));
    }
    if worth == Worth::Good && flags.contains(&"y") {
        return (
            Worth::Weak("Take t=y out once signatures verify: it tells receivers to treat the mail as unsigned."),
            format!("{said}, in test mode (t=y)"),
        );
    }
    (worth, said)
}

fn rsa(octets: &[u8]) -> (Worth, String) {
    // RFC 6376 3.6.1 has an RSAPublicKey in mind, and everybody publishes a SubjectPublicKeyInfo.
    let bits = match SubjectPublicKeyInfo::from_der(octets) {
        Ok((_, info)) => match info.parsed() {
            Ok(PublicKey::RSA(key)) => Some(key.key_size()),
            _ => None,
        },
        Err(_) => RSAPublicKey::from_der(octets).ok().map(|(_, key)| key.key_size()),
    };
    match bits {
        None => (Worth::Useless("Publish the record again: the key was cut or is not an RSA key."), "p= holds no RSA key".to_owned()),
        Some(bits) if bits < SHORTEST => (
            Worth::Useless("Make a key of 2048 bits: receivers don't accept this one (RFC 8301)."),
            format!("an RSA key of {bits} bits, too short"),
        ),
        Some(bits) if bits < GOOD => (
            Worth::Weak("Make a key of 2048 bits under a new selector (RFC 8301)."),
            format!("an RSA key of {bits} bits, which is the least"),
        ),
        Some(bits) => (Worth::Good, format!("an RSA key of {bits} bits")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of that many bits, whose modulus is all ones: enough to be measured.
    fn key(bits: usize) -> String {
        fn der(tag: u8, content: &[u8]) -> Vec<u8> {
            let mut whole = vec![tag];
            match content.len() {
                length @ 0..128 => whole.push(length as u8),
                length => whole.extend([0x82, (length >> 8) as u8, length as u8]),
            }
            whole.extend(content);
            whole
        }
        let modulus = [vec![0], vec![0xff; bits / 8]].concat();
        let rsa = der(0x30, &[der(2, &modulus), der(2, &[1, 0, 1])].concat());
        let algorithm = [0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1, 5, 0];
        STANDARD.encode(der(0x30, &[algorithm.to_vec(), der(3, &[vec![0], rsa].concat())].concat()))
    }

    #[test]
    fn keys_are_worth_what_receivers_make_of_them() {
        let whole = |rest: &str, bits| format!("v=DKIM1; {rest}p={}", key(bits));
        let cases = [
            (whole("k=rsa; ", 2048), "good", "2048 bits"),
            (whole("", 4096), "good", "4096 bits"),
            (format!("p={}", key(2048)), "good", "2048 bits"),
            (whole("", 1024), "weak", "1024 bits"),
            (whole("", 512), "useless", "too short"),
            (whole("t=y; ", 2048), "weak", "test mode"),
            (whole("t=s; ", 2048), "good", "2048 bits"),
            (whole("h=sha1; ", 2048), "useless", "SHA-1"),
            (whole("s=other; ", 2048), "useless", "not meant for mail"),
            (whole("k=dsa; ", 2048), "useless", "not known"),
            ("v=DKIM1; p=".to_owned(), "useless", "revoked"),
            ("v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".to_owned(), "good", "Ed25519"),
            ("v=DKIM1; k=ed25519; p=11qY".to_owned(), "useless", "32 octets"),
            ("v=DKIM1; p=MIGf!".to_owned(), "useless", "not base64"),
            ("v=DKIM1; p=MIGfMA0G".to_owned(), "useless", "no RSA key"),
            ("v=DKIM1\\; p=MIGf".to_owned(), "useless", "backslash"),
            ("v=DKIM2; p=MIGf".to_owned(), "useless", "not DKIM1"),
            ("p=MIGf; v=DKIM1".to_owned(), "useless", "must come first"),
        ];
        for (text, worth, word) in cases {
            let (found, said) = judge(&text);
            let name = match found {
                Worth::Good => "good",
                Worth::Weak(_) => "weak",
                Worth::Useless(_) => "useless",
            };
            assert!(name == worth && said.contains(word), "{text}: {name}, {said}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "(v=DKIM1; ?)?((k|t|p|h|s)=[a-zA-Z0-9+/=:; ]{0,30};? ?){0,5}|\\PC{0,80}") {
            let _ = judge(&text);
        }
    }
}
