//! The binary against a store full of stories: the same answers from a stopped store and through a running proxy's `api.sock`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

mod stories;

use std::process::{Command, Output};

use relayscope::http;
use relayscope::trace::{AboutKind, Anomaly, Record};
use stories::Proxy;

fn relayscope(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_relayscope"))
        .args(arguments)
        .env("TZ", "UTC")
        .env_remove("RELAYSCOPE_TOKEN")
        .env_remove("COLUMNS")
        .current_dir(std::env::temp_dir())
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn status(output: &Output, expected: i32) {
    assert_eq!(output.status.code(), Some(expected), "{}\n{}", out(output), err(output));
}

const QUESTIONS: &[(&[&str], i32)] = &[
    (&["where", "<accepted.1@mail.example.com>"], 0),
    (&["where", "nobody@example.org", "--json"], 0),
    (&["where", "5A2D33B1C8"], 0),
    (&["where", "subject:large plan"], 0),
    (&["where", "Grand offer"], 0),
    (&["where", "alice@example.com", "since:2026-11-23T10:04:00Z", "until:2026-11-23T10:30:00Z", "--json"], 0),
    (&["search", "state:rejected"], 0),
    (&["search", "--json", "-n", "3"], 0),
    (&["search", "kind:gap", "--json"], 0),
    (&["search", "enhanced:5", "-n", "1"], 0),
    (&["search", "reply:greylisted", "-n", "2", "--json"], 0),
    (&["search", "state:rejected", "to:bob@nowhere.example"], 1),
    (&["search", "state:rejected or (subject:*lan* and not from:nobody*)"], 0),
    (&["search", "client:10.0.0.0/8", "or", "client:192.0.2.0/24", "size:..10M", "--json"], 0),
    (&["search", "from:a and or"], 2),
    (&["stats", "--over", "2026-11-23T00:00:00Z", "until:2026-11-23T23:00:00Z", "--by", "code,enhanced,client", "--json"], 0),
    (&["stats", "--over", "2026-11-23T00:00:00Z", "since:2026-11-23T00:00:00Z", "until:2026-11-23T23:00:00Z", "--json"], 0),
    (&["where", "since:"], 2),
    (&["where", "state:bounced"], 1),
    (&["where", "state:stuck", "--json"], 1),
    (&["search", "state:stuck"], 2),
    (&["search", "kind:report"], 1),
    (&["search", "cause:mailbox_ful"], 2),
    (&["search", "state:boucned"], 2),
    (&["where", "bob@exmaple.org", "since:2026-11-22"], 1),
    (&["show", "01M83XVF5G000DN9KD5HYXYX1Z"], 0),
    (&["show", "01M83XVF5G000DN9KD5HYXYX1Z", "--json"], 0),
    (&["show", "01M83XVF5G000DN9KD5HYXYX1X"], 1),
];

#[test]
fn a_stopped_store_and_a_running_proxy_answer_alike() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().to_str().unwrap();
    let proxy = Proxy::start(dir.path(), false);
    let ask = |(arguments, _): &(&[&str], i32)| relayscope(&[arguments, ["--store", store].as_slice()].concat());
    let running: Vec<Output> = QUESTIONS.iter().map(ask).collect();
    let tcp = proxy.url();
    let over_tcp: Vec<Output> =
        QUESTIONS.iter().map(|(arguments, _)| relayscope(&[arguments, ["--api", &tcp].as_slice()].concat())).collect();
    proxy.stop();
    let stopped: Vec<Output> = QUESTIONS.iter().map(ask).collect();
    for (index, (arguments, expected)) in QUESTIONS.iter().enumerate() {
        println!("--- {arguments:?}\n{}{}", out(&stopped[index]), err(&stopped[index]));
        status(&stopped[index], *expected);
        let untold = |text: String| text.replace(r#""running":true"#, r#""running":false"#);
        if !out(&stopped[index]).contains("No proxy is adding") {
            assert_eq!(untold(out(&running[index])), out(&stopped[index]), "{arguments:?}");
            let proposals = out(&over_tcp[index]).replace(&format!(" --api {tcp}"), &format!(" --store {store}"));
            assert_eq!(untold(proposals), out(&stopped[index]), "{arguments:?}");
        }
        assert_eq!((err(&running[index]), running[index].status), (err(&stopped[index]), stopped[index].status), "{arguments:?}");
    }
}

/// What `where -` says of a pasted text, and its status.
fn paste(store: &str, text: &str, others: &[&str]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_relayscope"))
        .args(["where", "-", "--no-dns", "--store", store])
        .args(others)
        .env("TZ", "UTC")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn what_is_pasted_is_asked_for_by_the_ids_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().to_str().unwrap();
    stories::store(dir.path()).close();
    let bounce = "From: MAILER-DAEMON@smtp.example.net\nTo: alice@example.com\nSubject: Undelivered Mail Returned to Sender\n\
        Message-ID: <report.1@smtp.example.net>\n\nI'm sorry to have to inform you that your message could not be delivered.\n\n\
        <bob@example.org>: host mx.example.org said: 552 5.2.2 Mailbox full\n\n\
        Message-ID: <accepted.1@mail.example.com>\nFrom: alice@example.com\nTo: bob@example.org\n";
    let found = paste(store, bounce, &[]);
    status(&found, 0);
    assert!(out(&found).contains("Minutes of Monday") && out(&found).contains("Found by"), "{}", out(&found));
    let reply = paste(store, "it said: 250 2.0.0 Ok: queued as 5A2D33B1C8\n", &["--json"]);
    status(&reply, 0);
    assert!(out(&reply).contains("partly.3@mail.example.com"), "{}", out(&reply));
    let elsewhere = paste(store, "Message-ID: <not.here@mail.example.com>\nTo: nowhere@example.net\nFrom: x@example.com\n", &[]);
    status(&elsewhere, 1);
    assert!(out(&elsewhere).contains("Nothing was seen of any of 3 clues"), "{}", out(&elsewhere));
    let nothing = paste(store, "hello\n", &[]);
    status(&nothing, 2);
    assert!(err(&nothing).contains("no id, address or trace id"), "{}", err(&nothing));
    status(&paste(store, bounce, &["until:2026-11-22"]), 1);
}

#[test]
fn tail_shows_the_past_and_then_follows() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(dir.path(), false);
    let mut tail = Command::new(env!("CARGO_BIN_EXE_relayscope"))
        .args(["tail", "judy@example.org", "-n", "2", "--count", "1", "--json", "--store", dir.path().to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(tail.stdout.take().unwrap()));
    let past: Vec<String> = lines.by_ref().take(2).map(Result::unwrap).collect();
    assert!(past.iter().all(|line| line.contains("judy@example.org")));
    // What was asked for follows; what was not, doesn't.
    let appender = proxy.store.appender();
    appender.append(&stories::Tale::new(900, "12:00:00", "alice@example.com").to("bob@example.org", "250 Ok").record()).unwrap();
    appender.append(&stories::Tale::new(901, "12:00:01", "alice@example.com").to("judy@example.org", "250 Ok").record()).unwrap();
    let live = lines.next().unwrap().unwrap();
    assert!(live.contains("judy@example.org") && live.contains("2026-11-23T12:00:01"), "{live}");
    assert!(tail.wait().unwrap().success());
    drop(appender);
    proxy.stop();
}

#[test]
fn tail_goes_on_with_the_proxy_that_takes_the_place_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let mut proxy = Proxy::start(dir.path(), false);
    let mut tail = Command::new(env!("CARGO_BIN_EXE_relayscope"))
        .args(["tail", "judy@example.org", "-n", "1", "--count", "2", "--json", "--store", dir.path().to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(tail.stdout.take().unwrap()));
    let mut said = std::io::BufRead::lines(std::io::BufReader::new(tail.stderr.take().unwrap()));
    assert!(lines.next().unwrap().unwrap().contains("judy@example.org"));
    let record = |number, time| stories::Tale::new(number, time, "alice@example.com").to("judy@example.org", "250 Ok").record();
    let appender = proxy.store.appender();
    appender.append(&record(901, "12:00:01")).unwrap();
    assert!(lines.next().unwrap().unwrap().contains("2026-11-23T12:00:01"));
    proxy.end();
    let gone = said.next().unwrap().unwrap();
    assert!(gone.contains("waiting for it"), "{gone}");
    // Recorded while nobody follows.
    appender.append(&record(902, "12:00:02")).unwrap();
    drop(appender);
    let next = Proxy::serve(proxy.store.clone(), dir.path(), false);
    let live = lines.next().unwrap().unwrap();
    assert!(live.contains("2026-11-23T12:00:02"), "{live}");
    assert!(tail.wait().unwrap().success());
    drop(proxy);
    next.stop();
}

#[test]
fn tcp_asks_for_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(dir.path(), true);
    let url = proxy.url();
    let refused = relayscope(&["where", "bob@example.org", "--api", &url]);
    status(&refused, 3);
    assert!(err(&refused).contains("token"), "{}", err(&refused));
    let file = dir.path().join(http::TOKEN_FILE);
    let admitted = relayscope(&["where", "bob@example.org", "--api", &url, "--token-file", file.to_str().unwrap()]);
    status(&admitted, 0);
    proxy.stop();
}

