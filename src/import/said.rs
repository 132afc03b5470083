//! What servers quote and tell in their logs: replies, and where in the dialogue they came.

use std::net::IpAddr;

use super::entry::Fate;
use super::facts::some;
use crate::message::encoded_word;
use crate::trace::{Actor, Reply, Stage, State};

/// A reply as logs quote it: its lines one behind the other, each with its code (Postfix), or separated by `\n` or real line ends (Exim, James).
///
/// `None` if the text doesn't begin with a reply code.
pub fn reply(text: &str) -> Option<Reply> {
    let text = text.trim();
    let code = code_of(text)?;
    let mut lines = Vec::new();
    let mut rest = text;
    loop {
        let is_last = rest.as_bytes().get(3) != Some(&b'-');
        let behind = rest.get(4..).unwrap_or_default();
        match (!is_last).then(|| next_line(behind, text.get(..3)?)).flatten() {
            Some((line, next)) => {
                lines.push(line.to_owned());
                rest = next;
            }
            None => {
                lines.push(behind.trim_end().to_owned());
                break;
            }
        }
    }
    let enhanced = lines.first().and_then(|line| enhanced(line)).filter(|it| u16::from(it.0) == code / 100);
    Some(Reply { code, enhanced, lines })
}

/// 2xx to 5xx, then blank, hyphen or nothing.
fn code_of(text: &str) -> Option<u16> {
    let octets = text.as_bytes();
    let fits = matches!(octets.first(), Some(b'2'..=b'5')) && matches!(octets.get(3), None | Some(b' ' | b'-'));
    text.get(..3).filter(|it| fits && it.bytes().all(|it| it.is_ascii_digit()))?.parse().ok()
}

/// The text up to where the same code begins the next line, and from there on.
fn next_line<'a>(text: &'a str, code: &str) -> Option<(&'a str, &'a str)> {
    for (at, _) in text.match_indices(code) {
        let (before, next) = (text.get(..at)?, text.get(at..)?);
        let line = before.strip_suffix("\\n").or_else(|| before.strip_suffix("\\r\\n")).or_else(|| before.strip_suffix([' ', '\n', '\t']));
        if let Some(line) = line
            && code_of(next).is_some()
        {
            return Some((line.trim_end(), next));
        }
    }
    None
}

/// The enhanced status code (RFC 3463) that a text begins with.
pub fn enhanced(text: &str) -> Option<(u8, u16, u16)> {
    let word = text.split([' ', ':']).next()?;
    let mut parts = word.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let short = |part: &str| !part.is_empty() && part.len() <= 3 && part.bytes().all(|it| it.is_ascii_digit());
    if parts.next().is_some() || !matches!(class, "2" | "4" | "5") || !short(subject) || !short(detail) {
        return None;
    }
    Some((class.parse().ok()?, subject.parse().ok()?, detail.parse().ok()?))
}

/// Phrases of the servers, with what they tell of the dialogue. The first that occurs counts.
const STAGES: &[(&str, Stage)] = &[
    ("in reply to RCPT TO", Stage::RcptTo),
    ("in reply to MAIL FROM", Stage::MailFrom),
    ("in reply to end of DATA", Stage::EndOfData),
    ("in reply to DATA", Stage::Data),
    ("in reply to EHLO", Stage::Ehlo),
    ("in reply to HELO", Stage::Ehlo),
    ("in reply to STARTTLS", Stage::StartTls),
    ("in reply to AUTH", Stage::Auth),
    ("after RCPT TO", Stage::RcptTo),
    ("after pipelined RCPT TO", Stage::RcptTo),
    ("after MAIL FROM", Stage::MailFrom),
    ("after pipelined MAIL FROM", Stage::MailFrom),
    ("after end of data", Stage::EndOfData),
    ("after sending data block", Stage::Body),
    ("after DATA", Stage::Data),
    ("after pipelined DATA", Stage::Data),
    ("after initial connection", Stage::Banner),
    ("after HELO", Stage::Ehlo),
    ("after EHLO", Stage::Ehlo),
    ("after LHLO", Stage::Ehlo),
    ("after STARTTLS", Stage::StartTls),
    ("refused to talk to me", Stage::Banner),
    ("while receiving the initial server greeting", Stage::Banner),
    ("while performing the EHLO handshake", Stage::Ehlo),
    ("while performing the HELO handshake", Stage::Ehlo),
    ("while sending MAIL FROM", Stage::MailFrom),
    ("while sending RCPT TO", Stage::RcptTo),
    ("while sending end of data", Stage::EndOfData),
    ("while sending message body", Stage::Body),
    ("while sending DATA", Stage::Data),
    ("SASL authentication", Stage::Auth),
    ("authentication failed", Stage::Auth),
    ("TLS", Stage::StartTls),
    ("ertificate", Stage::StartTls),
];

