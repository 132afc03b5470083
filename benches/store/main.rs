//! The store at a million records and more: how fast they go in, what they cost, how fast they are found, and SQLite beside it.
//!
//! `cargo bench --bench store -- [RECORDS] [SESSIONS] [--synced] [--no-marks] [--keep DIR] [--sqlite RECORDS]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod report;
mod sqlite;

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use relayscope::store::{Durability, Field, Options, PageRequest, Query, Store, Term, TextField};
use relayscope::trace;
use relayscope::trace::Transaction;
use report::percentiles;

#[allow(dead_code)]
#[path = "../../src/store/samples.rs"]
mod samples;

/// Worker threads, as a proxy on two cores has them.
const WORKERS: u64 = 2;
/// Records that a process writes before it is killed.
const KILLED: u64 = 100_000;
/// Addresses that all messages go to.
const RECIPIENTS: u64 = 20_000;

struct Plan {
    records: u64,
    sessions: u64,
    durability: Durability,
    marks: bool,
    keep: Option<PathBuf>,
    sqlite: Option<u64>,
    /// Only writes, from this record on, and is killed then.
    dies: Option<u64>,
}

fn plan() -> Plan {
    let mut plan =
        Plan { records: 1_000_000, sessions: 50, durability: Durability::Written, marks: true, keep: None, sqlite: None, dies: None };
    let mut numbers = 0;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--synced" => plan.durability = Durability::Synced,
            "--no-marks" => plan.marks = false,
            "--keep" => plan.keep = args.next().map(PathBuf::from),
            "--sqlite" => plan.sqlite = args.next().map(|number| number.parse().expect("a number")),
            "--dies" => plan.dies = args.next().map(|number| number.parse().expect("a number")),
            "--bench" => {}
            number => {
                let number = number.parse().expect("a number");
                if numbers == 0 {
                    plan.records = number
                } else {
                    plan.sessions = number
                }
                numbers += 1;
            }
        }
    }
    plan
}

/// A transaction to one of [`RECIPIENTS`].
fn sample(no: u64) -> Transaction {
    let mut sample = samples::plain(no);
    let recipient = no.wrapping_mul(0x9E37_79B9_7F4A_7C15) % RECIPIENTS;
    sample.envelope.recipients[0].address = format!("user{recipient}@d{}.example", recipient % 97);
    sample
}

fn main() {
    let plan = plan();
    let temporary = tempfile::tempdir_in(".").unwrap();
    let dir = plan.keep.clone().unwrap_or_else(|| temporary.path().join("store"));
    let options = Options { durability: plan.durability, keep_days: 0, ..Options::new(&dir) };
    let store = Store::open(options.clone()).unwrap().store;
    if plan.dies.is_some() {
        ingest(&store, &plan);
        Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
    }
    write(&store, &plan, &dir);
    searches(&store, plan.records);
    println!("memory, peak       {:>12}  MiB after searching", report::memory("VmHWM"));
    let closing = Instant::now();
    store.close();
    println!("closing            {:>12.1}  ms", closing.elapsed().as_secs_f64() * 1e3);
    killed(&dir, &plan);
    let opening = Instant::now();
    let opened = Store::open(options.clone()).unwrap();
    opened.store.query(&Query::of(Term::QueueId("none".to_owned())), &PageRequest::newest(1)).unwrap();
    println!(
        "start after kill   {:>12.1}  ms until a first answer, {} records replayed",
        opening.elapsed().as_secs_f64() * 1e3,
        opened.report.replayed
    );
    searches(&opened.store, plan.records);
    println!("memory, peak       {:>12}  MiB", report::memory("VmHWM"));
    while opened.store.stats().unwrap().active_files > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    println!("on disk, at rest   {:>12.0}  octets a record", report::octets_in(&dir) as f64 / (plan.records + KILLED) as f64);
    opened.store.close();
    drop_day(&dir);
    if let Some(records) = plan.sqlite {
        sqlite::run(temporary.path(), records);
    }
}