#[test]
fn usage_and_failures_have_their_status_and_advice() {
    let nowhere = relayscope(&["where", "bob", "--store", "/nonexistent/store"]);
    status(&nowhere, 3);
    assert!(err(&nowhere).contains("--store DIR") && out(&nowhere).is_empty(), "{}", err(&nowhere));

    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().to_str().unwrap();
    let unknown = relayscope(&["search", "subjct:x", "--store", store]);
    status(&unknown, 2);
    assert_eq!(
        err(&unknown),
        "relayscope: column 1: no field is called \"subjct\"; did you mean subject:? (quote it if it is a word of a subject: \"subjct:x\")\n  \
         subjct:x\n  ^\n  `relayscope where --help` lists the fields\n"
    );
    status(&relayscope(&["show", "nonsense", "--store", store]), 2);
    let thrown_away = relayscope(&["anomalies", "01M83XVF5G000DN9KD5HYXYX1Z", "--note", "known", "--store", store]);
    status(&thrown_away, 2);
    assert!(err(&thrown_away).contains("--mute <SPAN>"), "{}", err(&thrown_away));
    status(&relayscope(&["where", "--store", store]), 2);
    status(&relayscope(&["no-such-command"]), 2);
    status(&relayscope(&["where", "bob", "--api", "gopher://x"]), 2);
    status(&relayscope(&["where", "bob", "--api", "http://127.0.0.1:1"]), 3);
    status(&relayscope(&["--help"]), 0);
    assert!(out(&relayscope(&["completions", "bash"])).contains("relayscope"));
}

