//! Makes text from the wire inert in each format's own way: what it says stays, what it could do doesn't.

use std::io::Write;

/// Steers a terminal, turns the reading direction, breaks a line, or can't be seen.
pub fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}' | '\u{fffe}' | '\u{ffff}')
}

/// The beginning of a text that has at most so many octets and ends with a whole character.
pub fn cut(text: &str, octets: usize) -> &str {
    text.get(..text.floor_char_boundary(octets)).unwrap_or(text)
}

/// Whether a text has nothing but visible ASCII and spaces. Looks at all of it, many octets at once, because that is how most text is.
pub fn is_plain(text: &str) -> bool {
    text.bytes().fold(true, |plain, octet| plain & matches!(octet, b' '..=b'~'))
}

/// The inside of a JSON string. Hostile characters are JSON's own escapes: who reads it back gets the same text.
pub fn json(out: &mut Vec<u8>, text: &str) {
    let plain = |octet: u8| matches!(octet, b' '..=b'~') && octet != b'"' && octet != b'\\';
    escaped(out, text, plain, |out, c| match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        c if is_hostile(c) => units(out, c),
        c => put(out, c),
    });
}

/// One character as UTF-16 units of a JSON string.
fn units(out: &mut Vec<u8>, c: char) {
    for unit in c.encode_utf16(&mut [0; 2]) {
        let _ = write!(out, "\\u{unit:04x}");
    }
}

/// A part of CEF's header: `\` and `|` are escaped, and there is no way to write a line break but visibly.
pub fn cef_header(out: &mut Vec<u8>, text: &str) {
    let plain = |octet: u8| matches!(octet, b' '..=b'~') && octet != b'|' && octet != b'\\';
    escaped(out, text, plain, |out, c| match c {
        '|' => out.extend_from_slice(b"\\|"),
        '\\' => out.extend_from_slice(b"\\\\"),
        c if is_hostile(c) => visible(out, c, b"\\\\"),
        c => put(out, c),
    });
}

/// A value of CEF's extension: `\`, `=` and line breaks have escapes; other hostile characters become visible.
pub fn cef_value(out: &mut Vec<u8>, text: &str) {
    let plain = |octet: u8| matches!(octet, b' '..=b'~') && octet != b'=' && octet != b'\\';
    escaped(out, text, plain, |out, c| match c {
        '=' => out.extend_from_slice(b"\\="),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        c if is_hostile(c) => visible(out, c, b"\\\\"),
        c => put(out, c),
    });
}

/// A part of LEEF's header: it has no escape for `|`, so that one becomes visible as `\x7c`.
pub fn leef_header(out: &mut Vec<u8>, text: &str) {
    let plain = |octet: u8| matches!(octet, b' '..=b'~') && octet != b'|';
    escaped(out, text, plain, |out, c| match c {
        '|' => out.extend_from_slice(b"\\x7c"),
        c if is_hostile(c) => visible(out, c, b"\\"),
        c => put(out, c),
    });
}

/// A value of LEEF: it has no escapes at all. Line breaks, the delimiter (a tab) and other hostile characters become visible; backslashes
/// stay as they are, because a user `CORP\anna` has to be found under that name.
pub fn leef_value(out: &mut Vec<u8>, text: &str) {
    escaped(
        out,
        text,
        |octet| matches!(octet, b' '..=b'~'),
        |out, c| match is_hostile(c) {
            true => visible(out, c, b"\\"),
            false => put(out, c),
        },
    );
}

/// `\n`, `\r`, `\t`, `\x1b`, `\u{202e}`, with the backslash as the format writes one.
fn visible(out: &mut Vec<u8>, c: char, backslash: &[u8]) {
    out.extend_from_slice(backslash);
    let _ = match c {
        '\n' => out.write_all(b"n"),
        '\r' => out.write_all(b"r"),
        '\t' => out.write_all(b"t"),
        c if c.is_ascii() => write!(out, "x{:02x}", u32::from(c)),
        c => write!(out, "u{{{:x}}}", u32::from(c)),
    };
}

fn put(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Nearly all text is plain from end to end: that is found out fast (many octets at once), and copied in one go.
fn escaped(out: &mut Vec<u8>, text: &str, plain: impl Fn(u8) -> bool, mut write: impl FnMut(&mut Vec<u8>, char)) {
    let octets = text.as_bytes();
    if octets.iter().fold(true, |all, &octet| all & plain(octet)) {
        return out.extend_from_slice(octets);
    }
    let first = octets.iter().position(|&octet| !plain(octet)).unwrap_or(octets.len());
    // Before the first octet that isn't plain there is ASCII only, so that both halves are whole text.
    let (head, tail) = text.split_at_checked(first).unwrap_or((text, ""));
    out.extend_from_slice(head.as_bytes());
    for c in tail.chars() {
        match c {
            c if c.is_ascii() && plain(c as u8) => out.push(c as u8),
            c => write(out, c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(write: fn(&mut Vec<u8>, &str), text: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_format_escapes_in_its_own_way() {
        let text = "a|b=c\\d\"e\r\n\t\u{1b}[2J\u{202e}ü\0]\u{10ffff}\\";
        assert_eq!(with(json, text), "a|b=c\\\\d\\\"e\\r\\n\\t\\u001b[2J\\u202eü\\u0000]\u{10ffff}\\\\");
        assert_eq!(with(cef_value, text), "a|b\\=c\\\\d\"e\\r\\n\\\\t\\\\x1b[2J\\\\u{202e}ü\\\\x00]\u{10ffff}\\\\");
        assert_eq!(with(cef_header, text), "a\\|b=c\\\\d\"e\\\\r\\\\n\\\\t\\\\x1b[2J\\\\u{202e}ü\\\\x00]\u{10ffff}\\\\");
        assert_eq!(with(leef_value, text), "a|b=c\\d\"e\\r\\n\\t\\x1b[2J\\u{202e}ü\\x00]\u{10ffff}\\");
        assert_eq!(with(leef_header, "a|b"), "a\\x7cb");
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!((cut("grün", 3), cut("grün", 4), cut("grün", 9), cut("ü", 1)), ("gr", "grü", "grün", ""));
    }
}
