//! Upstreams that fail, each in its own way.

use std::sync::Arc;

use super::*;
use crate::anomaly::samples::{MONDAY, mail, session};
use crate::anomaly::trial::{feed, judge, one};
use crate::anomaly::window::{HOUR, MINUTE, SECOND};
use crate::anomaly::{Book, Detector, Watch, book};
use crate::trace::*;

const REFUSED: &str = "198.51.100.25:587 refused the connection (nothing listens there, or a firewall rejects it)";
const TIMED_OUT: &str = "connecting to 198.51.100.25:25 timed out after 30 s (host down, or a firewall drops the packets)";
const DNS: &str = "DNS did not answer for main.example.net within 5 s";

/// A session whose hosts could not be had.
fn failed(at: WallMicros, no: u64, hosts: &[(&str, u16, Stage, &str)]) -> Record {
    let mut session = session(at, no);
    let upstream = Arc::make_mut(&mut session.upstream);
    upstream.offered.clear();
    upstream.ip = None;
    let tried = hosts.iter().map(|&(host, port, stage, error)| Tried {
        host: host.to_owned(),
        ip: Some([198, 51, 100, host.len() as u8].into()),
        port,
        stage,
        error: error.to_owned(),
        at_us: 5,
    });
    upstream.tried = tried.collect();
    let (_, _, stage, error) = *hosts.last().unwrap();
    session.outcome = Some(Outcome::of(State::Deferred, stage, Actor::Network, None, Some(error.to_owned())));
    session.ended = Ended { by: Actor::Network, stage, how: EndHow::ConnectFailure, commands: 0, detail: Some(error.to_owned()) };
    Record::Session(Box::new(session))
}

/// The client of each of these didn't wait for the host's greeting.
#[test]
fn a_host_that_never_greets_is_down_though_clients_leave_first() {
    let silent = |at, no, stage, error: &str| {
        let Record::Session(mut it) = failed(at, no, &[("main.example.net", 587, stage, error)]) else { panic!() };
        it.outcome = Some(Outcome::of(State::Aborted, stage, Actor::Client, None, None));
        (it.ended.by, it.ended.how) = (Actor::Client, EndHow::Close);
        Record::Session(it)
    };
    for (stage, error, words) in [
        (Stage::Banner, "no greeting within 35 s, when the client left", "connected, and then silent or closed"),
        (Stage::Connect, "no connection within 35 s, when the client left", "no answer (timed out)"),
    ] {
        let mut health = Health::new(&Options::default());
        feed(&mut health, &mail(MONDAY, 1).record());
        let at = MONDAY + HOUR;
        feed(&mut health, &silent(at, 2, stage, error));
        feed(&mut health, &silent(at + 5 * MINUTE, 3, stage, error));
        let found = judge(&mut health, at + 5 * MINUTE + 10 * SECOND);
        let summary = &one(&found, Anomaly::UpstreamDown).summary;
        assert!(summary.contains(words), "{summary}");
    }
}

fn watch(detector: impl Detector + 'static) -> Watch {
    let origin = Origin { node: "relay1".to_owned(), proxy_version: "0".to_owned(), config_digest: "0".to_owned() };
    Watch::with(vec![Box::new(detector)], Book::new(book::Options::default(), Arc::new(origin.into())))
}

