//! What became known of a record after it was written.

use serde::{Deserialize, Serialize};

use super::id::RecordId;
use super::kinds::{Act, Cause, Flag};
use super::record::{Outcome, WallMicros};

/// Facts that came after a record was written; the newest amendment wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Amendment {
    pub id: RecordId,
    /// The record that is amended.
    pub of: RecordId,
    pub at: WallMicros,
    pub outcome: Outcome,
    pub flags: Vec<Flag>,
    /// Recipients that are diagnosed otherwise than before.
    pub recipients: Vec<AmendedRecipient>,
    /// The same of the recipients that a report tells of.
    pub reported: Vec<AmendedRecipient>,
}

/// A recipient's new diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmendedRecipient {
    /// Its place among the record's recipients, from 0.
    pub place: u32,
    pub cause: Option<Cause>,
    pub act: Option<Act>,
    pub rule: Option<String>,
}
