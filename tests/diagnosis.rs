//! Who is diagnosed, by whose words, and what changes when the rules do.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says where")]

use relayscope::diagnose::{Act, Cause, Rules};
use relayscope::trace::diagnosis::{amendment, diagnose};
use relayscope::trace::{self, Actor, Outcome, Recipient, Record, Reply, Stage, State, Tried, Upstream, UpstreamKind};

#[allow(dead_code)]
#[path = "../src/store/samples.rs"]
mod samples;

const RULES: &str = r#"
[[rule]]
id = "test/full"
cause = "mailbox_full"
text = ["quota"]
advice = "Wait."

[[rule]]
id = "test/nobody"
cause = "recipient_unknown"
text = ["unknown"]

[[rule]]
id = "test/login"
cause = "auth_failed"
text = ["bad password"]
stage = ["auth"]

[[rule]]
id = "test/blocked"
cause = "port_blocked"
text = ["every host timed out"]
rank = 90
"#;

fn rules(text: &str) -> Rules {
    Rules::with_own(&[("rules.toml".to_owned(), text.to_owned())]).unwrap()
}

fn reply(code: u16, text: &str) -> Option<Reply> {
    Some(Reply { code, enhanced: None, lines: vec![text.to_owned()] })
}

/// A transaction with these recipients: state, stage, own reply.
fn with(outcome: Outcome, recipients: &[(State, Stage, Option<Reply>)]) -> Record {
    let mut it = samples::plain(7);
    let like = it.envelope.recipients.remove(0);
    it.envelope.recipients = recipients
        .iter()
        .map(|(state, stage, reply)| Recipient { state: *state, stage: *stage, reply: reply.clone(), ..like.clone() })
        .collect();
    it.outcome = outcome;
    Record::Transaction(Box::new(it))
}

fn causes(record: &Record) -> (Option<Cause>, Vec<Option<Cause>>) {
    let Record::Transaction(it) = record else { panic!("a transaction") };
    (it.outcome.cause, it.envelope.recipients.iter().map(|recipient| recipient.cause).collect())
}

#[test]
fn each_recipient_has_its_own_reason() {
    let rules = rules(RULES);
    let accepted = Outcome::of(State::Partial, Stage::EndOfData, Actor::Upstream, reply(250, "2.0.0 queued"), None);
    let mut record = with(
        accepted,
        &[
            (State::Accepted, Stage::EndOfData, reply(250, "ok")),
            (State::Rejected, Stage::RcptTo, reply(550, "unknown here")),
            (State::Deferred, Stage::RcptTo, reply(452, "over quota")),
        ],
    );
    diagnose(&mut record, &rules);
    let expected = [None, Some(Cause::RecipientUnknown), Some(Cause::MailboxFull)];
    assert_eq!(causes(&record), (Some(Cause::RecipientUnknown), expected.to_vec()));
}

#[test]
fn what_decides_for_all_is_the_reason_of_each() {
    let rules = rules(RULES);
    let outcome = Outcome::of(State::Rejected, Stage::EndOfData, Actor::Upstream, reply(552, "over quota"), None);
    let recipient = (State::Rejected, Stage::EndOfData, reply(250, "ok"));
    let mut record = with(outcome, &[recipient.clone(), recipient]);
    diagnose(&mut record, &rules);
    assert_eq!(causes(&record), (Some(Cause::MailboxFull), vec![Some(Cause::MailboxFull); 2]));
    let Record::Transaction(it) = &record else { panic!("a transaction") };
    assert_eq!((it.outcome.advice.as_deref(), it.outcome.rule.as_deref()), (Some("Wait."), Some("test/full")));
    assert_eq!(it.outcome.rules_version.as_deref(), Some(rules.version()));
}

#[test]
fn nothing_is_said_of_what_went_well_or_was_given_up() {
    let rules = rules(RULES);
    let mut accepted = samples::transaction(0);
    let before = accepted.clone();
    diagnose(&mut accepted, &rules);
    assert_eq!(accepted, before);
    let outcome = Outcome::of(State::Aborted, Stage::RcptTo, Actor::Client, None, Some("the client began another transaction".to_owned()));
    let mut record = with(outcome, &[(State::Aborted, Stage::RcptTo, reply(250, "ok"))]);
    diagnose(&mut record, &rules);
    assert_eq!(causes(&record), (None, vec![None]));
}

#[test]
fn hosts_that_all_time_out_on_the_port_of_mail_are_not_down() {
    let rules = rules(RULES);
    for (hosts, port, expected) in [(2, 25, true), (1, 25, false), (2, 587, false)] {
        let mut it = samples::plain(7);
        let tried = Tried {
            host: "mx.example".to_owned(),
            ip: None,
            port,
            stage: Stage::Connect,
            error: "connecting to 192.0.2.1 timed out after 30 s".to_owned(),
            at_us: 0,
        };
        let upstream = Upstream { tried: vec![tried; hosts], ..Upstream::default() };
        it.upstream = std::sync::Arc::new(upstream.into());
        it.envelope.recipients.clear();
        it.outcome = Outcome::of(State::Deferred, Stage::Connect, Actor::Network, None, Some("connecting timed out".to_owned()));
        let mut record = Record::Transaction(Box::new(it));
        diagnose(&mut record, &rules);
        assert_eq!(causes(&record).0 == Some(Cause::PortBlocked), expected, "{hosts} hosts, port {port}");
    }
}

