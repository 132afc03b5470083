//! What moves a store, with the true binary: backups, exports and imports, of a running proxy's store and of a stopped one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

mod stories;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use relayscope::store::{Day, Options, Store};
use relayscope::trace::{Record, RecordId, json};
use stories::Proxy;

fn relayscope(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relayscope")).args(arguments).env("TZ", "UTC").env_remove("RELAYSCOPE_TOKEN").output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What it prints, once it has ended with that status.
#[track_caller]
fn ends(arguments: &[&str], expected: i32) -> String {
    let output = relayscope(arguments);
    assert_eq!(output.status.code(), Some(expected), "{arguments:?}\n{}\n{}", out(&output), err(&output));
    if expected == 0 { out(&output) } else { err(&output) }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What the commands say of a stopped store; the commands they propose name it.
fn answers(store: &Path) -> Vec<String> {
    let questions: [&[&str]; 4] = [
        &["where", "<accepted.1@mail.example.com>"],
        &["where", "nobody@example.org", "--json"],
        &["search", "--json"],
        &["where", "Grand offer"],
    ];
    let ask = |question: &&[&str]| ends(&[question, ["--store", text(store)].as_slice()].concat(), 0);
    questions.iter().map(|question| ask(question).replace(text(store), "STORE")).collect()
}

#[test]
fn a_backup_of_a_running_and_of_a_stopped_store_answers_like_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let [store, running, stopped] = ["store", "running", "stopped"].map(|name| dir.path().join(name));
    let proxy = Proxy::start(&store, false);
    let said = ends(&["store", "backup", text(&running), "--store", text(&store)], 0);
    assert!(said.contains("Copied: 1 file") && said.contains(&format!("store check --store {}", text(&running))), "{said}");
    let refused = ends(&["store", "backup", text(&running), "--store", text(&store)], 2);
    assert!(refused.contains("something in it already"), "{refused}");
    let refused = ends(&["store", "backup", text(&stopped), "--api", &proxy.url()], 2);
    assert!(refused.contains("api.sock") && !stopped.exists(), "{refused}");
    proxy.stop();

    let said = ends(&["store", "backup", text(&stopped), "--store", text(&store), "--json"], 0);
    assert!(said.contains("\"copied\":1"), "{said}");
    for backup in [&running, &stopped] {
        assert!(!backup.join("lock").exists() && !backup.join("api.sock").exists());
        ends(&["store", "check", "--store", text(backup)], 0);
        assert_eq!(answers(backup), answers(&store));
    }
}

#[test]
fn an_export_makes_another_store_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let [store, other, file, again] = ["store", "other", "traces.ndjson", "again.ndjson"].map(|name| dir.path().join(name));
    let proxy = Proxy::start(&store, false);
    let running = ends(&["store", "export", "--store", text(&store)], 0);
    let over_tcp = ends(&["store", "export", "--api", &proxy.url()], 0);
    let chosen = ends(&["store", "export", "state:rejected", "--store", text(&store)], 0);
    proxy.stop();
    assert_eq!(ends(&["store", "export", "--store", text(&store)], 0), running);
    assert_eq!(ends(&["store", "export", "state:rejected", "--store", text(&store)], 0), chosen);
    assert_eq!(over_tcp, running);
    assert_eq!(ends(&["store", "export", "-o", text(&file), "--store", text(&store)], 0), "");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), running);
    assert!(!dir.path().join("traces.ndjson.partial").exists());
    // What a search lists is what is exported, each with what was said later.
    let listed = ends(&["search", "--json", "-n", "1000", "state:rejected", "--store", text(&store)], 0);
    let base = chosen.lines().filter(|line| !line.contains("\"kind\":\"amendment\"")).count();
    assert!(base == listed.lines().count() && base > 1 && base < running.lines().count(), "{chosen}");
    ends(&["store", "export", "to:nobody@nowhere.example", "--store", text(&store)], 1);

    let records = running.lines().count();
    let said = ends(&["store", "import", text(&file), "--store", text(&other)], 0);
    assert_eq!(said, format!("{records} records added, 0 were there already.\n"));
    let said = ends(&["store", "import", text(&file), "--store", text(&other), "--json"], 0);
    assert_eq!(said, format!("{{\"added\":0,\"known\":{records},\"whole\":true}}\n"));
    ends(&["store", "check", "--store", text(&other)], 0);
    ends(&["store", "export", "-o", text(&again), "--store", text(&other)], 0);
    assert_eq!(std::fs::read_to_string(&again).unwrap(), running);
    assert_eq!(answers(&other), answers(&store));
    // Nothing is new to the store it came from, whatever day it stands in there.
    assert!(ends(&["store", "import", text(&file), "--store", text(&store)], 0).starts_with("0 records added"));
}

