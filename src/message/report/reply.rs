//! The server's reply within a diagnostic: its three digits, and its enhanced status code.

/// A reply of several lines that were joined into one: the code that each of them repeats stands once.
pub fn joined(text: &str) -> String {
    let is_code = |word: &str| word.len() == 3 && word.starts_with(['4', '5']) && word.bytes().all(|octet| octet.is_ascii_digit());
    let mut words = text.split_whitespace().peekable();
    let mut first: Option<(&str, &str)> = None;
    let mut kept: Vec<&str> = Vec::new();
    while let Some(word) = words.next() {
        let dashed = word.split_once('-').filter(|(code, _)| is_code(code));
        match (first, dashed) {
            (None, Some(it)) => {
                first = Some(it);
                kept.push(word);
            }
            (Some((code, status)), Some((again, rest))) if again == code && (rest == status || rest.is_empty()) => {}
            // Without a status nothing but the dash tells a line's start, and the word keeps what follows it.
            (Some((code, status)), Some((again, rest))) if again == code && leading(status).is_none() => kept.push(rest),
            (Some((code, status)), None) if word == code && !status.is_empty() && words.peek() == Some(&status) => {
                words.next();
            }
            _ => kept.push(word),
        }
    }
    kept.join(" ")
}

/// Class, subject, detail (RFC 3463).
pub type Status = (u8, u16, u16);

/// What a text says of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Codes {
    pub reply: Option<u16>,
    pub status: Option<Status>,
    /// The status stands where a server writes its own: in front, behind the reply's code, or as `(#5.1.1)`. Elsewhere it may be a filter's version.
    pub placed: bool,
}

impl Codes {
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// What is missing, from elsewhere.
    pub fn or_else(self, other: impl FnOnce() -> Self) -> Self {
        if self.reply.is_some() && self.status.is_some() {
            return self;
        }
        let other = other();
        let placed = if self.status.is_some() { self.placed } else { other.placed };
        Self { reply: self.reply.or(other.reply), status: self.status.or(other.status), placed }
    }
}

/// Reads the codes of a diagnostic. Where one reply wraps another ("expired: last said …"), the inner one is what happened.
pub fn codes(text: &str) -> Codes {
    // Exchange puts its own word before the reply: `#5.5.0 smtp;550 5.2.2 full`.
    if let Some((_, reply)) = text.rsplit_once("smtp;") {
        let replies = replies(reply);
        let statuses = statuses(reply, &replies);
        if let Some(it) = statuses.iter().find(|it| !is_vague(it.status) && !is_expiry(it.status)) {
            return it.with(replies.first().map(|(_, it)| *it));
        }
    }
    let replies = replies(text);
    let statuses = statuses(text, &replies);
    let first = statuses.iter().find(|it| !is_vague(it.status)).or(statuses.first());
    let reply = replies.first().map(|(_, it)| *it);
    if first.is_some_and(|it| is_expiry(it.status)) {
        let inner = statuses.iter().rev().find(|it| !is_expiry(it.status) && !is_vague(it.status));
        if let Some(inner) = inner {
            return inner.with(replies.last().map(|(_, it)| *it));
        }
    }
    first.map_or(Codes { reply, ..Codes::default() }, |it| it.with(reply))
}

/// A status within a text, and whether it stands where one belongs.
#[derive(Debug, Clone, Copy)]
struct Found {
    status: Status,
    placed: bool,
}

impl Found {
    fn with(self, reply: Option<u16>) -> Codes {
        Codes { reply, status: Some(self.status), placed: self.placed }
    }
}

/// The statuses of a text. One of another class than the code of the reply that it stands in is none, unless it stands in its place.
fn statuses(text: &str, replies: &[(usize, u16)]) -> Vec<Found> {
    let judged = statuses_of(text, false).into_iter().filter_map(|(at, status)| {
        let before = text.get(..at).unwrap_or_default();
        let reply = replies.iter().rfind(|(begins, _)| *begins < at);
        let behind_code = reply.is_some_and(|(begins, _)| {
            before.get(begins + 3..).is_some_and(|it| it.trim_matches(['-', ' ', ':', ',', '#', '(', '\'']).is_empty())
        });
        let placed = behind_code
            || before.trim_start_matches(['#', '(', ' ']).is_empty()
            || before.ends_with(['#', '(', '['])
            || before.ends_with(": ");
        let fits = reply.is_none_or(|(_, code)| code / 100 == u16::from(status.0));
        (fits || behind_code).then_some(Found { status, placed: placed && fits })
    });
    judged.collect()
}

/// The better of what the status field says and what the diagnostic says.
pub fn better(field: Option<Status>, diagnostic: Codes) -> Option<Status> {
    match (field, diagnostic.status) {
        (Some((2, ..)), _) => field,
        // The field is what the reporting server makes of the reply; the reply says it itself.
        (Some(field), Some(other)) if !is_vague(other) && (diagnostic.placed || is_vague(field) || is_expiry(field)) => Some(other),
        (Some(field), _) => Some(field),
        (None, other) => other,
    }
}

