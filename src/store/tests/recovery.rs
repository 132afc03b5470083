//! What a dead process left is put in order.

use proptest::prelude::*;

use super::*;
use crate::store::log::{self, HEADER, LogHeader};

/// The octets of an active file with these records, and where each frame ends.
fn file_of(records: &[Record]) -> (Vec<u8>, Vec<usize>) {
    let room = Room::new();
    let store = room.store();
    let appender = store.appender();
    let mut ends = Vec::new();
    for record in records {
        let ticket = appender.append(record).unwrap();
        stored(&appender, ticket).unwrap();
        ends.push(std::fs::metadata(&room.journal()[0]).unwrap().len() as usize);
    }
    store.close();
    (std::fs::read(&room.journal()[0]).unwrap(), ends)
}

#[test]
fn a_file_cut_off_at_any_octet_keeps_all_whole_records() {
    let (octets, ends) = file_of(&[samples::transaction(1), samples::session(2), samples::gap(3), samples::transaction(4)]);
    let header = LogHeader::decode(&octets).unwrap();
    for cut in HEADER..=octets.len() {
        let scan = log::scan(Path::new("cut"), header.salt, &octets[..cut]);
        let whole = ends.iter().filter(|&&end| end <= cut).count();
        assert_eq!(scan.starts.len(), whole, "cut at {cut}");
        assert_eq!(scan.end as usize, ends[..whole].last().copied().unwrap_or(HEADER), "cut at {cut}");
        assert_eq!((scan.torn as usize, scan.damage.len()), (cut - scan.end as usize, 0), "cut at {cut}");
    }
}

#[test]
fn a_store_cut_off_around_any_frame_opens_and_goes_on() {
    let records = transactions(0..4);
    let (octets, ends) = file_of(&records);
    let mut cuts = vec![0, 1, HEADER - 1, HEADER];
    cuts.extend(ends.iter().flat_map(|&end| [end - 1, end, end + 7, end + 8, end + 400]));
    for cut in cuts.into_iter().filter(|&cut| cut <= octets.len()) {
        let room = Room::new();
        let journal = room.path().join("2026-11-23/journal");
        std::fs::create_dir_all(&journal).unwrap();
        std::fs::write(journal.join("000001.log"), &octets[..cut]).unwrap();
        let opened = room.open();
        let whole = ends.iter().filter(|&&end| end <= cut).count();
        let torn = cut != HEADER && !ends.contains(&cut);
        assert_eq!((opened.report.records, opened.report.torn.len()), (whole as u64, usize::from(torn)), "cut at {cut}");
        put(&opened.store, &transactions(9..10));
        let mut expected = records[..whole].to_vec();
        expected.extend(transactions(9..10));
        assert_eq!(everything(&opened.store), expected, "cut at {cut}");
        assert_eq!(find(&opened.store, message_id(9)), transactions(9..10), "cut at {cut}");
        opened.store.close();
        assert!(check(room.path()).unwrap().problems.is_empty(), "cut at {cut}");
    }
}

#[test]
fn a_crash_at_any_moment_loses_nothing_that_was_acknowledged() {
    let mut room = Room::with_runs_of(50);
    room.options.segment_octets = 60_000;
    let store = room.store();
    let mut copies = Vec::new();
    for no in 0..300 {
        put(&store, &[samples::mark(no), samples::transaction(no)]);
        if no % 37 == 36 {
            copies.push((no, room.crashed_copy()));
        }
    }
    for (last, copy) in copies {
        let opened = copy.open();
        assert_eq!(opened.report.damage, []);
        assert_eq!(everything(&opened.store), transactions(0..last + 1));
        for no in (0..=last).step_by(7) {
            assert_eq!(find(&opened.store, message_id(no)), transactions(no..no + 1), "{no} of {last}");
        }
        assert_eq!(opened.report.in_doubt, 0);
    }
}

#[test]
fn a_mark_without_a_record_becomes_a_transaction_in_doubt() {
    let room = Room::new();
    let store = room.store();
    put(&store, &[samples::mark(1), samples::mark(2), samples::transaction(1), samples::mark(3)]);
    let copy = room.crashed_copy();
    // While the process lives, a mark says nothing.
    assert_eq!(store.fetch(samples::id(2)).unwrap(), None);
    drop(store);
    let opened = copy.open();
    assert_eq!(opened.report.in_doubt, 2);
    let Some(Record::Transaction(doubtful)) = opened.store.fetch(samples::id(3)).unwrap() else { panic!("the mark has a record") };
    assert_eq!((doubtful.outcome.state, doubtful.outcome.stage, doubtful.outcome.by), (State::Unknown, Stage::EndOfData, Actor::Proxy));
    assert_eq!(
        (doubtful.flags.as_slice(), doubtful.envelope.reverse_path),
        ([Flag::InDoubt].as_slice(), samples::plain(3).envelope.reverse_path)
    );
    assert_eq!(find(&opened.store, Term::State(State::Unknown)).len(), 2);
    opened.store.close();
    assert_eq!(copy.open().report.in_doubt, 0);
}

