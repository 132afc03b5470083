//! The store at a million records: how fast they go in, what they cost, how fast they are found.
//!
//! `cargo bench --bench store -- [RECORDS] [SESSIONS] [--synced] [--no-marks] [--keep DIR]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use relayscope::store::{Durability, Options, PageRequest, Query, Store, Term};
use relayscope::trace;

#[allow(dead_code)]
#[path = "../src/store/samples.rs"]
mod samples;

/// Worker threads, as a proxy on two cores has them.
const WORKERS: u64 = 2;

struct Plan {
    records: u64,
    sessions: u64,
    durability: Durability,
    marks: bool,
    keep: Option<PathBuf>,
}

fn plan() -> Plan {
    let mut plan = Plan { records: 1_000_000, sessions: 50, durability: Durability::Written, marks: true, keep: None };
    let mut numbers = 0;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--synced" => plan.durability = Durability::Synced,
            "--no-marks" => plan.marks = false,
            "--keep" => plan.keep = args.next().map(PathBuf::from),
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

fn main() {
    let plan = plan();
    let temporary = tempfile::tempdir_in(".").unwrap();
    let dir = plan.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    let making = cost_of_making(&plan);
    let store = Store::open(Options { durability: plan.durability, ..Options::new(&dir) }).unwrap().store;

    let (begun, cpu) = (Instant::now(), cpu());
    let waits = ingest(&store, &plan);
    let written = begun.elapsed();
    // The last search waits until everything is indexed.
    while store.stats().unwrap().unindexed > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let indexed = begun.elapsed();
    while store.stats().unwrap().active_files > 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let used = self::cpu() - cpu;
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
    for (thread, used) in threads() {
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
    println!(
        "index on disk      {:>12.0}  octets a record ({} runs)",
        per(octets_in(&dir) as f64 - stats.journal_octets as f64),
        stats.runs
    );
    println!("memory, peak       {:>12.0}  MiB", status("VmHWM") as f64 / 1024.0);
    println!("memory, now        {:>12.0}  MiB", status("VmRSS") as f64 / 1024.0);

    searches(&store, plan.records);
    println!("memory, peak       {:>12.0}  MiB after searching", status("VmHWM") as f64 / 1024.0);
    let closing = Instant::now();
    store.close();
    println!("closing            {:>12.1}  ms", closing.elapsed().as_secs_f64() * 1e3);
    let opening = Instant::now();
    let opened = Store::open(Options::new(&dir)).unwrap();
    println!("opening again      {:>12.1}  ms, {} records replayed", opening.elapsed().as_secs_f64() * 1e3, opened.report.replayed);
    searches(&opened.store, plan.records);
}

/// Each session appends a mark, then its record, and waits until that is stored, as a proxy does.
fn ingest(store: &Store, plan: &Plan) -> Vec<Duration> {
    let (lanes, records, marks) = (plan.sessions / WORKERS, plan.records, plan.marks);
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
                                let mut no = worker * lanes + lane;
                                while no < records {
                                    if marks {
                                        appender.append_staged(&samples::mark(no)).unwrap();
                                    }
                                    let record = samples::transaction(no);
                                    let begun = Instant::now();
                                    let ticket = appender.append(&record).unwrap();
                                    poll_fn(|cx| appender.poll_stored(ticket, cx)).await.unwrap();
                                    waits.push(begun.elapsed());
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
    let some = |step: u64| (0..1000u64).map(move |no| no.wrapping_mul(step) % records);
    let newest = PageRequest::newest(25);
    let time = |name: &str, searches: &mut dyn Iterator<Item = Query>| {
        let times = searches.map(|query| {
            let begun = Instant::now();
            store.query(&query, &newest).unwrap();
            begun.elapsed()
        });
        println!("{name:<18} {}", percentiles(times.collect()));
    };
    let id = |no| samples::plain(no).message.message_id.unwrap();
    time("message-id", &mut some(7_919_993).map(|no| Query::of(Term::MessageId(id(no)))));
    time("<message-id>", &mut some(6_700_417).map(|no| Query::of(Term::MessageId(format!("<{}>", id(no))))));
    time("unknown id", &mut some(3_000_017).map(|no| Query::of(Term::MessageId(format!("<x{no}@nowhere.example>")))));
    time("queue id", &mut some(999_983).map(|no| Query::of(Term::QueueId(samples::plain(no).message.client_queue_id.unwrap()))));
    time("recipient", &mut some(500_009).map(|no| Query::of(Term::To(samples::plain(no).message.to.unwrap()))));
    time("sender", &mut some(500_009).map(|no| Query::of(Term::From(samples::plain(no).envelope.reverse_path))));
    time(
        "domain, rejected",
        &mut some(17).take(100).map(|no| Query {
            all: vec![Term::Domain(format!("d{}.example", no % 97)), Term::State(trace::State::Rejected)],
            ..Query::default()
        }),
    );
    time("newest", &mut some(1).take(100).map(|_| Query::default()));
    let times = some(7_919_993).map(|no| {
        let begun = Instant::now();
        assert!(store.fetch(samples::id(no)).unwrap().is_some());
        begun.elapsed()
    });
    println!("fetch by id        {}", percentiles(times.collect()));
}

fn cost_of_making(plan: &Plan) -> f64 {
    let cpu = cpu();
    let count = 50_000;
    for no in 0..count {
        if plan.marks {
            std::hint::black_box(samples::mark(no));
        }
        std::hint::black_box(samples::transaction(no));
    }
    (self::cpu() - cpu).as_secs_f64() * 1e6 / count as f64
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    format!("p50 {:>8.0}  p90 {:>8.0}  p99 {:>8.0}  max {:>8.0}  µs", at(0.5), at(0.9), at(0.99), at(1.0))
}

/// Of all threads of this process.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// Of the threads that are alive.
fn threads() -> Vec<(String, Duration)> {
    let ticks = |stat: String| {
        let (name, rest) = stat.split_once('(').unwrap().1.rsplit_once(')').unwrap();
        let fields: Vec<_> = rest.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        (name.to_owned(), Duration::from_millis(ticks * 10))
    };
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    tasks.map(|task| ticks(std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap())).collect()
}

fn status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn octets_in(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| if entry.path().is_dir() { octets_in(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}
