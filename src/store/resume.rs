//! Where the next frame begins after damage.
//!
//! It is looked for octet by octet, and what stands there may look like the length of a frame everywhere. However long the stretches are that
//! are claimed so, none is read again for each claim: the checksum of a long one is put together from those of everything up to its two ends.

use std::ops::Range;

use super::frame;

/// Checksums are kept of everything up to each multiple of it. Shorter stretches are simply read.
const STEP: usize = 4_096;

/// The place of the first frame at or behind `from`.
pub(super) fn next_frame(salt: u32, octets: &[u8], from: usize) -> Option<usize> {
    let mut sums = None;
    (from..octets.len()).find(|&at| {
        let rest = octets.get(at..).unwrap_or_default();
        let Some(claim) = frame::claim(rest) else { return false };
        if claim.octets <= STEP {
            return frame::parse(salt, rest).is_ok();
        }
        let body = at + frame::PREFIX..at + frame::PREFIX + claim.octets;
        let checksum = sums.get_or_insert_with(|| Sums::of(octets)).append(claim.begun(salt), body);
        checksum == claim.checksum && frame::parse(salt, rest).is_ok()
    })
}

/// CRC-32C of everything up to each [`STEP`] of octets.
struct Sums<'a> {
    octets: &'a [u8],
    up_to: Vec<u32>,
}

impl<'a> Sums<'a> {
    fn of(octets: &'a [u8]) -> Self {
        let steps = octets.chunks_exact(STEP).scan(0, |sum, step| {
            *sum = crc32c::crc32c_append(*sum, step);
            Some(*sum)
        });
        Self { octets, up_to: std::iter::once(0).chain(steps).collect() }
    }

    fn up_to(&self, end: usize) -> u32 {
        let step = (end / STEP).min(self.up_to.len() - 1);
        let sum = self.up_to.get(step).copied().unwrap_or_default();
        crc32c::crc32c_append(sum, self.octets.get(step * STEP..end).unwrap_or_default())
    }

    /// `crc32c_append` of a stretch to `sum`. What a CRC says of a stretch behind another one is that of both, less that of the first moved
    /// on by the second's length.
    fn append(&self, sum: u32, stretch: Range<usize>) -> u32 {
        crc32c::crc32c_combine(self.up_to(stretch.start) ^ sum, self.up_to(stretch.end), stretch.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples;

    #[test]
    fn a_stretch_has_the_checksum_that_reading_it_gives() {
        let octets: Vec<u8> = (0..5 * STEP + 77).map(|at| (at * 7 + at / 251) as u8).collect();
        let sums = Sums::of(&octets);
        for stretch in [0..0, 0..1, 3..STEP, 1..STEP + 1, STEP..3 * STEP, 17..octets.len(), 2 * STEP + 5..4 * STEP, 5 * STEP..octets.len()]
        {
            assert_eq!(sums.append(99, stretch.clone()), crc32c::crc32c_append(99, &octets[stretch.clone()]), "{stretch:?}");
        }
    }

    #[test]
    fn what_claims_to_be_long_everywhere_hides_no_frame() {
        let mut frame = Vec::new();
        frame::write(7, &samples::transaction(1), &mut frame).unwrap();
        let mut long = Vec::new();
        let mut record = samples::plain(2);
        record.message.subject = Some("s".repeat(3 * STEP));
        frame::write(7, &crate::trace::Record::Transaction(Box::new(record)), &mut long).unwrap();
        for behind in [frame, long] {
            // Each fourth place claims 1 MiB: a hundred thousand of them, were they read, 100 GiB.
            let mut octets = (1u32 << 20).to_le_bytes().repeat(100_000);
            let at = octets.len();
            octets.extend_from_slice(&behind);
            octets.resize(octets.len() + (2 << 20), 0);
            assert_eq!(next_frame(7, &octets, 0), Some(at));
            assert_eq!(next_frame(8, &octets, 0), None);
        }
    }
}
