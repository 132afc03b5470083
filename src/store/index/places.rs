//! Places of records within a run: as a set in memory, and packed.
//!
//! Packed, they are distances from one to the next (LEB128), or where that would take more, one bit for each place.

pub use roaring::RoaringBitmap as Places;

use crate::trace::leb128;

/// Appends ascending places; whether as bits is told by the first octet.
pub fn pack(places: &[u32], out: &mut Vec<u8>) {
    let start = out.len();
    out.push(DISTANCES);
    let mut last = 0;
    for &place in places {
        leb128::put(out, u64::from(place - last));
        last = place;
    }
    let bits = last as usize / 8 + 1;
    if out.len() - start > bits + 1 {
        out.truncate(start);
        out.push(BITS);
        out.resize(start + 1 + bits, 0);
        for &place in places {
            if let Some(octet) = out.get_mut(start + 1 + (place >> 3) as usize) {
                *octet |= 1 << (place & 7);
            }
        }
    }
}

const DISTANCES: u8 = 0;
const BITS: u8 = 1;

/// A set of places that should be in order: made many times faster than one by one.
pub fn of_ascending(places: &[u32]) -> Places {
    Places::from_sorted_iter(places.iter().copied()).unwrap_or_else(|_| places.iter().copied().collect())
}

/// Reads packed places; `None` if they are damaged.
pub fn unpack(octets: &[u8]) -> Option<Places> {
    let (&form, rest) = octets.split_first()?;
    match form {
        DISTANCES => {
            let mut places = Vec::new();
            unpack_onto(octets, 0, &mut places)?;
            Some(of_ascending(&places))
        }
        BITS => Some(Places::from_lsb0_bytes(0, rest)),
        _ => None,
    }
}

/// The same, added to a list and moved by `by`.
pub fn unpack_onto(octets: &[u8], by: u32, places: &mut Vec<u32>) -> Option<()> {
    let (&form, mut rest) = octets.split_first()?;
    match form {
        DISTANCES => {
            let mut last = by;
            while !rest.is_empty() {
                last = last.checked_add(u32::try_from(number(&mut rest)?).ok()?)?;
                places.push(last);
            }
        }
        BITS => places.extend(Places::from_lsb0_bytes(0, rest).into_iter().map(|place| place + by)),
        _ => return None,
    }
    Some(())
}

/// Takes a number (LEB128) from the input.
#[inline]
pub fn number(input: &mut &[u8]) -> Option<u64> {
    let (number, rest) = leb128::read(input)?;
    *input = rest;
    Some(number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn check(places: &[u32]) {
        let mut packed = Vec::new();
        pack(places, &mut packed);
        let unpacked: Vec<u32> = unpack(&packed).unwrap().into_iter().collect();
        assert_eq!(unpacked, places);
        let mut moved = Vec::new();
        unpack_onto(&packed, 7, &mut moved).unwrap();
        assert_eq!(moved, places.iter().map(|place| place + 7).collect::<Vec<_>>());
    }

    #[test]
    fn many_neighbours_become_bits() {
        let all: Vec<u32> = (0..100_000).collect();
        check(&all);
        let mut packed = Vec::new();
        pack(&all, &mut packed);
        assert_eq!(packed.len(), 1 + 12_500);
        check(&(0..100_000).step_by(300).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn any_places_read_back(places in prop::collection::btree_set(0..1u32 << 21, 1..200)) {
            check(&places.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn dense_places_read_back(places in prop::collection::btree_set(0..900u32, 1..600)) {
            let places: BTreeSet<u32> = places;
            check(&places.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn damaged_places_are_harmless(octets in prop::collection::vec(any::<u8>(), 0..60)) {
            unpack(&octets);
            unpack_onto(&octets, 1, &mut Vec::new());
        }
    }
}
