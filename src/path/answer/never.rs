//! The public JSON where nothing matched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Hole, HopClient, HopUpstream, ReportHop, Wider, is_zero};
use crate::path::never::outside::Dns;
use crate::trace::json::{Id, Reply, Time, Word};
use crate::trace::{Actor, RecordKind, Stage, State};

/// What is known where nothing matched.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NeverSeen {
    /// One sentence.
    pub verdict: String,
    /// What an id that was asked for is of, where that is no message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_id: Option<OfId>,
    /// Addresses in the trace that look like the one asked for, nearest first.
    pub nearest: Vec<Nearest>,
    /// Well-known domains that look like one asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub domains: Vec<NearDomain>,
    /// Attempts that ended before the message text, where a Message-ID or subject was asked for: it may be one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without_header: Vec<Headerless>,
    /// Reports that speak of what was asked for. Anybody can write one: they prove nothing of a message that wasn't seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<ReportHop>,
    /// Sessions that ended before MAIL FROM: they could have carried the message. Of the sender's hosts where those are known.
    pub sessions: Vec<EarlyEnd>,
    /// Incidents of that time (or of the last day) that can be why: the likeliest ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<Wider>,
    /// Further ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub incidents_more: u32,
    /// What DNS says; absent where it wasn't asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
    pub tracing: Tracing,
    pub next: Vec<String>,
}

/// A record that isn't of mail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OfId {
    pub id: Id,
    pub at: Time,
    pub kind: Word<RecordKind>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Nearest {
    pub address: String,
    /// Single-letter changes between the two.
    pub distance: u32,
    pub last_at: Time,
    /// The newest record with it.
    pub id: Id,
}

/// A domain that was asked for, and the well-known one that may have been meant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NearDomain {
    pub asked: String,
    pub domain: String,
    /// Single-letter changes between the two.
    pub distance: u32,
}

/// A transaction of which nothing but the envelope was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Headerless {
    pub id: Id,
    pub at: Time,
    /// The reverse-path; empty for the null sender.
    pub from: String,
    pub recipients: Vec<String>,
    pub state: Word<State>,
    pub stage: Word<Stage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
}

/// A session that ended before any transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EarlyEnd {
    pub id: Id,
    pub at: Time,
    pub client: HopClient,
    /// Why its client is held to be a host of the sender's: "its SPF record", "it sent for alice@example.com before", …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_sender: Option<String>,
    pub upstream: HopUpstream,
    pub stage: Word<Stage>,
    pub by: Word<Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Whether a message could have passed without leaving a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tracing {
    /// What was asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Time>,
    /// The trace's own reach.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newest_at: Option<Time>,
    /// A proxy is adding to it now.
    pub running: bool,
    /// When it was stopped, where no proxy runs now and the last one ended as it was told to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_at: Option<Time>,
    /// Holes in it: mail flowed and records were lost, or the proxy was down.
    pub gaps: Vec<Hole>,
}
