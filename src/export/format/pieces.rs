//! JSON of what many records have in common, written once: the records of a session share their client and their upstream.

use std::sync::Arc;

use serde_json::value::RawValue;

use crate::trace::Kept;

/// Pieces that are kept of each kind. Sessions that are open at the same time take turns.
const PIECES: usize = 128;
/// A piece with more octets isn't kept.
const LONGEST: usize = 8 << 10;

/// What can be written as a piece of JSON.
pub trait Written {
    /// Its JSON.
    fn write(&self) -> Vec<u8>;
}

/// The last pieces, by the values that they are of.
#[derive(Debug)]
pub struct Pieces<T>(Vec<Option<Piece<T>>>);

#[derive(Debug)]
struct Piece<T> {
    /// Held, so that no other value can come to lie where it lies.
    of: Arc<Kept<T>>,
    json: Arc<RawValue>,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Written> Pieces<T> {
    /// What is written for that value.
    pub fn of(&mut self, value: &Arc<Kept<T>>) -> Arc<RawValue> {
        if self.0.is_empty() {
            self.0.resize_with(PIECES, || None);
        }
        let slot = self.0.get_mut(place(value));
        if let Some(Some(piece)) = &slot
            && Arc::ptr_eq(&piece.of, value)
        {
            return piece.json.clone();
        }
        let octets = value.write();
        let is_short = octets.len() <= LONGEST;
        let text = String::from_utf8(octets).unwrap_or_default();
        let json: Arc<RawValue> = RawValue::from_string(text).unwrap_or_default().into();
        if let Some(slot) = slot
            && is_short
        {
            *slot = Some(Piece { of: value.clone(), json: json.clone() });
        }
        json
    }
}

/// Where a value's piece would be: by its address, which is as good as any number.
fn place<T>(value: &Arc<Kept<T>>) -> usize {
    let address = Arc::as_ptr(value).cast::<u8>() as usize as u64;
    (address.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) as usize % PIECES
}
