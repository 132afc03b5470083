//! The API as a client sees it that doesn't behave: limits, refusals, and who is let in.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

mod stories;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use relayscope::http::{SOCKET, ServeError, TOKEN_FILE, bind_tcp, bind_unix};
use serde_json::Value;
use stories::Proxy;

/// Status and body of what is answered to those octets.
fn exchange(mut stream: impl Read + Write, request: &str) -> (u16, String) {
    // A server that refuses half-way may not read the rest.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    // A server that refuses half-way closes with octets unread, and the answer may be lost to a reset.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    (status, body)
}

fn get(dir: &Path, path: &str) -> (u16, Value) {
    let stream = UnixStream::connect(dir.join(SOCKET)).unwrap();
    let (status, body) = exchange(stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
}

#[test]
fn questions_are_answered_or_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(dir.path(), false);
    let long = format!("/api/v1/where?q={}", "a".repeat(2_001));
    let cases: &[(&str, u16, &str)] = &[
        ("/healthz", 200, "ok"),
        ("/api/v1/where?q=5A2D33B1C8", 200, "partly.3@mail.example.com"),
        ("/api/v1/where?q=nobody-at-all", 200, "never_seen"),
        ("/api/v1/where", 400, "missing field"),
        ("/api/v1/where?q=", 400, "q is empty"),
        ("/api/v1/where?q=subjct:x", 400, "did you mean subject:?"),
        ("/api/v1/where?q=bob&limit=0", 400, "limit is 1 to 200"),
        ("/api/v1/where?q=bob&limit=100000", 400, "limit is 1 to 200"),
        ("/api/v1/where?q=bob&what=else", 400, "unknown field"),
        (&long, 413, "longer than 2000"),
        ("/api/v1/transactions?limit=2", 200, "next"),
        ("/api/v1/transactions?cursor=junk", 400, "not a cursor"),
        ("/api/v1/transactions/junk", 400, "26 characters"),
        ("/api/v1/transactions/01M83XVF5G000DN9KD5HYXYX1X", 404, "no record"),
        ("/api/v1/transactions/01M83XVF5G000DN9KD5HYXYX1Z", 200, "partly.3@mail.example.com"),
        ("/api/v1/stats?over=2026-11-23T00:00:00Z&by=state", 200, "transactions"),
        ("/api/v1/stats?over=2026-11-23T00:00:00Z&by=code,code,auth-user&explain=true", 200, "runs_asked"),
        ("/api/v1/stats?by=colour", 400, "can't be counted by"),
        ("/api/v1/transactions?q=state:rejected%20or%20(size:%3E1k%20not%20to:b*)&explain=true", 200, "explained"),
        ("/api/v1/transactions?q=from:a%20or", 400, "missing here"),
        ("/api/v1/stats?over=soon", 400, "not a time"),
        ("/api/v1/store/stats", 200, "journal_octets"),
        ("/api/v1", 200, "/api/v1/live"),
        ("/api/v1/", 200, "/api/v1/live"),
        ("/", 404, "/api/v1"),
        ("/api/v1/search?q=x", 404, "/api/v1 lists"),
        ("/api/v1/where/../../etc/passwd", 404, "/api/v1"),
    ];
    for (path, expected, part) in cases {
        let (status, body) = get(dir.path(), path);
        assert_eq!(status, *expected, "{path}: {body}");
        assert!(body.to_string().contains(part), "{path}: {body}");
        assert!(status == 200 || body.get("error").is_some_and(Value::is_string), "{path}: {body}");
    }
    proxy.stop();
}

