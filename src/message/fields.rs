//! The fields of a header section that a trace keeps.

use memchr::{memchr, memchr_iter};

use super::dkim::{MOST_SIGNATURES, Signature};
use super::{encoded_word, received};

/// Octets kept of a field's value: what RFC 5322 §2.1.1 allows for a line.
const KEPT: usize = 998;
/// Octets of a raw value that are looked at for those. Encoding and folding inflate, but not beyond this.
const LOOKED_AT: usize = 16 * KEPT;

/// RFC 3462.
const REPORT: &[u8] = b"multipart/report";

/// What is kept of a header section: of each field the first occurrence (of Message-ID the last), unfolded, decoded, bounded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Headers {
    /// Without angle brackets.
    pub message_id: Option<String>,
    pub subject: Option<String>,
    pub from: Option<String>,
    pub to: Option<String>,
    pub date: Option<String>,
    /// The first message id in the last field, without angle brackets.
    pub in_reply_to: Option<String>,
    pub auto_submitted: Option<String>,
    pub received_count: u32,
    /// Its `Content-Type` is that of a report (RFC 3462), of whatever kind.
    pub is_report: bool,
    /// The queue id that the client gave the message, from the topmost `Received`.
    pub client_queue_id: Option<String>,
    /// At most [`MOST_SIGNATURES`].
    pub signatures: Vec<Signature>,
    /// The limit came before the end of the header section.
    pub cut: bool,
    /// BLAKE3 of the header section as captured: dot-stuffing removed, without the empty line.
    pub digest: [u8; 32],
}

impl Headers {
    /// Reads a header section. It ends early at a line that can't be part of one: what follows is body, and stays unread.
    pub fn read(section: &[u8], cut: bool) -> Self {
        let mut headers = Self { cut, digest: blake3::hash(section).into(), ..Self::default() };
        let mut rest = section;
        if rest.starts_with(b"From ") || rest.starts_with(b">From ") {
            rest = behind_line(rest); // an mbox separator that a careless program left there
        }
        while !rest.is_empty() {
            let field_end = field_end(rest);
            let (field, behind) = rest.split_at(field_end);
            let Some((name, value)) = name_and_value(field) else { break };
            headers.keep(name, value);
            rest = behind;
        }
        headers
    }

    fn keep(&mut self, name: &[u8], value: &[u8]) {
        // By length first: most fields are none of these.
        match name.len() {
            2 if name.eq_ignore_ascii_case(b"To") => keep_first(&mut self.to, value, text),
            4 if name.eq_ignore_ascii_case(b"From") => keep_first(&mut self.from, value, text),
            4 if name.eq_ignore_ascii_case(b"Date") => keep_first(&mut self.date, value, text),
            7 if name.eq_ignore_ascii_case(b"Subject") => keep_first(&mut self.subject, value, text),
            8 if name.eq_ignore_ascii_case(b"Received") => {
                if self.received_count == 0 {
                    self.client_queue_id = received::queue_id(&value[..value.len().min(LOOKED_AT)]);
                }
                self.received_count = self.received_count.saturating_add(1);
            }
            // A program that names a message itself often adds to what its library made, and Postfix logs the last one last.
            10 if name.eq_ignore_ascii_case(b"Message-ID") => {
                let read = message_id(&value[..value.len().min(LOOKED_AT)]);
                self.message_id = Some(read).filter(|id| !id.is_empty()).or(self.message_id.take());
            }
            11 if name.eq_ignore_ascii_case(b"In-Reply-To") => keep_first(&mut self.in_reply_to, value, message_id),
            12 if name.eq_ignore_ascii_case(b"Content-Type") => {
                let value = value.trim_ascii_start();
                self.is_report = value.get(..REPORT.len()).is_some_and(|start| start.eq_ignore_ascii_case(REPORT));
            }
            14 if name.eq_ignore_ascii_case(b"DKIM-Signature") && self.signatures.len() < MOST_SIGNATURES => {
                self.signatures.extend(Signature::read(&value[..value.len().min(LOOKED_AT)]));
            }
            14 if name.eq_ignore_ascii_case(b"Auto-Submitted") => keep_first(&mut self.auto_submitted, value, text),
            _ => {}
        }
    }
}

/// Where the field at the front ends: behind the first line end that no folded line follows.
fn field_end(section: &[u8]) -> usize {
    memchr_iter(b'\n', section)
        .map(|line_end| line_end + 1)
        .find(|&next| !matches!(section.get(next), Some(b' ' | b'\t')))
        .unwrap_or(section.len())
}