#[test]
fn one_refused_connection_is_a_hiccup_and_two_are_an_outage() {
    let mut health = Health::new(&Options::default());
    feed(&mut health, &mail(MONDAY, 1).record());
    let at = MONDAY + HOUR;
    feed(&mut health, &failed(at, 2, &[("main.example.net", 587, Stage::Connect, REFUSED)]));
    feed(&mut health, &failed(at + SECOND, 3, &[("main.example.net", 587, Stage::Connect, REFUSED)]));
    assert_eq!(judge(&mut health, at + 10 * SECOND), []);
    feed(&mut health, &failed(at + 5 * MINUTE, 4, &[("main.example.net", 587, Stage::Connect, REFUSED)]));
    let found = judge(&mut health, at + 5 * MINUTE + 10 * SECOND);
    let finding = one(&found, Anomaly::UpstreamDown);
    assert_eq!(finding.severity, Severity::Critical);
    assert_eq!(finding.summary, "Upstream main can't be reached since 01:00 UTC: connection refused; last success 00:00 UTC");
    assert_eq!(
        finding.arithmetic,
        "main.example.net:587: 3 of 3 tries failed since 01:00 UTC (3 × connection refused), last success 00:00 UTC; threshold 2 that are 20 s apart"
    );
    assert_eq!((finding.fresh, finding.cause), (3, Some(Cause::ConnectionFailed)));
    assert!(finding.advice.contains("nothing listens"), "{}", finding.advice);
}

#[test]
fn an_outage_is_one_incident_that_ends_with_the_first_success() {
    let mut watch = watch(Health::new(&Options::default()));
    let mut entries = Vec::new();
    watch.observe(&mail(MONDAY, 1).record(), &mut entries);
    for no in 0..600 {
        watch.observe(&failed(MONDAY + no * SECOND, no, &[("main.example.net", 587, Stage::Connect, REFUSED)]), &mut entries);
    }
    watch.observe(&mail(MONDAY + 601 * SECOND, 700).record(), &mut entries);
    watch.tick(MONDAY + 620 * SECOND, &mut entries);
    let steps: Vec<IncidentStep> = entries.iter().map(|it| it.step).collect();
    assert_eq!(steps, [IncidentStep::Opened, IncidentStep::Resolved]);
    assert!(entries[0].at <= MONDAY + 60 * SECOND);
    assert!(entries[1].note.as_deref().is_some_and(|it| it.contains("answered at 00:10 UTC, after 600 tries")), "{:?}", entries[1].note);
}

#[test]
fn a_host_that_fails_over_is_a_warning_about_the_host() {
    let mut health = Health::new(&Options::default());
    for no in 0..4 {
        let record = mail(MONDAY + no * 15 * SECOND, no).upstream(|it| {
            it.host = Some("second.example.net".to_owned());
            let tried = Tried {
                host: "first.example.net".to_owned(),
                ip: None,
                port: 587,
                stage: Stage::Connect,
                error: REFUSED.to_owned(),
                at_us: 1,
            };
            it.tried = vec![tried];
        });
        feed(&mut health, &record.record());
    }
    let found = judge(&mut health, MONDAY + MINUTE);
    let finding = one(&found, Anomaly::UpstreamDown);
    assert_eq!(finding.severity, Severity::Warning);
    assert_eq!(finding.about.len(), 2);
    assert!(finding.summary.starts_with("Host first.example.net of upstream main doesn't answer"), "{}", finding.summary);
}

#[test]
fn a_host_that_lacks_what_a_message_needs_is_not_down() {
    let mut health = Health::new(&Options::default());
    for no in 0..4 {
        let record = mail(MONDAY + no * 15 * SECOND, no).upstream(|it| {
            it.host = Some("second.example.net".to_owned());
            it.tried = vec![Tried {
                host: "first.example.net".to_owned(),
                ip: Some([198, 51, 100, 1].into()),
                port: 587,
                stage: Stage::Ehlo,
                error: "it doesn't take 8-bit mail (8BITMIME), and mail isn't converted here".to_owned(),
                at_us: 1,
            }];
        });
        feed(&mut health, &record.record());
    }
    assert_eq!(judge(&mut health, MONDAY + MINUTE), []);
}

