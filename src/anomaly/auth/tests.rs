//! Logins that fail, told apart.

use std::sync::Arc;

use super::*;
use crate::anomaly::finding::Findings;
use crate::anomaly::samples::{MONDAY, mail, reply, session};
use crate::anomaly::trial::{feed, judge, one};
use crate::anomaly::window::{HOUR, MINUTE, SECOND};
use crate::trace::*;

fn refused(at: WallMicros, no: u64, ip: &str, user: &str, code: u16, text: &str) -> Record {
    let mut session = session(at, no);
    let client = Arc::make_mut(&mut session.client);
    client.ip = ip.parse().unwrap();
    client.auth =
        Some(Auth { mechanism: "PLAIN".into(), user: Some(user.into()), outcome: "failed".into(), reply: Some(reply(code, text)) });
    Record::Session(Box::new(session))
}

fn wrong(at: WallMicros, no: u64, ip: &str, user: &str) -> Record {
    refused(at, no, ip, user, 535, "5.7.8 Authentication credentials invalid")
}

fn good(at: WallMicros, no: u64, ip: &str, user: &str) -> Record {
    mail(at, no).client(ip).user(user, "succeeded").record()
}

fn own(at: WallMicros, no: u64, outcome: &str, code: u16, text: &str) -> Record {
    let auth =
        Auth { mechanism: "PLAIN".into(), user: Some("relay@our.example".into()), outcome: outcome.into(), reply: Some(reply(code, text)) };
    let mut session = session(at, no);
    Arc::make_mut(&mut session.upstream).auth = Some(auth);
    session.outcome = Some(Outcome::of(State::Deferred, Stage::Auth, Actor::Upstream, None, None));
    Record::Session(Box::new(session))
}

#[test]
fn a_changed_password_is_one_account() {
    let mut accounts = Accounts::new(&Options::default());
    for (no, user) in ["bob", "carol", "dave"].iter().enumerate() {
        feed(&mut accounts, &good(MONDAY, no as u64, "10.0.0.7", user));
    }
    for no in 0..3 {
        feed(&mut accounts, &wrong(MONDAY + HOUR + no * MINUTE, 10 + no, "10.0.0.7", "bob"));
        feed(&mut accounts, &good(MONDAY + HOUR + no * MINUTE, 20 + no, "10.0.0.8", "carol"));
    }
    let now = MONDAY + HOUR + 3 * MINUTE;
    let found = judge(&mut accounts, now);
    let finding = one(&found, Anomaly::AuthAccountFails);
    assert_eq!(
        finding.summary,
        "bob can't log in at upstream main since 01:00 UTC, from 10.0.0.7, which usually logs in from there; \
         it says: 535 5.7.8 Authentication credentials invalid"
    );
    assert_eq!(
        finding.arithmetic,
        "3 of 3 logins refused (PLAIN), last success 00:00 UTC; threshold 3; others log in at the same upstream"
    );
    assert_eq!(finding.severity, Severity::Warning);
    feed(&mut accounts, &good(now + MINUTE, 40, "10.0.0.7", "bob"));
    assert_eq!(judge(&mut accounts, now + 2 * MINUTE), []);
}

#[test]
fn a_typing_error_is_nothing() {
    let mut accounts = Accounts::new(&Options::default());
    feed(&mut accounts, &good(MONDAY, 1, "10.0.0.7", "bob"));
    feed(&mut accounts, &wrong(MONDAY + MINUTE, 2, "10.0.0.7", "bob"));
    feed(&mut accounts, &wrong(MONDAY + 2 * MINUTE, 3, "10.0.0.7", "bob"));
    assert_eq!(judge(&mut accounts, MONDAY + 3 * MINUTE), []);
}

#[test]
fn everybody_refused_is_the_upstream() {
    let mut accounts = Accounts::new(&Options::default());
    for no in 0..5 {
        feed(&mut accounts, &good(MONDAY, no, "10.0.0.7", &format!("user{no}")));
    }
    let mut next = Accounts::new(&Options::default());
    assert!(next.restore(&accounts.keep()));
    for no in 0..5 {
        feed(&mut next, &wrong(MONDAY + HOUR + no * SECOND, 10 + no, "10.0.0.7", &format!("user{no}")));
    }
    let found = judge(&mut next, MONDAY + HOUR + 10 * SECOND);
    let finding = one(&found, Anomaly::AuthAllFail);
    assert_eq!((finding.severity, finding.fresh), (Severity::Critical, 5));
    assert!(finding.arithmetic.starts_with("5 of 5 logins of 5 accounts refused within 10 min (user0, user1"), "{}", finding.arithmetic);
}

