//! The message that a report speaks of: the headers that it returns, as a part or within its text.

use crate::message::Headers;

use super::parts::Part;

/// Lines looked at from where a header section seems to begin.
const MOST_LINES: usize = 12;

/// Whether the part returns the message, or its header section.
pub fn is_original(part: &Part<'_>) -> bool {
    matches!(
        part.kind.as_str(),
        "message/rfc822"
            | "message/global"
            | "text/rfc822-headers"
            | "text/rfc822"
            | "message/rfc822-headers"
            | "message/global-headers"
            | "message/partial"
    ) || is_bare(part)
}

/// A part that has the original's own header section where its own should be.
fn is_bare(part: &Part<'_>) -> bool {
    let fields = &part.fields;
    fields.has("Received") || (fields.has("Message-ID") && fields.has("From"))
}

/// The headers of an original that is a part.
pub fn of_part(part: &Part<'_>) -> Headers {
    if is_bare(part) {
        let of = |name| part.fields.first(name).map(|value| format!("{name}: {value}\n")).unwrap_or_default();
        let section: String = ["Message-ID", "Subject", "From", "To"].into_iter().map(of).collect();
        return Headers::read(section.as_bytes(), false);
    }
    of_text(&part.text)
}

/// The headers at the front of a text.
pub fn of_text(text: &str) -> Headers {
    let text = text.trim_start_matches(['\r', '\n', ' ', '\t']);
    // A header section that is quoted or indented as a whole.
    if text.starts_with('>') {
        let plain: String = text.lines().take(500).map(|line| format!("{}\n", line.trim_start_matches(['>', ' ']))).collect();
        return Headers::read(plain.as_bytes(), false);
    }
    Headers::read(text.as_bytes(), false)
}

/// Whether a header section begins at the first of these lines.
pub fn begins<'x>(mut lines: impl Iterator<Item = &'x str>) -> bool {
    let Some(name) = lines.next().and_then(name_of) else { return false };
    if !is_usual(&name) {
        return false;
    }
    let mut names = vec![name];
    for line in lines.take(MOST_LINES * 4) {
        if line.starts_with([' ', '\t']) && !line.trim().is_empty() {
            continue;
        }
        match name_of(line) {
            Some(name) => names.push(name),
            None => break,
        }
        if names.len() > MOST_LINES {
            break;
        }
    }
    let has = |name: &str| names.iter().any(|it| it == name);
    has("received")
        || has("message-id")
        || has("return-path")
        || has("dkim-signature")
        || has("arc-seal")
        || (has("from") && (has("date") || has("subject") || has("to")))
}

fn name_of(line: &str) -> Option<String> {
    let (name, _) = super::fields::split(line.as_bytes())?;
    Some(name.to_ascii_lowercase())
}

/// Fields that stand first in messages.
fn is_usual(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "received",
        "return-path",
        "message-id",
        "date",
        "from",
        "to",
        "subject",
        "mime-version",
        "dkim-signature",
        "domainkey-signature",
        "content-type",
        "content-transfer-encoding",
        "arc-seal",
        "delivered-to",
        "authentication-results",
        "reply-to",
        "sender",
        "user-agent",
        "arc-authentication-results",
        "arc-message-signature",
        "received-spf",
        "envelope-to",
        "delivery-date",
        "comment",
        "importance",
        "cc",
        "list-unsubscribe",
    ];
    NAMES.contains(&name) || (name.starts_with("x-") && name != "x-notes")
}
