//! The public JSON of `where`: message paths, each with its recipients and hops.

mod hop;
mod never;
mod under_way;
mod wider;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use hop::{Confidence, Hop, HopClient, HopUpstream, JoinedBy, LogHop, RelayHop, ReportHop, Side, Tie};
pub use never::{EarlyEnd, Headerless, NearDomain, Nearest, NeverSeen, OfId, Tracing};
pub use under_way::UnderWay;
pub use wider::{Concern, Wider};

use crate::trace::json::{Id, Reply, Time, Vocabulary, Word, schema_of};
use crate::trace::{Act, Actor, Cause, Stage, State};
use crate::vocabulary::vocabulary;

vocabulary! {
    /// How far a message, or one recipient of it, came over its whole path.
    PathState {
        Accepted = "accepted",
        Deferred = "deferred",
        Rejected = "rejected",
        Aborted = "aborted",
        /// In doubt: end-of-data left, no reply came.
        Unknown = "unknown",
        /// The recipients fared differently.
        Partial = "partial",
        /// Accepted, and given back later: a report or a log says so.
        Bounced = "bounced",
        /// In the mailbox: a log or a report says so.
        Delivered = "delivered",
        /// It came in and never left.
        Stuck = "stuck",
        /// Accepted, and thrown away: a log says so. Nobody delivers it, and nobody is told.
        Discarded = "discarded",
    }
}

impl Vocabulary for PathState {
    fn to_word(self) -> &'static str {
        self.word()
    }

    fn of_word(word: &str) -> Option<Self> {
        Self::from_word(word)
    }
}

impl From<State> for PathState {
    fn from(state: State) -> Self {
        match state {
            State::Accepted => Self::Accepted,
            State::Deferred => Self::Deferred,
            State::Rejected => Self::Rejected,
            State::Aborted => Self::Aborted,
            State::Unknown => Self::Unknown,
            State::Partial => Self::Partial,
        }
    }
}

impl PathState {
    /// The state of that name, if no single record has it: it takes what came after.
    pub fn of_path(word: &str) -> Option<Self> {
        [Self::Bounced, Self::Delivered, Self::Stuck, Self::Discarded].into_iter().find(|state| state.word().eq_ignore_ascii_case(word))
    }

    /// As it may be typed.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.word().eq_ignore_ascii_case(word))
    }

    /// The state of a record, where records have it.
    pub fn of_record(self) -> Option<State> {
        State::from_word(self.word())
    }

    /// Nobody has anything more to do, and nothing more is expected.
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Accepted | Self::Rejected | Self::Bounced | Self::Delivered | Self::Discarded)
    }

    /// How much it needs somebody, the most first.
    pub fn urgency(self) -> u8 {
        match self {
            Self::Bounced => 0,
            Self::Rejected => 1,
            Self::Unknown => 2,
            Self::Stuck => 3,
            Self::Discarded => 4,
            Self::Aborted => 5,
            Self::Deferred => 6,
            Self::Partial => 7,
            Self::Accepted => 8,
            Self::Delivered => 9,
        }
    }

    /// It went well, as far as is known.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Accepted | Self::Delivered)
    }
}

/// What `where` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Answer {
    pub query: String,
    /// Messages that are on their way through a running proxy now, newest first: their record comes at their end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under_way: Vec<UnderWay>,
    /// Newest first.
    pub messages: Vec<MessagePath>,
    /// There are more messages than these.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// What was left out of the answer, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Holes in the trace in which an attempt of these messages may be missing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<Hole>,
    /// Set when `messages` and `under_way` are empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never_seen: Option<NeverSeen>,
}

impl Answer {
    /// The JSON Schema of an answer: `config/answer.schema.json` is this, written down.
    pub fn schema() -> schemars::Schema {
        schema_of::<Self>()
    }
}

