//! Logins: guessed, wrong for one, wrong for all, locked, refused because of the way, in clear; and typing errors.

use relayscope::trace::{Auth, Flag};

use super::*;

const WRONG: &str = "5.7.8 Authentication credentials invalid";

/// A login that the upstream refuses.
fn login(at: WallMicros, no: u64, ip: &str, user: &str, code: u16, text: &str) -> Record {
    of(session(at, no), |it| {
        let client = Arc::make_mut(&mut it.client);
        client.ip = ip.parse().unwrap();
        let said = Some(reply(code, text));
        client.auth = Some(Auth { mechanism: "PLAIN".into(), user: Some(user.into()), outcome: "failed".into(), reply: said });
    })
}

/// The proxy's own login.
fn own_login(at: WallMicros, no: u64, code: u16, text: &str) -> Record {
    of(session(at, no), |it| {
        let said = Some(reply(code, text));
        let auth = Auth { mechanism: "PLAIN".into(), user: Some("relay@our.example".into()), outcome: "failed".into(), reply: said };
        Arc::make_mut(&mut it.upstream).auth = Some(auth);
        it.outcome = Some(Outcome::of(State::Deferred, Stage::Auth, Actor::Upstream, None, None));
    })
}

/// A person's client, as ordinary mail has it.
fn client_of(no: u64) -> String {
    format!("10.0.{}.{}", 1 + no / 200, 1 + no % 200)
}

fn user_of(record: &Record) -> Option<&str> {
    let client = match record {
        Record::Transaction(it) => &it.client,
        Record::Session(it) => &it.client,
        _ => return None,
    };
    client.auth.as_ref()?.user.as_deref()
}

pub fn situations(at: WallMicros, moment: Moment) -> Vec<Situation> {
    let locked = |count| {
        each(at, count, SECOND, |at, no| {
            let sample = mail(at, no).user("p7@our.example", "succeeded");
            sample.refused(Stage::MailFrom, 550, "5.7.0 your account is suspended, contact support", Cause::AccountLocked).record()
        })
    };
    let fails = |at, no| login(at, no, &client_of(7), "u7", 535, WRONG);
    let mut all = vec![
        trouble(
            Anomaly::AuthGuessing,
            "many names from one address",
            each(at, 25, SECOND, |at, no| login(at, no, "203.0.113.77", &format!("user{}", no % 1_000), 535, WRONG)),
        ),
        trouble(
            Anomaly::AuthGuessing,
            "one name, many passwords, slowly",
            each(at, 25, 25 * SECOND, |at, no| login(at, no, "203.0.113.78", "admin", 535, WRONG)),
        )
        .beside(&[Anomaly::AuthAccountFails]),
        trouble(
            Anomaly::AuthAllFail,
            "the proxy's own password is wrong",
            each(at, 2, 20 * SECOND, |at, no| own_login(at, no, 535, WRONG)),
        ),
        trouble(
            Anomaly::AuthAllFail,
            "the provider's login service is out of order",
            each(at, 3, 20 * SECOND, |at, no| own_login(at, no, 454, "4.7.0 Temporary authentication failure")),
        ),
        trouble(
            Anomaly::AuthAllFail,
            "everybody's password is refused",
            each(at, 12, 10 * SECOND, |at, no| {
                let person = 20 + no % 4;
                login(at, no, &client_of(person), &format!("u{person}"), 535, WRONG)
            }),
        )
        .instead(|record| user_of(&record).is_none().then_some(record)),
        trouble(Anomaly::AuthAccountFails, "one who changed his password elsewhere", each(at, 3, 40 * SECOND, fails))
            .instead(|record| (user_of(&record) != Some("u7")).then_some(record)),
        trouble(Anomaly::AuthAccountFails, "the same for hours", each(at, 12, 60 * SECOND, fails))
            .instead(|record| (user_of(&record) != Some("u7")).then_some(record)),
        trouble(Anomaly::AccountLocked, "one refusal", locked(1)),
        trouble(Anomaly::AccountLocked, "all its mail", locked(60)),
        trouble(
            Anomaly::AuthMechanismRefused,
            "an old scanner's way to log in is refused",
            each(at, 3, 20 * SECOND, |at, no| login(at, no, "10.0.0.9", "", 504, "5.5.4 Unrecognized authentication type")),
        ),
        trouble(
            Anomaly::AuthInClear,
            "one login in clear",
            each(at, 1, SECOND, |at, no| mail(at, no).user("old@our.example", "succeeded").flag(Flag::PlaintextAuth).record()),
        ),
        none(
            "a password mistyped twice",
            each(at, 3, 15 * SECOND, |at, no| {
                let is_good = no % 1_000 == (1 << 40 | 2) % 1_000;
                let good = mail(at, no).client(&client_of(7)).user("u7", "succeeded").from("u7@our.example");
                if is_good { good.record() } else { fails(at, no) }
            }),
        ),
        none(
            "the login service hiccups once",
            each(at, 1, SECOND, |at, no| own_login(at, no, 454, "4.7.0 Temporary authentication failure")),
        ),
        none(
            "four names from one address",
            each(at, 4, 20 * SECOND, |at, no| login(at, no, "203.0.113.79", &format!("name{}", no % 1_000), 535, WRONG)),
        ),
    ];
    if moment == Moment::Busy {
        all.push(none(
            "several mistype their passwords within ten minutes, others log in",
            each(at, 6, 60 * SECOND, |at, no| {
                let person = 30 + no % 6;
                login(at, no, &client_of(person), &format!("u{person}"), 535, WRONG)
            }),
        ));
    }
    all
}