/// What the index lists is there, takes the parameters that stand behind it, and has a line on the page about the API.
#[test]
fn every_listed_route_is_served_and_written_of() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(dir.path(), false);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/api.md")).unwrap();
    let (_, index) = get(dir.path(), "/api/v1");
    let routes: Vec<&str> = index["routes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(routes.len() > 10);
    for route in routes {
        let (path, parameters) = route.split_once('?').unwrap_or((route, ""));
        let line =
            page.lines().find(|line| line.starts_with(&format!("| `{path}` |"))).unwrap_or_else(|| panic!("{path} isn't on the page"));
        for name in parameters.split('&').filter(|it| !it.is_empty()) {
            assert!(line.contains(&format!("`{}", name.trim_end_matches('='))), "{path}: {name} isn't on the page");
        }
        let of_nothing = path.replace("{id}", "01M83XVF5G000DN9KD5HYXYX1X");
        // An unknown parameter is refused where there are any, with the names of those that are known.
        let (status, body) = get(dir.path(), &format!("{of_nothing}?no-such-parameter=1"));
        if parameters.is_empty() {
            assert!(matches!(status, 200 | 404 | 503), "{path}: {status}");
            assert!(!body.to_string().contains("nothing is here"), "{path}: {body}");
            continue;
        }
        assert_eq!(status, 400, "{path}: {body}");
        for name in parameters.split('&') {
            let name = format!("`{}`", name.trim_end_matches('='));
            assert!(body.to_string().contains(&name), "{path}: {name} isn't taken: {body}");
        }
    }
    proxy.stop();
}

#[test]
fn requests_beyond_the_limits_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(dir.path(), false);
    let connect = || UnixStream::connect(dir.path().join(SOCKET)).unwrap();
    let head = "Host: localhost\r\nConnection: close\r\n";
    assert_eq!(exchange(connect(), &format!("POST /api/v1/where?q=x HTTP/1.1\r\n{head}\r\n")).0, 405);
    assert_eq!(exchange(connect(), &format!("GET /healthz HTTP/1.1\r\n{head}Content-Length: 5\r\n\r\nhello")).0, 413);
    let fat = "x".repeat(20_000);
    let (status, _) = exchange(connect(), &format!("GET /healthz HTTP/1.1\r\n{head}X-Fat: {fat}\r\n\r\n"));
    assert!([0, 431].contains(&status), "{status}");
    assert_eq!(exchange(connect(), "EHLO mail.example.com\r\n\r\n").0, 400);
    proxy.stop();
}

