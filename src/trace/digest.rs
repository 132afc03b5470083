//! A BLAKE3 digest: 32 octets in the store, 64 hexadecimal digits for people and programs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use super::packed;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

/// The text isn't 64 hexadecimal digits.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{text:?} is not a digest: 64 hexadecimal digits are expected")]
pub struct NotADigest {
    text: String,
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&blake3::Hash::from_bytes(self.0).to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = NotADigest;

    fn from_str(text: &str) -> Result<Self, NotADigest> {
        match blake3::Hash::from_hex(text) {
            Ok(hash) => Ok(Self(*hash.as_bytes())),
            Err(_) => Err(NotADigest { text: text.chars().take(80).collect() }),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        packed::octets(deserializer, |octets| octets.try_into().map(Self).map_err(|_| format!("{} octets are no digest", octets.len())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_back_from_text_and_from_the_store() {
        let digest = Digest(*blake3::hash(b"message").as_bytes());
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(postcard::from_bytes::<Digest>(&postcard::to_stdvec(&digest).unwrap()), Ok(digest));
        assert!("abc".parse::<Digest>().is_err());
        assert!(postcard::from_bytes::<Digest>(&[3, 1, 2, 3]).is_err());
    }
}