/// The disk was full for a while: the record of a message may have been among those that were lost.
#[test]
fn a_mark_before_a_gap_may_have_lost_its_record() {
    let Record::Gap(gap) = samples::gap(2) else { unreachable!() };
    let [before, after] = said_beside(&gap);
    assert!(before.contains("could be stored") && before.contains("or relayscope ended"), "{before}");
    assert!(!after.contains("could be stored"), "{after}");
    // Nothing was lost in this one; and that one is of the process that found the marks.
    let hour = 3_600_000_000;
    for other in [Gap { records_lost: 0, ..gap.clone() }, Gap { from: NOON + hour, until: NOON + hour + 5, ..gap }] {
        let [before, _] = said_beside(&other);
        assert!(!before.contains("could be stored"), "{before}");
    }
}

/// What is said of a message whose mark was made five seconds before the end of a gap, and of one behind it.
fn said_beside(gap: &Gap) -> [String; 2] {
    let room = Room::new();
    let store = room.store();
    let (Record::Mark(mut before), Record::Mark(mut after)) = (samples::mark(1), samples::mark(3)) else { unreachable!() };
    (before.at, after.at) = (gap.until - 5_000_000, gap.until + 1);
    put(&store, &[Record::Mark(before), Record::Gap(gap.clone()), Record::Mark(after)]);
    let copy = room.crashed_copy();
    drop(store);
    room.advance(Duration::from_secs(60));
    let store = copy.store();
    [1, 3].map(|no| match store.fetch(samples::id(no)).unwrap() {
        Some(Record::Transaction(it)) => it.outcome.detail.unwrap(),
        other => panic!("{other:?}"),
    })
}

/// The index thread, which writes the records of what was open, once waited a second for itself with each of them.
#[test]
fn many_marks_without_a_record_are_dealt_with_at_once() {
    let room = Room::new();
    let store = room.store();
    put(&store, &(0..150).map(samples::mark).collect::<Vec<_>>());
    let copy = room.crashed_copy();
    drop(store);
    let opened = copy.open();
    assert!(!opened.report.unfinished && opened.report.in_doubt == 150, "{:?}", opened.report);
    assert_eq!(find(&opened.store, Term::State(State::Unknown)).len(), 150);
}

#[test]
fn an_open_mark_outlives_the_sealing_of_its_file() {
    let mut room = Room::new();
    room.options.segment_octets = 10_000;
    let store = room.store();
    put(&store, &[samples::mark(1000), samples::mark(1001)]);
    for no in 0..60 {
        put(&store, &[samples::mark(no), samples::transaction(no)]);
    }
    put(&store, &transactions(1001..1002));
    sealed(&store);
    assert!(store.stats().unwrap().sealed_files > 2);
    let copy = room.crashed_copy();
    let opened = copy.open();
    assert_eq!(opened.report.in_doubt, 1);
    assert!(opened.store.fetch(samples::id(1000)).unwrap().is_some());
    assert_eq!(opened.store.fetch(samples::id(1001)).unwrap(), Some(samples::transaction(1001)));
}

