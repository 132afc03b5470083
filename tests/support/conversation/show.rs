//! How octets and failures look to whoever reads them.

use std::fmt::Write as _;

/// Printable ASCII as it is, everything else as `\r`, `\n`, `\0`, `\x..`.
pub fn escape(octets: &[u8]) -> String {
    let mut text = String::new();
    for &octet in octets {
        match octet {
            b'\r' => text.push_str("\\r"),
            b'\n' => text.push_str("\\n"),
            b'\t' => text.push_str("\\t"),
            0 => text.push_str("\\0"),
            b'\\' => text.push_str("\\\\"),
            0x20..=0x7e => text.push(octet as char),
            other => {
                let _ = write!(text, "\\x{other:02x}");
            }
        }
    }
    text
}

/// The reverse of [`escape`]; text beyond ASCII stands for its UTF-8. `\{N*x}` is N times the octet x.
pub fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut octets = Vec::new();
    let mut rest = text.chars();
    while let Some(it) = rest.next() {
        if it != '\\' {
            octets.extend_from_slice(it.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match rest.next() {
            Some('r') => octets.push(b'\r'),
            Some('n') => octets.push(b'\n'),
            Some('t') => octets.push(b'\t'),
            Some('0') => octets.push(0),
            Some('\\') => octets.push(b'\\'),
            Some('x') => {
                let digits: String = rest.by_ref().take(2).collect();
                octets.push(u8::from_str_radix(&digits, 16).map_err(|_| format!("\\x{digits} is no octet"))?);
            }
            Some('{') => {
                let inner: String = rest.by_ref().take_while(|it| *it != '}').collect();
                let (count, what) = inner.split_once('*').ok_or_else(|| format!("\\{{{inner}}}: expected \\{{count*text}}"))?;
                let count: usize = count.parse().map_err(|_| format!("\\{{{inner}}}: {count} is no count"))?;
                octets.extend(unescape(what)?.repeat(count));
            }
            other => return Err(format!("\\{} is no escape", other.map(String::from).unwrap_or_default())),
        }
    }
    Ok(octets)
}

/// Trace ids are the same in every replay, but nobody wants to read them in a script.
pub fn without_ids(octets: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = b"(trace ";
    let mut made = Vec::with_capacity(octets.len());
    let mut rest = octets;
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        let (head, tail) = rest.split_at(at + MARK.len());
        made.extend_from_slice(head);
        let is_id = tail.len() > 26 && tail[..26].iter().all(u8::is_ascii_alphanumeric) && tail[26] == b')';
        if is_id {
            made.push(b'*');
        }
        rest = if is_id { &tail[26..] } else { tail };
    }
    made.extend_from_slice(rest);
    made
}

/// Both lists with what only one of them has marked: `-` expected, `+` came.
pub fn diff(expected: &[String], came: &[String]) -> String {
    let (rows, columns) = (expected.len(), came.len());
    let mut common = vec![vec![0usize; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            common[row][column] = if expected[row] == came[column] {
                common[row + 1][column + 1] + 1
            } else {
                common[row + 1][column].max(common[row][column + 1])
            };
        }
    }
    let (mut row, mut column, mut text) = (0, 0, String::new());
    while row < rows || column < columns {
        if row < rows && column < columns && expected[row] == came[column] {
            let _ = writeln!(text, "    {}", expected[row]);
            (row, column) = (row + 1, column + 1);
        } else if column >= columns || (row < rows && common[row + 1][column] >= common[row][column + 1]) {
            let _ = writeln!(text, "  - {}", expected[row]);
            row += 1;
        } else {
            let _ = writeln!(text, "  + {}", came[column]);
            column += 1;
        }
    }
    text
}
