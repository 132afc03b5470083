//! What a test wants of any mail server, whichever it is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::PATIENCE;
use crate::support::certificates::Certificates;
use crate::support::client::Client;
use crate::support::place::{Place, files_under};
use crate::support::ports;
use crate::support::process::{Output, Process};

use super::root::Root;

pub const USER: &str = "ann";
pub const PASSWORD: &str = "sesame-Zwerg0815";

/// A server that sends everything through a relay, as its recipe says.
pub struct Sending<'a> {
    pub place: &'a Place,
    /// Of the directory, and of the host: `NAME.example`.
    pub name: &'a str,
    pub relay: SocketAddr,
    /// Whom it logs in as.
    pub user: &'a str,
    /// With the setting that gives each domain a transaction of its own.
    pub one_domain: bool,
    /// Whose certificates it trusts.
    pub authority: &'a Path,
    /// Past the relay, as the recipe's bypass says.
    pub bypass: Option<SocketAddr>,
}

/// A server that keeps the mail of [`USER`] and bob, carol and later in `to.example`, and relays for those who have logged in.
pub struct Receiving<'a> {
    pub place: &'a Place,
    pub name: &'a str,
    pub certificates: &'a Certificates,
}

pub trait Server {
    fn address(&self) -> SocketAddr;

    fn log(&self) -> &Output;

    /// The log as an administrator has it: its own file, or what syslog would write.
    fn log_text(&self) -> String {
        let host = |line: &str| match line.split_at_checked(15) {
            Some((stamp, rest)) => format!("{stamp} host.example{rest}\n"),
            None => format!("{line}\n"),
        };
        self.log().text().lines().map(host).collect()
    }

    /// Files with the messages of a mailbox: one each, or all of them in one.
    fn mail_files(&self, user: &str) -> Vec<(PathBuf, Vec<u8>)>;

    /// Tries all deferred mail again now.
    fn flush(&self);

    /// Whether its recipe has a setting that gives each domain a transaction of its own.
    fn one_domain_setting(&self) -> bool {
        true
    }

    /// From now on mail for `later` gets a 4xx.
    fn put_off(&self) {}

    /// From now on mail for `later` is taken.
    fn relent(&self) {}

    /// The name to log in with.
    fn login(&self) -> String {
        USER.to_owned()
    }

    fn client(&self) -> Client {
        Client::ready(self.address())
    }

    /// The mailbox's octets with LF line ends: all its messages, one behind the other.
    fn mailbox(&self, user: &str) -> String {
        let octets: Vec<u8> = self.mail_files(user).into_iter().flat_map(|(_, octets)| octets).collect();
        String::from_utf8_lossy(&octets).replace("\r\n", "\n")
    }

    /// Waits until the mailbox holds these words.
    #[track_caller]
    fn expect_mail(&self, user: &str, words: &str) -> String {
        until(&format!("{words:?} in the mailbox of {user}"), self.log(), || {
            let mailbox = self.mailbox(user);
            mailbox.contains(words).then_some(mailbox)
        })
    }
}

/// Waits until there is something.
#[track_caller]
pub fn until<T>(what: &str, log: &Output, mut found: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}; log:\n{}", log.text());
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The files below a directory of the root, as far as they hold mail.
pub fn mail_below(root: &Root, dir: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = root.path(dir);
    if dir.is_file() {
        return std::fs::read(&dir).map(|octets| vec![(dir, octets)]).unwrap_or_default();
    }
    files_under(&dir).into_iter().filter(|(file, _)| is_delivered(file)).collect()
}

/// In a Maildir: neither unfinished nor the server's own.
fn is_delivered(file: &Path) -> bool {
    file.parent().and_then(Path::file_name).is_some_and(|dir| dir == "new" || dir == "cur")
}

/// Starts a server on a port of its own; `start` is given the port. Done when it greets.
pub fn on_a_port(log: &Output, start: impl Fn(u16) -> Process) -> (Process, SocketAddr) {
    let end = Instant::now() + PATIENCE;
    loop {
        let port = ports::unused();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut process = start(port);
        while process.is_running() {
            if let Some(mut client) = Client::try_connect(address) {
                client.expect(220);
                client.quit();
                return (process, address);
            }
            assert!(Instant::now() < end, "nobody listens at {address}:\n{}\n{}", process.output.text(), log.text());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert!(Instant::now() < end, "the server doesn't stay:\n{}\n{}", process.output.text(), log.text());
        eprintln!("tried again on another port: {}", process.output.text());
    }
}
