//! OTLP: what arrives, and what comes of a receiver that doesn't take it, or not all.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use opentelemetry_proto::tonic::trace::v1::Span;
use relayscope::trace::{AuditEvent, Record};

use super::mail::{deliver, exporting, smart_host, until};
use super::otlp_server::{Does, Receiver, text};
use crate::support::place::Place;
use crate::support::records;
use crate::support::relayscope::Relayscope;
use crate::support::sink::Sink;

pub struct Scene {
    _place: Place,
    pub receiver: Receiver,
    _sink: Sink,
    pub relayscope: Relayscope,
}

pub fn scene(export: &str, prepare: impl FnOnce(&Receiver)) -> Scene {
    let (place, receiver) = (Place::new(), Receiver::start());
    prepare(&receiver);
    let url = format!("http://{}/base/", receiver.address);
    Scene::set(place, receiver, &url, export)
}

impl Scene {
    /// With what stands at a url.
    pub fn set(place: Place, receiver: Receiver, url: &str, export: &str) -> Self {
        let sink = smart_host();
        let secret = place.file("secret", "the-token");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let export = format!(
            "[[export]]\nname = \"otel\"\nkind = \"otlp\"\nlinger = \"50ms\"\nurl = \"{url}\"\nsecret_file = \"{}\"\n{export}\n",
            secret.display()
        );
        let relayscope = exporting(&place, &sink, &export);
        Self { _place: place, receiver, _sink: sink, relayscope }
    }

    pub fn place(&self) -> &Place {
        &self._place
    }

    pub fn arrive(&self, what: impl Fn(&Receiver) -> Vec<String>, wanted: usize) {
        until(&format!("{wanted} transactions\n{}", self.relayscope.output().text()), || {
            what(&self.receiver).into_iter().collect::<BTreeSet<_>>().len() == wanted
        });
    }

    pub fn stop(self) -> (Receiver, PathBuf, Place) {
        let store = self.relayscope.stop();
        (self.receiver, store, self._place)
    }
}

fn took(span: &Span) -> u64 {
    (span.end_time_unix_nano - span.start_time_unix_nano) / 1_000
}

#[test]
fn each_transaction_is_a_log_and_a_trace_of_its_phases() {
    let scene = scene("gzip = true\nsecret_header = \"X-API-Key\"", |_| {});
    deliver(&scene.relayscope, "one", 8);
    scene.arrive(Receiver::logged, 8);
    scene.arrive(Receiver::traced, 8);
    let (receiver, store, _place) = scene.stop();
    receiver.is_content();
    let seen = receiver.seen.lock().unwrap();
    let sent = |headers: &axum::http::HeaderMap| headers["x-api-key"] == "the-token" && headers["content-encoding"] == "gzip";
    assert!(seen.headers.iter().all(sent));
    let transactions = records::transactions(&store);
    assert_eq!(transactions.len(), 8);
    for it in transactions {
        let id = it.id.to_string();
        let logs: Vec<_> = seen.logs.iter().filter(|log| text(&log.attributes, "relayscope.id") == id).collect();
        let [log] = logs[..] else { panic!("{} logs of {id}", logs.len()) };
        assert_eq!(log.trace_id, it.session_id.as_u128().to_be_bytes());
        assert_eq!((log.time_unix_nano, log.event_name.as_str()), (it.at * 1_000, "relayscope.transaction.accepted"));
        assert_eq!(text(&log.attributes, "client.address"), "127.0.0.1");

        let spans: Vec<&Span> = seen.spans.iter().filter(|span| text(&span.attributes, "relayscope.id") == id).collect();
        let named = |name: &str| spans.iter().find(|span| span.name == format!("smtp.{name}")).copied();
        let whole = named("transaction").unwrap();
        assert_eq!((&whole.trace_id, &whole.span_id), (&log.trace_id, &log.span_id));
        assert!(whole.parent_span_id.is_empty() && whole.status.is_none());
        assert_eq!((whole.start_time_unix_nano, took(whole)), (it.at * 1_000, it.duration_us));
        // The connection was made before the first of them.
        assert_eq!(named("connect").is_some(), it.transaction_no == 1);
        if let Some(opening) = named("opening") {
            assert_eq!(opening.end_time_unix_nano, whole.start_time_unix_nano);
            assert_eq!(named("connect").unwrap().parent_span_id, opening.span_id);
        }
        let phases = it.phases;
        let expected = [
            ("connect", phases.connect_us),
            ("banner", phases.banner_us),
            ("mail_from", phases.mail_from_us),
            ("rcpt_to", phases.rcpt_to_us),
            ("data", phases.data_us),
            ("body", phases.body_us),
            ("end_of_data", phases.end_of_data_us),
        ];
        let mut last = 0;
        for (name, took_us) in expected {
            assert_eq!(named(name).map(took), took_us, "{name}");
            let Some(span) = named(name) else { continue };
            assert!(span.start_time_unix_nano >= last, "{name} begins before the phase before it ends");
            last = span.end_time_unix_nano;
            let parent = if ["connect", "banner"].contains(&name) { named("opening").unwrap() } else { whole };
            assert_eq!(span.parent_span_id, parent.span_id);
        }
        assert_eq!(named("end_of_data").unwrap().end_time_unix_nano, whole.end_time_unix_nano);
    }
}

