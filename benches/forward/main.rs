//! How fast a sink forwards a store that is full already, by way and format; and the memory of one that is stuck.
//!
//! The receivers are threads of this program that read and throw away, each on a processor it shares with the sink: a sink's own share is
//! the CPU column.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench that can't go on stops, and prints what it found")]

mod broker;
mod collector;
#[path = "../filled.rs"]
mod filled;
mod receivers;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use relayscope::export::format::otlp::Signals;
use relayscope::export::format::{Context, Encoder, Format};
use relayscope::export::transport::{Target, elasticsearch, file, http, kafka, otlp, stream, syslog};
use relayscope::export::{Batching, Feed, Ground, Handle, Options, Redaction, Sink, Start};
use relayscope::net::http_client::HttpUrl;
use relayscope::net::tls::ClientTls;
use relayscope::store::Store;
use relayscope::trace;
use tokio::sync::watch;

use receivers::Receivers;

/// Records of the store, unless said otherwise on the command line. Words there choose the ways that have them in their names.
const RECORDS: u64 = 300_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let records = words.iter().filter_map(|word| word.parse().ok()).next().unwrap_or(RECORDS);
    let wanted: Vec<&String> = words.iter().filter(|word| word.parse::<u64>().is_err()).collect();
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store = filled::filled(&dir.path().join("store"), records);
    let receivers = Receivers::start(dir.path());
    println!("{records} records, 4 KiB messages with one recipient; wanted: 30,000 records/s for each sink");
    println!("{:<28}{:>12}{:>16}{:>16}", "way, format", "records/s", "CPU µs/record", "octets/record");
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str()));
    for (name, target, format) in ways(&receivers, dir.path()).into_iter().filter(|(name, ..)| is_wanted(name)) {
        measure(&store, dir.path(), name, target, format, records);
    }
    if wanted.is_empty() {
        together(&store, dir.path(), &receivers, records);
        stuck(&store, dir.path(), &receivers);
    }
    store.close();
}

fn ways(receivers: &Receivers, dir: &Path) -> Vec<(&'static str, Target, Format)> {
    let header =
        || syslog::Header { facility: syslog::Facility::Mail, host_name: "relay.example".to_owned(), app_name: "relayscope".to_owned() };
    let stream = |tls: bool| Target::Syslog {
        to: stream::Options {
            host: "localhost".to_owned(),
            port: if tls { receivers.tls } else { receivers.tcp },
            tls: tls.then(|| ClientTls::only(&receivers.certificate).unwrap()),
            framing: syslog::Framing::OctetCounting,
        },
        header: header(),
    };
    let url = |path: &str| HttpUrl::parse(&format!("http://localhost:{}{path}", receivers.http)).unwrap();
    let tls = || ClientTls::only(&receivers.certificate).unwrap();
    let hook = |gzip| {
        Target::Http(http::Options {
            url: url("/hook"),
            tls: tls(),
            key: None,
            headers: Vec::new(),
            body: http::Body::Lines,
            single: false,
            gzip,
        })
    };
    let bulk = Target::Elasticsearch(elasticsearch::Options {
        url: url(""),
        tls: tls(),
        index: "mail".to_owned(),
        headers: Vec::new(),
        gzip: false,
    });
    let otlp = |protocol: otlp::Protocol, logs: bool, traces: bool| {
        let grpc = HttpUrl::parse(&format!("http://localhost:{}", receivers.grpc)).unwrap();
        Target::Otlp(otlp::Options {
            url: if protocol == otlp::Protocol::Http { url(receivers::OTLP) } else { grpc },
            protocol,
            tls: tls(),
            headers: Vec::new(),
            gzip: false,
            signals: Signals { logs, traces },
            metrics_every: None,
            node: "bench".to_owned(),
        })
    };
    let gelf = Target::Gelf(stream::Options {
        host: "localhost".to_owned(),
        port: receivers.tcp,
        tls: None,
        framing: syslog::Framing::OctetCounting,
    });
    let lake = |gzip| Target::Kafka(lake(receivers.kafka, gzip));
    let file = Target::File(file::Options { path: dir.join("out.jsonl"), rotate: 1 << 30, keep: 1 });
    vec![
        ("syslog over TLS, json", stream(true), Format::Json),
        ("syslog over TLS, cef", stream(true), Format::Cef),
        ("syslog over TCP, leef", stream(false), Format::Leef),
        ("http, ocsf", hook(false), Format::Ocsf),
        ("http with gzip, json", hook(true), Format::Json),
        ("elasticsearch, ecs", bulk, Format::Ecs),
        ("kafka, json", lake(false), Format::Json),
        ("kafka with gzip, json", lake(true), Format::Json),
        ("file, json", file, Format::Json),
        ("otlp logs, json", otlp(otlp::Protocol::Http, true, false), Format::Json),
        ("otlp traces", otlp(otlp::Protocol::Http, false, true), Format::Json),
        ("otlp logs and traces, json", otlp(otlp::Protocol::Http, true, true), Format::Json),
        ("otlp logs over gRPC, json", otlp(otlp::Protocol::Grpc, true, false), Format::Json),
        ("otlp traces over gRPC", otlp(otlp::Protocol::Grpc, false, true), Format::Json),
        ("gelf over TCP", gelf, Format::Gelf),
    ]
}

