//! A reply's text made comparable: one line, small letters, and placeholders where names stood.
//!
//! Addresses become `<addr>`, host names `<host>`, IP addresses `<ip>`, links `<url>`, queue and session ids `<id>`: what somebody named a mailbox or
//! a machine must never decide a cause. Hosts that say who refuses (`spamhaus.org`) are [`Known`] and stay, without the labels before them.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::mailbox;

/// Octets of a text that are looked at. Replies are shorter; what is longer is a report that somebody pasted.
pub(super) const MOST_OCTETS: usize = 4096;

/// Domains that stay in the text: they are evidence of who speaks, not of whom.
pub(super) type Known = HashSet<String>;

/// The text with its codes taken off the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Normal {
    pub text: String,
    /// The codes that the text itself begins with.
    pub code: Option<u16>,
    pub enhanced: Option<Status>,
}

pub(super) fn normal(text: &str, known: &Known) -> Normal {
    let text = bounded(text);
    let (mut code, mut enhanced) = (None, None);
    let mut out = String::with_capacity(text.len() + 16);
    for line in text.lines() {
        let (line_code, line_enhanced, rest) = codes(line);
        code = code.or(line_code);
        enhanced = enhanced.or(line_enhanced);
        let joined: Cow<'_, str> = if rest.is_ascii() { Cow::Borrowed(rest) } else { Cow::Owned(folded(rest)) };
        replace_names(&mailbox::without_names(&joined), known, &mut out);
    }
    out.truncate(out.trim_end().len());
    Normal { text: out, code, enhanced }
}

/// The beginning of a text, cut between two characters.
fn bounded(text: &str) -> &str {
    let end = (0..=MOST_OCTETS.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// An enhanced status code (RFC 3463): class, subject, detail.
type Status = (u8, u16, u16);

/// Reads `550-5.1.1 text`: the codes that a line begins with, and the rest.
pub(super) fn codes(line: &str) -> (Option<u16>, Option<Status>, &str) {
    let line = line.trim_start();
    let (code, rest) = match line.split_at_checked(3) {
        Some((digits, rest)) if is_reply_code(digits) && !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '.') => {
            (digits.parse().ok(), rest.trim_start_matches(['-', ' ', '\t', '=']))
        }
        _ => (None, line),
    };
    match leading_enhanced(rest) {
        Some((enhanced, rest)) => (code, Some(enhanced), rest),
        None => (code, None, rest),
    }
}

fn is_reply_code(digits: &str) -> bool {
    matches!(digits.as_bytes(), [b'2' | b'4' | b'5', b'0'..=b'7', b'0'..=b'9'])
}

/// Reads `5.1.1`, also as `#5.1.1`, and what stands between it and the text.
fn leading_enhanced(text: &str) -> Option<(Status, &str)> {
    let text = text.trim_start_matches(['#', ' ', '(', '[']);
    let end = text.find(|next: char| !next.is_ascii_digit() && next != '.').unwrap_or(text.len());
    let enhanced = enhanced(text.get(..end)?)?;
    Some((enhanced, text.get(end..)?.trim_start_matches([' ', '-', ':', ')', ']', '\t'])))
}

/// Reads `5.1.1` (RFC 3463).
pub(super) fn enhanced(word: &str) -> Option<Status> {
    let mut parts = word.split('.');
    let (class, subject, detail) = (parts.next()?, parts.next()?, parts.next()?);
    let class = matches!(class, "2" | "4" | "5").then(|| class.parse().ok())??;
    let short = |part: &str| if (1..=3).contains(&part.len()) { part.parse().ok() } else { None };
    parts.next().is_none().then_some((class, short(subject)?, short(detail)?))
}

/// Without accents, typographic marks and invisible characters. Other scripts stay as they are.
fn folded(text: &str) -> String {
    let mut before = ' ';
    text.nfkd()
        .filter(|&letter| {
            let mark = is_combining_mark(letter) && letter < '\u{3000}';
            let keep = !mark || matches!(before, '\u{400}'..='\u{52f}'); // of Cyrillic letters the marks are a part
            before = letter;
            keep
        })
        .filter_map(|letter| match letter {
            '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{2032}' => Some('\''),
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' => Some('"'),
            '\u{2010}'..='\u{2015}' => Some('-'),
            '\u{3002}' => Some('.'),
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}' | '\u{ad}' => None,
            other => Some(other),
        })
        .nfc()
        .collect()
}

