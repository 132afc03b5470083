//! Answers a plan from one run: which places have what it wants, and whether that is certain.

use std::io;

use super::index::Index;
use super::index::RunView;
use super::index::lookup::Answer;
use super::index::places::Places;
use super::plan::{Find, Plan};

/// A list is not read for so few records that are left: those are looked at instead.
const FEW: u64 = 64;
/// How much longer than what is left a list must be not to be read.
const MUCH_LONGER: u64 = 256;
/// Lists longer than this are read last.
const LONG: u64 = 1_000;

/// Places in a run.
#[derive(Debug)]
pub(super) struct Set {
    /// `None`: all.
    pub places: Option<Places>,
    /// All of them fit; otherwise the others are to be weeded out.
    pub exact: bool,
}

/// What a find met with, over all runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Met {
    pub runs: u64,
    pub records: u64,
}

/// Asks one run.
pub(super) struct Asking<'a> {
    pub index: &'a Index,
    pub run: &'a RunView,
    pub met: &'a mut Vec<Met>,
}

impl Set {
    fn nothing() -> Self {
        Self { places: Some(Places::new()), exact: true }
    }

    fn is_nothing(&self) -> bool {
        self.places.as_ref().is_some_and(Places::is_empty)
    }
}

impl Asking<'_> {
    pub fn answer(&mut self, plan: &Plan) -> io::Result<Set> {
        match plan {
            Plan::All(plans) => self.all(plans),
            Plan::Any(plans) => self.any(plans),
            Plan::Not(plan) => self.not(plan),
            Plan::Find(find) => {
                let answers = self.ask(find)?;
                Ok(Set { places: Some(union(answers)?), exact: find.exact })
            }
            Plan::Unknown => Ok(Set { places: None, exact: false }),
        }
    }

    /// The rarest first: what a run hasn't got ends the matter, and few records left are cheaper to look at than long lists.
    fn all(&mut self, plans: &[Plan]) -> io::Result<Set> {
        // One by itself is asked at once.
        if plans.len() > 1 {
            let mut absent = Vec::new();
            for plan in plans {
                if self.lacks(plan, &mut absent)? {
                    absent.into_iter().for_each(|find| self.note(find, 0));
                    return Ok(Set::nothing());
                }
            }
        }
        let mut finds = Vec::new();
        for find in plans.iter().filter_map(|plan| if let Plan::Find(find) = plan { Some(find) } else { None }) {
            let answers = self.ask(find)?;
            let count: u64 = answers.iter().map(|answer| answer.count).sum();
            if count == 0 {
                return Ok(Set::nothing());
            }
            finds.push((count, find, answers));
        }
        finds.sort_by_key(|&(count, ..)| count);
        let mut all = Set { places: None, exact: true };
        let long = finds.split_off(finds.partition_point(|&(count, ..)| count <= LONG));
        for find in finds {
            all.narrow_by(find)?;
            if all.is_nothing() {
                return Ok(Set::nothing());
            }
        }
        // The others before the long lists: what they leave is often so little that those need not be read.
        let (nots, others): (Vec<_>, Vec<_>) =
            plans.iter().filter(|plan| !matches!(plan, Plan::Find(_))).partition(|plan| matches!(plan, Plan::Not(_)));
        for plan in others {
            all.narrow(self.answer(plan)?);
            if all.is_nothing() {
                return Ok(Set::nothing());
            }
        }
        for find in long {
            all.narrow_by(find)?;
            if all.is_nothing() {
                return Ok(Set::nothing());
            }
        }
        for plan in nots {
            // Looking at each of a few records answers this as well.
            if all.places.as_ref().is_some_and(|places| places.len() <= FEW) {
                all.exact = false;
                continue;
            }
            all.narrow(self.answer(plan)?);
            if all.is_nothing() {
                return Ok(Set::nothing());
            }
        }
        Ok(all)
    }

    fn any(&mut self, plans: &[Plan]) -> io::Result<Set> {
        let mut any = Set::nothing();
        for plan in plans {
            let set = self.answer(plan)?;
            any.exact &= set.exact || set.is_nothing();
            any.places = match (any.places, set.places) {
                (Some(places), Some(more)) => Some(places | more),
                _ => None,
            };
        }
        Ok(any)
    }

    fn not(&mut self, plan: &Plan) -> io::Result<Set> {
        let set = self.answer(plan)?;
        Ok(match (set.places, set.exact) {
            // What may fit may as well not.
            (_, false) => Set { places: None, exact: false },
            (None, true) => Set::nothing(),
            (Some(places), true) => {
                let mut rest = Places::new();
                rest.insert_range(0..self.run.end() - self.run.first());
                Set { places: Some(rest - places), exact: true }
            }
        })
    }

    /// Whether the run certainly has nothing that fits, and which finds say so.
    fn lacks(&self, plan: &Plan, absent: &mut Vec<usize>) -> io::Result<bool> {
        let before = absent.len();
        let mut lacks = match plan {
            Plan::Any(_) | Plan::Find(_) => true,
            Plan::All(_) | Plan::Not(_) | Plan::Unknown => false,
        };
        match plan {
            Plan::All(plans) => {
                for plan in plans {
                    if self.lacks(plan, absent)? {
                        lacks = true;
                        break;
                    }
                }
            }
            Plan::Any(plans) => {
                for plan in plans {
                    if !self.lacks(plan, absent)? {
                        lacks = false;
                        break;
                    }
                }
            }
            Plan::Find(find) => {
                absent.push(find.number);
                for lookup in &find.lookups {
                    if !self.index.lacks(self.run, lookup)? {
                        lacks = false;
                        break;
                    }
                }
            }
            Plan::Not(_) | Plan::Unknown => {}
        }
        if !lacks {
            absent.truncate(before);
        }
        Ok(lacks)
    }

    fn ask(&mut self, find: &Find) -> io::Result<Vec<Answer>> {
        let mut answers = Vec::with_capacity(find.lookups.len());
        for lookup in &find.lookups {
            let answer = self.index.ask(self.run, lookup)?;
            if answer.count > 0 {
                answers.push(answer);
            }
        }
        self.note(find.number, answers.iter().map(|answer| answer.count).sum());
        Ok(answers)
    }

    fn note(&mut self, find: usize, records: u64) {
        if let Some(met) = self.met.get_mut(find) {
            met.runs += 1;
            met.records += records;
        }
    }
}

impl Set {
    /// By a find that is there, unless its list is not worth reading.
    fn narrow_by(&mut self, (count, find, answers): (u64, &Find, Vec<Answer>)) -> io::Result<()> {
        let left = self.places.as_ref().map(Places::len);
        if left.is_some_and(|left| left <= FEW && count > left.saturating_mul(MUCH_LONGER)) {
            self.exact = false;
            return Ok(());
        }
        self.narrow(Self { places: Some(union(answers)?), exact: find.exact });
        Ok(())
    }

    fn narrow(&mut self, by: Self) {
        self.exact &= by.exact;
        self.places = match (self.places.take(), by.places) {
            (Some(places), Some(others)) => Some(places & others),
            (places, others) => places.or(others),
        };
    }
}

fn union(answers: Vec<Answer>) -> io::Result<Places> {
    let mut all = Places::new();
    for answer in answers {
        let places = answer.places()?;
        if all.is_empty() { all = places } else { all |= places }
    }
    Ok(all)
}
