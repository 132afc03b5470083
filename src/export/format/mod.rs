//! The forms in which events leave.

use crate::trace::{Record, RecordId, WallMicros, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    #[default]
    Json,
}

impl Format {
    /// Whether an event is one JSON object.
    pub fn is_json(self) -> bool {
        true
    }
}

/// What transports say of an event beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    pub at: WallMicros,
    pub id: RecordId,
    pub severity: Severity,
    pub name: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Critical,
    Error,
    Warning,
    Notice,
    Informational,
}

#[derive(Debug)]
pub struct Encoder {
    _format: Format,
}

impl Encoder {
    pub fn new(format: Format) -> Self {
        Self { _format: format }
    }

    pub fn encode(&mut self, record: &Record, out: &mut Vec<u8>) -> Option<Meta> {
        let shown = json::Record::from(record);
        serde_json::to_writer(&mut *out, &shown).ok()?;
        Some(Meta { at: shown.at().0, id: record.id(), severity: Severity::Informational, name: record.kind().word() })
    }
}
