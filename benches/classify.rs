//! How long a diagnosis takes, per reply: short ones, wrapped ones, long ones, nonsense.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use relayscope::diagnose::{Facts, Rules};
use relayscope::smtp::Stage;

const REPLIES: [(&str, &str); 6] = [
    ("unknown user", "550 5.1.1 <ann@x.example>: Recipient address rejected: User unknown in virtual mailbox table"),
    (
        "block list",
        "554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org; https://www.spamhaus.org/query/ip/192.0.2.7",
    ),
    (
        "three lines",
        "550-5.7.26 Mail from x.example is blocked: the sender is unauthenticated, and the\n550-5.7.26 domain asks with DMARC for a rejection. See\n550 5.7.26 https://support.google.com/mail/answer/81126 d2e1a72fcca58-6c12si77.3 - gsmtp",
    ),
    (
        "wrapped",
        "host mx.y.example[192.0.2.9] said: 452 4.2.2 The mailbox of <bob@y.example> is over its quota (in reply to RCPT TO command)",
    ),
    ("no rule", "550 5.7.1 Computer says no"),
    ("our own words", "the connection to mx.y.example (192.0.2.9:25) timed out after 30 s"),
];

fn classify(criterion: &mut Criterion) {
    let rules = Rules::builtin();
    let mut group = criterion.benchmark_group("classify");
    for (name, text) in REPLIES {
        group.bench_function(name, |bencher| {
            let facts = Facts { stage: Some(Stage::RcptTo), text, ..Facts::default() };
            bencher.iter(|| rules.classify(black_box(&facts)));
        });
    }
    let all = REPLIES.map(|(_, text)| text);
    group.throughput(Throughput::Elements(all.len() as u64));
    group.bench_function("all of them", |bencher| {
        bencher.iter(|| all.map(|text| rules.classify(black_box(&Facts { text, ..Facts::default() }))));
    });
    group.finish();
}

criterion_group!(benches, classify);
criterion_main!(benches);
