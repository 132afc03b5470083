//! `relayscope import`, as an administrator uses it: into a stopped store, into a running proxy, and as the log grows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

mod stories;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use relayscope::store::{PageRequest, Query, Store, Term};
use relayscope::trace::RecordKind;
use stories::Proxy;

const BINARY: &str = env!("CARGO_BIN_EXE_relayscope");
const PATIENCE: Duration = Duration::from_secs(60);

fn relayscope(dir: &Path, arguments: &[&str]) -> (i32, String, String) {
    let done =
        Command::new(BINARY).args(arguments).current_dir(dir).env("NO_COLOR", "1").env("TZ", "UTC").stdin(Stdio::null()).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (done.status.code().unwrap(), text(done.stdout), text(done.stderr))
}

/// A message for two: one is unknown, the other's server takes it.
fn message(number: u32) -> String {
    let id = format!("4F1A2B{number:04X}");
    format!(
        "Nov 26 10:02:03 mail postfix/smtpd[11]: {id}: client=client.example[192.0.2.7]\n\
         Nov 26 10:02:03 mail postfix/cleanup[12]: {id}: message-id=<{number}@from.example>\n\
         Nov 26 10:02:03 mail postfix/qmgr[13]: {id}: from=<ann@from.example>, size=1234, nrcpt=1 (queue active)\n\
         Nov 26 10:02:04 mail postfix/smtp[14]: {id}: to=<carol@to.example>, relay=mx.to.example[192.0.2.9]:25, delay=1.2, delays=0/0/0.5/0.6, \
         dsn=5.1.1, status=bounced (host mx.to.example[192.0.2.9] said: 550 5.1.1 User unknown (in reply to RCPT TO command))\n\
         Nov 26 10:12:04 mail postfix/smtp[14]: {id}: to=<bob@to.example>, relay=mx.to.example[192.0.2.9]:25, delay=600, delays=599/0/0.5/0.6, \
         dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 5F1A2B{number:04X})\n\
         Nov 26 10:12:05 mail postfix/qmgr[13]: {id}: removed\n"
    )
}

/// Records of such a message.
const EACH: usize = 4;

fn messages(numbers: std::ops::Range<u32>) -> String {
    numbers.map(message).collect()
}

fn append(log: &Path, text: &str) {
    File::options().append(true).create(true).open(log).unwrap().write_all(text.as_bytes()).unwrap();
}

fn logs_in(store: &Store) -> usize {
    let query = Query { all: vec![Term::Kind(RecordKind::Log)], ..Query::default() };
    store.query(&query, &PageRequest::newest(10_000)).unwrap().records.len()
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_log_is_read_into_a_stopped_store_once() {
    let dir = tempfile::tempdir().unwrap();
    let hostile = "Nov 26 10:02:03\u{1b}[31m red\n";
    fs::write(dir.path().join("mail.log"), format!("{}{hostile}\0\u{1}rubbish\nNov 26 10:12:06 mail sshd[1]: hello\n", messages(0..3)))
        .unwrap();
    let import = |more: &[&str]| relayscope(dir.path(), &[&["import", "postfix", "mail.log", "--store", "store"], more].concat());
    let (code, said, _) = import(&[]);
    let expected = "Read 21 lines of mail.log (Postfix): 18 of mail, 1 of something else, 2 unreadable.\n\
                    They say: 3 received, 3 sent, 3 bounced, 3 removed.\n\
                    12 records added, 0 there already.\n\
                    Could not be read:\n\
                    \x20 mail.log:19: no time, host and program as syslog writes them\n\
                    \x20   Nov 26 10:02:03\\x1b[31m red\n\
                    \x20 mail.log:20: there are NUL octets in it\n\
                    \x20   \\x00\\x01rubbish\n";
    assert_eq!((code, said.as_str()), (0, expected));
    let (code, said, _) = import(&["--json"]);
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &said["added"], &said["known"], &said["unreadable"]), (0, &0.into(), &12.into(), &2.into()));
    let (_, found, _) =
        relayscope(dir.path(), &["search", "kind:log", "cause:recipient_unknown", "to:carol@to.example", "--store", "store", "--json"]);
    assert_eq!(found.lines().count(), 3, "{found}");
    let (code, said, _) = import(&["--since", "2099-01-01"]);
    assert!(code == 0 && said.contains("0 records added") && said.contains("12 left out as older"), "{said}");
}

