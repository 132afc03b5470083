//! Lines as syslog daemons write them, and as the journal exports them: time, host, program, text.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use super::moment::Clock;
use crate::trace::WallMicros;

/// One message to syslog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message<'a> {
    pub at: WallMicros,
    pub host: Option<Cow<'a, str>>,
    /// `postfix/smtpd`, without the process id.
    pub program: Cow<'a, str>,
    pub text: Cow<'a, str>,
}

/// Reads a line of RFC 3164 form (`Nov 26 10:02:03 host program[pid]: text`, or with an RFC 3339 time), of RFC 5424, or of
/// `journalctl -o json`.
pub fn read<'a>(line: &'a str, clock: &mut Clock) -> Option<Message<'a>> {
    if line.starts_with('{') {
        return from_json(line);
    }
    let line = without_priority(line);
    if let Some(rest) = line.strip_prefix("1 ") {
        return of_version_1(rest, clock);
    }
    let (at, rest) = clock.traditional(line).or_else(|| clock.iso(line))?;
    let (host, rest) = without_names_in_brackets(rest.strip_prefix(' ')?).split_once(' ')?;
    let rest = without_names(rest.trim_start());
    if rest.starts_with("last message repeated ") {
        return Some(Message { at, host: Some(host.into()), program: "".into(), text: rest.into() });
    }
    let (tag, text) = rest.split_once(": ").or_else(|| rest.trim().strip_suffix(':').map(|tag| (tag, "")))?;
    let program = tag.split_once('[').map_or(tag, |(program, _)| program);
    if host.is_empty() || program.is_empty() || program.contains(' ') {
        return None;
    }
    Some(Message { at, host: Some(host.into()), program: program.into(), text: unescaped(once(without_id(text))) })
}

/// RFC 5424 6, behind the version: `2026-11-26T10:02:03Z host program 123 - - text`. FreeBSD and rsyslog write such files.
fn of_version_1<'a>(line: &'a str, clock: &mut Clock) -> Option<Message<'a>> {
    let (at, rest) = clock.iso(line)?;
    let mut fields = rest.strip_prefix(' ')?.splitn(5, ' ');
    let (host, program, _process, _kind) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let text = behind_structured_data(fields.next()?)?;
    // rsyslog keeps the blank that stood behind a tag.
    let text = text.trim_start();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let known = |field: &'a str| Some(field).filter(|it| *it != "-");
    let program = known(program).unwrap_or_default();
    Some(Message { at, host: known(host).map(Into::into), program: program.into(), text: unescaped(once(text)) })
}

/// RFC 5424 6.3: `-`, or elements such as `[id name="value"]`, in whose values `"`, `\` and `]` are escaped.
fn behind_structured_data(text: &str) -> Option<&str> {
    if let Some(rest) = text.strip_prefix('-') {
        return Some(rest);
    }
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b']' if !is_quoted => match text.get(at + 1..)? {
                rest if rest.starts_with('[') => {}
                rest => return text.starts_with('[').then_some(rest),
            },
            _ => {}
        }
    }
    None
}

/// `<mail.info> `, which FreeBSD's `syslogd -vv` writes in front of the host; `<2.6> ` with one v.
fn without_names_in_brackets(text: &str) -> &str {
    match text.strip_prefix('<').and_then(|it| it.split_once("> ")) {
        Some((names, rest)) if names.contains('.') && !names.contains(' ') => rest,
        _ => text,
    }
}

/// `mail:info `, which AIX writes behind the host.
fn without_names(text: &str) -> &str {
    match text.split_once(' ').map(|(names, rest)| (names.split_once(':'), rest)) {
        Some((Some((facility, level)), rest)) if is_name(facility) && is_name(level) => rest,
        _ => text,
    }
}

/// `[ID 801593 mail.info] `, which Solaris and its kin write in front of the text.
fn without_id(text: &str) -> &str {
    match text.strip_prefix("[ID ").and_then(|it| it.split_once("] ")) {
        Some((id, rest)) if id.split_once(' ').is_some_and(|(id, names)| is_digits(id) && names.split('.').all(is_name)) => rest,
        _ => text,
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit())
}

/// Of a facility or a level: `mail`, `local3`, `auth|security`.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'|')
}

/// What rsyslog says instead of the same line once more: `message repeated 2 times: [ text]`.
fn once(text: &str) -> &str {
    let inner = text.strip_prefix("message repeated ").and_then(|it| it.split_once(" times: [ ")).and_then(|(_, it)| it.strip_suffix(']'));
    inner.unwrap_or(text)
}

/// `<22>`, where the line is what came over the network.
fn without_priority(line: &str) -> &str {
    match line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((priority, rest)) if priority.len() <= 3 && is_digits(priority) => rest,
        _ => line,
    }
}

/// rsyslog puts `#011` for a tab (its `$EscapeControlCharactersOnReceive`); Sendmail writes such.
fn unescaped(text: &str) -> Cow<'_, str> {
    if text.contains("#011") { text.replace("#011", "\t").into() } else { text.into() }
}

/// What `journalctl -o json` writes a line, as far as it matters.
#[derive(Debug, Deserialize)]
struct Entry<'a> {
    #[serde(rename = "__REALTIME_TIMESTAMP", borrow)]
    received: Option<Cow<'a, str>>,
    #[serde(rename = "_SOURCE_REALTIME_TIMESTAMP", borrow)]
    sent: Option<Cow<'a, str>>,
    #[serde(rename = "_HOSTNAME", borrow)]
    host: Option<Cow<'a, str>>,
    #[serde(rename = "SYSLOG_IDENTIFIER", borrow)]
    program: Option<Cow<'a, str>>,
    #[serde(rename = "MESSAGE", default)]
    text: Text,
}

