//! Receivers that close and receivers that refuse: what a sink takes for a failure, and how it goes on.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use super::*;
use crate::export::format::{Context, Format};
use crate::export::options::{Batching, Start};
use crate::export::redact::Redaction;
use crate::export::transport::{Target, http, stream, syslog};
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
        let (stop, stopped) = watch::channel(false);
        let encoder = Encoder::new(Format::Json, Context::new("relay.example"));
        let feed = Arc::new(Feed::new(store.clone()));
        let (sink, handle) = Sink::new(options, feed, dir.path().to_owned(), encoder, samples::origin(), None, stopped).unwrap();
        let run = move || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(sink.run());
        Self { store, handle, stop, thread: std::thread::spawn(run), _dir: dir }
    }

    fn end(self) {
        self.stop.send_replace(true);
        self.thread.join().unwrap();
        self.store.close();
    }
}

fn append(store: &Store, no: u64) {
    store.appender().append(&samples::transaction(no)).unwrap();
}

fn until(what: &str, is_so: impl Fn() -> bool) {
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
    let port = listener.local_addr().unwrap().port();
    let to = stream::Options { host: "127.0.0.1".to_owned(), port, tls: None, framing: syslog::Framing::Lf };
    let running = Running::start(Target::Gelf(to), [1]);
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
    let url = HttpUrl::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let tls = ClientTls::new(None).unwrap();
    let target = http::Options { url, tls, key: None, headers: Vec::new(), body: http::Body::Lines, single: false, gzip: false };
    let running = Running::start(Target::Http(target), [1, 2]);
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