/// Phrases for what failed before anybody said anything.
const NETWORK: &[&str] = &[
    "Connection refused",
    "Connection timed out",
    "Connection reset",
    "Connection closed",
    "No route to host",
    "etwork is unreachable",
    "Network unreachable",
    "Host is unreachable",
    "Operation timed out",
    "lost connection with",
    "timed out while",
    "timed out with",
    "Broken pipe",
    "connect to ",
    "retry time not reached",
    "Connection lost",
    "server is not responding",
];

const DNS: &[&str] = &[
    "Host or domain name not found",
    "Name service error",
    "Host not found",
    "Host unknown",
    "Unrouteable address",
    "host lookup did not complete",
    "lowest numbered MX record points to local host",
    "all relevant MX records point to non-existent hosts",
    "Name server:",
    "No such domain",
    "DNS lookup failed",
    "Domain not found in DNS",
];

/// Where in the dialogue with the next hop a failure lies, and whose it is, by what the log tells of it.
pub fn failed(state: State, has_reply: bool, detail: &str) -> Fate {
    let said = STAGES.iter().find(|(phrase, _)| detail.contains(phrase)).map(|(_, stage)| *stage);
    let (stage, by) = if has_reply {
        (said.unwrap_or(Stage::EndOfData), Actor::Upstream)
    } else if DNS.iter().any(|phrase| detail.contains(phrase)) {
        (Stage::Connect, Actor::Dns)
    } else if NETWORK.iter().any(|phrase| detail.contains(phrase)) {
        (said.unwrap_or(Stage::Connect), Actor::Network)
    } else {
        (said.unwrap_or(Stage::AfterAcceptance), Actor::Recipient)
    };
    Fate { state, stage, by }
}

/// The next hop took it.
pub const SENT: Fate = Fate { state: State::Accepted, stage: Stage::EndOfData, by: Actor::Upstream };
/// It is in a mailbox.
pub const DELIVERED: Fate = Fate { state: State::Accepted, stage: Stage::AfterAcceptance, by: Actor::Recipient };

/// The state that a reply of this server's own to a client means.
pub fn refused(reply: Option<&Reply>, stage: Stage) -> Fate {
    let is_for_now = reply.is_some_and(|reply| reply.code < 500);
    Fate { state: if is_for_now { State::Deferred } else { State::Rejected }, stage, by: Actor::Upstream }
}

/// The stage of an SMTP command's name, as logs write it.
pub fn stage_of(command: &str) -> Option<Stage> {
    Some(match command {
        "CONNECT" => Stage::Connect,
        "HELO" | "EHLO" => Stage::Ehlo,
        "STARTTLS" => Stage::StartTls,
        "AUTH" => Stage::Auth,
        "MAIL" | "MAIL FROM" => Stage::MailFrom,
        "RCPT" | "RCPT TO" | "VRFY" | "EXPN" | "ETRN" => Stage::RcptTo,
        "DATA" | "BDAT" => Stage::Data,
        "END-OF-MESSAGE" | "END-OF-HEADERS" | "end of DATA" => Stage::EndOfData,
        _ => return None,
    })
}