#[test]
fn an_incident_that_is_not_there_is_not_found_whoever_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().to_str().unwrap();
    let mute = |place: &[&str]| relayscope(&[&["anomalies", "01M83XVF5G000DN9KD5HYXYX1Z", "--mute", "2h"], place].concat());
    let proxy = Proxy::start(dir.path(), false);
    let over_tcp = mute(&["--api", &proxy.url()]);
    status(&over_tcp, 2);
    assert!(err(&over_tcp).contains("api.sock"), "{}", err(&over_tcp));
    let running = mute(&["--store", store]);
    proxy.stop();
    let stopped = mute(&["--store", store]);
    for answer in [&running, &stopped] {
        status(answer, 1);
        assert_eq!(err(answer), "there is no incident 01M83XVF5G000DN9KD5HYXYX1Z\n");
    }
}

#[test]
fn what_can_only_mislead_is_refused() {
    let (store, plain) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (at, not) = (store.path().to_str().unwrap(), plain.path().to_str().unwrap());
    Proxy::start(store.path(), false).stop();
    for command in ["search", "tail", "stats"] {
        let answer = relayscope(&[command, "state:stuck", "--store", at]);
        status(&answer, 2);
        assert!(err(&answer).contains("stuck"), "{}", err(&answer));
        // A directory that is something else is neither an empty store nor made one.
        let answer = relayscope(&[command, "bob", "--store", not]);
        status(&answer, 2);
        assert!(err(&answer).contains("is no store"), "{}", err(&answer));
    }
    assert_eq!(std::fs::read_dir(plain.path()).unwrap().count(), 0);
    let answer = relayscope(&["export", "forget", "siem", "--api", "unix:/nowhere/api.sock"]);
    status(&answer, 2);
    assert!(err(&answer).contains("--store DIR"), "{}", err(&answer));
    let token = plain.path().join("token");
    std::fs::write(&token, "0123456789abcdef0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let answer = relayscope(&["search", "bob", "--api", "http://192.0.2.1:8025", "--token-file", token.to_str().unwrap()]);
    status(&answer, 2);
    assert!(err(&answer).contains("in clear") && err(&answer).contains("ssh -L"), "{}", err(&answer));
}

#[test]
fn a_store_that_is_held_by_a_silent_process_is_not_touched() {
    let dir = tempfile::tempdir().unwrap();
    let store = stories::store(dir.path());
    let output = relayscope(&["where", "bob@example.org", "--store", dir.path().to_str().unwrap()]);
    status(&output, 3);
    assert!(err(&output).contains("in use by process"), "{}", err(&output));
    store.close();
}

#[test]
fn the_store_is_checked_and_its_index_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().to_str().unwrap();
    let proxy = Proxy::start(dir.path(), false);
    let beside = relayscope(&["store", "check", "--store", store]);
    status(&beside, 0);
    assert!(out(&beside).starts_with("The store is sound."), "{}", out(&beside));
    let busy = relayscope(&["store", "rebuild-index", "--store", store]);
    status(&busy, 3);
    assert!(err(&busy).contains("stop the proxy first"), "{}", err(&busy));
    proxy.stop();

    status(&relayscope(&["store", "rebuild-index", "--store", store]), 0);
    status(&relayscope(&["where", "5A2D33B1C8", "--store", store]), 0);
    let numbers = out(&relayscope(&["store", "stats", "--json", "--store", store]));
    assert!(numbers.contains(&format!("\"records\":{}", stories::morning().len())), "{numbers}");

    // The day on which the stories were written down: today, in UTC.
    let mut journals = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path().join("journal"));
    let journal = journals.find(|path| path.is_dir()).unwrap();
    let file = std::fs::read_dir(journal).unwrap().next().unwrap().unwrap().path();
    let mut octets = std::fs::read(&file).unwrap();
    let middle = octets.len() / 2;
    octets[middle] ^= 0xff;
    std::fs::write(&file, octets).unwrap();
    let damaged = relayscope(&["store", "check", "--store", store]);
    status(&damaged, 1);
    assert!(out(&damaged).contains("at octet") && out(&damaged).contains(file.file_name().unwrap().to_str().unwrap()), "{}", out(&damaged));
    status(&relayscope(&["store", "check", "--api", "unix:/nowhere"]), 2);
}

