//! Who signed a message, and with which key: the two tags of a DKIM signature that a look-up needs (RFC 6376 §3.5).

use serde::{Deserialize, Serialize};

/// Signatures that are kept of a message; further ones are left out.
pub const MOST_SIGNATURES: usize = 4;
/// Octets of each name.
const LONGEST: usize = 253;

/// The key is at `selector._domainkey.domain`. Nothing is verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Signature {
    /// Tag `d`, lower case.
    pub domain: String,
    /// Tag `s`, lower case.
    pub selector: String,
}

impl Signature {
    /// Reads the value of a `DKIM-Signature` field, folded or not. `None`: it lacks a tag, or has names that are none.
    pub fn read(value: &[u8]) -> Option<Self> {
        let (mut domain, mut selector) = (None, None);
        for tag in value.split(|&octet| octet == b';') {
            let Some(equals) = memchr::memchr(b'=', tag) else { continue };
            let (name, value) = (tag.get(..equals)?.trim_ascii(), tag.get(equals + 1..)?.trim_ascii());
            match name {
                b"d" => domain = domain.or(host(value)),
                b"s" => selector = selector.or(host(value)),
                _ => {}
            }
        }
        Some(Self { domain: domain?, selector: selector? })
    }
}

fn host(value: &[u8]) -> Option<String> {
    let fits = !value.is_empty() && value.len() <= LONGEST;
    let is_name = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    (fits && value.iter().all(is_name)).then(|| String::from_utf8_lossy(value).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<(&str, &str)>) {
        let read = Signature::read(value.as_bytes());
        assert_eq!(read.as_ref().map(|it| (it.domain.as_str(), it.selector.as_str())), expected, "{value:?}");
    }

    #[test]
    fn two_tags_are_read() {
        check(" v=1; a=rsa-sha256; d=Example.ORG; s=mail2026;\r\n\th=from:to; bh=d=s=; b=AbC=", Some(("example.org", "mail2026")));
        check("s = a.b ;\r\n d\r\n = x.example", Some(("x.example", "a.b")));
        check("d=x.example; d=y.example; s=1; s=2", Some(("x.example", "1")));
        check("d=x.example", None);
        check("d=x example; s=1", None);
        check("d=; s=1", None);
        check("d=ü.example; s=1", None);
        check("", None);
    }

    proptest! {
        #[test]
        fn no_octets_panic(value in prop::collection::vec(any::<u8>(), 0..200)) {
            Signature::read(&value);
        }
    }
}
