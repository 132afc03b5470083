//! The public JSON of `where`: message paths, each with its recipients and hops.

mod never;

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use never::{EarlyEnd, Headerless, NearDomain, Nearest, NeverSeen, Tracing};

use crate::trace::json::{Id, Phases, Reply, Time, Tried, Word};
use crate::trace::{Act, Actor, Cause, Direction, Flag, Stage, State};

/// What `where` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    pub query: String,
    /// Newest first.
    pub messages: Vec<MessagePath>,
    /// There are more messages than these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Holes in the trace in which an attempt of these messages may be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Hole>,
    /// Set when `messages` is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never_seen: Option<NeverSeen>,
}

/// One message, over all its attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessagePath {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The reverse-path; empty for the null sender.
    pub from: String,
    /// The From header, where it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_from: Option<String>,
    pub first_at: Time,
    pub last_at: Time,
    /// One sentence: where it stopped and why, times in UTC.
    pub verdict: String,
    pub state: Word<State>,
    pub recipients: Vec<Fate>,
    /// Recipients beyond a record's bound: counted, not kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recipients_cut: u32,
    /// In time order.
    pub hops: Vec<Hop>,
    /// What to do next: only what follows from the facts.
    pub next: Vec<String>,
}

/// What became of one recipient: the latest truth over all attempts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fate {
    pub address: String,
    pub state: Word<State>,
    pub stage: Word<Stage>,
    pub by: Word<Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    /// Our own words where no reply says why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Word<Cause>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<Word<Act>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Transactions that named this recipient.
    pub attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_queue_id: Option<String>,
    /// The transaction that decided.
    pub hop: Id,
}

/// One station of the message: so far always a relay attempt through this proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    pub kind: HopKind,
    pub id: Id,
    pub session_id: Id,
    pub at: Time,
    /// When its last word fell.
    pub until: Time,
    pub duration_us: u64,
    pub node: String,
    pub listener: String,
    pub direction: Word<Direction>,
    pub client: HopClient,
    pub upstream: HopUpstream,
    pub state: Word<State>,
    pub stage: Word<Stage>,
    pub by: Word<Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Word<Cause>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_queue_id: Option<String>,
    /// How many recipients it named.
    pub recipients: u32,
    /// Octets of the message that passed.
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_digest: Option<String>,
    pub phases: Phases,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<Word<Flag>>,
    /// Why it is held to be of this message.
    pub joined_by: JoinedBy,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HopClient {
    pub ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    /// Its own queue id for the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HopUpstream {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Connection attempts that failed before this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HopKind {
    /// A transaction through this proxy.
    Relay,
}

/// What ties a hop to its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinedBy {
    /// The first seen of its message.
    First,
    /// The same Message-ID, and the same content or envelope.
    MessageId,
    /// The same octets.
    BodyDigest,
    /// The same queue id of the same client.
    QueueId,
    /// No header was seen on one side: same client, sender and recipients, still unsettled. Probable, not proven.
    Envelope,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hole {
    pub at: Time,
    pub until: Time,
    pub records_lost: u64,
    pub why: String,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}
