//! How well each detector does: what it named, what it missed, and what it named wrongly.

use std::collections::BTreeMap;

use relayscope::trace::{Anomaly, WallMicros};

use super::SECOND;
use super::trial::Outcome;

#[derive(Debug, Default)]
pub struct Score {
    pub situations: u32,
    pub named: u32,
    /// Within situations that are something else, or nothing, and in ordinary weeks.
    pub wrong: u32,
    /// µs after the last record needed.
    delays: Vec<WallMicros>,
}

#[derive(Debug, Default)]
pub struct Scores(pub BTreeMap<&'static str, Score>);

impl Scores {
    fn of(&mut self, anomaly: Anomaly) -> &mut Score {
        self.0.entry(anomaly.word()).or_default()
    }

    pub fn add(&mut self, outcome: &Outcome) {
        if let Some(anomaly) = outcome.anomaly {
            let score = self.of(anomaly);
            score.situations += 1;
            score.named += u32::from(outcome.needed.is_some());
            score.delays.extend(outcome.needed);
        }
        for (anomaly, _) in &outcome.wrong {
            self.wrong(*anomaly);
        }
    }

    pub fn wrong(&mut self, anomaly: Anomaly) {
        self.of(anomaly).wrong += 1;
    }

    pub fn print(&mut self) {
        println!("{:<24} situations  named  missed  wrong  precision  recall  median s  worst s", "detector");
        for (name, score) in &mut self.0 {
            score.delays.sort_unstable();
            let second = |at: usize| score.delays.get(at).map_or("-".to_owned(), |us| format!("{:.1}", *us as f64 / SECOND as f64));
            println!(
                "{name:<24} {:>10} {:>6} {:>7} {:>6} {:>10.2} {:>7.2} {:>9} {:>8}",
                score.situations,
                score.named,
                score.situations - score.named,
                score.wrong,
                score.precision(),
                score.recall(),
                second(score.delays.len() / 2),
                second(score.delays.len().saturating_sub(1)),
            );
        }
    }
}

impl Score {
    pub fn precision(&self) -> f64 {
        f64::from(self.named) / f64::from((self.named + self.wrong).max(1))
    }

    pub fn recall(&self) -> f64 {
        f64::from(self.named) / f64::from(self.situations.max(1))
    }
}
