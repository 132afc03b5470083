//! Brokers that don't take what they are sent: what is said, and what comes of it.

use super::broker::have;
use super::door::Does;
use super::mail::{deliver, exporting, ids, smart_host, until};
use super::scene::{scene, skipped};
use crate::support::place::Place;

#[test]
fn a_topic_that_isnt_there_is_said_and_never_made() {
    if !have("a_topic_that_isnt_there_is_said_and_never_made") {
        return;
    }
    let mut scene = scene(0, "", |_| {});
    deliver(&scene.relayscope, "one", 5);
    let said = scene.complaint();
    assert!(said.contains("topic \\\"mail-traces\\\"") && said.contains("create it"), "{said}");
    scene.broker.create_topic(1);
    scene.arrive(5);
    scene.exactly_once();
}

#[test]
fn a_partition_that_isnt_there_is_said() {
    if !have("a_partition_that_isnt_there_is_said") {
        return;
    }
    let scene = scene(2, "partition = 2", |_| {});
    deliver(&scene.relayscope, "one", 1);
    let said = scene.complaint();
    assert!(said.contains("has no partition 2: it has 2, numbered from 0"), "{said}");
    scene.relayscope.stop();
}

#[test]
fn what_is_said_of_a_refusal_names_what_to_do_and_all_arrives_later() {
    if !have("what_is_said_of_a_refusal_names_what_to_do_and_all_arrives_later") {
        return;
    }
    for (code, wanted) in [(29, "may not write to it: allow that"), (19, "min.insync.replicas"), (7, "in time"), (56, "disk")] {
        let scene = scene(1, "", |door| door.next([Does::Refuse(code)]));
        deliver(&scene.relayscope, "one", 5);
        let said = scene.complaint();
        assert!(said.contains(wanted) && said.contains("partition 0"), "{code}: {said}");
        scene.arrive(5);
        scene.exactly_once();
    }
}

#[test]
fn a_record_that_is_too_large_is_left_out_and_said() {
    if !have("a_record_that_is_too_large_is_left_out_and_said") {
        return;
    }
    // The door is shut while mail passes, so that all of it is one batch: too large by itself, and so is one event in it.
    let scene = scene(1, "", |door| door.always(Does::Cut));
    deliver(&scene.relayscope, "one", 10);
    deliver(&scene.relayscope, &"long".repeat(1_000), 1);
    deliver(&scene.relayscope, "two", 10);
    scene.complaint();
    scene.door.take_at_most(4_000);
    scene.door.always(Does::Pass);
    scene.arrive(20);
    let said = scene.relayscope.output().expect("an event is refused for good and left out");
    assert!(said.contains("max.message.bytes"), "{said}");
    let arrived = scene.broker.transactions();
    let store = scene.relayscope.stop();
    let all: Vec<String> = ids(&store).into_iter().collect();
    assert_eq!(arrived, [&all[..10], &all[11..]].concat(), "the others once and in order");
    assert!(skipped(&store).unwrap().contains("refused and left out (1 so far)"));
}

#[test]
fn a_broker_that_never_acknowledges_doesnt_keep_the_proxy_from_ending() {
    if !have("a_broker_that_never_acknowledges_doesnt_keep_the_proxy_from_ending") {
        return;
    }
    let scene = scene(1, "", |door| door.always(Does::Silence));
    deliver(&scene.relayscope, "one", 3);
    until("it was asked", || scene.door.produced() > 0);
    let store = scene.relayscope.stop();
    assert_eq!(ids(&store).len(), 3);
}

#[test]
fn what_was_never_acknowledged_is_sent_again_after_half_a_minute() {
    if !have("what_was_never_acknowledged_is_sent_again_after_half_a_minute") {
        return;
    }
    let scene = scene(1, "", |door| door.next([Does::Silence]));
    deliver(&scene.relayscope, "one", 3);
    let said = scene.complaint();
    assert!(said.contains("hasn't answered for 30 s"), "{said}");
    scene.arrive(3);
    scene.exactly_once();
}

#[test]
fn names_that_are_nowhere_and_ports_of_others_are_said() {
    let sink = smart_host();
    let smtp = format!("tcp://{}", sink.address);
    for (url, wanted) in [
        ("tcp://kafka.invalid:9092,kafka2.invalid:9092", "kafka2.invalid:9092 can't be reached"),
        (smtp.as_str(), "no answer of a Kafka broker, within 15 s"),
    ] {
        let place = Place::new();
        let export = format!("[[export]]\nname = \"lake\"\nkind = \"kafka\"\nlinger = \"50ms\"\nurl = \"{url}\"\n");
        let relayscope = exporting(&place, &sink, &export);
        deliver(&relayscope, "one", 1);
        let said = relayscope.output().expect("an export isn't taken");
        assert!(said.contains(wanted), "{said}");
        relayscope.stop();
    }
}
