//! The disk fails: callers go on, the loss is counted and told, the store comes back by itself.

use std::process::Command;

use super::*;

/// A small file system of its own, unmounted at the end; `None` where that isn't allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(kib: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"]).arg(dir.path()).output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(dir));
        }
        eprintln!("skipped: mounting a file system takes root");
        None
    }

    fn remount(&self, how: &str) {
        assert!(Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.0.path()).status().unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

fn room_on(disk: &SmallDisk) -> Room {
    let mut room = Room::new();
    room.options.dir = disk.0.path().join("store");
    room
}

/// Appends until the store has failed; how many records were stored, and how many were not.
fn fill(store: &Store, first: u64) -> (u64, u64) {
    let appender = store.appender();
    let (mut kept, mut lost) = (0, 0);
    for no in first.. {
        match appender.append(&samples::transaction(no)) {
            Ok(ticket) if stored(&appender, ticket).is_ok() => kept += 1,
            Ok(ticket) => {
                assert!(!appender.is_stored(ticket));
                lost += 1;
            }
            Err(AppendError::Failing) => {
                lost += 1;
                return (kept, lost);
            }
            Err(other) => panic!("{other}"),
        }
    }
    (kept, lost)
}

/// The one gap record there must be.
fn gap(store: &Store) -> Gap {
    match find(store, Term::Kind(RecordKind::Gap)).as_slice() {
        [Record::Gap(gap)] => gap.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_full_disk_costs_records_and_nothing_else() {
    let Some(disk) = SmallDisk::mount(4096) else { return };
    let room = room_on(&disk);
    let store = room.store();
    std::fs::write(disk.0.path().join("ballast"), vec![0; 1 << 20]).unwrap();
    let (kept, lost) = fill(&store, 0);
    assert!(kept > 0 && lost >= 2);
    let Health::Failed { since, why, records_lost } = store.health() else { panic!("the disk is full") };
    assert_eq!((since, records_lost), (NOON, lost));
    assert!(why.contains("space"), "{why}");
    // What was stored is still found while nothing can be written.
    assert_eq!(find(&store, message_id(kept - 1)), transactions(kept - 1..kept));
    std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
    until(|| store.health().is_ok());
    put(&store, &transactions(100_000..100_001));
    let gap = gap(&store);
    assert_eq!(gap.records_lost, lost);
    assert!(gap.why.contains("space"), "{}", gap.why);
    store.close();
    let report = check(room.path()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let store = room.store();
    assert_eq!(everything(&store).len() as u64, kept + 2);
    assert_eq!(find(&store, message_id(100_000)), transactions(100_000..100_001));
}

#[test]
fn marks_are_not_counted_as_lost() {
    let Some(disk) = SmallDisk::mount(4096) else { return };
    let room = room_on(&disk);
    let store = room.store();
    std::fs::write(disk.0.path().join("ballast"), vec![0; 1 << 20]).unwrap();
    let (_, mut lost) = fill(&store, 0);
    let appender = store.appender();
    for no in 200_000..200_010 {
        // As a session does it that goes on while the store can't be written.
        assert!(appender.append(&samples::mark(no)).is_err());
        assert!(appender.append(&samples::transaction(no)).is_err());
        lost += 1;
    }
    let Health::Failed { records_lost, .. } = store.health() else { panic!("the disk is full") };
    assert_eq!(records_lost, lost);
    std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
    until(|| store.health().is_ok());
    assert_eq!(gap(&store).records_lost, lost);
}

#[test]
fn on_a_full_disk_a_store_is_not_given_up_and_goes_on() {
    let Some(disk) = SmallDisk::mount(4096) else { return };
    let room = room_on(&disk);
    let store = room.store();
    std::fs::write(disk.0.path().join("ballast"), vec![0; 1 << 20]).unwrap();
    let (kept, lost) = fill(&store, 0);
    assert!(lost > 0);
    let refused = store.give_up().unwrap_err();
    assert!(matches!(refused, GiveUpError::NoFile { .. } | GiveUpError::NotWritten), "{refused}");
    assert_eq!(find(&store, message_id(kept - 1)), transactions(kept - 1..kept));
    std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
    until(|| store.health().is_ok());
    put(&store, &transactions(100_000..100_001));
    store.give_up().unwrap();
    let next = room.store();
    assert_eq!(find(&next, message_id(100_000)), transactions(100_000..100_001));
}

#[test]
fn a_disk_that_fills_while_a_process_drains_costs_records_and_nothing_else() {
    let Some(disk) = SmallDisk::mount(16_384) else { return };
    let room = room_on(&disk);
    let former = room.store();
    former.give_up().unwrap();
    std::fs::write(disk.0.path().join("ballast"), vec![0; 12 << 20]).unwrap();
    let (kept, lost) = fill(&former, 0);
    assert!(kept > 0 && lost > 0);
    std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
    until(|| former.health().is_ok());
    put(&former, &transactions(100_000..100_001));
    former.close();
    let records = |store: &Store| everything(store).iter().filter(|it| it.kind() == RecordKind::Transaction).count() as u64;
    let next = room.store();
    until(|| std::fs::read_dir(room.path().join("draining")).unwrap().count() == 0);
    let (found, gap) = (records(&next), gap(&next));
    // Of the batch that failed, some had been written whole.
    assert!((kept + 1..=kept + 1 + lost).contains(&found), "{kept} and {lost}: {found}");
    assert_eq!(gap.records_lost, lost);
    let mut ids: Vec<_> = everything(&next).iter().map(Record::id).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all, "none twice");
}

#[test]
fn a_disk_that_turns_read_only_is_survived() {
    let Some(disk) = SmallDisk::mount(16_384) else { return };
    let mut room = room_on(&disk);
    // Each record wants a new file: an open one can be written even so.
    room.options.segment_octets = 1;
    let store = room.store();
    put(&store, &transactions(0..1));
    until(|| store.stats().unwrap().unindexed == 0);
    // A file open for writing forbids it until the kernel is told not to mind.
    let read_only = Command::new("mount").args(["-o", "remount,ro"]).arg(disk.0.path()).output().unwrap().status.success();
    if !read_only {
        eprintln!("skipped: the file system is busy and can't be made read-only");
        return;
    }
    let (_, lost) = fill(&store, 1);
    assert!(!store.health().is_ok());
    assert_eq!(find(&store, message_id(0)), transactions(0..1));
    disk.remount("rw");
    until(|| store.health().is_ok());
    assert_eq!(gap(&store).records_lost, lost);
    put(&store, &transactions(100..101));
}

#[test]
fn a_removed_directory_is_noticed_and_made_again() {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(0..1));
    std::fs::remove_dir_all(room.path().join("2026-11-23")).unwrap();
    let appender = store.appender();
    // Writes to a removed file succeed; the sync thread finds out.
    until(|| appender.append(&samples::transaction(1)).is_ok() && room.path().join("2026-11-23/journal").is_dir());
    put(&store, &transactions(2..3));
    assert_eq!(find(&store, message_id(2)), transactions(2..3));
    store.close();
    let store = room.store();
    assert!(everything(&store).contains(&samples::transaction(2)));
    assert!(gap(&store).records_lost > 0);
}

#[test]
fn a_store_that_could_not_be_opened_is_tried_until_it_can() {
    let room = Room::new();
    std::fs::write(room.path(), b"a file where a directory should be").unwrap();
    let error = Store::open(room.options.clone()).unwrap_err();
    assert!(error.may_pass());
    let store = Store::unavailable(room.options.clone(), &error);
    let appender = store.appender();
    assert!(matches!(appender.append(&samples::transaction(1)), Err(AppendError::Failing)));
    assert!(!store.health().is_ok() && !appender.is_healthy());
    assert!(matches!(store.fetch(samples::id(1)), Err(StoreError::Unavailable { .. })));
    std::fs::remove_file(room.path()).unwrap();
    until(|| store.health().is_ok());
    put(&store, &transactions(2..3));
    assert_eq!(find(&store, message_id(2)), transactions(2..3));
    assert_eq!(gap(&store).records_lost, 1);
}

#[test]
fn a_full_queue_refuses_at_once_and_the_gap_is_told() {
    let mut room = Room::new();
    room.options.queue_octets = 10;
    let store = room.store();
    let appender = store.appender();
    assert!(matches!(appender.append(&samples::transaction(1)), Err(AppendError::Full)));
    until(|| everything(&store).len() == 1);
    assert_eq!(gap(&store).records_lost, 1);
    assert!(store.health().is_ok());
}

#[test]
fn a_closed_store_takes_nothing_more() {
    let room = Room::new();
    let store = room.store();
    let appender = store.appender();
    let ticket = appender.append(&samples::transaction(1)).unwrap();
    store.close();
    assert!(appender.is_stored(ticket), "what was taken is written at the end");
    assert!(matches!(appender.append(&samples::transaction(2)), Err(AppendError::Closed)));
}

#[test]
fn a_disk_that_fills_is_relieved_of_old_days_at_once() {
    let Some(disk) = SmallDisk::mount(12_288) else { return };
    let mut room = room_on(&disk);
    (room.options.segment_octets, room.options.keep_free_octets) = (256 << 10, 1 << 20);
    let store = room.store();
    put(&store, &transactions(0..3000));
    room.advance(Duration::from_secs(86_400));
    put(&store, &transactions(3000..3001));
    sealed(&store);
    assert_eq!(store.stats().unwrap().days, 2);
    // Somebody else takes all that is left.
    let mut ballast = std::fs::File::create(disk.0.path().join("ballast")).unwrap();
    while std::io::Write::write_all(&mut ballast, &[0; 4096]).is_ok() {}
    // No further than that: the room that is made at once would be filled as well.
    let appender = store.appender();
    let is_lost = |no: &u64| !appender.append(&samples::transaction(*no)).is_ok_and(|ticket| stored(&appender, ticket).is_ok());
    assert!((4000..).any(|no| is_lost(&no)));
    // The keeper would look by itself after ten minutes.
    until(|| store.health().is_ok());
    assert_eq!(store.stats().unwrap().days, 1);
    put(&store, &transactions(100_000..100_001));
    assert_eq!(find(&store, message_id(100_000)), transactions(100_000..100_001));
    std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
}

/// A disk may fail for a while; what it can't give back for a minute is left out, and holds up nobody who goes through the journal.
#[test]
fn records_that_can_not_be_read_are_left_out_in_the_end() {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(0..20));
    store.close();
    let path = room.journal().pop().unwrap();
    let log = crate::store::log::Log::open(path.clone(), &mut marks::OpenMarks::default()).unwrap().0;
    let began = Instant::now();
    let whole = std::fs::read(&path).unwrap();
    let cut = |octets: usize| std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(octets as u64).unwrap();
    let read = |seconds: u64| log.read_at(0, u32::MAX, batch::Part::Whole, began + Duration::from_secs(seconds));
    cut(whole.len() / 2);
    assert!(read(0).is_err() && read(59).is_err());
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(read(60).unwrap().slots().len(), 20, "it was over");
    cut(whole.len() / 2);
    assert!(read(61).is_err() && read(120).is_err(), "and is another now");
    let batch = read(121).unwrap();
    assert!((5..15).contains(&batch.slots().len()), "{}", batch.slots().len());
    assert_eq!(batch.numbers().len(), 20, "whoever follows goes on behind them");
    // Whoever asks for one record by its number gets behind it, too, if there is one beside it.
    let lost = batch.slots().len() as u32;
    let read_one = |index: u32, seconds: u64| log.read_at(index, 1, batch::Part::Whole, began + Duration::from_secs(seconds));
    assert!(read_one(lost, 200).is_err() && read_one(lost, 259).is_err());
    assert_eq!(read_one(lost, 260).unwrap().slots().len(), 0);
    assert!(read_one(lost + 2, 200).is_err() && read_one(lost + 2, 260).is_err(), "what is beside it can't be read either");
    cut(40);
    assert!(read(1000).is_err(), "where nothing can be read, it may be the whole disk");
}

/// As on a full thin volume, or over quota on NFS. The sync thread retired ten files a second, and all seemed well.
#[test]
fn a_disk_that_takes_writes_and_can_not_sync_fails_the_store() {
    for durability in [Durability::Written, Durability::Synced] {
        let mut room = Room::new();
        room.options.durability = durability;
        let store = room.store();
        put(&store, &transactions(0..1));
        std::fs::write(room.path().join(SYNC_FAILS), b"").unwrap();
        let appender = store.appender();
        let append = |no: u64| appender.append(&samples::transaction(no)).is_ok_and(|ticket| stored(&appender, ticket).is_ok());
        until(|| !append(1));
        let Health::Failed { why, .. } = store.health() else { panic!("{durability:?}") };
        assert!(why.contains("could not be synced") && why.contains("thin"), "{why}");
        assert!(!append(2), "it is refused at once");
        std::fs::remove_file(room.path().join(SYNC_FAILS)).unwrap();
        until(|| store.health().is_ok());
        put(&store, &transactions(3..4));
        assert!(gap(&store).records_lost > 0);
        assert_eq!(find(&store, message_id(3)), transactions(3..4));
        store.close();
        let empty: Vec<_> = room.journal().into_iter().filter(|path| std::fs::metadata(path).unwrap().len() <= 32).collect();
        assert_eq!(empty, Vec::<std::path::PathBuf>::new(), "no file is left of an attempt");
        assert!(check(room.path()).unwrap().problems.is_empty());
    }
}

#[test]
fn files_that_can_not_be_sealed_keep_no_descriptors() {
    let mut room = Room::new();
    room.options.segment_octets = 10_000;
    let store = room.store();
    // In the way of the first sealed file.
    let in_the_way = room.path().join("2026-11-23/journal/000001.seg.unfinished");
    std::fs::create_dir_all(&in_the_way).unwrap();
    for no in 0..20 {
        put(&store, &transactions(no..no + 1));
    }
    let logs = || -> Vec<_> {
        let files = store.live().unwrap().journal.days().into_iter().flat_map(|day| day.files());
        files.filter_map(|file| if let crate::store::journal::Form::Log(log) = file.form() { Some(log) } else { None }).collect()
    };
    until(|| logs().first().is_some_and(|log| log.is_closed()));
    assert!(!logs().last().unwrap().is_closed(), "it is being written");
    assert_eq!(everything(&store), transactions(0..20));
    assert_eq!(find(&store, message_id(0)), transactions(0..1));
    // One that somebody removes then is passed over by all who go through the journal.
    let (copy, first) = (room.crashed_copy(), logs().remove(0));
    std::fs::remove_file(&first.path).unwrap();
    let others = transactions(u64::from(first.records())..20);
    assert_eq!(everything(&store), others);
    assert_eq!(find(&store, Term::Kind(RecordKind::Transaction)).len(), others.len());
    let backup = room.path().with_extension("backup");
    store.backup(&backup).unwrap();
    assert!(check(&backup).unwrap().is_sound());
    assert_eq!(check(&backup).unwrap().kinds, [(RecordKind::Transaction, others.len() as u64)]);
    store.close();
    std::fs::copy(copy.path().join(first.path.strip_prefix(room.path()).unwrap()), &first.path).unwrap();
    std::fs::remove_dir(&in_the_way).unwrap();
    let store = room.store();
    sealed(&store);
    assert_eq!(everything(&store), transactions(0..20));
}