/// A subject as a person reads it: header text with encoded words, as servers quote it from the message.
pub fn subject(text: &str) -> Option<String> {
    // A folded header, with its line end or with the question marks that Postfix puts for line end and tab.
    let folds = [("\r\n", "\n"), ("\n ", " "), ("\n\t", "\t"), ("?=? =?", "?= =?"), ("?=??=?", "?= =?")];
    let unfolded = folds.iter().fold(text.to_owned(), |text, (fold, plain)| text.replace(fold, plain));
    let mut decoded = String::with_capacity(unfolded.len());
    encoded_word::decode(unfolded.as_bytes(), usize::MAX, &mut decoded);
    some(&decoded)
}

/// Where a text stands outside of quotes.
pub fn unquoted<'a>(text: &'a str, wanted: &'a str) -> impl Iterator<Item = usize> + 'a {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.bytes().enumerate().filter_map(move |(at, octet)| {
        if octet == b'"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped = octet == b'\\' && !is_escaped;
        let fits = !is_quoted && text.as_bytes().get(at..).is_some_and(|it| it.starts_with(wanted.as_bytes()));
        fits.then_some(at)
    })
}

/// An address without its angle brackets and blanks.
pub fn bare(address: &str) -> &str {
    let address = address.trim();
    address.strip_prefix('<').and_then(|it| it.strip_suffix('>')).unwrap_or(address)
}

/// An address of a host as logs write it: `[IPv6:::1]`, `::ffff:192.0.2.1`, `fe80::1%eth0`.
pub fn ip(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let text = text.strip_prefix("IPv6:").unwrap_or(text);
    let address: IpAddr = text.split('%').next()?.parse().ok()?;
    Some(match address {
        IpAddr::V6(six) => six.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    })
}

/// A host's name and address: `mx.example[192.0.2.1]:25`, `mx.example. [192.0.2.1]`, `[192.0.2.1]`, `mx.example`, `unknown[192.0.2.1]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Host {
    pub name: Option<String>,
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
}