/// A string, an array of octets where it isn't UTF-8, or null where it is too long.
#[derive(Debug, Default)]
struct Text(Option<String>);

fn from_json(line: &str) -> Option<Message<'_>> {
    let entry: Entry<'_> = serde_json::from_str(line).ok()?;
    let at = entry.sent.or(entry.received)?.parse().ok()?;
    Some(Message { at, host: entry.host, program: entry.program.unwrap_or_default(), text: entry.text.0.unwrap_or_default().into() })
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Text;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string, an array of octets, or null")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Some(text.to_owned())))
            }

            fn visit_unit<E>(self) -> Result<Text, E> {
                Ok(Text(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut octets: A) -> Result<Text, A::Error> {
                let mut text = Vec::new();
                while let Some(octet) = octets.next_element::<u8>()? {
                    text.push(octet);
                }
                Ok(Text(Some(String::from_utf8_lossy(&text).into_owned())))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    const NOVEMBER: WallMicros = 1_795_687_323_000_000;

    #[track_caller]
    fn check(line: &str, program: &str, text: &str) {
        let mut clock = Clock::new(TimeZone::UTC, NOVEMBER, 0);
        let message = read(line, &mut clock).unwrap_or_else(|| panic!("{line}"));
        assert_eq!((message.at / 1_000_000 * 1_000_000, &*message.program, &*message.text), (NOVEMBER, program, text), "{line}");
        assert_eq!(message.host.as_deref(), Some("mail"));
    }

    #[test]
    fn both_stamps_are_read() {
        check("Nov 26 10:02:03 mail postfix/smtpd[123]: connect from x", "postfix/smtpd", "connect from x");
        check("<22>Nov 26 10:02:03 mail postfix/smtpd[123]: connect from x", "postfix/smtpd", "connect from x");
        check("2026-11-26T10:02:03.123456+00:00 mail sm-mta[1]: 3AQ: from=<a>", "sm-mta", "3AQ: from=<a>");
        check("Nov 26 10:02:03 mail courierd: Loading STATIC transport", "courierd", "Loading STATIC transport");
        check("Nov 26 10:02:03 mail kernel: ", "kernel", "");
        check("Nov 26 10:02:03 mail last message repeated 2 times", "", "last message repeated 2 times");
        check("Nov 26 10:02:03 mail a/b[1]: message repeated 2 times: [ c: d]", "a/b", "c: d");
        check("Nov 26 10:02:03 mail sm-mta[1]: a#011b", "sm-mta", "a\tb");
    }

    #[test]
    fn facility_and_level_are_passed_over() {
        check("Nov 26 10:02:03 mail sendmail[1]: [ID 801593 mail.info] 5AQ: from=<a>", "sendmail", "5AQ: from=<a>");
        check("Nov 26 10:02:03 mail sendmail[1]: [ID x] 5AQ: from=<a>", "sendmail", "[ID x] 5AQ: from=<a>");
        check("Nov 26 10:02:03 <mail.info> mail postfix/smtpd[1]: connect from x", "postfix/smtpd", "connect from x");
        check("Nov 26 10:02:03 <2.6> mail postfix/smtpd[1]: connect from x", "postfix/smtpd", "connect from x");
        check("Nov 26 10:02:03 mail mail:info sendmail[1]: 5AQ: from=<a>", "sendmail", "5AQ: from=<a>");
    }

    #[test]
    fn lines_of_rfc_5424_are_read() {
        const TEXT: &str = "4F1A: client=c.example[192.0.2.7]";
        for start in ["<22>1 ", "1 "] {
            for behind in ["- - ", "- -  ", "- - \u{feff}", "ID47 [x@1 a=\"[\\\"]\"][y] ", "ID47 [x] "] {
                check(&format!("{start}2026-11-26T10:02:03.123Z mail postfix/smtpd 123 {behind}{TEXT}"), "postfix/smtpd", TEXT);
            }
        }
        check("<22>1 2026-11-26T10:02:03Z mail - - - -", "", "");
        check("<22>1 2026-11-26T10:02:03Z mail exim 1 - - a b: c", "exim", "a b: c");
        let mut clock = Clock::new(TimeZone::UTC, NOVEMBER, 0);
        for line in ["<22>1 - mail p 1 - - x", "<22>1 2026-11-26T10:02:03Z mail p 1 -", "<22>1 2026-11-26T10:02:03Z mail p 1 - [x a=\"] y"]
        {
            assert_eq!(read(line, &mut clock), None, "{line}");
        }
        let nameless = read("<22>1 2026-11-26T10:02:03Z - p 1 - - x", &mut clock).unwrap();
        assert_eq!(nameless.host, None);
    }

    #[test]
    fn journal_entries_are_read() {
        check(
            r#"{"__REALTIME_TIMESTAMP":"1795687323000001","_HOSTNAME":"mail","SYSLOG_IDENTIFIER":"postfix/smtp","MESSAGE":"4F1A: to=<a\u0040b>"}"#,
            "postfix/smtp",
            "4F1A: to=<a@b>",
        );
        check(r#"{"__REALTIME_TIMESTAMP":"1795687323000001","_HOSTNAME":"mail","MESSAGE":[104,195,188],"X":[1]}"#, "", "hü");
        check(r#"{"__REALTIME_TIMESTAMP":"1795687323000001","_HOSTNAME":"mail","MESSAGE":null}"#, "", "");
    }

    #[test]
    fn what_is_no_syslog_is_not_read() {
        let mut clock = Clock::new(TimeZone::UTC, NOVEMBER, 0);
        for line in ["", "x", "Nov 26 10:02:03", "Nov 26 10:02:03 mail", "{}", "{", "\u{0}\u{1}", "Nov 26 ü"] {
            assert_eq!(read(line, &mut clock), None, "{line:?}");
        }
    }
}