#[test]
fn a_session_passed_through_from_its_first_octet_reached_its_host() {
    let mut health = Health::new(&Options::default());
    feed(&mut health, &mail(MONDAY, 1).record());
    let at = MONDAY + HOUR;
    let refused = |at, no| failed(at, no, &[("main.example.net", 587, Stage::Connect, REFUSED)]);
    feed(&mut health, &refused(at, 2));
    feed(&mut health, &refused(at + 5 * MINUTE, 3));
    one(&judge(&mut health, at + 5 * MINUTE + 10 * SECOND), Anomaly::UpstreamDown);
    let mut passed = session(at + 6 * MINUTE, 4);
    let upstream = Arc::make_mut(&mut passed.upstream);
    upstream.offered.clear();
    upstream.tls = Some(Tls { version: "TLSv1.3".to_owned(), ..Tls::default() });
    upstream.spliced = Some(Spliced { client_octets: 900, upstream_octets: 4_000, starttls_at_us: None, alpn: Vec::new() });
    feed(&mut health, &Record::Session(Box::new(passed)));
    assert_eq!(judge(&mut health, at + 6 * MINUTE + 10 * SECOND), []);
}

#[test]
fn all_hosts_silent_on_port_25_is_a_blocked_port() {
    let mut health = Health::new(&Options::default());
    let hosts = [("a.example.net", 25, Stage::Connect, TIMED_OUT), ("bb.example.net", 25, Stage::Connect, TIMED_OUT)];
    feed(&mut health, &failed(MONDAY, 1, &hosts));
    feed(&mut health, &failed(MONDAY + 30 * SECOND, 2, &hosts));
    let found = judge(&mut health, MONDAY + 40 * SECOND);
    let finding = one(&found, Anomaly::PortBlocked);
    assert_eq!((finding.cause, finding.act), (Some(Cause::PortBlocked), Act::LocalAdmin));
}

#[test]
fn a_long_time_out_counts_from_its_beginning() {
    let mut health = Health::new(&Options::default());
    let slow = |at, no| {
        let Record::Session(mut it) = failed(at, no, &[("main.example.net", 587, Stage::Connect, TIMED_OUT)]) else { unreachable!() };
        it.duration_us = 30 * SECOND;
        Arc::make_mut(&mut it.upstream).tried[0].at_us = 30 * SECOND;
        Record::Session(it)
    };
    feed(&mut health, &slow(MONDAY, 1));
    assert_eq!(judge(&mut health, MONDAY + 31 * SECOND), [], "one try says nothing");
    feed(&mut health, &slow(MONDAY + 2 * SECOND, 2));
    let found = judge(&mut health, MONDAY + 33 * SECOND);
    let finding = one(&found, Anomaly::UpstreamDown);
    assert_eq!(finding.since, MONDAY);
    // Somebody got through while they waited.
    let mut health = Health::new(&Options::default());
    feed(&mut health, &mail(MONDAY + 25 * SECOND, 3).record());
    feed(&mut health, &slow(MONDAY, 1));
    feed(&mut health, &slow(MONDAY + 2 * SECOND, 2));
    assert_eq!(judge(&mut health, MONDAY + 33 * SECOND), []);
}

#[test]
fn exchangers_that_all_refuse_are_behind_a_blocked_port() {
    let mut health = Health::new(&Options::default());
    let refused = |at, no, host: &str| {
        let Record::Session(mut it) = failed(at, no, &[(host, 25, Stage::Connect, REFUSED)]) else { unreachable!() };
        Arc::make_mut(&mut it.upstream).kind = UpstreamKind::Mx;
        Record::Session(it)
    };
    for no in 0..3 {
        let host = Some(format!("mx{no}.x.example"));
        feed(&mut health, &mail(MONDAY, no).upstream(|it| (it.kind, it.host, it.port) = (UpstreamKind::Mx, host, Some(25))).record());
    }
    feed(&mut health, &refused(MONDAY + MINUTE, 10, "mx0.x.example"));
    feed(&mut health, &refused(MONDAY + 2 * MINUTE, 11, "mx0.x.example"));
    assert_eq!(judge(&mut health, MONDAY + 2 * MINUTE), [], "one that refuses is that one's matter");
    feed(&mut health, &refused(MONDAY + 2 * MINUTE, 12, "mx1.x.example"));
    feed(&mut health, &refused(MONDAY + 2 * MINUTE, 13, "mx2.x.example"));
    let found = judge(&mut health, MONDAY + 3 * MINUTE);
    let finding = one(&found, Anomaly::PortBlocked);
    assert!(finding.summary.contains("no mail exchanger answers on it, all refuse"), "{}", finding.summary);
}