#[test]
fn an_exchanger_that_denies_relaying_is_the_wrong_one() {
    for (kind, act) in [(UpstreamKind::Mx, Act::RecipientSide), (UpstreamKind::SmartHost, Act::LocalAdmin)] {
        let denied = || reply(554, "5.7.1 Relay access denied");
        let outcome = Outcome::of(State::Rejected, Stage::RcptTo, Actor::Upstream, denied(), None);
        let Record::Transaction(mut it) = with(outcome, &[(State::Rejected, Stage::RcptTo, denied())]) else { unreachable!() };
        it.upstream = std::sync::Arc::new(Upstream { kind, ..Upstream::default() }.into());
        let mut record = Record::Transaction(it);
        diagnose(&mut record, Rules::builtin());
        let outcome = record.outcome().unwrap();
        assert_eq!((outcome.cause, outcome.act), (Some(Cause::RelayDenied), Some(act)));
    }
}

#[test]
fn the_name_of_a_smart_host_is_the_configurations() {
    let own = || reply(451, "4.4.1 relayscope: smart host smtp.example.net:587: no such name in DNS (trace 01J)");
    for (kind, by, cause, act) in [
        (UpstreamKind::SmartHost, Actor::Dns, Cause::DnsFailure, Act::LocalAdmin),
        (UpstreamKind::Fixed, Actor::Dns, Cause::DnsFailure, Act::LocalAdmin),
        (UpstreamKind::Mx, Actor::Dns, Cause::DomainNotFound, Act::Sender),
        // The smart host speaks of the recipient's domain.
        (UpstreamKind::SmartHost, Actor::Upstream, Cause::DomainNotFound, Act::Sender),
    ] {
        let outcome = Outcome::of(State::Deferred, Stage::Connect, by, own(), None);
        let Record::Transaction(mut it) = with(outcome, &[(State::Deferred, Stage::RcptTo, own())]) else { unreachable!() };
        it.upstream = std::sync::Arc::new(Upstream { kind, ..Upstream::default() }.into());
        it.envelope.recipients[0].by = by;
        let mut record = Record::Transaction(it);
        diagnose(&mut record, Rules::builtin());
        let outcome = record.outcome().unwrap();
        assert_eq!((outcome.cause, outcome.act), (Some(cause), Some(act)), "{kind:?}, said by {by:?}");
        assert_eq!(causes(&record).1, [Some(cause)]);
        assert_eq!(outcome.advice.as_ref().unwrap().contains("`hosts`"), cause == Cause::DnsFailure);
    }
}

#[test]
fn what_the_proxy_refused_is_diagnosed_by_its_own_words() {
    let own = || reply(550, "5.7.1 relayscope: mail for this domain is not accepted here (trace 01J)");
    let detail = Some("the client sent QUIT before the message".to_owned());
    let outcome = Outcome::of(State::Rejected, Stage::RcptTo, Actor::Proxy, own(), detail);
    let mut record = with(outcome, &[(State::Rejected, Stage::RcptTo, own())]);
    diagnose(&mut record, Rules::builtin());
    assert_eq!(causes(&record).0, Some(Cause::RelayDenied));
}

#[test]
fn a_client_that_leaves_after_its_login_was_refused_leaves_because_of_that() {
    let rules = rules(RULES);
    let Record::Session(mut it) = samples::session(3) else { panic!("a session") };
    let mut client = (**it.client).clone();
    client.auth =
        Some(trace::Auth { mechanism: "PLAIN".to_owned(), user: None, outcome: "failed".to_owned(), reply: reply(535, "bad password") });
    it.client = std::sync::Arc::new(client.into());
    it.outcome = Some(Outcome::of(State::Aborted, Stage::Ehlo, Actor::Client, None, Some("the client closed the connection".to_owned())));
    let mut record = Record::Session(it);
    diagnose(&mut record, &rules);
    let Record::Session(it) = record else { panic!("a session") };
    assert_eq!(it.outcome.unwrap().cause, Some(Cause::AuthFailed));
}

#[test]
fn other_rules_make_an_amendment_and_the_same_rules_none() {
    let first = rules(RULES);
    let outcome = Outcome::of(State::Rejected, Stage::EndOfData, Actor::Upstream, reply(552, "over quota"), None);
    let mut before = with(outcome, &[(State::Rejected, Stage::EndOfData, None)]);
    diagnose(&mut before, &first);
    let again = |rules: &Rules| {
        let mut after = before.clone();
        diagnose(&mut after, rules);
        amendment(&before, &after, samples::id(9), 5)
    };
    assert_eq!(again(&first), None);
    let amendment = again(&rules(&RULES.replace("mailbox_full", "rate_limited"))).unwrap();
    assert_eq!((amendment.of, amendment.outcome.cause), (before.id(), Some(Cause::RateLimited)));
    assert_eq!(amendment.recipients.first().map(|it| (it.place, it.cause)), Some((0, Some(Cause::RateLimited))));
}
