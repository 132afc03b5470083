//! Where a sink is in the journal, from which time on it sends, and what of that is written down.

use std::io;
use std::path::Path;

use super::place::Place;
use crate::store::{Cursor, Day};
use crate::trace::WallMicros;

/// How far a sink is.
#[derive(Debug)]
pub(super) struct Position {
    /// Where reading goes on.
    pub at: Cursor,
    /// Up to where the receiver has everything, when it was looked last.
    pub safe: Cursor,
    /// Everything before was sent once, whether it is sent again or not: what of it is gone isn't missed.
    pub had: Option<Cursor>,
    /// The journal's end when the export began, where it began before: what had been left out there by then isn't missed either.
    pub began: Option<Cursor>,
    /// Records made before are not sent, up to the first that is newer.
    since: Option<WallMicros>,
    /// Behind that first one. It may have to be sent again, and those before it must stay out then too.
    met: Option<Cursor>,
    /// The place as it is written.
    written: Option<(Cursor, Option<WallMicros>)>,
    /// It was set back to that time, which is written, and is still about something else.
    ordered: Option<WallMicros>,
}

impl Position {
    pub fn new(at: Cursor, since: Option<WallMicros>) -> Self {
        Self { at, safe: at, had: None, began: None, since, met: None, written: None, ordered: None }
    }

    /// Whether there may be records that are too old.
    pub fn is_limited(&self) -> bool {
        self.since.is_some()
    }

    /// Whether a record is older than what is to be sent. `after`: the place behind it; `made_at`: its time.
    pub fn is_too_old(&mut self, after: Cursor, made_at: WallMicros) -> bool {
        let Some(since) = self.since else { return false };
        if self.met.is_some_and(|met| after >= met) {
            return false;
        }
        if made_at >= since {
            self.met = Some(after);
        }
        made_at < since
    }

    /// Everything that was recorded since then is to be sent again, and what was never sent in any case: written down before anybody hears
    /// that it is so. `waiting`: the time of the first record that is there from the earlier of two places on, `safe` and `at`. Gives the
    /// time from which on it is sent.
    ///
    /// # Errors
    /// It can't be written down; nothing is changed.
    pub fn order(
        &mut self,
        since: WallMicros,
        waiting: impl FnOnce(Cursor, Cursor) -> Option<WallMicros>,
        now: WallMicros,
        store: &Path,
        name: &str,
    ) -> io::Result<WallMicros> {
        // While it is sent back already, what waits begins with what it was sent back to.
        let waiting = self.ordered.into_iter().chain(self.since).min().or_else(|| waiting(self.safe, self.at));
        let since = waiting.map_or(since, |waiting| waiting.min(since));
        let at = Cursor::at_start_of(Day::of(since));
        Place { at, since: Some(since), written_at: now }.write_synced(store, name)?;
        self.written = Some((at, Some(since)));
        self.ordered = Some(since);
        Ok(since)
    }

    pub fn is_ordered(&self) -> bool {
        self.ordered.is_some()
    }

    /// Goes back, if that was ordered: to which time.
    pub fn go_back(&mut self) -> Option<WallMicros> {
        let since = self.ordered.take()?;
        (self.at, self.since, self.met) = (Cursor::at_start_of(Day::of(since)), Some(since), None);
        self.safe = self.at;
        Some(since)
    }

