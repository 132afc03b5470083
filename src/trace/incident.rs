//! Something that goes wrong, or is about to: one incident, from its opening to its end.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::RecordId;
use super::kept::Kept;
use super::kinds::{AboutKind, Act, Anomaly, Cause, IncidentStep, Severity};
use super::record::{Origin, WallMicros};

/// One entry in an incident's life. Each has the incident whole, as it then was: the newest says how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Of this entry.
    pub id: RecordId,
    /// Of the incident: that of its first entry.
    pub incident: RecordId,
    pub step: IncidentStep,
    /// When this entry was made.
    pub at: WallMicros,
    #[serde(deserialize_with = "super::kept::shared")]
    pub origin: Arc<Kept<Origin>>,
    pub anomaly: Anomaly,
    pub severity: Severity,
    /// What it concerns; together with the anomaly its identity.
    pub about: Vec<About>,
    /// What happens, in one sentence.
    pub summary: String,
    /// How that was judged: the numbers, the threshold, and what was made of them.
    pub arithmetic: String,
    /// What is usual, where that is known.
    pub baseline: Option<String>,
    pub cause: Option<Cause>,
    pub act: Act,
    pub advice: String,
    /// The first event that counts.
    pub since: WallMicros,
    /// The last one so far.
    pub last: WallMicros,
    /// Events in all.
    pub count: u64,
    /// Records that show it: the first ones, then the latest.
    pub samples: Vec<RecordId>,
    /// Where something changed.
    pub change: Option<Change>,
    /// The wider incident that explains this one.
    pub part_of: Option<RecordId>,
    pub mute: Option<Mute>,
    /// Who did what the step says, where a person did; and in whose words.
    pub who: Option<String>,
    pub note: Option<String>,
}

/// One thing that an incident concerns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct About {
    pub kind: AboutKind,
    pub value: String,
}

/// What something was before, and is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// "MX", "certificate", "EHLO keywords", …
    pub what: String,
    pub before: String,
    pub after: String,
    /// When it was last seen as before.
    pub last_before: Option<WallMicros>,
}

/// Nobody is notified until then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    pub who: String,
    pub until: WallMicros,
}

impl Incident {
    pub fn is_open(&self) -> bool {
        self.step != IncidentStep::Resolved
    }

    /// Whether people are told of it who want to hear of what is that grave.
    pub fn is_for_people(&self, least: Severity) -> bool {
        self.severity >= least && self.mute.is_none() && self.part_of.is_none()
    }

    /// The values of one kind that it concerns.
    pub fn about(&self, kind: AboutKind) -> impl Iterator<Item = &str> {
        self.about.iter().filter(move |it| it.kind == kind).map(|it| it.value.as_str())
    }
}
