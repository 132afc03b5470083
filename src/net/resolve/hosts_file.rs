//! The hosts file: names that this machine knows without DNS. Read again when it has changed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use hickory_resolver::Hosts;

use super::system::{LOOK_AGAIN, Stamp, stamp};

pub(super) const FILE: &str = "/etc/hosts";

pub(super) struct HostsFile {
    hosts: ArcSwap<Hosts>,
    followed: Option<Followed>,
}

struct Followed {
    path: PathBuf,
    looked: Mutex<Looked>,
}

struct Looked {
    at: Instant,
    stamp: Option<Stamp>,
    /// It couldn't be read then.
    in_vain: bool,
}

impl HostsFile {
    /// These names, whatever the file says.
    pub fn fixed(hosts: Hosts) -> Self {
        Self { hosts: ArcSwap::from_pointee(hosts), followed: None }
    }

    /// Those of the file. Never fails: what can't be read is asked of DNS.
    pub fn following(path: &Path, now: Instant) -> Self {
        let (stamp, read) = (stamp(path), read(path));
        let looked = Mutex::new(Looked { at: now, stamp, in_vain: read.is_err() });
        let hosts = read.unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), %error, "the hosts file can't be read: its names are asked of DNS until it can");
            Hosts::default()
        });
        Self { hosts: ArcSwap::from_pointee(hosts), followed: Some(Followed { path: path.to_owned(), looked }) }
    }

    /// The names as they are at `now`.
    pub fn hosts(&self, now: Instant) -> Guard<Arc<Hosts>> {
        self.look_again(now);
        self.hosts.load()
    }

    /// Looks whether the file has changed, if it is time to.
    fn look_again(&self, now: Instant) {
        let Some(followed) = &self.followed else { return };
        // Who finds another one looking needn't wait for it.
        let Ok(mut looked) = followed.looked.try_lock() else { return };
        if now.saturating_duration_since(looked.at) < LOOK_AGAIN {
            return;
        }
        looked.at = now;
        let stamp = stamp(&followed.path);
        let has_changed = stamp != looked.stamp;
        if !has_changed && !looked.in_vain {
            return;
        }
        looked.stamp = stamp;
        let read = read(&followed.path);
        looked.in_vain = read.is_err();
        match read {
            Ok(hosts) => self.hosts.store(Arc::new(hosts)),
            Err(_) if !has_changed => {}
            Err(error) => {
                let file = followed.path.display();
                tracing::warn!(%file, %error, "the hosts file can't be read: until it can, what it said before counts");
            }
        }
    }
}

/// No file says as much as an empty one. Octets that are no UTF-8 spoil their own word alone.
fn read(path: &Path) -> io::Result<Hosts> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read?,
    };
    let mut hosts = Hosts::default();
    hosts.read_hosts_conf(String::from_utf8_lossy(&text).as_bytes())?;
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::op::Query;
    use hickory_resolver::proto::rr::{Name, RecordType};

    use super::*;

    fn knows(file: &HostsFile, name: &str, now: Instant) -> bool {
        let query = Query::query(Name::from_ascii(name).unwrap(), RecordType::A);
        file.hosts(now).lookup_static_host(&query).is_some()
    }

    #[test]
    fn a_changed_file_is_read_again_and_an_unreadable_one_takes_nothing_away() {
        let (dir, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let path = dir.path().join("hosts");
        let file = HostsFile::following(&path, now);
        assert!(!knows(&file, "relay.example.", now), "there is no file");
        std::fs::write(&path, "192.0.2.9 relay.example\n").unwrap();
        assert!(!knows(&file, "relay.example.", now), "it was looked at a moment ago");
        assert!(knows(&file, "relay.example.", now + LOOK_AGAIN));
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(knows(&file, "relay.example.", now + 2 * LOOK_AGAIN), "it can't be read");
        std::fs::remove_dir(&path).unwrap();
        assert!(!knows(&file, "relay.example.", now + 3 * LOOK_AGAIN), "it is gone");
    }

    #[test]
    fn a_comment_in_another_encoding_costs_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        std::fs::write(&path, b"192.0.2.8 one.example # g\xe9n\xe9r\xe9\n192.0.2.9 relay.example\n").unwrap();
        let file = HostsFile::following(&path, Instant::now());
        assert!(knows(&file, "one.example.", Instant::now()) && knows(&file, "relay.example.", Instant::now()));
    }
}
