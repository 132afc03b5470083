//! What the store tells once the proxy has gone.

use std::path::Path;

use relayscope::store::{Options, Store};
use relayscope::trace::{Record, Session, Transaction};

/// Everything a stopped store holds, in the order it was written.
pub fn all(dir: &Path) -> Vec<Record> {
    let opened = Store::open(Options::new(dir)).unwrap();
    let mut records = Vec::new();
    let mut cursor = None;
    loop {
        let (more, next) = opened.store.follow(cursor, 1000).unwrap();
        if more.is_empty() {
            break;
        }
        records.extend(more);
        cursor = Some(next);
    }
    opened.store.close();
    records
}

pub fn transactions(dir: &Path) -> Vec<Transaction> {
    all(dir).into_iter().filter_map(|record| if let Record::Transaction(it) = record { Some(*it) } else { None }).collect()
}

pub fn sessions(dir: &Path) -> Vec<Session> {
    all(dir).into_iter().filter_map(|record| if let Record::Session(it) = record { Some(*it) } else { None }).collect()
}

/// The only transaction with that Message-ID.
#[track_caller]
pub fn one(dir: &Path, message_id: &str) -> Transaction {
    let mut found: Vec<_> = transactions(dir).into_iter().filter(|it| it.message.message_id.as_deref() == Some(message_id)).collect();
    assert_eq!(found.len(), 1, "records of {message_id}: {found:#?}");
    found.remove(0)
}
