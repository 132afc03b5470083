//! Numbers that look like chance and are always the same.

/// SplitMix64.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        it ^ (it >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A count with that mean: Poisson's, or near it where it is large.
    pub fn around(&mut self, mean: u64) -> u64 {
        let mean = mean as f64;
        if mean > 50.0 {
            let normal: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
            return (mean + normal * mean.sqrt() * 1.3).round().max(0.0) as u64;
        }
        let (mut count, mut left) = (0, self.unit());
        let limit = (-mean).exp();
        while left > limit {
            left *= self.unit();
            count += 1;
        }
        count
    }

    /// A waiting time: mostly near the typical one, now and then ten times as long.
    pub fn skewed(&mut self, typical: u64) -> u64 {
        let normal: f64 = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        (typical as f64 * (normal * 0.7).exp()) as u64
    }
}
