//! Unsigned LEB128: small numbers in few octets.

pub fn put(octets: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        octets.push(value as u8 | 0x80);
        value >>= 7;
    }
    octets.push(value as u8);
}

/// The number at the start of some octets, and the octets behind it.
#[inline]
pub fn read(octets: &[u8]) -> Option<(u64, &[u8])> {
    match octets.split_first() {
        // Most are small.
        Some((&octet, rest)) if octet < 0x80 => Some((u64::from(octet), rest)),
        _ => read_several(octets),
    }
}

fn read_several(octets: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (at, &octet) in octets.iter().enumerate().take(10) {
        value |= u64::from(octet & 0x7f) << (7 * at);
        if octet < 0x80 {
            return Some((value, octets.get(at + 1..)?));
        }
    }
    None
}

/// Octets that a number takes.
pub fn octets(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_from_as_many_octets_as_said() {
        for value in (0..64).flat_map(|bits| [(1u64 << bits) - 1, 1 << bits, u64::MAX >> bits]) {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out.len(), octets(value), "{value}");
            out.push(7);
            assert_eq!(read(&out), Some((value, &[7][..])));
            assert_eq!(read(&out[..out.len() - 2]), None);
        }
    }
}