fn parts_tokens(letter: char) -> bool {
    letter.is_whitespace()
        || letter.is_control()
        || matches!(letter, '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}' | '"' | '\'' | ',' | ';' | '`' | '|')
}

/// Writes a line in small letters with placeholders, white space collapsed, a space behind it.
fn replace_names(line: &str, known: &Known, out: &mut String) {
    let mut rest = line;
    while let Some(next) = rest.chars().next() {
        if parts_tokens(next) {
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
            if next.is_whitespace() || next.is_control() {
                if !out.is_empty() && !out.ends_with(' ') {
                    out.push(' ');
                }
            } else if next == '<' && quoted_local_part(rest).is_some() {
                out.push_str("<addr>");
                rest = quoted_local_part(rest).unwrap_or_default();
            } else if next == '>' && ends_with_placeholder(out) {
                // `<user@example>` is one placeholder, not one in brackets
            } else {
                out.push(if next == '`' { '\'' } else { next });
            }
            continue;
        }
        let end = rest.find(parts_tokens).unwrap_or(rest.len());
        let (token, behind) = rest.split_at(end);
        rest = behind;
        write_token(token, known, out);
    }
    if !out.is_empty() && !out.ends_with(' ') {
        out.push(' ');
    }
}

fn ends_with_placeholder(out: &str) -> bool {
    ["<addr>", "<host>", "<ip>", "<url>", "<id>"].iter().any(|placeholder| out.ends_with(placeholder))
}

/// What stands behind `"a b"@host>`, where that's what comes.
fn quoted_local_part(text: &str) -> Option<&str> {
    let (_, behind) = text.strip_prefix('"')?.split_once("\"@")?;
    behind.split_once('>').map(|(_, rest)| rest)
}

/// One run of characters without spaces and brackets.
fn write_token(token: &str, known: &Known, out: &mut String) {
    let plain = |word: &str| word.bytes().all(|octet| octet.is_ascii_alphabetic() || matches!(octet, b'.' | b':' | b'-' | b'!' | b'?'));
    let tail = token.trim_end_matches(['.', ':', '!', '?']);
    if plain(token) && !tail.contains(['.', ':']) {
        write_parts(tail, out);
        return push_lower(token, out); // an ordinary word
    }
    if let Some(at) = token.find("://").filter(|&at| at <= 5) {
        return write_link(token.get(at + 3..).unwrap_or_default(), known, out);
    }
    if tail.contains('@') || token.contains("%40") {
        return write_address(token, out);
    }
    if tail.parse::<IpAddr>().is_ok() {
        push_name("<ip>", out);
        return out.push_str(token.get(tail.len()..).unwrap_or_default());
    }
    write_pieces(token, known, out);
}

/// A placeholder; the `<` that stood around the name is part of it.
fn push_name(placeholder: &str, out: &mut String) {
    out.push_str(placeholder.trim_start_matches(if out.ends_with('<') { '<' } else { '\0' }));
}

fn push_lower(word: &str, out: &mut String) {
    if word.is_ascii() {
        out.extend(word.bytes().map(|octet| char::from(octet.to_ascii_lowercase())));
    } else {
        out.extend(word.chars().flat_map(char::to_lowercase));
    }
}

/// `key=user@example` and `<user@example>:`: what stands before `=` and behind the address is kept.
fn write_address(token: &str, out: &mut String) {
    let (before, address) = match token.split_once(['=', ':']) {
        Some((before, address)) if !before.contains('@') && address.contains('@') => (before, address),
        _ => ("", token),
    };
    if !before.is_empty() {
        push_lower(before, out);
        out.push('=');
    }
    push_name("<addr>", out);
    let behind = address.find(':').or_else(|| address.find("...")).and_then(|at| address.get(at..)).unwrap_or_default();
    out.extend(behind.chars().take_while(|letter| matches!(letter, ':' | '.')));
}

