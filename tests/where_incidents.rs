//! Incidents beside messages: which stand there, in which order, and what they cost the store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

mod stories;

use std::cell::RefCell;

use relayscope::cli::locate;
use relayscope::path::answer::Hole;
use relayscope::path::{self, Answer, Manner, Traces, What};
use relayscope::store::{Field, Page, PageRequest, Query, Tally, Term};
use relayscope::trace::*;
use stories::golden::{ask, golden, look};
use stories::{Shelf, Tale, at, greylisted, incident, morning};

fn changed(number: u64, since: &str, domain: &str) -> Incident {
    Incident {
        change: Some(Change {
            what: "MX".into(),
            before: "10 mx1.example.org".into(),
            after: "10 mx9.example.org".into(),
            last_before: Some(at("09:40:00")),
        }),
        ..incident(number, Anomaly::DnsChanged, since, since, &[(AboutKind::Domain, domain), (AboutKind::Dns, "MX")])
    }
}

fn shelf(messages: Vec<Record>, incidents: Vec<Incident>) -> Shelf {
    let mut records = messages;
    records.extend(incidents.into_iter().map(|it| Record::Incident(Box::new(it))));
    Shelf { records, running: true }
}

/// The anomalies beside the only message.
fn beside(shelf: &Shelf, question: &str) -> Vec<Anomaly> {
    let answer = ask(shelf, question);
    assert_eq!(answer.messages.len(), 1, "{question}");
    answer.messages[0].incidents.iter().map(|it| it.anomaly.0).collect()
}

#[test]
fn a_message_is_shown_with_what_it_is_part_of() {
    let critical = Incident {
        severity: Severity::Critical,
        ..incident(1, Anomaly::UpstreamClosing, "10:08:00", "10:50:00", &[(AboutKind::Upstream, "smart")])
    };
    let shelf = shelf(greylisted(3, false), vec![critical, changed(2, "09:58:00", "example.org")]);
    golden("incidents", &ask(&shelf, "judy@example.org"));
    let said = locate::render(&ask(&shelf, "judy@example.org"), false, &look(None)).as_str().to_owned();
    assert!(
        said.contains("Part of a wider trouble: critical, \"Trouble number 1\" since 11:08:00, 312 events (relayscope anomalies 01"),
        "{said}"
    );
    assert!(
        said.contains("MX of example.org changed 12 min before the first failure, 10:58:00: 10 mx1.example.org is now 10 mx9.example.org"),
        "{said}"
    );
}

#[test]
fn an_incident_of_another_cause_is_only_of_the_same_time() {
    let said = |cause: Option<Cause>, samples: Vec<RecordId>| {
        let it =
            Incident { cause, samples, ..incident(1, Anomaly::UpstreamClosing, "10:08:00", "10:50:00", &[(AboutKind::Upstream, "smart")]) };
        let mut attempts = greylisted(3, false);
        for attempt in &mut attempts {
            if let Record::Transaction(it) = attempt {
                it.envelope.recipients.iter_mut().for_each(|recipient| recipient.cause = Some(Cause::Greylisted));
                it.outcome.cause = Some(Cause::Greylisted);
            }
        }
        let shelf = shelf(attempts, vec![it]);
        let text = locate::render(&ask(&shelf, "judy@example.org"), false, &look(None)).as_str().to_owned();
        text.lines().find(|line| line.contains("Trouble number 1")).and_then(|line| line.split_once(':')).map(|it| it.0.to_owned())
    };
    let part = Some("Part of a wider trouble".to_owned());
    assert_eq!(said(Some(Cause::Greylisted), Vec::new()), part);
    assert_eq!(said(None, Vec::new()), part);
    assert_eq!(said(Some(Cause::Unclassified), Vec::new()), Some("At the same time".to_owned()), "nobody must act on either");
    for other in [Cause::MailboxFull, Cause::SendingLimitReached, Cause::ConnectionFailed] {
        assert_eq!(said(Some(other), Vec::new()), None, "{other} can't explain greylisting");
    }
    let attempt = greylisted(3, false).first().map(Record::id).unwrap();
    assert_eq!(said(Some(Cause::MailboxFull), vec![attempt]), part, "it names this one");
}

