//! Receivers that close and receivers that refuse: what a sink takes for a failure, and how it goes on.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::export::format::{Context, Format};
use crate::export::options::{Batching, Start};
use crate::export::redact::Redaction;
use crate::export::status::State;
use crate::export::transport::{Target, http, splunk, stream, syslog};
use crate::net::http_client::HttpUrl;
use crate::net::tls::ClientTls;
use crate::store::{self, Store, samples};

/// A sink at work on a store of its own.
struct Running {
    store: Store,
    handle: Handle,
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Running {
    /// The records are there before it begins.
    fn start(target: Target, records: impl IntoIterator<Item = u64>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(store::Options::new(dir.path())).unwrap().store;
        records.into_iter().for_each(|no| append(&store, no));
        let (stop, stopped) = watch::channel(false);
        let (sink, handle) = sink(target, &store, dir.path(), stopped);
        let run = move || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(sink.run());
        Self { store, handle, stop, thread: std::thread::spawn(run), _dir: dir }
    }

    fn end(self) {
        self.stop.send_replace(true);
        self.thread.join().unwrap();
        self.store.close();
    }
}

fn sink(target: Target, store: &Store, dir: &Path, stopped: watch::Receiver<bool>) -> (Sink, Handle) {
    let options = Options {
        name: "siem".to_owned(),
        target,
        format: Format::Json,
        include: None,
        exclude: None,
        timeline: false,
        redaction: Redaction::default(),
        batching: Batching { events: 1_000, octets: 1 << 20, linger: Duration::ZERO },
        max_event: 65_536,
        start: Start::Oldest,
        report_after: Duration::from_secs(300),
    };
    let encoder = Encoder::new(Format::Json, Context::new("relay.example"));
    let feed = Arc::new(Feed::new(store.clone()));
    let (handle, orders) = Handle::new(&options);
    let ground = Ground { feed, store_dir: dir.to_owned(), origin: samples::origin(), began: None, stopped };
    (Sink::new(options, encoder, ground, handle.status.clone(), orders).unwrap(), handle)
}

fn gelf(listener: &TcpListener) -> Target {
    let port = listener.local_addr().unwrap().port();
    Target::Gelf(stream::Options { host: "127.0.0.1".to_owned(), port, tls: None, framing: syslog::Framing::Lf })
}

fn append(store: &Store, no: u64) {
    store.appender().append(&samples::transaction(no)).unwrap();
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let accepted = std::cell::OnceCell::new();
    until("a connection", || listener.accept().is_ok_and(|(stream, _)| accepted.set(stream).is_ok()));
    let stream = accepted.into_inner().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

/// Reads until that is all.
fn read_until(stream: &mut TcpStream, is_all: impl Fn(&str) -> bool) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut all, mut octets) = (String::new(), [0; 8_192]);
    while !is_all(&all) {
        let count = stream.read(&mut octets).unwrap();
        assert!(count > 0, "{all}");
        all.push_str(&String::from_utf8_lossy(&octets[..count]));
    }
    all
}

