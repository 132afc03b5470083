//! A backup is a store of its own, whole as of one moment, whatever goes on meanwhile.

use std::collections::HashSet;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::AtomicBool;

use super::*;

/// A store that seals often, with so many records in it.
fn filled(records: u64) -> (Room, Store) {
    let mut room = Room::new();
    room.options.segment_octets = 20_000;
    let store = room.store();
    for no in (0..records).step_by(10) {
        put(&store, &transactions(no..no + 10));
    }
    (room, store)
}

/// The backup opened as a store.
fn opened(room: &Room, dir: &Path) -> (Room, Opened) {
    let report = check(dir).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let mut copy = Room { clock: room.clock.clone(), ..Room::new() };
    copy.options = Options { keep_days: 0, ..Options::new(dir) };
    let opened = copy.open();
    (copy, opened)
}

#[test]
fn a_backup_answers_as_the_store_did() {
    let (room, store) = filled(100);
    sealed(&store);
    let dir = room.path().with_extension("backup");
    let report = store.backup(&dir).unwrap();
    assert!(report.linked > 2 && report.copied == 1 && report.index_files == 0, "{report:?}");
    // What comes later is not in it, and what is in it is not changed by what the store does later.
    put(&store, &transactions(100..200));
    let (_copy, copied) = opened(&room, &dir);
    assert_eq!(everything(&copied.store), transactions(0..100));
    for no in [0, 57, 99] {
        assert_eq!(find(&copied.store, message_id(no)), transactions(no..no + 1));
    }
    assert_eq!(find(&copied.store, message_id(100)), []);
    put(&copied.store, &transactions(500..501));
    copied.store.close();
    assert_eq!(everything(&store), transactions(0..200));
    store.close();
    assert!(check(room.path()).unwrap().problems.is_empty());
}

#[test]
fn the_index_goes_with_it_as_far_as_it_is_stored() {
    let (room, store) = filled(100);
    store.close();
    let room = Room { run_records: 16, ..room };
    let store = room.store();
    put(&store, &transactions(100..101));
    until(|| store.stats().unwrap().unindexed == 0);
    let dir = room.path().with_extension("backup");
    let report = store.backup(&dir).unwrap();
    assert!(report.index_files > 0, "{report:?}");
    let (_copy, copied) = opened(&Room { run_records: 16, ..Room::new() }, &dir);
    assert!(copied.report.replayed < 16 && copied.report.rebuilt.is_empty(), "{:?}", copied.report);
    for no in [0, 57, 100] {
        assert_eq!(find(&copied.store, message_id(no)), transactions(no..no + 1));
    }
}

#[test]
fn sealed_files_are_the_stores_own_and_nothing_of_the_process_is_in_it() {
    let (room, store) = filled(100);
    sealed(&store);
    let dir = room.path().with_extension("backup");
    let report = store.backup(&dir).unwrap();
    let day = dir.join("2026-11-23");
    let names = |dir: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!((names(&dir), names(&day)), (vec!["2026-11-23".into()], vec!["journal".into()]));
    let twice = std::fs::read_dir(day.join("journal")).unwrap().filter(|entry| entry.as_ref().unwrap().metadata().unwrap().nlink() == 2);
    assert_eq!(twice.count() as u64, report.linked);
    assert!(!dir.with_extension("backup.partial").exists() && !room.path().join("backup.pinned").exists());
}