fn behind_line(section: &[u8]) -> &[u8] {
    memchr(b'\n', section).and_then(|line_end| section.get(line_end + 1..)).unwrap_or_default()
}

/// `None`: not a header field.
fn name_and_value(field: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', field)?;
    // RFC 5322 §4.5: white space before the colon is obsolete, and read.
    let name = field.get(..colon)?.trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    Some((name, field.get(colon + 1..)?))
}

fn keep_first(kept: &mut Option<String>, value: &[u8], read: fn(&[u8]) -> String) {
    if kept.is_none() {
        *kept = Some(read(&value[..value.len().min(LOOKED_AT)])).filter(|text| !text.is_empty());
    }
}

/// The value as a person reads it.
fn text(value: &[u8]) -> String {
    let value = value.trim_ascii();
    let folded = memchr(b'\n', value).is_some();
    let unfolded;
    let value = if folded {
        unfolded = unfold(value);
        unfolded.as_slice()
    } else {
        value
    };
    let mut text = if encoded_word::start(value).is_some() {
        let mut text = String::with_capacity(value.len().min(KEPT));
        encoded_word::decode(value, KEPT, &mut text);
        text
    } else {
        super::lossy(value).into_owned()
    };
    bound(&mut text);
    text
}

/// RFC 5322 §2.2.3: the line ends go, the white space stays.
fn unfold(value: &[u8]) -> Vec<u8> {
    let mut unfolded = Vec::with_capacity(value.len());
    for line in value.split(|&octet| octet == b'\n') {
        unfolded.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
    }
    unfolded
}

fn bound(text: &mut String) {
    text.truncate(super::char_boundary(text, KEPT));
    text.truncate(text.trim_ascii_end().len());
}

/// The first message id in a value, without angle brackets; where there are none, what is there.
fn message_id(value: &[u8]) -> String {
    let value = behind_comments(value.trim_ascii());
    let id = match memchr(b'<', value) {
        Some(open) => {
            let id = value.get(open + 1..).unwrap_or_default();
            id.get(..id_end(id)).unwrap_or(id)
        }
        None => value,
    };
    text(id)
}

/// The closing bracket outside of quotes, or the end.
fn id_end(id: &[u8]) -> usize {
    let mut quoted = false;
    let mut octets = id.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                octets.next();
            }
            b'>' if !quoted => return at,
            _ => {}
        }
    }
    memchr(b'>', id).unwrap_or(id.len())
}