fn is_whole_post(text: &str) -> bool {
    let Some((header, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = header.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
    length == Some(body.len())
}

#[test]
fn a_receiver_that_closes_with_everything_taken_does_not_fail() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let running = Running::start(gelf(&listener), [1]);
    let status = running.handle.status.clone();
    let takes = |no: u64| {
        let mut stream = accept(&listener);
        let event = read_until(&mut stream, |text| text.ends_with('\0'));
        assert!(event.contains(&samples::id(no).to_string()), "{event}");
        stream
    };
    // What it had for less than some seconds comes once more: it may not have been put away.
    drop(takes(1));
    until("the end that costs something", || status.failures.load(Relaxed) == 1);
    drop(takes(1));
    until("it is taken", || status.sent.load(Relaxed) == 2);
    std::thread::sleep(Duration::from_millis(300));
    let told = status.snapshot();
    assert!(told.failures == 1 && !told.state.is_failing(), "{told:?}");
    append(&running.store, 2);
    let _stays_open = takes(2);
    assert_eq!(status.failures.load(Relaxed), 1);
    running.end();
}

#[test]
fn what_is_too_much_is_halved_by_what_was_sent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = HttpUrl::parse(&format!("http://{}/hooks/token", listener.local_addr().unwrap())).unwrap();
    let tls = ClientTls::new(None).unwrap();
    let target = http::Options { url, tls, key: None, headers: Vec::new(), body: http::Body::Lines, single: false, gzip: false };
    let running = Running::start(Target::Http(target), [1, 2]);
    assert_eq!(running.handle.status.to, format!("http://{}", listener.local_addr().unwrap()), "a path may be a secret");
    // It never takes the second event: it gets both, then each by itself.
    for (events, status) in [([true, true], "413 Too Large"), ([true, false], "200 OK"), ([false, true], "413 Too Large")] {
        let mut stream = accept(&listener);
        let post = read_until(&mut stream, is_whole_post);
        assert_eq!([1, 2].map(|no| post.contains(&samples::id(no).to_string())), events, "{post}");
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    }
    let status = running.handle.status.clone();
    until("the second is given up", || status.refused.load(Relaxed) == 1);
    assert_eq!(status.sent.load(Relaxed), 1);
    running.end();
}

#[test]
fn a_balancer_with_nobody_behind_it_takes_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let running = Running::start(gelf(&listener), [1, 2]);
    let status = running.handle.status.clone();
    (0..4).for_each(|_| drop(accept(&listener)));
    until("four ends", || status.failures.load(Relaxed) >= 4);
    let told = status.snapshot();
    let State::Failing { why, .. } = &told.state else { panic!("{told:?}") };
    assert!(why.contains("balancer") && told.backlog == 2, "{told:?}");
    // Somebody is behind it again.
    let mut stream = accept(&listener);
    let events = read_until(&mut stream, |text| text.matches('\0').count() == 2);
    assert!([1, 2].iter().all(|no| events.contains(&samples::id(*no).to_string())), "{events}");
    until("it is taken again", || !status.snapshot().state.is_failing());
    running.end();
}

/// A collector that takes all, and tells of acknowledgements what `indexed` says.
fn collect(listener: TcpListener, indexed: Arc<std::sync::atomic::AtomicBool>) {
    let mut acks = 0_u64;
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let post = read_until(&mut stream, is_whole_post);
        let answer = if post.starts_with("POST /services/collector/ack") {
            let told: Vec<String> = (1..=acks).map(|ack| format!("\"{ack}\":{}", indexed.load(Relaxed))).collect();
            format!("{{\"acks\":{{{}}}}}", told.join(","))
        } else {
            acks += 1;
            format!("{{\"text\":\"Success\",\"code\":0,\"ackId\":{acks}}}")
        };
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}", answer.len()).unwrap();
    }
}

#[test]
fn a_collector_that_takes_and_never_acknowledges_fails() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = HttpUrl::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let indexed = Arc::<std::sync::atomic::AtomicBool>::default();
    let acknowledges = indexed.clone();
    std::thread::spawn(move || collect(listener, acknowledges));
    let target = splunk::Options {
        url,
        tls: ClientTls::new(None).unwrap(),
        authorization: hyper::header::HeaderValue::from_static("Splunk token"),
        acknowledgement: true,
        channel: "b5dcd1b4-9b2c-4e6c-8f0d-1c1d2c3e4f50".to_owned(),
        host: "relay.example".to_owned(),
        source: "relayscope".to_owned(),
        source_type: "relayscope".to_owned(),
        index: None,
        is_json: true,
        gzip: false,
    };
    let running = Running::start(Target::Splunk(target), [1, 2]);
    let status = running.handle.status.clone();
    until("it doesn't acknowledge", || status.failures.load(Relaxed) >= 1);
    let State::Failing { since, .. } = status.snapshot().state else { panic!("{:?}", status.snapshot()) };
    until("it is sent a third time", || status.failures.load(Relaxed) >= 2 && status.sent.load(Relaxed) >= 6);
    let told = status.snapshot();
    assert!(matches!(told.state, State::Failing { since: still, .. } if still == since), "{told:?}");
    assert_eq!(told.backlog, 2, "what was sent and isn't acknowledged waits");
    assert!(told.lag_us > 0);
    indexed.store(true, Relaxed);
    until("it acknowledges", || {
        let told = status.snapshot();
        told.state == State::Sending && told.backlog == 0
    });
    running.end();
}

