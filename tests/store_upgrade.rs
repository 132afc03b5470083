//! A store that an earlier build wrote is read by this one. The files in `tests/fixtures/` are never made anew: a build that writes another
//! form gets a folder of its own, and goes on reading these.
//!
//! `cargo test --test store_upgrade -- --ignored` makes the folder of this build's form, if it isn't there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails says where")]

use std::fs;
use std::path::{Path, PathBuf};

use relayscope::store::{Import, Options, PageRequest, Query, Store, Term, TextField, check};
use relayscope::trace::{self, State, json};

#[allow(dead_code)]
#[path = "../src/store/samples.rs"]
mod samples;

/// One folder for each form that was ever released, oldest first: that of the records, of sealed files, of the index.
const FORMS: &[&str] = &["store-3-2-2", "store-4-2-2", "store-5-2-2", "store-5-2-3", "store-6-2-2", "store-6-2-3"];
/// Records of the first day; the second has one.
const RECORDS: u64 = 120;
const NEXT_DAY: u64 = 86_400_000;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn options(dir: &Path) -> Options {
    Options { keep_days: 0, segment_octets: 20_000, ..Options::new(dir) }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn lines(store: &Store) -> String {
    let (records, _) = store.follow(None, 10_000).unwrap();
    records.iter().map(|record| serde_json::to_string(&json::Record::from(record)).unwrap() + "\n").collect()
}

fn put(store: &Store, record: &trace::Record) {
    let appender = store.appender();
    let ticket = appender.append(record).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(std::future::poll_fn(|cx| appender.poll_stored(ticket, cx))).unwrap();
}

#[test]
fn stores_of_every_form_are_read() {
    for form in FORMS {
        let room = tempfile::tempdir().unwrap();
        let dir = room.path().join("store");
        copy(&fixtures().join(form), &dir);
        let report = check(&dir).unwrap();
        assert!(report.problems.is_empty(), "{form}: {report:?}");
        let opened = Store::open(options(&dir)).unwrap();
        let store = opened.store;
        assert_eq!(opened.report.replayed, 1, "{form}: the first day's index is taken as it is");
        assert!(
            lines(&store) == fs::read_to_string(fixtures().join(form).with_extension("ndjson")).unwrap(),
            "{form}: not what was written"
        );
        let found = |term: Term| store.query(&Query::of(term), &PageRequest::newest(500)).unwrap().records.len();
        assert_eq!(found(Term::MessageId(format!("<{}>", samples::plain(17).message.message_id.unwrap()))), 1, "{form}");
        assert_eq!(found(Term::Begins(TextField::To, "user10".to_owned())), 11, "{form}");
        assert_eq!(found(Term::State(State::Rejected)), 6, "{form}");
        assert_eq!(found(Term::Flag(trace::Flag::LateReply)), 1, "{form}");
        assert_eq!(found(Term::Kind(trace::RecordKind::Gap)), 1, "{form}");
        if *form >= "store-5-2-2" {
            let about = samples::plain(9).message.message_id.unwrap();
            assert_eq!(found(Term::ReportOf(about)), 1);
            assert_eq!(found(Term::Event(trace::LogEvent::Deferred)), 1);
            assert_eq!(found(Term::Cause("mailbox_full".to_owned())), 2);
            assert_eq!(found(Term::Kind(trace::RecordKind::Audit)), 1);
        }
        if *form >= "store-6-2-2" {
            assert_eq!(found(Term::Anomaly(trace::Anomaly::UpstreamDown)), 1);
        }
        // And it is added to.
        put(&store, &samples::transaction(7_000_000));
        store.close();
        assert!(check(&dir).unwrap().is_sound(), "{form}");
    }
}

#[test]
#[ignore = "makes the files that the other test reads"]
fn write_the_fixture_of_this_build() {
    let newest = FORMS.last().unwrap();
    let dir = fixtures().join(newest);
    assert!(!dir.exists(), "{} is there: what was written once stays", dir.display());
    let mut import = Import::begin(options(&dir)).unwrap();
    for no in 0..RECORDS {
        import.add(&samples::transaction(no)).unwrap();
    }
    for record in [
        samples::session(500),
        samples::gap(501),
        samples::amendment(7, 502, State::Accepted),
        samples::report(9, 503),
        samples::log(11, 504),
        samples::audit(505),
        samples::incident(506),
        samples::transaction(NEXT_DAY),
    ] {
        import.add(&record).unwrap();
    }
    import.finish().unwrap();
    // One that is in an active file yet.
    let store = Store::open(options(&dir)).unwrap().store;
    put(&store, &samples::transaction(RECORDS));
    fs::write(dir.with_extension("ndjson"), lines(&store)).unwrap();
    store.close();
    // What is a process's own, and what the run files say as well.
    fs::remove_dir_all(dir.join("state")).unwrap();
    fs::remove_file(dir.join("lock")).unwrap();
}
