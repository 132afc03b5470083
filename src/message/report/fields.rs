//! Header fields wherever a report has them: its own header section, its parts', the groups of a delivery status.

use std::borrow::Cow;

/// Fields looked at in one section. Real ones have a few dozen.
const MOST_FIELDS: usize = 500;
/// Octets looked at in one field.
const MOST_FIELD: usize = 16 * 1024;

/// Lines that are no fields, one after another, within a header section.
const MOST_ODD_LINES: usize = 30;

/// A section's fields: names as written, values unfolded.
#[derive(Debug, Default)]
pub struct Fields<'x>(Vec<(&'x str, String)>);

impl<'x> Fields<'x> {
    /// The fields up to the first empty line, or line that can't be part of a section; and what follows.
    pub fn read(octets: &'x [u8]) -> (Self, &'x [u8]) {
        let mut fields = Self::default();
        let mut rest = octets;
        loop {
            let (line, behind) = next_line(rest);
            if line.is_empty() {
                return (fields, if rest.is_empty() { rest } else { behind });
            }
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                // A separator that looks empty ends a section which has begun.
                if line.trim_ascii().is_empty() && !fields.0.is_empty() {
                    return (fields, behind);
                }
                fields.fold(line);
            } else if let Some((name, value)) = split(line) {
                if fields.0.len() < MOST_FIELDS {
                    fields.0.push((name, clean(value).into_owned()));
                }
            } else if !fields.0.is_empty() && goes_on(behind) {
                fields.fold(line);
            } else if !fields.0.is_empty() || !(line.starts_with(b"From ") || line.starts_with(b">From ")) {
                return (fields, rest);
            }
            rest = behind;
        }
    }

    fn fold(&mut self, line: &[u8]) {
        if let Some((_, value)) = self.0.last_mut()
            && value.len() < MOST_FIELD
        {
            value.push(' ');
            value.push_str(&clean(line));
        }
    }

    /// The first field of that name, in any case.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n, 'x> {
        self.0.iter().filter(move |(it, _)| it.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a header section goes on behind a line that is no field: some relays unfold what they pass on.
fn goes_on(mut rest: &[u8]) -> bool {
    for _ in 0..MOST_ODD_LINES {
        let (line, behind) = next_line(rest);
        if line.trim_ascii().is_empty() {
            return false;
        }
        if split(line).is_some_and(|(name, _)| is_usual(&name.to_ascii_lowercase())) {
            return true;
        }
        rest = behind;
    }
    false
}

/// Fields that messages have; lower case.
pub fn is_usual(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "received",
        "return-path",
        "message-id",
        "date",
        "from",
        "to",
        "subject",
        "mime-version",
        "dkim-signature",
        "domainkey-signature",
        "content-type",
        "content-transfer-encoding",
        "arc-seal",
        "delivered-to",
        "authentication-results",
        "reply-to",
        "sender",
        "user-agent",
        "arc-authentication-results",
        "arc-message-signature",
        "received-spf",
        "envelope-to",
        "delivery-date",
        "comment",
        "importance",
        "cc",
        "list-unsubscribe",
    ];
    NAMES.contains(&name) || (name.starts_with("x-") && name != "x-notes")
}

fn clean(value: &[u8]) -> Cow<'_, str> {
    let value = value.trim_ascii();
    String::from_utf8_lossy(value.get(..MOST_FIELD).unwrap_or(value))
}

/// A line without its end, and what follows it.
pub fn next_line(octets: &[u8]) -> (&[u8], &[u8]) {
    let (line, behind) = match memchr::memchr(b'\n', octets) {
        Some(end) => (octets.get(..end).unwrap_or_default(), octets.get(end + 1..).unwrap_or_default()),
        None => (octets, [].as_slice()),
    };
    (line.strip_suffix(b"\r").unwrap_or(line), behind)
}

/// Name and value, if the line is a field's first.
pub fn split(line: &[u8]) -> Option<(&str, &[u8])> {
    let colon = memchr::memchr(b':', line).filter(|&at| at <= 80)?;
    let name = line.get(..colon)?.trim_ascii_end();
    let plain = !name.is_empty() && name.iter().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.'));
    let name = std::str::from_utf8(name).ok().filter(|_| plain)?;
    Some((name, line.get(colon + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_folded_fields_and_stops_at_the_body() {
        let (fields, body) = Fields::read(b"From x@y Mon\nA: 1\r\n\t2\r\nb : 3\r\nA: 4\r\n\r\nbody: no\r\n");
        assert_eq!(fields.all("a").collect::<Vec<_>>(), ["1 2", "4"]);
        assert_eq!((fields.first("B"), body), (Some("3"), b"body: no\r\n".as_slice()));
        let (fields, body) = Fields::read(b"A: 1\nnot a field\n");
        assert_eq!((fields.first("a"), body), (Some("1"), b"not a field\n".as_slice()));
        assert!(Fields::read(b"").0.is_empty());
        assert!(!Fields::read(b"A:").0.is_empty());
    }
}
