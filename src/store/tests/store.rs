//! Records go in, survive, and are found.

use std::future::poll_fn;

use crate::store::samples::{self, NOON};
use crate::store::*;
use crate::trace::*;

fn open(dir: &std::path::Path) -> Store {
    Store::open(Options::new(dir)).unwrap().store
}

fn rt() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Appends and waits until stored.
fn put(store: &Store, records: &[Record]) {
    let appender = store.appender();
    let tickets: Vec<_> = records.iter().map(|record| appender.append(record).unwrap()).collect();
    rt().block_on(async {
        for ticket in tickets {
            poll_fn(|cx| appender.poll_stored(ticket, cx)).await.unwrap();
            assert!(appender.is_stored(ticket));
        }
    });
}

fn found(store: &Store, term: Term) -> Vec<Record> {
    store.query(&Query::of(term), &PageRequest::newest(100)).unwrap().records
}

#[test]
fn what_was_appended_is_found_at_once_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let records: Vec<_> = (0..200).map(samples::transaction).collect();
    let store = open(dir.path());
    put(&store, &records);
    let like = samples::plain(77);
    let check = |store: &Store| {
        assert_eq!(found(store, Term::MessageId(like.message.message_id.clone().unwrap())), [records[77].clone()]);
        assert_eq!(store.fetch(like.id).unwrap(), Some(records[77].clone()));
        assert_eq!(store.query(&Query::default(), &PageRequest::newest(3)).unwrap().records, [199, 198, 197].map(samples::transaction));
    };
    check(&store);
    store.close();
    check(&open(dir.path()));
}

#[test]
fn pages_follow_one_another_without_overlap_while_records_come_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, &(0..50).map(samples::transaction).collect::<Vec<_>>());
    let query = Query { until: Some(NOON + 45_000), ..Query::default() };
    let mut seen = Vec::new();
    let mut before = None;
    for page in 0.. {
        let answer = store.query(&query, &PageRequest { limit: 10, before }).unwrap();
        seen.extend(answer.records.iter().map(Record::id));
        put(&store, &[samples::transaction(1000 + page)]);
        before = answer.next;
        if before.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..45).rev().map(samples::id).collect();
    assert_eq!(seen, expected);
}

#[test]
fn following_yields_the_journal_in_order_and_then_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(store.follow(None, 10).unwrap().0, []);
    put(&store, &[samples::mark(1), samples::transaction(1), samples::session(2), samples::gap(3)]);
    let (records, cursor) = store.follow(None, 2).unwrap();
    assert_eq!(records, [samples::transaction(1), samples::session(2)]);
    let (records, cursor) = store.follow(Some(cursor), 10).unwrap();
    assert_eq!(records, [samples::gap(3)]);
    assert_eq!(store.follow(Some(cursor), 10).unwrap(), (Vec::new(), cursor));
    assert_eq!(store.end().unwrap(), cursor);
    put(&store, &[samples::transaction(4)]);
    assert_eq!(store.follow(Some(cursor), 10).unwrap().0, [samples::transaction(4)]);
}

#[test]
fn the_newest_amendment_wins_and_stands_for_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    put(&store, &[samples::transaction(1), samples::transaction(2)]);
    put(&store, &[samples::amendment(1, 10, State::Unknown), samples::amendment(1, 11, State::Deferred), samples::transaction(3)]);
    let id = samples::id(1);
    let Some(Record::Transaction(folded)) = store.fetch(id).unwrap() else { panic!("the transaction is there") };
    assert_eq!((folded.outcome.state, folded.flags.as_slice()), (State::Deferred, [Flag::LateReply].as_slice()));
    assert_eq!(store.fetch(samples::id(10)).unwrap(), store.fetch(id).unwrap());
    let newest: Vec<_> = store.query(&Query::default(), &PageRequest::newest(10)).unwrap().records.iter().map(Record::id).collect();
    assert_eq!(newest, [samples::id(3), id, samples::id(2)]);
    let from = Term::From(samples::plain(1).envelope.reverse_path);
    let query = Query { all: vec![from, Term::State(State::Deferred)], ..Query::default() };
    assert_eq!(store.query(&query, &PageRequest::newest(10)).unwrap().records, [Record::Transaction(folded)]);
    assert_eq!(found(&store, Term::State(State::Unknown)), []);
}

#[test]
fn a_second_opener_is_refused_and_told_who_holds_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    match Store::open(Options::new(dir.path())) {
        Err(OpenError::InUse { pid, .. }) => assert_eq!(pid, std::process::id()),
        other => panic!("{other:?}"),
    }
    store.close();
    open(dir.path());
}