/// What follows the comments (RFC 5322 §3.2.2) at the front; everything if one isn't closed.
fn behind_comments(value: &[u8]) -> &[u8] {
    let mut depth = 0usize;
    let mut octets = value.iter().enumerate();
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'(' => depth += 1,
            b')' if depth > 0 => depth -= 1,
            b'\\' if depth > 0 => {
                octets.next();
            }
            _ if depth > 0 || octet.is_ascii_whitespace() => {}
            _ => return value.get(at..).unwrap_or_default(),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(section: &str) -> Headers {
        Headers::read(section.as_bytes(), false)
    }

    #[test]
    fn keeps_what_a_trace_needs() {
        let section = "Received: from a by b.example (Postfix) with ESMTP id 4F1A2B; Mon\r\n\
             Received: from c by a.example with ESMTP id 000; Mon\r\n\
             From: =?utf-8?Q?J=C3=BCrgen?= <j@x.example>\r\n\
             TO: a@y.example,\r\n\tb@y.example\r\n\
             subject : Invoice\r\n =?utf-8?B?w6Q=?=\r\n\
             Date: Mon, 23 Nov 2026 10:02:11 +0100\r\n\
             Message-Id:\r\n <20261123.1@x.example>\r\n\
             In-Reply-To: <1@y.example> <2@y.example>\r\n\
             Auto-Submitted: auto-replied\r\n\
             Content-Type: Multipart/Report; report-type=delivery-status\r\n\
             DKIM-Signature: v=1; d=x.example;\r\n s=key1; b=\r\n\
             X-Other: no\r\n";
        let expected = Headers {
            message_id: Some("20261123.1@x.example".into()),
            subject: Some("Invoice ä".into()),
            from: Some("Jürgen <j@x.example>".into()),
            to: Some("a@y.example,\tb@y.example".into()),
            date: Some("Mon, 23 Nov 2026 10:02:11 +0100".into()),
            in_reply_to: Some("1@y.example".into()),
            auto_submitted: Some("auto-replied".into()),
            received_count: 2,
            is_report: true,
            client_queue_id: Some("4F1A2B".into()),
            signatures: vec![Signature { domain: "x.example".into(), selector: "key1".into() }],
            cut: false,
            digest: blake3::hash(section.as_bytes()).into(),
        };
        assert_eq!(read(section), expected);
    }

    #[track_caller]
    fn check_id(value: &str, expected: Option<&str>) {
        assert_eq!(read(&format!("Message-ID:{value}\r\n")).message_id.as_deref(), expected, "{value:?}");
    }

    #[test]
    fn reads_odd_message_ids() {
        check_id(" <a@b>", Some("a@b"));
        check_id("<a@b>", Some("a@b"));
        check_id(" a@b", Some("a@b"));
        check_id(" <no-at-sign>", Some("no-at-sign"));
        check_id(" just words", Some("just words"));
        check_id(" < a@b > ", Some("a@b"));
        check_id(" <a@b> (added by postmaster@x)", Some("a@b"));
        check_id(" (what <x@y> for) (twice) <a@b>", Some("a@b"));
        check_id(" (not closed <a@b>", Some("a@b"));
        check_id(" <a@b", Some("a@b"));
        check_id(" <\"a>b\"@c>", Some("\"a>b\"@c"));
        check_id(" <\"a>b", Some("\"a"));
        check_id(" <[a]1@b.PROD.OUTLOOK.COM>", Some("[a]1@b.PROD.OUTLOOK.COM"));
        check_id("\r\n\t<a\r\n b@c>", Some("a b@c"));
        check_id(" <>", None);
        check_id("  ", None);
    }

    #[test]
    fn the_first_of_each_wins() {
        assert_eq!(read("Subject: 1\r\nSubject: 2\r\n").subject.as_deref(), Some("1"));
    }

    #[test]
    fn the_last_message_id_wins() {
        check_id(" <a@b>\r\nMessage-Id: <c@d>", Some("c@d"));
        check_id(" <a@b>\r\nMessage-ID:", Some("a@b"));
    }

    #[test]
    fn a_body_without_an_empty_line_stays_unread() {
        let headers = read("From: a@x.example\r\nDear Bob,\r\nSubject: secret\r\n");
        assert_eq!((headers.from.as_deref(), headers.subject), (Some("a@x.example"), None));
        assert_eq!(read("From a@x Mon Nov 23\r\nSubject: b\r\n").subject.as_deref(), Some("b"));
        assert_eq!(read(" folded first\r\nSubject: b\r\n").subject, None);
    }

    #[test]
    fn values_are_bounded_at_a_character() {
        let headers = read(&format!("Subject: a{}\r\nTo: {}\r\n", "ä".repeat(600), "=?utf-8?Q?=C3=A4?= ".repeat(600)));
        let subject = headers.subject.unwrap_or_default();
        assert_eq!((subject.len(), subject.ends_with('ä')), (997, true));
        assert!(headers.to.is_some_and(|to| to.len() <= KEPT && to.chars().all(|c| c == 'ä')));
    }

    #[test]
    fn eight_bit_and_nul_are_taken() {
        let headers = Headers::read(b"Subject: gr\xfcn\0\r\nFrom:\xff\r\n", true);
        assert_eq!((headers.subject.as_deref(), headers.from.as_deref(), headers.cut), (Some("gr\u{fffd}n\0"), Some("\u{fffd}"), true));
    }

    #[test]
    fn hostile_sections_take_linear_time() {
        // Each of these is read in well under a millisecond; a quadratic reader would need minutes for ten of them.
        let sections: [String; 6] = [
            format!("Subject: {}", "\r\n a".repeat(16_000)),
            "Received: a\r\n".repeat(60_000),
            format!("Message-ID: {}", "(".repeat(64_000)),
            format!("Message-ID: {}", "<\"".repeat(32_000)),
            format!("Subject: {}", "=?utf-8?Q?".repeat(6_000)),
            ":".repeat(64_000),
        ];
        for section in &sections {
            for _ in 0..10 {
                Headers::read(section.as_bytes(), false);
            }
        }
        assert_eq!(read(&sections[1]).received_count, 60_000);
    }

    proptest! {
        #[test]
        fn no_octets_panic(section in prop::collection::vec(any::<u8>(), 0..300)) {
            Headers::read(&section, false);
        }

        #[test]
        fn no_values_panic(name in prop::sample::select(vec!["To", "From", "Date", "Subject", "Received", "Message-ID", "In-Reply-To"]), value in ".{0,200}") {
            let headers = Headers::read(format!("{name}: {value}\r\n").as_bytes(), false);
            for kept in [headers.subject, headers.message_id, headers.to].into_iter().flatten() {
                prop_assert!(kept.len() <= KEPT && !kept.is_empty());
            }
        }
    }
}
