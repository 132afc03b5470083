//! What outlives the process, as octets: the form's version, then postcard.

use std::hash::Hash;

use hashbrown::HashMap;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Writes what is to be kept. A change of its form takes another version, and those that were released are still read.
pub fn write<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![version]).unwrap_or_default()
}

/// Reads it back; `None`: another version wrote it, or it is damaged.
pub fn read<T: DeserializeOwned>(version: u8, octets: &[u8]) -> Option<T> {
    let (_, rest) = octets.split_first().filter(|(first, _)| **first == version)?;
    postcard::from_bytes(rest).ok()
}

/// What a former version wrote, in the form of this one.
pub fn renewed<K: Hash + Eq, F, T: From<F>>(former: HashMap<K, F>) -> HashMap<K, T> {
    former.into_iter().map(|(key, value)| (key, value.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_and_half_of_it_are_not_read() {
        let kept = write(2, &("a".to_owned(), vec![1_u64, 2]));
        assert_eq!(read::<(String, Vec<u64>)>(2, &kept), Some(("a".to_owned(), vec![1, 2])));
        assert_eq!(read::<(String, Vec<u64>)>(1, &kept), None);
        assert_eq!(read::<(String, Vec<u64>)>(2, &kept[..3]), None);
        assert_eq!(read::<(String, Vec<u64>)>(2, &[]), None);
    }
}
