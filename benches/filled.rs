//! A store that is full already, for benches of what reads it.

#[path = "../src/store/samples.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the store's own tests")]
mod samples;

use std::path::Path;
use std::time::Duration;

use relayscope::store::{self, Store};
use relayscope::trace::Record;

/// A store with so many records, all written.
#[allow(clippy::unwrap_used, reason = "a bench that can't go on stops")]
pub fn filled(dir: &Path, records: u64) -> Store {
    let options = store::Options { keep_days: 0, ..store::Options::new(dir) };
    let store = Store::open(options).unwrap().store;
    let appender = store.appender();
    for no in 0..records {
        let record = Record::Transaction(Box::new(samples::plain(no)));
        while appender.append(&record).is_err() {
            std::thread::sleep(Duration::from_millis(5)); // the queue is full
        }
    }
    while store
        .end()
        .is_ok_and(|end| store.places_from(store::Cursor::at_start_of(end.day())).unwrap().iter().map(|it| it.1).sum::<u64>() < records)
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    store
}
