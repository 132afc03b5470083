//! What arrives: all of it, in order, with keys, headers and times; and what comes of a broker that is killed under load.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::broker::have;
use super::door::Does;
use super::mail::{deliver, ids, until};
use super::scene::scene;

#[test]
fn each_event_is_a_record_with_its_id_as_the_key() {
    if !have("each_event_is_a_record_with_its_id_as_the_key") {
        return;
    }
    let scene = scene(1, "", |_| {});
    deliver(&scene.relayscope, "one", 20);
    scene.arrive(20);
    for record in scene.broker.records() {
        assert_eq!(record.value["id"], record.key.as_str());
        assert_eq!(record.headers["relayscope-format"], "json");
        let event = record.headers["relayscope-event"].as_str().unwrap();
        assert!(event.starts_with(record.value["kind"].as_str().unwrap()), "{event}: {}", record.value);
        let at: jiff::Timestamp = record.value["at"].as_str().unwrap().parse().unwrap();
        assert_eq!(record.time_ms, u64::try_from(at.as_millisecond()).unwrap());
    }
    let accepted = scene.broker.records().into_iter().find(|it| it.value["kind"] == "transaction").unwrap();
    assert_eq!(accepted.headers.to_string(), r#"{"relayscope-event":"transaction.accepted","relayscope-format":"json"}"#);
    scene.exactly_once();
}

#[test]
fn batches_are_packed_and_of_any_format() {
    if !have("batches_are_packed_and_of_any_format") {
        return;
    }
    let scene = scene(2, "gzip = true\nformat = \"cef\"\npartition = 1", |_| {});
    deliver(&scene.relayscope, "one", 30);
    let lines = || scene.broker.records().iter().filter(|it| it.headers["relayscope-event"] == "transaction.accepted").count();
    until("thirty records", || lines() == 30);
    for record in scene.broker.records() {
        assert_eq!((record.partition, record.headers["relayscope-format"].as_str()), (1, Some("cef")));
        assert!(record.value.as_str().unwrap().starts_with("CEF:0|"), "{}", record.value);
    }
    scene.relayscope.stop();
}

#[test]
fn events_are_spread_by_their_keys() {
    if !have("events_are_spread_by_their_keys") {
        return;
    }
    let scene = scene(3, "spread = true", |_| {});
    deliver(&scene.relayscope, "one", 60);
    scene.arrive(60);
    let records = scene.broker.records();
    let partitions: BTreeSet<u64> = records.iter().map(|it| it.partition).collect();
    assert_eq!(partitions.len(), 3);
    for partition in partitions {
        let keys: Vec<&str> = records.iter().filter(|it| it.partition == partition).map(|it| it.key.as_str()).collect();
        assert!(keys.is_sorted(), "in order within each");
    }
    let arrived = scene.broker.transactions();
    let store = scene.relayscope.stop();
    assert_eq!((arrived.len(), arrived.into_iter().collect()), (60, ids(&store)), "none twice");
}

#[test]
fn a_pause_that_is_asked_for_is_no_refusal() {
    if !have("a_pause_that_is_asked_for_is_no_refusal") {
        return;
    }
    let scene = scene(1, "", |door| door.always(Does::Pause(40)));
    deliver(&scene.relayscope, "one", 20);
    scene.arrive(20);
    scene.exactly_once();
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_no_failure() {
    if !have("a_connection_that_was_closed_meanwhile_is_no_failure") {
        return;
    }
    let scene = scene(1, "", |_| {});
    deliver(&scene.relayscope, "one", 3);
    scene.arrive(3);
    scene.door.next([Does::Cut]);
    deliver(&scene.relayscope, "two", 3);
    scene.arrive(6);
    assert_eq!(scene.relayscope.output().count("an export isn't taken"), 0);
    scene.exactly_once();
}

#[test]
fn a_broker_that_is_killed_under_load_and_comes_back_misses_nothing() {
    if !have("a_broker_that_is_killed_under_load_and_comes_back_misses_nothing") {
        return;
    }
    let mut scene = scene(1, "batch_events = 20", |_| {});
    let mut seen: Vec<String> = Vec::new();
    let (mut wanted, mut taken_before) = (0, 0);
    for life in 0..3 {
        let goes_on = AtomicBool::new(true);
        std::thread::scope(|threads| {
            let load = threads.spawn(|| {
                let mut rounds = 0;
                while goes_on.load(Relaxed) {
                    deliver(&scene.relayscope, &format!("life-{life}-{rounds}"), 10);
                    rounds += 1;
                }
                rounds * 10
            });
            until("some of it is there", || scene.broker.records().len() > 30);
            // The connection is cut in the midst of the load; what the broker has by then is read before it is killed, as it keeps
            // nothing on a disk.
            scene.door.always(Does::Cut);
            until("it is missed", || scene.relayscope.output().count("an export isn't taken") == life + 1);
            goes_on.store(false, Relaxed);
            wanted += load.join().unwrap();
        });
        until("the broker has answered what was with it", || scene.door.is_empty());
        let taken = scene.door.taken() - taken_before;
        until("everything that the broker has is read", || scene.broker.records().len() == taken);
        taken_before += taken;
        seen.extend(scene.broker.transactions());
        scene.broker.kill();
        scene.broker.begin();
        scene.door.always(Does::Pass);
    }
    let all = |now: Vec<String>| seen.iter().cloned().chain(now).collect::<BTreeSet<_>>();
    until(&format!("all of them\n{}", scene.relayscope.output().text()), || all(scene.broker.transactions()).len() == wanted);
    let arrived = all(scene.broker.transactions());
    assert!(scene.broker.transactions().is_sorted(), "in the order of the journal");
    assert_eq!(arrived, ids(&scene.relayscope.stop()));
}
