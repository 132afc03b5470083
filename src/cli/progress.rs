//! How far a long command is: a line on standard error that is written over, if somebody is looking.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::wording::number;

/// Between two looks.
const PACE: Duration = Duration::from_millis(500);

pub struct Progress {
    verb: &'static str,
    records: u64,
    begun: Instant,
    shown: Instant,
    is_watched: bool,
}

impl Progress {
    pub fn new(verb: &'static str) -> Self {
        let now = Instant::now();
        Self { verb, records: 0, begun: now, shown: now, is_watched: io::stderr().is_terminal() }
    }

    pub fn add(&mut self, records: u64) {
        self.records += records;
        if self.is_watched && self.shown.elapsed() >= PACE {
            self.show();
        }
    }

    /// How many there were.
    pub fn end(mut self) -> u64 {
        if self.is_watched {
            self.show();
            eprintln!();
        }
        self.records
    }

    fn show(&mut self) {
        self.shown = Instant::now();
        let pace = self.records as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        eprint!("\r{} records {}, {} a second  ", number(self.records), self.verb, number(pace as u64));
        let _ = io::stderr().flush();
    }
}
