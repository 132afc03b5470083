//! What happened to the proxy itself.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::RecordId;
use super::kept::Kept;
use super::kinds::AuditEvent;
use super::record::{Origin, WallMicros};

/// An event in the proxy's own life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    pub id: RecordId,
    pub at: WallMicros,
    #[serde(deserialize_with = "super::kept::shared")]
    pub origin: Arc<Kept<Origin>>,
    pub event: AuditEvent,
    /// Who caused it, where somebody did.
    pub who: Option<String>,
    /// Where the event is the end of a span: its beginning. Of a crash, the last sign of life.
    pub since: Option<WallMicros>,
    /// One sentence.
    pub detail: Option<String>,
}
