//! Records of elsewhere in a store that serves.

use super::*;
use crate::store::samples;

fn logs(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers.map(|no| samples::log(no % 50, 10_000 + no)).collect()
}

#[test]
fn each_is_taken_once_and_found_at_once() {
    let room = Room::with_runs_of(64);
    let store = room.store();
    put(&store, &transactions(0..200));
    assert_eq!(store.take_in(&logs(0..300)).unwrap(), TakenIn { added: 300, known: 0 });
    assert_eq!(store.take_in(&logs(200..400)).unwrap(), TakenIn { added: 100, known: 100 });
    let twice: Vec<Record> = logs(400..402).into_iter().chain(logs(400..402)).collect();
    assert_eq!(store.take_in(&twice).unwrap(), TakenIn { added: 2, known: 2 });
    assert_eq!(find(&store, Term::Kind(RecordKind::Log)).len(), 402);
    store.close();
    let store = room.store();
    assert_eq!(store.take_in(&logs(0..402)).unwrap(), TakenIn { added: 0, known: 402 });
}

#[test]
fn a_line_with_a_time_to_come_is_taken_once_as_well() {
    let room = Room::new();
    let store = room.store();
    let of_next_week = |record: Record| match record {
        Record::Log(log) => {
            let at = log.at + 7 * 86_400_000_000;
            Record::Log(Box::new(Log { id: RecordId::from_parts(at / 1_000, 5), at, ..*log }))
        }
        other => other,
    };
    let records = [of_next_week(samples::log(1, 1))];
    assert_eq!(store.take_in(&records).unwrap(), TakenIn { added: 1, known: 0 });
    room.advance(Duration::from_secs(3 * 86_400));
    put(&store, &transactions(0..2));
    assert_eq!(store.take_in(&records).unwrap(), TakenIn { added: 0, known: 1 });
}

#[test]
fn what_fills_the_queue_waits_and_nothing_is_lost() {
    let mut room = Room::new();
    room.options.queue_octets = 16 << 10;
    let store = room.store();
    assert_eq!(store.take_in(&logs(0..900)).unwrap(), TakenIn { added: 900, known: 0 });
    assert_eq!(everything(&store).len(), 900, "and no gap is told");
}

#[test]
fn a_store_that_cannot_be_written_takes_nothing_in() {
    let room = Room::new();
    let store = room.store();
    store.inner.intake.health.fail(NOON, "the disk is full");
    assert!(matches!(store.take_in(&logs(0..1)), Err(TakeInError::Failing)));
}

#[test]
fn a_line_of_a_day_whose_index_is_made_anew_is_taken_once() {
    let room = Room::with_runs_of(64);
    let store = room.store();
    assert_eq!(store.take_in(&logs(0..200)).unwrap(), TakenIn { added: 200, known: 0 });
    room.advance(Duration::from_secs(86_400));
    put(&store, &transactions(0..2));
    // As while it is made anew: nothing leads there.
    store.live().unwrap().index.forget(Day::of(NOON));
    assert_eq!(store.take_in(&logs(100..300)).unwrap(), TakenIn { added: 100, known: 100 });
}
