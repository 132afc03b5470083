//! GELF against small receivers that check chunks, frames and posts. (Graylog itself is in no Debian archive.)

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::mail::{deliver, exporting, ids, smart_host, until};
use crate::support::packed::unpacked;
use crate::support::place::Place;

#[derive(Default)]
struct Seen {
    messages: Vec<Value>,
    faults: Vec<String>,
    chunked: usize,
    connections: usize,
    stop: bool,
}

type Shared = Arc<Mutex<Seen>>;

impl Seen {
    /// Takes a message as GELF 1.1 has it.
    fn take(&mut self, octets: &[u8]) {
        let message: Value = serde_json::from_slice(octets).unwrap_or_default();
        let is_whole = message["version"] == "1.1" && message["host"] == "relay.example" && message["timestamp"].is_f64();
        if !is_whole || message["short_message"].as_str().is_none_or(str::is_empty) || !message["_id"].is_null() {
            self.faults.push(String::from_utf8_lossy(octets).into_owned());
        }
        self.messages.push(message);
    }

    /// The transactions' ids.
    fn ids(&self) -> BTreeSet<String> {
        let of = |message: &&Value| message["_kind"] == "transaction";
        self.messages.iter().filter(of).filter_map(|message| message["_record_id"].as_str().map(str::to_owned)).collect()
    }
}

fn export(url: &str, more: &str) -> String {
    format!("[[export]]\nname = \"graylog\"\nkind = \"gelf\"\nurl = \"{url}\"\n{more}\n")
}

/// Puts datagrams together.
fn udp(seen: Shared) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut parts: BTreeMap<Vec<u8>, BTreeMap<u8, Vec<u8>>> = BTreeMap::new();
        let mut datagram = [0; 65_536];
        loop {
            let octets = match socket.recv(&mut datagram) {
                Ok(count) => &datagram[..count],
                Err(_) if seen.lock().unwrap().stop => return,
                Err(_) => continue,
            };
            let mut seen = seen.lock().unwrap();
            let whole = match octets {
                [0x1e, 0x0f, rest @ ..] => {
                    let (head, chunk) = rest.split_at(10);
                    let (number, count) = (head[8], head[9]);
                    if number >= count || count > 128 || octets.len() > 8_192 {
                        seen.faults.push(format!("chunk {number} of {count}, {} octets", octets.len()));
                    }
                    let message = parts.entry(head[..8].to_vec()).or_default();
                    message.insert(number, chunk.to_vec());
                    if message.len() < usize::from(count) {
                        continue;
                    }
                    seen.chunked += 1;
                    message.values().flatten().copied().collect()
                }
                other => other.to_vec(),
            };
            seen.take(&unpacked(whole.starts_with(&[0x1f, 0x8b]), &whole));
        }
    });
    address
}

/// Takes messages that end with NUL; `most` of each connection, then it closes.
fn tcp(seen: Shared, most: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            if seen.lock().unwrap().stop {
                return;
            }
            seen.lock().unwrap().connections += 1;
            for message in BufReader::new(stream).split(0).take(most) {
                let Ok(message) = message else { break };
                seen.lock().unwrap().take(&message);
            }
        }
    });
    address
}

/// A run of `count` messages; everything is to arrive.
fn run(count: usize, url: &str, more: &str, seen: &Shared) {
    let (place, sink) = (Place::new(), smart_host());
    let relayscope = exporting(&place, &sink, &export(url, more));
    deliver(&relayscope, "one", count);
    until(&format!("{count} messages\n{}", relayscope.output().text()), || seen.lock().unwrap().ids().len() == count);
    let store = relayscope.stop();
    let mut seen = seen.lock().unwrap();
    assert_eq!(seen.ids(), ids(&store));
    assert_eq!(seen.faults, Vec::<String>::new());
    seen.stop = true;
}

#[test]
fn datagrams_are_chunked_where_they_are_too_big() {
    let seen = Shared::default();
    let address = udp(seen.clone());
    run(12, &format!("udp://{address}"), "timeline = true\nmax_event = \"16 KiB\"", &seen);
    assert!(seen.lock().unwrap().chunked >= 12, "{}", seen.lock().unwrap().chunked);
}

#[test]
fn datagrams_may_be_compressed() {
    let seen = Shared::default();
    let address = udp(seen.clone());
    run(12, &format!("udp://{address}"), "gzip = true", &seen);
}

#[test]
fn messages_on_a_stream_end_with_nul() {
    let seen = Shared::default();
    let address = tcp(seen.clone(), usize::MAX);
    run(30, &format!("tcp://{address}"), "", &seen);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.messages.iter().filter(|message| message["_kind"] == "transaction").count(), 30, "none twice");
}

#[test]
fn a_receiver_that_closes_again_and_again_gets_everything() {
    let seen = Shared::default();
    let address = tcp(seen.clone(), 4);
    run(30, &format!("tcp://{address}"), "", &seen);
    assert!(seen.lock().unwrap().connections > 3);
}

#[test]
fn a_post_has_one_message_and_none_waits_for_others() {
    let seen = Shared::default();
    let shared = seen.clone();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let take = move |headers: axum::http::HeaderMap, body: axum::body::Bytes| async move {
        let mut seen = shared.lock().unwrap();
        if headers["content-type"] != "application/json" {
            seen.faults.push("content type".to_owned());
        }
        seen.take(&body);
        axum::http::StatusCode::ACCEPTED
    };
    let router = axum::Router::new().route("/gelf", axum::routing::post(take));
    runtime.spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { return };
            let service = hyper_util::service::TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let stream = hyper_util::rt::TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
            });
        }
    });
    run(30, &format!("http://{address}/gelf"), "linger = \"5m\"", &seen);
}