/// A link: that of a known host keeps its path, which often names the reason.
fn write_link(link: &str, known: &Known, out: &mut String) {
    let (host, path) = link.split_at(link.find(['/', '?', '#', ':']).unwrap_or(link.len()));
    let tail = host.trim_end_matches('.');
    match known_suffix(tail, known) {
        Some(suffix) => {
            push_lower(suffix, out);
            write_pieces(path, known, out);
        }
        None => {
            push_name("<url>", out);
            if link.ends_with('.') {
                out.push('.');
            }
        }
    }
}

/// Cuts at marks that stand between names, and judges each piece.
fn write_pieces(token: &str, known: &Known, out: &mut String) {
    for piece in token.split_inclusive([':', '=', '/', '&', '?', '!', '#']) {
        let mark = piece.chars().next_back().filter(|mark| matches!(mark, ':' | '=' | '/' | '&' | '?' | '!' | '#'));
        let name = piece.strip_suffix([':', '=', '/', '&', '?', '!', '#']).unwrap_or(piece);
        write_piece(name, known, out);
        out.extend(mark);
    }
}

fn write_piece(piece: &str, known: &Known, out: &mut String) {
    let name = piece.trim_end_matches('.');
    let dots = piece.get(name.len()..).unwrap_or_default();
    if piece.contains('@') || piece.contains("%40") {
        return push_name("<addr>", out);
    }
    if name.parse::<IpAddr>().is_ok() {
        push_name("<ip>", out);
    } else if let Some(suffix) = known_suffix(name, known) {
        push_lower(suffix, out);
    } else if is_host(name) {
        push_name("<host>", out);
    } else if write_parts(name, out) {
        return push_lower(piece, out);
    } else if is_id(name) {
        push_name("<id>", out);
    } else {
        return push_lower(piece, out);
    }
    out.push_str(dots);
}

/// Writes the words that a program's identifier is made of, a space behind each: `mailboxFull` and `mailbox_full` say `mailbox full`.
fn write_parts(name: &str, out: &mut String) -> bool {
    let mut before = ' ';
    let seam = |letter: char| {
        let seam = letter == '_' || (before.is_ascii_lowercase() && letter.is_ascii_uppercase());
        before = letter;
        seam
    };
    if name.len() < 8 || !name.chars().any(seam) {
        return false;
    }
    let mut parts = Vec::new();
    for word in name.split('_') {
        let ends = word.as_bytes().windows(2).zip(1..).filter(|(pair, _)| matches!(pair, [b'a'..=b'z', b'A'..=b'Z'])).map(|(_, end)| end);
        let mut start = 0;
        for end in ends.chain([word.len()]) {
            parts.push(word.get(start..end).unwrap_or_default());
            start = end;
        }
    }
    let letters = |part: &str| part.len() > 1 && part.bytes().all(|octet| octet.is_ascii_alphabetic());
    let number = |part: &str| part.len() <= 3 && part.bytes().all(|octet| octet.is_ascii_digit());
    let long = parts.iter().filter(|part| part.len() > 3 && letters(part)).count();
    if long < 2 && !(long == 1 && parts.len() > 2) || !parts.iter().all(|part| letters(part) || number(part)) {
        return false;
    }
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        push_lower(part, out);
        out.push(' ');
    }
    true
}

/// Labels with dots between, the last of letters. `recipient.Please` is the seam of two sentences.
fn is_host(name: &str) -> bool {
    let Some((labels, last)) = name.rsplit_once('.') else { return false };
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'*'));
    let seam = last.starts_with(|first: char| first.is_ascii_uppercase()) && last.chars().skip(1).any(|letter| letter.is_ascii_lowercase());
    let abbreviation = labels.len() == 1 && last.len() == 1;
    (2..=24).contains(&last.len())
        && last.bytes().all(|octet| octet.is_ascii_alphabetic())
        && !seam
        && !abbreviation
        && labels.split('.').all(label)
}

