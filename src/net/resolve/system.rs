//! Whom DNS is asked of: fixed servers, or those of `/etc/resolv.conf`, which DHCP or a VPN may rewrite at any time.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::proto::rr::Name;

use super::TrustAd;
use super::followed::Followed;
use super::servers::Servers;

pub(super) const FILE: &str = "/etc/resolv.conf";

/// The servers as they are now.
pub(super) struct Asked {
    pub servers: Servers,
    /// Tried behind a name that isn't found as it stands; only the system's configuration has any.
    pub search: Vec<Name>,
    /// Why there are no servers: literals and the hosts file still work.
    pub none: Option<String>,
    pub trusted: bool,
}

impl Asked {
    pub fn new(servers: Vec<SocketAddr>, search: Vec<Name>, none: Option<String>, trust_ad: TrustAd) -> Self {
        Self { trusted: trust_ad.holds_for(&servers), servers: Servers::new(servers), search, none }
    }
}

pub(super) struct System {
    asked: ArcSwap<Asked>,
    followed: Option<(Followed, TrustAd)>,
}

impl System {
    /// These servers, whatever the file says.
    pub fn fixed(asked: Asked) -> Self {
        Self { asked: ArcSwap::from_pointee(asked), followed: None }
    }

    /// Those that the file names. Never fails: what can't be read is missed when it is needed.
    pub fn following(path: &Path, trust_ad: TrustAd, now: Instant) -> Self {
        let (followed, read) = Followed::begin(path, now, |path| read(path, trust_ad));
        let asked = read.unwrap_or_else(|why| Asked::new(Vec::new(), Vec::new(), Some(why), trust_ad));
        Self { asked: ArcSwap::from_pointee(asked), followed: Some((followed, trust_ad)) }
    }

    pub fn asked(&self) -> Guard<Arc<Asked>> {
        self.asked.load()
    }

    /// Looks whether the file has changed, if it is time to. True: others are asked from now on.
    pub fn look_again(&self, now: Instant) -> bool {
        let Some((followed, trust_ad)) = &self.followed else { return false };
        let Some(read) = followed.news(now, |path| read(path, *trust_ad)) else { return false };
        let (before, file) = (self.asked(), followed.path.display());
        match read {
            Ok(asked) if asked.servers.addresses == before.servers.addresses && asked.search == before.search => false,
            Ok(asked) => {
                tracing::info!(%file, servers = ?asked.servers.addresses, "other DNS servers are asked from now on");
                self.asked.store(Arc::new(asked));
                true
            }
            // Half written, or between two networks: those known before may still answer, and it is read again.
            Err(why) => {
                tracing::warn!(servers = ?before.servers.addresses, "{why}; until then the servers known before are asked");
                false
            }
        }
    }
}

fn read(path: &Path, trust_ad: TrustAd) -> Result<Asked, String> {
    let config = std::fs::read(path).map_err(NetError::from).and_then(|text| parsed(&String::from_utf8_lossy(&text)));
    let config = config.map_err(|error| {
        format!("no DNS server to ask ({error}): {} is read again when it changes, [dns] servers at SIGHUP", path.display())
    })?;
    let search = if config.search().is_empty() { config.domain().into_iter().cloned().collect() } else { config.search().to_vec() };
    let address =
        |server: &NameServerConfig| SocketAddr::new(server.ip, server.connections.first().map_or(53, |connection| connection.port));
    Ok(Asked::new(config.name_servers().iter().map(address).collect(), search, None, trust_ad))
}

/// A word of the search list that is no name doesn't cost the servers.
#[cfg(not(target_vendor = "apple"))]
fn parsed(text: &str) -> Result<ResolverConfig, NetError> {
    let is_list = |line: &str| matches!(line.split_whitespace().next(), Some("search" | "domain"));
    let legible = |line: &str| line.split_whitespace().filter(|word| Name::from_str_relaxed(word).is_ok()).collect::<Vec<_>>().join(" ");
    let lines = text.lines().map(|line| if is_list(line) { legible(line) } else { line.to_owned() });
    let text = lines.collect::<Vec<_>>().join("\n");
    hickory_resolver::system_conf::parse_resolv_conf(text).map(|(config, _)| config)
}

