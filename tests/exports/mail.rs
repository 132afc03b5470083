//! A relayscope that exports, and mail that passes it.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};

/// How long anything may take to arrive.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A smart host, and a relayscope before it with these exports.
pub fn exporting(place: &Place, sink: &Sink, exports: &str) -> Relayscope {
    let config = format!(
        "node = \"relay.example\"\nhost_name = \"relay.example\"\n[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n\
         [[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\ntls = \"off\"\n[anomaly]\nenabled = false\n{exports}",
        sink.address
    );
    Relayscope::configured(place, &config)
}

pub fn smart_host() -> Sink {
    Sink::start(Manner::Take)
}

/// Has so many messages delivered.
pub fn deliver(relayscope: &Relayscope, prefix: &str, count: usize) {
    let mut client = Client::ready(relayscope.address());
    for number in 0..count {
        assert_eq!(client.deliver(&Message::named(&format!("{prefix}-{number}"))).unwrap().code, 250);
    }
    client.quit();
}

/// Ids of the transactions that a stopped store holds.
pub fn ids(store: &Path) -> BTreeSet<String> {
    crate::support::records::transactions(store).iter().map(|it| it.id.to_string()).collect()
}

/// Waits until `done`; what is awaited, if it doesn't come.
#[track_caller]
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20)); // between two looks at a file that another program writes
    }
}

/// The transactions' ids in events of our own JSON, one a line, and how many lines there are.
pub fn transactions(text: &str) -> (BTreeSet<String>, usize) {
    let events = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line.get(line.find('{')?..)?).ok());
    let ids: Vec<String> =
        events.filter(|event| event["kind"] == "transaction").filter_map(|event| Some(event["id"].as_str()?.to_owned())).collect();
    (ids.iter().cloned().collect(), ids.len())
}
