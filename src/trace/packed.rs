//! Octets as one piece of the stored form, not as a sequence of numbers.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Octets stored as a length and themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Packed(pub Vec<u8>);

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        octets(deserializer, |octets| Ok(Self(octets.to_vec())))
    }
}

/// Reads what [`Serializer::serialize_bytes`] wrote, and makes a value of it.
pub(super) fn octets<'de, D: Deserializer<'de>, T>(deserializer: D, make: fn(&[u8]) -> Result<T, String>) -> Result<T, D::Error> {
    struct Octets<T>(fn(&[u8]) -> Result<T, String>);

    impl<'de, T> Visitor<'de> for Octets<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("octets")
        }

        fn visit_bytes<E: Error>(self, octets: &[u8]) -> Result<T, E> {
            (self.0)(octets).map_err(E::custom)
        }

        // Formats for people write octets as a sequence.
        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<T, A::Error> {
            let mut octets = Vec::new();
            while let Some(octet) = sequence.next_element()? {
                octets.push(octet);
            }
            (self.0)(&octets).map_err(A::Error::custom)
        }
    }

    deserializer.deserialize_bytes(Octets(make))
}
