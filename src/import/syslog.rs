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

/// Reads a line of RFC 3164 form (`Nov 26 10:02:03 host program[pid]: text`, or with an RFC 3339 time), or of `journalctl -o json`.
pub fn read<'a>(line: &'a str, clock: &mut Clock) -> Option<Message<'a>> {
    if line.starts_with('{') {
        return from_json(line);
    }
    let line = without_priority(line);
    let (at, rest) = clock.traditional(line).or_else(|| clock.iso(line))?;
    let (host, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
    let rest = rest.trim_start();
    if rest.starts_with("last message repeated ") {
        return Some(Message { at, host: Some(host.into()), program: "".into(), text: rest.into() });
    }
    let (tag, text) = rest.split_once(": ").or_else(|| rest.trim().strip_suffix(':').map(|tag| (tag, "")))?;
    let program = tag.split_once('[').map_or(tag, |(program, _)| program);
    if host.is_empty() || program.is_empty() || program.contains(' ') {
        return None;
    }
    Some(Message { at, host: Some(host.into()), program: program.into(), text: unescaped(once(text)) })
}

/// What rsyslog says instead of the same line once more: `message repeated 2 times: [ text]`.
fn once(text: &str) -> &str {
    let inner = text.strip_prefix("message repeated ").and_then(|it| it.split_once(" times: [ ")).and_then(|(_, it)| it.strip_suffix(']'));
    inner.unwrap_or(text)
}

/// `<22>`, where the line is what came over the network.
fn without_priority(line: &str) -> &str {
    match line.strip_prefix('<').and_then(|rest| rest.split_once('>')) {
        Some((priority, rest)) if priority.len() <= 3 && priority.bytes().all(|it| it.is_ascii_digit()) => rest,
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