#[test]
fn a_smart_host_whose_name_cannot_be_looked_up_is_dns() {
    let mut health = Health::new(&Options::default());
    for no in 0..3 {
        feed(&mut health, &failed(MONDAY + no * 30 * SECOND, no, &[("main.example.net", 587, Stage::Connect, DNS)]));
    }
    let found = judge(&mut health, MONDAY + 70 * SECOND);
    let finding = one(&found, Anomaly::DnsFailing);
    assert!(finding.summary.starts_with("The name main.example.net of upstream main can't be looked up"), "{}", finding.summary);
}

#[test]
fn exchangers_of_others_may_be_down_but_not_all_at_once() {
    let mut health = Health::new(&Options::default());
    let host = |no: u64| format!("mx{}.x.example", no % 5);
    let reach =
        |at, no: u64| mail(at, no).upstream(|it| (it.kind, it.host, it.port) = (UpstreamKind::Mx, Some(host(no)), Some(25))).record();
    let fail = |at, no: u64, host: &str| {
        let Record::Session(mut it) = failed(at, no, &[(host, 25, Stage::Connect, TIMED_OUT)]) else { unreachable!() };
        Arc::make_mut(&mut it.upstream).kind = UpstreamKind::Mx;
        Record::Session(it)
    };
    for no in 0..50 {
        feed(&mut health, &reach(MONDAY + no * MINUTE, no));
    }
    // Dead domains that never answered.
    for no in 0..30 {
        feed(&mut health, &fail(MONDAY + HOUR + no * MINUTE, 100 + no, &format!("dead{no}.example")));
    }
    assert_eq!(judge(&mut health, MONDAY + HOUR + 30 * MINUTE), []);
    for no in 0..4 {
        feed(&mut health, &fail(MONDAY + 2 * HOUR + no * 10 * SECOND, 200 + no, &host(no)));
    }
    let found = judge(&mut health, MONDAY + 2 * HOUR + 40 * SECOND);
    let finding = one(&found, Anomaly::PortBlocked);
    assert!(finding.arithmetic.starts_with("4 of 4 exchangers"), "{}", finding.arithmetic);
}

#[test]
fn coming_and_going_is_said_once() {
    let mut watch = watch(Health::new(&Options::default()));
    let mut entries = Vec::new();
    for round in 0..6 {
        let at = MONDAY + round * 8 * MINUTE;
        watch.observe(&mail(at, round).record(), &mut entries);
        for no in 0..4 {
            let at = at + MINUTE + no * 15 * SECOND;
            watch.observe(&failed(at, round * 10 + no, &[("main.example.net", 587, Stage::Connect, REFUSED)]), &mut entries);
        }
        watch.tick(at + 3 * MINUTE, &mut entries);
    }
    assert!(entries.iter().any(|it| it.anomaly == Anomaly::UpstreamFlapping), "{entries:#?}");
    assert!(entries.len() <= 12, "{}", entries.len());
}