/// A host that takes no TLS any more, and says that a mailbox is full: one has nothing to do with the other, though that very session was
/// noticed.
#[test]
fn what_an_anomaly_cannot_explain_does_not_stand_beside_it() {
    let is_beside = |anomaly, cause: Option<Cause>, stage: Stage, is_named: bool| {
        let mut attempts = greylisted(1, false);
        for record in &mut attempts {
            let Record::Transaction(it) = record else { continue };
            it.envelope.recipients.iter_mut().for_each(|recipient| recipient.cause = cause);
            (it.outcome.cause, it.outcome.stage) = (cause, stage);
        }
        let samples = if is_named { vec![attempts[0].id()] } else { Vec::new() };
        let it = Incident { samples, ..incident(1, anomaly, "10:00:00", "10:50:00", &[(AboutKind::Host, "smtp.example.net")]) };
        !beside(&shelf(attempts, vec![it]), "judy@example.org").is_empty()
    };
    for is_named in [false, true] {
        for anomaly in [Anomaly::StarttlsStripped, Anomaly::TlsDowngrade] {
            for cause in [Cause::TlsFailure, Cause::EncryptionRequired] {
                assert!(is_beside(anomaly, Some(cause), Stage::RcptTo, is_named), "{anomaly} {cause}");
            }
            assert!(is_beside(anomaly, None, Stage::StartTls, is_named), "{anomaly}: put off under tls = required");
            for cause in [Cause::MailboxFull, Cause::RecipientUnknown, Cause::Greylisted] {
                assert!(!is_beside(anomaly, Some(cause), Stage::RcptTo, is_named), "{anomaly} {cause}");
            }
        }
        assert!(!is_beside(Anomaly::PeerChanged, Some(Cause::MailboxFull), Stage::RcptTo, is_named));
        assert!(!is_beside(Anomaly::UpstreamSlow, Some(Cause::MailboxFull), Stage::RcptTo, is_named));
    }
    assert!(is_beside(Anomaly::RejectRatio, Some(Cause::MailboxFull), Stage::RcptTo, true), "it counts this refusal");
}

#[test]
fn what_has_all_in_common_and_was_then_stands_there() {
    use AboutKind::*;
    let is_beside = |about: &[(AboutKind, &str)]| {
        let it = incident(1, Anomaly::VolumeSpike, "10:00:00", "10:30:00", about);
        !beside(&shelf(greylisted(3, false), vec![it]), "judy@example.org").is_empty()
    };
    for about in [
        (Upstream, "smart"),
        (Host, "SMTP.example.net"),
        (Host, "198.51.100.25"),
        (Client, "192.0.2.10"),
        (Listener, "submission"),
        (Sender, "Alice@example.com"),
        (Recipient, "judy@example.org"),
        (Domain, "example.org"),
    ] {
        assert!(is_beside(&[about]), "{about:?}");
    }
    for about in
        [(Upstream, "other"), (Client, "192.0.2.11"), (Recipient, "bob@example.org"), (Domain, "org"), (User, "judy"), (Phase, "connect")]
    {
        assert!(!is_beside(&[about]), "{about:?}");
    }
    assert!(is_beside(&[(Upstream, "smart"), (Period, "day")]));
    assert!(!is_beside(&[(Upstream, "smart"), (Domain, "elsewhere.example")]), "another destination of the same smart host");
    assert!(!is_beside(&[]), "of many at once, and not of this");
}

