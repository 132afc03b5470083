//! Smugglers, probes, scanners, and holes in the trace.

use super::*;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::samples::{MONDAY, client, id, mail, reply, session};
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{MINUTE, SECOND};
use crate::diagnose::Cause;
use crate::smtp::Stage;
use crate::trace::{Actor, Anomaly, EndHow, Flag, Gap, Outcome, Record, Session, Severity, State};

fn raised(detector: &mut dyn Detector, records: impl IntoIterator<Item = Record>) -> Vec<Finding> {
    let mut last = 0;
    for record in records {
        let seen = Seen::of(&record);
        last = seen.at;
        detector.observe(&seen);
    }
    let mut findings = Findings::default();
    detector.judge(last + 10 * SECOND, &mut findings);
    findings.raised
}

fn sessions(count: u64, change: impl Fn(&mut Session)) -> Vec<Record> {
    let one = |no: u64| {
        let mut session = session(MONDAY + no * MINUTE, no);
        change(&mut session);
        Record::Session(Box::new(session))
    };
    (0..count).map(one).collect()
}

fn one_summary(found: &[Finding]) -> (Anomaly, Severity, &str) {
    let [finding] = found else { panic!("{found:?}") };
    (finding.anomaly, finding.severity, &finding.summary)
}

#[test]
fn a_lone_dot_between_bare_line_ends_is_told_at_once() {
    let mut smuggling = smuggling::Smuggling::new(Options::default());
    let dot = mail(MONDAY, 1).client("203.0.113.9").flag(Flag::BareNewline).flag(Flag::SmugglingGuard).record();
    let found = raised(&mut smuggling, [dot]);
    let words = "203.0.113.9 sent a message with a lone dot between bare line ends: an attempt at SMTP smuggling, or a broken program";
    assert_eq!(one_summary(&found), (Anomaly::SmugglingAttempts, Severity::Warning, words));
}

#[test]
fn bare_newlines_are_news_only_from_those_who_never_wrote_them() {
    let bare = |no: u64| mail(MONDAY + no * SECOND, no).flag(Flag::BareNewline).record();
    let clean = |no: u64| mail(MONDAY + no * SECOND, no).record();
    assert_eq!(raised(&mut smuggling::Smuggling::new(Options::default()), (0..200).map(bare)), []);
    let mut smuggling = smuggling::Smuggling::new(Options::default());
    let found = raised(&mut smuggling, (0..60).map(clean).chain((60..70).map(bare)));
    assert_eq!(
        one_summary(&found),
        (Anomaly::SmugglingAttempts, Severity::Notice, "10.0.0.12 writes CR or LF alone since 00:01 UTC: it never did before")
    );
}

#[test]
fn injections_are_told_by_their_side() {
    let mut injection = injection::Injection::default();
    let found = raised(&mut injection, sessions(1, |it| it.flags.push(Flag::TlsInjection)));
    let words = "203.0.113.9 sent commands behind STARTTLS, in clear, to have them taken for said in TLS (1 session)";
    assert_eq!(one_summary(&found), (Anomaly::TlsInjection, Severity::Warning, words));
    let mut injection = injection::Injection::default();
    let upstream = |it: &mut Session| {
        it.flags.push(Flag::TlsInjection);
        it.ended.by = Actor::Upstream;
    };
    let found = raised(&mut injection, sessions(1, upstream));
    assert_eq!((one_summary(&found).1, found[0].about[0].value.as_str()), (Severity::Critical, "main.example.net"));
}

#[test]
fn who_may_not_relay_and_tries_again_is_told() {
    let refused = |it: &mut Session| {
        (it.ended.by, it.ended.how, it.ended.stage) = (Actor::Proxy, EndHow::Refused, Stage::Connect);
        it.outcome = Some(Outcome::of(
            State::Aborted,
            Stage::Connect,
            Actor::Proxy,
            Some(reply(554, "relayscope: this client is not allowed")),
            None,
        ));
    };
    let mut relaying = relaying::Relaying::new(Options::default());
    assert_eq!(raised(&mut relaying, sessions(2, refused)), []);
    let found = raised(&mut relaying, sessions(1, refused));
    assert_eq!(
        one_summary(&found),
        (Anomaly::OpenRelayProbes, Severity::Notice, "203.0.113.9 looks for an open relay: refused 3 times since 00:00 UTC")
    );
    let own = |it: &mut Session| {
        refused(it);
        it.client = client("10.0.0.77");
    };
    let found = raised(&mut relaying::Relaying::new(Options::default()), sessions(3, own));
    assert_eq!(one_summary(&found).1, Severity::Warning);
    // A recipient of a foreign domain, three times in one transaction.
    let to = ["a@elsewhere.example", "b@elsewhere.example", "c@elsewhere.example"];
    let probe = mail(MONDAY, 1).inbound().client("203.0.113.9").to(&to).refused(Stage::RcptTo, 550, "5.7.1 not here", Cause::RelayDenied);
    assert_eq!(raised(&mut relaying::Relaying::new(Options::default()), [probe.clone().record()]).len(), 1);
    // Outwards the smart host refuses the proxy itself.
    let outbound = probe.with(|it| it.direction = crate::trace::Direction::Outbound).record();
    assert_eq!(raised(&mut relaying::Relaying::new(Options::default()), [outbound]), []);
}

#[test]
fn scanners_are_told_from_monitoring_and_from_mail_servers() {
    let foreign = |it: &mut Session| it.flags.push(Flag::ForeignProtocol);
    let found = raised(&mut scanner::Scanner::new(Options::default()), sessions(12, foreign));
    let words = "203.0.113.9 sends no mail, and looks around: 12 sessions since 00:00 UTC spoke another protocol, or before their turn";
    assert_eq!(one_summary(&found), (Anomaly::Scanner, Severity::Notice, words));
    let silent = |ip: &'static str| {
        move |it: &mut Session| {
            it.ended.commands = 0;
            it.client = client(ip);
        }
    };
    assert_eq!(raised(&mut scanner::Scanner::new(Options::default()), sessions(60, silent("203.0.113.9"))).len(), 1);
    assert_eq!(raised(&mut scanner::Scanner::new(Options::default()), sessions(60, silent("10.0.0.5"))), []);
    let mut scanner = scanner::Scanner::new(Options::default());
    let with_mail = std::iter::once(mail(MONDAY, 1).client("203.0.113.9").record()).chain(sessions(60, silent("203.0.113.9")));
    assert_eq!(raised(&mut scanner, with_mail), []);
}

#[test]
fn a_hole_in_the_trace_is_critical() {
    let gap =
        Gap { id: id(MONDAY, 1), from: MONDAY, until: MONDAY + MINUTE, records_lost: 1_200, why: "no space left on device".to_owned() };
    let found = raised(&mut gap::Gaps::default(), [Record::Gap(gap)]);
    let words = "the trace has a hole: 1,200 records were lost since 00:00 UTC, while mail flowed on";
    assert_eq!(one_summary(&found), (Anomaly::TracingGap, Severity::Critical, words));
    assert!(found[0].arithmetic.ends_with("the latest hole from 00:00 UTC for 60 s: no space left on device"), "{}", found[0].arithmetic);
}

#[test]
fn private_addresses_are_own_machines() {
    for (ip, private) in [("10.1.2.3", true), ("192.168.1.1", true), ("172.32.0.1", false), ("fd00::1", true), ("2001:db8::1", false)] {
        assert_eq!(is_private(ip.parse().unwrap()), private, "{ip}");
    }
}