#[test]
fn a_store_that_cannot_be_read_is_an_outage_and_what_waits_grows_older() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(store::Options::new(dir.path())).unwrap().store;
    append(&store, 1);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_stop, stopped) = watch::channel(false);
    let (mut sink, handle) = sink(gelf(&listener), &store, dir.path(), stopped);
    until("it waits", || {
        sink.count(Duration::ZERO);
        handle.status.backlog.load(Relaxed) == 1
    });
    let lag = handle.status.lag_us.load(Relaxed);
    store.give_up().unwrap();
    let mut batch = Batch::new(sink.position.at);
    let error = sink.fill(&mut batch).unwrap_err();
    (0..3).for_each(|_| sink.cannot_read(&error));
    sink.count(Duration::from_secs(7));
    assert_eq!(handle.status.lag_us.load(Relaxed), lag + 7_000_000);
    assert!(matches!(handle.status.snapshot().state, State::Failing { why, .. } if why.contains("the store can't be read")));
    sink.can_read();
    assert!(!handle.status.snapshot().state.is_failing());
    // Where the receiver was down before, it still is.
    sink.stuck = Some(sink.position.at);
    (0..3).for_each(|_| sink.cannot_read(&error));
    sink.can_read();
    assert!(handle.status.snapshot().state.is_failing() && sink.stuck.is_some());
}

#[test]
fn what_a_receiver_got_before_a_stretch_that_is_not_for_it_ends_its_failure() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(store::Options::new(dir.path())).unwrap().store;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_stop, stopped) = watch::channel(false);
    let (mut sink, handle) = sink(gelf(&listener), &store, dir.path(), stopped);
    let at = |number: u32| -> Cursor { format!("2026-11-27.{number}").parse().unwrap() };
    let mut pass_over = |stuck, before, after| {
        handle.status.failed("it doesn't acknowledge".to_owned(), 1);
        (sink.stuck, sink.position.at) = (Some(stuck), before);
        sink.transport.pass(before);
        let mut batch = Batch::new(before);
        batch.after = after;
        sink.pass_over(&batch);
        (handle.status.snapshot().state.is_failing(), sink.stuck)
    };
    assert_eq!(pass_over(at(2), at(5), at(6)), (false, None), "it had more than when it failed");
    assert_eq!(pass_over(at(7), at(7), at(8)), (true, Some(at(8))), "the stretch is none of its doing");
    store.close();
}

#[test]
fn what_could_not_begin_does_not_fail_once_it_has_begun() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(store::Options::new(dir.path())).unwrap().store;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_stop, stopped) = watch::channel(false);
    let (first, _) = sink(gelf(&listener), &store, dir.path(), stopped);
    let (handle, orders) = Handle::new(&first.options);
    handle.status.failed("what ran before the reload hangs".to_owned(), 1);
    let Sink { options, feed, store_dir, encoder, origin, stopped, .. } = first;
    Sink::new(options, encoder, Ground { feed, store_dir, origin, began: None, stopped }, handle.status.clone(), orders).unwrap();
    assert!(!handle.status.snapshot().state.is_failing());
    store.close();
}

#[test]
fn what_was_sent_before_or_gone_at_the_start_is_not_missed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(store::Options::new(dir.path())).unwrap().store;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_stop, stopped) = watch::channel(false);
    let (mut sink, _) = sink(gelf(&listener), &store, dir.path(), stopped);
    let at = |number: u32| -> Cursor { format!("2026-11-27.{number}").parse().unwrap() };
    sink.position.began = Some(at(5));
    assert_eq!([4, 5, 6].map(|number| sink.is_missed(at(number))), [false, false, true], "a new export");
    sink.sent_before(at(8));
    sink.sent_before(at(7));
    assert_eq!([7, 8, 9].map(|number| sink.is_missed(at(number))), [false, false, true], "set back");
    store.close();
}