#[test]
fn time_decides() {
    let about = [(AboutKind::Upstream, "smart")];
    let with = |it: Incident| beside(&shelf(greylisted(3, false), vec![it]), "judy@example.org").len();
    let ended = |since, last| Incident { step: IncidentStep::Resolved, ..incident(1, Anomaly::UpstreamSlow, since, last, &about) };
    assert_eq!(with(ended("08:00:00", "09:00:00")), 0, "over an hour before");
    assert_eq!(with(ended("08:00:00", "10:12:00")), 1);
    assert_eq!(with(incident(1, Anomaly::UpstreamSlow, "08:00:00", "09:00:00", &about)), 1, "it is open still");
    assert_eq!(with(incident(1, Anomaly::UpstreamSlow, "10:52:00", "10:53:00", &about)), 1, "its first event may be a little later");
    assert_eq!(with(incident(1, Anomaly::UpstreamSlow, "10:58:00", "10:59:00", &about)), 0, "it began afterwards");
    assert_eq!(with(changed(1, "10:50:00", "example.org")), 0, "a change explains nothing that was before it");
    assert_eq!(with(changed(1, "10:12:00", "example.org")), 1);
}

#[test]
fn an_incident_that_names_the_attempt_stands_first_and_at_most_three_stand_there() {
    let about = [(AboutKind::Upstream, "smart")];
    let messages = greylisted(3, false);
    let sample = messages[1].id();
    let mut incidents: Vec<Incident> = [Anomaly::UpstreamSlow, Anomaly::UpstreamClosing, Anomaly::ConnectionLimit, Anomaly::RejectRatio]
        .into_iter()
        .zip(1..)
        .map(|(anomaly, number)| incident(number, anomaly, "10:05:00", "10:50:00", &about))
        .collect();
    // One of many at once: nothing but its examples ties it.
    let named = Incident {
        samples: vec![sample],
        severity: Severity::Notice,
        ..incident(9, Anomaly::MailboxStaysFull, "10:05:00", "10:50:00", &[])
    };
    let wider = incidents[1].incident;
    incidents[0].part_of = Some(wider);
    incidents.push(named);
    let answer = ask(&shelf(messages, incidents), "judy@example.org");
    let message = &answer.messages[0];
    let anomalies: Vec<Anomaly> = message.incidents.iter().map(|it| it.anomaly.0).collect();
    assert_eq!(anomalies, [Anomaly::MailboxStaysFull, Anomaly::UpstreamClosing, Anomaly::ConnectionLimit]);
    assert_eq!(message.incidents_more, 1, "the slow one is explained by another that stands there");
    assert_eq!(message.incidents[0].concerns[0].kind, "attempt");
    let said = locate::render(&answer, false, &look(None)).as_str().to_owned();
    assert!(said.contains("1 more incident of that time may have to do with it."), "{said}");
}

#[test]
fn how_it_stands_now_is_told_though_it_ended_long_after() {
    let about = [(AboutKind::Upstream, "smart")];
    let mut messages = greylisted(1, false);
    for record in &mut messages {
        let Record::Transaction(it) = record else { continue };
        it.at = at("02:00:00");
    }
    let opened = incident(1, Anomaly::UpstreamClosing, "01:50:00", "02:00:00", &about);
    let mut over = incident(2, Anomaly::UpstreamClosing, "01:50:00", "09:00:00", &about);
    (over.id, over.incident, over.step) = (RecordId::from_parts(at("09:00:00") / 1000, 2), opened.incident, IncidentStep::Resolved);
    let answer = ask(&shelf(messages, vec![opened, over]), "judy@example.org");
    let beside = &answer.messages[0].incidents;
    assert_eq!(beside.len(), 1);
    assert_eq!(beside[0].resolved_at.map(|at| at.0), Some(at("09:00:00")));
    let said = locate::render(&answer, false, &look(None)).as_str().to_owned();
    assert!(said.contains("02:50:00 to 10:00:00, 312 events"), "{said}");
}

#[test]
fn hostile_words_of_an_incident_stay_words() {
    let evil = "\u{1b}]0;owned\u{7}\u{202e}\r\n250 Accepted";
    let mut bad = changed(1, "09:58:00", "example.org");
    bad.summary = evil.into();
    bad.change.as_mut().unwrap().after = evil.into();
    bad.change.as_mut().unwrap().what = evil.into();
    let other =
        Incident { summary: evil.into(), ..incident(2, Anomaly::UpstreamSlow, "10:05:00", "10:50:00", &[(AboutKind::Upstream, "smart")]) };
    let answer = ask(&shelf(morning(), vec![bad, other]), "alice@example.com");
    for (full, width) in [(false, None), (true, None), (true, Some(80))] {
        let screen = locate::render(&answer, full, &look(width));
        assert!(screen.as_str().contains("\\x1b]0;owned"));
        for c in screen.as_str().chars() {
            assert!(c == '\n' || !(c.is_control() || c == '\u{202e}'), "{c:?}");
        }
    }
}