#[test]
fn on_another_file_system_and_without_links_it_is_a_copy() {
    fn none(_: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
    let (room, store) = filled(100);
    sealed(&store);
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let elsewhere = memory.path().join("backup");
    let here = room.path().with_extension("backup");
    let reports = [store.backup(&elsewhere).unwrap(), store.backup_by(&here, none).unwrap()];
    for (report, dir) in reports.into_iter().zip([elsewhere, here]) {
        assert!(report.linked == 0 && report.copied > 3, "{report:?}");
        let (_copy, copied) = opened(&room, &dir);
        assert_eq!(everything(&copied.store), transactions(0..100));
    }
    assert!(!room.path().join("backup.pinned").exists());
}

#[test]
fn a_place_that_will_not_do_is_refused_and_left_alone() {
    let (room, store) = filled(10);
    let parent = room.path().parent().unwrap();
    std::fs::create_dir_all(parent.join("full/x")).unwrap();
    std::fs::write(parent.join("file"), b"").unwrap();
    std::fs::create_dir(parent.join("stale.partial")).unwrap();
    for (dir, words) in [
        (parent.join("full"), "something in it"),
        (parent.join("file"), "something in it"),
        (room.path().join("backup"), "inside the store"),
        (room.path().to_owned(), "inside the store"),
        (parent.join("stale"), "broken off"),
        ("relative".into(), "begin with /"),
        ("/".into(), "begin with /"),
        ("/proc".into(), "another file system"),
    ] {
        let refused = store.backup(&dir).unwrap_err();
        assert!(refused.is_refusal() && refused.to_string().contains(words), "{}: {refused}", dir.display());
    }
    assert!(matches!(store.backup(&parent.join("not/there")), Err(BackupError::Io { .. })));
    std::fs::create_dir(parent.join("empty")).unwrap();
    store.backup(&parent.join("empty")).unwrap();
    assert_eq!(everything(&opened(&room, &parent.join("empty")).1.store), transactions(0..10));
}

#[test]
fn a_failed_backup_leaves_nothing() {
    fn failing(_: &Path, _: &Path) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(5))
    }
    let (room, store) = filled(100);
    sealed(&store);
    let dir = room.path().with_extension("backup");
    let failed = store.backup_by(&dir, failing).unwrap_err();
    assert!(matches!(failed, BackupError::Io { .. }), "{failed}");
    assert!(!dir.exists() && !dir.with_extension("backup.partial").exists());
    store.backup(&dir).unwrap();
}

/// Records come in, files are sealed and days removed while backup after backup is made.
#[test]
fn sealing_and_retention_do_not_tear_it() {
    const BACKUPS: u64 = 12;
    let mut room = Room::new();
    room.options.segment_octets = 30_000;
    room.options.keep_days = 2;
    let store = room.store();
    let written = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for first in (0..).step_by(20) {
                if done.load(Ordering::SeqCst) {
                    return;
                }
                put(&store, &transactions(first..first + 20));
                written.store(first + 20, Ordering::SeqCst);
                if first % 200 == 180 {
                    room.advance(Duration::from_secs(86_400));
                }
            }
        });
        let mut oldest = HashSet::new();
        until(|| written.load(Ordering::SeqCst) > 0);
        for number in 0..BACKUPS {
            // On this file system, and through links inside the store to another.
            let memory = tempfile::tempdir_in("/dev/shm").unwrap();
            let dir = if number % 2 == 0 { room.path().with_extension(number.to_string()) } else { memory.path().join("backup") };
            let before = written.load(Ordering::SeqCst);
            store.backup(&dir).unwrap();
            let after = written.load(Ordering::SeqCst);
            let kept = everything(&opened(&room, &dir).1.store);
            let numbers: Vec<u64> = kept.iter().map(|record| record.id().unix_ms() - NOON / 1000).collect();
            let (first, last) = (numbers[0], *numbers.last().unwrap());
            assert_eq!(numbers, (first..=last).collect::<Vec<_>>(), "one after the other, none twice");
            assert!(last + 1 >= before && last < after + 20, "{before} were written before, {after} after: {last}");
            assert_eq!(first % 200, 0, "whole days");
            oldest.insert(first);
            until(|| written.load(Ordering::SeqCst) > after + 150);
        }
        done.store(true, Ordering::SeqCst);
        assert!(oldest.len() > 2, "days were removed meanwhile: {oldest:?}");
    });
    store.close();
    assert!(check(room.path()).unwrap().is_sound());
}
