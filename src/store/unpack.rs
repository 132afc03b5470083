//! Unpacks what zstd packed, of which the octets are known.

use std::cell::RefCell;
use std::io;

thread_local! {
    // Making one costs as much as the decompression of a block.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// What was packed; an error of kind `InvalidData` if it isn't so many octets, or damaged.
pub(super) fn decompress(packed: &[u8], octets: usize) -> io::Result<Vec<u8>> {
    let unpacked = DECOMPRESSOR.with_borrow_mut(|kept| match kept {
        Some(decompressor) => decompressor.decompress(packed, octets),
        None => kept.insert(zstd::bulk::Decompressor::new()?).decompress(packed, octets),
    });
    match unpacked {
        Ok(unpacked) if unpacked.len() == octets => Ok(unpacked),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it is shorter than it should be")),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}