#[test]
fn a_strangers_wrong_passwords_are_not_the_upstreams() {
    let mut accounts = Accounts::new(&Options::default());
    for no in 0..5 {
        feed(&mut accounts, &good(MONDAY, no, "10.0.0.7", &format!("user{no}")));
    }
    for no in 0..5 {
        feed(&mut accounts, &wrong(MONDAY + HOUR + no * SECOND, 10 + no, "203.0.113.9", &format!("user{no}")));
    }
    assert_eq!(judge(&mut accounts, MONDAY + HOUR + 10 * SECOND), []);
    for no in 0..5 {
        feed(&mut accounts, &wrong(MONDAY + HOUR + (20 + no) * SECOND, 20 + no, "10.0.0.7", &format!("user{no}")));
    }
    one(&judge(&mut accounts, MONDAY + HOUR + 30 * SECOND), Anomaly::AuthAllFail);
    // Over as soon as one gets in.
    feed(&mut accounts, &good(MONDAY + HOUR + 40 * SECOND, 30, "10.0.0.7", "user1"));
    let mut findings = Findings::default();
    accounts.judge(MONDAY + HOUR + 50 * SECOND, &mut findings);
    assert!(findings.cleared.iter().any(|it| it.anomaly == Anomaly::AuthAllFail && it.why.contains("01:00 UTC")), "{findings:?}");
}

#[test]
fn guessing_is_not_an_account_that_fails() {
    let (mut guessing, mut accounts) = (Guessing::new(&Options::default()), Accounts::new(&Options::default()));
    feed(&mut accounts, &good(MONDAY, 1, "10.0.0.7", "bob"));
    for no in 0..8 {
        let record = wrong(MONDAY + no * SECOND, 10 + no, "203.0.113.9", &format!("name{no}"));
        feed(&mut guessing, &record);
        feed(&mut accounts, &record);
    }
    let found = judge(&mut guessing, MONDAY + 10 * SECOND);
    let finding = one(&found, Anomaly::AuthGuessing);
    assert_eq!(finding.summary, "203.0.113.9 tries passwords: 8 failed logins with 8 user names within 10 min");
    assert_eq!(judge(&mut accounts, MONDAY + 10 * SECOND), [], "names that were invented never worked");
    feed(&mut guessing, &good(MONDAY + 20 * SECOND, 30, "203.0.113.9", "bob"));
    let found = judge(&mut guessing, MONDAY + 30 * SECOND);
    let finding = one(&found, Anomaly::AuthGuessing);
    assert_eq!(finding.severity, Severity::Critical);
    assert!(finding.summary.ends_with("at 00:00 UTC it got in as bob"), "{}", finding.summary);
}

#[test]
fn an_office_behind_one_address_does_not_guess() {
    let office = "203.0.113.9";
    // Somebody mistypes every four minutes, while a phone with an old password keeps the window from getting empty.
    let mut guessing = Guessing::new(&Options::default());
    for no in 0..30 {
        let at = MONDAY + no * 4 * MINUTE;
        feed(&mut guessing, &wrong(at, no, office, &format!("user{no}")));
        feed(&mut guessing, &wrong(at, 100 + no, office, "phone"));
        feed(&mut guessing, &good(at + SECOND, 200 + no, office, "another"));
        assert_eq!(judge(&mut guessing, at + 2 * SECOND), [], "{no}");
    }
    // Ten mistype within ten minutes, and get in.
    let mut guessing = Guessing::new(&Options::default());
    for no in 0..10 {
        let at = MONDAY + no * MINUTE / 2;
        feed(&mut guessing, &wrong(at, no, office, &format!("user{no}")));
        feed(&mut guessing, &good(at + SECOND, 100 + no, office, &format!("user{no}")));
        assert_eq!(judge(&mut guessing, at + 2 * SECOND), [], "{no}");
    }
    // A program with a wrong password is no break-in when others log in beside it; it is when that very user does.
    let mut guessing = Guessing::new(&Options::default());
    for no in 0..40 {
        feed(&mut guessing, &wrong(MONDAY + no * SECOND, no, office, "scanner"));
    }
    feed(&mut guessing, &good(MONDAY + MINUTE, 50, office, "another"));
    assert_eq!(one(&judge(&mut guessing, MONDAY + MINUTE), Anomaly::AuthGuessing).severity, Severity::Warning);
    feed(&mut guessing, &good(MONDAY + MINUTE, 51, office, "scanner"));
    assert_eq!(one(&judge(&mut guessing, MONDAY + MINUTE), Anomaly::AuthGuessing).severity, Severity::Critical);
}

