//! What relayscope answers on its socket, and the numbers in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;

/// Status and body.
pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Asks on `api.sock` of a store, which is there a moment after the listeners.
pub fn get(store: &Path, path: &str) -> Answer {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = UnixStream::connect(store.join("api.sock")).ok().and_then(|stream| exchange(stream, path, "")) {
            return answer;
        }
        assert!(Instant::now() < until, "no answer to {path}");
        std::thread::sleep(Duration::from_millis(5)); // the pace of the questions
    }
}

/// Asks over TCP.
pub fn get_tcp(address: SocketAddr, path: &str, headers: &str) -> Option<Answer> {
    exchange(std::net::TcpStream::connect_timeout(&address, PATIENCE).ok()?, path, headers)
}

fn exchange(mut stream: impl Read + Write, path: &str, headers: &str) -> Option<Answer> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    // Long answers come in chunks.
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") { unchunked(body)? } else { body.to_owned() };
    Some(Answer { status, body })
}

fn unchunked(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size + 2..)?;
    }
}

pub fn json(store: &Path, path: &str) -> (u16, Value) {
    let answer = get(store, path);
    (answer.status, serde_json::from_str(&answer.body).expect("JSON"))
}

/// What `/metrics` says now.
pub fn scrape(store: &Path) -> Scrape {
    let answer = get(store, "/metrics");
    assert_eq!(answer.status, 200, "{}", answer.body);
    Scrape { text: answer.body }
}

pub struct Scrape {
    pub text: String,
}

impl Scrape {
    /// Each series, as written, with its value.
    pub fn series(&self) -> BTreeMap<&str, f64> {
        let lines = self.text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(series, value)| (series, value.parse().unwrap())).collect()
    }

    /// The label names of each metric.
    pub fn labels(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for series in self.series().into_keys() {
            let (name, rest) = series.split_once('{').unwrap_or((series, ""));
            let names = rest.split("=\"").filter_map(|before| before.rsplit([',', '{', '"']).next()).filter(|name| !name.contains('}'));
            labels.entry(name).or_default().extend(names.filter(|name| !name.is_empty()));
        }
        labels
    }
}
