//! The index can always be made again, and goes on where it stopped.

use super::*;

fn all_found(store: &Store, numbers: std::ops::Range<u64>) {
    for no in numbers {
        assert_eq!(find(store, message_id(no)), transactions(no..no + 1), "{no}");
        assert_eq!(store.fetch(samples::id(no)).unwrap(), Some(samples::transaction(no)), "{no}");
    }
}

#[test]
fn a_block_that_straddles_a_checkpoint_is_indexed_once_and_whole() {
    // Runs end inside blocks, and blocks inside runs: at each restart replay begins in the middle of a sealed block.
    for run_records in [7, 49, 50] {
        let mut room = Room::with_runs_of(run_records);
        room.options.segment_octets = 120_000;
        let mut store = room.store();
        for turn in 0..4u64 {
            for no in turn * 60..turn * 60 + 60 {
                put(&store, &transactions(no..no + 1));
            }
            sealed(&store);
            until(|| store.stats().unwrap().unindexed == 0);
            store.close();
            let opened = room.open();
            store = opened.store;
            assert!(opened.report.replayed < u64::from(run_records).max(1), "{} replayed, runs of {run_records}", opened.report.replayed);
            all_found(&store, 0..turn * 60 + 60);
        }
        // Eight at a time become one.
        until(|| store.stats().unwrap().runs <= 240 / u64::from(run_records) / 8 + 9);
        all_found(&store, 0..240);
    }
}

#[test]
fn much_that_is_left_at_the_end_is_stored_and_little_is_not() {
    let room = Room::new();
    let mut store = room.store();
    let mut written = 0;
    for (more, replayed) in [(5_000, 0), (300, 300), (4_500, 0)] {
        put(&store, &transactions(written..written + more));
        written += more;
        // The end waits for the index as long as mail may wait for it, no longer: on a busy machine that isn't enough.
        until(|| store.stats().unwrap().unindexed == 0);
        store.close();
        let opened = room.open();
        assert_eq!(opened.report.replayed, replayed);
        store = opened.store;
        for no in [0, 4_999, written - more, written - 1] {
            all_found(&store, no..no + 1);
        }
    }
    assert_eq!(store.stats().unwrap().runs, 2);
}

#[test]
fn a_deleted_index_is_made_again_and_said() {
    let room = Room::with_runs_of(10);
    let store = room.store();
    put(&store, &transactions(0..35));
    until(|| store.stats().unwrap().unindexed == 0);
    store.close();
    std::fs::remove_dir_all(room.path().join("2026-11-23/index")).unwrap();
    let opened = room.open();
    assert_eq!((opened.report.rebuilt.len(), opened.report.replayed), (1, 35));
    all_found(&opened.store, 0..35);
    opened.store.close();
    assert_eq!(room.open().report.replayed, 5);
}

#[test]
fn a_broken_run_is_made_again_by_itself() {
    let room = Room::with_runs_of(10);
    let store = room.store();
    put(&store, &transactions(0..35));
    until(|| store.stats().unwrap().unindexed == 0);
    store.close();
    let index = room.path().join("2026-11-23/index");
    let runs = files_in(&index);
    assert_eq!(runs.len(), 3);
    for run in &runs {
        let length = std::fs::metadata(run).unwrap().len() as usize;
        for at in (0..length).step_by(331) {
            let copy = room.crashed_copy();
            let broken = copy.path().join("2026-11-23/index").join(run.file_name().unwrap());
            let mut octets = std::fs::read(&broken).unwrap();
            octets[at] ^= 0x20;
            std::fs::write(&broken, octets).unwrap();
            let report = check(copy.path()).unwrap();
            assert_eq!(report.problems.iter().filter(|it| it.file == broken).count(), 1, "octet {at} of {}", run.display());
            let store = copy.store();
            all_found(&store, 0..35);
        }
    }
}

#[test]
fn a_broken_or_missing_catalog_is_made_again_from_the_run_files() {
    let room = Room::with_runs_of(10);
    let store = room.store();
    put(&store, &transactions(0..35));
    until(|| store.stats().unwrap().unindexed == 0);
    store.close();
    for file in ["db", "conf", ""] {
        let copy = room.crashed_copy();
        let broken = copy.path().join("state").join(file);
        match file {
            "" => std::fs::remove_dir_all(broken).unwrap(),
            _ => std::fs::write(&broken, vec![0xA5; std::fs::metadata(&broken).unwrap().len() as usize]).unwrap(),
        }
        let opened = copy.open();
        all_found(&opened.store, 0..35);
        assert_eq!((opened.report.replayed, opened.report.rebuilt.len()), (5, 0), "{file}: nothing of the journal had to be read again");
        // Sled takes a ruined database for an empty one.
        assert_eq!(copy.path().join("state.broken").is_dir(), file == "conf");
    }
}

