//! The public JSON of a message's stations: what passed here, what reports say, what imported logs say.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PathState;
use crate::trace::json::{Id, Phases, Reply, Report, Time, Tried, Word};
use crate::trace::{Act, Actor, Cause, Direction, Flag, LogEvent, RecordId, Stage, State};

/// One station of the message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Hop {
    /// A transaction through this proxy.
    Relay(Box<RelayHop>),
    /// A delivery report or complaint about the message that passed this proxy.
    Report(Box<ReportHop>),
    /// A line of a server's log that was imported.
    Log(Box<LogHop>),
}

impl Hop {
    pub fn id(&self) -> RecordId {
        match self {
            Self::Relay(it) => it.id.0,
            Self::Report(it) => it.id.0,
            Self::Log(it) => it.id.0,
        }
    }

    pub fn at(&self) -> Time {
        match self {
            Self::Relay(it) => it.at,
            Self::Report(it) => it.at,
            Self::Log(it) => it.at,
        }
    }

    pub fn tie(&self) -> Tie {
        match self {
            Self::Relay(it) => it.tie,
            Self::Report(it) => it.tie,
            Self::Log(it) => it.tie,
        }
    }
}

/// A transaction through this proxy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RelayHop {
    pub id: Id,
    pub session_id: Id,
    pub at: Time,
    /// When its last word fell.
    pub until: Time,
    pub duration_us: u64,
    pub node: String,
    pub listener: String,
    pub direction: Word<Direction>,
    /// Which time the message came to this proxy: attempts with the same number are retries of each other, from 1.
    pub passage: u32,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<Word<Act>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
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
    #[serde(flatten)]
    pub tie: Tie,
}

impl RelayHop {
    /// The process ended with the message under way, or its record was lost: all that is known was noted before its end was sent on, and
    /// the header wasn't.
    pub fn was_cut_off(&self) -> bool {
        self.state.0 == State::Unknown && self.duration_us == 0 && self.size == 0
    }
}

/// What a report says of the message. It proves nothing by itself: see its confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportHop {
    /// The transaction that brought it.
    pub id: Id,
    pub at: Time,
    pub listener: String,
    /// To whom it went.
    pub to: Vec<String>,
    /// The state it puts its recipients in, where its word counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Word<PathState>>,
    pub report: Report,
    #[serde(flatten)]
    pub tie: Tie,
    /// Why it changes nothing, where it doesn't.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
}

/// What a line of a server's log says of the message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogHop {
    pub id: Id,
    /// As the line has it.
    pub at: Time,
    pub format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether that server had the message before this proxy or after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<Side>,
    pub event: Word<LogEvent>,
    /// The state it puts its recipient in, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<Word<PathState>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_queue_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Word<Cause>>,
    /// How far that server's clock is ahead of ours, where it can be told and matters. Negative: it is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_ahead_us: Option<i64>,
    #[serde(flatten)]
    pub tie: Tie,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// It handed the message to this proxy, or was to.
    Before,
    /// It got the message from this proxy.
    After,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HopClient {
    pub ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helo: Option<String>,
    /// As whom it logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
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

/// What ties a hop to its message, and how much that is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tie {
    pub joined_by: JoinedBy,
    pub confidence: Confidence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JoinedBy {
    /// The first seen of its message.
    First,
    /// The same octets.
    BodyDigest,
    /// The same queue id at the same server.
    QueueId,
    /// It quotes this proxy's reply with its trace id.
    TraceId,
    /// The same ENVID (RFC 3461).
    Envid,
    /// The same Message-ID, and the same sender and recipient.
    MessageId,
    /// The same client, sender and recipients, still unsettled: no header was seen on one side.
    Envelope,
    /// The same recipient and reply within seconds, and no other sender: no id was seen on one side.
    Reply,
    /// The same recipient at a time that fits, and nothing else.
    Recipient,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It says so, and nothing here bears it out: it changes nothing.
    Unproven,
    Probable,
    Strong,
    Proof,
}

impl JoinedBy {
    pub const fn with(self, confidence: Confidence) -> Tie {
        Tie { joined_by: self, confidence }
    }

    /// For people: "by queue id".
    pub fn words(self) -> &'static str {
        match self {
            Self::First => "the first of its message",
            Self::BodyDigest => "by the same octets",
            Self::QueueId => "by queue id",
            Self::TraceId => "by the trace id in its reply",
            Self::Envid => "by ENVID",
            Self::MessageId => "by Message-ID and recipient",
            Self::Envelope => "by client, sender and recipients",
            Self::Reply => "by recipient, reply and time",
            Self::Recipient => "by recipient and time",
        }
    }
}

impl Confidence {
    pub fn words(self) -> &'static str {
        match self {
            Self::Unproven => "unproven",
            Self::Probable => "probable",
            Self::Strong => "as good as certain",
            Self::Proof => "certain",
        }
    }
}
