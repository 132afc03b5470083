//! What a line of a notice is: one that names a recipient, a command, an answer, the edge of a section, or mere text.

use super::address::{self, Found};

/// A line of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'x> {
    Blank,
    /// `----- Transcript of session follows -----`
    Section,
    /// It names whom the notice speaks of.
    Names {
        address: &'x str,
        strength: Strength,
    },
    /// `550 5.1.1 <a@b>... User unknown`
    Reply {
        address: &'x str,
    },
    /// `>>> RCPT TO:<a@b>`; without an address where it is another command.
    Command {
        address: Option<&'x str>,
    },
    /// `<<< 550 no such user`
    Answer {
        text: &'x str,
    },
    Text,
}

/// How surely a line names a recipient. Where a stronger one has spoken, weaker ones name nobody new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// In a dialogue that is quoted.
    Dialogue,
    /// In the middle of a sentence.
    Sentence,
    /// At the front of a line of its own.
    List,
}

/// What stands before an address in a sentence that speaks of a recipient. Compared in lower case, white space as one blank.
const BEFORE: &[&str] = &[
    "deliver your message to",
    "deliver message to",
    "deliver the message to",
    "deliver mail to",
    "deliver your mail to",
    "deliver to",
    "delivering your mail to",
    "delivering to",
    "delivering your message to",
    "delivery to",
    "delivered to",
    "be sent to",
    "not sent to",
    "undeliverable to",
    "userid",
    "recipient",
    "recipients",
    "recipient address",
    "rcpt to",
    "recipient(s)",
    "recipient name",
    "following recipient",
    "address",
    "addresses",
    "to the user",
    "reach",
    "mail to",
    "message to",
    "user",
    "user unknown",
    "unknown user",
    "mailbox",
    "account",
    "address failed",
    "e-mail address",
    "email address",
    "message for",
    "mail for",
    "mailing list",
    "destination",
    "destinatario",
    "destinataire",
    "empfänger",
    "an",
    "an den empfänger",
    "adresse",
    "получателю",
    "получатель",
    "адрес",
    "адресату",
    "адреса",
    "宛先",
    "地址",
    "收件人",
    "收件者",
    "受信者",
    "送信先",
    "failed recipient",
    "intended recipient",
    "couldn't be delivered to",
    "wasn't delivered to",
    "forward to",
];

/// Reads a line that may be indented, quoted or a list's.
pub fn classify(line: &str) -> Line<'_> {
    let line = line.trim();
    if line.is_empty() {
        return Line::Blank;
    }
    if let Some(said) = marked(line, &[">>>", "In:", "->", "C:"]) {
        let verb_is = |verb: &str| said.get(..verb.len()).is_some_and(|it| it.eq_ignore_ascii_case(verb));
        if verb_is("RCPT") {
            return Line::Command { address: first(said) };
        }
        if ["MAIL", "DATA", "HELO", "EHLO", "QUIT", "RSET", "STARTTLS", "AUTH", "BDAT", "XFORWARD", "XCLIENT", "."]
            .iter()
            .any(|verb| verb_is(verb))
        {
            return Line::Command { address: None };
        }
    } else if let Some(text) = marked(line, &["<<<", "Out:", "<-"]) {
        return Line::Answer { text };
    }
    if is_section(line) {
        return Line::Section;
    }
    let Some(found) = address::in_line(line).next() else { return Line::Text };
    let before = line.get(..found.start).unwrap_or_default();
    let behind = line.get(found.end..).unwrap_or_default();
    let front = before.trim_start_matches(['>', '*', '-', '•', '·', '+', ' ', '\t', '<', '"', '\'', '(', '[', '“', '«', '|']);
    if is_reply_front(front) {
        return Line::Reply { address: found.address };
    }
    let front = front.strip_suffix("mailto:").unwrap_or(front).trim();
    if front.is_empty() {
        return if stands_alone(behind) { names(found, Strength::List) } else { Line::Text };
    }
    // A name before the address: "Ann Example <ann@y.example>" alone on its line.
    if before.ends_with('<')
        && front.len() <= 80
        && matches!(behind, ">" | ">:" | ">," | ">;")
        && !front.contains([':', '.', '='])
        && !speaks(front)
    {
        return names(found, Strength::List);
    }
    if speaks(front) { names(found, Strength::Sentence) } else { Line::Text }
}

fn names(found: Found<'_>, strength: Strength) -> Line<'_> {
    Line::Names { address: found.address, strength }
}

fn first(text: &str) -> Option<&str> {
    address::in_line(text).next().map(|found| found.address)
}

/// What follows one of the marks.
fn marked<'x>(line: &'x str, marks: &[&str]) -> Option<&'x str> {
    marks.iter().find_map(|mark| line.strip_prefix(mark)).map(str::trim)
}

/// `550`, `550 5.1.1`, `550-5.1.1`, `550 #5.1.1` and not much more.
fn is_reply_front(front: &str) -> bool {
    let digits = front.bytes().take_while(u8::is_ascii_digit).count();
    digits == 3
        && front.starts_with(['4', '5'])
        && front.get(3..).is_some_and(|it| it.len() <= 60 && (it.is_empty() || it.starts_with([' ', '-', ':', ';', '#'])))
}

