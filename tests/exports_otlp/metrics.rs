//! Metrics by OTLP: what `/metrics` tells, and what comes of a receiver that doesn't take it.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint, metric, number_data_point::Value};

use super::mail::{deliver, until};
use super::otlp::{Scene, scene};
use super::otlp_server::{Does, text};
use crate::support::api;
use crate::support::process::run;
use crate::support::relayscope::command;

const METRICS: &str = "signals = [\"metrics\"]\nmetrics_interval = \"1s\"";

impl Scene {
    fn pushes(&self) -> usize {
        self.receiver.seen.lock().unwrap().metrics.len()
    }

    fn scrape(&self) -> api::Scrape {
        api::scrape(&self.place().path("store"))
    }
}

/// Each series as Prometheus has it, once its names are translated as OpenTelemetry's specification says.
fn series(metrics: &[Metric]) -> BTreeMap<String, f64> {
    let mut series = BTreeMap::new();
    for metric in metrics {
        let unit = match &*metric.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            unit => {
                assert!(unit.is_empty() || unit.starts_with('{') && unit.ends_with('}'), "{unit}");
                ""
            }
        };
        let name = format!("{}{unit}", metric.name.replace('.', "_"));
        let number = |value: &Option<Value>| match value {
            Some(Value::AsInt(count)) => *count as f64,
            Some(Value::AsDouble(number)) => *number,
            None => panic!("{name} has a point without a number"),
        };
        match metric.data.as_ref().unwrap() {
            metric::Data::Sum(it) => {
                let of = |it: &NumberDataPoint| (named(&format!("{name}_total"), &it.attributes, None), number(&it.value));
                series.extend(it.data_points.iter().map(of));
            }
            metric::Data::Gauge(it) => {
                series.extend(it.data_points.iter().map(|it| (named(&name, &it.attributes, None), number(&it.value))));
            }
            metric::Data::Histogram(it) => {
                for it in &it.data_points {
                    let bounds = it.explicit_bounds.iter().copied().chain([f64::INFINITY]);
                    let mut below = 0;
                    for (bound, count) in bounds.zip(&it.bucket_counts) {
                        below += count;
                        series.insert(named(&format!("{name}_bucket"), &it.attributes, Some(bound)), below as f64);
                    }
                    series.insert(named(&format!("{name}_count"), &it.attributes, None), it.count as f64);
                    series.insert(named(&format!("{name}_sum"), &it.attributes, None), it.sum.unwrap());
                }
            }
            other => panic!("{other:?}"),
        }
    }
    series
}