#[test]
fn pages_of_a_filtered_search_miss_nothing_and_repeat_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().to_str().unwrap();
    stories::store(dir.path()).close();
    let all = out(&relayscope(&["search", "tls:any", "--json", "--store", store]));
    let mut paged = String::new();
    let mut cursor = None;
    loop {
        let mut arguments = vec!["search", "tls:any", "--json", "-n", "2", "--store", store];
        arguments.extend(cursor.iter().flat_map(|cursor: &String| ["--cursor", cursor.as_str()]));
        let page = relayscope(&arguments);
        paged.push_str(&out(&page));
        match err(&page).trim().strip_prefix("more: --cursor ") {
            Some(next) => cursor = Some(next.to_owned()),
            None => break,
        }
    }
    assert!(all.lines().count() > 10);
    assert_eq!(paged, all);
}

#[test]
fn a_search_explains_itself() {
    let dir = tempfile::tempdir().unwrap();
    stories::store(dir.path()).close();
    let found =
        relayscope(&["search", "--store", dir.path().to_str().unwrap(), "--explain", "state:rejected or (subject:*lan* not from:nobody*)"]);
    status(&found, 0);
    for part in [
        "state = \"rejected\": 3 entries in 1 run of the index",
        "word of the subject = *\"lan\"* (all of them gone through)",
        "local part of the reverse-path = \"nobody\"*: not needed",
        "1 run asked; they named 4 records",
        "4 records read",
    ] {
        assert!(err(&found).contains(part), "{part}: {}", err(&found));
    }
}

