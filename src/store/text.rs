//! How texts are compared in a search: without regard to case, whole words, addresses by their parts.

use std::net::IpAddr;

/// FNV-1a with a finish that spreads it to the upper bits. It stands in the index: never to be changed within a version.
pub(super) fn hash(octets: impl Iterator<Item = u8>) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    for octet in octets {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^ (hash >> 33)
}

pub(super) fn folded_hash(text: &str) -> u64 {
    if text.is_ascii() {
        return hash(text.bytes().map(|octet| octet.to_ascii_lowercase()));
    }
    let mut buffer = [0; 4];
    let mut octets = Vec::with_capacity(text.len());
    for lower in text.chars().flat_map(char::to_lowercase) {
        octets.extend_from_slice(lower.encode_utf8(&mut buffer).as_bytes());
    }
    hash(octets.into_iter())
}

/// Equal but for case.
pub(super) fn same(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    one.chars().flat_map(char::to_lowercase).eq(other.chars().flat_map(char::to_lowercase))
}

/// Words of one text that count; nobody searches for the rest of a subject made of noise.
const TOKENS: usize = 32;

/// The words of a text: what stands between anything that is neither letter nor digit.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|token| !token.is_empty()).take(TOKENS)
}

/// Whether the words of `part` follow one another in `text`.
pub(super) fn contains_words(text: &str, part: &str) -> bool {
    let wanted: Vec<_> = tokens(part).collect();
    let words: Vec<_> = tokens(text).collect();
    !wanted.is_empty() && words.windows(wanted.len()).any(|window| window.iter().zip(&wanted).all(|(word, wanted)| same(word, wanted)))
}

/// Whether all words of `wanted` are in `text`, in any order.
pub(super) fn has_words(text: &str, wanted: &str) -> bool {
    let mut wanted = tokens(wanted).peekable();
    wanted.peek().is_some() && wanted.all(|wanted| tokens(text).any(|word| same(word, wanted)))
}

/// Local part and domain; a quoted local part may hold an `@` of its own.
pub(super) fn split_address(address: &str) -> (&str, Option<&str>) {
    match address.rsplit_once('@') {
        Some((local_part, domain)) => (local_part, Some(domain)),
        None => (address, None),
    }
}

/// The address in a header's `Name <address>`, or the text itself.
pub(super) fn address_in(header: &str) -> &str {
    match header.rsplit_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest).trim(),
        None => header.trim(),
    }
}

/// Without the angle brackets.
pub(super) fn bare(text: &str) -> &str {
    let text = text.trim();
    text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text)
}

/// One form for an address however it came in: `::ffff:192.0.2.1` is 192.0.2.1.
pub(super) fn address_octets(ip: IpAddr) -> [u8; 16] {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_whole_and_without_case() {
        assert!(contains_words("20261123.AbC.7@mail.example", "abc.7@MAIL"));
        assert!(!contains_words("20261123.abc.7@mail.example", "abc.mail"));
        assert!(!contains_words("20261123.abc.7@mail.example", "ab"));
        assert!(!contains_words("anything", "<>"));
        assert!(has_words("Rechnung für März", "märz rechnung"));
        assert!(!has_words("Rechnung für März", "april"));
    }

    #[test]
    fn hashes_do_not_see_case() {
        for (one, other) in [("Bob@Example.ORG", "bob@example.org"), ("MÜLLER", "müller"), ("", "")] {
            assert_eq!(folded_hash(one), folded_hash(other));
            assert!(same(one, other));
        }
        assert_ne!(folded_hash("a"), folded_hash("b"));
    }

    #[test]
    fn addresses_come_apart() {
        for (address, local_part, domain) in [
            ("a@x.example", "a", Some("x.example")),
            ("\"a@b\"@x.example", "\"a@b\"", Some("x.example")),
            ("postmaster", "postmaster", None),
            ("", "", None),
        ] {
            assert_eq!(split_address(address), (local_part, domain));
        }
        assert_eq!(address_in("Bob \"<\" <bob@x.example> (hi)"), "bob@x.example");
        assert_eq!(address_in(" bob@x.example "), "bob@x.example");
        assert_eq!(bare(" <a@b> "), "a@b");
    }
}
