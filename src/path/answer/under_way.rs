//! The public JSON of a message that is on its way while the question is asked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hop::{HopClient, HopUpstream};
use super::is_zero;
use crate::trace::json::{Id, Time};

/// A transaction of a running proxy whose text goes upstream, or went, and which has no final reply so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct UnderWay {
    /// The id that its record will have.
    pub id: Id,
    pub session_id: Id,
    /// One sentence, times in UTC.
    pub verdict: String,
    /// When MAIL FROM came.
    pub at: Time,
    /// Until the answer was made.
    pub age_us: u64,
    pub listener: String,
    pub client: HopClient,
    pub upstream: HopUpstream,
    /// Empty for the null sender.
    pub reverse_path: String,
    pub recipients: Vec<String>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recipients_cut: u32,
    /// The whole text went upstream, and its reply has been awaited for a second at least: what the text said is known then.
    pub whole: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Octets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}