#[test]
fn anomalies_of_a_stopped_store_are_not_todays() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().to_str().unwrap();
    let proxy = Proxy::start(dir.path(), false);
    let running = relayscope(&["anomalies", "--store", store]);
    proxy.stop();
    let stopped = relayscope(&["anomalies", "--store", store]);
    assert!(!out(&running).contains("No proxy runs"), "{}", out(&running));
    assert!(out(&stopped).contains("No proxy runs on this store: its last record is of "), "{}", out(&stopped));
    assert_eq!(running.status, stopped.status);
    let stopped = relayscope(&["anomalies", "--store", store, "--json"]);
    assert_eq!(out(&stopped), "");
    assert!(err(&stopped).starts_with("No proxy runs on this store: its last record is of "), "{}", err(&stopped));
}

#[test]
fn incidents_beyond_those_that_are_shown_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().to_str().unwrap();
    let proxy = Proxy::start(dir.path(), false);
    let about = [(AboutKind::Upstream, "smart")];
    let incident = |number| stories::incident(number, Anomaly::UpstreamClosing, "10:08:00", "10:50:00", &about);
    let open: Vec<Record> = (1..=1_002).map(|number| Record::Incident(Box::new(incident(number)))).collect();
    proxy.store.take_in(&open).unwrap();
    let check = || {
        let people = relayscope(&["anomalies", "--store", store]);
        status(&people, 1);
        assert!(out(&people).starts_with("1,002 incidents are open.\n"), "{}", out(&people));
        assert!(out(&people).contains("\n802 more: --json shows up to 1,000, --kind those of one kind.\n"), "{}", out(&people));
        let programs = relayscope(&["anomalies", "--kind", "upstream_closing", "--store", store, "--json"]);
        status(&programs, 1);
        assert_eq!(out(&programs).lines().count(), 1_000);
        assert!(err(&programs).starts_with("2 more.\n"), "{}", err(&programs));
    };
    check();
    proxy.stop();
    check();
}

