//! What is kept for how long, and what goes first.

use super::*;
use crate::store::retention::octets_in;

const DAY: Duration = Duration::from_secs(86_400);

/// A text that doesn't get smaller.
fn noise(no: u64, octets: usize) -> String {
    (0u64..).map(|at| blake3::hash(&[no.to_le_bytes(), at.to_le_bytes()].concat()).to_hex().to_string()).take(octets.div_ceil(64)).collect()
}

/// A transaction of whose octets on disk half are its dialogue's.
fn heavy(no: u64) -> Record {
    let mut it = samples::plain(no);
    it.message.subject = Some(noise(no, 60_000));
    it.timeline.push(90_000, Leg::Client, Flow::In, &noise(no + 1_000_000, 60_000));
    Record::Transaction(Box::new(it))
}

/// Three days of twenty heavy records each, two of them failures, and a fourth that has begun; all sealed but the last file.
fn three_days() -> Room {
    let mut room = Room::new();
    room.options.keep_days = 0;
    room.options.segment_octets = 1_000_000;
    let store = room.store();
    for no in 0..80 {
        if no > 0 && no % 20 == 0 {
            room.advance(DAY);
        }
        put(&store, &[heavy(no)]);
    }
    sealed(&store);
    store.close();
    let store = room.store();
    until(|| store.stats().unwrap().active_files == 0 && store.stats().unwrap().unindexed == 0);
    store.close();
    room
}

fn day(no: u64) -> Day {
    Day::of(NOON + no * 86_400_000_000)
}

#[test]
fn a_budget_takes_dialogues_first_then_successes_then_days() {
    let whole = three_days();
    // Of which the index takes some at any opening.
    let total = octets_in(whole.path()) + 100_000;
    let all_dialogues = octets_in_all(&sealed_files(&whole, "dlg"));
    let a_day = all_dialogues / 4;
    assert!(a_day > 500_000, "{a_day}");
    let with_budget = |octets: u64, keep_failures_days: u32| {
        let room = whole.crashed_copy();
        let options = Options { keep_octets: octets, keep_failures_days, ..room.options.clone() };
        Room { options, ..room }
    };
    let all: Vec<Record> = (0..80).map(heavy).collect();
    let dropped = |numbers: std::ops::Range<usize>| all[numbers].iter().map(without_dialogue).collect::<Vec<_>>();
    let held = |records: &[Record]| -> Vec<_> {
        records.iter().map(|record| (record.id(), timeline(record).is_some_and(Timeline::is_dropped))).collect()
    };

    let room = with_budget(total + a_day, 0);
    let store = room.store();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(held(&everything(&store)), held(&all), "within the budget everything stays");
    drop(store);

    let room = with_budget(total - a_day / 2, 0);
    let store = room.store();
    until(|| store.stats().unwrap().oldest_dialogue == Some(day(1)));
    assert_eq!(held(&everything(&store)), held(&[dropped(0..20), all[20..].to_vec()].concat()));
    assert!(find(&store, message_id(3)) == dropped(3..4));
    assert!(octets_in(room.path()) <= room.options.keep_octets);
    drop(store);
    assert_eq!(held(&everything(&room.store())), held(&[dropped(0..20), all[20..].to_vec()].concat()), "after a restart as well");
    assert!(check(room.path()).unwrap().is_sound());

    let room = with_budget(total - 3 * a_day - a_day / 2, 99);
    let store = room.store();
    until(|| store.stats().unwrap().records == 62);
    assert_eq!(store.stats().unwrap().oldest_whole, Some(day(1)));
    assert_eq!(held(&everything(&store)), held(&[dropped(7..8), dropped(13..14), dropped(20..60), all[60..].to_vec()].concat()));
    let stats = store.stats().unwrap();
    assert_eq!((stats.oldest, stats.oldest_dialogue), (Some(day(0)), Some(day(3))));
    drop(store);

    let room = with_budget(total - 3 * a_day - a_day / 2, 0);
    let store = room.store();
    until(|| store.stats().unwrap().oldest == Some(day(1)));
    assert_eq!(held(&everything(&store)), held(&[dropped(20..60), all[60..].to_vec()].concat()));
    drop(store);

    let room = with_budget(1, 99);
    let store = room.store();
    until(|| store.stats().unwrap().days == 1);
    assert_eq!(held(&everything(&store)), held(&all[60..]), "today is never touched");
    until(|| !room.path().join(format!("{}.removed", day(2))).exists());
    assert!(octets_in(room.path()) < total / 2);
}

fn octets_in_all(files: &[std::path::PathBuf]) -> u64 {
    files.iter().map(|file| std::fs::metadata(file).unwrap().len()).sum()
}

