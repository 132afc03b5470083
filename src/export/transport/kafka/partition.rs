//! Which partition a key belongs to, by the murmur2 that Java's clients use: consumers that join by key find it where they expect it.

/// The partition, of so many, for a key.
pub(super) fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let positive = murmur2(key) & 0x7fff_ffff;
    i32::try_from(positive % u32::try_from(partitions.max(1)).unwrap_or(1)).unwrap_or(0)
}

/// MurmurHash2 of 32 bits, with Kafka's seed.
fn murmur2(octets: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    const SEED: u32 = 0x9747_b28c;
    let mut hash = SEED ^ u32::try_from(octets.len()).unwrap_or(u32::MAX);
    let (words, rest) = octets.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(M);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(M) ^ mixed.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (number, octet) in rest.iter().enumerate() {
            hash ^= u32::from(*octet) << (8 * number);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures of Kafka's own test of its hash.
    #[test]
    fn keys_hash_as_they_do_in_java() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
        }
    }

    #[test]
    fn every_key_has_a_partition_that_is_there() {
        for partitions in [1, 2, 3, 12] {
            for number in 0..200 {
                assert!((0..partitions).contains(&partition_of(format!("01J{number}").as_bytes(), partitions)));
            }
        }
        assert_eq!(partition_of(b"x", 0), 0);
    }
}