    /// Writes down that the receiver has everything up to `safe`, if that isn't what stands there.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&mut self, safe: Cursor, now: WallMicros, store: &Path, name: &str) -> io::Result<()> {
        if self.is_ordered() {
            return Ok(()); // what is written holds, not what was before
        }
        if self.met.is_some_and(|met| safe >= met) {
            (self.since, self.met) = (None, None);
        }
        if self.written == Some((safe, self.since)) {
            return Ok(());
        }
        Place { at: safe, since: self.since, written_at: now }.write(store, name)?;
        self.written = Some((safe, self.since));
        Ok(())
    }

    /// Whether all that was read is written down as sent.
    pub fn is_settled(&self) -> bool {
        self.written.is_some_and(|(written, _)| written == self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 24 November 2026, 10:00 UTC. µs.
    const TEN: WallMicros = 1_795_514_400_000_000;
    const NAME: &str = "siem";

    fn at(number: u32) -> Cursor {
        format!("2026-11-24.{number}").parse().unwrap()
    }

    fn read(dir: &Path) -> Position {
        let place = Place::read(dir, NAME).unwrap().unwrap();
        Position::new(place.at, place.since)
    }

    /// Those of four records, made at nine, ten, nine and eleven, that are sent.
    fn sent(position: &mut Position) -> Vec<u32> {
        let made = [TEN - 3_600_000_000, TEN, TEN - 3_600_000_000, TEN + 3_600_000_000];
        let numbered = made.into_iter().zip(1..);
        numbered.filter(|(made_at, number)| !position.is_too_old(at(*number), *made_at)).map(|(_, number)| number).collect()
    }

    fn set_back(dir: &Path) -> Position {
        let mut position = Position::new(at(4), None);
        position.order(TEN, |_, _| None, 0, dir, NAME).unwrap();
        assert_eq!(position.go_back(), Some(TEN));
        position
    }

    #[test]
    fn a_batch_that_fails_is_the_same_when_it_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut position = set_back(dir.path());
        assert_eq!(position.at, at(0));
        assert_eq!(sent(&mut position), [2, 3, 4], "up to the first that is newer");
        assert_eq!(sent(&mut position), [2, 3, 4], "again");
        // A receiver that wants something again that it had not acknowledged.
        position.write(at(1), 0, dir.path(), NAME).unwrap();
        assert_eq!(sent(&mut position), [2, 3, 4]);
        assert_eq!(sent(&mut read(dir.path())), [2, 3, 4], "after a restart too");
        // It has the first: what stood before it doesn't count any more.
        position.write(at(2), 0, dir.path(), NAME).unwrap();
        assert_eq!(Place::read(dir.path(), NAME).unwrap().unwrap().since, None);
    }

    #[test]
    fn what_was_ordered_holds_whatever_is_noted_before_it_is_obeyed() {
        let dir = tempfile::tempdir().unwrap();
        let mut position = Position::new(at(4), None);
        position.write(at(4), 0, dir.path(), NAME).unwrap();
        assert!(position.is_settled());
        position.order(TEN, |_, _| None, 7, dir.path(), NAME).unwrap();
        position.write(at(3), 8, dir.path(), NAME).unwrap();
        assert_eq!(Place::read(dir.path(), NAME).unwrap(), Some(Place { at: at(0), since: Some(TEN), written_at: 7 }));
        assert_eq!(sent(&mut read(dir.path())), [2, 3, 4]);
        assert!(position.is_ordered() && position.go_back() == Some(TEN) && !position.is_ordered());
    }

    #[test]
    fn what_was_never_sent_is_sent_whatever_is_ordered() {
        let dir = tempfile::tempdir().unwrap();
        let mut position = Position::new(at(4), None);
        position.safe = at(3);
        let waits = |safe: Cursor, read: Cursor| {
            assert_eq!((safe, read), (at(3), at(4)), "what the receiver surely has");
            Some(TEN)
        };
        assert_eq!(position.order(TEN + 5, waits, 0, dir.path(), NAME).unwrap(), TEN, "it was recorded before");
        assert_eq!(position.order(TEN + 9, |_, _| None, 0, dir.path(), NAME).unwrap(), TEN, "nor does a second order pass over it");
        assert_eq!(position.go_back(), Some(TEN));
        assert_eq!(position.order(TEN + 9, |_, _| None, 0, dir.path(), NAME).unwrap(), TEN, "nor one on the way");
        assert_eq!(position.order(TEN - 9, |_, _| None, 0, dir.path(), NAME).unwrap(), TEN - 9);
    }

    #[test]
    fn an_order_that_cannot_be_written_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("export"), "no directory").unwrap();
        let mut position = Position::new(at(4), None);
        assert!(position.order(TEN, |_, _| None, 0, dir.path(), NAME).is_err());
        assert_eq!((position.go_back(), position.at), (None, at(4)));
    }
}
