//! A cluster of three brokers (librdkafka's own, in memory): leaders elsewhere, leaders that move, brokers that go.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use super::broker::{Read, TOPIC, have, python, read, reader, transactions};
use super::mail::{deliver, exporting, ids, smart_host, until};
use crate::support::place::Place;
use crate::support::process::Process;
use crate::support::relayscope::Relayscope;
use crate::support::sink::Sink;

const BROKERS: usize = 3;

struct Cluster {
    _process: Process,
    orders: BufReader<TcpStream>,
    /// By their numbers, which begin with 1.
    ports: Vec<u16>,
}

impl Cluster {
    fn start(partitions: u32) -> Self {
        let mut program = python("cluster.py");
        program.args([&BROKERS.to_string(), TOPIC, &partitions.to_string()]);
        let process = Process::start(program, false);
        let after = |word: &str| process.output.expect(word).split_once(' ').unwrap().1.to_owned();
        let orders = TcpStream::connect(("127.0.0.1", after("control ").parse().unwrap())).unwrap();
        let ports = after("brokers ").split(',').map(|port| port.parse().unwrap()).collect();
        Self { orders: BufReader::new(orders), ports, _process: process }
    }

    /// `leader PARTITION BROKER`, `down BROKER`, `up BROKER`.
    fn order(&mut self, order: &str) {
        writeln!(self.orders.get_mut(), "{order}").unwrap();
        let mut answer = String::new();
        self.orders.read_line(&mut answer).unwrap();
        assert_eq!(answer, "done\n", "{order}");
    }
}

struct Scene {
    cluster: Cluster,
    reader: Process,
    relayscope: Relayscope,
    _sink: Sink,
    _place: Place,
}

/// Relayscope knows these brokers only.
fn scene(partitions: u32, known: &[usize], export: &str, prepare: impl FnOnce(&mut Cluster)) -> Scene {
    let (mut cluster, sink, place) = (Cluster::start(partitions), smart_host(), Place::new());
    prepare(&mut cluster);
    let reader = reader(cluster.ports[0], partitions);
    let known: Vec<String> = known.iter().map(|broker| format!("127.0.0.1:{}", cluster.ports[broker - 1])).collect();
    let export = format!(
        "[[export]]\nname = \"lake\"\nkind = \"kafka\"\ntopic = \"{TOPIC}\"\nlinger = \"50ms\"\nurl = \"tcp://{}\"\n{export}\n",
        known.join(",")
    );
    let relayscope = exporting(&place, &sink, &export);
    Scene { cluster, reader, relayscope, _sink: sink, _place: place }
}

impl Scene {
    fn records(&self) -> Vec<Read> {
        read(&self.reader).into_iter().filter(|it| it.value["kind"] == "transaction").collect()
    }

    fn arrive(&self, wanted: usize) {
        until(&format!("{wanted} transactions\n{}", self.relayscope.output().text()), || {
            self.records().into_iter().map(|it| it.key).collect::<BTreeSet<_>>().len() == wanted
        });
    }

    /// Each transaction of the store arrived once, in the order of the journal.
    fn exactly_once(self) {
        let arrived = transactions(self.records());
        assert_eq!(arrived, ids(&self.relayscope.stop()).into_iter().collect::<Vec<_>>(), "each once and in order");
    }
}

#[test]
fn partitions_are_written_to_whoever_leads_them() {
    if !have("partitions_are_written_to_whoever_leads_them") {
        return;
    }
    let scene = scene(3, &[2], "spread = true", |cluster| (0..3).for_each(|at| cluster.order(&format!("leader {at} {}", at + 1))));
    deliver(&scene.relayscope, "one", 60);
    scene.arrive(60);
    let partitions: BTreeSet<u64> = scene.records().iter().map(|it| it.partition).collect();
    assert_eq!(partitions, BTreeSet::from([0, 1, 2]));
    let keys: Vec<String> = scene.records().into_iter().map(|it| it.key).collect();
    assert_eq!(keys.len(), keys.iter().collect::<BTreeSet<_>>().len(), "each once");
    scene.relayscope.stop();
}

#[test]
fn a_leader_that_moves_is_followed() {
    if !have("a_leader_that_moves_is_followed") {
        return;
    }
    let mut scene = scene(1, &[1, 2], "", |cluster| cluster.order("leader 0 1"));
    for (number, leader) in [2, 3, 1, 3].into_iter().enumerate() {
        deliver(&scene.relayscope, "one", 5);
        scene.arrive(5 * (number + 1));
        scene.cluster.order(&format!("leader 0 {leader}"));
    }
    deliver(&scene.relayscope, "one", 5);
    scene.arrive(25);
    scene.exactly_once();
}

#[test]
fn a_broker_that_goes_is_replaced_by_those_that_are_left() {
    if !have("a_broker_that_goes_is_replaced_by_those_that_are_left") {
        return;
    }
    let mut scene = scene(1, &[1, 2], "", |cluster| cluster.order("leader 0 1"));
    deliver(&scene.relayscope, "one", 5);
    scene.arrive(5);
    // It dies while it leads; until another is elected nobody takes anything.
    scene.cluster.order("down 1");
    deliver(&scene.relayscope, "two", 5);
    scene.relayscope.output().expect("an export isn't taken");
    scene.cluster.order("leader 0 3");
    scene.arrive(10);
    // Its return changes nothing.
    scene.cluster.order("up 1");
    deliver(&scene.relayscope, "three", 5);
    scene.arrive(15);
    scene.exactly_once();
}

#[test]
fn while_one_partition_takes_nothing_the_others_get_nothing_twice() {
    if !have("while_one_partition_takes_nothing_the_others_get_nothing_twice") {
        return;
    }
    let mut scene = scene(2, &[1], "spread = true", |cluster| (0..2).for_each(|at| cluster.order(&format!("leader {at} {}", at + 1))));
    deliver(&scene.relayscope, "one", 20);
    scene.arrive(20);
    scene.cluster.order("down 2");
    deliver(&scene.relayscope, "two", 20);
    scene.relayscope.output().expect("an export isn't taken");
    scene.cluster.order("up 2");
    scene.arrive(40);
    let keys: Vec<String> = scene.records().into_iter().map(|it| it.key).collect();
    assert_eq!(keys.len(), 40, "each once");
    scene.relayscope.stop();
}