fn write(store: &Store, plan: &Plan, dir: &Path) {
    let making = cost_of_making(plan);
    let (begun, cpu) = (Instant::now(), report::cpu());
    let waits = ingest(store, plan);
    let written = begun.elapsed();
    while store.stats().unwrap().unindexed > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let indexed = begun.elapsed();
    while store.stats().unwrap().active_files > 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let used = report::cpu() - cpu;
    let stats = store.stats().unwrap();
    let per = |value: f64| value / plan.records as f64;
    println!(
        "records            {:>12}  ({} sessions on {WORKERS} workers, {:?}, marks: {})",
        plan.records, plan.sessions, plan.durability, plan.marks
    );
    println!("written            {:>12.0}  records/s", plan.records as f64 / written.as_secs_f64());
    println!("written, indexed   {:>12.0}  records/s", plan.records as f64 / indexed.as_secs_f64());
    println!("sealed after       {:>12.1}  s", begun.elapsed().as_secs_f64());
    println!("cpu                {:>12.1}  µs a record, of which {:.1} to make it", per(used.as_secs_f64() * 1e6), making);
    for (thread, used) in report::threads().into_iter().filter(|(thread, _)| thread.starts_with("store-")) {
        println!("  {thread:<16} {:>12.1}  µs a record", per(used.as_secs_f64() * 1e6));
    }
    println!(
        "batches            {:>12}  ({:.1} records each), {} syncs",
        stats.batches,
        plan.records as f64 / stats.batches as f64,
        stats.syncs
    );
    println!("wait for stored    {}", percentiles(waits));
    println!("journal on disk    {:>12.0}  octets a record ({} sealed files)", per(stats.journal_octets as f64), stats.sealed_files);
    println!("all on disk        {:>12.0}  octets a record ({} runs)", per(report::octets_in(dir) as f64), stats.runs);
    println!("memory, peak       {:>12}  MiB", report::memory("VmHWM"));
    println!("memory, now        {:>12}  MiB", report::memory("VmRSS"));
}

/// Each session appends a mark, then its record, and waits until that is stored, as a proxy does.
fn ingest(store: &Store, plan: &Plan) -> Vec<Duration> {
    let first = plan.dies.unwrap_or(0);
    let (lanes, records, marks) = (plan.sessions / WORKERS, first + plan.records, plan.marks);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let appender = store.appender();
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    let local = tokio::task::LocalSet::new();
                    let handles: Vec<_> = (0..lanes)
                        .map(|lane| {
                            let appender = appender.clone();
                            local.spawn_local(async move {
                                let mut waits = Vec::new();
                                let mut no = first + worker * lanes + lane;
                                while no < records {
                                    if marks {
                                        appender.append_staged(&samples::mark(no)).unwrap();
                                    }
                                    let record = trace::Record::Transaction(Box::new(sample(no)));
                                    let begun = Instant::now();
                                    let ticket = appender.append(&record).unwrap();
                                    poll_fn(|cx| appender.poll_stored(ticket, cx)).await.unwrap();
                                    if no.is_multiple_of(16) {
                                        waits.push(begun.elapsed());
                                    }
                                    no += lanes * WORKERS;
                                }
                                waits
                            })
                        })
                        .collect();
                    let mut waits = Vec::new();
                    local.block_on(&runtime, async {
                        for handle in handles {
                            waits.extend(handle.await.unwrap());
                        }
                    });
                    waits
                })
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn searches(store: &Store, records: u64) {
    let some = |step: u64| (0..500u64).map(move |no| no.wrapping_mul(step) % records);
    let time = |name: &str, limit: usize, searches: &mut dyn Iterator<Item = Query>| {
        let mut found = 0;
        let times = searches.map(|query| {
            let begun = Instant::now();
            found += store.query(&query, &PageRequest::newest(limit)).unwrap().records.len();
            begun.elapsed()
        });
        println!("{name:<18} {}  {found} found", percentiles(times.collect()));
    };
    let id = |no| samples::plain(no).message.message_id.unwrap();
    let begins = |field: TextField, text: String| Query::of(Term::Begins(field, text));
    time("<message-id>", 25, &mut some(6_700_417).map(|no| Query::of(Term::MessageId(format!("<{}>", id(no))))));
    time("unknown id", 25, &mut some(3_000_017).map(|no| Query::of(Term::MessageId(format!("<x{no}@nowhere.example>")))));
    time("recipient, 50", 50, &mut some(500_009).map(|no| Query::of(Term::To(sample(no).envelope.recipients[0].address.clone()))));
    time("id fragment", 25, &mut some(7_919_993).map(|no| Query::of(Term::MessageId(sqlite::fragment(&sample(no))))));
    time("subject word", 25, &mut some(999_983).map(|no| Query::of(Term::Subject(no.to_string()))));
    time("subject words", 25, &mut some(999_983).map(|no| Query::of(Term::Subject(format!("invoice {no}")))));
    time("queue id", 25, &mut some(999_983).map(|no| Query::of(Term::QueueId(sample(no).message.client_queue_id.unwrap()))));
    time(
        "queue id, begun",
        25,
        &mut some(77_773).map(|no| begins(TextField::QueueId, sample(no).message.client_queue_id.unwrap()[..6].to_owned())),
    );
    time("sender", 25, &mut some(500_009).map(|no| Query::of(Term::From(sample(no).envelope.reverse_path))));
    time(
        "domain, rejected",
        25,
        &mut some(17).take(100).map(|no| Query {
            all: vec![Term::Domain(format!("d{}.example", no % 97)), Term::State(trace::State::Rejected)],
            ..Query::default()
        }),
    );
    time(
        "network and size",
        25,
        &mut some(17).take(100).map(|no| Query {
            all: vec![Term::ClientNet("192.0.2.0/28".parse().unwrap()), Term::Size(4096 + no % 512..=4100 + no % 512)],
            ..Query::default()
        }),
    );
    time("newest", 25, &mut some(1).take(100).map(|_| Query::default()));
    let times = some(7_919_993).map(|no| {
        let begun = Instant::now();
        assert!(store.fetch(samples::id(no)).unwrap().is_some());
        begun.elapsed()
    });
    println!("fetch by id        {}", percentiles(times.collect()));
    let tally = store.tally(&Query::default(), &[Field::State, Field::Code, Field::Domain, Field::Client]).unwrap();
    println!("count all by four  {:>12.1}  ms, {} records read", tally.explained.took.as_secs_f64() * 1e3, tally.explained.records_read);
    let rejected = store.tally(&Query::of(Term::State(trace::State::Rejected)), &[Field::Domain]).unwrap();
    println!(
        "count rejected     {:>12.1}  ms, {} records read",
        rejected.explained.took.as_secs_f64() * 1e3,
        rejected.explained.records_read
    );
}

