//! How much of a processor one message takes in our own code: the engine on paper, from MAIL FROM to the relayed reply, with its mark and
//! its record in their stored form. No socket, no kernel: what shows here as a µs is a µs of every message.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use relayscope::config::{self, Overrides};
use relayscope::relay::options::UpstreamTls;
use relayscope::relay::{Action, Connected, Machine, NextHop, SessionFacts, Wire};
use relayscope::trace::{Kept, Leg, Origin, RecordId, stored};

#[allow(dead_code)]
#[path = "relay/message.rs"]
mod message;
use message::Message;

const EHLO_REPLY: &[u8] =
    b"250-sink.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 DSN\r\n";

/// Two legs and a journal that take everything.
struct Paper {
    client: Vec<u8>,
    upstream: Vec<u8>,
    journal: Vec<u8>,
    now: u64,
}

impl Wire for Paper {
    fn send(&mut self, leg: Leg, octets: &[u8]) {
        match leg {
            Leg::Client => self.client.extend_from_slice(octets),
            Leg::Upstream => self.upstream.extend_from_slice(octets),
        }
    }
}

impl Paper {
    fn step(&mut self, machine: &mut Machine, leg: Leg, octets: &[u8]) {
        self.now += 20;
        let now = self.now;
        match leg {
            Leg::Client => machine.client_octets(now, octets, self),
            Leg::Upstream => machine.upstream_octets(now, octets, self),
        }
        while let Some(action) = machine.next_action() {
            match action {
                Action::Connect { .. } => {
                    let connected = Connected {
                        ip: Ipv4Addr::LOCALHOST.into(),
                        port: 25,
                        dns: None,
                        dns_us: None,
                        connect_us: 30,
                        tls: None,
                        tried: Vec::new(),
                        lookups: Vec::new(),
                        policy: None,
                    };
                    machine.connected(now, connected, self);
                }
                Action::Append { record, .. } => {
                    self.journal = stored::encode(&record, std::mem::take(&mut self.journal)).unwrap_or_default();
                    machine.stored(now, true, self);
                }
                Action::AppendMark => {
                    if let Some(mark) = machine.mark() {
                        self.journal = stored::encode_mark(&mark, std::mem::take(&mut self.journal)).unwrap_or_default();
                    }
                    machine.mark_stored(now, true, self);
                }
                Action::FindHosts { .. }
                | Action::HostFailed { .. }
                | Action::HostServes { .. }
                | Action::RenewMark
                | Action::StartTls { .. }
                | Action::CloseSide { .. }
                | Action::Close { .. }
                | Action::Abort { .. } => {}
            }
        }
    }

    fn transaction(&mut self, machine: &mut Machine, message: &[u8]) {
        [&mut self.client, &mut self.upstream, &mut self.journal].into_iter().for_each(Vec::clear);
        self.step(machine, Leg::Client, b"MAIL FROM:<sender7@client.example> SIZE=4096\r\n");
        self.step(machine, Leg::Upstream, b"250 2.1.0 Ok\r\n");
        self.step(machine, Leg::Client, b"RCPT TO:<rcpt7@sink.example>\r\n");
        self.step(machine, Leg::Upstream, b"250 2.1.5 Ok\r\n");
        self.step(machine, Leg::Client, b"DATA\r\n");
        self.step(machine, Leg::Upstream, b"354 End data with <CR><LF>.<CR><LF>\r\n");
        for piece in message.chunks(512 << 10) {
            self.step(machine, Leg::Client, piece);
        }
        self.step(machine, Leg::Upstream, b"250 2.0.0 Ok: queued as 4bYtQ12Xz9z3gVd\r\n");
        black_box(&self.journal);
    }
}

fn session(paper: &mut Paper) -> Option<Machine> {
    let smart_host = Overrides { smart_host: Some("127.0.0.1:25".to_owned()), ..Overrides::default() };
    let options = config::load_text(Path::new("bench.toml"), "", &smart_host).ok()?.sessions.first()?.clone();
    let origin = Origin { node: "relay1".into(), proxy_version: "0.1.0".into(), config_digest: "0123456789abcdef".into() };
    let facts = SessionFacts {
        id: RecordId::from_parts(1_795_428_131_000, 7),
        random: 7,
        at: 1_795_428_131_000_000,
        origin: Arc::new(Kept::new(origin)),
        client_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
        client_port: 40_000,
        via: None,
        route_rule: None,
        destination: Some(std::net::SocketAddr::from(([192, 0, 2, 1], 25))),
    };
    let hosts = vec![NextHop::new("127.0.0.1", 25, UpstreamTls::Off)];
    let mut machine = Machine::new(options.clone(), facts, options.upstream.clone(), hosts);
    machine.start(0, paper);
    paper.step(&mut machine, Leg::Upstream, b"");
    paper.step(&mut machine, Leg::Upstream, b"220 sink.example ESMTP ready\r\n");
    paper.step(&mut machine, Leg::Client, b"EHLO client.example\r\n");
    paper.step(&mut machine, Leg::Upstream, EHLO_REPLY);
    Some(machine)
}

fn transaction(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transaction");
    for (name, size) in [("1 KiB", 1 << 10), ("4 KiB", 4 << 10), ("100 KiB", 100 << 10), ("10 MiB", 10 << 20)] {
        let mut message = Message::new(1, size);
        let mut paper = Paper { client: Vec::new(), upstream: Vec::with_capacity(11 << 20), journal: Vec::new(), now: 0 };
        let Some(mut machine) = session(&mut paper) else { return eprintln!("the defaults and a smart host are no configuration") };
        let octets = message.numbered(1);
        paper.client.clear();
        group.throughput(Throughput::Bytes(octets.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| paper.transaction(&mut machine, black_box(octets)));
        });
        // Empty: the filter on the command line left this one out.
        assert!(
            paper.client.is_empty() || paper.client.ends_with(b"queued as 4bYtQ12Xz9z3gVd\r\n"),
            "{}",
            String::from_utf8_lossy(&paper.client)
        );
    }
    group.finish();
}

criterion_group!(engine, transaction);
criterion_main!(engine);
