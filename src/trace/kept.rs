//! A part of many records that is encoded once, and read once: what a session knows of its two peers stands in the record of each of its messages.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, OnceLock};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::packed;
use super::record::{Client, Origin, Upstream};

/// Values that a thread remembers of each type. Sessions that are open at the same time have records that take turns.
const REMEMBERED: usize = 128;
/// Values with more octets are read anew each time.
const LONGEST: usize = 4096;

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

/// A part that comes again and again while records are read one after the other.
pub(super) trait Recurring: DeserializeOwned + 'static {
    /// The value of that stored form, which this thread may have read before.
    fn read(octets: &[u8]) -> Result<Arc<Kept<Self>>, postcard::Error>;
}

macro_rules! recurring {
    ($($type:ty),*) => {$(
        impl Recurring for $type {
            fn read(octets: &[u8]) -> Result<Arc<Kept<Self>>, postcard::Error> {
                thread_local!(static RECENT: Recent<$type> = Recent::default());
                RECENT.with(|recent| recent.read(octets))
            }
        }
    )*};
}
recurring!(Origin, Client, Upstream);

/// Values by a checksum of their stored form.
struct Recent<T>(RefCell<[Option<Arc<Kept<T>>>; REMEMBERED]>);

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(RefCell::new([const { None }; REMEMBERED]))
    }
}

impl<T: DeserializeOwned> Recent<T> {
    /// The value of that stored form: most often one that is here, which costs a comparison in place of a dozen texts.
    fn read(&self, octets: &[u8]) -> Result<Arc<Kept<T>>, postcard::Error> {
        if octets.len() > LONGEST {
            return postcard::from_bytes(octets).map(|value| Arc::new(Kept::new(value)));
        }
        let place = crc32c::crc32c(octets) as usize % REMEMBERED;
        if let Some(Some(known)) = self.0.borrow().get(place)
            && known.stored.get().is_some_and(|stored| **stored == *octets)
        {
            return Ok(known.clone());
        }
        let value = Arc::new(Kept { value: postcard::from_bytes::<T>(octets)?, stored: OnceLock::from(Box::from(octets)) });
        if let Some(slot) = self.0.borrow_mut().get_mut(place) {
            *slot = Some(value.clone());
        }
        Ok(value)
    }
}

/// Reads a [`Kept`] value: records that were stored with the same one have the same one again.
pub(super) fn shared<'de, D: Deserializer<'de>, T: Recurring>(deserializer: D) -> Result<Arc<Kept<T>>, D::Error> {
    packed::octets(deserializer, |octets| T::read(octets).map_err(|error| error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_stored_alike_are_read_once() {
        let recent = Recent::<Vec<String>>::default();
        let stored: Vec<Vec<u8>> = (0..1000).map(|no| postcard::to_stdvec(&vec![no.to_string()]).unwrap()).collect();
        for octets in &stored {
            let [first, second] = [(); 2].map(|()| recent.read(octets).unwrap());
            assert!(Arc::ptr_eq(&first, &second));
            assert_eq!(postcard::to_stdvec(&**first).unwrap(), *octets);
        }
        // Others of the same place have put some out, and all are read as what they are.
        for (no, octets) in stored.iter().enumerate() {
            assert_eq!(***recent.read(octets).unwrap(), [no.to_string()]);
        }
        let long = postcard::to_stdvec(&vec!["x".repeat(LONGEST)]).unwrap();
        assert!(!Arc::ptr_eq(&recent.read(&long).unwrap(), &recent.read(&long).unwrap()));
        assert!(recent.read(&[0xff; 8]).is_err());
    }

    #[test]
    fn a_value_read_before_can_be_changed_alone() {
        let recent = Recent::<Vec<String>>::default();
        let stored = postcard::to_stdvec(&vec!["a".to_owned()]).unwrap();
        let mut changed = recent.read(&stored).unwrap();
        Arc::make_mut(&mut changed).push("b".to_owned());
        assert_eq!(***recent.read(&stored).unwrap(), ["a"]);
        assert_ne!(postcard::to_stdvec(&*changed).unwrap(), postcard::to_stdvec(&Kept::new(vec!["a".to_owned()])).unwrap());
    }

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