#[test]
fn runs_are_merged_and_what_was_merged_goes() {
    let room = Room::with_runs_of(4);
    let mut store = room.store();
    for no in 0..300 {
        put(&store, &transactions(no..no + 1));
        if no % 50 == 7 {
            put(&store, &[samples::amendment(no, 1_000 + no, State::Accepted)]);
        }
    }
    until(|| store.stats().unwrap().runs < 14);
    for _ in 0..2 {
        for no in 0..300 {
            let found = find(&store, message_id(no));
            assert_eq!(found.len(), 1, "{no}");
            assert_eq!(found[0].id(), samples::id(no));
        }
        let late = find(&store, Term::Flag(Flag::LateReply));
        assert_eq!(late.len(), 6);
        let tally = store.tally(&Query::default(), &[Field::State]).unwrap();
        assert_eq!((tally.transactions, tally.explained.records_read), (300, 0));
        store.close();
        store = room.store();
    }
    // The next start removes what no search can be reading any more.
    let runs = store.stats().unwrap().runs;
    assert!(files_in(&room.path().join("2026-11-23/index")).len() as u64 <= runs);
}

#[test]
fn a_run_of_unusual_records_is_stored_before_it_takes_too_much() {
    let room = Room::new();
    let store = room.store();
    let crowd = |no: u64| {
        let mut record = samples::plain(no);
        let one = record.envelope.recipients[0].clone();
        record.envelope.recipients =
            (0..1000).map(|at| Recipient { address: format!("r{at}.{no}@x{at}.{no}.example"), ..one.clone() }).collect();
        Record::Transaction(Box::new(record))
    };
    for first in (0..800).step_by(50) {
        put(&store, &(first..first + 50).map(crowd).collect::<Vec<_>>());
    }
    until(|| store.stats().unwrap().unindexed == 0);
    let runs = store.stats().unwrap().runs;
    assert!((2..5).contains(&runs), "{runs} runs");
    for no in [0, 399, 799] {
        assert_eq!(find(&store, Term::To(format!("r7.{no}@x7.{no}.example"))).len(), 1);
    }
}

