//! A past for a new store: mail that passed a little while ago is made to have passed some hours earlier, so that Relayscope knows what is usual.

use std::path::Path;
use std::time::Duration;

use relayscope::store::{Import, ImportError, Options};
use relayscope::trace::{Record, RecordId, WallMicros};

use crate::support::place::Place;
use crate::support::records;
use crate::support::relayscope::Relayscope;

pub const HOUR: WallMicros = 3_600_000_000;

/// A proxy whose records are to become the past.
pub fn rehearsal(place: &Place, config: &str) -> Relayscope {
    Relayscope::storing(place, config, "rehearsal")
}

/// Takes the records of the stopped store `from` into the store `store`, each so many µs earlier for each of its `times`.
pub fn age(place: &Place, from: &Path, times: &[WallMicros]) {
    let records = records::all(from);
    // A child that another situation starts holds all descriptors of this process, and the lock with them, until it has become its program.
    let mut import = loop {
        match Import::begin(Options::new(place.path("store"))) {
            Err(ImportError::Open(error)) if error.is_in_use() => std::thread::sleep(Duration::from_millis(20)),
            begun => break begun.unwrap(),
        }
    };
    // The oldest first, as they would have come: a habit is learnt in the journal's order.
    let mut times = times.to_vec();
    times.sort_unstable_by(|one, other| other.cmp(one));
    for (number, by) in (0u128..).zip(times) {
        for record in &records {
            if let Some(record) = earlier(record, by, number) {
                import.add(&record).unwrap();
            }
        }
    }
    match import.finish() {
        // All is there; the proxy indexes it when it starts.
        Ok(_) => {}
        Err(ImportError::Open(error)) if error.is_in_use() => {}
        Err(error) => panic!("{error}"),
    }
}

fn earlier(record: &Record, by: WallMicros, number: u128) -> Option<Record> {
    let id = |id: RecordId| {
        let random = id.as_u128() & ((1 << 80) - 1);
        RecordId::from_parts(id.unix_ms() - by / 1_000, random ^ number << 64)
    };
    match record {
        Record::Transaction(it) => {
            let mut it = it.clone();
            (it.id, it.session_id, it.at) = (id(it.id), id(it.session_id), it.at - by);
            Some(Record::Transaction(it))
        }
        Record::Session(it) => {
            let mut it = it.clone();
            (it.id, it.at) = (id(it.id), it.at - by);
            Some(Record::Session(it))
        }
        _ => None,
    }
}