/// The known domain that a name is, or is below.
fn known_suffix<'n>(name: &'n str, known: &Known) -> Option<&'n str> {
    if !name.contains('.') {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let mut start = 0;
    loop {
        let suffix = lower.get(start..)?;
        if known.contains(suffix) {
            return name.get(start..);
        }
        start += suffix.find('.')? + 1;
    }
}

/// Long, and of letters and digits mixed: made by a machine for one message.
fn is_id(name: &str) -> bool {
    let (mut digits, mut letters) = (0, 0);
    for octet in name.bytes() {
        match octet {
            b'0'..=b'9' => digits += 1,
            b'a'..=b'z' | b'A'..=b'Z' => letters += 1,
            b'-' | b'_' | b'.' | b'+' | b'~' => {}
            _ => return false,
        }
    }
    name.len() >= 10 && digits >= 3 && letters >= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let known: Known = ["spamhaus.org", "google.com"].map(str::to_owned).into();
        assert_eq!(normal(text, &known).text, expected, "{text}");
    }

    #[test]
    fn names_become_placeholders() {
        check("550 5.1.1 <full-quota@spam.example>: Recipient unknown", "<addr>: recipient unknown");
        check("550 5.1.1 <\"a b\"@spam.example> unknown", "<addr> unknown");
        check("rejected by spam.example.", "rejected by <host>.");
        check("Client host [192.0.2.7] blocked using zen.spamhaus.org", "client host [<ip>] blocked using spamhaus.org");
        check("see https://www.spamhaus.org/query/ip/192.0.2.7", "see spamhaus.org/query/ip/<ip>");
        check("see https://block.example/why?spam", "see <url>");
        check(
            "https://support.google.com/mail/?p=MailLoop a1-20020a056402si1234.7 - gsmtp",
            "google.com/mail/?p=mail loop mailloop <id> - gsmtp",
        );
        check("to=user@x.example <b@x.example>...", "to=<addr> <addr>...");
        check("2001:db8::1 is listed", "<ip> is listed");
    }

    #[test]
    fn lines_are_joined_and_their_codes_taken_off() {
        check("550-5.7.1 Your message\n550-5.7.1  was   refused\n550 5.7.1 (S3140)", "your message was refused (s3140)");
        check("450 busy.Please retry", "busy.please retry");
        let normal = normal("550-5.7.1 no\n550 5.7.1 way", &Known::new());
        assert_eq!((normal.code, normal.enhanced), (Some(550), Some((5, 7, 1))));
    }

    #[test]
    fn accents_and_marks_are_folded() {
        check("Bo\u{ee}te pleine, l\u{2019}utilisateur", "boite pleine, l'utilisateur");
        check("Postfach \u{fc}berf\u{fc}llt", "postfach uberfullt");
        check("\u{5b9b}\u{5148}\u{4e0d}\u{660e}", "\u{5b9b}\u{5148}\u{4e0d}\u{660e}");
        check("\u{41d}\u{435} \u{43d}\u{430}\u{439}\u{434}\u{435}\u{43d}", "\u{43d}\u{435} \u{43d}\u{430}\u{439}\u{434}\u{435}\u{43d}");
    }

    #[test]
    fn identifiers_are_read_as_words() {
        check("reason=522_mailbox_full", "reason=522 mailbox full 522_mailbox_full");
        check("522_mailbox_full", "mailbox full _mailbox_full");
        check("RecipientNotFound: gone", "recipient not found recipientnotfound: gone");
        check("TOO_MANY_CONNECTIONS", "too many connections too_many_connections");
        check("by hMailServer, iCloud, LPN007_510", "by hmailserver, icloud, <id>");
        check("id uFeSKbKbVzBAAAscTOFQ", "id ufeskbkbvzbaaasctofq");
    }

    #[test]
    fn codes_that_are_none_stay() {
        assert_eq!(codes("5500 messages").0, None);
        assert_eq!(codes("550.5 MB").0, None);
        assert_eq!(codes("(#5.1.1) gone"), (None, Some((5, 1, 1)), "gone"));
        assert_eq!(codes("5.2.3.4 is listed").1, None);
    }
}
