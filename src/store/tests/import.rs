//! Records from elsewhere come to stand where they would if they had been written here, and only once.

use super::*;
use crate::store::import::{Import, ImportError, ImportReport};

const DAY_US: u64 = 86_400_000_000;

/// The record as of so many days before.
fn earlier(no: u64, days: u64) -> Record {
    let mut it = samples::plain(no);
    it.at -= days * DAY_US;
    it.id = RecordId::from_parts(it.at / 1000, u128::from(no));
    Record::Transaction(Box::new(it))
}

fn import(room: &Room, records: &[Record]) -> ImportReport {
    let mut import = Import::begin(room.options.clone()).unwrap();
    for record in records {
        import.add(record).unwrap();
    }
    import.finish().unwrap()
}

fn sound(room: &Room) {
    let report = check(room.path()).unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
}

/// The days that the directory has.
fn days(room: &Room) -> Vec<String> {
    let names = std::fs::read_dir(room.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut days: Vec<_> = names.filter(|name| name.parse::<Day>().is_ok()).collect();
    days.sort();
    days
}

#[test]
fn an_import_twice_is_an_import_once() {
    let mut room = Room::new();
    room.options.segment_octets = 20_000;
    let mut records = transactions(0..60);
    records.extend([samples::session(70), samples::gap(71), samples::amendment(5, 72, State::Rejected)]);
    let first = import(&room, &records);
    assert_eq!((first.added, first.known), (63, 0));
    sound(&room);
    let again = import(&room, &records);
    assert_eq!((again.added, again.known), (0, 63));
    let store = room.store();
    assert_eq!(everything(&store), records);
    // A later word counts, as it did where it came from.
    let Some(Record::Transaction(amended)) = store.fetch(samples::id(5)).unwrap() else { panic!("it is there") };
    assert_eq!(amended.outcome.state, State::Rejected);
    assert_eq!(find(&store, message_id(33)), transactions(33..34));
}

/// What was exported after its dialogue had been dropped says so where it was imported, before and after sealing.
#[test]
fn a_dropped_dialogue_is_one_after_an_import() {
    let room = Room::new();
    let mut dropped = samples::transaction(1);
    dropped.drop_dialogue();
    let line = serde_json::to_string(&json::Record::from(&dropped)).unwrap();
    let read: json::Record = serde_json::from_str(&line).unwrap();
    import(&room, &[read.try_into().unwrap()]);
    let store = room.store();
    assert_eq!(everything(&store), [dropped.clone()]);
    put(&store, &transactions(2..3));
    room.advance(Duration::from_secs(86_400));
    put(&store, &transactions(3..4));
    sealed(&store);
    assert_eq!(everything(&store)[0], dropped);
}

#[test]
fn what_a_proxy_wrote_is_known_wherever_it_stands() {
    let room = Room::new();
    let store = room.store();
    // Written on the day after, and a week after.
    let (late, later) = (earlier(1, 1), earlier(2, 7));
    put(&store, &[late.clone(), later.clone(), samples::transaction(3)]);
    room.advance(Duration::from_secs(86_400));
    put(&store, &transactions(4..5));
    store.close();
    let report = import(&room, &[late, later, samples::transaction(3), samples::transaction(4), samples::transaction(5)]);
    assert_eq!((report.added, report.known), (1, 4));
}

#[test]
fn records_go_to_the_day_of_their_time_and_retention_takes_them_by_it() {
    let mut room = Room::with_runs_of(7);
    room.options.segment_octets = 20_000;
    // A day that is over, sealed and indexed to its end.
    let store = room.store();
    put(&store, &(0..30).map(|no| earlier(no, 0)).collect::<Vec<_>>());
    room.advance(Duration::from_secs(86_400));
    put(&store, &[earlier(1000, 0)]);
    sealed(&store);
    store.close();
    let more: Vec<_> = (100..140).map(|no| earlier(no, no % 3)).collect();
    assert_eq!(import(&room, &more).added, 40);
    assert_eq!(days(&room), ["2026-11-21", "2026-11-22", "2026-11-23", "2026-11-24"]);
    sound(&room);
    let store = room.store();
    assert_eq!(everything(&store).len(), 71);
    for no in (0..30).chain(100..140) {
        assert_eq!(find(&store, message_id(no)).len(), 1, "{no}");
    }
    sealed(&store);
    store.close();
    sound(&room);
    room.options.keep_days = 2;
    let store = room.store();
    until(|| days(&room) == ["2026-11-22", "2026-11-23", "2026-11-24"]);
    assert_eq!(find(&store, message_id(102)).len(), 1);
    assert_eq!(find(&store, message_id(101)).len(), 0);
}

/// More days, and mixed, than can grow at a time.
#[test]
fn days_in_any_order_are_taken_in() {
    let room = Room::new();
    let records: Vec<_> = (0..60).map(|no| earlier(no, no * 5 % 9)).collect();
    assert_eq!(import(&room, &records).added, 60);
    assert_eq!(days(&room).len(), 9);
    sound(&room);
    let store = room.store();
    for no in [0, 30, 59] {
        assert_eq!(find(&store, message_id(no)).len(), 1, "{no}");
    }
}

#[test]
fn a_day_that_has_not_come_does_not_name_a_directory() {
    let room = Room::new();
    let mut future = samples::plain(1);
    future.at += 100_000 * DAY_US;
    let future = Record::Transaction(Box::new(future));
    assert_eq!(import(&room, &[future.clone(), future]).known, 1);
    assert!(days(&room)[0].as_str() < "2100");
}

#[test]
fn what_is_no_record_for_a_store_is_refused_and_costs_no_other() {
    let room = Room::new();
    let mut import = Import::begin(room.options.clone()).unwrap();
    import.add(&samples::transaction(1)).unwrap();
    let mut huge = samples::plain(2);
    huge.listener = "x".repeat(9 << 20);
    let refused = import.add(&Record::Transaction(Box::new(huge))).unwrap_err();
    assert!(refused.is_of_record(), "{refused}");
    assert!(matches!(import.add(&samples::mark(3)), Err(ImportError::Mark)));
    import.add(&samples::transaction(4)).unwrap();
    assert_eq!(import.finish().unwrap().added, 2);
    assert_eq!(everything(&room.store()), [samples::transaction(1), samples::transaction(4)]);
    let store = room.store();
    assert!(matches!(Import::begin(room.options.clone()), Err(ImportError::Open(OpenError::InUse { .. }))));
    drop(store);
}
