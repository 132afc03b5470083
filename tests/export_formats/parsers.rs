//! Parsers of the line formats, written from their specifications and knowing nothing of the encoder.

/// Header and extension of one CEF event.
#[derive(Debug, PartialEq, Eq)]
pub struct Cef {
    /// Version, vendor, product, version, event class, name, severity.
    pub header: Vec<String>,
    pub pairs: Vec<(String, String)>,
}

impl Cef {
    pub fn value(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// ArcSight CEF revision 25: seven parts end with `|`, in which `\|` and `\\` stand for themselves; then `key=value` separated by single
/// spaces, where values may have spaces, `\=`, `\\`, `\n` and `\r`.
pub fn cef(event: &str) -> Cef {
    let mut header = vec![String::new()];
    let mut rest = event.strip_prefix("CEF:").expect("CEF:").char_indices();
    let mut end = None;
    while let Some((at, c)) = rest.next() {
        match c {
            '\\' => match rest.next() {
                Some((_, c @ ('\\' | '|'))) => header.last_mut().unwrap().push(c),
                other => panic!("an escape that a header has not: {other:?}"),
            },
            '|' if header.len() == 7 => {
                end = Some(at + 1);
                break;
            }
            '|' => header.push(String::new()),
            c => header.last_mut().unwrap().push(c),
        }
    }
    let extension = &event["CEF:".len() + end.expect("seven parts")..];
    // Every `=` without a backslash ends a key; the key is the word before it.
    let mut starts = Vec::new();
    let mut escaped = false;
    for (at, c) in extension.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '=' => {
                let key = extension[..at].rfind(' ').map_or(0, |space| space + 1);
                starts.push((key, at));
            }
            _ => {}
        }
    }
    assert!(!escaped, "the event ends in the middle of an escape");
    let ends = starts.iter().skip(1).map(|(key, _)| key - 1).chain([extension.len()]);
    let pairs = starts.iter().zip(ends).map(|(&(key, equals), end)| {
        let name = &extension[key..equals];
        assert!(!name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric()), "{name:?} is no key");
        (name.to_owned(), unescaped(&extension[equals + 1..end]))
    });
    Cef { header, pairs: pairs.collect() }
}

fn unescaped(value: &str) -> String {
    let mut out = String::new();
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        out.push(match c {
            '\\' => match rest.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some(c @ ('\\' | '=')) => c,
                other => panic!("an escape that a value has not: {other:?}"),
            },
            c => c,
        });
    }
    out
}

/// Header and attributes of one LEEF event.
#[derive(Debug, PartialEq, Eq)]
pub struct Leef {
    /// Version, vendor, product, version, EventID.
    pub header: Vec<String>,
    pub pairs: Vec<(String, String)>,
}

impl Leef {
    pub fn value(&self, key: &str) -> Option<&str> {
        self.pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

/// LEEF 2.0: six parts end with `|`, the sixth says the delimiter, as a character or as `x` and hexadecimal digits; then `key=value`.
pub fn leef(event: &str) -> Leef {
    let mut parts = event.strip_prefix("LEEF:").expect("LEEF:").splitn(7, '|');
    let header: Vec<String> = parts.by_ref().take(5).map(str::to_owned).collect();
    let delimiter = parts.next().expect("a delimiter");
    let delimiter = match delimiter.strip_prefix("0x").or(delimiter.strip_prefix('x')) {
        Some(hex) => char::from_u32(u32::from_str_radix(hex, 16).unwrap()).unwrap(),
        None => delimiter.parse().unwrap(),
    };
    let pairs = parts.next().expect("attributes").split(delimiter).map(|pair| {
        let (key, value) = pair.split_once('=').expect("key=value");
        assert!(!key.is_empty() && key.bytes().all(|octet| octet.is_ascii_alphanumeric()), "{key:?} is no key");
        (key.to_owned(), value.to_owned())
    });
    Leef { header, pairs: pairs.collect() }
}

/// Every leaf of a JSON value: its dotted name (lists don't count), and the value.
pub fn leaves<'v>(value: &'v serde_json::Value, name: &str, out: &mut Vec<(String, &'v serde_json::Value)>) {
    match value {
        serde_json::Value::Object(object) => {
            for (key, value) in object {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                leaves(value, &name, out);
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| leaves(item, name, out)),
        value => out.push((name.to_owned(), value)),
    }
}

#[test]
fn the_parsers_read_what_the_guides_show() {
    let event = cef(
        r"CEF:0|security|threat\|manager|1.0|100|detected a \\ in packet|10|src=10.0.0.1 act=blocked a \= sign msg=two\nlines dst=1.1.1.1",
    );
    assert_eq!(event.header, ["0", "security", "threat|manager", "1.0", "100", r"detected a \ in packet", "10"]);
    assert_eq!(event.value("act"), Some("blocked a = sign"));
    assert_eq!(event.value("msg"), Some("two\nlines"));
    let event = leef("LEEF:2.0|Lancope|StealthWatch|1.0|41|^|src=10.0.1.8^dst=10.0.0.5^sev=5");
    assert_eq!((event.header[4].as_str(), event.value("dst")), ("41", Some("10.0.0.5")));
}
