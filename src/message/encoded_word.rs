//! RFC 2047 encoded words in header text: `=?utf-8?Q?caf=C3=A9?=` is read as `café`.

use memchr::{memchr, memchr_iter};

use super::lossy;

/// Where the first encoded word may begin.
pub fn start(text: &[u8]) -> Option<usize> {
    memchr_iter(b'=', text).find(|at| text.get(at + 1) == Some(&b'?'))
}

/// Appends `text` to `out`, encoded words decoded, until `out` is `bound` octets long or more.
///
/// What isn't an encoded word, or not a sound one, stays as it is. Octets that aren't UTF-8 are replaced.
pub fn decode(text: &[u8], bound: usize, out: &mut String) {
    let mut rest = text;
    let mut pending = Pending::default();
    while out.len() + pending.octets.len() < bound {
        let Some(at) = start(rest) else { break };
        let (before, from_word) = rest.split_at(at);
        let Some((word, behind)) = EncodedWord::split(from_word) else {
            pending.flush(out);
            let (kept, behind) = rest.split_at(at + 2);
            out.push_str(&lossy(kept));
            rest = behind;
            continue;
        };
        // RFC 2047 §6.2: white space between two encoded words isn't shown.
        if !(pending.follows_word && before.iter().all(u8::is_ascii_whitespace)) {
            pending.flush(out);
            out.push_str(&lossy(before));
        }
        pending.add(word, out);
        rest = behind;
    }
    pending.flush(out);
    if out.len() < bound {
        out.push_str(&lossy(rest));
    }
}

/// Octets of adjacent words in one charset: careless senders cut characters in two at the words' borders.
#[derive(Default)]
struct Pending<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
    follows_word: bool,
}

impl<'a> Pending<'a> {
    fn add(&mut self, word: EncodedWord<'a>, out: &mut String) {
        if !self.charset.eq_ignore_ascii_case(word.charset) {
            self.flush(out);
            self.charset = word.charset;
        }
        word.decode(&mut self.octets);
        self.follows_word = true;
    }

    fn flush(&mut self, out: &mut String) {
        if !self.octets.is_empty() {
            match charset_decoder(self.charset) {
                Some(decode) => out.push_str(&decode(&self.octets)),
                None => out.push_str(&lossy(&self.octets)),
            }
            self.octets.clear();
        }
        self.follows_word = false;
    }
}

/// `None`: UTF-8, or a charset nobody knows.
fn charset_decoder(charset: &[u8]) -> Option<fn(&[u8]) -> String> {
    if charset.eq_ignore_ascii_case(b"utf-8") || charset.is_empty() {
        return None;
    }
    mail_parser::decoders::charsets::map::charset_decoder(charset)
}

struct EncodedWord<'a> {
    charset: &'a [u8],
    base64: bool,
    text: &'a [u8],
}

/// RFC 2047 §2 allows 75 octets a word; real senders write longer ones.
const LONGEST_WORD: usize = 2_048;

impl<'a> EncodedWord<'a> {
    /// Splits `=?charset?encoding?text?=` off the front.
    fn split(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let word = octets.get(2..octets.len().min(LONGEST_WORD))?;
        let charset_end = memchr(b'?', word)?;
        let (charset, word) = (word.get(..charset_end)?, word.get(charset_end + 1..)?);
        // RFC 2231 §5: a language may stand behind the charset.
        let charset = charset.split(|&octet| octet == b'*').next().unwrap_or_default();
        if charset.is_empty() || charset.iter().any(|octet| !octet.is_ascii_graphic()) {
            return None;
        }
        let [encoding, b'?', text @ ..] = word else { return None };
        let base64 = match encoding {
            b'B' | b'b' => true,
            b'Q' | b'q' => false,
            _ => return None,
        };
        let end = if base64 { memchr(b'?', text)? } else { q_end(text)? };
        if text.get(end + 1) != Some(&b'=') {
            return None;
        }
        let length = octets.len().min(LONGEST_WORD) - text.len() + end + 2;
        Some((Self { charset, base64, text: text.get(..end)? }, octets.get(length..)?))
    }

