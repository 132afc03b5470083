//! All whose mail is counted, bounded: those who are quiet longest are forgotten first.

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use super::batch::Batches;
use super::hot::Hot;
use super::usual::{Usual, WEEK_HOURS};
use super::whose::{Whose, WhoseRef};
use crate::anomaly::room;
use crate::anomaly::window::HOUR;
use crate::trace::WallMicros;

/// Hours without tracing that are remembered.
const MOST_HOLES: usize = 64;

/// One whose mail is counted.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Habit {
    pub usual: Usual,
    /// When mail came last.
    pub last: WallMicros,
    /// Silence isn't looked for before.
    pub due: WallMicros,
    /// Found silent since `last`.
    pub silent: bool,
    /// From that hour on, for a week, what happens is an incident and no habit: at most `learns_most` of an hour is learnt.
    pub frozen: Option<u32>,
    /// Not kept: after a restart nothing is learnt of what goes on.
    #[serde(skip)]
    pub learns_most: u32,
    /// A client's listener: which of the names known.
    pub listener: u8,
    /// The last hour in detail, of those with much mail.
    pub hot: Option<Box<Hot>>,
    /// Of those who send in batches.
    pub batches: Option<Box<Batches>>,
}

/// Everybody's habits.
#[derive(Debug)]
pub struct Habits {
    most: usize,
    pub(super) by: HashMap<Whose, Habit>,
    /// Hours in which nobody looked: first and last.
    holes: Vec<(u32, u32)>,
    /// Nobody was seen before, and nobody is to blame for it.
    pub up_since: WallMicros,
    pub forgotten: u64,
}

impl Habits {
    pub fn new(most: usize) -> Self {
        Self { most: most.max(16), by: HashMap::new(), holes: Vec::new(), up_since: 0, forgotten: 0 }
    }

    /// Octets that one takes, with a name of thirty octets.
    pub const fn octets() -> usize {
        // A map of 100,000 has 131,072 places, each with an octet of its own.
        (size_of::<Whose>() + size_of::<Habit>() + 1) * 131_072 / 100_000 + 46 + Usual::octets() - size_of::<Usual>()
    }

    /// Counts for one of them.
    pub fn count(&mut self, whose: WhoseRef<'_>, at: WallMicros, count: u32) -> Option<&mut Habit> {
        if !self.by.contains_key(&whose) {
            if self.by.len() >= self.most {
                self.forgotten += room::make(&mut self.by, |habit| habit.last);
            }
            self.by.insert(Whose::from(&whose), Habit { usual: Usual::new(at), ..Habit::default() });
        }
        let habit = self.by.get_mut(&whose)?;
        let (holes, frozen) = (&self.holes, habit.frozen.map(|from| (from, habit.learns_most)));
        habit.usual.add(at, count, |hour, count| learns(holes, frozen, hour, count));
        habit.last = habit.last.max(at);
        Some(habit)
    }

    /// Lets time pass for one of them.
    pub fn pass(&mut self, whose: &Whose, now: WallMicros) -> Option<&mut Habit> {
        let habit = self.by.get_mut(whose)?;
        let (holes, frozen) = (&self.holes, habit.frozen.map(|from| (from, habit.learns_most)));
        habit.usual.pass(now, |hour, count| learns(holes, frozen, hour, count));
        Some(habit)
    }

    /// Nothing was traced between these times.
    pub fn hole(&mut self, from: WallMicros, until: WallMicros) {
        let hole = ((from / HOUR) as u32, (until / HOUR) as u32);
        self.up_since = self.up_since.max(until);
        // A restart within a minute makes no difference to an hour.
        if until.saturating_sub(from) > HOUR / 60 && self.holes.last() != Some(&hole) {
            if self.holes.len() >= MOST_HOLES {
                self.holes.remove(0);
            }
            self.holes.push(hole);
        }
    }

    /// Nobody has to wait until a clock that was ahead comes there again.
    pub fn set_back(&mut self, now: WallMicros) {
        self.up_since = self.up_since.min(now);
        for habit in self.by.values_mut() {
            (habit.last, habit.due) = (habit.last.min(now), 0);
            habit.usual.set_back(now);
        }
    }

    /// What is kept: habits, holes, since when somebody looks.
    pub fn kept(&self) -> (&HashMap<Whose, Habit>, &[(u32, u32)], WallMicros) {
        (&self.by, &self.holes, self.up_since)
    }

    /// Takes it back.
    pub fn take_back(&mut self, by: HashMap<Whose, Habit>, holes: Vec<(u32, u32)>, up_since: WallMicros) {
        (self.by, self.holes, self.up_since) = (by, holes, up_since);
        self.holes.truncate(MOST_HOLES);
    }
}

/// How much of what was counted in that hour becomes habit.
fn learns(holes: &[(u32, u32)], frozen: Option<(u32, u32)>, hour: u32, count: u32) -> Option<u32> {
    if holes.iter().any(|&(from, until)| (from..=until).contains(&hour)) {
        return None;
    }
    let frozen = frozen.filter(|&(from, _)| hour >= from && u64::from(hour) < u64::from(from) + WEEK_HOURS);
    match frozen {
        Some((_, 0)) => None,
        Some((_, most)) => Some(count.min(most)),
        None => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anomaly::samples::MONDAY;

    #[test]
    fn a_hundred_thousand_take_at_most_64_mib() {
        let all = Habits::octets() * 100_000;
        assert!(all <= 64 << 20, "{} octets each", Habits::octets());
    }

    #[test]
    fn those_quiet_longest_are_forgotten() {
        let mut habits = Habits::new(100);
        for no in 0..1_000_u64 {
            habits.count(WhoseRef::Sender(&format!("s{no}@our.example")), MONDAY + no, 1);
        }
        assert!(habits.by.len() <= 100 && habits.forgotten >= 900, "{} {}", habits.by.len(), habits.forgotten);
        assert!(habits.by.contains_key(&WhoseRef::Sender("s999@our.example")));
    }
}