/// A series with its labels in the order of their names.
fn named(name: &str, attributes: &[KeyValue], bound: Option<f64>) -> String {
    let mut labels: Vec<String> = attributes.iter().map(|it| format!("{}={:?}", it.key, text(attributes, &it.key))).collect();
    labels.extend(bound.map(|bound| format!("le={bound}")));
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

/// The same of a scrape.
fn scraped(scrape: &api::Scrape) -> BTreeMap<String, f64> {
    let of = |(series, value): (&str, f64)| {
        let (name, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
        let split = labels.split("\",").filter(|label| !label.is_empty());
        let mut labels: Vec<String> = split
            .map(|label| match label.trim_end_matches('"').split_once("=\"").unwrap() {
                ("le", "+Inf") => "le=inf".to_owned(),
                ("le", bound) => format!("le={}", bound.parse::<f64>().unwrap()),
                (name, value) => format!("{name}={value:?}"),
            })
            .collect();
        labels.sort();
        (format!("{name}{{{}}}", labels.join(",")), value)
    };
    scrape.series().into_iter().map(of).collect()
}

/// What changes from one moment to the next though no mail comes: memory, descriptors, and what sending metrics itself counts.
fn is_restless(series: &str) -> bool {
    series.starts_with("process_resident") || series.starts_with("process_open_fds") || series.contains("kind=\"otlp_metrics\"")
}

#[test]
fn each_family_of_a_scrape_is_there_with_the_same_values() {
    let scene = scene(&format!("{METRICS}\ngzip = true"), |_| {});
    deliver(&scene.relayscope, "one", 5);
    let (mut pushed, mut asked) = (BTreeMap::new(), BTreeMap::new());
    until("a scrape and what was sent last are the same", || {
        asked = scraped(&scene.scrape());
        pushed = scene.receiver.seen.lock().unwrap().metrics.last().map(|last| series(last)).unwrap_or_default();
        let calm = |all: &BTreeMap<String, f64>| all.clone().into_iter().filter(|(series, _)| !is_restless(series)).collect::<Vec<_>>();
        let delivered = |(series, count): (&String, &f64)| series.starts_with("relayscope_transactions_total") && *count == 5.0;
        pushed.iter().any(delivered) && calm(&pushed) == calm(&asked)
    });
    assert!(pushed.keys().eq(asked.keys()), "{:?}\n{:?}", pushed.keys(), asked.keys());
    // There is nothing of it to send again, and it has no place in the journal.
    let ask = |more: &[&str]| run(&mut command(scene.place(), &[&["export"], more, &["--store", "store"]].concat()));
    let (code, said) = ask(&["list"]);
    assert!(code == 0 && said.contains("otlp_metrics to http://") && said.contains("points of metrics sent"), "{said}");
    assert!(!said.contains("wait"), "{said}");
    let (code, said) = ask(&["replay", "--sink", "otel", "--since", "1d"]);
    assert!(code != 0 && said.contains("sends metrics only"), "{said}");
    let before = scene.pushes();
    let (receiver, store, _place) = scene.stop();
    receiver.is_content();
    assert!(!store.join("export").exists());
    let seen = receiver.seen.lock().unwrap();
    assert!(seen.metrics.len() > before, "the last numbers come at the end");
    assert!(seen.logs.is_empty() && seen.spans.is_empty());
    let sent = |headers: &axum::http::HeaderMap| headers["authorization"] == "Bearer the-token" && headers["content-encoding"] == "gzip";
    assert!(seen.headers.iter().all(sent));
}

#[test]
fn what_isnt_taken_is_counted_said_once_and_superseded() {
    let scene = scene(METRICS, |receiver| {
        receiver.next("metrics", [Does::Answer(500), Does::Answer(429), Does::Garbage, Does::Partial(3), Does::Partial(3)]);
    });
    let said = scene.relayscope.output().expect("metrics aren't taken");
    assert!(said.contains("no thanks") && !said.contains("the-token"), "{said}");
    scene.relayscope.output().expect("metrics are taken again");
    let said = scene.relayscope.output().expect("some metrics are refused");
    assert!(said.contains("too many series"), "{said}");
    until("the last refusal", || scene.pushes() >= 3);
    let sent = series(&scene.receiver.seen.lock().unwrap().metrics[2]);
    let of_otel = |name: &str| sent[&format!("relayscope_export_{name}{{export=\"otel\",kind=\"otlp_metrics\"}}")];
    assert_eq!((of_otel("failures_total"), of_otel("refused_events_total"), of_otel("up")), (3.0, 6.0, 1.0));
    let output = scene.relayscope.output().text();
    let times = |what: &str| output.matches(what).count();
    assert_eq!((times("metrics aren't taken"), times("metrics are taken again"), times("some metrics are refused")), (1, 1, 1), "{output}");
    assert!(!output.contains("the-token"), "{output}");
    let (receiver, ..) = scene.stop();
    receiver.is_content();
}

#[test]
fn beside_logs_and_traces_each_stands_for_itself() {
    let scene = scene("signals = [\"logs\", \"traces\", \"metrics\"]", |receiver| receiver.next("metrics", [Does::Answer(404)]));
    scene.relayscope.output().expect("metrics aren't taken");
    deliver(&scene.relayscope, "one", 3);
    until("three logs and traces", || scene.receiver.logged().len() == 3 && scene.receiver.traced().len() == 3);
    let (_, ready) = api::json(&scene.place().path("store"), "/readyz");
    assert_eq!(ready["degraded"][0]["why"], "the receiver takes no metrics", "{ready}");
    let (receiver, ..) = scene.stop();
    receiver.is_content();
    assert!(receiver.seen.lock().unwrap().metrics.is_empty(), "who takes nothing isn't asked at the end");
}
