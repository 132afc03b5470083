//! Places of records within a run: a short list, or a bitmap where there are many.

use super::run::RUN_RECORDS;

pub(super) const BITMAP_OCTETS: usize = RUN_RECORDS as usize / 8;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Places {
    /// Ascending.
    List(Vec<u16>),
    /// One bit for each record of a run.
    Bitmap(Vec<u8>),
}

impl Default for Places {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl Places {
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn len(&self) -> usize {
        match self {
            Self::List(places) => places.len(),
            Self::Bitmap(bits) => bits.iter().map(|octet| octet.count_ones() as usize).sum(),
        }
    }

    pub fn contains(&self, place: u16) -> bool {
        match self {
            Self::List(places) => places.binary_search(&place).is_ok(),
            Self::Bitmap(bits) => bits.get(usize::from(place >> 3)).is_some_and(|octet| octet & 1 << (place & 7) != 0),
        }
    }

    /// Ascending.
    pub fn into_vec(self) -> Vec<u16> {
        match self {
            Self::List(places) => places,
            Self::Bitmap(bits) => set_bits(&bits),
        }
    }

    /// What is in one or the other.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::List(places), other) if places.is_empty() => other,
            (this, Self::List(places)) if places.is_empty() => this,
            (Self::List(mut places), Self::List(others)) => {
                places.extend(others);
                places.sort_unstable();
                places.dedup();
                Self::List(places)
            }
            (Self::Bitmap(mut bits), other) | (other, Self::Bitmap(mut bits)) => {
                for place in other.into_vec() {
                    set(&mut bits, place);
                }
                Self::Bitmap(bits)
            }
        }
    }
}

pub(super) fn set(bits: &mut [u8], place: u16) {
    if let Some(octet) = bits.get_mut(usize::from(place >> 3)) {
        *octet |= 1 << (place & 7);
    }
}

fn set_bits(bits: &[u8]) -> Vec<u16> {
    let mut places = Vec::new();
    for (index, &octet) in bits.iter().enumerate() {
        let mut octet = octet;
        while octet != 0 {
            places.push((index * 8) as u16 + octet.trailing_zeros() as u16);
            octet &= octet - 1;
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_bitmaps_say_the_same() {
        let places = [0u16, 1, 7, 8, 4095, 65_535];
        let mut bits = vec![0; BITMAP_OCTETS];
        places.iter().for_each(|&place| set(&mut bits, place));
        let (list, bitmap) = (Places::List(places.to_vec()), Places::Bitmap(bits));
        for place in 0..=u16::MAX {
            assert_eq!(list.contains(place), bitmap.contains(place), "{place}");
        }
        assert_eq!((list.len(), bitmap.len()), (6, 6));
        assert_eq!(list.clone().into_vec(), bitmap.clone().into_vec());
        let more = Places::List(vec![8, 9]);
        for one in [list, bitmap] {
            let both = one.or(more.clone());
            assert_eq!(both.into_vec(), [0, 1, 7, 8, 9, 4095, 65_535]);
        }
        assert!(Places::default().is_empty());
    }
}
