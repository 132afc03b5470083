//! The public JSON shape of a record, version 1: what `show --json`, the API and exports write.
//!
//! Apart from the domain types on purpose: those may change with the stored form, this changes only with [`VERSION`].

mod from;
mod incident;
mod into;
mod later;
mod mirrored;
mod next_hop;
mod read;
mod schema;
mod shape;
mod values;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

pub use incident::{About, Change, Incident, Mute};
pub use into::NoRecord;
pub use later::{AmendedRecipient, Amendment, Audit, Log, Report, Reported, Signature};
pub use next_hop::{Answer, Lookup, Spliced, TlsPolicy, Via};
pub use read::{BadLine, read};
pub use schema::{schema, schema_of};
pub use shape::{
    Auth, Client, Dns, Ended, Envelope, Gap, Hidden, Line, Mark, Message, Outcome, Phases, Recipient, Reply, Session, Tls, Transaction,
    Tried, Upstream,
};
pub use values::{Enhanced, Id, Time, Version, Vocabulary, Word};

use crate::trace::RecordKind;

/// Version of the shape: `"v"` in every record.
pub const VERSION: u8 = 1;

/// Any record, as programs read it. `kind` tells which.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Record {
    Transaction(Box<Transaction>),
    Session(Box<Session>),
    Amendment(Box<Amendment>),
    Gap(Box<Gap>),
    Mark(Box<Mark>),
    Log(Box<Log>),
    Audit(Box<Audit>),
    Incident(Box<Incident>),
}

impl Record {
    pub fn id(&self) -> Id {
        match self {
            Self::Transaction(it) => it.id,
            Self::Session(it) => it.id,
            Self::Amendment(it) => it.id,
            Self::Gap(it) => it.id,
            Self::Mark(it) => it.id,
            Self::Log(it) => it.id,
            Self::Audit(it) => it.id,
            Self::Incident(it) => it.id,
        }
    }

    pub fn at(&self) -> Time {
        match self {
            Self::Transaction(it) => it.at,
            Self::Session(it) => it.at,
            Self::Amendment(it) => it.at,
            Self::Gap(it) => it.at,
            Self::Mark(it) => it.at,
            Self::Log(it) => it.at,
            Self::Audit(it) => it.at,
            Self::Incident(it) => it.at,
        }
    }
}

impl<'de> Deserialize<'de> for Record {
    /// By `kind`, so that an error names the field that is wrong rather than "no variant matched".
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let kind = value.get("kind").and_then(|kind| kind.as_str()).and_then(RecordKind::from_word);
        fn read<T: serde::de::DeserializeOwned, E: serde::de::Error>(value: serde_json::Value) -> Result<Box<T>, E> {
            serde_json::from_value(value).map(Box::new).map_err(E::custom)
        }
        match kind {
            Some(RecordKind::Transaction) => read(value).map(Self::Transaction),
            Some(RecordKind::Session) => read(value).map(Self::Session),
            Some(RecordKind::Amendment) => read(value).map(Self::Amendment),
            Some(RecordKind::Gap) => read(value).map(Self::Gap),
            Some(RecordKind::Mark) => read(value).map(Self::Mark),
            Some(RecordKind::Log) => read(value).map(Self::Log),
            Some(RecordKind::Audit) => read(value).map(Self::Audit),
            Some(RecordKind::Incident) => read(value).map(Self::Incident),
            None => Err(D::Error::custom("the record has no known \"kind\"")),
        }
    }
}

#[cfg(test)]
mod tests;