#[test]
fn failures_are_kept_longer_with_their_numbers_and_dialogues() {
    let mut room = Room::with_runs_of(16);
    room.options.segment_octets = 10_000;
    let store = room.store();
    for no in 0..40 {
        put(&store, &transactions(no..no + 1));
    }
    put(&store, &[samples::session(50), samples::gap(51), samples::amendment(4, 52, State::Accepted)]);
    room.advance(DAY);
    // A later word, on another day, about one that went well.
    put(&store, &[samples::amendment(3, 53, State::Rejected)]);
    room.advance(DAY);
    put(&store, &transactions(60..61));
    sealed(&store);
    until(|| store.stats().unwrap().unindexed == 0);
    let place = |no: u64| store.query(&Query::of(message_id(no)), &PageRequest::newest(1)).unwrap().records.len();
    assert_eq!(place(5), 1);
    let (_, cursor) = store.follow(None, 27).unwrap();
    let (indexed, before) = indexed_until(&room, day(0));
    assert!(indexed > 40);
    store.close();

    (room.options.keep_days, room.options.keep_failures_days) = (1, 5);
    let store = room.store();
    let kept = [3, 4, 7, 13, 27, 33].map(samples::transaction);
    let others =
        [samples::session(50), samples::gap(51), samples::amendment(4, 52, State::Accepted), samples::amendment(3, 53, State::Rejected)];
    let expected = [&kept[..], &others, &transactions(60..61)].concat();
    until(|| store.stats().unwrap().records == expected.len() as u64);
    assert_eq!(store.stats().unwrap().oldest_whole, Some(day(1)));
    assert_eq!(store.whole_since().unwrap(), Some(day(1)));
    assert_eq!(everything(&store), expected);
    assert_eq!(store.follow(Some(cursor), 2).unwrap().0, [27, 33].map(samples::transaction), "a cursor still means what it meant");
    until(|| store.stats().unwrap().runs <= 4);
    assert_eq!(find(&store, message_id(27)), transactions(27..28));
    assert_eq!(find(&store, message_id(28)), []);
    assert_eq!(store.fetch(samples::id(28)).unwrap(), None);
    assert_eq!(find(&store, Term::State(State::Deferred)), [33, 13].map(samples::transaction));
    assert_eq!(store.fetch(samples::id(50)).unwrap(), None);
    assert_eq!(store.fetch(samples::session_id(50)).unwrap(), Some(samples::session(50)));
    put(&store, &transactions(61..62));
    until(|| matches!(indexed_until(&room, day(0)), (end, anew) if end == indexed && anew != before));
    let expected = [&expected[..], &transactions(61..62)].concat();
    store.close();
    let report = check(room.path()).unwrap();
    assert!(report.is_sound(), "{report:?}");

    let opened = room.open();
    assert_eq!(opened.report.rebuilt, [], "it is thinned and indexed once");
    assert_eq!(everything(&opened.store), expected);
    opened.store.close();
    // They go with the day in the end.
    room.advance(4 * DAY);
    let store = room.store();
    until(|| store.stats().unwrap().oldest == Some(day(1)));
    assert_eq!(store.fetch(samples::id(27)).unwrap(), None);
}

#[test]
fn a_crash_between_thinning_and_indexing_is_mended_at_the_next_start() {
    let mut room = Room::with_runs_of(16);
    room.options.segment_octets = 10_000;
    let store = room.store();
    for no in 0..40 {
        put(&store, &transactions(no..no + 1));
    }
    room.advance(DAY);
    put(&store, &transactions(60..61));
    sealed(&store);
    until(|| indexed_until(&room, day(0)).0 == 40);
    store.close();
    let before = room.crashed_copy();
    room.advance(DAY);
    (room.options.keep_days, room.options.keep_failures_days) = (1, 5);
    let store = room.store();
    until(|| store.stats().unwrap().records == 5);
    store.close();
    // The thinned journal with the index of the whole one.
    let index = room.path().join(format!("{}/index", day(0)));
    std::fs::remove_dir_all(&index).unwrap();
    copy_dir(&before.path().join(format!("{}/index", day(0))), &index);
    let opened = room.open();
    assert_eq!(opened.report.rebuilt, [day(0)]);
    assert_eq!(find(&opened.store, message_id(27)), transactions(27..28));
    assert_eq!(find(&opened.store, message_id(28)), []);
}

