//! Flipped bits are found, named, and cost no more than what they hit.

use super::*;

fn flip(path: &Path, offset: usize) {
    let mut octets = std::fs::read(path).unwrap();
    octets[offset] ^= 0x10;
    std::fs::write(path, octets).unwrap();
}

#[test]
fn a_flipped_bit_in_an_active_file_costs_one_record_and_is_named() {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(0..3));
    store.close();
    let file = room.journal().pop().unwrap();
    let length = std::fs::read(&file).unwrap().len();
    for offset in (40..length).step_by(211) {
        let copy = room.crashed_copy();
        let file = copy.journal().pop().unwrap();
        flip(&file, offset);
        let report = check(copy.path()).unwrap();
        assert_eq!(report.problems.len(), 1, "octet {offset}: {report:?}");
        assert!(report.problems[0].file == file && report.problems[0].offset <= offset as u64, "octet {offset}");
        let opened = copy.open();
        assert_eq!(everything(&opened.store).len(), 2, "octet {offset}");
        // The last frame can't be told from a torn one.
        assert_eq!(opened.report.damage.len() + opened.report.torn.len(), 1, "octet {offset}");
    }
}

#[test]
fn every_flipped_octet_of_a_sealed_file_is_found() {
    let mut room = Room::new();
    room.options.segment_octets = 10_000;
    let store = room.store();
    for no in 0..40 {
        put(&store, &transactions(no..no + 1));
    }
    sealed(&store);
    store.close();
    assert!(check(room.path()).unwrap().problems.is_empty());
    for extension in ["seg", "dlg"] {
        let file = sealed_files(&room, extension).remove(0);
        let octets = std::fs::read(&file).unwrap();
        for offset in (0..octets.len()).step_by(61) {
            flip(&file, offset);
            let report = check(room.path()).unwrap();
            assert!(report.problems.iter().any(|problem| problem.file == file && problem.loses_records), "{extension}, octet {offset}");
            assert!(!report.is_sound());
            std::fs::write(&file, &octets).unwrap();
        }
    }
    // Damaged dialogues cost nothing else.
    let dialogues = sealed_files(&room, "dlg").remove(0);
    flip(&dialogues, 100);
    let store = room.store();
    let found = everything(&store);
    assert_eq!(found.len(), 40);
    assert_eq!(without_dialogue(&found[0]), without_dialogue(&samples::transaction(0)));
    assert_eq!(found[39], samples::transaction(39));
    store.close();
    let sealed = sealed_files(&room, "seg").remove(0);
    // A damaged block costs its records; the others keep their numbers.
    flip(&sealed, 100);
    let store = room.store();
    let left = everything(&store).len();
    assert!((1..40).contains(&left), "{left}");
    assert_eq!(find(&store, message_id(39)), transactions(39..40));
}

#[test]
fn a_sealed_file_that_was_exchanged_breaks_the_chain() {
    let mut room = Room::new();
    room.options.segment_octets = 10_000;
    let store = room.store();
    for no in 0..60 {
        put(&store, &transactions(no..no + 1));
    }
    sealed(&store);
    store.close();
    let files = sealed_files(&room, "seg");
    assert!(files.len() > 2, "{files:?}");
    let whole = room.crashed_copy();
    std::fs::copy(&files[1], &files[2]).unwrap();
    let report = check(room.path()).unwrap();
    assert!(report.problems.iter().any(|problem| problem.what.contains("chain")), "{report:?}");
    let dialogues = sealed_files(&whole, "dlg");
    std::fs::copy(&dialogues[1], &dialogues[2]).unwrap();
    let report = check(whole.path()).unwrap();
    assert!(report.problems.iter().any(|problem| problem.what.contains("does not belong")), "{report:?}");
}

#[test]
fn a_damaged_active_file_is_neither_sealed_nor_changed() {
    let room = Room::with_runs_of(2);
    let store = room.store();
    put(&store, &transactions(0..5));
    store.close();
    let file = room.journal().pop().unwrap();
    flip(&file, 100);
    let before = std::fs::read(&file).unwrap();
    let opened = room.open();
    assert_eq!(opened.report.damage.len(), 1);
    assert_eq!(opened.report.rebuilt.len(), 1, "numbers have shifted");
    put(&opened.store, &transactions(5..8));
    for no in 1..8 {
        assert_eq!(find(&opened.store, message_id(no)), transactions(no..no + 1));
    }
    opened.store.close();
    let opened = room.open();
    assert_eq!(opened.report.rebuilt, [], "the damage is known by now");
    assert_eq!(everything(&opened.store).len(), 7);
    assert_eq!(std::fs::read(&file).unwrap(), before);
}
