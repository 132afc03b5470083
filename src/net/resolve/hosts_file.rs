//! The hosts file: names that this machine knows without DNS. Read again when it has changed.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use hickory_resolver::Hosts;

use super::followed::Followed;

pub(super) const FILE: &str = "/etc/hosts";

pub(super) struct HostsFile {
    hosts: ArcSwap<Hosts>,
    followed: Option<Followed>,
}

impl HostsFile {
    /// These names, whatever the file says.
    pub fn fixed(hosts: Hosts) -> Self {
        Self { hosts: ArcSwap::from_pointee(hosts), followed: None }
    }

    /// Those of the file. Never fails: what can't be read is asked of DNS.
    pub fn following(path: &Path, now: Instant) -> Self {
        let (followed, read) = Followed::begin(path, now, read);
        let hosts = read.unwrap_or_else(|error| {
            tracing::warn!(file = %path.display(), %error, "the hosts file can't be read: its names are asked of DNS until it can");
            Hosts::default()
        });
        Self { hosts: ArcSwap::from_pointee(hosts), followed: Some(followed) }
    }

    /// The names as they are at `now`.
    pub fn hosts(&self, now: Instant) -> Guard<Arc<Hosts>> {
        self.look_again(now);
        self.hosts.load()
    }

    /// Looks whether the file has changed, if it is time to.
    fn look_again(&self, now: Instant) {
        let Some(followed) = &self.followed else { return };
        match followed.news(now, read) {
            None => {}
            Some(Ok(hosts)) => self.hosts.store(Arc::new(hosts)),
            Some(Err(error)) => {
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

    use super::super::followed::LOOK_AGAIN;
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
