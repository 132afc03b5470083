//! How long the diagnosis of a reply takes.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use relayscope::diagnose::{Facts, Rules};
use relayscope::smtp::Stage;

fn replies(c: &mut Criterion) {
    let facts = Facts {
        stage: Some(Stage::RcptTo),
        code: Some(550),
        enhanced: Some((5, 1, 1)),
        text: "5.1.1 <nobody@example.net>: Recipient address rejected: User unknown in virtual mailbox table",
        host: Some("mx.example.net"),
        banner: Some("220 mx.example.net ESMTP Postfix"),
    };
    c.bench_function("classify/user unknown", |b| b.iter(|| black_box(Rules::builtin().classify(black_box(&facts)))));
}

criterion_group!(benches, replies);
criterion_main!(benches);
