//! Plays situations side by side, and tells what became of each: named or not, after how long, what else; and precision and recall of each detector.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::time::Duration;

use crate::scene::{Scene, WITHIN};
use crate::support::programs::{find, is_root};

/// Played at the same time: they wait more than they work.
const AT_ONCE: usize = 10;

/// Something that goes wrong.
#[derive(Clone, Copy)]
pub struct Situation {
    /// Of the ten: "1 DNS changes".
    pub cause: &'static str,
    pub name: &'static str,
    /// Programs without which it can't be played.
    pub needs: &'static [&'static str],
    pub play: fn(&mut Scene),
}

impl fmt::Display for Situation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.cause, self.name)
    }
}

/// What was named in a situation.
#[derive(Debug, Default)]
pub struct Row {
    /// What is to be named, by a detector (its anomaly) or by `where`; and after how long it was.
    pub named: Vec<(String, Option<Duration>)>,
    /// Incidents that are not true.
    pub false_ones: Vec<(String, String)>,
    pub skipped: bool,
    /// The situation itself could not be brought about, or what was said of it is wrong.
    pub failed: Option<String>,
}

pub struct Report {
    rows: Vec<(Situation, Row)>,
}

/// Plays them all.
pub fn play(situations: &[Situation]) -> Report {
    let waiting: Mutex<VecDeque<(usize, Situation)>> = Mutex::new(situations.iter().copied().enumerate().collect());
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap().pop_front();
                    let Some((number, situation)) = next else { return };
                    let row = play_one(situation);
                    done.lock().unwrap().insert(number, (situation, row));
                }
            });
        }
    });
    Report { rows: done.into_inner().unwrap().into_values().collect() }
}

fn play_one(situation: Situation) -> Row {
    let missing = |program: &&&str| if **program == "root" { !is_root() } else { find(program).is_none() };
    let missing: Vec<&str> = situation.needs.iter().filter(missing).copied().collect();
    let mut scene = Scene::new();
    if !missing.is_empty() {
        crate::support::programs::skip(&situation.to_string(), &format!("{} missing", missing.join(", ")));
        return Row { skipped: true, ..Row::default() };
    }
    let played = catch_unwind(AssertUnwindSafe(|| (situation.play)(&mut scene)));
    let mut row = std::mem::take(&mut scene.row);
    if let Err(panic) = played {
        let words = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        row.failed.get_or_insert_with(|| words.unwrap_or("panicked").to_owned());
    }
    row
}

#[derive(Default)]
struct Score {
    right: usize,
    wrong: usize,
    missed: usize,
}

impl Report {
    /// By anomaly, and for `where`.
    fn scores(&self) -> BTreeMap<&str, Score> {
        let mut scores: BTreeMap<&str, Score> = BTreeMap::new();
        for (_, row) in &self.rows {
            for (what, after) in &row.named {
                let score = scores.entry(what).or_default();
                if after.is_some() { score.right += 1 } else { score.missed += 1 }
            }
            for (what, _) in &row.false_ones {
                scores.entry(what).or_default().wrong += 1;
            }
        }
        scores
    }

    /// Each was named, and nothing else.
    pub fn judge(&self) {
        let wrong: Vec<String> = self.rows.iter().filter_map(|(situation, row)| Some(format!("{situation}: {}", row.wrong()?))).collect();
        assert!(wrong.is_empty(), "{} of {} situations:\n{}", wrong.len(), self.rows.len(), wrong.join("\n"));
    }
}

impl Row {
    fn wrong(&self) -> Option<String> {
        let missed: Vec<&str> = self.named.iter().filter(|(_, after)| after.is_none()).map(|(what, _)| what.as_str()).collect();
        let parts = [
            self.failed.clone(),
            (!missed.is_empty()).then(|| format!("not named: {}", missed.join(", "))),
            (!self.false_ones.is_empty()).then(|| format!("named and not true: {:?}", self.false_ones)),
            (self.named.is_empty() && !self.skipped).then(|| "nothing was asked of it".to_owned()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:<20} {:<58} {:<6} {:>7}  {:<42} not true", "cause", "situation", "named", "after s", "as")?;
        for (situation, row) in &self.rows {
            let missed = row.failed.is_some() || row.named.iter().any(|(_, after)| after.is_none());
            let is_late = row.named.iter().any(|(_, after)| after.is_some_and(|after| after > WITHIN));
            let named = match (row.skipped, missed) {
                (true, _) => "-",
                (_, true) => "NO",
                _ if is_late => "late",
                _ => "yes",
            };
            let after =
                row.named.iter().filter_map(|(_, after)| *after).max().map_or(String::new(), |it| format!("{:.1}", it.as_secs_f64()));
            let what: Vec<&str> = row.named.iter().map(|(what, _)| what.as_str()).collect();
            let other: Vec<&str> = row.false_ones.iter().map(|(what, _)| what.as_str()).collect();
            let other = if other.is_empty() { "none".to_owned() } else { other.join(", ") };
            writeln!(f, "{:<20} {:<58} {named:<6} {after:>7}  {:<42} {other}", situation.cause, situation.name, what.join(", "))?;
        }
        writeln!(f, "\n{:<26} {:>6} {:>6} {:>7} {:>10} {:>7}", "detector", "right", "false", "missed", "precision", "recall")?;
        let percent = |part: usize, of: usize| (part * 100).checked_div(of).map_or("-".to_owned(), |share| format!("{share} %"));
        for (what, it) in self.scores() {
            let (precision, recall) = (percent(it.right, it.right + it.wrong), percent(it.right, it.right + it.missed));
            writeln!(f, "{what:<26} {:>6} {:>6} {:>7} {precision:>10} {recall:>7}", it.right, it.wrong, it.missed)?;
        }
        Ok(())
    }
}
