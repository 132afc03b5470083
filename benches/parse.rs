//! How long the parsers take, per message header, line, command and reply.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use jiff::tz::TimeZone;
use relayscope::import::{Format, Options, Reader};
use relayscope::message::{HeaderCapture, upstream_queue_id};
use relayscope::smtp::{Command, EndOfData, Extensions, Found, PathCommand, ReplyScanner, ReplyView, next_line};

/// A header section as it arrives at a smart host: trace fields, an encoded subject, a DKIM signature.
const HEADER: &str = "Received: from app.example (app.example [192.0.2.7])\r\n\
    \t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits))\r\n\
    \tby mail.example (Postfix) with ESMTPS id 4bYtQ12Xz9z3gVd\r\n\
    \tfor <bob@example.org>; Mon, 23 Nov 2026 10:02:11 +0000 (UTC)\r\n\
    DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=mail.example; s=2026;\r\n\
    \tt=1795428131; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\
    \th=From:To:Subject:Date:Message-ID;\r\n\
    \tb=Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFy\r\n\
    \t YmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4\r\n\
    From: =?utf-8?Q?J=C3=BCrgen_M=C3=BCller?= <juergen@mail.example>\r\n\
    To: Bob <bob@example.org>\r\n\
    Subject: =?utf-8?B?UmVjaG51bmcgTnIuIDQ3MTEgZsO8ciBOb3ZlbWJlcg==?=\r\n\
    Date: Mon, 23 Nov 2026 10:02:10 +0000\r\n\
    Message-ID: <20261123100210.4711.1@mail.example>\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\
    X-Mailer: Invoices 7.1\r\n\
    \r\n";

fn header_capture(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("header_capture");
    let message = format!("{HEADER}{}", "All work and no play makes Jack a dull boy.\r\n".repeat(70));
    group.throughput(Throughput::Bytes(HEADER.len() as u64));
    for segment in [usize::MAX, 1_460, 64] {
        group.bench_function(BenchmarkId::new("in segments of", if segment == usize::MAX { 0 } else { segment }), |bencher| {
            bencher.iter(|| {
                let mut capture = HeaderCapture::for_data(65_536);
                for octets in message.as_bytes().chunks(segment.min(message.len())) {
                    if !capture.feed(black_box(octets)) {
                        break;
                    }
                }
                capture.finish()
            });
        });
    }
    let received = "Received: from a by b with ESMTP id 1; Mon\r\n".repeat(1_500);
    group.throughput(Throughput::Bytes(received.len() as u64));
    group.bench_function("64 KiB of Received fields", |bencher| {
        bencher.iter(|| {
            let mut capture = HeaderCapture::for_data(65_536);
            capture.feed(black_box(received.as_bytes()));
            capture.finish()
        });
    });
    group.finish();
}

fn queue_id(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue_id");
    let replies = [
        ("postfix", "2.0.0 Ok: queued as 4bYtQ12Xz9z3gVd"),
        ("exchange", "2.6.0 <1@a.example> [InternalId=23138874, Hostname=EX01.corp.example] Queued mail for delivery"),
        ("none", "2.0.0 Thank you very much for this fine message, it will be read with care"),
    ];
    for (name, line) in replies {
        group.bench_function(name, |bencher| bencher.iter(|| upstream_queue_id(250, black_box(&[line]))));
    }
    group.finish();
}

fn line_framing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("line_framing");
    let recipients: String = (0..100).map(|number| format!("RCPT TO:<recipient{number}@mail.example>\r\n")).collect();
    for (name, octets) in [("one command", "MAIL FROM:<sender@client.example> SIZE=4096\r\n"), ("a group of 100", &recipients)] {
        group.throughput(Throughput::Bytes(octets.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut rest = black_box(octets.as_bytes());
                let mut lines = 0;
                while let Ok(Some(length)) = next_line(rest, 4_096) {
                    rest = &rest[length..];
                    lines += 1;
                }
                lines
            });
        });
    }
    group.finish();
}

fn end_of_data(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("end_of_data");
    let text = "The quick brown fox jumps over the lazy dog, and all of this is part of mail\r\n";
    let mails = [
        ("text of 4 KiB", text.repeat(52)),
        ("text of 1 MiB", text.repeat(13_443)),
        ("a dot on each line, 64 KiB", format!(".{text}").repeat(829)),
        ("empty lines, 64 KiB", "\r\n".repeat(32_768)),
        ("one line of 1 MiB", "a".repeat(1 << 20)),
    ];
    for (name, body) in mails {
        let message = format!("{body}\r\n.\r\n");
        group.throughput(Throughput::Bytes(message.len() as u64));
        for segment in [65_536, 1_460] {
            group.bench_function(BenchmarkId::new(name, segment), |bencher| {
                bencher.iter(|| {
                    let mut scanner = EndOfData::default();
                    black_box(message.as_bytes()).chunks(segment).any(|piece| scanner.scan(piece).found == Found::End)
                });
            });
        }
    }
    group.finish();
}