#[test]
fn a_crash_while_sealing_leaves_the_active_form_in_force() {
    let mut room = Room::new();
    room.options.segment_octets = 10_000;
    // Nothing is sealed by a store that is opened to be asked.
    let store = room.open_for(Use::Offline).store;
    for no in 0..20 {
        put(&store, &transactions(no..no + 1));
    }
    store.close();
    let whole = room.crashed_copy();
    let store = room.store();
    sealed(&store);
    store.close();
    // Both forms, the sealed one whole: the active one goes.
    let both = room.crashed_copy();
    for log in whole.journal() {
        let target = both.path().join(log.strip_prefix(whole.path()).unwrap());
        std::fs::copy(log, target).unwrap();
    }
    let sealed_forms: Vec<_> = both.journal().into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "seg")).collect();
    assert!(!sealed_forms.is_empty());
    let half = both.crashed_copy();
    // A block of the form that counts is damaged.
    let damaged = both.crashed_copy();
    let sealed_form = damaged.path().join(sealed_forms[0].strip_prefix(both.path()).unwrap());
    let mut octets = std::fs::read(&sealed_form).unwrap();
    octets[100] ^= 0x10;
    std::fs::write(&sealed_form, octets).unwrap();
    let report = check(damaged.path()).unwrap();
    assert!(!report.is_sound() && report.problems[0].file == sealed_form, "{report:?}");
    let twenty = vec![(RecordKind::Transaction, 20)];
    let report = check(both.path()).unwrap();
    assert_eq!((report.kinds, report.problems), (twenty.clone(), vec![]), "none twice");
    let opened = both.open();
    assert_eq!(everything(&opened.store), transactions(0..20));
    assert!(sealed_forms.iter().all(|path| !path.with_extension("log").exists()));
    // Both forms, the sealed one cut: the active one stays.
    let cut = half.path().join(sealed_forms[0].strip_prefix(both.path()).unwrap());
    let octets = std::fs::read(&cut).unwrap();
    std::fs::write(&cut, &octets[..octets.len() / 2]).unwrap();
    std::fs::write(cut.with_extension("seg.unfinished"), b"half").unwrap();
    let report = check(half.path()).unwrap();
    assert_eq!((report.kinds, report.problems), (twenty, vec![]), "the active form has them all");
    let opened = half.open();
    assert_eq!(opened.report.unreadable.len(), 1);
    assert_eq!(everything(&opened.store), transactions(0..20));
    // It is sealed once more, and well.
    sealed(&opened.store);
    until(|| !cut.with_extension("seg.unfinished").exists());
    assert_eq!(everything(&opened.store), transactions(0..20));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Whatever is written in whatever batches, restarted and cut: the records are a prefix, and each is found.
    #[test]
    fn a_cut_journal_is_a_prefix_of_what_was_written(
        sizes in prop::collection::vec(1..9u64, 1..6),
        restart in any::<bool>(),
        cut in 0..4000u64,
    ) {
        let room = Room::with_runs_of(7);
        let mut store = room.store();
        let mut written = 0;
        for size in sizes {
            put(&store, &transactions(written..written + size));
            written += size;
            if restart {
                store.close();
                store = room.store();
            }
        }
        store.close();
        let last = room.journal().pop().unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&last).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(cut)).unwrap();
        let store = room.store();
        let kept = everything(&store);
        prop_assert_eq!(&kept, &transactions(0..kept.len() as u64));
        for no in 0..written {
            prop_assert_eq!(find(&store, message_id(no)).len(), usize::from(no < kept.len() as u64));
        }
    }
}

#[test]
fn a_form_that_this_build_does_not_read_is_refused_and_left_alone() {
    let room = Room::new();
    let store = room.store();
    put(&store, &transactions(0..3));
    store.close();
    let file = room.journal().remove(0);
    let whole = std::fs::read(&file).unwrap();
    for (version, words) in [(1u16, "before the first release"), (9, "newer relayscope")] {
        let mut octets = whole.clone();
        octets[10..12].copy_from_slice(&version.to_le_bytes());
        let checksum = crc32c::crc32c(&octets[..28]);
        octets[28..32].copy_from_slice(&checksum.to_le_bytes());
        std::fs::write(&file, &octets).unwrap();
        let Err(refused @ OpenError::Form { .. }) = Store::open(room.options.clone()) else { panic!("form {version} was opened") };
        assert!(refused.to_string().contains(words), "{refused}");
        let report = check(room.path()).unwrap();
        assert!(!report.is_sound() && report.problems[0].what.contains(words), "{report:?}");
        assert_eq!(std::fs::read(&file).unwrap(), octets);
    }
    std::fs::write(&file, whole).unwrap();
    assert_eq!(everything(&room.store()), transactions(0..3));
}

#[test]
fn a_clock_that_leaps_ahead_loses_no_message_that_is_under_way() {
    let mut room = Room::new();
    room.options.segment_octets = 10_000;
    let store = room.store();
    put(&store, &[samples::mark(1000)]);
    for day in 0..3 {
        room.advance(std::time::Duration::from_secs(day * 25 * 3600));
        for no in 0..60 {
            put(&store, &[samples::transaction(day * 100 + no)]);
        }
        sealed(&store);
        assert_eq!(store.fetch(samples::id(1000)).unwrap(), None);
    }
    put(&store, &[samples::transaction(1000)]);
    assert_eq!(store.fetch(samples::id(1000)).unwrap(), Some(samples::transaction(1000)));
    assert_eq!(find(&store, Term::State(State::Unknown)).len(), 0);
    store.close();
    assert_eq!(room.open().report.in_doubt, 0);
}
