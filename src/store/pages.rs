//! The pages of a run: sorted keys with the places of their records, delta-coded, about 16 KiB each.
//!
//! An entry is `key − key before | count | places`, varints. One place takes two octets as it is; several are coded as
//! distances; where that would be longer than a bitmap of the whole run, count 0 stands before the bitmap.

use super::keys::Key;
use super::places::{self, BITMAP_OCTETS, Places};
use super::run::Entry;

const PAGE_OCTETS: usize = 16 << 10;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The first key, from which the first distance counts.
    pub first: Key,
    pub octets: Vec<u8>,
}

/// Packs sorted entries.
pub(super) fn pack(entries: &[Entry]) -> Vec<Page> {
    let mut pages: Vec<Page> = Vec::new();
    let mut last = Key(0);
    let mut item = Vec::new();
    for group in entries.chunk_by(|one, other| one.key() == other.key()) {
        let Some(key) = group.first().map(|entry| entry.key()) else { continue };
        item.clear();
        pack_places(group, &mut item);
        // The longest distance takes seven octets.
        match pages.last_mut().filter(|page| page.octets.len() + item.len() + 7 <= PAGE_OCTETS) {
            Some(page) => put_varint(key.0 - last.0, &mut page.octets),
            None => pages.push(Page { first: key, octets: vec![0] }),
        }
        pages.iter_mut().next_back().into_iter().for_each(|page| page.octets.extend_from_slice(&item));
        last = key;
    }
    pages
}

/// The places of a key in its page; none if the page is damaged.
pub(super) fn places(first: Key, octets: &[u8], wanted: Key) -> Places {
    find(first, octets, wanted).unwrap_or_default()
}

fn find(first: Key, octets: &[u8], wanted: Key) -> Option<Places> {
    let mut input = Input(octets);
    let mut key = first.0;
    while !input.0.is_empty() {
        key = key.checked_add(input.varint()?)?;
        let count = input.varint()?;
        if key == wanted.0 {
            return input.places(count);
        }
        if key > wanted.0 {
            return None;
        }
        input.skip(count)?;
    }
    None
}

fn pack_places(group: &[Entry], out: &mut Vec<u8>) {
    if let [entry] = group {
        out.push(1);
        out.extend_from_slice(&entry.place().to_le_bytes());
        return;
    }
    let start = out.len();
    put_varint(group.len() as u64, out);
    let mut last = 0;
    for entry in group {
        put_varint(u64::from(entry.place() - last), out);
        last = entry.place();
    }
    if out.len() - start > BITMAP_OCTETS {
        out.truncate(start);
        out.push(0);
        let bitmap = out.len();
        out.resize(bitmap + BITMAP_OCTETS, 0);
        for entry in group {
            places::set(&mut out[bitmap..], entry.place());
        }
    }
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&octet, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(octet & 0x7F) << shift;
            if octet < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, octets: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(octets)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, count: u64) -> Option<()> {
        match count {
            0 => self.take(BITMAP_OCTETS).map(|_| ()),
            1 => self.take(2).map(|_| ()),
            _ => (0..count).try_for_each(|_| self.varint().map(|_| ())),
        }
    }

    fn places(&mut self, count: u64) -> Option<Places> {
        match count {
            0 => Some(Places::Bitmap(self.take(BITMAP_OCTETS)?.to_vec())),
            1 => Some(Places::List(vec![u16::from_le_bytes(*self.take(2)?.first_chunk()?)])),
            _ => {
                let mut last = 0u64;
                let place = |_| {
                    last = last.checked_add(self.varint()?)?;
                    u16::try_from(last).ok()
                };
                (0..count).map(place).collect::<Option<_>>().map(Places::List)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn look_up(pages: &[Page], key: Key) -> Vec<u16> {
        let at = pages.partition_point(|page| page.first <= key);
        at.checked_sub(1).map_or(Vec::new(), |at| places(pages[at].first, &pages[at].octets, key).into_vec())
    }

    fn check(keys: &BTreeMap<u64, Vec<u16>>) {
        let entries: Vec<_> = keys.iter().flat_map(|(&key, places)| places.iter().map(move |&place| Entry::new(Key(key), place))).collect();
        let pages = pack(&entries);
        for (&key, places) in keys.iter().step_by(keys.len() / 500 + 1).chain(keys.iter().take(3)) {
            assert_eq!(&look_up(&pages, Key(key)), places);
            if !keys.contains_key(&(key + 1)) {
                assert!(look_up(&pages, Key(key + 1)).is_empty());
            }
        }
        assert!(pages.iter().all(|page| page.octets.len() <= PAGE_OCTETS));
    }

    #[test]
    fn rare_and_common_keys_read_back() {
        let mut keys = BTreeMap::new();
        keys.insert(7, (0..=u16::MAX).collect());
        keys.insert(8, (0..=u16::MAX).step_by(2).collect());
        keys.insert(9, (0..=u16::MAX).step_by(300).collect());
        for no in 0..30_000u64 {
            keys.insert(1 << 40 | no.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 24, vec![no as u16]);
        }
        check(&keys);
        check(&BTreeMap::new());
    }

    proptest! {
        #[test]
        fn any_keys_read_back(keys in prop::collection::btree_map(0..1u64 << 48, prop::collection::btree_set(any::<u16>(), 1..12), 0..60)) {
            check(&keys.into_iter().map(|(key, places)| (key, places.into_iter().collect())).collect());
        }

        #[test]
        fn a_damaged_page_is_harmless(octets in prop::collection::vec(any::<u8>(), 0..200), wanted in 0..1u64 << 48) {
            places(Key(0), &octets, Key(wanted));
        }
    }
}
