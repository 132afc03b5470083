//! Troubles as records: each with the incident that must come of it.

use std::sync::Arc;

use relayscope::diagnose::Cause;
use relayscope::smtp::Stage;
use relayscope::trace::{Actor, Anomaly, Auth, Digest, EndHow, Flag, Gap, Outcome, Record, Session, State, Tried, WallMicros};

use super::{MINUTE, SECOND};
use crate::samples::{self, Sample, id, reply, session};

/// A trouble that begins at a time, and what it must be called.
pub struct Trouble {
    pub anomaly: Anomaly,
    /// Nothing else passes from then on.
    pub stops_mail: bool,
    pub records: Vec<Record>,
}

/// Mail through the smart host as it usually is.
fn mail(at: WallMicros, no: u64) -> Sample {
    samples::mail(at, no).with(|it| it.upstream = super::server("main"))
}

/// So many records, each so long after the one before.
fn each(at: WallMicros, count: u64, pause: WallMicros, make: impl Fn(WallMicros, u64) -> Record) -> Vec<Record> {
    (0..count).map(|no| make(at + no * pause, 1 << 40 | no)).collect()
}

fn refused(at: WallMicros, no: u64, stage: Stage, code: u16, text: &str, cause: Cause) -> Record {
    mail(at, no).refused(stage, code, text, cause).record()
}

fn of(mut session: Session, change: impl FnOnce(&mut Session)) -> Record {
    change(&mut session);
    Record::Session(Box::new(session))
}

fn unreachable(at: WallMicros, no: u64, port: u16, error: &str) -> Record {
    of(session(at, no), |it| {
        let upstream = Arc::make_mut(&mut it.upstream);
        upstream.offered.clear();
        upstream.banner = None;
        let host = "main.example.net".to_owned();
        upstream.tried = vec![Tried { host, ip: upstream.ip.take(), port, stage: Stage::Connect, error: error.to_owned(), at_us: 5 }];
        it.outcome = Some(Outcome::of(State::Deferred, Stage::Connect, Actor::Network, None, Some(error.to_owned())));
        it.ended =
            relayscope::trace::Ended { by: Actor::Network, stage: Stage::Connect, how: EndHow::ConnectFailure, commands: 0, detail: None };
    })
}

fn login(at: WallMicros, no: u64, ip: &str, user: &str) -> Record {
    of(session(at, no), |it| {
        let client = Arc::make_mut(&mut it.client);
        client.ip = ip.parse().unwrap();
        let said = Some(reply(535, "5.7.8 Authentication credentials invalid"));
        client.auth = Some(Auth { mechanism: "PLAIN".into(), user: Some(user.into()), outcome: "failed".into(), reply: said });
    })
}

fn own_login(at: WallMicros, no: u64) -> Record {
    of(session(at, no), |it| {
        let said = Some(reply(535, "5.7.8 Authentication credentials invalid"));
        let auth = Auth { mechanism: "PLAIN".into(), user: Some("relay@our.example".into()), outcome: "failed".into(), reply: said };
        Arc::make_mut(&mut it.upstream).auth = Some(auth);
        it.outcome = Some(Outcome::of(State::Deferred, Stage::Auth, Actor::Upstream, None, None));
    })
}

fn again(sample: Sample, no: u64) -> Sample {
    sample.with(|it| {
        it.message.message_id = Some("round@our.example".to_owned());
        it.message.received_count = 1 + 3 * no as u32;
    })
}