#[test]
fn a_receiver_that_refuses_for_a_while_gets_everything_and_no_log_twice() {
    let refusals = [Does::Answer(500), Does::Answer(429), Does::Garbage, Does::Answer(401)];
    let scene = scene("", |receiver| {
        receiver.next("logs", refusals);
        receiver.next("traces", refusals);
    });
    deliver(&scene.relayscope, "one", 10);
    scene.arrive(Receiver::traced, 10);
    let said = scene.relayscope.output().expect("an export isn't taken");
    assert!(said.contains("500") && said.contains("no thanks"), "{said}");
    let (receiver, _, _place) = scene.stop();
    receiver.is_content();
    let (logged, traced) = (receiver.logged(), receiver.traced());
    assert!(logged.len() == 10 && logged == traced, "{logged:?}\n{traced:?}");
    let seen = receiver.seen.lock().unwrap();
    assert!(seen.headers.iter().all(|headers| headers["authorization"] == "Bearer the-token"));
}

#[test]
fn what_it_refuses_of_a_batch_is_counted_and_said_and_not_sent_again() {
    let scene = scene("signals = [\"logs\"]", |receiver| receiver.next("logs", [Does::Answer(500), Does::Partial(2)]));
    deliver(&scene.relayscope, "one", 10);
    scene.arrive(Receiver::logged, 10);
    let said = scene.relayscope.output().expect("an event is refused for good and left out");
    assert!(said.contains("too old") && said.contains("refused=2"), "{said}");
    let (receiver, store, _place) = scene.stop();
    receiver.is_content();
    assert!(receiver.logged().len() == 10 && receiver.traced().is_empty());
    let skipped = records::all(&store).iter().find_map(|record| match record {
        Record::Audit(it) if it.event == AuditEvent::ExportSkipped => it.detail.clone(),
        _ => None,
    });
    assert!(skipped.as_ref().is_some_and(|detail| detail.contains("it doesn't say which")), "{skipped:?}");
}

#[test]
fn spans_that_are_refused_have_no_log_sent_twice() {
    // First some of the spans, more than there are events; then all of them, twice.
    for refusals in [vec![Does::Answer(500), Does::Partial(15)], vec![Does::Answer(500), Does::Partial(1_000), Does::Partial(1_000)]] {
        let all = refusals.len() == 3;
        let scene = scene("", |receiver| {
            receiver.next("logs", [Does::Answer(500)]);
            receiver.next("traces", refusals);
        });
        deliver(&scene.relayscope, "one", 10);
        scene.arrive(Receiver::traced, 10);
        if !all {
            scene.relayscope.output().expect("an event is refused for good and left out");
        }
        scene.relayscope.output().expect("the export is taken again");
        let (receiver, ..) = scene.stop();
        receiver.is_content();
        assert_eq!(receiver.logged().len(), 10, "each log record came once");
        assert_eq!(receiver.traced().len(), if all { 30 } else { 10 }, "what is refused wholly is tried again");
    }
}

#[test]
fn spans_may_go_alone() {
    let scene = scene("signals = [\"traces\"]", |receiver| receiver.next("traces", [Does::Partial(1)]));
    deliver(&scene.relayscope, "one", 3);
    scene.arrive(Receiver::traced, 3);
    let said = scene.relayscope.output().expect("an event is refused for good and left out");
    assert!(said.contains("too many spans"), "{said}");
    let (receiver, ..) = scene.stop();
    receiver.is_content();
    assert!(receiver.seen.lock().unwrap().logs.is_empty());
}