fn files_in(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn an_index_that_is_ahead_of_the_journal_is_made_again() {
    let mut room = Room::with_runs_of(5);
    room.options.segment_octets = 10_000;
    let store = room.store();
    for no in 0..40 {
        put(&store, &transactions(no..no + 1));
    }
    until(|| store.stats().unwrap().unindexed == 0);
    sealed(&store);
    store.close();
    for file in room.journal().into_iter().skip(2) {
        std::fs::remove_file(file).unwrap();
    }
    let opened = room.open();
    assert_eq!(opened.report.rebuilt.len(), 1);
    let left = opened.report.records;
    assert!(left > 0);
    put(&opened.store, &transactions(50..60));
    all_found(&opened.store, 0..left);
    all_found(&opened.store, 50..60);
}

#[test]
fn rebuilding_on_demand_starts_from_nothing() {
    let room = Room::with_runs_of(10);
    let store = room.store();
    put(&store, &transactions(0..35));
    assert!(matches!(rebuild_index(room.options.clone()), Err(OpenError::InUse { .. })));
    store.close();
    let report = rebuild_index(room.options.clone()).unwrap();
    assert_eq!((report.replayed, report.unfinished), (35, false));
    all_found(&room.store(), 0..35);
}

#[test]
fn a_day_that_is_over_needs_no_replay() {
    let room = Room::with_runs_of(10);
    let store = room.store();
    put(&store, &transactions(0..15));
    room.advance(Duration::from_secs(86_400));
    put(&store, &transactions(15..17));
    // Its two runs are one now.
    let is_one = |path: &std::path::PathBuf| path.to_string_lossy().contains("/0000000000-0000000015-");
    let index = room.path().join("2026-11-23/index");
    until(|| index.is_dir() && files_in(&index).iter().any(is_one));
    store.close();
    let opened = room.open();
    assert_eq!(opened.report.replayed, 2);
    all_found(&opened.store, 0..17);
}

#[test]
fn reports_and_lines_of_logs_are_found() {
    let room = Room::new();
    let store = room.store();
    let records = [samples::transaction(9), samples::report(9, 503), samples::log(11, 504), samples::audit(505), samples::incident(506)];
    put(&store, &records);
    let original = samples::plain(9);
    let recipient = original.envelope.recipients[0].address.clone();
    for (term, expected) in [
        (Term::ReportOf(original.message.message_id.clone().unwrap()), 503),
        (Term::ReportOf(format!("<{}>", original.message.message_id.unwrap())), 503),
        (Term::ReportOfQueueId("4xyz12".to_owned()), 503),
        (Term::ReportTo(recipient), 503),
        (Term::Event(crate::trace::LogEvent::Deferred), 504),
        (Term::ClientIp("192.0.2.77".parse().unwrap()), 504),
        (Term::Upstream("mx.example.org".to_owned()), 504),
        (Term::Kind(RecordKind::Audit), 505),
        (Term::Kind(RecordKind::Incident), 506),
        (Term::Incident(samples::id(506)), 506),
        (Term::Anomaly(crate::trace::Anomaly::UpstreamDown), 506),
    ] {
        let found: Vec<_> = find(&store, term.clone()).iter().map(Record::id).collect();
        assert_eq!(found, [samples::id(expected)], "{term:?}");
    }
    for term in [Term::Cause("mailbox_full".to_owned()), Term::Rule("text/mailbox-full".to_owned())] {
        assert_eq!(find(&store, term.clone()).len(), 2, "{term:?}");
    }
}

#[test]
fn what_no_index_leads_to_is_found_by_its_id_however_it_is_asked_for() {
    use super::super::index::terms::TermKind;
    use super::super::unindexed::Unindexed;
    let mut room = Room::new();
    room.options.segment_octets = 20_000;
    let store = room.store();
    put(&store, &transactions(0..200));
    put(&store, &[samples::amendment(7, 500, State::Rejected), samples::amendment(150, 501, State::Deferred)]);
    put(&store, &transactions(200..300));
    let (live, day) = (store.live().unwrap(), Day::of(NOON));
    let mut unindexed = Unindexed::default();
    let mut places = |numbers: std::ops::Range<u32>, kind, no| unindexed.places(&live, day, numbers, kind, samples::id(no)).unwrap();
    assert_eq!(places(100..180, TermKind::Id, 150), [150]);
    // More of it, on either side; and less.
    assert_eq!(places(100..302, TermKind::Amends, 150), [201]);
    assert_eq!(places(0..302, TermKind::Amends, 7), [200]);
    assert_eq!(places(0..302, TermKind::Id, 299), [301]);
    assert_eq!(places(0..150, TermKind::Id, 150), [0u32; 0]);
    assert_eq!(places(0..302, TermKind::Id, 7_777), [0u32; 0]);
}

#[test]
fn a_count_over_a_damaged_run_is_right_all_the_same() {
    let room = Room::with_runs_of(64);
    let store = room.store();
    put(&store, &transactions(0..64));
    until(|| store.stats().unwrap().unindexed == 0);
    let fields = [Field::State, Field::Domain, Field::Code, Field::Helo];
    let count = |store: &Store| {
        let tally = store.tally(&Query::default(), &fields).unwrap();
        (tally.transactions, tally.recipients, tally.octets, tally.by)
    };
    let right = count(&store);
    store.close();
    let index = format!("{}/index", Day::of(NOON));
    let length = std::fs::read(files_in(&room.path().join(&index)).pop().unwrap()).unwrap().len();
    for offset in (0..length).step_by(length / 40) {
        let copy = room.crashed_copy();
        let run = files_in(&copy.path().join(&index)).pop().unwrap();
        let mut octets = std::fs::read(&run).unwrap();
        octets[offset] ^= 0x10;
        std::fs::write(&run, octets).unwrap();
        assert_eq!(count(&copy.store()), right, "octet {offset} of {length}");
    }
}

#[test]
fn the_proxys_own_probes_are_nobodys_sessions() {
    let room = Room::with_runs_of(8);
    let store = room.store();
    let probe = |no: u64| {
        let Record::Session(mut it) = samples::session(no) else { unreachable!() };
        it.flags.push(Flag::Synthetic);
        Record::Session(it)
    };
    // In stored runs, in the one in memory, and where each record is looked at.
    let records: Vec<Record> = (0..20).map(|no| if no % 2 == 0 { probe(no) } else { samples::session(no) }).collect();
    put(&store, &records);
    until(|| store.stats().unwrap().unindexed == 0);
    let of = |query: &Query| store.tally(query, &[Field::State]).unwrap().sessions;
    assert_eq!(of(&Query::of(Term::Kind(RecordKind::Session))), 10);
    assert_eq!(of(&Query::default()), 10);
}

/// A log tells a message's size with each line on it.
#[test]
fn sizes_in_lines_of_logs_are_no_octets_that_passed() {
    let room = Room::with_runs_of(8);
    let store = room.store();
    let octets: u64 = (0..10).map(|no| samples::plain(no).message.size).sum();
    assert!(octets > 0);
    // In stored runs, in the one in memory, and where each record is looked at.
    let records: Vec<Record> = (0..20).map(|no| if no < 10 { samples::transaction(no) } else { samples::log(no - 10, no) }).collect();
    put(&store, &records);
    until(|| store.stats().unwrap().unindexed == 0);
    let of = |query: &Query| store.tally(query, &[Field::State]).unwrap().octets;
    assert_eq!(of(&Query::default()), octets);
    assert_eq!(of(&Query::of(Term::Kind(RecordKind::Log))), 0);
    let since = Query { since: Some(0), ..Query::default() };
    assert_eq!(of(&since), octets);
}

/// Beside a running proxy a run may be merged with others between the list of names and its opening.
#[test]
fn a_check_of_a_store_in_use_passes_over_a_run_that_has_gone() {
    let room = Room::with_runs_of(4);
    let store = room.store();
    put(&store, &transactions(0..4));
    let index = room.path().join("2026-11-23/index");
    until(|| index.is_dir());
    let gone = index.join("0000000004-0000000008-0000002a.run");
    std::os::unix::fs::symlink("nowhere", &gone).unwrap();
    assert_eq!(check(room.path()).unwrap().problems, []);
    store.close();
    assert_eq!(check(room.path()).unwrap().problems.len(), 1, "of a stopped one nothing goes by itself");
}

/// While the index stands still, later words stand behind it; each record was counted and listed twice.
#[test]
fn an_index_that_lags_behind_counts_and_lists_what_was_amended_once() {
    let room = Room::with_runs_of(4);
    let day = room.path().join("2026-11-23");
    std::fs::create_dir_all(&day).unwrap();
    // Full runs find no place, and no more are made.
    std::fs::write(day.join("index"), b"").unwrap();
    let store = room.store();
    put(&store, &transactions(0..16));
    let indexed = || store.live().unwrap().index.indexed(Day::of(NOON));
    until(|| indexed() == 16);
    put(&store, &[samples::amendment(3, 100, State::Rejected), samples::amendment(5, 101, State::Rejected)]);
    assert_eq!(indexed(), 16);
    let tally = store.tally(&Query::default(), &[Field::State]).unwrap();
    assert_eq!(tally.transactions, 16);
    assert_eq!(tally.by[0].iter().map(|(_, count)| count).sum::<u64>(), 16);
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = store.query(&Query::default(), &PageRequest { limit: 4, before }).unwrap();
        seen.extend(page.records.iter().map(Record::id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let listed = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!((listed, seen.len()), (16, 16));
    // What is looked at for it is bounded, and begins with the newest.
    let live = store.live().unwrap();
    let met = |most: u32, deadline: Instant| {
        let mut search = search::Search::new(&live);
        search.meet_amendments(Cursor::at_start_of(Day::of(NOON)), most, deadline).unwrap();
        let mut met: Vec<_> = search.amended().iter().copied().collect();
        met.sort_unstable();
        met
    };
    let soon = Instant::now() + Duration::from_secs(3600);
    assert_eq!(met(1, soon), [samples::id(5)]);
    assert_eq!(met(2, soon), [samples::id(3), samples::id(5)]);
    assert_eq!(met(2, Instant::now().checked_sub(Duration::from_secs(1)).unwrap()), []);
}

/// Long records fill a read before it has got to the one that was asked for.
#[test]
fn long_records_that_no_index_leads_to_are_found_one_by_one() {
    let room = Room::with_runs_of(4);
    let day = room.path().join("2026-11-23");
    std::fs::create_dir_all(&day).unwrap();
    std::fs::write(day.join("index"), b"").unwrap();
    let store = room.store();
    put(&store, &transactions(0..16));
    until(|| store.live().unwrap().index.indexed(Day::of(NOON)) == 16);
    let long = |no: u64| {
        let mut it = samples::plain(no);
        it.timeline.push(90_000, Leg::Client, Flow::In, &"x".repeat(50_000));
        Record::Transaction(Box::new(it))
    };
    let records: Vec<_> = (16..40).map(long).collect();
    put(&store, &records);
    let found = find(&store, Term::Kind(RecordKind::Transaction));
    assert_eq!(found.len(), 40);
    assert!(found.iter().rev().skip(16).eq(&records));
}
