//! The proxy's own life as records: started, stopped, handed over, and found dead at the next start. A sign of life is written to a
//! small file once a minute, so that a crash's gap has a beginning.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::replace::{ANYBODY, Outlives, replace};
use crate::store::{PageRequest, Query, Store, Term};
use crate::trace::json::Time;
use crate::trace::{Audit, AuditEvent, Kept, Origin, Record, RecordId, RecordKind, WallMicros};

/// How often the sign of life is written.
pub(super) const EVERY: Duration = Duration::from_secs(60);

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Sign {
    /// When the process started.
    since: Time,
    /// When it was last alive.
    at: Time,
    /// It ended as it was told to.
    stopped: bool,
}

/// The life of this process.
#[derive(Debug)]
pub(super) struct Life {
    file: PathBuf,
    since: WallMicros,
    origin: Arc<Kept<Origin>>,
}

impl Life {
    /// Says that mail is served from now on, and since when nobody was there. `predecessor`: the process that was followed without a gap.
    pub fn begin(store: &Store, dir: &Path, origin: Origin, predecessor: Option<u32>) -> Self {
        let now = store.now();
        let life = Self { file: dir.join("alive.json"), since: now, origin: Arc::new(origin.into()) };
        let mut began = None;
        match (life.read(), predecessor) {
            (_, Some(pid)) => life.record(store, AuditEvent::Started, None, Some(format!("took over from process {pid}"))),
            (Some(sign), None) if !sign.stopped => {
                let last = newest(store).map_or(sign.at.0, |newest| newest.max(sign.at.0)).min(now);
                tracing::warn!(last_sign_of_life = %Time(last), "the process before this one ended without a word");
                let detail = "it ended without a word: a crash, kill -9 or a power cut; since its last sign of life nothing is recorded";
                life.record(store, AuditEvent::Crashed, Some(last), Some(detail.to_owned()));
            }
            (Some(sign), None) => began = Some(sign.at.0),
            (None, None) => {}
        }
        if predecessor.is_none() {
            life.record(store, AuditEvent::Started, began, None);
        }
        life.sign(now, false);
        life
    }

    /// Still alive: written on a thread of its own.
    pub fn beat(&self, store: &Store) -> tokio::task::JoinHandle<()> {
        let (file, sign) = (self.file.clone(), Sign { since: Time(self.since), at: Time(store.now()), stopped: false });
        tokio::task::spawn_blocking(move || write(&file, &sign))
    }

    /// Other configuration from now on.
    pub fn reloaded(&mut self, store: &Store, origin: Origin) {
        self.origin = Arc::new(origin.into());
        self.record(store, AuditEvent::Reloaded, None, None);
    }

    /// A changed configuration can't be used, for this reason.
    pub fn reload_refused(&self, store: &Store, why: String) {
        self.record(store, AuditEvent::ReloadRefused, None, Some(why));
    }

    /// Another process serves; its signs of life count.
    pub fn handed_over(&self, store: &Store, pid: u32) {
        self.record(store, AuditEvent::HandedOver, Some(self.since), Some(format!("to process {pid}")));
    }

    /// It ends as it was told to.
    pub fn end(&self, store: &Store) {
        self.record(store, AuditEvent::Stopped, Some(self.since), None);
        self.sign(store.now(), true);
    }

    fn record(&self, store: &Store, event: AuditEvent, since: Option<WallMicros>, detail: Option<String>) {
        let at = store.now();
        let id = RecordId::from_parts(at / 1000, ulid::Ulid::generate().random());
        let audit = Audit { id, at, origin: self.origin.clone(), event, who: None, since, detail };
        if let Err(error) = store.appender().append(&Record::Audit(Box::new(audit))) {
            tracing::warn!(%error, %event, "an event of the proxy's own life can't be recorded");
        }
    }

    fn read(&self) -> Option<Sign> {
        let text = match std::fs::read(&self.file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %self.file.display(), %error, "the last sign of life can't be read");
                return None;
            }
        };
        let sign = serde_json::from_slice(&text);
        sign.inspect_err(|error| tracing::warn!(file = %self.file.display(), %error, "the last sign of life can't be read")).ok()
    }

    fn sign(&self, at: WallMicros, stopped: bool) {
        write(&self.file, &Sign { since: Time(self.since), at: Time(at), stopped });
    }
}

fn write(file: &Path, sign: &Sign) {
    let written = serde_json::to_vec(sign).map_err(io::Error::from).and_then(|text| replace(file, &text, ANYBODY, Outlives::Process));
    // The store itself says louder that its disk is in trouble.
    if let Err(error) = written {
        tracing::debug!(file = %file.display(), %error, "the sign of life can't be written");
    }
}

/// The time of the newest record of mail: it may be later than the last sign of life.
fn newest(store: &Store) -> Option<WallMicros> {
    let of_mail = Term::Any(vec![Term::Kind(RecordKind::Transaction), Term::Kind(RecordKind::Session)]);
    let page = store.query(&Query::of(of_mail), &PageRequest::newest(1)).ok()?;
    page.records.first().map(|record| match record {
        Record::Transaction(it) => it.at.saturating_add(it.duration_us),
        Record::Session(it) => it.at.saturating_add(it.duration_us),
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;

    fn origin() -> Origin {
        Origin { node: "relay1".to_owned(), proxy_version: "0".to_owned(), config_digest: "0".to_owned() }
    }

    fn events(store: &Store) -> Vec<(AuditEvent, Option<WallMicros>)> {
        let page = store.query(&Query::of(Term::Kind(RecordKind::Audit)), &PageRequest::newest(10)).unwrap();
        let event = |record: &Record| match record {
            Record::Audit(it) => (it.event, it.since),
            _ => panic!("asked for nothing else"),
        };
        page.records.iter().rev().map(event).collect()
    }

    fn alive(dir: &Path) -> Sign {
        serde_json::from_slice(&std::fs::read(dir.join("alive.json")).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn an_end_and_a_crash_are_told_at_the_next_start() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(dir.path())).unwrap().store;
        let first = Life::begin(&store, dir.path(), origin(), None);
        assert_eq!(events(&store), [(AuditEvent::Started, None)]);
        first.end(&store);
        let stopped = alive(dir.path());
        assert!(stopped.stopped);
        let second = Life::begin(&store, dir.path(), origin(), None);
        second.beat(&store).await.unwrap();
        let last = alive(dir.path());
        // No end: the third finds it dead.
        Life::begin(&store, dir.path(), origin(), None);
        let expected = [
            (AuditEvent::Started, None),
            (AuditEvent::Stopped, Some(first.since)),
            (AuditEvent::Started, Some(stopped.at.0)),
            (AuditEvent::Crashed, Some(last.at.0)),
            (AuditEvent::Started, None),
        ];
        assert_eq!(events(&store), expected);
        store.close();
    }

    #[test]
    fn a_successor_leaves_no_gap() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(dir.path())).unwrap().store;
        let first = Life::begin(&store, dir.path(), origin(), None);
        Life::begin(&store, dir.path(), origin(), Some(4711));
        first.handed_over(&store, 4712);
        let events: Vec<AuditEvent> = events(&store).into_iter().map(|(event, _)| event).collect();
        assert_eq!(events, [AuditEvent::Started, AuditEvent::Started, AuditEvent::HandedOver]);
        store.close();
    }
}
