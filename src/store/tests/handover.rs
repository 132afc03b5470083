//! A store changes hands while its former owner goes on recording.

use super::*;

/// Ids in the order of the journal.
fn ids(store: &Store) -> Vec<RecordId> {
    let (records, _) = store.follow(None, usize::MAX).unwrap();
    records.iter().map(Record::id).collect()
}

fn draining(room: &Room) -> usize {
    std::fs::read_dir(room.path().join("draining")).map_or(0, Iterator::count)
}

/// A store that was given up, and ten records of who gave it up in a file of their own.
fn crashed_with_ten_records() -> (Room, std::path::PathBuf) {
    let room = Room::new();
    let former = room.store();
    former.give_up().unwrap();
    put(&former, &transactions(0..10));
    let crashed = room.crashed_copy();
    let file = std::fs::read_dir(crashed.path().join("draining")).unwrap().next().unwrap().unwrap().path();
    (crashed, file)
}

fn state(store: &Store, no: u64) -> Option<State> {
    match store.fetch(samples::id(no)).unwrap()? {
        Record::Transaction(it) => Some(it.outcome.state),
        _ => None,
    }
}

#[track_caller]
fn once(store: &Store, numbers: std::ops::Range<u64>) {
    let mut found = ids(store);
    found.sort_unstable();
    let mut expected: Vec<_> = numbers.map(samples::id).collect();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

/// Waits until the index thread has nothing more to decide.
fn settled(store: &Store) {
    let live = store.live().unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while live.adoption.stage() != crate::store::adopt::Stage::Over {
        assert!(Instant::now() < until);
        live.adoption.refresh(Duration::from_millis(50));
    }
    while live.recovery.wait(Duration::from_secs(60)).unfinished {}
}

#[test]
fn what_the_former_owner_still_records_is_found_by_the_next() {
    let room = Room::new();
    let former = room.store();
    put(&former, &transactions(0..50));
    former.give_up().unwrap();
    assert!(matches!(former.follow(None, 1), Err(StoreError::Unavailable { .. })));
    put(&former, &transactions(50..60));

    let next = room.store();
    once(&next, 0..60);
    put(&next, &transactions(60..80));
    put(&former, &transactions(80..100));
    once(&next, 0..100);
    assert_eq!(state(&next, 90), Some(State::Accepted), "by the index as well");
    assert_eq!(draining(&room), 1);
    former.close();
    settled(&next);
    assert_eq!(draining(&room), 0);
    once(&next, 0..100);
    next.close();
    once(&room.store(), 0..100);
}

#[test]
fn a_cursor_from_before_goes_on_with_the_next_owner() {
    let room = Room::new();
    let former = room.store();
    put(&former, &transactions(0..50));
    let (_, cursor) = former.follow(None, 30).unwrap();
    former.give_up().unwrap();
    put(&former, &transactions(50..55));
    let next = room.store();
    let (records, _) = next.follow(Some(cursor), 100).unwrap();
    let expected: Vec<_> = (30..55).map(samples::id).collect();
    assert_eq!(records.iter().map(Record::id).collect::<Vec<_>>(), expected);
}

#[test]
fn an_owner_that_dies_while_it_takes_in_doubles_nothing() {
    let room = Room::new();
    let former = room.store();
    put(&former, &transactions(0..10));
    former.give_up().unwrap();
    put(&former, &transactions(10..40));
    let next = room.store();
    once(&next, 0..40);
    put(&former, &transactions(40..50));
    put(&next, &transactions(50..60));
    // Both die: the journal has some of what lies in the former owner's file.
    let crashed = room.crashed_copy();
    assert_eq!(draining(&crashed), 1);
    let third = crashed.store();
    settled(&third);
    once(&third, 0..60);
    assert_eq!(draining(&crashed), 0);
    third.close();
    // And none of it comes again.
    once(&crashed.store(), 0..60);
}

#[test]
fn nothing_is_imported_while_another_process_may_add_records() {
    let room = Room::new();
    let former = room.store();
    put(&former, &transactions(0..10));
    former.give_up().unwrap();
    assert!(matches!(Import::begin(room.options.clone()), Err(ImportError::Draining)));
    put(&former, &transactions(10..20));
    former.close();
    let mut import = Import::begin(room.options.clone()).unwrap();
    assert!(!import.add(&samples::transaction(15)).unwrap());
    assert!(import.add(&samples::transaction(20)).unwrap());
    import.finish().unwrap();
    once(&room.store(), 0..21);
}

#[test]
fn a_chain_of_owners_of_which_all_but_the_last_drain() {
    let room = Room::new();
    let first = room.store();
    put(&first, &transactions(0..10));
    first.give_up().unwrap();
    let second = room.store();
    put(&second, &transactions(10..20));
    put(&first, &transactions(20..30));
    once(&second, 0..30);
    second.give_up().unwrap();
    put(&first, &transactions(30..40));
    put(&second, &transactions(40..50));
    let third = room.store();
    once(&third, 0..50);
    first.close();
    second.close();
    settled(&third);
    once(&third, 0..50);
    assert_eq!(draining(&room), 0);
}

/// More than is read at once.
#[test]
fn much_is_taken_in_as_well() {
    let room = Room::new();
    let former = room.store();
    former.give_up().unwrap();
    put(&former, &transactions(0..3000));
    let octets: u64 = std::fs::read_dir(room.path().join("draining")).unwrap().map(|it| it.unwrap().metadata().unwrap().len()).sum();
    assert!(octets > 2 << 20, "{octets}");
    let next = room.store();
    let found = || next.follow(None, 10_000).unwrap().0.len();
    let until = Instant::now() + Duration::from_secs(60);
    while found() < 3000 {
        assert!(Instant::now() < until);
    }
    once(&next, 0..3000);
    // Dies: the next owner finds all of it in the journal, and the file still there.
    let crashed = room.crashed_copy();
    let third = crashed.store();
    settled(&third);
    once(&third, 0..3000);
}

#[test]
fn a_store_that_nobody_took_is_taken_back() {
    let room = Room::new();
    let store = room.store();
    for round in 0..3 {
        let from = round * 20;
        put(&store, &transactions(from..from + 10));
        store.give_up().unwrap();
        put(&store, &transactions(from + 10..from + 20));
        store.take_back().unwrap();
        once(&store, 0..from + 20);
    }
    settled(&store);
    assert_eq!(draining(&room), 0);
    store.close();
    once(&room.store(), 0..60);
}

#[test]
fn a_store_that_another_took_is_not_taken_back() {
    let room = Room::new();
    let former = room.store();
    former.give_up().unwrap();
    let next = room.store();
    assert!(matches!(former.take_back(), Err(OpenError::InUse { .. })));
    put(&former, &transactions(0..1));
    once(&next, 0..1);
}

#[test]
fn what_is_under_way_at_the_hand_over_is_in_doubt_only_after_the_end() {
    let room = Room::new();
    let former = room.store();
    // Two past their dot, one of which gets its reply; two more that begin, one of which gets one.
    put(&former, &[samples::mark(1), samples::mark(2)]);
    former.give_up().unwrap();
    let next = room.store();
    put(&former, &[samples::mark(3), samples::mark(4)]);
    assert_eq!(state(&next, 4), None);
    put(&former, &transactions(1..2));
    put(&former, &transactions(4..5));
    assert_eq!(state(&next, 4), Some(State::Accepted));
    assert_eq!((state(&next, 1), state(&next, 2), state(&next, 3)), (Some(State::Accepted), None, None));
    former.close();
    settled(&next);
    let until = Instant::now() + Duration::from_secs(60);
    while state(&next, 2).is_none() || state(&next, 3).is_none() {
        assert!(Instant::now() < until, "in doubt by now");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!((state(&next, 1), state(&next, 2), state(&next, 3)), (Some(State::Accepted), Some(State::Unknown), Some(State::Unknown)));
    once(&next, 1..5);
}

#[test]
fn own_marks_are_no_doubt_when_a_store_is_taken_back() {
    let room = Room::new();
    let store = room.store();
    put(&store, &[samples::mark(1)]);
    store.give_up().unwrap();
    put(&store, &[samples::mark(2)]);
    store.take_back().unwrap();
    settled(&store);
    put(&store, &transactions(1..3));
    once(&store, 1..3);
    assert_eq!((state(&store, 1), state(&store, 2)), (Some(State::Accepted), Some(State::Accepted)));
}

#[test]
fn a_torn_end_of_the_former_owners_file_is_left_out() {
    let (crashed, file) = crashed_with_ten_records();
    let whole = std::fs::read(&file).unwrap();
    for cut in [0, 20, 32, whole.len() / 2, whole.len() - 1] {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &whole[..cut]).unwrap();
        let next = crashed.store();
        settled(&next);
        let found = ids(&next).len();
        assert!(found < 10, "{found} of {cut} octets");
        assert_eq!(draining(&crashed), 0);
    }
    std::fs::write(&file, &whole).unwrap();
    let next = crashed.store();
    settled(&next);
    once(&next, 0..10);
}

/// A disk's bad place takes the records that lie there, and none of those behind it.
#[test]
fn what_is_whole_behind_damage_in_the_former_owners_file_is_taken_in() {
    let (crashed, file) = crashed_with_ten_records();
    let mut octets = std::fs::read(&file).unwrap();
    let middle = octets.len() / 2;
    octets[middle..middle + 16].fill(0);
    std::fs::write(&file, &octets).unwrap();
    let next = crashed.store();
    settled(&next);
    let found = ids(&next);
    assert!((8..10).contains(&found.len()) && found.contains(&samples::id(0)) && found.contains(&samples::id(9)), "{}", found.len());
    assert_eq!(std::fs::read(file.with_extension("damaged")).unwrap(), octets, "kept for whoever wants to look at it");
    next.close();
    let again = crashed.store();
    settled(&again);
    assert_eq!(ids(&again).len(), found.len());
}

/// Nothing is refused, and nothing lost, while records come in on all sides of a hand-over.
#[test]
fn records_come_in_all_the_while() {
    let room = Room::new();
    let former = room.store();
    let appender = former.appender();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writing = {
        let (appender, stop) = (appender.clone(), stop.clone());
        std::thread::spawn(move || {
            let mut no = 0;
            while !stop.load(Ordering::SeqCst) {
                let ticket = appender.append_staged(&samples::transaction(no)).unwrap();
                stored(&appender, ticket).unwrap();
                no += 1;
            }
            no
        })
    };
    former.give_up().unwrap();
    let next = room.store();
    stop.store(true, Ordering::SeqCst);
    let written = writing.join().unwrap();
    former.close();
    settled(&next);
    once(&next, 0..written);
}