/// A shelf that notes what it is asked.
struct Noted(Shelf, RefCell<Vec<Query>>);

impl Traces for Noted {
    type Error = std::convert::Infallible;

    fn query(&self, query: &Query, page: &PageRequest) -> Result<Page, Self::Error> {
        self.1.borrow_mut().push(query.clone());
        self.0.query(query, page)
    }

    fn tally(&self, query: &Query, by: &[Field]) -> Result<Tally, Self::Error> {
        self.0.tally(query, by)
    }

    fn reach(&self) -> Result<Option<(WallMicros, WallMicros)>, Self::Error> {
        self.0.reach()
    }

    fn is_running(&self) -> bool {
        true
    }

    fn hole_now(&self) -> Option<Hole> {
        None
    }
}

#[test]
fn incidents_are_asked_for_once_and_only_where_something_failed() {
    let about = [(AboutKind::Upstream, "smart")];
    let it = incident(1, Anomaly::UpstreamSlow, "10:05:00", "10:50:00", &about);
    let traces = Noted(shelf(morning(), vec![it]), RefCell::default());
    let asked = |question: &str| -> (Answer, usize) {
        traces.1.borrow_mut().clear();
        let now = at("11:00:00");
        let what = What::parse(question, jiff::Timestamp::from_microsecond(now as i64).unwrap(), &jiff::tz::TimeZone::UTC).unwrap();
        let answer = path::find(&traces, &what, Manner { limit: 20, now, outside: None }).unwrap();
        let of_incidents = |query: &&Query| {
            query.all.iter().any(|term| matches!(term, Term::Kind(RecordKind::Incident)) || format!("{term:?}").contains("Incident("))
        };
        let count = traces.1.borrow().iter().filter(of_incidents).count();
        (answer, count)
    };
    let (many, queries) = asked("alice@example.com");
    assert!(many.messages.iter().filter(|it| !it.incidents.is_empty()).count() > 3);
    assert_eq!(queries, 1);
    let (well, queries) = asked("<accepted.1@mail.example.com>");
    assert_eq!((well.messages[0].incidents.len(), queries), (0, 0));
    let (passed, _) = asked("state:accepted");
    let of_passed = passed.messages.iter().find(|it| it.message_id.as_deref() == Some("twice.10@mail.example.com")).unwrap();
    assert_eq!(of_passed.incidents.len(), 1, "in doubt first, then accepted: the failure is explained all the same");
}

/// The anomalies that may be why nothing was seen, and how many more there are.
fn why(shelf: &Shelf, question: &str) -> (Vec<Anomaly>, u32) {
    let seen = ask(shelf, question).never_seen.unwrap();
    (seen.incidents.iter().map(|it| it.anomaly.0).collect(), seen.incidents_more)
}

#[test]
fn what_was_never_seen_is_shown_with_what_may_be_why() {
    use AboutKind::*;
    let down = Incident {
        severity: Severity::Critical,
        ..incident(1, Anomaly::UpstreamDown, "09:55:00", "09:58:00", &[(Upstream, "smart"), (Host, "smtp.example.net")])
    };
    let silent = incident(2, Anomaly::Silence, "08:00:00", "10:50:00", &[(Listener, "submission")]);
    let lost = Incident { step: IncidentStep::Resolved, ..incident(3, Anomaly::TracingGap, "09:00:00", "09:10:00", &[]) };
    let shelf = shelf(morning(), vec![silent, lost, down]);
    golden("never_seen_incidents", &ask(&shelf, "bob@exmaple.org"));
    // What ended one of the sessions listed stands first.
    assert_eq!(why(&shelf, "bob@exmaple.org"), (vec![Anomaly::UpstreamDown, Anomaly::Silence, Anomaly::TracingGap], 0));
    let seen = ask(&shelf, "bob@exmaple.org").never_seen.unwrap();
    let concerns: Vec<&str> = seen.incidents[0].concerns.iter().map(|it| it.kind.as_str()).collect();
    assert_eq!(concerns, ["session"]);
    let words = "This may be why: clients are turned away before MAIL FROM (critical: \"Trouble number 1\" since 2026-11-23 09:55:00 UTC).";
    assert!(seen.verdict.contains(words), "{}", seen.verdict);
    assert!(seen.next.iter().any(|step| step.contains(": See to it. All of it: relayscope anomalies ")), "{:?}", seen.next);
    // A message that was seen says nothing of them.
    assert!(ask(&shelf, "<accepted.1@mail.example.com>").never_seen.is_none());
}