#[test]
fn a_closed_store_is_said_to_be_closed() {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let store = dir.path().join("store");
    Proxy::start(&store, false).stop();
    let is_root = rustix::process::geteuid().is_root();
    std::fs::set_permissions(&store, std::fs::Permissions::from_mode(if is_root { 0o750 } else { 0 })).unwrap();
    let store = store.to_str().unwrap();
    for arguments in [
        &["store", "check"][..],
        &["store", "backup", "/nonexistent/copy"],
        &["search"],
        &["stats"],
        &["route", "to=bob@y.example"],
        &["doctor", "upstream"],
        &["doctor", "self"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_relayscope"));
        command.args(arguments).args(["--store", store]).current_dir(dir.path());
        if is_root {
            command.uid(65534).gid(65534);
        }
        // Where the build itself is closed to others, nothing can be tried.
        let Ok(output) = command.output() else { return };
        status(&output, 3);
        let said = err(&output);
        assert!(said.contains("Permission denied") && said.contains("closed to this user"), "{arguments:?}: {said}");
    }
    std::fs::set_permissions(store, std::fs::Permissions::from_mode(0o750)).unwrap();
}

#[test]
fn the_id_of_a_session_is_no_message_and_not_never_seen() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().to_str().unwrap();
    Proxy::start(dir.path(), false).stop();
    let listed = relayscope(&["search", "kind:session", "--json", "-n", "1", "--store", store]);
    status(&listed, 0);
    let record: serde_json::Value = serde_json::from_str(out(&listed).lines().next().unwrap()).unwrap();
    let id = record["id"].as_str().unwrap();
    let told = relayscope(&["where", id, "--store", store]);
    status(&told, 1);
    let words = out(&told).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(&format!("{id} is no message: it is the record of a session")), "{words}");
    assert!(words.contains(&format!("relayscope show {id}")) && !words.contains("Never seen"), "{words}");
}

#[test]
fn a_route_goes_by_what_is_given_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("relayscope.toml");
    std::fs::write(&file, ROUTES).unwrap();
    let route = |question: &str| out(&relayscope(&["route", question, "--config", file.to_str().unwrap()]));
    assert!(route("from=<> to=bob@y.example").contains("route \"bounces\": matches"));
    let to = route("to=bob@y.example");
    assert!(to.contains("route \"bounces\": no: it looks at the reverse-path, which isn't known\n"), "{to}");
    let large = route("from=ann@x.example size=2M");
    assert!(large.contains("route \"large\": matches") && large.contains("=> upstream \"partner\""), "{large}");
}

const ROUTES: &str = r#"
[[listener]]
listen = ["127.0.0.1:0"]
upstream = "main"
ehlo = "static"
[[upstream]]
name = "main"
hosts = ["192.0.2.8:25"]
[[upstream]]
name = "partner"
hosts = ["192.0.2.9:25"]
[[route]]
name = "bounces"
reverse_path = ["<>"]
upstream = "partner"
[[route]]
name = "large"
larger_than = "1 MB"
upstream = "partner"
"#;

/// What is copied from a log or a mail program needs no pipe to be asked for.
#[test]
fn a_piece_of_a_log_on_the_command_line_is_read_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().to_str().unwrap();
    stories::store(dir.path()).close();
    let line =
        "Nov 23 10:02:11 mail postfix/smtp[103]: AB12CD34EF: to=<bob@example.org>, relay=127.0.0.1[127.0.0.1]:2525, status=deferred (x)";
    for text in ["\"Bob\" <bob@example.org>", "to=<bob@example.org>", "queued as 5A2D33B1C8", line] {
        let found = relayscope(&["where", text, "--no-dns", "--store", store]);
        status(&found, 0);
        assert!(out(&found).contains("Found by"), "{text}: {}", out(&found));
    }
    // What is asked besides holds for it as well.
    let narrowed = relayscope(&["where", "to=<bob@example.org>", "until:2020-01-01", "--no-dns", "--store", store]);
    status(&narrowed, 1);
    let wrong = relayscope(&["where", "rcpt:bob@example.org", "--no-dns", "--store", store]);
    status(&wrong, 2);
    assert!(err(&wrong).contains("did you mean to:?"), "{}", err(&wrong));
    // An address that nobody wrote to or from is no Message-ID, and what has no header no trace of it.
    let never = relayscope(&["where", "hangmail@example.com", "--no-dns", "--store", store]);
    status(&never, 1);
    assert!(!out(&never).contains("BEFORE THE TEXT") && !out(&never).contains("Ask by recipient or sender"), "{}", out(&never));
}
