//! Numbers and readiness: valid, bounded whatever clients send, and never going back.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::api::{self, Scrape};
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::mount::Mount;
use crate::support::place::Place;
use crate::support::ports::{self, Refusing};
use crate::support::programs::need;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};

fn config(upstream: std::net::SocketAddr) -> String {
    format!(
        "[[listener]]\nlisten = [\"127.0.0.1:0\"]\ntls = \"off\"\n[[upstream]]\nhosts = [\"{upstream}\"]\n\
         [[export]]\nname = \"traces\"\nkind = \"file\"\npath = \"traces.jsonl\"\n"
    )
}

fn deliver(relayscope: &Relayscope, name: &str) {
    let mut client = Client::ready(relayscope.address());
    assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
    client.quit();
}

/// What promtool thinks of it.
fn assert_valid(scrape: &Scrape) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(scrape.text.as_bytes()).unwrap();
    let done = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success() && said.trim().is_empty(), "{said}");
}

/// One transaction with so many recipients, in one write.
fn pipelined(client: &mut Client, number: usize, recipients: usize) {
    let mut octets = format!("MAIL FROM:<hostile{number}@from{number}.example>\r\n");
    (0..recipients).for_each(|at| octets.push_str(&format!("RCPT TO:<hostile{number}.{at}@to{number}.{at}.example>\r\n")));
    octets.push_str("DATA\r\n");
    client.send(&octets);
    (0..=recipients).for_each(|_| drop(client.expect(250)));
    client.expect(354);
    client.send(format!("Message-ID: <hostile{number}@id.example>\r\nSubject: hostile {number}\r\n\r\nhostile\r\n.\r\n"));
    client.expect(250);
}

#[test]
fn ten_thousand_addresses_make_no_series() {
    need!("promtool");
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let relayscope = Relayscope::configured(&place, &config(sink.address));
    deliver(&relayscope, "first");
    // The export has sent, and DNS, certificates and the rest have nothing to come.
    relayscope.output().expect("a new export begins");
    let names = || -> BTreeSet<String> {
        // Not before the export has caught up: one of its series comes with the first event.
        let until = std::time::Instant::now() + crate::support::PATIENCE;
        loop {
            let scrape = api::scrape(&place.path("store"));
            if scrape.text.contains("relayscope_export_last_sent_timestamp_seconds{") {
                return scrape.series().into_keys().map(str::to_owned).collect();
            }
            assert!(std::time::Instant::now() < until, "{}", scrape.text);
        }
    };
    let before = names();
    for session in 0..20 {
        let mut client = Client::connect(relayscope.address());
        client.expect(220);
        client.command(&format!("EHLO hostile{session}.example"), 250);
        (0..5).for_each(|at| pipelined(&mut client, session * 5 + at, 100));
        client.quit();
    }
    let after = names();
    assert_eq!(before, after);
    let scrape = api::scrape(&place.path("store"));
    assert!(!scrape.text.contains("hostile") && !scrape.text.contains('@') && !scrape.text.contains("client.example"), "{}", scrape.text);
    assert_valid(&scrape);
    let recipients: f64 =
        scrape.series().iter().filter(|(name, _)| name.starts_with("relayscope_recipients_total{")).map(|(_, it)| it).sum();
    assert_eq!(recipients, 10_001.0);
    relayscope.stop();
}

#[test]
fn nothing_that_was_counted_goes_back_over_a_reload() {
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    let relayscope = Relayscope::configured(&place, &config(sink.address));
    deliver(&relayscope, "before");
    let counted = |scrape: &Scrape| -> Vec<(String, f64)> {
        let is_counter = |name: &str| name.split('{').next().is_some_and(|name| name.ends_with("_total") || name.ends_with("_bucket"));
        scrape.series().into_iter().filter(|(name, _)| is_counter(name)).map(|(name, it)| (name.to_owned(), it)).collect()
    };
    let before = counted(&api::scrape(&place.path("store")));
    assert!(before.iter().any(|(name, it)| name.contains("transactions_total") && *it == 1.0), "{before:?}");
    let hang_up = || {
        Command::new("kill").args(["-HUP", &relayscope.pid().to_string()]).status().unwrap();
    };
    // Of the same file, and of one that has other upstreams and less talk.
    hang_up();
    relayscope.output().expect_lines("reloaded config=", 1);
    let more = format!(
        "{}[[upstream]]\nname = \"other\"\nhosts = [\"{}\"]\n[log]\nfilter = \"relayscope::app=debug\"\n",
        config(sink.address),
        sink.address
    );
    let more = more.replace("tls = \"off\"\n[[upstream]]\n", "tls = \"off\"\nupstream = \"main\"\n[[upstream]]\nname = \"main\"\n");
    place.file("relayscope.toml", more);
    hang_up();
    relayscope.output().expect("the log's filter has changed level=INFO filter=\"relayscope::app=debug\"");
    relayscope.output().expect_lines("reloaded config=", 2);
    deliver(&relayscope, "after");
    let scrape = api::scrape(&place.path("store"));
    let after = scrape.series();
    for (name, value) in before {
        assert!(after.get(name.as_str()).is_some_and(|now| *now >= value), "{name} {value}: {}", scrape.text);
    }
    assert!(scrape.text.contains("state=\"accepted\"} 2\n"), "{}", scrape.text);

    place.file("relayscope.toml", "junk");
    hang_up();
    let refused = || api::scrape(&place.path("store")).text.contains("\nrelayscope_config_last_reload_successful 0.0\n");
    let until = std::time::Instant::now() + crate::support::PATIENCE;
    while !refused() {
        assert!(std::time::Instant::now() < until);
    }
    let (status, ready) = api::json(&place.path("store"), "/readyz");
    assert_eq!((status, ready["degraded"][0]["what"].as_str()), (200, Some("process")), "{ready}");
    relayscope.stop();
}