#[test]
fn a_resolver_that_fails_is_told_from_a_domain_that_does() {
    let lookup = |name: &str, outcome| Lookup {
        name: name.to_owned(),
        query: "MX".to_owned(),
        outcome,
        why: None,
        answers: Vec::new(),
        answers_cut: 0,
        server: None,
        dnssec: None,
        at_us: 1,
        took_us: 5_000_000,
    };
    let asked = |at, no, name: &str, outcome| {
        mail(at, no).upstream(|it| (it.kind, it.lookups) = (UpstreamKind::Mx, vec![lookup(name, outcome)])).record()
    };
    let mut dns = super::Dns::new(&Options::default());
    for no in 0..20 {
        feed(&mut dns, &asked(MONDAY + no * 6 * MINUTE, no, "good.example", LookupOutcome::Found));
        feed(&mut dns, &asked(MONDAY + no * 6 * MINUTE, no, "broken.example", LookupOutcome::ServerFailure));
    }
    let found = judge(&mut dns, MONDAY + 2 * HOUR);
    let finding = one(&found, Anomaly::DnsFailing);
    assert_eq!((finding.severity, finding.about[0].value.as_str()), (Severity::Notice, "broken.example"));
    for no in 0..6 {
        feed(&mut dns, &asked(MONDAY + 3 * HOUR + no * SECOND, 50 + no, &format!("d{no}.example"), LookupOutcome::Timeout));
    }
    let found = judge(&mut dns, MONDAY + 3 * HOUR + 10 * SECOND);
    let finding = one(&found, Anomaly::DnsFailing);
    assert_eq!((finding.severity, finding.act), (Severity::Critical, Act::LocalAdmin));
    assert!(finding.arithmetic.starts_with("6 of 6 look-ups failed within 5 min, for 6 names"), "{}", finding.arithmetic);

    // A resolver that hangs after a busy time: each look-up takes its time, and few are made.
    let mut dns = super::Dns::new(&Options::default());
    let (hangs, names) = (MONDAY + HOUR, ["a.example", "b.example", "c.example"]);
    for no in 0..200 {
        feed(&mut dns, &asked(hangs - no * SECOND / 2 - 1, no, "good.example", LookupOutcome::Found));
        feed(&mut dns, &asked(hangs - no * SECOND / 2 - 2, 200 + no, "broken.example", LookupOutcome::ServerFailure));
    }
    for (no, name) in (0..).zip(names) {
        feed(&mut dns, &asked(hangs + (5 + no) * SECOND, 500 + no, name, LookupOutcome::Timeout));
    }
    assert_eq!(judge(&mut dns, hangs + 40 * SECOND), [], "it may be these names, and nothing else was asked");
    feed(&mut dns, &asked(hangs + 41 * SECOND, 510, "b.example", LookupOutcome::Timeout));
    let found = judge(&mut dns, hangs + 50 * SECOND);
    let finding = one(&found, Anomaly::DnsFailing);
    assert_eq!((finding.severity, finding.act), (Severity::Critical, Act::LocalAdmin));
    assert!(finding.arithmetic.contains("threshold 3 names and no answer for 30 s"), "{}", finding.arithmetic);
    // Three names that have been broken all the time are no matter of the resolver, however quiet it is.
    let mut dns = super::Dns::new(&Options::default());
    for round in 0..4 {
        for (no, name) in (0..).zip(names) {
            feed(&mut dns, &asked(MONDAY + round * MINUTE + no, round * 10 + no, name, LookupOutcome::ServerFailure));
        }
        feed(&mut dns, &asked(MONDAY + round * MINUTE + 10, 100 + round, "good.example", LookupOutcome::Found));
    }
    assert_eq!(judge(&mut dns, MONDAY + 4 * MINUTE), []);
}

