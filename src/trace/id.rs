//! Record identity: a ULID, so that ids sort by time and can be read aloud at night.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A time-ordered record id: 48 bits of Unix milliseconds, 80 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId(u128);

/// The text isn't 26 characters of Crockford's base 32.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{text:?} is not a trace id: 26 characters such as 01JD4Z8M6T0V5W2X9Y3Q7R1C4A are expected")]
pub struct NotAnId {
    text: String,
}

impl RecordId {
    /// Builds an id from Unix milliseconds and 80 bits of randomness (the lower 80 of `random`).
    pub fn from_parts(unix_ms: u64, random: u128) -> Self {
        Self(ulid::Ulid::from_parts(unix_ms, random).0)
    }

    pub fn from_u128(value: u128) -> Self {
        Self(value)
    }

    pub fn as_u128(self) -> u128 {
        self.0
    }

    pub fn unix_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// The id that follows inside the same millisecond: the transactions of one session stay in order.
    pub fn successor(self) -> Self {
        Self(self.0.wrapping_add(1))
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; ulid::ULID_LEN];
        f.write_str(ulid::Ulid(self.0).array_to_str(&mut buffer))
    }
}

impl fmt::Debug for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RecordId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        match ulid::Ulid::from_string(text) {
            Ok(ulid) => Ok(Self(ulid.0)),
            Err(_) => Err(NotAnId { text: text.chars().take(64).collect() }),
        }
    }
}