pub fn host(text: &str) -> Host {
    let text = text.trim();
    let (name, rest) = text.split_once('[').unwrap_or((text, ""));
    let (address, behind) = rest.split_once(']').unwrap_or((rest, ""));
    let port = behind.strip_prefix(':').map(|it| it.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
    let name = name.trim().trim_end_matches('.');
    Host {
        name: (!name.is_empty() && name != "unknown" && name != "none").then(|| name.to_owned()),
        ip: ip(address).or_else(|| ip(name)),
        port: port.and_then(|it| it.parse().ok()),
    }
}

/// `00:01:02`, `1+02:03:04` (with days), `1.23`, `1d2h3m4s` in microseconds.
pub fn duration_us(text: &str) -> Option<u64> {
    const SECOND: u64 = 1_000_000;
    if let Ok(seconds) = text.parse::<f64>() {
        return (0.0..1e10).contains(&seconds).then_some((seconds * SECOND as f64) as u64);
    }
    if text.contains(':') {
        let (days, clock) = text.split_once('+').unwrap_or(("0", text));
        let mut parts = clock.split(':').map(|it| it.parse::<u64>().ok().filter(|it| *it < 100_000));
        let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
        let days = days.parse::<u64>().ok().filter(|it| *it < 100_000)?;
        return Some((days * 86_400 + hours * 3_600 + minutes * 60 + seconds) * SECOND);
    }
    let (mut total, mut number) = (0.0, String::new());
    for c in text.chars() {
        let unit = match c {
            '0'..='9' | '.' if number.len() < 12 => {
                number.push(c);
                continue;
            }
            'w' => 604_800.0,
            'd' => 86_400.0,
            'h' => 3_600.0,
            'm' => 60.0,
            's' => 1.0,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * unit;
        number.clear();
    }
    number.is_empty().then_some((total * SECOND as f64) as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, code: u16, enhanced: Option<(u8, u16, u16)>, lines: &[&str]) {
        let lines = lines.iter().map(|it| (*it).to_owned()).collect();
        assert_eq!(reply(text), Some(Reply { code, enhanced, lines }), "{text}");
    }

    #[test]
    fn quoted_replies_are_read() {
        check("250 2.0.0 Ok: queued as 4F1A", 250, Some((2, 0, 0)), &["2.0.0 Ok: queued as 4F1A"]);
        check("550-5.1.1 no such 550 5.1.1 user 550", 550, Some((5, 1, 1)), &["5.1.1 no such", "5.1.1 user 550"]);
        check(r"550-5.7.1 go\n550-5.7.1 away\n550 5.7.1 now", 550, Some((5, 7, 1)), &["5.7.1 go", "5.7.1 away", "5.7.1 now"]);
        check("452 4.2.2 full\n", 452, Some((4, 2, 2)), &["4.2.2 full"]);
        check("550", 550, None, &[""]);
        check("550-5.1.1 cut off in the log", 550, Some((5, 1, 1)), &["5.1.1 cut off in the log"]);
        check("421 4.7.0 x", 421, Some((4, 7, 0)), &["4.7.0 x"]);
        check("550 4.1.1 odd", 550, None, &["4.1.1 odd"]);
        for none in ["", "55", "650 x", "5500 x", "Ok", "ü50 x"] {
            assert_eq!(reply(none), None, "{none}");
        }
    }

    #[test]
    fn failures_have_their_place() {
        let of = |has_reply, text| {
            let fate = failed(State::Deferred, has_reply, text);
            (fate.stage, fate.by)
        };
        assert_eq!(of(true, "host a[192.0.2.1] said: 550 x (in reply to RCPT TO command)"), (Stage::RcptTo, Actor::Upstream));
        assert_eq!(of(false, "connect to a[192.0.2.1]:25: Connection refused"), (Stage::Connect, Actor::Network));
        assert_eq!(
            of(false, "lost connection with a while sending end of data -- message may be sent more than once"),
            (Stage::EndOfData, Actor::Network)
        );
        assert_eq!(of(false, "Host or domain name not found. Name service error for name=a type=MX"), (Stage::Connect, Actor::Dns));
        assert_eq!(
            of(false, "maildir delivery failed: create maildir file: Disk quota exceeded"),
            (Stage::AfterAcceptance, Actor::Recipient)
        );
    }

    #[test]
    fn hosts_are_read() {
        let of = |text| {
            let host = host(text);
            (host.name.unwrap_or_default(), host.ip.map(|it| it.to_string()).unwrap_or_default(), host.port)
        };
        assert_eq!(of("mx.example[192.0.2.1]:25"), ("mx.example".into(), "192.0.2.1".into(), Some(25)));
        assert_eq!(of("mx.example. [IPv6:2001:db8::1]"), ("mx.example".into(), "2001:db8::1".into(), None));
        assert_eq!(of("unknown[::ffff:192.0.2.1]"), (String::new(), "192.0.2.1".into(), None));
        assert_eq!(of("dovecot"), ("dovecot".into(), String::new(), None));
        assert_eq!(of("none"), Default::default());
        assert_eq!(of("localhost[private/lmtp]"), ("localhost".into(), String::new(), None));
    }

    #[test]
    fn durations_are_read() {
        assert_eq!(duration_us("0.31"), Some(310_000));
        assert_eq!(duration_us("00:01:02"), Some(62_000_000));
        assert_eq!(duration_us("1+00:00:01"), Some(86_401_000_000));
        assert_eq!(duration_us("1h2m3.5s"), Some(3_723_500_000));
        for wrong in ["", "x", "-1", "NaN", "1e300", "1:2", "1h2", ":::", "99999999999999999999:1:1"] {
            assert!(duration_us(wrong).is_none_or(|it| it == 0), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in prop_oneof![".{0,60}", "(550[- ]|5\\.1\\.1|\\\\n|[a-zü:. \\[\\]]){0,12}"]) {
            let _ = (reply(&text), host(&text), duration_us(&text), ip(&text), failed(State::Rejected, false, &text));
        }
    }
}
