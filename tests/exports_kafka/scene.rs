//! A relayscope that exports to the broker through the door.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use relayscope::trace::{AuditEvent, Record};
use tokio_rustls::TlsAcceptor;

use super::broker::{Broker, TOPIC};
use super::door::Door;
use super::mail::{exporting, ids, smart_host, until};
use crate::support::place::Place;
use crate::support::relayscope::Relayscope;
use crate::support::sink::Sink;

pub struct Scene {
    pub place: Place,
    pub broker: Broker,
    pub door: Door,
    _sink: Sink,
    pub relayscope: Relayscope,
}

/// How the door is, and with which secret Relayscope comes.
#[derive(Default)]
pub struct Manner {
    pub tls: Option<TlsAcceptor>,
    pub mechanism: Option<&'static str>,
    pub password: &'static str,
}

/// `{host}` in `export` stands for the door's port, `{dir}` for the test's directory. Without a url in it, it is the door in clear.
pub fn scene(partitions: u32, export: &str, prepare: impl FnOnce(&Door)) -> Scene {
    scene_with(Place::new(), partitions, Manner::default(), export, prepare)
}

pub fn scene_with(place: Place, partitions: u32, manner: Manner, export: &str, prepare: impl FnOnce(&Door)) -> Scene {
    let (broker, sink) = (Broker::start(partitions), smart_host());
    let door = Door::open(broker.port, manner.tls, manner.mechanism);
    prepare(&door);
    let secret = place.file("secret", manner.password);
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let port = door.address.port();
    let url = if export.contains("url =") { String::new() } else { format!("url = \"tcp://127.0.0.1:{port}\"\n") };
    let export = export.replace("{port}", &port.to_string()).replace("{dir}", &place.path("").display().to_string());
    let export = format!("[[export]]\nname = \"lake\"\nkind = \"kafka\"\ntopic = \"{TOPIC}\"\nlinger = \"50ms\"\n{url}{export}\n");
    let relayscope = exporting(&place, &sink, &export);
    Scene { place, broker, door, _sink: sink, relayscope }
}

impl Scene {
    /// Waits for so many transactions.
    pub fn arrive(&self, wanted: usize) {
        until(&format!("{wanted} transactions\n{}", self.relayscope.output().text()), || {
            self.broker.transactions().into_iter().collect::<BTreeSet<_>>().len() == wanted
        });
    }

    /// What Relayscope says of its failing export.
    pub fn complaint(&self) -> String {
        self.relayscope.output().expect("an export isn't taken")
    }

    /// Each transaction of the store arrived once, in the order of the journal.
    pub fn exactly_once(self) -> PathBuf {
        let arrived = self.broker.transactions();
        let store = self.relayscope.stop();
        assert_eq!(arrived, ids(&store).into_iter().collect::<Vec<_>>(), "each once and in order");
        let _ = &self.place;
        store
    }
}

/// What was said of events that were left out.
pub fn skipped(store: &std::path::Path) -> Option<String> {
    crate::support::records::all(store).iter().find_map(|record| match record {
        Record::Audit(it) if it.event == AuditEvent::ExportSkipped => it.detail.clone(),
        _ => None,
    })
}
