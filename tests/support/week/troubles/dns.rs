//! What domains publish: an exchanger that is another; and answers that only look different.

use relayscope::trace::{Answer, Lookup, LookupOutcome, UpstreamKind};

use super::*;

/// Mail to a domain whose exchangers were these.
fn to(domain: &str, at: WallMicros, no: u64, outcome: LookupOutcome, exchangers: &[&str]) -> Sample {
    let answer = |data: &&str| Answer { kind: "MX".to_owned(), ttl: 300, data: (*data).to_owned() };
    let lookup = Lookup {
        name: domain.to_owned(),
        query: "MX".to_owned(),
        outcome,
        why: None,
        answers: exchangers.iter().map(answer).collect(),
        answers_cut: 0,
        server: None,
        dnssec: None,
        at_us: 1,
        took_us: 20_000,
    };
    let sample = through("internet", at, no).to(&[&format!("ann@{domain}")]);
    sample.upstream(|it| (it.kind, it.lookups, it.host, it.port) = (UpstreamKind::Mx, vec![lookup], Some(format!("mx.{domain}")), Some(25)))
}

pub fn situations(at: WallMicros) -> Vec<Situation> {
    use LookupOutcome::{Found, NoSuchName, ServerFailure};
    let (mx1, mx2, other) = ("10 mx1.moves.example.", "20 mx2.moves.example.", "10 mx.elsewhere.example.");
    vec![
        trouble(
            Anomaly::DnsChanged,
            "the exchangers of a domain are others",
            vec![
                to("moves.example", at, 1, Found, &[mx1, mx2]).record(),
                to("moves.example", at + 4 * MINUTE, 2, Found, &[other]).record(),
            ],
        ),
        trouble(
            Anomaly::DnsChanged,
            "a domain is gone, and mail to it fails",
            std::iter::once(to("moves.example", at, 1, Found, &[mx1, mx2]).record())
                .chain(each(at + 4 * MINUTE, 3, 20 * SECOND, |at, no| {
                    let sample = to("moves.example", at, no, NoSuchName, &[]).upstream(|it| it.host = None);
                    sample.refused(Stage::RcptTo, 550, "5.1.2 relayscope: no such domain", Cause::DomainNotFound).record()
                }))
                .collect(),
        ),
        none(
            "the same exchangers in another order",
            vec![
                to("moves.example", at, 1, Found, &[mx1, mx2]).record(),
                to("moves.example", at + 4 * MINUTE, 2, Found, &[mx2, "10 MX1.moves.example"]).record(),
            ],
        ),
        none(
            "the domain's servers fail once",
            vec![
                to("moves.example", at, 1, Found, &[mx1, mx2]).record(),
                to("moves.example", at + 2 * MINUTE, 2, ServerFailure, &[]).record(),
                to("moves.example", at + 4 * MINUTE, 3, Found, &[mx1, mx2]).record(),
            ],
        ),
    ]
}
