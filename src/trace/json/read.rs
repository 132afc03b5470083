//! One record in one line of JSON, as an export has it, and where a line is wrong.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use super::{Record, VERSION};
use crate::trace::RecordKind;

/// Why a line is no record.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{what}")]
pub struct BadLine {
    /// Octets from 1; absent where no single place is wrong.
    pub column: Option<usize>,
    pub what: String,
}

/// What every record says of itself.
#[derive(Deserialize)]
struct Head<'a> {
    v: u64,
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

/// Reads a line. Unlike [`Record`]'s own reading it makes no detour by a tree of values.
///
/// # Errors
/// It is no JSON, or no record that this relayscope knows.
pub fn read(line: &[u8]) -> Result<Record, BadLine> {
    let head: Head<'_> = serde_json::from_slice(line)?;
    if head.v != u64::from(VERSION) {
        let newer = "it was written by a newer relayscope, and only that or one after it can read it";
        let what = if head.v > u64::from(VERSION) { newer } else { "there never was such a shape" };
        return Err(BadLine::whole(format!("\"v\" is {}, and this relayscope reads records of shape {VERSION}: {what}", head.v)));
    }
    match RecordKind::from_word(&head.kind) {
        Some(RecordKind::Transaction) => typed(line).map(Record::Transaction),
        Some(RecordKind::Session) => typed(line).map(Record::Session),
        Some(RecordKind::Amendment) => typed(line).map(Record::Amendment),
        Some(RecordKind::Gap) => typed(line).map(Record::Gap),
        Some(RecordKind::Mark) => typed(line).map(Record::Mark),
        Some(RecordKind::Log) => typed(line).map(Record::Log),
        Some(RecordKind::Audit) => typed(line).map(Record::Audit),
        Some(RecordKind::Incident) => typed(line).map(Record::Incident),
        None => {
            let kind: String = head.kind.chars().take(64).collect();
            Err(BadLine::whole(format!("records of kind {kind:?} are not known to this relayscope: was it written by a newer one?")))
        }
    }
}

fn typed<T: DeserializeOwned>(line: &[u8]) -> Result<Box<T>, BadLine> {
    Ok(Box::new(serde_json::from_slice(line)?))
}

impl BadLine {
    fn whole(what: String) -> Self {
        Self { column: None, what }
    }
}

impl From<serde_json::Error> for BadLine {
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        // Its own "at line 1 column 7" would be taken for the line of the file.
        let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
        let column = Some(error.column()).filter(|&column| column > 0);
        match error.is_eof() {
            true => Self { column, what: format!("the line ends in the middle of a record ({what}): was the file cut off?") },
            false => Self { column, what: what.to_owned() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: &str = r#"{"v":1,"id":"01M83XVF5G000DN9KD5HYXYX1X","kind":"gap","at":"2026-11-23T12:00:00.000000Z","until":"2026-11-23T12:00:01.000000Z","records_lost":3,"why":"no space"}"#;

    #[track_caller]
    fn refused(line: impl AsRef<[u8]>, column: Option<usize>, words: &str) {
        let bad = read(line.as_ref()).unwrap_err();
        assert!(bad.column == column && bad.what.contains(words) && !bad.what.contains(" at line "), "{bad:?}");
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said_with_its_place() {
        assert!(matches!(read(GAP.as_bytes()), Ok(Record::Gap(_))));
        let end_of = |part: &str| Some(GAP.find(part).unwrap() + part.len());
        refused(&GAP[..40], Some(40), "cut off");
        refused(GAP.replace("\"v\":1", "\"v\":2"), None, "newer relayscope");
        refused(GAP.replace("\"v\":1", "\"v\":0"), None, "never was");
        refused(GAP.replace("\"gap\"", "\"wish\""), None, "\"wish\" are not known");
        refused(GAP.replace("\"records_lost\":3,", ""), Some(GAP.len() - "\"records_lost\":3,".len()), "missing field `records_lost`");
        refused(GAP.replace("lost\":3", "lost\":-"), end_of("lost\":3,"), "invalid number");
        refused(GAP.replace("01M83", "ILOU!"), end_of("01M83XVF5G000DN9KD5HYXYX1X\""), "is not a trace id");
        refused(format!("{GAP} {GAP}"), Some(GAP.len() + 2), "trailing characters");
        refused([&GAP.as_bytes()[..GAP.len() - 2], b"\xff\"}"].concat(), Some(GAP.len() - 1), "invalid unicode");
        refused("mail.log: something else", Some(1), "expected value");
    }
}