/// What the rotated file says of a message that is still in the queue holds for the file that came after it.
#[test]
fn a_message_is_known_across_the_files_of_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let text = messages(0..1);
    let (before, after) = text.split_at(text.find("Nov 26 10:12:04").unwrap());
    fs::write(dir.path().join("mail.log.1"), format!("{before}rubbish\n")).unwrap();
    fs::write(dir.path().join("mail.log"), format!("{after}rubbish\n")).unwrap();
    let arguments = ["import", "postfix", "mail.log.1", "mail.log", "--dry-run", "--json"];
    let (code, records, summary) = relayscope(dir.path(), &arguments);
    assert_eq!((code, records.lines().count()), (0, EACH), "{summary}");
    let sent = records.lines().find(|it| it.contains("bob@to.example")).unwrap();
    assert!(sent.contains("0@from.example") && sent.contains("ann@from.example"), "{sent}");
    let (first, second) = (summary.contains("mail.log.1:5: "), summary.contains("mail.log:3: "));
    assert!(first && second && summary.contains("8 lines") && summary.contains("2 unreadable"), "{summary}");
}

#[test]
fn what_is_wrong_is_told_before_anything_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mail.log"), messages(0..1)).unwrap();
    fs::write(dir.path().join("letter.txt"), "Dear Ann,\n\nall is well.\n").unwrap();
    for (arguments, code, part) in [
        (&["import", "postfix", "mail.log", "nosuch.log", "--store", "store"][..], 2, "nosuch.log: No such file"),
        (&["import", "postfix", ".", "--store", "store"], 2, "it is a directory"),
        (&["import", "auto", "letter.txt", "--store", "store"], 2, "none of the known servers' logs is recognised"),
        (&["import", "auto", "letter.txt", "--follow", "--dry-run"], 2, "name the server instead of auto"),
        (&["import", "qmail", "mail.log"], 2, "known are postfix, exchange, exim"),
        (&["import", "postfix", "mail.log", "--timezone", "Mars"], 2, "Europe/Berlin"),
        (&["import", "postfix", "mail.log", "--since", "soon"], 2, "--since:"),
        (&["import", "postfix", "mail.log", "--api", "http://127.0.0.1:1"], 2, "over TCP nothing can be handed in"),
        (&["import", "postfix", "mail.log", "--api", "unix:nosuch.sock"], 3, "nosuch.sock"),
        (&["import", "postfix", "mail.log", "--follow", "--store", "nosuch"], 3, "there is no such directory"),
    ] {
        let (status, said, complaint) = relayscope(dir.path(), arguments);
        assert!(status == code && complaint.contains(part), "{arguments:?}: {status} {said}{complaint}");
    }
    assert!(!dir.path().join("store").exists());
    let (code, said, _) = relayscope(dir.path(), &["import", "exim", "mail.log", "--dry-run"]);
    assert!(code == 1 && said.contains("mail.log: no line of Exim in it"), "{said}");
    let (code, records, summary) = relayscope(dir.path(), &["import", "auto", "mail.log", "--dry-run", "--json"]);
    assert_eq!((code, records.lines().count()), (0, EACH));
    assert!(records.contains(r#""cause":"recipient_unknown""#) && summary.contains("Nothing was stored"), "{records}{summary}");
}

#[test]
fn a_running_proxy_takes_a_log_in() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(dir.path(), false);
    fs::write(dir.path().join("mail.log"), messages(0..700)).unwrap();
    let (code, said, complaint) = relayscope(dir.path(), &["import", "auto", "mail.log", "--store", "."]);
    assert_eq!((code, said.lines().last()), (0, Some("2,800 records added, 0 there already.")), "{complaint}");
    assert_eq!(logs_in(&proxy.store), 700 * EACH);
    let socket = format!("unix:{}", dir.path().join("api.sock").display());
    let (code, said, _) = relayscope(dir.path(), &["import", "postfix", "mail.log", "--api", &socket]);
    assert_eq!((code, said.lines().last()), (0, Some("0 records added, 2,800 there already.")));
    let (_, found, _) =
        relayscope(dir.path(), &["search", "kind:log", "cause:recipient_unknown", "message-id:7@from.example", "--store", ".", "--json"]);
    assert_eq!(found.lines().count(), 1, "diagnosed by the proxy: {found}");
    proxy.stop();
}