/// One of each kind that can be told from records of a quarter of an hour.
pub fn all(at: WallMicros) -> Vec<Trouble> {
    let trouble = |anomaly, records| Trouble { anomaly, stops_mail: anomaly == Anomaly::UpstreamDown, records };
    let doubt = |at, no: u64, state| {
        mail(at, no).to(&["boss@partner.example"]).with(|it| {
            it.message.message_id = Some("doubt@our.example".to_owned());
            it.message.body_digest = Some(Digest([7; 32]));
            it.outcome.state = state;
            it.envelope.recipients.iter_mut().for_each(|recipient| recipient.state = state);
            if state == State::Unknown {
                it.flags.push(Flag::InDoubt);
            }
        })
    };
    vec![
        trouble(
            Anomaly::SendingLimitReached,
            each(at, 2, SECOND, |at, no| {
                refused(at, no, Stage::MailFrom, 550, "5.4.5 Daily sending quota of 10000 messages exceeded", Cause::SendingLimitReached)
            }),
        ),
        trouble(
            Anomaly::RateLimited,
            each(at, 4, 20 * SECOND, |at, no| refused(at, no, Stage::EndOfData, 454, "4.7.0 Throttling: sending rate", Cause::RateLimited)),
        ),
        trouble(Anomaly::AuthGuessing, each(at, 25, SECOND, |at, no| login(at, no, "203.0.113.77", &format!("user{}", no % 1_000)))),
        trouble(Anomaly::AuthAllFail, each(at, 3, 20 * SECOND, own_login)),
        trouble(
            Anomaly::AccountLocked,
            each(at, 2, SECOND, |at, no| {
                mail(at, no)
                    .user("p7@our.example", "succeeded")
                    .refused(Stage::MailFrom, 550, "5.7.0 your account is suspended, contact support", Cause::AccountLocked)
                    .record()
            }),
        ),
        trouble(
            Anomaly::UpstreamDown,
            each(at, 5, 10 * SECOND, |at, no| {
                unreachable(at, no, 587, "198.51.100.25:587 refused the connection (nothing listens there, or a firewall rejects it)")
            }),
        ),
        trouble(
            Anomaly::Blocklisted,
            each(at, 2, SECOND, |at, no| {
                let text = "5.7.1 Service unavailable; Client host [192.0.2.25] blocked using zen.spamhaus.org";
                refused(at, no, Stage::RcptTo, 554, text, Cause::Blocklisted)
            }),
        ),
        trouble(
            Anomaly::ReverseDnsRefused,
            each(at, 3, SECOND, |at, no| refused(at, no, Stage::RcptTo, 550, "5.7.25 no PTR record", Cause::ReverseDnsMissing)),
        ),
        trouble(
            Anomaly::SenderAuthRefused,
            each(at, 4, SECOND, |at, no| {
                let sample = mail(at, no).to(&["bob@strict.example"]);
                sample.refused(Stage::EndOfData, 550, "5.7.26 DMARC: not authenticated", Cause::SpfDkimDmarcFailure).record()
            }),
        ),
        trouble(Anomaly::MailLoop, each(at, 6, MINUTE, |at, no| again(mail(at, no).to(&["list@round.example"]), no % 1_000).record())),
        trouble(
            Anomaly::DirectoryHarvest,
            each(at, 40, SECOND, |at, no| {
                let address = format!("guess{no}@our.example");
                let sample = mail(at, no).inbound().client("203.0.113.66").from("x@evil.example").to(&[&address]);
                sample.refused(Stage::RcptTo, 550, "5.1.1 User unknown", Cause::RecipientUnknown).record()
            }),
        ),
        trouble(
            Anomaly::BounceWave,
            each(at, 200, SECOND, |at, no| {
                let sample = mail(at, no).inbound().client(&format!("198.51.100.{}", no % 200)).from("").to(&["p3@our.example"]);
                sample.flag(Flag::Report).record()
            }),
        ),
        trouble(
            Anomaly::Duplicates,
            vec![doubt(at, 1 << 41, State::Unknown).record(), doubt(at + 5 * MINUTE, 1 << 41 | 1, State::Accepted).record()],
        ),
        trouble(
            Anomaly::VolumeSpike,
            each(at, 900, SECOND / 2, |at, no| {
                let address = format!("stranger{no}@far{}.example", no % 50);
                mail(at, no).client("10.0.1.7").user("p7@our.example", "succeeded").from("p7@our.example").to(&[&address]).record()
            }),
        ),
        trouble(
            Anomaly::SmugglingAttempts,
            each(at, 1, SECOND, |at, no| {
                mail(at, no).client("203.0.113.9").inbound().flag(Flag::BareNewline).flag(Flag::SmugglingGuard).record()
            }),
        ),
        trouble(
            Anomaly::Scanner,
            each(at, 12, 10 * SECOND, |at, no| {
                of(session(at, no), |it| {
                    it.flags.push(Flag::ForeignProtocol);
                    it.ended.how = EndHow::Protocol;
                })
            }),
        ),
        trouble(
            Anomaly::TracingGap,
            vec![Record::Gap(Gap { id: id(at, 1 << 42), from: at, until: at + SECOND, records_lost: 12, why: "no space".to_owned() })],
        ),
    ]
}