/// x.0.0 and its like say nothing.
pub fn is_vague((_, subject, detail): Status) -> bool {
    subject == 0 && detail == 0
}

/// Delivery time expired (RFC 3463 §3.5).
pub fn is_expiry((_, subject, detail): Status) -> bool {
    (subject, detail) == (4, 7)
}

/// The status of a field that should begin with it, and sometimes has words before.
pub fn of_field(value: &str) -> Option<Status> {
    statuses_of(value, true).into_iter().next().map(|(_, status)| status)
}

/// The status at the front of a text: `5.1.1 (bad address)`. What stands further on isn't looked at.
pub fn leading(value: &str) -> Option<Status> {
    status_at(value.trim_start().as_bytes(), 0)
}

fn statuses_of(text: &str, with_success: bool) -> Vec<(usize, Status)> {
    let octets = text.as_bytes();
    let mut found = Vec::new();
    for at in memchr::memchr3_iter(b'5', b'4', b'2', octets) {
        let Some(status) = status_at(octets, at).filter(|(class, ..)| *class != 2 || with_success) else { continue };
        found.push((at, status));
        if found.len() >= 20 {
            break;
        }
    }
    found
}

/// The status that begins there, if one does.
fn status_at(octets: &[u8], at: usize) -> Option<Status> {
    let class = octets.get(at).filter(|octet| matches!(octet, b'2' | b'4' | b'5')).filter(|_| octets.get(at + 1) == Some(&b'.'))?;
    let before = at.checked_sub(1).and_then(|it| octets.get(it)).copied().unwrap_or(b' ');
    if before.is_ascii_alphanumeric() || matches!(before, b'.' | b'_') {
        return None;
    }
    let (subject, next) = number(octets, at + 2)?;
    let (detail, end) = number(octets, next + 1).filter(|_| octets.get(next) == Some(&b'.'))?;
    let follows = octets.get(end).copied().unwrap_or(b' ');
    // An address of four numbers, or a version, is no status.
    let longer = follows == b'.' && octets.get(end + 1).is_some_and(u8::is_ascii_alphanumeric);
    (!follows.is_ascii_alphanumeric() && follows != b'@' && !longer).then_some((class - b'0', subject, detail))
}

/// One to three digits.
fn number(octets: &[u8], from: usize) -> Option<(u16, usize)> {
    let digits = octets.get(from..)?.iter().take(4).take_while(|octet| octet.is_ascii_digit()).count();
    let value = std::str::from_utf8(octets.get(from..from + digits)?).ok()?.parse().ok()?;
    (1..=3).contains(&digits).then_some((value, from + digits))
}

/// Three digits where a reply begins: at the front, behind what introduces one, or before an enhanced code.
fn replies(text: &str) -> Vec<(usize, u16)> {
    let octets = text.as_bytes();
    let mut found: Vec<(usize, u16)> = Vec::new();
    for at in memchr::memchr2_iter(b'5', b'4', octets) {
        let Some((code, end)) = number(octets, at).filter(|&(code, end)| end == at + 3 && (400..=559).contains(&code)) else { continue };
        if code % 100 > 59 {
            continue;
        }
        let follows = octets.get(end).copied().unwrap_or(b' ');
        if !matches!(follows, b' ' | b'-' | b':' | b';' | b',' | b')' | b'.' | b'>' | b'\'' | b'"' | b'#' | b'\t' | b'\r' | b'\n' | b']') {
            continue;
        }
        // "550.5" is a number, "550." may end a sentence.
        if matches!(follows, b'.' | b',') && octets.get(end + 1).is_some_and(u8::is_ascii_digit) {
            continue;
        }
        let before = text.get(..at).unwrap_or_default();
        let near = before.chars().next_back().unwrap_or('\n');
        if near.is_alphanumeric() || matches!(near, '.' | '-' | '+' | '@' | '/' | '_' | '$') && !before.ends_with("--") {
            continue;
        }
        // `as follows: [550 …]`, not the port or address of a host.
        let before = before.strip_suffix('[').unwrap_or(before);
        let enhanced = text.get(end + 1..).is_some_and(|it| leading(it.trim_start_matches(['#', '-', ' ', '\t', '\r', '\n'])).is_some());
        let quotes = text.get(end..).is_some_and(|it| it.starts_with("-'") || it.starts_with(" '"));
        if enhanced || quotes || (near != '=' && introduces(before)) {
            found.push((at, code));
            if found.len() >= 20 {
                break;
            }
        }
    }
    found
}

