//! How long to wait before the next try: longer each time, never the same for two that failed together.

use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(60);

/// Doubles with each failure, up to a minute.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure: between a half and the whole of what is due, and no less than the receiver asked for.
    pub fn next(&mut self, asked: Option<Duration>) -> Duration {
        let due = SHORTEST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let jittered = due / 2 + (due / 2).mul_f64(fraction());
        // A receiver that asks for an hour gets ten minutes: it may have meant something else.
        asked.map_or(jittered, |asked| asked.min(LONGEST * 10).max(jittered))
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// From 0 to 1; the middle where the system has no random octets.
fn fraction() -> f64 {
    let mut octets = [0; 2];
    match SystemRandom::new().fill(&mut octets) {
        Ok(()) => f64::from(u16::from_le_bytes(octets)) / f64::from(u16::MAX),
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_begin_anew() {
        let mut backoff = Backoff::default();
        let pauses: Vec<Duration> = (0..12).map(|_| backoff.next(None)).collect();
        for (number, pause) in pauses.iter().enumerate() {
            let due = (SHORTEST * (1 << number)).min(LONGEST);
            assert!(*pause >= due / 2 && *pause <= due, "{number}: {pause:?}");
        }
        assert!(backoff.next(Some(Duration::from_secs(90))) >= Duration::from_secs(90));
        assert!(backoff.next(Some(Duration::from_secs(86_400))) <= LONGEST * 10);
        backoff.reset();
        assert!(backoff.next(None) <= SHORTEST);
    }
}
