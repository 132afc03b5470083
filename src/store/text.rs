//! How texts are compared in a search: without regard to case, by words, addresses by their parts.

use std::net::IpAddr;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// FNV-1a with a finish that spreads it to the upper bits. It stands in the index: never to be changed within a version.
pub(super) fn hash(octets: impl Iterator<Item = u8>) -> u64 {
    let mut hash = 0xCBF2_9CE4_8422_2325u64;
    for octet in octets {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01B3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    hash ^ (hash >> 33)
}

/// Appends a text as it is compared: in lower case, beyond ASCII composed and with compatibility forms made plain (`ﬁ` is `fi`, `ß` is
/// `ss`). It stands in the index: never to be changed within a version.
pub(super) fn fold(text: &str, out: &mut Vec<u8>) {
    if text.is_ascii() {
        let start = out.len();
        out.extend_from_slice(text.as_bytes());
        out[start..].make_ascii_lowercase();
        return;
    }
    let mut buffer = [0; 4];
    // Upper case first: that is where `ß` and the two small sigmas meet their likes.
    for c in text.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase) {
        out.extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
    }
}

pub(super) fn folded(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    fold(text, &mut out);
    out
}

/// Equal but for case.
pub(super) fn same(one: &str, other: &str) -> bool {
    if one.is_ascii() && other.is_ascii() {
        return one.eq_ignore_ascii_case(other);
    }
    folded(one) == folded(other)
}

/// Begins with, but for case.
pub(super) fn begins(text: &str, beginning: &str) -> bool {
    if text.is_ascii() && beginning.is_ascii() {
        return text.as_bytes().get(..beginning.len()).is_some_and(|start| start.eq_ignore_ascii_case(beginning.as_bytes()));
    }
    folded(text).starts_with(&folded(beginning))
}

/// Words of one text that count; nobody searches for the rest of a subject made of noise.
const TOKENS: usize = 32;

/// The words of a text: what stands between anything that is neither letter nor digit. Where words aren't set apart (Chinese, Japanese),
/// each character is one.
pub(super) fn tokens(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    let next = move || {
        rest = rest.trim_start_matches(|c: char| !c.is_alphanumeric());
        let first = rest.chars().next()?;
        // What is written in pieces (u and its dots) is composed only when it is compared.
        let ends = |c: char| (!c.is_alphanumeric() || stands_alone(c) || stands_alone(first)) && !is_combining_mark(c);
        let end = rest.char_indices().skip(1).find(|&(_, c)| ends(c)).map_or(rest.len(), |(at, _)| at);
        let (token, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(token)
    };
    std::iter::from_fn(next).take(TOKENS)
}

/// Han, Hiragana, Katakana.
fn stands_alone(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// Shortest beginning of a word that is taken for the word.
const FRAGMENT: usize = 3;

/// Whether that many characters say enough to look for words that begin with them.
pub(super) fn is_fragment(token: &str) -> bool {
    token.chars().nth(FRAGMENT - 1).is_some()
}

/// Whether `word` is `wanted`, or begins with it if that is long enough.
fn is_word(word: &str, wanted: &str, may_go_on: bool) -> bool {
    if may_go_on && is_fragment(wanted) { begins(word, wanted) } else { same(word, wanted) }
}

/// Whether the words of `part` follow one another in `text`; the last may be the beginning of one.
pub fn contains_words(text: &str, part: &str) -> bool {
    let wanted: Vec<_> = tokens(part).collect();
    let words: Vec<_> = tokens(text).collect();
    let last = wanted.len().saturating_sub(1);
    let fits = |window: &[&str]| window.iter().zip(&wanted).enumerate().all(|(at, (word, wanted))| is_word(word, wanted, at == last));
    !wanted.is_empty() && words.windows(wanted.len()).any(fits)
}

/// Whether all words of `wanted` are in `text`, in any order; the last may be the beginning of one.
pub fn has_words(text: &str, wanted: &str) -> bool {
    let wanted: Vec<_> = tokens(wanted).collect();
    let last = wanted.len().saturating_sub(1);
    !wanted.is_empty() && wanted.iter().enumerate().all(|(at, wanted)| tokens(text).any(|word| is_word(word, wanted, at == last)))
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
    fn words_are_found_without_case_and_the_last_by_its_beginning() {
        assert!(contains_words("20261123.AbC.7@mail.example", "abc.7@MAIL"));
        assert!(contains_words("20261123.AbC.7@mail.example", "7.mai"));
        assert!(!contains_words("20261123.abc.7@mail.example", "abc.mail"));
        assert!(!contains_words("20261123.abc.7@mail.example", "ab"), "two characters say too little");
        assert!(!contains_words("20261123.abc.7@mail.example", "mai.example"), "only the last word may be a beginning");
        assert!(!contains_words("anything", "<>"));
        assert!(has_words("Rechnung für März", "märz rechnung"));
        assert!(has_words("Rechnung für März", "märz rech"));
        assert!(has_words("Ru\u{308}ckmeldung", "rückmeldung") && has_words("Rückmeldung", "ru\u{308}ckm"));
        assert!(has_words("か\u{3099}っこう", "が") && !has_words("か\u{3099}っこう", "か"));
        assert!(!has_words("Rechnung für März", "april"));
        assert!(contains_words("明日の会議について", "会議"));
        assert!(!contains_words("明日の会議について", "議会"));
    }

    #[test]
    fn folding_does_not_see_case_or_form() {
        for (one, other) in [
            ("Bob@Example.ORG", "bob@example.org"),
            ("MÜLLER", "mu\u{308}ller"),
            ("STRASSE", "straße"),
            ("ΟΔΟΣ", "οδος"),
            ("ﬁn", "FIN"),
            ("", ""),
        ] {
            assert_eq!(folded(one), folded(other));
            assert!(same(one, other));
        }
        assert!(!same("a", "b"));
        assert!(begins("Müller", "MÜ") && !begins("Mü", "Müller"));
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
