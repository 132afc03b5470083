//! Whether a receiver that soon ends its connections reads what it is sent: a balancer or a tunnel with nothing behind it takes events, and closes.
//!
//! From one such end on, each new connection is watched in silence before anything is sent on it, for longer than the others lasted. A receiver
//! that closes after each event waits for its event; what has nobody behind it closes all the same. One that closes when nothing comes for a
//! while does so too, but something sent halfway lengthens its connection. Until one of these is seen, nothing counts as received.
//!
//! One that ends each connection at the same age, whatever is sent, can't be told from nobody. It is believed after many rounds, which take
//! minutes because the waits between them grow: by then the outage was told of, and what is there is no server that is being restarted.

use std::time::Duration;

use crate::store::Cursor;

/// A connection that lasted so long was one to a receiver: balancers give up a server behind them sooner.
pub const STEADY: Duration = Duration::from_secs(30);
/// What one connection may last longer than the other for no reason; where none has waited for its event yet.
const AT_FIRST: Duration = Duration::from_secs(1);
/// The same where the last one did.
const SLACK: Duration = Duration::from_millis(100);
/// No receiver closes for want of events sooner.
const IDLE: Duration = Duration::from_secs(1);
/// A receiver that closed so often, each time soon, may want a connection for each event.
const OFTEN: u32 = 3;
/// Connections that end at the same age although something was sent on each: then that is the receiver's way.
const ROUNDS: u32 = 12;

/// What is thought of a receiver's ends.
#[derive(Debug, Default)]
pub struct Doubt {
    run: Option<Run>,
}

/// Connections in a row that soon ended.
#[derive(Debug)]
struct Run {
    /// Nothing from there on is known to be received.
    from: Cursor,
    ends: u32,
    /// The longest that one of them lasted that gave rise to doubt.
    lasted: Duration,
    /// How long one lasted on which nothing was sent.
    silent: Option<Duration>,
    /// The last one didn't end before something was sent.
    waits: bool,
    /// Connections in a row that ended as `silent` says although something was sent on them.
    rounds: u32,
    /// What is peculiar about it was said: that it wants a connection for each event, or ends them at an age.
    told: bool,
}

impl Run {
    fn new(from: Cursor, ends: u32, lasted: Duration) -> Self {
        Self { from, ends, lasted, silent: None, waits: false, rounds: 0, told: false }
    }

    /// It ends each connection at that age, and is believed.
    fn age(&self) -> Option<Duration> {
        self.silent.filter(|_| self.rounds >= ROUNDS)
    }
}

/// A connection as it ended in order.
#[derive(Debug, Clone, Copy)]
pub struct Life {
    /// Where it began in the journal.
    pub began: Cursor,
    pub lasted: Duration,
    /// So long after the last that was sent on it.
    pub idle: Duration,
}

impl Doubt {
    /// How long a new connection is watched before anything is sent on it.
    pub fn watch(&self) -> Option<Duration> {
        let run = self.run.as_ref().filter(|run| run.age().is_none())?;
        Some(match run.silent {
            Some(silent) if silent >= IDLE => silent / 2,
            _ => run.lasted + if run.waits { SLACK } else { AT_FIRST },
        })
    }

    /// It was still there then.
    pub fn passed(&mut self, watched: Duration) {
        if let Some(run) = &mut self.run
            && watched > run.lasted
        {
            (run.silent, run.waits, run.rounds) = (None, true, 0);
        }
    }

    /// It ended before anything was sent: where to go on.
    pub fn ended_in_silence(&mut self, at: Cursor, lasted: Duration) -> Cursor {
        let run = self.run.get_or_insert_with(|| Run::new(at, 0, lasted));
        run.ends = run.ends.saturating_add(1);
        (run.silent, run.waits, run.rounds) = (Some(lasted), false, 0);
        run.from
    }

