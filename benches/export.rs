//! How long one record takes to become an event of each format, from its stored form to the octets that are sent.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use relayscope::export::format::{Context, Encoder, Format};
use relayscope::trace::kinds::{Actor, Direction, Leg, Stage, State};
use relayscope::trace::record::{Client, Envelope, Message, Origin, Outcome, Phases, Recipient, Record, Reply, Tls, Transaction, Upstream};
use relayscope::trace::{RecordId, Timeline, stored};

fn reply(code: u16, line: &str) -> Reply {
    Reply { code, enhanced: Some((2, 0, 0)), lines: vec![line.to_owned()] }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// A message as most are: one recipient, TLS on both legs, a dialogue of a dozen lines.
fn record() -> Record {
    let tls = Tls {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_256_GCM_SHA384".to_owned(),
        sni: text("smtp.provider.example"),
        subject: text("CN=smtp.provider.example"),
        issuer: text("CN=Example Issuing CA 3,O=Example Trust"),
        expires_at: Some(1_803_859_200_000_000),
        verified: Some(true),
        why_not: None,
    };
    let mut timeline = Timeline::default();
    for (at, line) in ["MAIL FROM:<anna@corp.example>", "RCPT TO:<bob@customer.example>", "DATA", "."].into_iter().enumerate() {
        timeline.push_relayed(at as u64 * 1_000, Leg::Client, line);
        timeline.push_relayed(at as u64 * 1_000 + 500, Leg::Upstream, "250 2.0.0 Ok: queued as 4dXq1r2Zz9z3gVd");
    }
    let mut outcome =
        Outcome::of(State::Accepted, Stage::EndOfData, Actor::Upstream, Some(reply(250, "2.0.0 Ok: queued as 4dXq1r2Zz9z3gVd")), None);
    outcome.upstream_queue_id = text("4dXq1r2Zz9z3gVd");
    let origin =
        Origin { node: "relay1.corp.example".to_owned(), proxy_version: "0.1.0".to_owned(), config_digest: "9f86d081884c7d65".to_owned() };
    Record::Transaction(Box::new(Transaction {
        id: RecordId::from_parts(1_795_428_131_042, 1),
        session_id: RecordId::from_parts(1_795_428_131_042, 0),
        transaction_no: 1,
        origin: Arc::new(origin.into()),
        route_rule: text("default"),
        at: 1_795_428_131_042_817,
        duration_us: 41_982,
        listener: "smtp".to_owned(),
        direction: Direction::Outbound,
        client: Arc::new(
            Client {
                ip: [192, 0, 2, 25].into(),
                port: 49_152,
                helo: text("mail.corp.example"),
                tls: Some(tls.clone()),
                auth: None,
                via: None,
            }
            .into(),
        ),
        upstream: Arc::new(
            Upstream {
                name: "provider".to_owned(),
                host: text("smtp.provider.example"),
                ip: "198.51.100.7".parse().ok(),
                port: Some(587),
                banner: text("smtp.provider.example ESMTP Postfix"),
                software: text("Postfix"),
                offered: ["PIPELINING", "SIZE 52428800", "STARTTLS", "8BITMIME", "DSN"].map(str::to_owned).to_vec(),
                tls: Some(tls),
                ..Upstream::default()
            }
            .into(),
        ),
        envelope: Envelope {
            reverse_path: "anna@corp.example".to_owned(),
            reply: Some(reply(250, "2.1.0 Ok")),
            recipients: vec![Recipient {
                address: "bob@customer.example".to_owned(),
                params: Vec::new(),
                orcpt: None,
                reply: Some(reply(250, "2.1.5 Ok")),
                stage: Stage::EndOfData,
                by: Actor::Upstream,
                state: State::Accepted,
                cause: None,
                act: None,
                rule: None,
            }],
            ..Envelope::default()
        },
        message: Message {
            message_id: text("20261123100210.4711@corp.example"),
            subject: text("Rechnung Nr. 4711 für November"),
            from: text("Anna Müller <anna@corp.example>"),
            to: text("Bob <bob@customer.example>"),
            received_count: 1,
            client_queue_id: text("9B1C24A0F3"),
            size: 4_711,
            ..Message::default()
        },
        phases: Phases {
            connect_us: Some(812),
            mail_from_us: Some(986),
            rcpt_to_us: Some(1_203),
            end_of_data_us: Some(29_750),
            ..Phases::default()
        },
        outcome,
        flags: Vec::new(),
        timeline,
    }))
}

fn encode(criterion: &mut Criterion) {
    let record = record();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    for format in Format::ALL {
        let mut encoder = Encoder::new(format, Context::new("relay1.corp.example"));
        let mut out = Vec::new();
        encoder.encode(&record, &mut out);
        group.bench_function(BenchmarkId::new(format.word(), out.len()), |bencher| {
            bencher.iter(|| {
                out.clear();
                encoder.encode(black_box(&record), &mut out)
            });
        });
    }
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let record = record();
    let Ok(octets) = stored::encode(&record, Vec::new()) else { return };
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(1));
    group.bench_function("stored form", |bencher| bencher.iter(|| stored::decode(stored::VERSION, record.kind(), black_box(&octets))));
    group.finish();
}

criterion_group!(benches, encode, decode);
criterion_main!(benches);
