//! A clock that was days ahead: whoever follows the journal gets to all that is written once it is right again.

use super::*;
use crate::store::import::Import;

/// As far as a wrong clock may be.
const YEARS: Duration = Duration::from_secs(4_000 * 86_400);

/// Ten records of an ordinary day, ten of a day that is years away, and the clock is right again.
fn returned() -> (Room, Cursor) {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(0..10));
    room.advance(YEARS);
    store.close();
    let store = room.store();
    put(&store, &transactions(10..20));
    let at_its_end = store.follow(None, 100).unwrap().1;
    assert_eq!(at_its_end, store.end().unwrap());
    store.close();
    room.clock.fetch_sub(YEARS.as_micros() as u64, Ordering::SeqCst);
    (room, at_its_end)
}

#[test]
fn those_who_had_everything_get_what_is_written_after_the_return() {
    let (room, at) = returned();
    let store = room.store();
    assert_eq!(store.follow(Some(at), 100).unwrap().0, []);
    put(&store, &transactions(20..25));
    let (records, at) = store.follow(Some(at), 100).unwrap();
    assert_eq!(records, transactions(20..25));
    assert_eq!(at, store.end().unwrap());
    assert_eq!(store.follow(Some(at), 100).unwrap(), (Vec::new(), at), "and nothing twice");
    // A restart, another file, another day.
    store.close();
    let store = room.store();
    put(&store, &transactions(25..30));
    room.advance(Duration::from_secs(86_400));
    store.close();
    let store = room.store();
    put(&store, &transactions(30..35));
    assert_eq!(store.follow(Some(at), 100).unwrap().0, transactions(25..35));
    assert_eq!(everything(&store), transactions(0..35));
}

#[test]
fn those_who_lag_behind_get_the_days_ahead_in_between() {
    let (room, _) = returned();
    let store = room.store();
    put(&store, &transactions(20..25));
    let mut at = None;
    let mut seen = Vec::new();
    for _ in 0..9 {
        let (records, next) = store.follow(at, 3).unwrap();
        let waiting: u64 = store.places_from(next).unwrap().iter().map(|(_, records)| records).sum();
        seen.extend(records);
        assert!(seen.len() as u64 + waiting >= 25, "{waiting} after {}", seen.len());
        at = Some(next);
    }
    assert_eq!(seen, transactions(0..25));
    let end = at.unwrap();
    assert_eq!(store.places_from(end).unwrap().iter().map(|(_, records)| records).sum::<u64>(), 0);
    assert_eq!(store.earlier(end, store.follow(None, 15).unwrap().1), store.follow(None, 15).unwrap().1);
}

#[test]
fn everything_is_found_whatever_the_day_it_went_to() {
    let (room, _) = returned();
    let store = room.store();
    put(&store, &transactions(20..25));
    until(|| store.stats().unwrap().unindexed == 0);
    for no in [0, 9, 10, 19, 20, 24] {
        assert_eq!(find(&store, message_id(no)), transactions(no..no + 1));
    }
}

#[test]
fn a_backup_has_the_same_order() {
    let (room, at) = returned();
    let store = room.store();
    put(&store, &transactions(20..25));
    let dir = room.path().with_extension("backup");
    store.backup(&dir).unwrap();
    assert!(check(&dir).unwrap().is_sound());
    let copy = Room { clock: room.clock.clone(), options: Options::new(&dir), ..Room::new() };
    assert_eq!(copy.store().follow(Some(at), 100).unwrap().0, transactions(20..25));
}

#[test]
fn what_is_imported_into_days_of_old_is_no_return() {
    let (room, at) = returned();
    let store = room.store();
    put(&store, &transactions(20..25));
    let end = store.follow(Some(at), 100).unwrap().1;
    store.close();
    let order = std::fs::read(room.path().join("returns.json")).unwrap();
    let mut import = Import::begin(room.options.clone()).unwrap();
    let mut old = samples::plain(30);
    old.at -= 3 * 86_400_000_000;
    old.id = RecordId::from_parts(old.at / 1000, 30);
    for record in [Record::Transaction(Box::new(old)), samples::transaction(31)] {
        assert!(import.add(&record).unwrap());
    }
    import.finish().unwrap();
    assert_eq!(std::fs::read(room.path().join("returns.json")).unwrap(), order);
    let store = room.store();
    put(&store, &transactions(25..26));
    assert_eq!(store.follow(Some(end), 100).unwrap().0, [transactions(31..32), transactions(25..26)].concat());
}