/// A line of a log whose clock was ahead over midnight stands in the day before its own.
#[test]
fn what_stands_before_its_time_is_exported() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    Proxy::start(&store, false).stop();
    let days = || -> Vec<Day> {
        let names = std::fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| name.parse().ok()).collect()
    };
    let [today] = days()[..] else { panic!("{:?}", days()) };
    let chosen = ends(&["store", "export", "state:rejected", "--store", text(&store)], 0);
    let mut records = chosen.lines().map(|line| serde_json::from_str::<json::Record>(line).unwrap());
    let Ok(Record::Transaction(mut ahead)) = records.find(|it| matches!(it, json::Record::Transaction(_))).unwrap().try_into() else {
        panic!()
    };
    (ahead.id, ahead.at) = (RecordId::from_parts(today.start() / 1000 + 60_000, 7), today.start() + 60_000_000);
    ahead.envelope.reverse_path = "ahead@clock.example".to_owned();
    let put = |record: &Record| {
        let opened = Store::open(Options::new(&store)).unwrap().store;
        opened.appender().append(record).unwrap();
        opened.close();
    };
    put(&Record::Transaction(ahead.clone()));
    // What was written today was written yesterday, and something today.
    std::fs::rename(store.join(today.to_string()), store.join(today.earlier(1).to_string())).unwrap();
    std::fs::remove_dir_all(store.join("state")).unwrap();
    (ahead.id, ahead.envelope.reverse_path) = (RecordId::from_parts(today.start() / 1000, 8), "today@clock.example".to_owned());
    put(&Record::Transaction(ahead));
    assert_eq!(days().len(), 2);
    let chosen = ends(&["store", "export", "from:ahead@clock.example", "--store", text(&store)], 0);
    assert_eq!(chosen.lines().count(), 1, "{chosen}");
}

#[test]
fn a_bad_line_is_named_and_what_stands_before_it_is_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    Proxy::start(&store, false).stop();
    let whole = ends(&["store", "export", "--store", text(&store)], 0);
    let lines: Vec<&str> = whole.lines().collect();
    let cut = &lines[2][..lines[2].len() - 20];
    let transaction = lines.iter().find(|line| line.contains("body_digest")).unwrap();
    let cases: [(&str, String, usize, &str); 7] = [
        ("cut off", format!("{}\n\n{}\n{cut}", lines[0], lines[1]), 2, &format!("traces:4:{}: the line ends in the middle", cut.len())),
        (
            "newer",
            format!("{}\n{}", lines[0], lines[1].replace("\"v\":1", "\"v\":2")),
            1,
            "traces:2: \"v\" is 2, and this relayscope reads",
        ),
        ("garbage", format!("{}\nNov 23 10:02:11 mx postfix/smtp[1]: x", lines[0]), 1, "traces:2:1: expected"),
        ("too long", format!("{}\n{}", lines[0], "x".repeat(17 << 20)), 1, "traces:2: the line is longer than 16,777,216"),
        ("unknown", transaction.replace("\"transaction\"", "\"wish\""), 0, "traces:1: records of kind"),
        ("digest", transaction.replace("body_digest\":\"0", "body_digest\":\"?"), 0, "traces:1: message.body_digest"),
        ("nothing", "\n \r\n".to_owned(), 0, ""),
    ];
    for (name, input, kept, words) in cases {
        let (file, other) = (dir.path().join("traces"), dir.path().join(name));
        std::fs::write(&file, input).unwrap();
        let said = ends(&["store", "import", text(&file), "--store", text(&other)], if words.is_empty() { 0 } else { 2 });
        assert!(said.contains(words), "{name}: {said}");
        let there = relayscope(&["store", "export", "--store", text(&other)]);
        assert_eq!(out(&there).lines().collect::<Vec<_>>(), lines[..kept], "{name}");
    }
    // Octets that are no text.
    std::fs::write(dir.path().join("traces"), [lines[0].as_bytes(), b"\n{\"v\":1,\"kind\":\"g\xffap\"}\n"].concat()).unwrap();
    let said = ends(&["store", "import", text(&dir.path().join("traces")), "--store", text(&dir.path().join("octets"))], 2);
    assert!(said.contains("traces:2:") && said.contains("invalid unicode"), "{said}");
}