/// There the system's configuration lies elsewhere; the file only tells that it has changed.
#[cfg(target_vendor = "apple")]
fn parsed(_: &str) -> Result<ResolverConfig, NetError> {
    let config = hickory_resolver::system_conf::read_system_conf();
    config.map(|(config, _)| config).map_err(|error| std::io::Error::other(error).into())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::followed::LOOK_AGAIN;
    use super::*;

    struct Place {
        dir: tempfile::TempDir,
        now: Instant,
    }

    impl Place {
        fn new(text: &str) -> (Self, System) {
            let place = Self { dir: tempfile::tempdir().unwrap(), now: Instant::now() };
            place.write(text);
            let system = System::following(&place.path(), TrustAd::Loopback, place.now);
            (place, system)
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("resolv.conf")
        }

        /// Another file each time, as those who manage it do.
        fn write(&self, text: &str) {
            let new = self.dir.path().join("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, self.path()).unwrap();
        }
    }

    fn servers(system: &System) -> Vec<String> {
        system.asked().servers.addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn servers_that_the_file_names_later_are_asked() {
        let (place, system) = Place::new("# DHCP has not answered yet\n");
        let none = system.asked().none.clone().unwrap();
        assert!(none.contains("resolv.conf is read again when it changes"), "{none}");
        place.write("nameserver 127.0.0.1\n");
        assert!(!system.look_again(place.now), "it was looked at a moment ago");
        assert!(system.look_again(place.now + LOOK_AGAIN));
        assert_eq!(servers(&system), ["127.0.0.1:53"]);
        assert!(system.asked().none.is_none() && system.asked().trusted);
        place.write("nameserver 192.0.2.53\nsearch corp.example\n");
        assert!(system.look_again(place.now + 2 * LOOK_AGAIN));
        assert_eq!(servers(&system), ["192.0.2.53:53"]);
        assert!(!system.asked().trusted, "it is another's word now");
        assert!(!system.look_again(place.now + 3 * LOOK_AGAIN), "nothing has changed");
    }

    #[test]
    fn servers_known_before_stay_while_the_file_names_none() {
        let (place, system) = Place::new("nameserver 192.0.2.53\n");
        place.write("");
        assert!(!system.look_again(place.now + LOOK_AGAIN));
        std::fs::remove_file(place.path()).unwrap();
        assert!(!system.look_again(place.now + 2 * LOOK_AGAIN));
        assert_eq!(servers(&system), ["192.0.2.53:53"]);
    }

    #[test]
    fn a_bad_word_in_the_search_list_costs_neither_servers_nor_the_other_words() {
        let long = "x".repeat(64);
        let (_place, system) = Place::new(&format!("search corp.example {long}.example\nnameserver 192.0.2.53\n"));
        assert_eq!(servers(&system), ["192.0.2.53:53"]);
        assert_eq!(system.asked().search, [Name::from_str_relaxed("corp.example").unwrap()]);
    }

    #[test]
    fn a_comment_in_another_encoding_costs_nothing_and_what_could_not_be_read_is_read_again() {
        let (place, system) = Place::new("nameserver 192.0.2.53\n");
        std::fs::remove_file(place.path()).unwrap();
        std::fs::create_dir(place.path()).unwrap();
        assert!(!system.look_again(place.now + LOOK_AGAIN));
        std::fs::remove_dir(place.path()).unwrap();
        std::fs::write(place.path(), b"# g\xe9n\xe9r\xe9\nnameserver 192.0.2.54\n").unwrap();
        assert!(system.look_again(place.now + 2 * LOOK_AGAIN));
        assert_eq!(servers(&system), ["192.0.2.54:53"]);
    }
}
