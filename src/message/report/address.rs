//! Addresses in a report: typed ones of a delivery status, and those that stand somewhere in a line.

/// Octets of an address that are kept: more than RFC 5321 §4.5.3.1 allows for one.
const MOST_ADDRESS: usize = 600;
/// Octets of an address literal, `[IPv6:…]` at its longest (RFC 5321 §4.1.3). What opens brackets without end must not be read over and over.
const MOST_LITERAL: usize = 64;

/// The address of a field that should have the form `rfc822; a@b.example` (RFC 3464 §2.3.1), and often hasn't.
pub fn typed(value: &str) -> Option<String> {
    let (kind, rest) = match value.split_once(';') {
        // What follows a further semicolon is somebody's comment.
        Some((kind, rest)) if !kind.contains('@') => (kind.trim(), rest),
        _ => ("", value),
    };
    let rest = rest.trim();
    let address = in_line(rest).next()?.address;
    Some(if kind.eq_ignore_ascii_case("utf-8") { unitext(address) } else { address.to_owned() })
}

/// Decodes the `\x{…}` of utf-8-addr-xtext and utf-8-addr-unitext (RFC 6533 §3).
fn unitext(address: &str) -> String {
    let mut out = String::with_capacity(address.len());
    let mut rest = address;
    while let Some((before, behind)) = rest.split_once("\\x{") {
        out.push_str(before);
        let decoded = behind.split_once('}').and_then(|(hex, behind)| {
            let c = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32)?;
            Some((c, behind))
        });
        match decoded {
            Some((c, behind)) => {
                out.push(c);
                rest = behind;
            }
            None => {
                out.push_str("\\x{");
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

/// An address in a line: where it starts and ends, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'x> {
    pub start: usize,
    pub end: usize,
    pub address: &'x str,
}

/// The addresses in a line, from left to right.
pub fn in_line(line: &str) -> impl Iterator<Item = Found<'_>> {
    let mut from = 0;
    std::iter::from_fn(move || {
        while let Some(at) = line.get(from..)?.find('@').map(|at| at + from) {
            let floor = from;
            from = at + 1;
            if let Some(found) = around(line, at, floor) {
                from = found.end;
                return Some(found);
            }
        }
        None
    })
}

/// The address whose `@` stands there, if it is one.
fn around(line: &str, at: usize, floor: usize) -> Option<Found<'_>> {
    let before = line.get(floor..at)?;
    let start = floor
        + if before.ends_with('"') && before.len() > 1 {
            // A quoted local part (RFC 5321 §4.1.2); a quote before it isn't escaped.
            before.get(..before.len() - 1)?.rfind('"')?
        } else {
            let run = before.rfind(|c: char| !is_atext(c)).map_or(0, |at| at + before.get(at..).map_or(1, first_len));
            run + before.get(run..)?.len() - before.get(run..)?.trim_start_matches(['\'', '`', '=', '.', '/', '*', '|']).len()
        };
    let behind = line.get(at + 1..)?;
    let end = if behind.starts_with('[') {
        behind.bytes().take(MOST_LITERAL).position(|octet| octet == b']')? + 1
    } else {
        behind.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))).unwrap_or(behind.len())
    };
    let domain = behind.get(..end)?.trim_end_matches(['.', '-', '_']);
    let end = at + 1 + domain.len();
    let address = line.get(start..end)?;
    (start < at && !domain.is_empty() && !domain.starts_with(['.', '-']) && address.len() <= MOST_ADDRESS).then_some(Found {
        start,
        end,
        address,
    })
}

fn first_len(text: &str) -> usize {
    text.chars().next().map_or(1, char::len_utf8)
}

/// RFC 5322 §3.2.3 and RFC 6531, with the dot, and with the escapes of RFC 6533.
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || (!c.is_ascii() && c.is_alphanumeric()) || "!#$%&'*+-/=?^_`{|}~.\\".contains(c)
}

/// Addresses that mean the same mailbox, as far as one can tell from here.
pub fn same(left: &str, right: &str) -> bool {
    left.eq_ignore_ascii_case(right)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<&str>) {
        assert_eq!(typed(value).as_deref(), expected, "{value:?}");
    }

    #[test]
    fn reads_typed_addresses_and_others() {
        check("rfc822; ann@y.example", Some("ann@y.example"));
        check("RFC822;<ann@y.example>", Some("ann@y.example"));
        check("<ann@y.example>", Some("ann@y.example"));
        check("ann@y.example", Some("ann@y.example"));
        check("rfc822; \"ann b\"@y.example", Some("\"ann b\"@y.example"));
        check("utf-8; j\\x{FC}rgen@y.example", Some("jürgen@y.example"));
        check("utf-8; jürgen@bücher.example", Some("jürgen@bücher.example"));
        check("utf-8; a\\x{D800}b@y.example", Some("a\\x{D800}b@y.example"));
        check("rfc822; bob@[192.0.2.1]", Some("bob@[192.0.2.1]"));
        check("bob@[IPv6:2001:db8:ffff:ffff:ffff:ffff:192.0.2.1]", Some("bob@[IPv6:2001:db8:ffff:ffff:ffff:ffff:192.0.2.1]"));
        check(&format!("bob@[{}]", "1".repeat(70)), None);
        check("x-local; bob", None);
        check("", None);
        check(";", None);
        check("@@@", None);
    }

    #[test]
    fn finds_addresses_in_lines() {
        let all = |line| in_line(line).map(|it| it.address).collect::<Vec<_>>();
        assert_eq!(all("to <a@x.example>, 'b@y.example'. c@z"), ["a@x.example", "b@y.example", "c@z"]);
        assert_eq!(all("mailto:a@x.example."), ["a@x.example"]);
        assert_eq!(all("an @ alone, and x@ and @y"), [""; 0]);
        assert_eq!(all("送信先 <太郎@例え.example> へ"), ["太郎@例え.example"]);
        assert_eq!(all("a@b@c"), ["a@b"]);
    }
}