#[test]
fn dialogues_go_by_age_and_the_record_says_so() {
    let mut room = Room::new();
    room.options.segment_octets = 10_000;
    room.options.keep_dialogues_days = 1;
    let store = room.store();
    for no in 0..20 {
        put(&store, &transactions(no..no + 1));
    }
    // It never had one.
    put(&store, &[samples::session(50)]);
    room.advance(2 * DAY);
    put(&store, &transactions(20..21));
    until(|| store.stats().unwrap().oldest_dialogue == Some(day(2)));
    assert_eq!(sealed_files(&room, "dlg"), Vec::<std::path::PathBuf>::new());
    let found = everything(&store);
    let expected: Vec<_> =
        transactions(0..20).iter().map(without_dialogue).chain([samples::session(50), samples::transaction(20)]).collect();
    assert_eq!(found, expected);
    let json = serde_json::to_value(json::Record::from(&found[3])).unwrap();
    assert_eq!((json.get("timeline_dropped"), json.get("timeline")), (Some(&true.into()), None));
    for kept in [&found[20], &found[21]] {
        assert_eq!(serde_json::to_value(json::Record::from(kept)).unwrap().get("timeline_dropped"), None);
    }
    assert_eq!(store.stats().unwrap().dialogue_octets, 0);
    store.close();
    assert!(check(room.path()).unwrap().problems.is_empty());
}

#[test]
fn damaged_files_are_not_thinned_and_left_to_people() {
    let mut room = Room::new();
    room.options.segment_octets = 10_000;
    let store = room.store();
    for no in 0..40 {
        put(&store, &transactions(no..no + 1));
    }
    room.advance(2 * DAY);
    put(&store, &transactions(60..61));
    sealed(&store);
    store.close();
    let broken = sealed_files(&room, "seg").remove(1);
    let mut octets = std::fs::read(&broken).unwrap();
    octets[100] ^= 1;
    std::fs::write(&broken, &octets).unwrap();
    (room.options.keep_days, room.options.keep_failures_days) = (1, 5);
    let store = room.store();
    until(|| store.stats().unwrap().oldest_whole == Some(day(2)));
    until(|| everything(&store).len() < 10);
    assert!(everything(&store).contains(&samples::transaction(27)));
    assert_eq!(std::fs::read(&broken).unwrap(), octets);
}

/// As a backup beside the store does, and `cp -al`.
fn link_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { link_dir(&entry.path(), &target) } else { std::fs::hard_link(entry.path(), target).unwrap() }
    }
}

#[test]
fn what_a_backup_links_to_is_not_removed_for_room_that_it_would_not_make() {
    let mut room = three_days();
    let name = day(0).to_string();
    link_dir(&room.path().join(&name), &room.path().with_extension("backup"));
    room.options.keep_free_octets = 1 << 60;
    let store = room.store();
    // The oldest would have been the first to go.
    until(|| store.stats().unwrap().days == 2);
    assert!(room.path().join(&name).is_dir());
    assert_eq!(everything(&store).len(), 40);
    store.close();
    room.options.keep_octets = 1;
    let store = room.store();
    until(|| store.stats().unwrap().days == 1);
    assert_eq!(everything(&store).len(), 20, "the store's own size is another matter");
}

/// A machine without a clock of its own begins in 1970, and is set right later.
#[test]
fn what_a_clock_behind_wrote_is_kept_as_long_as_what_was_there_before_it() {
    let mut room = Room::new();
    room.options.keep_days = 3;
    let at = |no: u64| room.clock.store(NOON + no * DAY.as_micros() as u64, Ordering::SeqCst);
    let days = |store: &Store| store.stats().unwrap().days;
    let store = room.store();
    put(&store, &transactions(0..1));
    at(2);
    put(&store, &transactions(1..2));
    store.close();
    room.clock.store(5_000_000, Ordering::SeqCst);
    let store = room.store();
    put(&store, &transactions(2..3));
    at(4);
    put(&store, &transactions(3..4));
    store.close();
    // Whoever saw the clock leap believes it after an hour; the next process finds it right.
    let store = room.store();
    until(|| days(&store) == 3);
    assert_eq!(everything(&store), [1, 2, 3].map(samples::transaction));
    store.close();
    at(7);
    let store = room.store();
    put(&store, &transactions(4..5));
    until(|| days(&store) == 2);
    assert_eq!(everything(&store), transactions(3..5));
}

/// Where the stored runs of a day end, and of which state of the day's journal the last of them is.
fn indexed_until(room: &Room, day: Day) -> (u32, u64) {
    let runs = crate::store::index::shelf::run_files(room.path(), day);
    let footer = |(path, _): (std::path::PathBuf, _)| crate::store::index::file::read_footer(&std::fs::File::open(path).ok()?).ok();
    let last = runs.into_iter().filter_map(footer).max_by_key(|footer| footer.meta.end());
    last.map_or((0, 0), |footer| (footer.meta.end(), footer.meta.damage))
}