fn commands(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commands");
    for line in ["MAIL FROM:<sender@client.example> SIZE=4096 BODY=8BITMIME", "DATA", "XSHADOWREQUEST x", "NONSENSE x"] {
        group.bench_function(line, |bencher| bencher.iter(|| Command::parse(black_box(line.as_bytes())).verb));
    }
    let argument = "FROM:<sender@client.example> SIZE=4096 BODY=8BITMIME RET=HDRS ENVID=QQ314159";
    group.bench_function("path and parameters", |bencher| {
        bencher.iter(|| PathCommand::parse(black_box(argument.as_bytes()), b"FROM:").map(|path| path.value("ENVID").map(<[u8]>::len)));
    });
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("replies");
    let ehlo = "250-mx.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-STARTTLS\r\n250-AUTH PLAIN LOGIN\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250 SMTPUTF8\r\n";
    for (name, octets) in [("one line", "250 2.1.5 Ok\r\n"), ("EHLO", ehlo), ("endless", &"250-x\r\n".repeat(255))] {
        group.throughput(Throughput::Bytes(octets.len() as u64));
        group.bench_function(BenchmarkId::new("found", name), |bencher| {
            bencher.iter(|| ReplyScanner::default().next(black_box(octets.as_bytes()), 4_096, 256).ok());
        });
    }
    group.throughput(Throughput::Elements(1));
    group.bench_function("code and enhanced code", |bencher| {
        bencher.iter(|| {
            let view = ReplyView::new(black_box(b"550 5.1.1 <bob@example.org>: Recipient address rejected: User unknown\r\n"));
            (view.code(), view.enhanced())
        });
    });
    group.bench_function("extensions of EHLO", |bencher| {
        bencher.iter(|| Extensions::read(&ReplyView::new(black_box(ehlo.as_bytes()))).size);
    });
    group.finish();
}

/// Postfix's lines of so many messages, two recipients each.
fn postfix(messages: u32) -> String {
    let message = |number: u32| {
        let (id, process) = (format!("{:011X}", u64::from(number).wrapping_mul(0x9E37_79B9)), number % 900 + 100);
        let line = |program: &str, text: String| format!("2026-11-26T10:02:03.123456+01:00 mail postfix/{program}[{process}]: {text}\n");
        let sent = |to: &str| {
            format!(
                "{id}: to=<{to}>, relay=mx.example.org[192.0.2.9]:25, delay=1.2, delays=0.1/0/0.5/0.6, dsn=2.0.0, \
                 status=sent (250 2.0.0 Ok: queued as 4bYtQ12Xz9z3gVd)"
            )
        };
        [
            line("smtpd", "connect from app.example[192.0.2.7]".to_owned()),
            line("smtpd", format!("{id}: client=app.example[192.0.2.7], sasl_method=PLAIN, sasl_username=app")),
            line("cleanup", format!("{id}: message-id=<{number}.1795428130@app.example>")),
            line("qmgr", format!("{id}: from=<app@mail.example>, size=4096, nrcpt=2 (queue active)")),
            line(
                "smtpd",
                "disconnect from app.example[192.0.2.7] ehlo=2 starttls=1 auth=1 mail=1 rcpt=2 data=1 quit=1 commands=9".to_owned(),
            ),
            line("smtp", sent("bob@example.org")),
            line("smtp", sent("carol@example.org")),
            line("qmgr", format!("{id}: removed")),
        ]
        .concat()
    };
    (0..messages).map(message).collect()
}

fn logs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("logs");
    let log = postfix(2_000);
    group.throughput(Throughput::Elements(log.lines().count() as u64));
    group.bench_function("lines of Postfix", |bencher| {
        bencher.iter(|| {
            let (mut reader, mut entries) = (Reader::new(Options::new(Format::Postfix, TimeZone::UTC)), Vec::new());
            for piece in black_box(log.as_bytes()).chunks(256 << 10) {
                reader.feed(piece, &mut entries);
                entries.clear();
            }
            reader.counts().entries()
        });
    });
    group.finish();
}

criterion_group!(benches, header_capture, queue_id, line_framing, end_of_data, commands, replies, logs);
criterion_main!(benches);
