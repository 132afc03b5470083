//! The message that a report speaks of: the headers that it returns, as a part or within its text.

use crate::message::Headers;

use super::fields::{Fields, is_usual, next_line, split};
use super::parts::Part;

/// Lines looked at from where a header section seems to begin.
const MOST_LINES: usize = 12;
/// Fields of one name that are looked at: which of them counts is for the reader of all headers to say.
const MOST_ALIKE: usize = 16;

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
    let mut headers = if is_bare(part) { of_fields(&part.fields, false) } else { of_text(&part.text) };
    headers.cut &= !part.whole;
    headers
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
    let (fields, body) = Fields::read(rest);
    of_fields(&fields, body.is_empty())
}

/// Through the reader of all headers, so that what is kept is kept alike.
fn of_fields(fields: &Fields<'_>, cut: bool) -> Headers {
    let of = |name| fields.all(name).take(MOST_ALIKE).map(move |value| format!("{name}: {value}\n"));
    let section: String = ["Message-ID", "Subject", "From", "To"].into_iter().flat_map(of).collect();
    Headers::read(section.as_bytes(), cut)
}

/// Whether a header section begins at the first of these lines.
pub fn begins<'x>(lines: impl Iterator<Item = &'x str>) -> bool {
    let names = names(lines);
    let has = |name: &str| names.iter().any(|it| it == name);
    shows_server(&names) || (has("from") && (has("date") || has("subject") || has("to")))
}

/// Whether the section at the first of these lines has fields that only servers write.
pub fn is_sure<'x>(lines: impl Iterator<Item = &'x str>) -> bool {
    shows_server(&names(lines.skip_while(|line| line.trim().is_empty())))
}

fn shows_server(names: &[String]) -> bool {
    const NAMES: &[&str] = &["received", "message-id", "return-path", "dkim-signature", "arc-seal"];
    names.iter().any(|it| NAMES.contains(&it.as_str()))
}

/// The names of the section's first fields, if it begins with a usual one.
fn names<'x>(mut lines: impl Iterator<Item = &'x str>) -> Vec<String> {
    let Some(name) = lines.next().and_then(name_of).filter(|it| is_usual(it)) else { return Vec::new() };
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
    names
}

fn name_of(line: &str) -> Option<String> {
    let (name, _) = split(line.as_bytes())?;
    Some(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::of_text;

    #[test]
    fn of_two_message_ids_the_same_counts_as_in_the_message_itself() {
        let section = "Message-ID: <first@x.example>\nSubject: one\nMessage-ID: <last@x.example>\nSubject: two\nFrom: a@x.example\n\n";
        let (own, returned) = (crate::message::Headers::read(section.as_bytes(), false), of_text(section));
        assert_eq!((&returned.message_id, &returned.subject), (&own.message_id, &own.subject));
        assert_eq!(returned.message_id.as_deref(), Some("last@x.example"));
    }
}