/// What may follow an address that stands at the front of its line because it is the subject.
fn stands_alone(behind: &str) -> bool {
    const WORDS: &[&str] = &[
        "on ",
        "invalid",
        "unknown",
        "not ",
        "failed",
        "was not",
        "could not",
        "does not",
        "user ",
        "has ",
        "is over",
        "mailbox",
        "via ",
        "=>",
        "->",
        "error",
    ];
    let rest = behind.trim_start_matches(['>', '"', '\'', ')', ']', '”', '»', '*', ' ', '\t']);
    let Some(first) = rest.chars().next() else { return true };
    if matches!(first, ':' | ';' | ',' | '(' | '[' | '<' | '.' | '…' | '-' | '–' | '—' | '：' | '|' | '#' | '/') {
        // "a@b.example, please write to us" is a sentence.
        return first != ',' || rest.trim_matches([',', ' ']).is_empty() || address::in_line(rest).next().is_some();
    }
    let lower = rest.get(..rest.len().min(12)).unwrap_or(rest).to_ascii_lowercase();
    first.is_ascii_digit() || WORDS.iter().any(|word| lower.starts_with(word))
}

/// Whether a recipient is what should follow.
fn speaks(before: &str) -> bool {
    let tail: String = before.chars().rev().take(80).collect::<Vec<_>>().into_iter().rev().collect();
    let words: Vec<String> = tail
        .trim_end_matches(['<', '"', '\'', ':', '(', '[', ' ', '：', '“', '«', '`', '=', '*'])
        .to_lowercase()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    let tail = words.join(" ");
    BEFORE.iter().any(|phrase| {
        tail.strip_suffix(phrase)
            .is_some_and(|front| front.is_empty() || !phrase.is_ascii() || !front.ends_with(|c: char| c.is_alphanumeric()))
    })
}

/// A line that parts sections: dashes or their like around a few words, or alone.
fn is_section(line: &str) -> bool {
    let bare = line.trim_matches(|c: char| matches!(c, '-' | '=' | '*' | '_' | '#' | '~' | '─') || c.is_whitespace());
    let edge = line.len() - bare.len();
    let starts = line.chars().take_while(|c| matches!(c, '-' | '=' | '*' | '_' | '#' | '~' | '─')).count();
    starts >= 3 && edge >= 3 && bare.len() <= 80 && !bare.contains('@')
}

/// Whether a line says that the message itself, or its headers, come next.
pub fn is_end(line: &str) -> bool {
    const PHRASES: &[&str] = &[
        "below this line is a copy",
        "is a copy of the message",
        "is a copy of your message",
        "enclosed is a copy",
        "copy of the original message",
        "original message follows",
        "unsent message follows",
        "unsent message below",
        "returned message",
        "message header follow",
        "message headers follow",
        "header of the original message",
        "original message headers",
        "original headers",
        "message header:",
        "included is a copy of the message",
        "returned mail follows",
        "message text follows",
        "rejected message",
        "original message",
        "undelivered message follows",
        "ursprüngliche nachricht",
        "message d'origine",
        "mensaje original",
        "messaggio originale",
        "исходное сообщение",
        "the header of the original",
        "the attached message",
        "start of returned message",
        "headers of the message",
        "beginning of the original message",
        "text of the message",
        "元のメッセージ",
        "copy of the headers",
    ];
    let line = line.trim();
    if line.is_empty() || line.len() > 160 {
        return false;
    }
    let lower = line.to_lowercase();
    if !PHRASES.iter().any(|phrase| lower.contains(phrase)) {
        return false;
    }
    // "The original message was received at …" begins a notice; "see the original message" is in one.
    let dashed = line.starts_with("--") || line.starts_with("==") || line.starts_with("**") || line.starts_with("__");
    let sentence = lower.contains(" was ") || lower.contains(" wasn't ") || lower.contains(" is: ");
    dashed
        || (!sentence
            && (lower.ends_with("follows.")
                || lower.ends_with("follow.")
                || lower.ends_with("follows")
                || lower.ends_with(':')
                || lower.ends_with("follows:")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Line<'_>) {
        assert_eq!(classify(line), expected, "{line:?}");
    }

    fn list(address: &str) -> Line<'_> {
        Line::Names { address, strength: Strength::List }
    }

    fn sentence(address: &str) -> Line<'_> {
        Line::Names { address, strength: Strength::Sentence }
    }

    #[test]
    fn lines_that_name_recipients() {
        check("<a@y.example>: host mx said: 550 no", list("a@y.example"));
        check("  a@y.example", list("a@y.example"));
        check("\"a@y.example\":", list("a@y.example"));
        check("a@y.example on Mon, 23 Nov 2026", list("a@y.example"));
        check("a@y.example [User unknown]", list("a@y.example"));
        check(">>> a@y.example <a@y.example>", list("a@y.example"));
        check("Ann Example <a@y.example>", list("a@y.example"));
        check("There was an error delivering your mail to <a@y.example>.", sentence("a@y.example"));
        check("    Recipient: <a@y.example>", sentence("a@y.example"));
        check("Your message wasn't delivered to a@y.example because", sentence("a@y.example"));
    }

    #[test]
    fn lines_that_do_not() {
        check("Hello a@x.example,", Line::Text);
        check("Please write to postmaster@x.example if", Line::Text);
        check("a@x.example wrote:", Line::Text);
        check("", Line::Blank);
        check("   ----- Transcript of session follows -----", Line::Section);
        check(">>> RCPT TO:<a@y.example>", Line::Command { address: Some("a@y.example") });
        check(">>> DATA", Line::Command { address: None });
        check("<<< 550 no", Line::Answer { text: "550 no" });
        check("550 5.1.1 <a@y.example>... User unknown", Line::Reply { address: "a@y.example" });
    }

    #[test]
    fn the_copy_of_the_message_ends_a_notice() {
        for line in [
            "--- Below this line is a copy of the message.",
            "   ----- Unsent message follows -----",
            "Original message follows.",
            "Message headers follow.",
            "    Below is a copy of the original message:",
        ] {
            assert!(is_end(line), "{line}");
        }
        for line in
            ["The original message was received at Mon", "This is the mail system.", "The MTS-ID of the original message is: c=jp;a="]
        {
            assert!(!is_end(line), "{line}");
        }
    }
}