#[test]
fn lines_of_logs_are_taken_on_the_socket_and_nothing_else_is() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(dir.path(), false);
    let post = |body: &str| {
        let stream = UnixStream::connect(dir.path().join(SOCKET)).unwrap();
        let head = format!("Host: localhost\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
        exchange(stream, &format!("POST /api/v1/store/records HTTP/1.1\r\n{head}\r\n{body}"))
    };
    let log = |id: &str| {
        format!(
            r#"{{"v":1,"kind":"log","id":"{id}","at":"2026-11-23T12:00:00.000000Z","format":"postfix","host":"mail","event":"removed","queue_id":"4F1A2B3C4D"}}"#
        )
    };
    let (one, two) = (log("01M83XVF5G000DN9KD5HYXYX11"), log("01M83XVF5G000DN9KD5HYXYX12"));
    assert_eq!(post(&format!("{one}\n")), (200, r#"{"added":1,"known":0}"#.to_owned()));
    assert_eq!(post(&format!("{one}\n{two}\n")), (200, r#"{"added":1,"known":1}"#.to_owned()));
    assert_eq!(post(""), (200, r#"{"added":0,"known":0}"#.to_owned()));
    let (_, own) = get(dir.path(), "/api/v1/transactions/01M83XVF5G000DN9KD5HYXYX1Z");
    for (body, status, part) in [
        (format!("{two}\nrubbish\n"), 400, "line 2"),
        (own.to_string(), 400, "line 1: records of kind transaction are not taken here"),
        (format!("{one}\n").repeat(1_001), 413, "more than 1000 records"),
    ] {
        let (answered, said) = post(&body);
        assert!(answered == status && said.contains(part), "{answered} {said}");
    }
    let (answered, said) = post(&"x".repeat(5 << 20));
    assert!(answered == 0 || answered == 413 && said.contains("more than 4194304 octets"), "{answered} {said}");
    let (_, found) = get(dir.path(), "/api/v1/transactions?q=kind:log");
    assert_eq!(found["records"].as_array().map(Vec::len), Some(2), "{found}");
    // Over TCP there is no such place.
    let stream = TcpStream::connect(proxy.tcp).unwrap();
    let (status, _) =
        exchange(stream, "POST /api/v1/store/records HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(status, 404);
    proxy.stop();
}

#[test]
fn over_tcp_a_loopback_name_and_the_token_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(dir.path(), true);
    let token = std::fs::read_to_string(dir.path().join(TOKEN_FILE)).unwrap();
    let ask = |path: &str, headers: String| {
        let stream = TcpStream::connect(proxy.tcp).unwrap();
        exchange(stream, &format!("GET {path} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n")).0
    };
    let bearer = format!("Authorization: Bearer {}\r\n", token.trim());
    let path = "/api/v1/store/stats";
    assert_eq!(ask(path, format!("Host: 127.0.0.1:8025\r\n{bearer}")), 200);
    assert_eq!(ask(path, "Host: 127.0.0.1:8025\r\n".into()), 401);
    assert_eq!(ask(path, "Host: 127.0.0.1\r\nAuthorization: Bearer wrong\r\n".into()), 401);
    assert_eq!(ask(path, format!("Host: localhost\r\nAuthorization: Basic {}\r\n", token.trim())), 401);
    assert_eq!(ask(path, format!("Host: evil.example\r\n{bearer}")), 403);
    assert_eq!(ask("/healthz", "Host: evil.example\r\n".into()), 200);
    proxy.stop();
}

#[test]
fn without_a_token_a_loopback_name_is_enough() {
    let dir = tempfile::tempdir().unwrap();
    let proxy = Proxy::start(dir.path(), false);
    let ask = |host: &str| {
        let stream = TcpStream::connect(proxy.tcp).unwrap();
        exchange(stream, &format!("GET /api/v1/store/stats HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).0
    };
    assert_eq!((ask("localhost"), ask("evil.example")), (200, 403));
    proxy.stop();
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

#[test]
fn only_loopback_is_served_without_tls() {
    let error = wait(bind_tcp("0.0.0.0:0".parse().unwrap())).unwrap_err();
    assert!(matches!(error, ServeError::NotLoopback { .. }), "{error}");
}

#[test]
fn the_socket_is_the_group_s_and_a_dead_one_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    // What a killed process leaves behind.
    drop(UnixListener::bind(dir.path().join(SOCKET)).unwrap());
    let proxy = Proxy::start(dir.path(), false);
    assert_eq!(std::fs::metadata(dir.path().join(SOCKET)).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(get(dir.path(), "/healthz").0, 200);
    let second = wait(bind_unix(dir.path())).unwrap_err();
    assert!(matches!(second, ServeError::InUse { .. }), "{second}");
    proxy.stop();

    std::fs::remove_file(dir.path().join(SOCKET)).unwrap();
    std::fs::write(dir.path().join(SOCKET), "mine").unwrap();
    let third = wait(bind_unix(dir.path())).unwrap_err();
    assert!(matches!(third, ServeError::NoSocket { .. }), "{third}");
    assert_eq!(std::fs::read_to_string(dir.path().join(SOCKET)).unwrap(), "mine");
}

/// Lines of the live stream from a request on.
fn live(dir: &Path, path: &str, headers: &str) -> std::io::Lines<BufReader<UnixStream>> {
    let mut stream = UnixStream::connect(dir.join(SOCKET)).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines();
    // Head and greeting: from here on what is stored is seen.
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line == ": following"));
    lines
}

#[test]
fn a_follower_that_was_cut_off_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut proxy = Proxy::start(dir.path(), false);
    let appender = proxy.store.appender();
    let mut lines = live(dir.path(), "/api/v1/live", "");
    appender.append(&stories::Tale::new(900, "12:00:00", "alice@example.com").to("one@example.org", "250 Ok").record()).unwrap();
    let mut seen = |wanted: &str| lines.by_ref().map(Result::unwrap).find(|line| line.starts_with(wanted)).unwrap();
    let id = seen("id: ");
    assert!(seen("data: ").contains("one@example.org"));
    drop(lines);

    appender.append(&stories::Tale::new(901, "12:00:01", "alice@example.com").to("two@example.org", "250 Ok").record()).unwrap();
    let header = format!("Last-Event-ID: {}\r\n", id.trim_start_matches("id: "));
    let mut lines = live(dir.path(), "/api/v1/live?q=two@example.org", &header);
    assert!(lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("data: ")).unwrap().contains("two@example.org"));

    // The end of the process lets followers go.
    proxy.end();
    assert_eq!(lines.map(Result::unwrap).filter(|line| line.starts_with("data: ")).count(), 0);
    drop(appender);
    proxy.stop();
}
