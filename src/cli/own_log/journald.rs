//! Lines of the log as entries of systemd's journal, in its native protocol: the whole line as `MESSAGE`, and each field by itself
//! (`RELAYSCOPE_LISTENER=smtp`). A journal that doesn't keep up costs lines of the log, and keeps nothing waiting.
//!
//! <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>. Values go with their length, so that none of them can end itself and begin another field.

use std::fmt::Debug;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::layer::Context;

use super::{line, not_taken};

const SOCKET: &str = "/run/systemd/journal/socket";
/// Octets of one value; an entry with all its fields fits a datagram.
const LONGEST: usize = 8 << 10;
const MOST_FIELDS: usize = 16;

#[derive(Debug)]
pub(super) struct Journald {
    socket: UnixDatagram,
    /// Looked up for each entry: a journal that was restarted may have bound it anew.
    path: PathBuf,
    /// Entries that the journal didn't take.
    lost: AtomicU64,
}

impl Journald {
    /// # Errors
    /// There is no journal.
    pub fn connect() -> io::Result<Self> {
        Self::at(Path::new(SOCKET))
    }

    fn at(path: &Path) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        // Thrown away by the journal; here it tells whether there is one.
        socket.send_to(&[], path)?;
        Ok(Self { socket, path: path.to_owned(), lost: AtomicU64::new(0) })
    }

    fn send(&self, entry: &[u8]) {
        if self.socket.send_to(entry, &self.path).is_err() {
            self.lost.fetch_add(1, Relaxed);
            return;
        }
        let lost = self.lost.swap(0, Relaxed);
        if lost > 0 {
            let mut entry = Entry::new(Level::WARN);
            entry.put("MESSAGE", &not_taken("the journal", lost));
            if self.socket.send_to(&entry.octets, &self.path).is_err() {
                self.lost.fetch_add(lost, Relaxed);
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for Journald {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut entry = Entry::new(*metadata.level());
        entry.put("TARGET", metadata.target());
        let mut line = String::new();
        if line::fields().format_fields(Writer::new(&mut line), event).is_ok() {
            entry.put("MESSAGE", &line);
        }
        event.record(&mut entry);
        self.send(&entry.octets);
    }
}

/// One entry as it goes over the socket.
struct Entry {
    octets: Vec<u8>,
    fields: usize,
}

impl Entry {
    fn new(level: Level) -> Self {
        let mut entry = Self { octets: Vec::with_capacity(512), fields: 0 };
        entry.put("SYSLOG_IDENTIFIER", "relayscope");
        // Of syslog(3): err, warning, info, debug; trace is no less than debug there.
        let priority = match level {
            Level::ERROR => "3",
            Level::WARN => "4",
            Level::INFO => "6",
            _ => "7",
        };
        entry.put("PRIORITY", priority);
        entry
    }

    fn put(&mut self, name: &str, value: &str) {
        let end = value.floor_char_boundary(LONGEST);
        let value = value.get(..end).unwrap_or_default();
        self.octets.extend_from_slice(name.as_bytes());
        self.octets.push(b'\n');
        self.octets.extend_from_slice(&(value.len() as u64).to_le_bytes());
        self.octets.extend_from_slice(value.as_bytes());
        self.octets.push(b'\n');
    }

    fn field(&mut self, field: &Field, value: &str) {
        if field.name() == "message" || self.fields >= MOST_FIELDS {
            return;
        }
        self.fields += 1;
        let name: String = field.name().chars().map(|it| if it.is_ascii_alphanumeric() { it.to_ascii_uppercase() } else { '_' }).collect();
        self.put(&format!("RELAYSCOPE_{name}"), value);
    }
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.field(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.field(field, &format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// The fields of an entry, as the journal reads them.
    fn fields(mut octets: &[u8]) -> BTreeMap<String, String> {
        let mut fields = BTreeMap::new();
        while !octets.is_empty() {
            let end = octets.iter().position(|&octet| octet == b'\n').unwrap();
            let (name, rest) = octets.split_at(end);
            let (length, rest) = rest[1..].split_at(8);
            let (value, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap());
            assert_eq!(rest.first(), Some(&b'\n'));
            octets = &rest[1..];
            let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
            assert_eq!(fields.insert(text(name), text(value)), None);
        }
        fields
    }

    #[test]
    fn hostile_text_stays_the_value_of_its_field() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let subscriber = tracing_subscriber::registry().with(Journald::at(&path).unwrap());
        let hostile = "x\nMESSAGE=forged\nPRIORITY=0\n\u{1b}[31m\0";
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(error = %hostile, listener = hostile, records = 3, "host not reached");
            tracing::info!(long = "é".repeat(9_000), "cut");
        });
        let mut octets = vec![0; 64 << 10];
        assert_eq!(journal.recv(&mut octets).unwrap(), 0);
        let mut next = || {
            let read = journal.recv(&mut octets).unwrap();
            fields(&octets[..read])
        };
        let entry = next();
        assert_eq!(entry["PRIORITY"], "4");
        assert_eq!(entry["SYSLOG_IDENTIFIER"], "relayscope");
        assert_eq!(entry["RELAYSCOPE_ERROR"], hostile);
        assert_eq!(entry["RELAYSCOPE_LISTENER"], hostile);
        assert_eq!(entry["RELAYSCOPE_RECORDS"], "3");
        assert!(entry["MESSAGE"].starts_with("host not reached error=x\\nMESSAGE=forged"), "{entry:?}");
        assert_eq!(next()["RELAYSCOPE_LONG"].len(), LONGEST);
    }

    #[test]
    fn a_journal_that_takes_nothing_costs_lines_and_no_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let journal = UnixDatagram::bind(&path).unwrap();
        let sender = Journald::at(&path).unwrap();
        // Full after some entries; a blocking socket would stay here.
        (0..5_000).for_each(|_| sender.send(b"MESSAGE=full\n"));
        let lost = sender.lost.load(Relaxed);
        assert!(lost > 0);
        journal.set_nonblocking(true).unwrap();
        let mut octets = [0; 1024];
        while journal.recv(&mut octets).is_ok() {}
        sender.send(b"MESSAGE=room\n");
        journal.recv(&mut octets).unwrap();
        let read = journal.recv(&mut octets).unwrap();
        assert_eq!(fields(&octets[..read])["MESSAGE"], format!("the journal did not take {lost} lines of the log"));
    }
}
