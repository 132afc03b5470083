//! A part of many records that is encoded once: what a session knows of its two peers stands in the record of each of its messages.

use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::packed;

/// A value, and its stored form once that has been asked for. Changing the value drops the form.
#[derive(Debug, Default)]
pub struct Kept<T> {
    value: T,
    stored: OnceLock<Box<[u8]>>,
}

impl<T> Kept<T> {
    pub fn new(value: T) -> Self {
        Self { value, stored: OnceLock::new() }
    }
}

impl<T> From<T> for Kept<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Kept<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.stored = OnceLock::new();
        &mut self.value
    }
}

/// A clone is made to be changed: it has no stored form yet.
impl<T: Clone> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Self::new(self.value.clone())
    }
}

impl<T: PartialEq> PartialEq for Kept<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Kept<T> {}

impl<T: Serialize> Serialize for Kept<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(stored) = self.stored.get() {
            return serializer.serialize_bytes(stored);
        }
        let made = postcard::to_stdvec(&self.value).map_err(serde::ser::Error::custom)?;
        serializer.serialize_bytes(self.stored.get_or_init(|| made.into_boxed_slice()))
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Kept<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        packed::octets(deserializer, |octets| postcard::from_bytes(octets).map(Self::new).map_err(|error| error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_value_is_stored_anew() {
        let mut kept = Kept::new(vec!["a".to_owned()]);
        let before = postcard::to_stdvec(&kept).unwrap();
        assert_eq!(postcard::to_stdvec(&kept).unwrap(), before);
        kept.push("b".to_owned());
        let after = postcard::to_stdvec(&kept).unwrap();
        assert_ne!(after, before);
        assert_eq!(postcard::from_bytes::<Kept<Vec<String>>>(&after).unwrap(), kept);
        assert!(postcard::from_bytes::<Kept<Vec<String>>>(&after[..2]).is_err());
    }
}
