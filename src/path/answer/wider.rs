//! The public JSON of what stands beside a message: incidents that its failures may be part of, or that may be why it wasn't seen.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::MessagePath;
use crate::trace::json::{Change, Id, Time, Word};
use crate::trace::{Act, Anomaly, Cause, Severity};

/// An incident that was open while the message failed, and concerns what the message had to do with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Wider {
    /// Of the incident: `relayscope anomalies ID` shows it whole.
    pub id: Id,
    pub anomaly: Word<Anomaly>,
    pub severity: Word<Severity>,
    /// The first event that counts.
    pub opened_at: Time,
    /// Absent while it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Time>,
    /// Events so far.
    pub count: u64,
    /// What happens, in one sentence.
    pub summary: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Word<Cause>>,
    pub act: Word<Act>,
    pub advice: String,
    /// What the message and the incident have in common. Where none was seen: what was asked for; of incidents that concern all, nothing.
    pub concerns: Vec<Concern>,
    /// Where something changed: what it was and what it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// Of a change of DNS: how it lies to the first failure, "MX of example.org changed 12 min before the first failure". Where no message
    /// was seen: how the incident can be why, "clients are turned away before MAIL FROM".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relation: Option<String>,
}

impl Wider {
    /// Whether it has the message's failure among its events, as far as can be told: by name, or by the same cause.
    pub fn explains(&self, message: &MessagePath) -> bool {
        let of_recipients = message.recipients.iter().filter_map(|fate| fate.cause);
        let mut causes = of_recipients.chain(message.relays().filter_map(|hop| hop.cause)).map(|cause| cause.0).peekable();
        let is_named = self.concerns.iter().any(|concern| concern.kind == Concern::ATTEMPT);
        is_named || self.cause.is_none_or(|it| causes.peek().is_none() || causes.any(|cause| cause == it.0))
    }
}

/// One thing in common: "upstream main", or that the incident names an attempt of the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Concern {
    /// Kind of the incident's `about`, or `attempt`, or `session`.
    pub kind: String,
    pub value: String,
}

impl Concern {
    /// The kind of those that name an attempt.
    pub const ATTEMPT: &str = "attempt";
}