fn lake(port: u16, gzip: bool) -> kafka::Options {
    kafka::Options {
        brokers: vec![("localhost".to_owned(), port)],
        tls: None,
        login: None,
        topic: "mail".to_owned(),
        partition: kafka::Partition::One(0),
        gzip,
        format: "json",
    }
}

fn options(name: &str, target: Target, format: Format) -> Options {
    Options {
        name: name.replace([' ', ','], "-"),
        target,
        format,
        include: None,
        exclude: None,
        timeline: false,
        redaction: Redaction::default(),
        batching: Batching { events: 1_000, octets: 1 << 20, linger: Duration::from_millis(200) },
        max_event: 64 << 10,
        start: Start::Oldest,
        report_after: Duration::from_secs(60),
    }
}

/// A sink at work; CPU of its thread in µs when it has ended.
fn start(
    feed: &Arc<Feed>,
    dir: &Path,
    options: Options,
    stop: &watch::Sender<bool>,
) -> (Arc<relayscope::export::Status>, std::thread::JoinHandle<u64>) {
    let origin = trace::Origin { node: "bench".to_owned(), proxy_version: "0".to_owned(), config_digest: String::new() };
    let context = Context { max_event: options.max_event, ..Context::new("bench") };
    let encoder = Encoder::new(options.format, context);
    let encoder = match &options.target {
        Target::Otlp(target) => encoder.wrapped(target.signals),
        _ => encoder,
    };
    let (feed, store_dir, stopped) = (feed.clone(), dir.join("places"), stop.subscribe());
    let ground = Ground { feed, store_dir, origin: Arc::new(origin.into()), began: None, stopped };
    let (handle, orders) = Handle::new(&options);
    let sink = Sink::new(options, encoder, ground, handle.status.clone(), orders).unwrap();
    let thread = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(sink.run());
        own_cpu_us()
    });
    (handle.status, thread)
}

fn until_sent(status: &relayscope::export::Status, records: u64) {
    while status.sent.load(Relaxed) < records {
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn measure(store: &Store, dir: &Path, name: &str, target: Target, format: Format, records: u64) {
    let (feed, stop) = (Arc::new(Feed::new(store.clone())), watch::Sender::new(false));
    let began = Instant::now();
    let (status, thread) = start(&feed, dir, options(name, target, format), &stop);
    until_sent(&status, records);
    let took = began.elapsed().as_secs_f64();
    stop.send_replace(true);
    let cpu = thread.join().unwrap();
    let each = |total: u64| total as f64 / records as f64;
    println!("{name:<28}{:>12.0}{:>16.1}{:>16.0}", records as f64 / took, each(cpu), each(status.octets.load(Relaxed)));
}

/// Three sinks of one feed: what one has read, the others need not.
fn together(store: &Store, dir: &Path, receivers: &Receivers, records: u64) {
    let (feed, stop) = (Arc::new(Feed::new(store.clone())), watch::Sender::new(false));
    let began = Instant::now();
    let sinks: Vec<_> = ways(receivers, dir)
        .into_iter()
        .take(3)
        .enumerate()
        .map(|(no, (name, target, format))| start(&feed, dir, options(&format!("{no} {name}"), target, format), &stop))
        .collect();
    sinks.iter().for_each(|(status, _)| until_sent(status, records));
    let took = began.elapsed().as_secs_f64();
    stop.send_replace(true);
    let cpu: u64 = sinks.into_iter().map(|(_, thread)| thread.join().unwrap()).sum();
    println!("{:<28}{:>12.0}{:>16.1}", "the first three together", 3.0 * records as f64 / took, cpu as f64 / (3.0 * records as f64));
}

/// Receivers that accept and never read, or never answer.
fn stuck(store: &Store, dir: &Path, receivers: &Receivers) {
    let header =
        syslog::Header { facility: syslog::Facility::Mail, host_name: "relay.example".to_owned(), app_name: "relayscope".to_owned() };
    let to = stream::Options { host: "localhost".to_owned(), port: receivers.deaf, tls: None, framing: syslog::Framing::OctetCounting };
    let mute = |gzip| Target::Kafka(lake(receivers.mute_kafka, gzip));
    let targets = [("syslog over TCP", Target::Syslog { to, header }), ("kafka", mute(false)), ("kafka with gzip", mute(true))];
    for (name, target) in targets {
        let (feed, stop) = (Arc::new(Feed::new(store.clone())), watch::Sender::new(false));
        let before = resident();
        let (status, thread) = start(&feed, dir, options(&format!("stuck {name}"), target, Format::Json), &stop);
        let (mut sent, mut held) = (u64::MAX, 0);
        while sent != status.sent.load(Relaxed) {
            sent = status.sent.load(Relaxed);
            std::thread::sleep(Duration::from_secs(2));
            held = resident().saturating_sub(before).max(held);
        }
        println!(
            "a stuck sink ({name}) holds {:.1} MiB (wanted: at most 8), {sent} records are in the kernel's buffers",
            held as f64 / 1024.0
        );
        stop.send_replace(true);
        thread.join().unwrap();
    }
}

/// KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn own_cpu_us() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1_000
}