/// One message, over all its attempts, hops, reports and lines of logs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MessagePath {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The reverse-path; empty for the null sender, missing where lines of logs alone know of it and don't say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The From header, where it was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header_from: Option<String>,
    pub first_at: Time,
    pub last_at: Time,
    /// One sentence: where it stopped and why, times in UTC.
    pub verdict: String,
    pub state: Word<PathState>,
    pub recipients: Vec<Fate>,
    /// Recipients beyond a record's bound: counted, not kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recipients_cut: u32,
    /// In time order.
    pub hops: Vec<Hop>,
    /// Its ways through servers between two passages here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inside: Vec<Inside>,
    /// The message is itself a report about another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reports_on: Option<ReportsOn>,
    /// What to do next: only what follows from the facts.
    pub next: Vec<String>,
    /// Where it failed: incidents that this may be part of, the likeliest and gravest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub incidents: Vec<Wider>,
    /// Incidents beyond these.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub incidents_more: u32,
}

impl MessagePath {
    /// What passed here of it, in time order.
    pub fn relays(&self) -> impl DoubleEndedIterator<Item = &RelayHop> {
        self.hops.iter().filter_map(|hop| match hop {
            Hop::Relay(it) => Some(it.as_ref()),
            _ => None,
        })
    }

    pub fn reports(&self) -> impl Iterator<Item = &ReportHop> {
        self.hops.iter().filter_map(|hop| match hop {
            Hop::Report(it) => Some(it.as_ref()),
            _ => None,
        })
    }

    pub fn logs(&self) -> impl Iterator<Item = &LogHop> {
        self.hops.iter().filter_map(|hop| match hop {
            Hop::Log(it) => Some(it.as_ref()),
            _ => None,
        })
    }
}

/// What became of one recipient: the latest truth over all that is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fate {
    pub address: String,
    pub state: Word<PathState>,
    pub stage: Word<Stage>,
    pub by: Word<Actor>,
    /// The reply that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    /// Words of others, or our own, where no reply says why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The server that said so, where it isn't the next hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Word<Cause>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<Word<Act>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// Where there is no such mailbox or domain: the address that was meant, perhaps. Mail to it was accepted, or its domain is well known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Transactions that named this recipient; of one that only logs name, and of a server that no longer got here, what its lines tell.
    pub attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_queue_id: Option<String>,
    /// When it was decided.
    pub at: Time,
    /// The record that decided.
    pub hop: Id,
    /// The last acceptance here, where something later decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<Id>,
    /// How sure it is that what decided speaks of this message.
    pub confidence: Confidence,
    /// Why its attempts failed, each reason once as long as it lasted, oldest first; where there is more than one attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// When it is expected again, where it waits in a queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// It was probably delivered twice.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub duplicate_likely: bool,
    /// How often it was accepted on its last passage here, where that is more than once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub copies: u32,
    /// Another attempt of that passage that ended in doubt: it may have got there as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubt: Option<Id>,
    /// Where this address stands for several (a list, an alias): the one behind it that fared worst, and that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
}

/// Why attempts in a row failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Word<Cause>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    pub stage: Word<Stage>,
    pub attempts: u32,
    pub first_at: Time,
}

/// When a deferred message is expected again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Retry {
    pub from: Time,
    pub until: Time,
    /// Longer ago than a server can be late.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub overdue: bool,
    /// By the pauses between its attempts so far; otherwise by what most servers do.
    pub by_own_pauses: bool,
}

/// The way through a server between two passages here: in on one listener, out on another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inside {
    pub server: String,
    /// The transaction with which it went in, and the first with which it came out; absent if it never did.
    pub into: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<Id>,
    pub in_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_at: Option<Time>,
    /// Until it came out, or until now.
    pub took_us: u64,
}

/// The message that a report is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReportsOn {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    pub recipients: Vec<String>,
    /// A transaction of that message; absent where none was found that it could be about: it is unproven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hop: Option<Id>,
    /// Of the report's recipients, in words.
    pub says: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hole {
    pub at: Time,
    pub until: Time,
    pub records_lost: u64,
    /// The proxy itself was not running: no mail passed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub down: bool,
    pub why: String,
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}