#[test]
fn the_proxys_own_login_fails_for_all() {
    let mut logins = Own::new(&Options::default());
    feed(&mut logins, &own(MONDAY, 1, "succeeded", 235, "2.7.0 ok"));
    feed(&mut logins, &own(MONDAY + HOUR, 2, "failed", 535, "5.7.8 bad username or password"));
    assert_eq!(judge(&mut logins, MONDAY + HOUR + SECOND), [], "once may be a hiccup");
    feed(&mut logins, &own(MONDAY + HOUR + 30 * SECOND, 3, "failed", 535, "5.7.8 bad username or password"));
    let found = judge(&mut logins, MONDAY + HOUR + 40 * SECOND);
    let finding = one(&found, Anomaly::AuthAllFail);
    assert!(
        finding.summary.starts_with("The proxy's login as relay@our.example at upstream main fails since 01:00 UTC"),
        "{}",
        finding.summary
    );
    assert!(finding.advice.starts_with("It worked before"), "{}", finding.advice);
    feed(&mut logins, &own(MONDAY + 2 * HOUR, 4, "succeeded", 235, "2.7.0 ok"));
    assert_eq!(judge(&mut logins, MONDAY + 2 * HOUR + SECOND), []);
}

#[test]
fn the_proxys_own_login_is_over_under_another_name() {
    let refused = |logins: &mut Own| {
        for no in 0..2 {
            feed(logins, &own(MONDAY + no * SECOND, no, "failed", 535, "5.7.8 bad username or password"));
        }
        one(&judge(logins, MONDAY + MINUTE), Anomaly::AuthAllFail);
    };
    let over = |logins: &mut Own| {
        let mut findings = Findings::default();
        logins.judge(MONDAY + 3 * MINUTE, &mut findings);
        assert_eq!(findings.raised(), []);
        findings.cleared.into_iter().map(|it| (it.anomaly, it.why)).next()
    };
    let as_user = |no: u64, user: &str| {
        let auth = Auth { mechanism: "PLAIN".into(), user: Some(user.into()), outcome: "succeeded".into(), reply: None };
        mail(MONDAY + 2 * MINUTE, no).upstream(|it| it.auth = Some(auth)).record()
    };
    let mut logins = Own::new(&Options::default());
    refused(&mut logins);
    feed(&mut logins, &as_user(10, "mail@our.example"));
    let why = "the login as mail@our.example succeeded at 00:02 UTC";
    assert_eq!(over(&mut logins), Some((Anomaly::AuthAllFail, why.to_owned())));
}

#[test]
fn a_locked_account_is_said_at_once() {
    let mut accounts = Accounts::new(&Options::default());
    let record = mail(MONDAY, 1).user("bob", "succeeded").refused(
        Stage::MailFrom,
        550,
        "5.7.0 Your account has been suspended",
        Cause::AccountLocked,
    );
    feed(&mut accounts, &record.record());
    let found = judge(&mut accounts, MONDAY + 10 * SECOND);
    let finding = one(&found, Anomaly::AccountLocked);
    assert!(finding.summary.ends_with("it says: 5.7.0 Your account has been suspended"), "{}", finding.summary);
}

#[test]
fn ways_that_are_refused_and_passwords_in_clear() {
    let mut guessing = Guessing::new(&Options::default());
    for no in 0..3 {
        feed(&mut guessing, &refused(MONDAY + no * SECOND, no, "10.0.0.9", "", 504, "5.5.4 Unrecognized authentication type"));
    }
    let found = judge(&mut guessing, MONDAY + 10 * SECOND);
    let finding = one(&found, Anomaly::AuthMechanismRefused);
    assert!(finding.summary.contains("AUTH PLAIN is refused (3 times within an hour)"), "{}", finding.summary);
    let mut guessing = Guessing::new(&Options::default());
    feed(&mut guessing, &mail(MONDAY, 9).user("bob", "succeeded").flag(Flag::PlaintextAuth).record());
    let found = judge(&mut guessing, MONDAY + 10 * SECOND);
    assert_eq!(one(&found, Anomaly::AuthInClear).severity, Severity::Notice);
}
