//! How fast `where` is in a full store. By hand: `cargo test --release --test where_speed -- --ignored --nocapture`
//!
//! `RECORDS=1000000` says how full; `STORE=DIR` keeps the store and uses it again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use relayscope::path::{Manner, StoreTraces, What};
use relayscope::store::{Options, PageRequest, Query, Store, Term};
use relayscope::trace;

#[allow(dead_code)]
#[path = "../src/store/samples.rs"]
mod samples;

type Question = fn(&trace::Transaction) -> String;

#[test]
#[ignore = "takes a minute and measures"]
fn where_in_a_full_store() {
    let records: u64 = std::env::var("RECORDS").map_or(1_000_000, |text| text.parse().unwrap());
    let temporary = tempfile::tempdir().unwrap();
    let dir = std::env::var_os("STORE").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let filled = dir.exists() && std::fs::read_dir(&dir).unwrap().count() > 1;
    let store = Store::open(Options { keep_days: 0, ..Options::new(&dir) }).unwrap().store;
    if !filled {
        fill(&store, records);
    }
    while store.stats().unwrap().unindexed > 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    let traces = StoreTraces::new(store.clone(), true);
    report("Message-ID, the store alone", |n| {
        let query = Query::of(Term::MessageId(format!("<{}>", sample(n, records).message.message_id.unwrap())));
        let begun = Instant::now();
        assert_eq!(store.query(&query, &PageRequest::newest(100)).unwrap().records.len(), 1);
        begun.elapsed()
    });
    let kinds: [(&str, Question); 5] = [
        ("Message-ID", |it| format!("<{}>", it.message.message_id.as_deref().unwrap())),
        ("queue id", |it| it.outcome.upstream_queue_id.clone().unwrap_or_else(|| it.message.client_queue_id.clone().unwrap())),
        ("recipient", |it| it.envelope.recipients[0].address.clone()),
        ("sender", |it| it.envelope.reverse_path.clone()),
        ("never seen", |it| format!("x{}", it.envelope.recipients[0].address)),
    ];
    for (name, question) in kinds {
        report(name, |n| {
            let what = What::parse(&question(&sample(n, records)), jiff::Timestamp::now(), &TimeZone::UTC).unwrap();
            let begun = Instant::now();
            let answer = traces.locate(&what, Manner { limit: 20, now: samples::NOON, outside: None }).unwrap();
            let took = begun.elapsed();
            assert_eq!(answer.messages.is_empty(), name == "never seen", "{}", what.text);
            took
        });
    }
}

fn sample(n: u64, records: u64) -> trace::Transaction {
    samples::plain(n * 7_919 % records)
}

fn report(name: &str, one: impl Fn(u64) -> Duration) {
    let mut times: Vec<Duration> = (0..500).map(one).collect();
    times.sort_unstable();
    println!("{name:<28} p50 {:>9.2?}  p90 {:>9.2?}  p99 {:>9.2?}  max {:>9.2?}", times[250], times[450], times[495], times[499]);
}

fn fill(store: &Store, records: u64) {
    let appender = store.appender();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let begun = Instant::now();
    for n in 0..records {
        let ticket = appender.append(&trace::Record::Transaction(Box::new(samples::plain(n)))).unwrap();
        if n % 1_000 == 999 {
            runtime.block_on(std::future::poll_fn(|cx| appender.poll_stored(ticket, cx))).unwrap();
        }
    }
    println!("{records} records in {:.1?}", begun.elapsed());
}
