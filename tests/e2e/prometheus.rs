//! `deploy/prometheus` and `deploy/grafana` against the real thing: every query is asked of a Prometheus that scrapes a relayscope with traffic.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use regex::Regex;
use serde_json::Value;

use crate::support::api::{self, Scrape};
use crate::support::client::Client;
use crate::support::message::Message;
use crate::support::place::Place;
use crate::support::ports;
use crate::support::process::run;
use crate::support::programs::need;
use crate::support::prometheus::Prometheus;
use crate::support::relayscope::Relayscope;
use crate::support::sink::{Manner, Sink};

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)
}

#[test]
fn each_alert_has_a_test_that_sets_it_off() {
    need!("promtool");
    let rules = deployed("prometheus/relayscope.rules.yml");
    let (code, said) = run(Command::new("promtool").args(["check", "rules"]).arg(&rules));
    assert_eq!(code, 0, "{said}");
    let tests = deployed("prometheus/relayscope.rules.test.yml");
    let (code, said) = run(Command::new("promtool").args(["test", "rules"]).arg(&tests));
    assert_eq!(code, 0, "{said}");
    let (rules, tests) = (std::fs::read_to_string(rules).unwrap(), std::fs::read_to_string(tests).unwrap());
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let fires = format!("{{alertname=\"{alert}\", alertstate=\"firing\"");
        assert!(tests.contains(&fires), "{alert} is not in the tests");
    }
}

/// A query of the dashboard or of an alert, with the labels that its words make use of.
struct Query {
    title: String,
    expression: String,
    labels: Vec<String>,
}

fn words(pattern: &str, text: &str) -> Vec<String> {
    Regex::new(pattern).unwrap().captures_iter(text).map(|found| found[1].to_owned()).collect()
}