#[test]
fn readiness_has_reasons() {
    let (place, gone) = (Place::new(), Refusing::new());
    let mut relayscope = Relayscope::configured(&place, &config(gone.address));
    let store = place.path("store");
    let expected = serde_json::json!({"status": "ready", "reasons": [], "degraded": []});
    assert_eq!(api::json(&store, "/readyz"), (200, expected.clone()), "nothing is known of the host yet");
    relayscope.client().expect(421);
    let (status, ready) = api::json(&store, "/readyz");
    assert_eq!((status, ready["reasons"][0]["what"].as_str()), (503, Some("upstream")), "{ready}");
    assert!(!ready.to_string().contains(&gone.address.port().to_string()), "no addresses: {ready}");
    assert_eq!(api::json(&store, "/healthz").0, 200, "it is alive all the same");

    let sink = Sink::on(gone.open(), Manner::Hold);
    let mut client = Client::ready(relayscope.address());
    client.open_data(&Message::named("held"));
    client.send(b"text\r\n.\r\n");
    sink.wait_held(1);
    relayscope.process().signal("TERM");
    relayscope.output().expect("draining: no new sessions");
    let (status, ready) = api::json(&store, "/readyz");
    assert_eq!((status, ready["reasons"][0]["what"].as_str()), (503, Some("process")), "{ready}");
    sink.set(Manner::Take);
    client.expect(250);
    drop(client);
    assert!(relayscope.wait().success());
}

#[test]
fn over_tcp_the_token_is_asked_for_unless_metrics_are_open() {
    let (place, sink) = (Place::new(), Sink::start(Manner::Take));
    for (access, expected) in [("token", 401), ("open", 200)] {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], ports::unused()));
        let config = format!("{}[http]\nlisten = \"{address}\"\nmetrics = \"{access}\"\n", config(sink.address));
        let relayscope = Relayscope::with_http(&place, &config);
        let until = std::time::Instant::now() + crate::support::PATIENCE;
        while api::get_tcp(address, "/readyz", "").is_none() {
            assert!(std::time::Instant::now() < until, "{}", relayscope.output().text());
        }
        let ask = |path: &str, headers: &str| api::get_tcp(address, path, headers).unwrap().status;
        assert_eq!(ask("/metrics", ""), expected, "{access}");
        assert_eq!((ask("/readyz", ""), ask("/healthz", ""), ask("/api/v1/store/stats", "")), (200, 200, 401), "{access}");
        let token = std::fs::read_to_string(place.path("store/api.token")).unwrap();
        let bearer = format!("Authorization: Bearer {}\r\n", token.trim());
        assert_eq!(ask("/metrics", &bearer), 200);
        relayscope.stop();
    }
}

#[test]
fn a_store_that_fails_is_a_reason_only_where_mail_is_put_off() {
    for (policy, status, list) in [("pass", 200, "degraded"), ("defer", 503, "reasons")] {
        let place = Place::new();
        let Some(mount) = Mount::new(&place, "store", 8 << 20) else { return };
        let sink = Sink::start(Manner::Take);
        // No export: its file would be on another disk, and it is not what this is about.
        let config =
            config(sink.address).split("[[export]]").next().unwrap().to_owned() + &format!("[store]\non_store_failure = \"{policy}\"\n");
        let relayscope = Relayscope::configured(&place, &config);
        let store = place.path("store");
        assert_eq!(api::json(&store, "/readyz").0, 200);
        mount.fill();
        let mut client = Client::ready(relayscope.address());
        for number in 0.. {
            // Until the journal needs room that there isn't.
            if relayscope.output().count("the trace store can't be written") > 0 {
                break;
            }
            assert!(number < 2_000, "{}", relayscope.output().text());
            if client.exchange("MAIL FROM:<a@from.example>\r\n").is_some_and(|reply| reply.code == 250) {
                client.command("RCPT TO:<b@to.example>", 250);
                client.command("DATA", 354);
                client.send("text\r\n.\r\n");
                client.reply();
            }
        }
        let (answered, ready) = api::json(&store, "/readyz");
        assert_eq!((answered, ready[list][0]["what"].as_str()), (status, Some("store")), "{ready}");
        assert!(!ready.to_string().contains(store.to_str().unwrap()), "no paths: {ready}");
        assert_eq!(api::json(&store, "/healthz").0, 503);
        let scrape = api::scrape(&store);
        assert!(
            scrape.text.contains("\nrelayscope_store_up 0.0\n") && scrape.text.contains("\nrelayscope_store_failing_since_"),
            "{}",
            scrape.text
        );
        mount.empty();
        relayscope.output().expect("the trace store can be written again");
        assert_eq!(api::json(&store, "/readyz").0, 200);
        drop(client);
        relayscope.stop();
    }
}
