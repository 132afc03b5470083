//! Reports that a person passed on: as an attached message, or quoted in the text.

use super::fields::split;
use super::{MOST_OCTETS, Report, parts, read};

/// Reads a report within a message that is none itself. Only for what somebody hands over as such: anybody can write what is quoted.
///
/// An attached message is read as [`read`] does; in a text, what follows the line "Begin forwarded message" and its like.
pub fn read_forwarded(octets: &[u8]) -> Option<Report> {
    let looked_at = octets.get(..MOST_OCTETS).unwrap_or(octets);
    let (_, parts) = parts::read(looked_at);
    let of_part = |part: &parts::Part<'_>| match part.kind.as_str() {
        "message/rfc822" | "message/global" => read(part.text.as_bytes()),
        kind if kind.starts_with("text/") => quoted(&part.text).and_then(|it| read(it.as_bytes())),
        _ => None,
    };
    let mut report = parts.leaves.iter().find_map(of_part)?;
    report.cut |= parts.cut || looked_at.len() < octets.len();
    Some(report)
}

/// The message behind a line that announces it, without the marks of a quotation, from its first header field on.
fn quoted(text: &str) -> Option<String> {
    let mut lines = text.lines();
    lines.by_ref().find(|line| announces(line))?;
    let mut message = String::with_capacity(text.len());
    for line in lines {
        let line = line.strip_prefix("> ").or_else(|| line.strip_prefix('>')).unwrap_or(line);
        let line = line.trim_start_matches('*');
        if message.is_empty() && split(line.as_bytes()).is_none() {
            if line.trim().is_empty() {
                continue;
            }
            return None;
        }
        message.push_str(line);
        message.push('\n');
    }
    (!message.is_empty()).then_some(message)
}

fn announces(line: &str) -> bool {
    const PHRASES: &[&str] = &[
        "begin forwarded message",
        "forwarded message",
        "original message",
        "weitergeleitete nachricht",
        "ursprüngliche nachricht",
        "message transféré",
        "message d'origine",
        "mensaje reenviado",
        "mensaje original",
        "messaggio inoltrato",
        "messaggio originale",
        "doorgestuurd bericht",
        "mensagem encaminhada",
        "пересылаемое сообщение",
        "転送されたメッセージ",
    ];
    let lower = line.trim().to_lowercase();
    let bare = lower.trim_matches(|c: char| c == '-' || c == '_' || c == ':' || c == '>' || c.is_whitespace());
    lower.len() <= 100 && PHRASES.contains(&bare)
}