    fn decode(&self, out: &mut Vec<u8>) {
        if self.base64 { decode_b(self.text, out) } else { decode_q(self.text, out) }
    }
}

/// A `?` may stand unencoded in the text of careless senders; the word ends at the first `?=`.
fn q_end(text: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, b"?=")
}

fn decode_q(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        match (first, behind) {
            (b'_', _) => out.push(b' '),
            (b'=', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'='),
            },
            _ => out.push(first),
        }
    }
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Padding may be missing and foreign octets (spaces, above all) may be strewn in: both occur.
fn decode_b(text: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut held) = (0u32, 0u8);
    for &octet in text {
        let value = match octet {
            b'A'..=b'Z' => octet - b'A',
            b'a'..=b'z' => octet - b'a' + 26,
            b'0'..=b'9' => octet - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let mut out = String::new();
        decode(text.as_bytes(), 998, &mut out);
        assert_eq!(out, expected);
    }

    #[test]
    fn decodes_what_is_encoded() {
        check("plain", "plain");
        check("=?utf-8?Q?caf=C3=A9?=", "café");
        check("=?UTF-8?B?w4RyZ2Vy?= im =?iso-8859-1?q?B=FCro?=", "Ärger im Büro");
        check("=?utf-8?q?a_b=5Fc?=", "a b_c");
        check("=?utf-8?q?a?= \t=?utf-8?q?b?=", "ab");
        check("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c");
        check("=?utf-8*de?q?gr=C3=BCn?=", "grün");
        check("=?windows-1251?B?z/Do4uXy?=", "Привет");
        check("=?iso-2022-jp?B?GyRCJU8lbSE8GyhC?=", "ハロー");
        check("=?gb2312?B?xOO6ww==?=", "你好");
        check("Re: =?utf-8?Q?Is it =3F?= <a@b.example>", "Re: Is it ? <a@b.example>");
    }

    #[test]
    fn joins_a_character_cut_in_two() {
        check("=?utf-8?B?w4TD?= =?utf-8?B?pA==?=", "Ää");
        check("=?utf-8?Q?=C3?=\t=?UTF-8?B?pA==?=", "ä");
    }

    #[test]
    fn leaves_the_unsound_alone() {
        for text in ["=?", "=?=", "=??Q?a?=", "=?utf-8?X?a?=", "=?utf-8?Q?a", "=?utf-8?B?a?b", "a =? b ?= c", "=?utf-8?Qa?=", "=?u t?Q?a?="]
        {
            check(text, text);
        }
    }

    #[test]
    fn bends_where_senders_do() {
        check("=?utf-8?B?w6Q?=", "ä");
        check("=?utf-8?Q?100=?=", "100=");
        check("=?utf-8?Q?=ZZ?=", "=ZZ");
        check("=?x-nobody-knows?Q?abc?=", "abc");
        check("=?utf-8?Q?=FF?=", "\u{fffd}");
    }

    #[test]
    fn many_starts_take_linear_time() {
        let mut out = String::new();
        decode("=?a?B?".repeat(100_000).as_bytes(), usize::MAX, &mut out);
        assert_eq!(out.len(), 600_000);
    }

    proptest! {
        #[test]
        fn no_octets_panic(text in prop::collection::vec(prop_oneof![Just(b'='), Just(b'?'), Just(b'Q'), Just(b'B'), Just(b'8'), any::<u8>()], 0..200)) {
            let mut out = String::new();
            decode(&text, 998, &mut out);
        }

        #[test]
        fn every_charset_takes_any_octets(octets in prop::collection::vec(any::<u8>(), 0..60), charset in prop::sample::select(vec![
            "utf-7", "utf-16", "utf-16le", "utf-16be", "iso-2022-jp", "gb18030", "big5", "euc-kr", "shift_jis", "koi8-r", "iso-8859-8", "ibm850"])) {
            let encoded: String = octets.iter().map(|octet| format!("={octet:02X}")).collect();
            let mut out = String::new();
            decode(format!("=?{charset}?Q?{encoded}?=").as_bytes(), 998, &mut out);
        }
    }
}