/// The command, following.
struct Following {
    child: Child,
    says: BufReader<ChildStderr>,
}

impl Following {
    fn start(dir: &Path) -> Self {
        let mut command = Command::new(BINARY);
        command
            .args(["import", "postfix", "--follow", "logs/mail.log", "--store", "."])
            .current_dir(dir)
            .env("NO_COLOR", "1")
            .env("TZ", "UTC");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let says = BufReader::new(child.stderr.take().unwrap());
        Self { child, says }
    }

    /// Its next line.
    #[track_caller]
    fn says(&mut self, part: &str) {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        assert!(line.starts_with("relayscope: ") && line.contains(part), "{part:?} in {line:?}");
    }

    fn stop(mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let (mut said, mut complaint) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        self.says.read_to_string(&mut complaint).unwrap();
        assert!(self.child.wait().unwrap().success(), "{complaint}");
        assert_eq!(complaint, "");
        said
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn log(dir: &Path) -> PathBuf {
    fs::create_dir_all(dir.join("logs")).unwrap();
    dir.join("logs/mail.log")
}

#[test]
fn a_log_is_followed_through_rotation_restarts_and_a_proxy_that_is_away() {
    let dir = tempfile::tempdir().unwrap();
    let (log, mut proxy) = (log(dir.path()), Proxy::start(dir.path(), false));
    append(&log, &messages(0..2));
    let mut following = Following::start(dir.path());
    following.says("mail.log from its beginning");
    until("what was there", || logs_in(&proxy.store) == 2 * EACH);
    append(&log, &messages(2..3));
    until("what comes", || logs_in(&proxy.store) == 3 * EACH);
    let rotated = log.with_extension("log.1");
    append(&log, &messages(3..4));
    fs::rename(&log, &rotated).unwrap();
    append(&log, &messages(4..5));
    following.says("another file is in its place");
    following.says("mail.log from its beginning");
    until("both files", || logs_in(&proxy.store) == 5 * EACH);

    // The proxy goes away and comes back.
    proxy.end();
    append(&log, &messages(5..6));
    following.says("takes no records at present");
    proxy.stop();
    let proxy = Proxy::start(dir.path(), false);
    following.says("takes records again");
    until("what came meanwhile", || logs_in(&proxy.store) == 6 * EACH);

    // Whoever follows goes away and comes back.
    let said = following.stop();
    assert!(said.contains("24 records added, 0 there already."), "{said}");
    append(&log, &messages(6..7));
    let mut following = Following::start(dir.path());
    following.says(&format!("from octet 1,{} on", messages(4..6).len() - 1_000));
    until("the rest", || logs_in(&proxy.store) == 7 * EACH);
    let said = following.stop();
    assert!(said.contains("4 records added, 0 there already."), "{said}");
    assert!(relayscope(dir.path(), &["store", "check", "--store", "."]).1.contains("The store is sound."));
    proxy.stop();
}

#[test]
fn what_was_missed_and_what_cannot_be_read_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (log, proxy) = (log(dir.path()), Proxy::start(dir.path(), false));
    append(&log, &messages(0..1));
    let mut following = Following::start(dir.path());
    following.says("from its beginning");
    until("what was there", || logs_in(&proxy.store) == EACH);
    following.stop();
    fs::remove_file(&log).unwrap();
    append(&log, &messages(1..2));
    let mut following = Following::start(dir.path());
    following.says("the file that was being read is gone");
    following.says("from its beginning");
    append(&log, "rubb\u{1b}ish\n");
    following.says("a line could not be read");
    until("the new file", || logs_in(&proxy.store) == 2 * EACH);
    let (mut place, mut text) = (String::new(), String::new());
    following.says.read_line(&mut place).unwrap();
    following.says.read_line(&mut text).unwrap();
    assert!(place.contains("mail.log:7: no time"), "{place}");
    assert_eq!(text.trim(), "rubb\\x1bish");
    assert!(following.stop().contains("1 unreadable."));
    proxy.stop();
}
