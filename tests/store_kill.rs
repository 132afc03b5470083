//! A process is killed while it writes: whatever it had acknowledged is found, and what was open is in doubt.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

use std::collections::HashMap;
use std::future::poll_fn;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use relayscope::store::{Appender, Options, PageRequest, Query, Store, Term, check};
use relayscope::trace::{Record, State};

#[allow(dead_code)]
#[path = "../src/store/samples.rs"]
mod samples;
use relayscope::trace;

const ROLE: &str = "RELAYSCOPE_TEST_STORE";
/// Set: records are staged in this directory.
const STAGING: &str = "RELAYSCOPE_TEST_STAGING";
/// How many threads write, and from which number on.
const THREADS: &str = "RELAYSCOPE_TEST_THREADS";
const FIRST: &str = "RELAYSCOPE_TEST_FIRST";
/// Numbers between those of two threads, and of two lives.
const A_THREADS_OWN: u64 = 100_000;
const A_LIFES_OWN: u64 = 1_000_000;

/// Not a test by itself: what the killed process does.
#[test]
fn write_until_killed() {
    let Ok(dir) = std::env::var(ROLE) else { return };
    let staging = std::env::var_os(STAGING).map(Into::into);
    let options = Options { segment_octets: 200_000, staging, ..Options::new(dir) };
    let store = Store::open(options).unwrap().store;
    let threads: u64 = std::env::var(THREADS).map_or(1, |threads| threads.parse().unwrap());
    let first: u64 = std::env::var(FIRST).map_or(0, |first| first.parse().unwrap());
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let appender = store.appender();
            scope.spawn(move || write(&appender, (first + thread * A_THREADS_OWN)..));
        }
    });
}

fn write(appender: &Appender, numbers: std::ops::RangeFrom<u64>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // A mark that is a day old counts as lost.
    let mark = |no| match samples::mark(no) {
        Record::Mark(mark) => {
            Record::Mark(Box::new(trace::Mark { at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64, ..*mark }))
        }
        other => other,
    };
    for no in numbers {
        appender.append_staged(&mark(no)).unwrap();
        let ticket = appender.append_staged(&samples::transaction(no)).unwrap();
        // The mark of the next is on its way while this one is being waited for.
        appender.append_staged(&mark(no + 1)).unwrap();
        runtime.block_on(poll_fn(|cx| appender.poll_stored(ticket, cx))).unwrap();
        println!("stored {no}");
    }
}

/// What a writer said that was killed: the numbers it had acknowledged.
fn acknowledged(lines: impl Iterator<Item = String>) -> impl Iterator<Item = u64> {
    lines.filter_map(|line| line.rsplit_once("stored ")?.1.parse().ok())
}

#[test]
fn what_was_acknowledged_before_a_kill_is_found_after_it() {
    killed_and_found(false);
}

#[test]
fn what_was_staged_before_a_kill_is_found_after_it() {
    killed_and_found(true);
}

fn killed_and_found(staged: bool) {
    let memory = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut taken_in = 0;
    for (round, acknowledged) in [1u64, 40, 700].into_iter().enumerate() {
        let store_dir = dir.path().join(round.to_string());
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "write_until_killed", "--nocapture"]).env(ROLE, &store_dir).stdout(Stdio::piped());
        if staged {
            command.env(STAGING, memory.path());
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut last = None;
        while last.is_none_or(|last| last + 1 < acknowledged) {
            let line = lines.next().expect("the writer goes on until it is killed").unwrap();
            last = line.rsplit("stored ").next().and_then(|no| no.parse().ok()).or(last);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // What it said before it died counts as well.
        last = lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("stored ")?.parse().ok()).last().or(last);
        let last = last.unwrap();

        assert!(check(&store_dir).unwrap().is_sound());
        let opened = Store::open(Options::new(&store_dir)).unwrap();
        let (records, _) = opened.store.follow(None, usize::MAX).unwrap();
        let whole =
            records.iter().filter(|record| matches!(record, Record::Transaction(it) if it.outcome.state != State::Unknown)).count() as u64;
        assert!(whole > last, "{whole} records for {} acknowledged", last + 1);
        for (no, record) in (0..whole).zip(&records) {
            assert_eq!(*record, samples::transaction(no), "record {no}");
        }
        for no in [0, last / 2, last] {
            let id = samples::plain(no).message.message_id.unwrap();
            let page = opened.store.query(&Query::of(Term::MessageId(id)), &PageRequest::newest(5)).unwrap();
            assert_eq!(page.records, [samples::transaction(no)]);
        }
        assert!(opened.report.in_doubt <= 2, "{:?}", opened.report);
        taken_in += opened.report.staged;
    }
    // It never stopped writing: some of it had always yet to reach the journal.
    assert_eq!(taken_in > 0, staged);
}

/// One store, a hundred lives of several threads each, every one ended by a kill at a moment of its own.
#[test]
fn a_hundred_kills_lose_nothing_and_double_nothing() {
    const LIVES: u64 = 100;
    let memory = tempfile::tempdir().unwrap();
    // A kill is survived by the kernel's memory, on whatever file system: one that needn't wait for a disk.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store_dir = dir.path().join("store");
    let (mut known, mut all_wanted) = (Vec::new(), 0);
    for life in 0..LIVES {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "write_until_killed", "--nocapture"]).env(ROLE, &store_dir).stdout(Stdio::piped());
        command.env(THREADS, "4").env(FIRST, (life * A_LIFES_OWN).to_string());
        if life % 4 != 0 {
            command.env(STAGING, memory.path());
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let wanted = 1 + (life * 7919 % 97) as usize;
        all_wanted += wanted;
        known.extend(acknowledged(lines.by_ref()).take(wanted));
        child.kill().unwrap();
        child.wait().unwrap();
        known.extend(acknowledged(lines));
        if life % 20 == 19 {
            let report = check(&store_dir).unwrap();
            assert!(report.is_sound(), "after {} kills: {report:?}", life + 1);
        }
    }
    let store = Store::open(Options::new(&store_dir)).unwrap().store;
    let (records, _) = store.follow(None, usize::MAX).unwrap();
    let mut found: HashMap<_, Vec<&Record>> = HashMap::new();
    records.iter().for_each(|record| found.entry(record.id()).or_default().push(record));
    assert!(found.values().all(|records| records.len() == 1), "no id is there twice");
    assert!(known.len() >= all_wanted, "{} acknowledged of {all_wanted}", known.len());
    for &no in &known {
        let expected = samples::transaction(no);
        assert_eq!(found.get(&expected.id()), Some(&vec![&expected]), "{no} was acknowledged");
    }
    for &no in known.iter().step_by(known.len() / 100) {
        assert_eq!(store.fetch(samples::id(no)).unwrap(), Some(samples::transaction(no)));
    }
    store.close();
    assert!(check(&store_dir).unwrap().is_sound());
}
