//! Domain names with macros in them (RFC 7208 7), as `include`, `exists` and others take them.

use std::net::IpAddr;

/// A text in which `%{i}` and the like stand for facts of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MacroString {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Macro {
        letter: u8,
        /// Whether its value is escaped for a URL.
        escaped: bool,
        /// Labels kept, from the right.
        keep: Option<usize>,
        reversed: bool,
        delimiters: String,
    },
}

/// What macros stand for.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub ip: IpAddr,
    /// The whole reverse-path, or "postmaster@" and the EHLO name where that is null.
    pub sender: &'a str,
    pub helo: &'a str,
    /// The domain whose record is evaluated.
    pub domain: &'a str,
}

/// RFC 1035: what a name may have, without final dot.
const LONGEST: usize = 253;

impl MacroString {
    /// Reads one for a place where a domain is expected.
    ///
    /// # Errors
    /// In words that say what is wrong.
    pub fn domain(text: &str) -> Result<Self, String> {
        let read = Self::read(text)?;
        match read.parts.last() {
            None => Err("a domain name is missing".to_owned()),
            Some(Part::Macro { .. }) => Ok(read),
            Some(Part::Literal(end)) => {
                let end = end.strip_suffix('.').unwrap_or(end);
                let (before, last) = end.rsplit_once('.').map_or((None, end), |(before, last)| (Some(before), last));
                if before.is_none() && read.parts.len() == 1 {
                    return Err(format!("{text:?} is no full domain name: it has no dot"));
                }
                let fits = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-' || octet == b'_';
                let is_top = !last.is_empty() && last.bytes().all(fits) && !last.bytes().all(|octet| octet.is_ascii_digit());
                if is_top { Ok(read) } else { Err(format!("{text:?} doesn't end in a domain name")) }
            }
        }
    }

    fn read(text: &str) -> Result<Self, String> {
        let (mut parts, mut literal, mut rest) = (Vec::new(), String::new(), text);
        while let Some(next) = rest.chars().next() {
            if next != '%' {
                if !next.is_ascii_graphic() {
                    return Err(format!("the character {next:?} may not be in a domain name"));
                }
                literal.push(next);
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            match rest.as_bytes().get(1) {
                Some(b'%') => literal.push('%'),
                Some(b'_') => literal.push(' '),
                Some(b'-') => literal.push_str("%20"),
                Some(b'{') => {
                    let (inner, behind) = rest.get(2..).unwrap_or_default().split_once('}').ok_or("a macro has no closing brace")?;
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    parts.push(expansion(inner)?);
                    rest = behind;
                    continue;
                }
                _ => return Err("a % stands alone: write %% for it, or a macro like %{i}".to_owned()),
            }
            rest = rest.get(2..).unwrap_or_default();
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self { parts })
    }

    /// The text, if there is no macro in it.
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Literal(text)] => Some(text.strip_suffix('.').unwrap_or(text)),
            _ => None,
        }
    }

    /// The domain name that it comes to, without final dot; labels are taken off its left until it fits into DNS.
    pub fn expand(&self, facts: &Facts<'_>) -> String {
        let mut whole: String = self.parts.iter().map(|part| part.value(facts)).collect();
        if whole.ends_with('.') {
            whole.pop();
        }
        while whole.len() > LONGEST {
            let Some((_, rest)) = whole.split_once('.') else { break };
            whole = rest.to_owned();
        }
        whole
    }
}

/// What stands between `%{` and `}`.
fn expansion(inner: &str) -> Result<Part, String> {
    let wrong = |why: &str| Err(format!("the macro %{{{inner}}} {why}"));
    let Some(first) = inner.bytes().next() else { return wrong("is empty") };
    let letter = first.to_ascii_lowercase();
    if matches!(letter, b'c' | b'r' | b't') {
        return wrong("belongs into explanations (exp=) only");
    }
    if !matches!(letter, b's' | b'l' | b'o' | b'd' | b'i' | b'p' | b'v' | b'h') {
        return wrong("is not known");
    }
    let rest = inner.get(1..).unwrap_or_default();
    let digits_end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, rest) = rest.split_at_checked(digits_end).unwrap_or((rest, ""));
    let keep = match digits.parse::<usize>() {
        Ok(0) => return wrong("keeps 0 labels"),
        Ok(count) => Some(count),
        Err(_) if digits.is_empty() => None,
        Err(_) => return wrong("has a number that is too long"),
    };
    let delimiters = rest.strip_prefix(['r', 'R']);
    let (reversed, delimiters) = (delimiters.is_some(), delimiters.unwrap_or(rest));
    if !delimiters.chars().all(|it| matches!(it, '.' | '-' | '+' | ',' | '/' | '_' | '=')) {
        return wrong("has a delimiter that is none of . - + , / _ =");
    }
    Ok(Part::Macro { letter, escaped: first.is_ascii_uppercase(), keep, reversed, delimiters: delimiters.to_owned() })
}