/// Whether a reply may begin behind this.
fn introduces(before: &str) -> bool {
    const WORDS: &[&str] = &[
        "said",
        "says",
        "reply",
        "response",
        "responded",
        "error",
        "code",
        "smtp",
        "reason",
        "status",
        "returned",
        "rcpt",
        "data",
        "with",
        "was",
        "message",
        "rejected",
        "failed",
        "diagnostic",
        "result",
        "<<<",
        ">>>",
        "...",
        "was:",
        "end of data",
        "command",
        "sent",
        "replied",
        "server",
        "answer",
        "answered",
        "detail",
        "details",
    ];
    let trimmed = before.trim_end_matches([' ', '\t']);
    let Some(last) = trimmed.chars().next_back() else { return true };
    if trimmed.ends_with("],") || matches!(last, '\n' | ':' | '(' | '<' | '>' | '#' | '"' | '\'' | ';' | '|' | '«' | '“' | '„') {
        return true;
    }
    let bytes = trimmed.len();
    WORDS
        .iter()
        .any(|word| bytes.checked_sub(word.len()).and_then(|at| trimmed.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, reply: Option<u16>, status: Option<Status>) {
        let found = codes(text);
        assert_eq!((found.reply, found.status), (reply, status), "{text:?}");
    }

    #[test]
    fn reads_replies_as_people_write_them() {
        check("550 5.1.1 no such user", Some(550), Some((5, 1, 1)));
        check("host mx.y.example[192.0.2.4] said: 452-4.2.2 full", Some(452), Some((4, 2, 2)));
        check("smtp;550 5.7.1 no", Some(550), Some((5, 7, 1)));
        check("sorry, no mailbox here (#5.1.1 - chkusr)", None, Some((5, 1, 1)));
        check("#550 5.1.1 RESOLVER.ADR.RecipNotFound; not found ##", Some(550), Some((5, 1, 1)));
        check("ERROR_CODE :550, ERROR_CODE :5.2.2 full", Some(550), Some((5, 2, 2)));
        check("(reason: 554 5.0.0 no)", Some(554), Some((5, 0, 0)));
        check("554 5.0.0 rejected: 5.7.1 policy", Some(554), Some((5, 7, 1)));
        check("554 4.4.7 expired <421 4.4.2 timed out>", Some(421), Some((4, 4, 2)));
        check("Mailbox 550 MB of 500 used", None, None);
        check("at 192.5.1.1, version 5.5.2653.12, 10.5.1.1", None, None);
        check("Remote-MTA 5.1.1.1 port 550", None, None);
    }

    #[test]
    fn the_code_of_a_joined_reply_stands_once() {
        assert_eq!(joined("550-5.7.1 not 550-5.7.1 from here, 550 5.7.1 no"), "550-5.7.1 not from here, no");
        assert_eq!(joined("said: 550-not 550-here 550 ok"), "said: 550-not here 550 ok");
        assert_eq!(joined("550 5.1.1 one 550 5.1.1 two"), "550 5.1.1 one 550 5.1.1 two");
    }

    #[test]
    fn the_version_of_a_filter_is_no_status() {
        check("550 Rejected (filter 4.2.2)", Some(550), None);
        check("550 Rejected as spam (SpamAssassin 4.0.1)", Some(550), None);
        assert_eq!(better(Some((5, 7, 1)), codes("550 Rejected as spam (SpamAssassin 4.0.1)")), Some((5, 7, 1)));
        assert_eq!(better(Some((5, 7, 1)), codes("550 Rejected by filter 5.2.2")), Some((5, 7, 1)));
        assert_eq!(better(Some((5, 0, 0)), codes("550 no such user (5.1.1)")), Some((5, 1, 1)));
        // In brackets, or behind a colon, it is the server's; what a word introduces isn't.
        for placed in ["550 Denied [5.7.1]", "550 Message refused (5.7.1)", "550 [#5.7.1] refused", "550 Error: 5.7.1 refused"] {
            assert_eq!(better(Some((5, 1, 1)), codes(placed)), Some((5, 7, 1)), "{placed}");
        }
        assert_eq!(better(Some((4, 4, 7)), codes("451 try again, said 4.2.2")), Some((4, 2, 2)));
    }

    #[test]
    fn the_better_status_wins() {
        let check = |field, diagnostic: &str, expected| assert_eq!(better(field, codes(diagnostic)), expected, "{diagnostic}");
        check(Some((5, 0, 0)), "550 5.1.1 no", Some((5, 1, 1)));
        check(Some((5, 1, 1)), "550-5.2.2 full", Some((5, 2, 2)));
        check(Some((5, 1, 1)), "5.2.2 full", Some((5, 2, 2)));
        check(Some((5, 1, 1)), "no room (#5.2.2)", Some((5, 2, 2)));
        check(Some((5, 0, 0)), "550 no", Some((5, 0, 0)));
        check(None, "452 4.2.2 full", Some((4, 2, 2)));
        assert_eq!(leading("5.1.1 (bad)"), Some((5, 1, 1)));
        assert_eq!(leading("2.0.0"), Some((2, 0, 0)));
        assert_eq!(leading("none 5.1.1"), None);
        assert_eq!(leading("550 550 5.1.1"), None);
        assert_eq!(leading("  5.1.1.1 5.1.1"), None);
    }
}
