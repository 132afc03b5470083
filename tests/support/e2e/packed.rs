//! What receivers unpack.

use std::io::Read;

/// A body as it was before it was packed, if it was.
pub fn unpacked(is_gzip: bool, octets: &[u8]) -> Vec<u8> {
    if !is_gzip {
        return octets.to_vec();
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(octets).read_to_end(&mut plain).unwrap();
    plain
}
