//! A disk that takes no run: it is asked again after a while, and spoken of now and then.

use std::time::{Duration, Instant};

/// Before it is asked again: a run is packed anew for it each time.
const RETRY: Duration = Duration::from_secs(1);
/// Before it is spoken of again.
const SAID: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Refusals {
    retry_at: Option<Instant>,
    said_at: Option<Instant>,
}

impl Refusals {
    pub fn may_try(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| at <= now)
    }

    /// Notes one; whether that is to be said.
    pub fn is_worth_saying(&mut self, now: Instant) -> bool {
        self.retry_at = Some(now + RETRY);
        let was_said = self.said_at.is_some_and(|at| now.saturating_duration_since(at) < SAID);
        if !was_said {
            self.said_at = Some(now);
        }
        !was_said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_refuses_for_long_is_asked_each_second_and_spoken_of_each_minute() {
        let begun = Instant::now();
        let (mut refusals, mut asked, mut said) = (Refusals::default(), 0, 0);
        for tenth in 0..1800 {
            let now = begun + Duration::from_millis(100 * tenth);
            if refusals.may_try(now) {
                asked += 1;
                said += u32::from(refusals.is_worth_saying(now));
            }
        }
        assert_eq!((asked, said), (180, 3));
    }
}