/// Has another process write on, and die in the middle of it.
fn killed(dir: &Path, plan: &Plan) {
    let exe = std::env::current_exe().unwrap();
    let status = Command::new(exe)
        .args([&KILLED.to_string(), &plan.sessions.to_string(), "--dies", &plan.records.to_string(), "--keep"])
        .arg(dir)
        .status()
        .unwrap();
    assert!(!status.success(), "it was to be killed");
}

/// A day that is too old is removed when the store is opened.
fn drop_day(dir: &Path) {
    for day in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.join("journal").is_dir()) {
        std::fs::rename(&day, dir.join("2020-01-01")).unwrap();
    }
    let store = Store::open(Options { keep_days: 0, ..Options::new(dir) }).unwrap().store;
    let ticket = store.appender().append(&samples::transaction(0)).unwrap();
    while !store.appender().is_stored(ticket) {
        std::thread::yield_now();
    }
    store.close();
    let octets = report::octets_in(dir);
    let begun = Instant::now();
    let store = Store::open(Options { keep_days: 30, ..Options::new(dir) }).unwrap().store;
    let opened = begun.elapsed();
    while std::fs::read_dir(dir).unwrap().any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("2020")) {
        std::thread::sleep(Duration::from_millis(1));
    }
    println!(
        "dropping the day   {:>12.1}  ms after opening ({:.1} ms); {} MiB came back",
        (begun.elapsed() - opened).as_secs_f64() * 1e3,
        opened.as_secs_f64() * 1e3,
        (octets - report::octets_in(dir)) >> 20
    );
    store.close();
}

fn cost_of_making(plan: &Plan) -> f64 {
    let cpu = report::cpu();
    let count = 50_000;
    for no in 0..count {
        if plan.marks {
            std::hint::black_box(samples::mark(no));
        }
        std::hint::black_box(sample(no));
    }
    (report::cpu() - cpu).as_secs_f64() * 1e6 / count as f64
}