    /// It ended in order: where to go on if what was sent on it can't be taken for read.
    pub fn ended(&mut self, life: Life) -> Option<Cursor> {
        if life.lasted >= STEADY {
            self.run = None;
            return None;
        }
        let Some(run) = &mut self.run else {
            return Some(self.soon(life.began, life.lasted));
        };
        if run.age().is_some_and(|age| life.lasted < age - age / 4) {
            // Sooner than is its way: there may be nobody now.
            return Some(self.soon(life.began, life.lasted));
        }
        run.ends = run.ends.saturating_add(1);
        let is_same = run.silent.is_some_and(|silent| life.lasted >= silent - silent / 4 && life.lasted <= silent + silent / 4);
        run.rounds = if is_same { run.rounds.saturating_add(1) } else { 0 };
        if run.age().is_some() {
            run.told &= run.rounds > ROUNDS;
            return None;
        }
        let is_read = match run.silent {
            Some(silent) => life.lasted > silent + silent / 4,
            None => run.waits && life.idle <= run.lasted + SLACK,
        };
        run.waits = is_read;
        if is_read {
            return None;
        }
        run.lasted = run.lasted.max(life.lasted);
        Some(run.from)
    }

    /// It was lost, which tells nothing of what was read: where to go on if that isn't the trail's to say.
    pub fn lost(&mut self, life: Life) -> Option<Cursor> {
        if life.lasted >= STEADY {
            self.run = None;
            return None;
        }
        let Some(run) = &mut self.run else {
            return Some(self.soon(life.began, life.lasted));
        };
        run.ends = run.ends.saturating_add(1);
        self.unread()
    }

    fn soon(&mut self, from: Cursor, lasted: Duration) -> Cursor {
        self.run = Some(Run::new(from, 1, lasted));
        from
    }

    /// From where on nothing is known to be received, while that is in doubt.
    pub fn unread(&self) -> Option<Cursor> {
        self.run.as_ref().filter(|run| run.age().is_none() && (run.silent.is_some() || !run.waits)).map(|run| run.from)
    }

    /// Everything before `at` is received, or to be sent again from there.
    pub fn go_to(&mut self, at: Cursor) {
        if let Some(run) = &mut self.run {
            run.from = at;
        }
    }