#[test]
fn imports_come_from_a_pipe_and_not_into_a_store_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let [store, other] = ["store", "other"].map(|name| dir.path().join(name));
    let proxy = Proxy::start(&store, false);
    let whole = ends(&["store", "export", "--store", text(&store)], 0);
    let refused = ends(&["store", "import", "-", "--store", text(&store)], 3);
    assert!(refused.contains("in use by process") && refused.contains("stop the proxy first"), "{refused}");
    proxy.stop();
    let arguments = ["store", "import", "-", "--store", text(&other)];
    let mut import =
        Command::new(env!("CARGO_BIN_EXE_relayscope")).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(whole.as_bytes()).unwrap();
    let output = import.wait_with_output().unwrap();
    assert!(output.status.success() && out(&output).starts_with(&format!("{} records added", whole.lines().count())), "{}", out(&output));
    let refused = ends(&["store", "import", "no-such-file", "--store", text(&other)], 2);
    assert!(refused.contains("no-such-file"), "{refused}");
    let refused = ends(&["store", "import", "-", "--store", text(&dir.path().join("not/there"))], 3);
    assert!(refused.contains("no such directory"), "{refused}");
    // A reader that has seen enough is no failure.
    let mut export = Command::new(env!("CARGO_BIN_EXE_relayscope"))
        .args(["store", "export", "--store", text(&other)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(export.stdout.take());
    assert!(export.wait().unwrap().success());
}

/// The header of a journal file is damaged: what it holds is missing, and nobody may take the rest for all.
#[test]
fn what_cannot_be_read_is_said_with_every_answer() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    Proxy::start(&store, false).stop();
    let days = std::fs::read_dir(&store).unwrap().map(|entry| entry.unwrap().path().join("journal"));
    for file in days.filter(|journal| journal.is_dir()).flat_map(|journal| std::fs::read_dir(journal).unwrap()) {
        let file = file.unwrap().path();
        let mut octets = std::fs::read(&file).unwrap();
        octets[..8].copy_from_slice(b"rubbish!");
        std::fs::write(&file, octets).unwrap();
    }
    for question in [&["where", "<accepted.1@mail.example.com>", "--no-dns"][..], &["search"]] {
        let said = relayscope(&[question, &["--store", text(&store)]].concat());
        assert!(err(&said).contains("is missing from the answer"), "{question:?}: {}", err(&said));
    }
    let said = relayscope(&["store", "rebuild-index", "--store", text(&store), "--json"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(out(&said).contains("\"unreadable\":[{"), "{}", out(&said));
}

#[test]
fn a_directory_that_is_no_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (home, log) = (dir.path().join("home"), dir.path().join("mail.log"));
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("notes"), "mine").unwrap();
    std::fs::write(&log, "Nov 28 09:00:02 mx1 postfix/qmgr[103]: 4F1C21A0C7: removed\n").unwrap();
    for arguments in [&["store", "rebuild-index"][..], &["import", "postfix", text(&log)]] {
        let said = ends(&[arguments, &["--store", text(&home)]].concat(), 2);
        assert!(said.contains("is no store"), "{arguments:?}: {said}");
    }
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 1);
}

#[test]
fn an_export_that_fails_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let [store, target] = ["store", "target"].map(|name| dir.path().join(name));
    Proxy::start(&store, false).stop();
    std::fs::create_dir(&target).unwrap();
    let said = ends(&["store", "export", "--store", text(&store), "-o", text(&target)], 2);
    assert!(said.contains("is a directory"), "{said}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
}

/// Somebody else's disk is full, or its reader has gone.
#[test]
fn what_cannot_be_said_on_standard_error_is_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    Proxy::start(&store, false).stop();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let shown = Command::new(env!("CARGO_BIN_EXE_relayscope"))
        .args(["show", "01M83YQ108000F3EYDSFX57R59", "--store", text(&store)])
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(shown.code(), Some(1));
}

#[test]
fn a_dash_among_words_is_a_dash() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    Proxy::start(&store, false).stop();
    let said = Command::new(env!("CARGO_BIN_EXE_relayscope"))
        .args(["where", "--no-dns", "Grand", "-", "offer", "--store", text(&store)])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(!err(&said).contains("what was pasted"), "{}", err(&said));
}
