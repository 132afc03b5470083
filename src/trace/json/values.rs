//! The single values of the public JSON shape: words, times, ids, enhanced codes.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::trace::kinds::{
    AboutKind, Act, Action, Actor, Anomaly, AuditEvent, Cause, Circuit, Direction, Dnssec, EndHow, Flag, Flow, IncidentStep, Leg, LogEvent,
    LookupOutcome, RecordKind, ReportKind, Severity, Stage, State, Told, UpstreamKind, ViaHow,
};
use crate::trace::{RecordId, WallMicros};

/// A vocabulary whose values are public words.
pub trait Vocabulary: Copy + 'static {
    fn to_word(self) -> &'static str;
    fn of_word(word: &str) -> Option<Self>;
}

macro_rules! vocabularies {
    ($($name:ident),+) => {
        $(impl Vocabulary for $name {
            fn to_word(self) -> &'static str { self.word() }
            fn of_word(word: &str) -> Option<Self> { Self::from_word(word) }
        })+
    };
}

vocabularies!(
    AboutKind,
    Act,
    Action,
    Actor,
    Anomaly,
    AuditEvent,
    Cause,
    Circuit,
    Direction,
    Dnssec,
    EndHow,
    Flag,
    Flow,
    IncidentStep,
    Leg,
    LogEvent,
    LookupOutcome,
    RecordKind,
    ReportKind,
    Severity,
    Stage,
    State,
    Told,
    UpstreamKind,
    ViaHow
);

/// A value of a vocabulary, written as its public word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word<T>(pub T);

impl<T: Vocabulary> fmt::Display for Word<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.to_word())
    }
}

impl<T: Vocabulary> Serialize for Word<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.to_word())
    }
}

impl<'de, T: Vocabulary> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = Cow::<str>::deserialize(deserializer)?;
        T::of_word(&word).map(Self).ok_or_else(|| D::Error::custom(format!("unknown word {word:?}: written by a newer relayscope?")))
    }
}

impl<T: JsonSchema> JsonSchema for Word<T> {
    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A moment: RFC 3339, UTC, always with six digits of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub WallMicros);

impl Time {
    /// What lies beyond RFC 3339's years is shown as the last moment of them.
    pub fn timestamp(self) -> Timestamp {
        i64::try_from(self.0).ok().and_then(|micros| Timestamp::from_microsecond(micros).ok()).unwrap_or(Timestamp::MAX)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
        f.write_str(&PRINTER.timestamp_to_string(&self.timestamp()))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let timestamp: Timestamp = text.parse().map_err(D::Error::custom)?;
        u64::try_from(timestamp.as_microsecond()).map(Self).map_err(|_| D::Error::custom("times before 1970 are not kept"))
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
            "description": "RFC 3339, UTC, microseconds.",
        })
    }
}

/// A record id: a ULID, 26 characters that sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(pub RecordId);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map(Self).map_err(D::Error::custom)
    }
}

impl JsonSchema for Id {
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$", "description": "ULID: sorts by time."})
    }
}

/// An enhanced status code (RFC 3463), written "5.1.1".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enhanced(pub (u8, u16, u16));

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (class, subject, detail) = self.0;
        write!(f, "{class}.{subject}.{detail}")
    }
}

impl Serialize for Enhanced {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Enhanced {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let mut parts = text.split('.');
        let parsed = (|| {
            let code = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            parts.next().is_none().then_some(Self(code))
        })();
        parsed.ok_or_else(|| D::Error::custom(format!("{text:?} is not an enhanced status code such as 5.1.1")))
    }
}

impl JsonSchema for Enhanced {
    fn schema_name() -> Cow<'static, str> {
        "Enhanced".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": r"^\d{1,3}\.\d{1,5}\.\d{1,5}$", "description": "RFC 3463, such as 5.1.1."})
    }
}

/// The version of the shape: always 1 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(super::VERSION)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            1 => Ok(Self),
            other => Err(D::Error::custom(format!("record shape {other}; this relayscope reads shape 1"))),
        }
    }
}

impl JsonSchema for Version {
    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"const": 1})
    }
}
