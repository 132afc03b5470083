//! Reads MAIL FROM and RCPT TO: the path and the ESMTP parameters. Lenient, because only a copy is read.

/// The argument of MAIL or RCPT, taken apart (RFC 5321 §4.1.1.2, §4.1.1.3, §4.1.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathCommand<'a> {
    /// Without angle brackets, source route included; empty for the null sender.
    pub address: &'a [u8],
    /// `KEYWORD` or `KEYWORD=value`, blank-separated.
    pub parameters: Vec<&'a [u8]>,
}

impl<'a> PathCommand<'a> {
    /// Takes `FROM:<a@x.example> SIZE=1` apart. Clients' slips (a blank after the colon, no brackets) are read too.
    /// `None` if there is no `FROM:` / `TO:` at the start.
    pub fn parse(argument: &'a [u8], prefix: &[u8]) -> Option<Self> {
        let (head, rest) = argument.split_at_checked(prefix.len())?;
        if !head.eq_ignore_ascii_case(prefix) {
            return None;
        }
        let rest = rest.trim_ascii_start();
        let (address, rest) = match rest.strip_prefix(b"<") {
            Some(inner) => {
                let end = closing_bracket(inner);
                (inner.get(..end).unwrap_or(inner), inner.get(end + 1..).unwrap_or_default())
            }
            None => rest.split_at(rest.iter().position(|octet| *octet == b' ').unwrap_or(rest.len())),
        };
        let parameters = rest.split(|octet| matches!(octet, b' ' | b'\t')).filter(|word| !word.is_empty()).collect();
        Some(Self { address, parameters })
    }

    /// The value of a parameter, keyword compared without case.
    pub fn value(&self, keyword: &str) -> Option<&'a [u8]> {
        self.parameters.iter().find_map(|parameter| {
            let (key, value) = parameter.split_at_checked(keyword.len())?;
            if key.eq_ignore_ascii_case(keyword.as_bytes()) { value.strip_prefix(b"=") } else { None }
        })
    }

    pub fn has(&self, keyword: &str) -> bool {
        self.parameters.iter().any(|parameter| parameter.eq_ignore_ascii_case(keyword.as_bytes()))
    }
}

/// Where the path ends: the first `>` outside a quoted local part.
fn closing_bracket(inner: &[u8]) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, octet) in inner.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return at,
            _ => {}
        }
    }
    // An unclosed quote: the last bracket is the better guess than none.
    memchr::memrchr(b'>', inner).unwrap_or(inner.len())
}

/// Decodes xtext (RFC 3461 §4): `+2B` is `+`.
pub fn decode_xtext(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&octet, tail)) = rest.split_first() {
        let hex = |digit: Option<&u8>| digit.and_then(|digit| (*digit as char).to_digit(16));
        match (octet, hex(tail.first()), hex(tail.get(1))) {
            (b'+', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => {
                decoded.push(octet);
                rest = tail;
            }
        }
    }
    decoded
}

/// Encodes as xtext (RFC 3461 §4): what is no printable ASCII, and `+` and `=`, become `+` and two digits.
pub fn encode_xtext(text: &[u8]) -> String {
    let mut encoded = String::with_capacity(text.len());
    for &octet in text {
        match octet {
            b'!'..=b'~' if !matches!(octet, b'+' | b'=') => encoded.push(char::from(octet)),
            _ => encoded.push_str(&format!("+{octet:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(argument: &str, address: &str, parameters: &[&str]) {
        let parsed = PathCommand::parse(argument.as_bytes(), b"FROM:").expect(argument);
        let found: Vec<_> = parsed.parameters.iter().map(|it| std::str::from_utf8(it).unwrap()).collect();
        assert_eq!((std::str::from_utf8(parsed.address).unwrap(), found.as_slice()), (address, parameters));
    }

    #[test]
    fn reads_paths() {
        check("FROM:<>", "", &[]);
        check("from:<a@x.example>", "a@x.example", &[]);
        check("FROM: <a@x.example> SIZE=12 BODY=8BITMIME", "a@x.example", &["SIZE=12", "BODY=8BITMIME"]);
        check("FROM:a@x.example SIZE=1", "a@x.example", &["SIZE=1"]);
        check("FROM:<\"a> b\"@x.example> SMTPUTF8", "\"a> b\"@x.example", &["SMTPUTF8"]);
        check("FROM:<@relay.example:a@x.example>", "@relay.example:a@x.example", &[]);
        check("FROM:<\"a@x.example> SIZE=1", "\"a@x.example", &["SIZE=1"]);
        check("FROM:<a@x.example", "a@x.example", &[]);
        check("FROM:<böb@x.example>", "böb@x.example", &[]);
        assert_eq!(PathCommand::parse(b"<a@x.example>", b"FROM:"), None);
    }

    #[test]
    fn xtext_comes_back_as_it_was() {
        assert_eq!(encode_xtext(b"mail.example"), "mail.example");
        assert_eq!(encode_xtext("a+b=c d\r\n\u{e4}".as_bytes()), "a+2Bb+3Dc+20d+0D+0A+C3+A4");
        assert_eq!(encode_xtext(b"[UNAVAILABLE]"), "[UNAVAILABLE]");
        let all: Vec<u8> = (0..=255).collect();
        let encoded = encode_xtext(&all);
        assert!(encoded.bytes().all(|octet| (b'!'..=b'~').contains(&octet)), "{encoded}");
        assert_eq!(decode_xtext(encoded.as_bytes()), all);
    }

    #[test]
    fn finds_parameters() {
        let parsed = PathCommand::parse(b"FROM:<> size=77 ENVID=a+2Bb SMTPUTF8", b"FROM:").unwrap();
        assert_eq!(parsed.value("SIZE"), Some(&b"77"[..]));
        assert_eq!(parsed.value("ENVID").map(decode_xtext), Some(b"a+b".to_vec()));
        assert!(parsed.has("smtputf8") && !parsed.has("SIZE"));
    }
}
