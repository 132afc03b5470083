//! A hole in the trace.

use serde::{Deserialize, Serialize};

use super::id::RecordId;
use super::record::WallMicros;

/// Records that were lost to the store: tracing had a hole here while mail flowed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    pub id: RecordId,
    pub from: WallMicros,
    pub until: WallMicros,
    pub records_lost: u64,
    pub why: String,
}