    /// Whether events are better sent one by one.
    pub fn is_often(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.ends >= OFTEN && run.age().is_none())
    }

    /// The age at which it ends each connection whatever is sent, if it is believed all the same.
    pub fn age(&self) -> Option<Duration> {
        self.run.as_ref().and_then(Run::age)
    }

    /// Whether that is to be said; once.
    pub fn tells_age(&mut self) -> bool {
        self.run.as_mut().is_some_and(|run| run.age().is_some() && !std::mem::replace(&mut run.told, true))
    }

    /// Whether it is to be said that the receiver wants a connection for each event; once.
    pub fn tells(&mut self) -> bool {
        self.run.as_mut().is_some_and(|run| run.waits && run.ends >= OFTEN && !std::mem::replace(&mut run.told, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(number: u32) -> Cursor {
        format!("2026-11-27.{number}").parse().unwrap()
    }

    fn life(began: u32, lasted: u32, idle: u32) -> Life {
        Life { began: at(began), lasted: MS * lasted, idle: MS * idle }
    }

    /// A connection is watched, and ends by itself after so long unless something is sent before.
    fn watch(doubt: &mut Doubt, ends_after: Duration) -> bool {
        let watched = doubt.watch().unwrap_or_default();
        let passed = watched < ends_after;
        if passed {
            doubt.passed(watched);
        } else {
            assert_eq!(doubt.ended_in_silence(at(9), ends_after), at(0));
        }
        passed
    }

    #[test]
    fn what_takes_events_and_closes_with_nobody_behind_it_is_not_believed() {
        for after in [1, 900, 3_000, 20_000] {
            let mut doubt = Doubt::default();
            assert_eq!((doubt.watch(), doubt.unread()), (None, None));
            assert_eq!(doubt.ended(life(0, after, after)), Some(at(0)), "{after}");
            for _ in 0..ROUNDS {
                if watch(&mut doubt, MS * after) {
                    assert_eq!(doubt.ended(life(0, after, after / 2)), Some(at(0)), "{after}");
                }
                assert_eq!(doubt.unread(), Some(at(0)), "{after}");
            }
            // Somebody is behind it again.
            while !watch(&mut doubt, STEADY * 2) {}
            assert_eq!((doubt.ended(life(0, 60_000, 7)), doubt.unread(), doubt.watch()), (None, None, None), "{after}");
        }
    }

    #[test]
    fn one_that_always_ends_connections_at_the_same_age_gets_on_after_many_rounds() {
        let mut doubt = Doubt::default();
        doubt.ended(life(0, 10_000, 10));
        assert!(!watch(&mut doubt, MS * 10_000));
        for round in 1..ROUNDS {
            assert!(watch(&mut doubt, MS * 10_000), "halfway");
            assert_eq!(doubt.ended(life(0, 9_900 + round, 10)), Some(at(0)), "{round}");
        }
        assert_eq!((doubt.age(), doubt.tells_age()), (None, false));
        assert_eq!(doubt.ended(life(0, 10_100, 10)), None);
        assert_eq!((doubt.unread(), doubt.watch(), doubt.is_often()), (None, None, false), "as any other");
        assert_eq!((doubt.age(), doubt.tells_age(), doubt.tells_age()), (Some(MS * 10_000), true, false), "said once");
        doubt.go_to(at(5));
        assert_eq!((doubt.ended(life(5, 10_000, 10)), doubt.unread()), (None, None));
        // Nobody is behind it now: what comes sooner is doubted.
        assert_eq!((doubt.ended(life(7, 50, 10)), doubt.unread()), (Some(at(7)), Some(at(7))));
        assert_eq!(doubt.age(), None);
    }

    #[test]
    fn rounds_of_other_ages_are_not_counted_together() {
        let mut doubt = Doubt::default();
        doubt.ended(life(0, 10_000, 10));
        for _ in 0..3 {
            assert!(!watch(&mut doubt, MS * 10_000));
            (1..ROUNDS).for_each(|_| assert_eq!(doubt.ended(life(0, 10_000, 10)), Some(at(0))));
            assert_eq!(doubt.ended(life(0, 6_000, 10)), Some(at(0)));
            doubt.run.as_mut().unwrap().silent = None;
        }
    }

    #[test]
    fn what_closes_later_one_day_is_not_believed_for_that() {
        let mut doubt = Doubt::default();
        doubt.ended(life(0, 5, 5));
        assert!(watch(&mut doubt, MS * 3_000), "it waits for a server that was just there");
        assert_eq!(doubt.ended(life(0, 3_000, 2_900)), Some(at(0)));
        assert!(!watch(&mut doubt, MS * 3_000));
        assert!(watch(&mut doubt, MS * 3_000), "halfway");
        assert_eq!(doubt.ended(life(0, 3_000, 1_500)), Some(at(0)));
    }

    #[test]
    fn a_receiver_that_closes_after_each_event_is_believed_from_the_second_on() {
        for after in [1, 500] {
            let mut doubt = Doubt::default();
            doubt.ended(life(0, after, after));
            for number in 0..5 {
                assert!(watch(&mut doubt, STEADY), "it waits for its event");
                assert_eq!((doubt.ended(life(number, 700 + after, after)), doubt.unread()), (None, None));
                doubt.go_to(at(number + 1));
                assert_eq!(doubt.tells(), number == 1, "said once");
            }
            assert!(doubt.is_often());
        }
    }

    #[test]
    fn a_receiver_that_closes_when_nothing_comes_is_believed() {
        let mut doubt = Doubt::default();
        doubt.ended(life(0, 7_000, 5_000));
        assert!(!watch(&mut doubt, MS * 5_000), "nothing came");
        for _ in 0..3 {
            assert!(watch(&mut doubt, MS * 5_000));
            assert!(doubt.unread().is_some(), "until it ends later than it would have");
            assert_eq!(doubt.ended(life(0, 7_500, 5_000)), None);
        }
    }

    #[test]
    fn one_that_is_reset_again_and_again_stays_in_doubt() {
        let mut doubt = Doubt::default();
        for _ in 0..5 {
            assert_eq!(doubt.lost(life(0, 3, 3)), Some(at(0)));
            assert_eq!(doubt.unread(), Some(at(0)));
            assert!(!watch(&mut doubt, MS * 3));
        }
        assert_eq!(doubt.lost(life(0, 60_000, 3)), None);
    }
}