#[test]
fn the_beginning_is_what_it_was_after_a_clock_that_was_behind() {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(0..10));
    store.close();
    // A machine that knows no time until it is told.
    let now = room.clock.swap(0, Ordering::SeqCst);
    let store = room.store();
    put(&store, &transactions(10..15));
    room.clock.store(now, Ordering::SeqCst);
    store.close();
    let store = room.store();
    put(&store, &transactions(15..20));
    assert_eq!(everything(&store), transactions(0..20));
    assert_eq!(store.follow(Some(Cursor::at_start_of(Day::of(now))), 100).unwrap().0, transactions(0..20));
    until(|| store.stats().unwrap().unindexed == 0);
    for no in [0, 12, 19] {
        assert_eq!(find(&store, message_id(no)), transactions(no..no + 1));
    }
}

/// A message of a day that is years away, accepted, which comes back once the clock is right again; and the word of that.
fn bounced_after_return(room: &Room) -> (Record, Record) {
    let store = room.store();
    put(&store, &transactions(0..10));
    room.advance(YEARS);
    store.close();
    let store = room.store();
    let mut ahead = samples::plain(10);
    ahead.at += YEARS.as_micros() as u64;
    ahead.id = RecordId::from_parts(ahead.at / 1000, 10);
    ahead.outcome.state = State::Accepted;
    let Record::Amendment(mut word) = samples::amendment(10, 11, State::Rejected) else { unreachable!() };
    word.of = ahead.id;
    let ahead = Record::Transaction(Box::new(ahead));
    put(&store, std::slice::from_ref(&ahead));
    store.close();
    room.clock.fetch_sub(YEARS.as_micros() as u64, Ordering::SeqCst);
    (ahead, Record::Amendment(word))
}

#[test]
fn what_is_heard_of_the_days_ahead_after_the_return_stands_for_them() {
    let room = Room::new();
    let (ahead, word) = bounced_after_return(&room);
    let store = room.store();
    put(&store, &transactions(20..22));
    put(&store, std::slice::from_ref(&word));
    let stands = |store: &Store| {
        until(|| store.stats().unwrap().unindexed == 0);
        let states = |found: Vec<Record>| found.iter().map(|record| record.outcome().map(|it| it.state)).collect::<Vec<_>>();
        assert_eq!(states(store.fetch(ahead.id()).unwrap().into_iter().collect()), [Some(State::Rejected)]);
        assert_eq!(states(find(store, message_id(10))), [Some(State::Rejected)]);
        assert_eq!(find(store, message_id(21)), transactions(21..22));
    };
    stands(&store);
    // Whoever thins out that day must know of it.
    let amended = thin::amended_since(&store.live().unwrap().journal, Day::of(NOON + YEARS.as_micros() as u64)).unwrap();
    assert!(amended.contains(&ahead.id()));
    store.close();
    // An index that is made anew goes by the order in which records were written as well.
    for index in std::fs::read_dir(room.path()).unwrap().map(|entry| entry.unwrap().path().join("index")).filter(|dir| dir.is_dir()) {
        std::fs::remove_dir_all(index).unwrap();
    }
    stands(&room.store());
}

#[test]
fn a_day_that_was_removed_and_comes_back_is_indexed() {
    let mut room = Room::new();
    // A process goes on in the file that it has until that is full, whatever the clock says.
    (room.options.segment_octets, room.options.keep_days) = (1, 0);
    let (store, days) = (room.store(), Duration::from_secs(5 * 86_400));
    put(&store, &transactions(0..10));
    room.advance(days);
    put(&store, &transactions(10..12));
    until(|| store.stats().unwrap().unindexed == 0);
    // As retention does it.
    let (live, first) = (store.live().unwrap(), Day::of(NOON));
    let dir = room.path().join(first.to_string());
    std::fs::rename(&dir, dir.with_extension("removed")).unwrap();
    live.journal.forget(first);
    live.index.forget(first);
    // The clock was ahead all the time.
    room.clock.fetch_sub(days.as_micros() as u64, Ordering::SeqCst);
    for no in 20..25 {
        put(&store, &transactions(no..no + 1));
    }
    assert_eq!(store.stats().unwrap().oldest, Some(first));
    until(|| store.stats().unwrap().unindexed == 0);
    until(|| live.index.indexed(first) == live.journal.day(first).unwrap().end());
    for no in [11, 20, 24] {
        assert_eq!(find(&store, message_id(no)), transactions(no..no + 1));
    }
    assert_eq!(find(&store, message_id(1)), []);
}
