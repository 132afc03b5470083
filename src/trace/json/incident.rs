//! The public shape of an incident.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mirrored::{Shown, mirrored, nested};
use super::values::{Id, Time, Version, Word};
use crate::trace::kinds::{AboutKind, Act, Anomaly, Cause, IncidentStep, RecordKind, Severity};
use crate::trace::record;

mirrored! {
    /// One thing that an incident concerns.
    About {
        kind: Word<AboutKind>,
        value: String,
    }
}

mirrored! {
    /// What something was before, and is now.
    Change {
        /// "MX", "certificate", "EHLO keywords", …
        what: String,
        before: String,
        after: String,
        /// When it was last seen as before.
        #[serde(skip_serializing_if = "Option::is_none")]
        last_before: Option<Time>,
    }
}

mirrored! {
    /// Nobody is notified until then.
    Mute {
        who: String,
        until: Time,
    }
}

nested!(About, Change, Mute);

/// One entry in an incident's life: something that goes wrong, or is about to. Each has the incident whole, as it then was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    pub v: Version,
    /// Of this entry.
    pub id: Id,
    #[schemars(extend("const" = "incident"))]
    pub kind: Word<RecordKind>,
    pub node: String,
    pub proxy_version: String,
    pub config_digest: String,
    /// Of the incident: the id of its first entry.
    pub incident: Id,
    pub step: Word<IncidentStep>,
    pub at: Time,
    pub anomaly: Word<Anomaly>,
    pub severity: Word<Severity>,
    pub about: Vec<About>,
    /// What happens, in one sentence.
    pub summary: String,
    /// How that was judged.
    pub arithmetic: String,
    /// What is usual, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Word<Cause>>,
    pub act: Word<Act>,
    pub advice: String,
    /// The first event that counts, and the last one so far.
    pub since: Time,
    pub last: Time,
    pub count: u64,
    /// Records that show it.
    pub samples: Vec<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// The wider incident that explains this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mute: Option<Mute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl From<&record::Incident> for Incident {
    fn from(it: &record::Incident) -> Self {
        Self {
            v: Version,
            id: Id(it.id),
            kind: Word(RecordKind::Incident),
            node: it.origin.node.clone(),
            proxy_version: it.origin.proxy_version.clone(),
            config_digest: it.origin.config_digest.clone(),
            incident: Id(it.incident),
            step: Word(it.step),
            at: Time(it.at),
            anomaly: Word(it.anomaly),
            severity: Word(it.severity),
            about: Shown::shown(&it.about),
            summary: it.summary.clone(),
            arithmetic: it.arithmetic.clone(),
            baseline: it.baseline.clone(),
            cause: it.cause.map(Word),
            act: Word(it.act),
            advice: it.advice.clone(),
            since: Time(it.since),
            last: Time(it.last),
            count: it.count,
            samples: Shown::shown(&it.samples),
            change: Shown::shown(&it.change),
            part_of: it.part_of.map(Id),
            mute: Shown::shown(&it.mute),
            who: it.who.clone(),
            note: it.note.clone(),
        }
    }
}

impl From<Incident> for record::Incident {
    fn from(it: Incident) -> Self {
        let origin = record::Origin { node: it.node, proxy_version: it.proxy_version, config_digest: it.config_digest };
        Self {
            id: it.id.0,
            incident: it.incident.0,
            step: it.step.0,
            at: it.at.0,
            origin: std::sync::Arc::new(origin.into()),
            anomaly: it.anomaly.0,
            severity: it.severity.0,
            about: it.about.kept(),
            summary: it.summary,
            arithmetic: it.arithmetic,
            baseline: it.baseline,
            cause: it.cause.map(|it| it.0),
            act: it.act.0,
            advice: it.advice,
            since: it.since.0,
            last: it.last.0,
            count: it.count,
            samples: it.samples.kept(),
            change: it.change.kept(),
            part_of: it.part_of.map(|it| it.0),
            mute: it.mute.kept(),
            who: it.who,
            note: it.note,
        }
    }
}