fn dashboard() -> Vec<Query> {
    let text = std::fs::read_to_string(deployed("grafana/relayscope.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    let mut add = |title: &Value, it: &Value| {
        let expression = it["expr"].as_str().unwrap().replace("$job", "relayscope").replace("$instance", ".*");
        let expression = expression.replace("$__rate_interval", "1m");
        let labels = words(r"\{\{(\w+)\}\}", it["legendFormat"].as_str().unwrap_or_default());
        queries.push(Query { title: title.as_str().unwrap_or("annotation").to_owned(), expression, labels });
    };
    for panel in dashboard["panels"].as_array().unwrap() {
        panel["targets"].as_array().into_iter().flatten().for_each(|target| add(&panel["title"], target));
    }
    dashboard["annotations"]["list"].as_array().unwrap().iter().for_each(|it| add(&it["name"], it));
    assert!(queries.len() > 40, "{}", queries.len());
    queries
}

fn alerts(prometheus: &Prometheus) -> Vec<Query> {
    let rules = prometheus.api("/api/v1/rules");
    let rules = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let query = |rule: &Value| {
        assert_eq!(rule["health"], "ok", "{rule}");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        Query {
            title: text(&rule["name"]),
            expression: text(&rule["query"]),
            labels: words(r"\$labels\.(\w+)", &rule["annotations"].to_string()),
        }
    };
    rules.map(query).collect()
}

/// Every metric that a query names is in the scrape, and every label is one of theirs.
fn assert_known(query: &Query, known: &BTreeMap<&str, BTreeSet<&str>>) {
    let given: BTreeSet<&str> = ["job", "instance"].into();
    let mut labels = given;
    for name in words(r"\b((?:relayscope|process)_\w+)", &query.expression) {
        let of = known.get(name.as_str()).unwrap_or_else(|| panic!("{}: {name} is not in the scrape", query.title));
        labels.extend(of);
    }
    let selected = words(r"(\w+)\s*(?:=~|!=|!~|=)\s*\x22", &query.expression);
    let grouped = words(r"(?:by|ignoring|on)\s*\(([^)]*)\)", &query.expression);
    let grouped = grouped.iter().flat_map(|names| names.split(',')).map(|name| name.trim().to_owned());
    for label in selected.into_iter().chain(grouped).chain(query.labels.iter().cloned()) {
        assert!(labels.contains(label.as_str()), "{}: {label} is no label of {}", query.title, query.expression);
    }
}

/// Mail of every kind: accepted, refused by a rule of the proxy, broken off, refused at the door.
fn traffic(relayscope: &Relayscope) {
    let mut client = Client::ready(relayscope.addresses[0]);
    for name in ["one", "two", "three", "four"] {
        assert_eq!(client.deliver(&Message::named(name)).unwrap().code, 250);
    }
    client.open_data(&Message::named("smuggled"));
    client.send(b"text\n.\nMAIL FROM:<x@y.example>\r\n.\r\n");
    client.reply();
    drop(client);
    Client::connect(relayscope.addresses[0]).expect(220);
    Client::connect(relayscope.addresses[1]).expect(554);
}

#[test]
fn every_query_of_dashboard_and_alerts_is_answered_by_a_scrape() {
    need!("prometheus", "promtool");
    let (place, behind, sink) = (Place::new(), Place::new(), Sink::start(Manner::Take));
    // A hop with TLS, so that there is a certificate to see.
    let hop = Relayscope::configured(
        &behind,
        &format!("[[listener]]\nlisten = [\"127.0.0.1:0\"]\n[[upstream]]\nhosts = [\"{}\"]\n", sink.address),
    );
    let http = SocketAddr::from(([127, 0, 0, 1], ports::unused()));
    let config = format!(
        "[http]\nlisten = \"{http}\"\n[[listener]]\nlisten = [\"127.0.0.1:0\"]\nupstream = \"main\"\n\
         [[listener]]\nname = \"closed\"\nlisten = [\"127.0.0.1:0\"]\nallow = [\"192.0.2.0/24\"]\nupstream = \"main\"\n\
         [[upstream]]\nname = \"main\"\nhosts = [\"{}\"]\n[[anomaly.quota]]\nupstream = \"main\"\nper = \"hour\"\ncount = \"messages\"\nlimit = 4\n\
         [[export]]\nname = \"traces\"\nkind = \"file\"\npath = \"traces.jsonl\"\n",
        hop.address()
    );
    let relayscope = Relayscope::with_http(&place, &config);
    let store = place.path("store");
    let prometheus = Prometheus::start(&place, http, &store.join("api.token"), &deployed("prometheus/relayscope.rules.yml"));
    traffic(&relayscope);
    let until = Instant::now() + Duration::from_secs(60);
    // Incidents are judged every ten seconds; rates want two scrapes with something between them.
    while prometheus.query("count_over_time(relayscope_incidents_open[1m]) > 2").is_empty() {
        assert!(Instant::now() < until, "{}\n{}\n{}", api::scrape(&store).text, relayscope.output().text(), prometheus.output());
        std::thread::sleep(Duration::from_millis(250)); // the pace of the questions
    }
    let scrape: Scrape = api::scrape(&store);
    let mut known = scrape.labels();
    known.insert("up", BTreeSet::new());
    let alerts = alerts(&prometheus);
    assert!(alerts.len() > 20);
    for query in alerts.iter().chain(&dashboard()) {
        assert_known(query, &known);
    }
    for query in dashboard() {
        let found = prometheus.query(&query.expression);
        // What compares may find nothing, and should.
        let compares = query.expression.contains(" > 0");
        assert!(compares || !found.is_empty(), "{}: {} finds nothing", query.title, query.expression);
        for label in &query.labels {
            assert!(found.iter().all(|series| series["metric"][label].is_string()), "{}: no {label} in {found:?}", query.title);
        }
    }
    // A rule is evaluated at its own pace.
    while prometheus.query("ALERTS{alertname=\"RelayscopeSendingLimitNear\"}").is_empty() {
        assert!(Instant::now() < until, "the quota is used up: {}", prometheus.output());
        std::thread::sleep(Duration::from_millis(250)); // the pace of the questions
    }
    relayscope.stop();
    hop.stop();
}
