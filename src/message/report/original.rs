//! The message that a report speaks of: the headers that it returns, as a part or within its text.

use crate::message::Headers;

use super::fields::{Fields, is_usual, next_line, split};
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
    if is_bare(part) { of_fields(&part.fields) } else { of_text(&part.text) }
}

/// The headers at the front of a text, behind what may part it from what was said before.
pub fn of_text(text: &str) -> Headers {
    let mut rest = text.as_bytes();
    let mut quoted = String::new();
    for _ in 0..MOST_LINES {
        let (line, behind) = next_line(rest);
        if line.starts_with(b">") {
            // A header section that is quoted as a whole.
            let lines = String::from_utf8_lossy(rest);
            lines.lines().take(500).for_each(|line| {
                quoted.push_str(line.trim_start_matches(['>', ' ']));
                quoted.push('\n');
            });
            rest = quoted.as_bytes();
            break;
        }
        if split(line).is_some() {
            break;
        }
        rest = behind;
    }
    of_fields(&Fields::read(rest).0)
}

/// Through the reader of all headers, so that what is kept is kept alike.
fn of_fields(fields: &Fields<'_>) -> Headers {
    let of = |name| fields.first(name).map(|value| format!("{name}: {value}\n")).unwrap_or_default();
    let section: String = ["Message-ID", "Subject", "From", "To"].into_iter().map(of).collect();
    Headers::read(section.as_bytes(), false)
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
    let (name, _) = split(line.as_bytes())?;
    Some(name.to_ascii_lowercase())
}
