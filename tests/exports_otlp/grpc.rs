//! OTLP over gRPC: what arrives, and what comes of a receiver that doesn't take it, or isn't there.

use super::mail::{deliver, until};
use super::otlp::Scene;
use super::otlp_server::{Does, Receiver};
use crate::support::certificates;
use crate::support::place::Place;

const ALL: &str = "protocol = \"grpc\"\nsignals = [\"logs\", \"traces\", \"metrics\"]\nmetrics_interval = \"1s\"\n";
const INVALID_ARGUMENT: u16 = 3;
const RESOURCE_EXHAUSTED: u16 = 8;
const UNAVAILABLE: u16 = 14;

fn scene(receiver: Receiver, export: &str) -> Scene {
    let url = format!("http://{}", receiver.address);
    Scene::set(Place::new(), receiver, &url, &format!("protocol = \"grpc\"\n{export}"))
}

#[test]
fn logs_spans_and_metrics_arrive_over_tls() {
    let place = Place::new();
    let made = certificates::make(&place, "otel", &["localhost"]);
    let receiver = Receiver::grpc_over_tls(&made);
    let url = format!("https://localhost:{}", receiver.address.port());
    let export = format!("{ALL}gzip = true\nca_file = \"{}\"\n", made.authority.display());
    let scene = Scene::set(place, receiver, &url, &export);
    deliver(&scene.relayscope, "one", 8);
    scene.arrive(Receiver::logged, 8);
    scene.arrive(Receiver::traced, 8);
    until("metrics", || !scene.receiver.seen.lock().unwrap().metrics.is_empty());
    let (receiver, ..) = scene.stop();
    receiver.is_content();
    assert_eq!((receiver.logged().len(), receiver.logged()), (8, receiver.traced()));
    let seen = receiver.seen.lock().unwrap();
    for headers in &seen.headers {
        assert_eq!(
            (&headers["authorization"], &headers["grpc-encoding"]),
            (&"Bearer the-token".parse().unwrap(), &"gzip".parse().unwrap())
        );
        assert!(headers["user-agent"].to_str().unwrap().starts_with("relayscope/"), "{headers:?}");
    }
}

#[test]
fn a_receiver_that_refuses_for_a_while_gets_everything_and_no_log_twice() {
    let receiver = Receiver::grpc();
    receiver.next("logs", [Does::Answer(UNAVAILABLE), Does::Answer(RESOURCE_EXHAUSTED), Does::Garbage]);
    receiver.next("traces", [Does::Answer(UNAVAILABLE)]);
    let scene = scene(receiver, "");
    deliver(&scene.relayscope, "one", 10);
    scene.arrive(Receiver::traced, 10);
    let said = scene.relayscope.output().expect("an export isn't taken");
    assert!(said.contains("14 Unavailable") && said.contains("no thanks") && !said.contains("the-token"), "{said}");
    let (receiver, ..) = scene.stop();
    receiver.is_content();
    let (logged, traced) = (receiver.logged(), receiver.traced());
    assert!(logged.len() == 10 && logged == traced, "{logged:?}\n{traced:?}");
}

#[test]
fn what_it_refuses_for_good_is_left_out_and_said() {
    let receiver = Receiver::grpc();
    receiver.next("logs", [Does::Answer(INVALID_ARGUMENT), Does::Partial(1)]);
    let scene = scene(receiver, "signals = [\"logs\"]\nbatch_events = 1\n");
    deliver(&scene.relayscope, "one", 3);
    let said = scene.relayscope.output().expect("an event is refused for good and left out");
    assert!(said.contains("3 InvalidArgument"), "{said}");
    let said = scene.relayscope.output().expect("refused=2");
    assert!(said.contains("too old"), "{said}");
    let (receiver, ..) = scene.stop();
    receiver.is_content();
}

#[test]
fn a_server_of_something_else_is_told_as_such() {
    let scene = scene(Receiver::start(), "signals = [\"metrics\"]\n");
    let said = scene.relayscope.output().expect("metrics aren't taken");
    assert!(said.contains("gRPC isn't spoken there"), "{said}");
}
