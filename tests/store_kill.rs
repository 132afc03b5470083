//! A process is killed while it writes: whatever it had acknowledged is found, and what was open is in doubt.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

use std::future::poll_fn;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use relayscope::store::{Options, PageRequest, Query, Store, Term, check};
use relayscope::trace::{Record, State};

#[allow(dead_code)]
#[path = "../src/store/samples.rs"]
mod samples;
use relayscope::trace;

const ROLE: &str = "RELAYSCOPE_TEST_STORE";
/// Set: records are staged in this directory.
const STAGING: &str = "RELAYSCOPE_TEST_STAGING";

/// Not a test by itself: what the killed process does.
#[test]
fn write_until_killed() {
    let Ok(dir) = std::env::var(ROLE) else { return };
    let staging = std::env::var_os(STAGING).map(Into::into);
    let options = Options { segment_octets: 200_000, staging, ..Options::new(dir) };
    let store = Store::open(options).unwrap().store;
    let appender = store.appender();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // A mark that is a day old counts as lost.
    let mark = |no| match samples::mark(no) {
        Record::Mark(mark) => {
            Record::Mark(Box::new(trace::Mark { at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as u64, ..*mark }))
        }
        other => other,
    };
    for no in 0.. {
        appender.append_staged(&mark(no)).unwrap();
        let ticket = appender.append_staged(&samples::transaction(no)).unwrap();
        // The mark of the next is on its way while this one is being waited for.
        appender.append_staged(&mark(no + 1)).unwrap();
        runtime.block_on(poll_fn(|cx| appender.poll_stored(ticket, cx))).unwrap();
        println!("stored {no}");
    }
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