#[test]
fn slow_is_measured_against_what_is_usual() {
    let mut slow = Slow::new(&Options::default());
    let took = |at, no, us| mail(at, no).with(|it| it.phases.end_of_data_us = Some(us)).record();
    for no in 0..240 {
        feed(&mut slow, &took(MONDAY + no * 30 * SECOND, no, 400_000 + no * 1_000));
        assert_eq!(judge(&mut slow, MONDAY + no * 30 * SECOND), []);
    }
    let at = MONDAY + 2 * HOUR;
    for no in 0..20 {
        feed(&mut slow, &took(at + no * 30 * SECOND, 500 + no, 9_000_000));
    }
    let found = judge(&mut slow, at + 10 * MINUTE);
    let finding = one(&found, Anomaly::UpstreamSlow);
    assert_eq!((finding.about[2].value.as_str(), finding.fresh), ("end_of_data", 20), "not all that came before");
    feed(&mut slow, &took(at + 10 * MINUTE, 530, 9_000_000));
    feed(&mut slow, &took(at + 10 * MINUTE + SECOND, 531, 400_000));
    assert_eq!(one(&judge(&mut slow, at + 10 * MINUTE + 10 * SECOND), Anomaly::UpstreamSlow).fresh, 1);
    assert!(finding.summary.contains("the reply to end-of-data takes 9.00 s (nine of ten), usually 0."), "{}", finding.summary);
    let mut next = Slow::new(&Options::default());
    assert!(next.restore(&slow.keep()));
    for no in 0..20 {
        feed(&mut next, &took(at + HOUR + no * SECOND, 600 + no, 9_000_000));
    }
    assert_eq!(judge(&mut next, at + HOUR + MINUTE).len(), 1, "what is usual outlives the process");
}

#[test]
fn a_storm_of_421_and_too_many_connections_are_two_things() {
    let mut closing = Closing::new(&Options::default());
    let refused = |at, no, text| mail(at, no).refused(Stage::MailFrom, 421, text, Cause::RemoteSystemError).record();
    for no in 0..40 {
        let at = MONDAY + no * SECOND;
        feed(&mut closing, &if no % 2 == 0 { refused(at, no, "4.3.2 Service shutting down") } else { mail(at, no).record() });
    }
    let found = judge(&mut closing, MONDAY + 50 * SECOND);
    let finding = one(&found, Anomaly::UpstreamClosing);
    assert!(finding.summary.contains("20 of 40 (50 %) within 15 min; the last words: 4.3.2 Service shutting down"), "{}", finding.summary);
    let at = MONDAY + HOUR;
    for no in 0..3 {
        let words = "greeted with 421 4.7.0 Too many concurrent SMTP connections";
        feed(&mut closing, &failed(at + no, no, &[("main.example.net", 587, Stage::Banner, words)]));
    }
    let found = judge(&mut closing, at + 10 * SECOND);
    one(&found, Anomaly::ConnectionLimit);
}

#[test]
fn a_single_421_says_nothing() {
    let mut closing = Closing::new(&Options::default());
    let idle = mail(MONDAY, 1).refused(Stage::MailFrom, 421, "4.4.2 Timeout, closing connection", Cause::RemoteSystemError);
    feed(&mut closing, &idle.record());
    feed(&mut closing, &mail(MONDAY, 2).refused(Stage::MailFrom, 421, "4.3.2 Service shutting down", Cause::RemoteSystemError).record());
    assert_eq!(judge(&mut closing, MONDAY + 10 * SECOND), []);
}

#[test]
fn the_proxys_own_421_is_no_closing() {
    let mut closing = Closing::new(&Options::default());
    for (stage, text, cause) in [
        (Stage::Auth, "relayscope: smart host main.example.net:587: refused the proxy's login as ann: 535", Cause::AuthFailed),
        (Stage::StartTls, "relayscope: smart host main.example.net:587: TLS failed: certificate expired", Cause::TlsFailure),
        (Stage::Banner, "relayscope: smart host main.example.net:587: the smart host did not greet in time", Cause::RemoteSystemError),
    ] {
        for no in 0..20 {
            feed(&mut closing, &mail(MONDAY + no * 2 * SECOND, no).refused(stage, 421, text, cause).record());
        }
        assert_eq!(judge(&mut closing, MONDAY + MINUTE), [], "{text}");
    }
}

#[test]
fn too_many_connections_are_told_from_too_much_mail() {
    for words in ["4.7.0 Too many concurrent SMTP connections", "connection limit exceeded", "Maximum sessions reached for your IP"] {
        assert!(names_connections(words), "{words}");
    }
    for words in ["4.7.1 Too many messages", "5.7.1 Daily quota exceeded", "closing connection, idle"] {
        assert!(!names_connections(words), "{words}");
    }
}
