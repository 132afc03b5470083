//! When a deferred message is expected again: by the pauses between its attempts so far, or by what most servers do.

use super::super::answer::Retry;
use crate::trace::WallMicros;
use crate::trace::json::Time;

const MINUTE_US: u64 = 60_000_000;
/// Postfix tries again after 5 minutes, Exim and Sendmail after 15 to 30, Exchange after 5 to 10, hMailServer after an hour.
const USUAL_US: (u64, u64) = (5 * MINUTE_US, 60 * MINUTE_US);
/// Where no pause is known, nobody is late before this.
const LATEST_US: u64 = 270 * MINUTE_US;
/// A pause grows to at most twice the one before.
const GROWTH: u64 = 2;

/// `moments`: when each attempt began; `ended`: the last one's end.
pub fn expected(moments: &[WallMicros], ended: WallMicros, now: WallMicros) -> Option<Retry> {
    let (&last, _) = moments.split_last()?;
    // Attempts of one session, or of several at once, are one try.
    let pauses: Vec<u64> =
        moments.windows(2).filter_map(|pair| pair.last()?.checked_sub(*pair.first()?)).filter(|it| *it >= MINUTE_US / 2).collect();
    let (from, until, latest) = match pauses.as_slice() {
        [] => (ended.saturating_add(USUAL_US.0), ended.saturating_add(USUAL_US.1), ended.saturating_add(LATEST_US)),
        [.., pause] => {
            let before = pauses.len().checked_sub(2).and_then(|at| pauses.get(at)).copied();
            // The next pause is as long as the last, or grows as that grew.
            let next = before.map_or(pause.saturating_mul(GROWTH), |before| grown(before, *pause));
            let room = next / 4;
            let until = last.saturating_add(next).saturating_add(room);
            (last.saturating_add(pause - pause / 10), until, until.saturating_add(room.max(10 * MINUTE_US)))
        }
    };
    Some(Retry { from: Time(from), until: Time(until), overdue: now > latest, by_own_pauses: !pauses.is_empty() })
}

fn grown(before: u64, pause: u64) -> u64 {
    let most = pause.saturating_mul(GROWTH);
    let next = u128::from(pause) * u128::from(pause) / u128::from(before.max(1));
    u64::try_from(next).unwrap_or(most).clamp(pause, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(minutes: &[u64], now: u64, expected_minutes: (u64, u64), overdue: bool) {
        let moments: Vec<u64> = minutes.iter().map(|it| it * MINUTE_US).collect();
        let last = *moments.last().unwrap();
        let found = expected(&moments, last, now * MINUTE_US).unwrap();
        assert_eq!((found.from.0 / MINUTE_US, found.until.0 / MINUTE_US, found.overdue), (expected_minutes.0, expected_minutes.1, overdue));
        assert_eq!(found.by_own_pauses, minutes.len() > 1);
    }

    #[test]
    fn pauses_go_on_as_they_went() {
        check(&[0], 10, (5, 60), false);
        check(&[0], 271, (5, 60), true);
        check(&[0, 10], 11, (19, 35), false);
        check(&[0, 10, 20], 31, (29, 32), false);
        check(&[0, 10, 20], 45, (29, 32), true);
        check(&[0, 5, 15], 16, (24, 40), false);
        check(&[0, 60, 70], 71, (79, 82), false);
    }
}