#[test]
fn only_what_can_be_why_stands_there() {
    use AboutKind::*;
    // alice@example.com sent from 192.0.2.10 before; "from:alice…" to somebody who is in no record.
    let of_alice = "from:alice@example.com to:lost@example.org";
    let is_why = |it: Incident, question: &str| !why(&shelf(morning(), vec![it]), question).0.is_empty();
    let now = |anomaly, about: &[(AboutKind, &str)]| incident(1, anomaly, "09:50:00", "10:50:00", about);
    let silent = |about: &[(AboutKind, &str)]| is_why(now(Anomaly::Silence, about), of_alice);
    for about in [&[][..], &[(Listener, "submission")], &[(Client, "192.0.2.10")], &[(Sender, "Alice@example.com")], &[(User, "alice")]] {
        assert!(silent(about), "{about:?}");
    }
    for about in [(Client, "192.0.2.99"), (Sender, "carol@example.com"), (User, "crm"), (Domain, "elsewhere.example")] {
        assert!(!silent(&[about]), "{about:?}");
    }
    // Of a Message-ID alone nobody knows whose it is, and a machine that is silent may be its sender.
    assert!(is_why(now(Anomaly::Silence, &[(Client, "192.0.2.99")]), "<lost.77@mail.example.com>"));

    // An upstream that is down leaves sessions; where there are none, clients were not turned away.
    let down = |name| now(Anomaly::UpstreamDown, &[(Upstream, name)]);
    assert!(is_why(down("smart"), of_alice));
    assert!(!is_why(down("other"), of_alice));
    let before =
        Incident { step: IncidentStep::Resolved, ..incident(1, Anomaly::UpstreamDown, "08:00:00", "09:00:00", &[(Upstream, "smart")]) };
    assert!(!is_why(before, of_alice), "it was over before these sessions");

    assert!(is_why(now(Anomaly::AuthAccountFails, &[(Upstream, "smart"), (User, "alice@example.com")]), of_alice));
    assert!(!is_why(now(Anomaly::AuthAccountFails, &[(Upstream, "smart"), (User, "carol@example.com")]), of_alice));
    assert!(is_why(changed(1, "09:58:00", "example.org"), of_alice), "mail for it may go elsewhere");
    assert!(!is_why(changed(1, "09:58:00", "example.net"), of_alice));
    assert!(is_why(now(Anomaly::CertificateExpiring, &[(Client, "192.0.2.10"), (Part, "certificate")]), of_alice));
    assert!(!is_why(now(Anomaly::CertificateExpiring, &[(Host, "smtp.example.net"), (Part, "certificate")]), of_alice));
    for anomaly in [Anomaly::VolumeSpike, Anomaly::ExportFailing, Anomaly::SendingLimitNear, Anomaly::Scanner, Anomaly::UpstreamSlow] {
        assert!(!is_why(now(anomaly, &[(Client, "192.0.2.10")]), of_alice), "{anomaly}");
    }

    // The time that was asked for decides, and where none was, the last day.
    let on_sunday = |since, last| Incident { step: IncidentStep::Resolved, ..incident(1, Anomaly::TracingGap, since, last, &[]) };
    assert!(is_why(on_sunday("09:00:00", "09:10:00"), of_alice));
    assert!(!is_why(on_sunday("09:00:00", "09:10:00"), &format!("{of_alice} since:10:00")));
    assert!(!is_why(now(Anomaly::TracingGap, &[]), &format!("{of_alice} until:09:30")));
}

