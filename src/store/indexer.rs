//! The index thread: follows the journal and puts each record's keys into the run that grows.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use super::cursor::Cursor;
use super::day::Day;
use super::index::SharedRun;
use super::intake::Appender;
use super::keys::{self, Key};
use super::live::Live;
use super::locks::{reading, writing};
use super::query::time_of;
use super::run::{RUN_RECORDS, Run};
use super::search::Search;
use crate::trace::Record;

/// Between two looks at the journal while records come in: they are indexed in bunches.
const PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Indexer {
    live: Arc<Live>,
    at: Option<Cursor>,
    growing: Option<(Day, SharedRun)>,
    _appender: Appender,
}

impl Indexer {
    pub fn new(live: Arc<Live>, appender: Appender) -> Self {
        Self { live, at: None, growing: None, _appender: appender }
    }

    pub fn run(mut self) {
        loop {
            match self.follow() {
                Ok(true) => {
                    self.live.news.send_modify(|news| *news += 1);
                    if !self.live.indexer.rest(PAUSE) {
                        return;
                    }
                }
                Ok(false) => {
                    if !self.live.indexer.wait() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the journal can't be read for the index");
                    if !self.live.indexer.rest(Duration::from_secs(1)) {
                        return;
                    }
                }
            }
        }
    }

    /// Indexes what there is; whether there was anything.
    fn follow(&mut self) -> std::io::Result<bool> {
        let mut any = false;
        while let Some((day, batch)) = self.live.journal.read_from(self.at)? {
            any = true;
            let from = self.at.filter(|at| at.day == day).map_or(0, |at| at.number);
            let numbers = batch.numbers();
            let mut found: Vec<Key> = Vec::new();
            for number in numbers.start.max(from)..numbers.end {
                found.clear();
                let record = batch.record(number);
                let at = record.as_ref().map(time_of);
                match &record {
                    Some(Record::Amendment(amendment)) => {
                        let folded = Search::new(&self.live).folded_for(amendment)?;
                        keys::keys_of_amended(amendment, folded.as_ref(), &mut found);
                    }
                    Some(record) => keys::keys_of(record, &mut found),
                    None => {}
                }
                let run = self.growing(day, number);
                let mut run = writing(&run);
                run.add(number, at, &found);
                run.amendments += u32::from(matches!(record, Some(Record::Amendment(_))));
            }
            self.at = Some(Cursor { day, number: numbers.end });
            self.live.index.now_indexed(Cursor { day, number: numbers.end });
        }
        Ok(any)
    }

    fn growing(&mut self, day: Day, number: u32) -> SharedRun {
        if let Some((of, run)) = &self.growing
            && *of == day
            && number - reading(run).first < RUN_RECORDS
        {
            return run.clone();
        }
        let run = Arc::new(RwLock::new(Run::new(number)));
        let mut memory: std::sync::RwLockWriteGuard<'_, BTreeMap<_, Vec<_>>> = writing(&self.live.index.memory);
        memory.entry(day).or_default().push(run.clone());
        self.growing = Some((day, run.clone()));
        run
    }
}
