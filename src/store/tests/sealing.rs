//! Wherever a process dies while it seals or thins a file, the next start finds all records, and one form of each file.

use super::*;

/// A day in several files: as they were written, and sealed.
fn both_forms(records: u64) -> (Room, Room) {
    let mut room = Room::new();
    room.options.segment_octets = 10_000;
    // Nothing is sealed by a store that is opened to be asked.
    let store = room.open_for(Use::Offline).store;
    for no in 0..records {
        put(&store, &transactions(no..no + 1));
    }
    store.close();
    let active = room.crashed_copy();
    let store = room.store();
    sealed(&store);
    store.close();
    (active, room)
}

fn copy_file(from: &Path, to: &Path) {
    std::fs::copy(from, to).unwrap();
}

fn cut(path: &Path) {
    let octets = std::fs::read(path).unwrap();
    std::fs::write(path, &octets[..octets.len() / 2]).unwrap();
}

#[track_caller]
fn check_settled(room: &Room, records: &[Record]) {
    let opened = room.open_for(Use::Offline);
    assert_eq!(everything(&opened.store), records);
    assert_eq!(opened.report.unreadable, []);
    assert_eq!(opened.report.damage, []);
    opened.store.close();
    let left: Vec<_> = room.journal().into_iter().filter(|path| path.to_string_lossy().ends_with("unfinished")).collect();
    assert_eq!(left, Vec::<std::path::PathBuf>::new());
    let report = check(room.path()).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

#[test]
fn a_crash_between_any_two_steps_of_sealing_loses_nothing() {
    let (active, done) = both_forms(20);
    let seg = sealed_files(&done, "seg").remove(0);
    let dlg = seg.with_extension("dlg");
    let there = |room: &Room, path: &Path| room.path().join(path.strip_prefix(done.path()).unwrap());
    for step in 0..6 {
        let room = active.crashed_copy();
        let (to_seg, to_dlg) = (there(&room, &seg), there(&room, &dlg));
        let (seg_unfinished, dlg_unfinished) = (to_seg.with_extension("seg.unfinished"), to_dlg.with_extension("dlg.unfinished"));
        match step {
            0 => {
                copy_file(&seg, &seg_unfinished);
                cut(&seg_unfinished);
            }
            1 => {
                copy_file(&seg, &seg_unfinished);
                copy_file(&dlg, &dlg_unfinished);
                cut(&dlg_unfinished);
            }
            2 => {
                copy_file(&seg, &seg_unfinished);
                copy_file(&dlg, &dlg_unfinished);
            }
            3 => {
                copy_file(&seg, &seg_unfinished);
                copy_file(&dlg, &to_dlg);
            }
            4 => {
                copy_file(&seg, &to_seg);
                copy_file(&dlg, &to_dlg);
            }
            // The disk kept the names in another order.
            _ => {
                copy_file(&seg, &to_seg);
                copy_file(&dlg, &dlg_unfinished);
            }
        }
        check_settled(&room, &transactions(0..20));
        let store = room.store();
        sealed(&store);
        assert_eq!(everything(&store), transactions(0..20), "step {step}");
    }
}

#[test]
fn a_crash_between_any_two_steps_of_thinning_leaves_a_file_whole_or_thinned() {
    let (_, whole) = both_forms(40);
    let thinned = {
        let mut room = whole.crashed_copy();
        room.clock = Arc::new(AtomicU64::new(NOON + 5 * 86_400_000_000));
        (room.options.keep_days, room.options.keep_failures_days) = (2, 30);
        let store = room.store();
        // Another day must have begun.
        put(&store, &[samples::gap(99)]);
        store.close();
        let store = room.store();
        until(|| everything(&store).len() == 5);
        assert_eq!(everything(&store)[..4], [7, 13, 27, 33].map(samples::transaction));
        store.close();
        room
    };
    let files = sealed_files(&whole, "seg");
    // The last that holds a failure.
    let seg = files.iter().rev().find(|seg| std::fs::metadata(thinned_path(&whole, &thinned, seg)).unwrap().len() > 600).unwrap();
    let dlg = seg.with_extension("dlg");
    let (new_seg, new_dlg) = (thinned_path(&whole, &thinned, seg), thinned_path(&whole, &thinned, &dlg));
    let mut seen = Vec::new();
    for step in 0..4 {
        let room = whole.crashed_copy();
        let (to_seg, to_dlg) = (thinned_path(&whole, &room, seg), thinned_path(&whole, &room, &dlg));
        let (seg_unfinished, dlg_unfinished) = (to_seg.with_extension("seg.unfinished"), to_dlg.with_extension("dlg.unfinished"));
        match step {
            0 => {
                copy_file(&new_seg, &seg_unfinished);
                copy_file(&new_dlg, &dlg_unfinished);
                cut(&dlg_unfinished);
            }
            1 => {
                copy_file(&new_seg, &seg_unfinished);
                copy_file(&new_dlg, &dlg_unfinished);
            }
            2 => {
                copy_file(&new_seg, &to_seg);
                copy_file(&new_dlg, &dlg_unfinished);
            }
            _ => {
                copy_file(&new_seg, &to_seg);
                copy_file(&new_dlg, &to_dlg);
            }
        }
        let opened = room.open_for(Use::Offline);
        let records = everything(&opened.store);
        assert!(records.iter().all(|record| timeline(record).is_some_and(|timeline| !timeline.is_empty())), "step {step}");
        assert_eq!(opened.store.fetch(samples::id(33)).unwrap(), Some(samples::transaction(33)), "step {step}");
        opened.store.close();
        seen.push(records.len());
        check_settled(&room, &records);
    }
    assert!(seen[0] == 40 && seen[1] == 40 && seen[2] < 40 && seen[3] == seen[2], "{seen:?}");
}

fn thinned_path(from: &Room, to: &Room, path: &Path) -> std::path::PathBuf {
    to.path().join(path.strip_prefix(from.path()).unwrap())
}

#[test]
fn a_file_format_of_another_build_is_refused_and_left_alone() {
    let (active, done) = both_forms(20);
    for (room, extension) in [(&done, "seg"), (&done, "dlg"), (&active, "log")] {
        let file = sealed_files(room, extension).remove(0);
        let whole = std::fs::read(&file).unwrap();
        for (format, words) in [(1u16, "before the first release"), (9, "newer relayscope")] {
            if extension == "log" && format == 1 {
                continue;
            }
            let mut octets = whole.clone();
            octets[8..10].copy_from_slice(&format.to_le_bytes());
            let checksum = crc32c::crc32c(&octets[..28]);
            octets[28..32].copy_from_slice(&checksum.to_le_bytes());
            std::fs::write(&file, &octets).unwrap();
            let Err(refused @ OpenError::Format { .. }) = Store::open(room.options.clone()) else {
                panic!("{extension} {format} was opened")
            };
            assert!(refused.to_string().contains(words), "{refused}");
            let report = check(room.path()).unwrap();
            assert!(!report.is_sound() && report.problems[0].what.contains(words), "{report:?}");
            assert_eq!(std::fs::read(&file).unwrap(), octets);
        }
        std::fs::write(&file, whole).unwrap();
    }
    assert_eq!(everything(&done.store()), transactions(0..20));
}