#[test]
fn of_many_the_likeliest_are_told() {
    use AboutKind::*;
    let many = (0..6).map(|number| incident(number, Anomaly::Silence, "09:00:00", "10:50:00", &[(Listener, &format!("port{number}"))]));
    let theirs = incident(9, Anomaly::Silence, "10:00:00", "10:50:00", &[(Client, "192.0.2.10")]);
    let part = incident(10, Anomaly::TracingGap, "10:00:00", "10:50:00", &[]);
    let mut all: Vec<Incident> = many.collect();
    let narrower = Incident { part_of: Some(part.incident), ..incident(11, Anomaly::Silence, "10:00:00", "10:50:00", &[(Listener, "x")]) };
    all.extend([theirs, part, narrower]);
    let shelf = shelf(morning(), all);
    let seen = ask(&shelf, "from:alice@example.com to:lost@example.org").never_seen.unwrap();
    assert_eq!((seen.incidents.len(), seen.incidents_more), (3, 5), "one is part of another");
    assert_eq!(seen.incidents[0].concerns[0].value, "192.0.2.10");
}

#[test]
fn who_left_by_itself_failed_by_nothing_that_others_were_refused() {
    use AboutKind::*;
    let left = || {
        let tale = Tale::new(7, "10:10:00", "alice@example.com").to("judy@example.org", "250 2.1.5 Ok");
        tale.breaks(State::Aborted, Stage::RcptTo, Actor::Client, "the client closed the connection before the message").record()
    };
    let is_beside = |it: Incident| !beside(&shelf(vec![left()], vec![it]), "judy@example.org").is_empty();
    let then = |anomaly, cause| Incident { cause, ..incident(1, anomaly, "10:00:00", "10:30:00", &[(Upstream, "smart")]) };
    assert!(!is_beside(then(Anomaly::SendingLimitReached, Some(Cause::SendingLimitReached))));
    assert!(!is_beside(then(Anomaly::UpstreamDown, Some(Cause::TlsFailure))), "it was answered");
    assert!(!is_beside(then(Anomaly::UpstreamClosing, None)));
    assert!(is_beside(then(Anomaly::UpstreamSlow, None)), "it may have waited too long");
    let sample = Incident { samples: vec![left().id()], ..then(Anomaly::SendingLimitReached, Some(Cause::SendingLimitReached)) };
    assert!(is_beside(sample), "it names this one");
}

#[test]
fn what_somebody_tried_concerns_only_the_messages_that_it_names() {
    use AboutKind::*;
    let messages = greylisted(3, false);
    let sample = messages[1].id();
    for anomaly in [Anomaly::SmugglingAttempts, Anomaly::TlsInjection, Anomaly::OpenRelayProbes, Anomaly::Scanner] {
        let it = incident(1, anomaly, "10:00:00", "10:50:00", &[(Client, "192.0.2.10")]);
        assert_eq!(beside(&shelf(messages.clone(), vec![it.clone()]), "judy@example.org"), [], "{anomaly}");
        let named = Incident { samples: vec![sample], ..it };
        assert_eq!(beside(&shelf(messages.clone(), vec![named]), "judy@example.org"), [anomaly]);
    }
}

#[test]
fn an_upstream_that_cannot_be_used_is_no_reason_of_what_it_answered() {
    let down = Incident {
        cause: Some(Cause::TlsFailure),
        ..incident(1, Anomaly::UpstreamDown, "10:05:00", "10:50:00", &[(AboutKind::Upstream, "smart")])
    };
    let mut attempts = greylisted(3, false);
    for record in &mut attempts {
        let Record::Transaction(it) = record else { continue };
        it.outcome.cause = Some(Cause::RelayDenied); // the same side must act
    }
    assert_eq!(beside(&shelf(attempts, vec![down]), "judy@example.org"), []);
}
