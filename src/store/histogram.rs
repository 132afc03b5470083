//! Numbers of any size, counted so that quantiles can be told within one in a hundred.

/// Equal steps between a power of two and the next: half a step is less than one in a hundred.
const STEPS: usize = 64;
const BITS: u32 = STEPS.ilog2();

#[derive(Debug, Default)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub fn add(&mut self, number: u64) {
        let at = place(number);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts.get_mut(at).into_iter().for_each(|count| *count += 1);
        self.total += 1;
    }

    /// Counts what another one has counted.
    pub fn take_in(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
        self.total += other.total;
    }

    /// The number that so many in a hundred don't exceed, by nearest rank: of few numbers, the 99th percentile is the greatest.
    pub fn at(&self, percent: u64) -> Option<u64> {
        let rank = self.total.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(middle(at))
    }
}

/// Small numbers have a place each; above, each power of two has [`STEPS`].
fn place(number: u64) -> usize {
    let power = (u64::BITS - number.leading_zeros()).saturating_sub(BITS + 1);
    (power as usize) * STEPS + (number >> power) as usize
}

/// The number in the middle of those of that place.
fn middle(at: usize) -> u64 {
    let power = (at / STEPS).saturating_sub(1);
    let step = (at - power * STEPS) as u64;
    (step << power) + (1u64 << power) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_one_in_a_hundred() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.at(50), None);
        (1..=1000u64).for_each(|number| histogram.add(number * 977));
        for percent in [1, 50, 99, 100] {
            let (found, exact) = (histogram.at(percent).unwrap() as f64, (percent * 10 * 977) as f64);
            assert!((found / exact - 1.0).abs() < 0.01, "{percent}: {found} of {exact}");
        }
    }

    #[test]
    fn every_number_has_a_place_near_it() {
        for number in (0..200).chain([1 << 20, (1 << 20) + 12_345, u64::MAX]) {
            let found = middle(place(number));
            assert!(found.abs_diff(number) <= number / 100, "{number}: {found}");
        }
        assert!((0..100_000u64).map(place).is_sorted());
    }
}