impl Part {
    fn value(&self, facts: &Facts<'_>) -> String {
        let (letter, escaped, keep, reversed, delimiters) = match self {
            Self::Literal(text) => return text.clone(),
            Self::Macro { letter, escaped, keep, reversed, delimiters } => (*letter, *escaped, *keep, *reversed, delimiters),
        };
        let (local_part, sender_domain) = facts.sender.rsplit_once('@').unwrap_or(("postmaster", facts.sender));
        let value = match letter {
            b's' => facts.sender.to_owned(),
            b'l' => local_part.to_owned(),
            b'o' => sender_domain.to_owned(),
            b'd' => facts.domain.to_owned(),
            b'i' => dotted(facts.ip),
            b'p' => "unknown".to_owned(), // RFC 7208 7.3: may be said where nobody wants to ask
            b'v' => if facts.ip.is_ipv4() { "in-addr" } else { "ip6" }.to_owned(),
            _ => facts.helo.to_owned(),
        };
        let is_delimiter = |it: char| if delimiters.is_empty() { it == '.' } else { delimiters.contains(it) };
        let mut labels: Vec<&str> = value.split(is_delimiter).collect();
        if reversed {
            labels.reverse();
        }
        let from = keep.map_or(0, |keep| labels.len().saturating_sub(keep));
        let kept = labels.get(from..).unwrap_or_default().join(".");
        if escaped { url_escaped(&kept) } else { kept }
    }
}

/// RFC 7208 7.3: an IPv6 address is its 32 nibbles.
fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let nibbles = address.octets().into_iter().flat_map(|octet| [octet >> 4, octet & 15]).map(|it| format!("{it:x}"));
            nibbles.collect::<Vec<_>>().join(".")
        }
    }
}

/// RFC 3986 2.3.
fn url_escaped(text: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|octet| if plain(octet) { char::from(octet).to_string() } else { format!("%{octet:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(ip: &str) -> Facts<'static> {
        Facts { ip: ip.parse().unwrap(), sender: "strong-bad@email.example.com", helo: "mx.example.org", domain: "email.example.com" }
    }

    #[track_caller]
    fn check(text: &str, ip: &str, expected: &str) {
        assert_eq!(MacroString::read(text).unwrap().expand(&facts(ip)), expected, "{text}");
    }

    /// The cases of RFC 7208 7.4.
    #[test]
    fn macros_of_the_rfc_expand() {
        for (text, expected) in [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{o}", "email.example.com"),
            ("%{d4}", "email.example.com"),
            ("%{d2}", "example.com"),
            ("%{d1}", "com"),
            ("%{dr}", "com.example.email"),
            ("%{d2r}", "example.email"),
            ("%{l}", "strong-bad"),
            ("%{l-}", "strong.bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
            ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
            ("%{S}", "strong-bad%40email.example.com"),
            ("a%%b%-c", "a%b%20c"),
        ] {
            check(text, "192.0.2.3", expected);
        }
        let nibbles = "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com";
        check("%{ir}.%{v}._spf.%{d2}", "2001:db8::cb01", nibbles);
    }

    #[test]
    fn what_is_no_domain_says_why() {
        for (text, word) in [
            ("", "missing"),
            ("localhost", "no dot"),
            ("%{x}.example.com", "not known"),
            ("%{t}.example.com", "exp="),
            ("%{i0}.example.com", "0 labels"),
            ("%{i.example.com", "closing brace"),
            ("%(i).example.com", "stands alone"),
            ("%{ir:}.example.com", "delimiter"),
            ("a.example.123", "doesn't end"),
            ("a b.example", "may not be"),
        ] {
            let why = MacroString::domain(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
        assert!(MacroString::domain("%{i}._spf.%{d}").is_ok());
        assert_eq!(MacroString::domain("_spf.example.com.").unwrap().literal(), Some("_spf.example.com"));
    }

    #[test]
    fn too_long_a_name_loses_its_left() {
        let text = "abcdefgh.".repeat(40) + "example";
        let expanded = MacroString::read(&text).unwrap().expand(&facts("192.0.2.3"));
        assert!(expanded.len() <= LONGEST && expanded.ends_with(".example") && expanded.starts_with("abcdefgh."));
    }
}
