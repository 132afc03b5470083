//! How fast `where` is in a store full of messages with retries, second passages, reports and lines of logs. By hand: `cargo test --release --test where_speed -- --ignored --nocapture`
//!
//! `RECORDS=1000000` says how full; `STORE=DIR` keeps the store and uses it again; `ONLY=sender` asks one kind of question.

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
        assert!(!store.query(&query, &PageRequest::newest(100)).unwrap().records.is_empty());
        begun.elapsed()
    });
    let kinds: [(&str, Question); 5] = [
        ("Message-ID", |it| format!("<{}>", it.message.message_id.as_deref().unwrap())),
        ("queue id", |it| it.outcome.upstream_queue_id.clone().unwrap_or_else(|| it.message.client_queue_id.clone().unwrap())),
        ("recipient", |it| it.envelope.recipients[0].address.clone()),
        ("sender", |it| it.envelope.reverse_path.clone()),
        ("never seen", |it| format!("x{}", it.envelope.recipients[0].address)),
    ];
    let mut seen = Seen::default();
    let only = std::env::var("ONLY").ok();
    for (name, question) in kinds.into_iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)) {
        report(name, |n| {
            let what = What::parse(&question(&sample(n, records)), jiff::Timestamp::now(), &TimeZone::UTC).unwrap();
            let begun = Instant::now();
            let answer = traces.locate(&what, Manner { limit: 20, now: samples::NOON, outside: None }).unwrap();
            let took = begun.elapsed();
            assert_eq!(answer.messages.is_empty(), name == "never seen", "{}", what.text);
            seen.add(&answer);
            took
        });
    }
    println!("{seen:?}");
    for question in ["state:bounced", "state:bounced cause:mailbox_full", "state:deferred", "state:stuck"] {
        let what = What::parse(question, jiff::Timestamp::now(), &TimeZone::UTC).unwrap();
        let begun = Instant::now();
        let answer = traces.locate(&what, Manner { limit: 20, now: samples::NOON + 10_000_000_000, outside: None }).unwrap();
        println!("{question:<28} {:>9.2?}, {} messages", begun.elapsed(), answer.messages.len());
    }
}

/// That what was asked for was found, with all that belongs to it.
#[derive(Debug, Default)]
struct Seen {
    messages: usize,
    attempts: usize,
    passages: usize,
    reports: usize,
    lines: usize,
}

impl Seen {
    fn add(&mut self, answer: &relayscope::path::Answer) {
        for message in &answer.messages {
            self.messages += 1;
            self.attempts += message.relays().count();
            self.passages += message.relays().map(|hop| hop.passage as usize).max().unwrap_or(0);
            self.reports += message.reports().count();
            self.lines += message.logs().count();
        }
    }
}

/// One of the messages, of each kind alike.
fn sample(n: u64, records: u64) -> trace::Transaction {
    samples::plain(n * 7_919 % (records / 10) * 10 + n % 5)
}

/// Of ten records five are messages; the others are a retry, a second passage, a report and a line of a log on four of them, and one more message.
fn record(n: u64) -> trace::Record {
    let again = |of: u64| trace::Transaction {
        id: samples::id(n),
        session_id: samples::session_id(n),
        at: samples::NOON + n * 1000,
        ..samples::plain(of)
    };
    match n % 10 {
        6 => {
            let mut retry = again(n - 3);
            retry.outcome.state = trace::State::Accepted;
            retry.envelope.recipients.iter_mut().for_each(|recipient| recipient.state = trace::State::Accepted);
            trace::Record::Transaction(Box::new(retry))
        }
        7 => {
            let mut passage = again(n - 5);
            passage.message.client_queue_id = passage.outcome.upstream_queue_id.replace(format!("N{n}"));
            passage.message.received_count += 1;
            passage.listener = "outbound".to_owned();
            trace::Record::Transaction(Box::new(passage))
        }
        8 => {
            let original = samples::plain(n - 4);
            let trace::Record::Transaction(mut report) = samples::report(n - 4, n) else { panic!("a report is a transaction") };
            report.envelope.recipients.iter_mut().for_each(|recipient| recipient.address.clone_from(&original.envelope.reverse_path));
            report.message.report.iter_mut().for_each(|it| it.queue_id.clone_from(&original.outcome.upstream_queue_id));
            trace::Record::Transaction(report)
        }
        9 => samples::log(n - 8, n),
        _ => trace::Record::Transaction(Box::new(samples::plain(n))),
    }
}

fn report(name: &str, one: impl FnMut(u64) -> Duration) {
    let mut times: Vec<Duration> = (0..500).map(one).collect();
    times.sort_unstable();
    println!("{name:<28} p50 {:>9.2?}  p90 {:>9.2?}  p99 {:>9.2?}  max {:>9.2?}", times[250], times[450], times[495], times[499]);
}

fn fill(store: &Store, records: u64) {
    let appender = store.appender();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let begun = Instant::now();
    for n in 0..records {
        let ticket = appender.append(&record(n)).unwrap();
        if n % 1_000 == 999 {
            runtime.block_on(std::future::poll_fn(|cx| appender.poll_stored(ticket, cx))).unwrap();
        }
    }
    println!("{records} records in {:.1?}", begun.elapsed());
}
