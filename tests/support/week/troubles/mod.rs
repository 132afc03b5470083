//! Troubles as records, each with the incident that must come of it, and what looks like one and is none.

mod auth;
mod dns;
mod flow;
mod limits;
mod own;
mod peers;
mod protocol;
mod reputation;
mod slowly;
mod upstream;
mod volume;

use std::sync::Arc;

use relayscope::anomaly::Options;
use relayscope::diagnose::Cause;
use relayscope::smtp::Stage;
use relayscope::trace::{Actor, Anomaly, EndHow, Ended, Kept, Outcome, Record, Session, State, Transaction, Tried, Upstream, WallMicros};

pub use slowly::{Begin, slowly};

use super::situation::{Moment, Situation};
use super::{DAY, MINUTE, SECOND};
use crate::samples::{self, Sample, id, reply, session};

/// All that a quarter of an hour of records can tell, at that moment.
pub fn all(moment: Moment, at: WallMicros) -> Vec<Situation> {
    let at = at + MINUTE;
    let groups = [
        limits::situations(at),
        auth::situations(at, moment),
        upstream::situations(at),
        reputation::situations(at),
        volume::situations(at, moment),
        flow::situations(at),
        peers::situations(at),
        dns::situations(at),
        own::situations(at),
        protocol::situations(at),
    ];
    groups.into_iter().flatten().collect()
}

/// The defaults, with the quotas that an admin would have entered.
pub fn options() -> Options {
    let mut options = Options::default();
    options.limits.limits = limits::configured();
    options
}

/// Mail through the smart host as it usually is.
fn mail(at: WallMicros, no: u64) -> Sample {
    samples::mail(at, no).with(|it| it.upstream = super::server("main"))
}

/// Mail through another upstream, of which nothing is known.
fn through(name: &str, at: WallMicros, no: u64) -> Sample {
    samples::mail(at, no).with(|it| it.upstream = super::server(name))
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

/// A session whose upstream could not be had.
fn unreachable(at: WallMicros, no: u64, upstream: &str, port: u16, stage: Stage, error: &str) -> Record {
    of(session(at, no), |it| {
        it.upstream = samples::upstream(upstream);
        let upstream = Arc::make_mut(&mut it.upstream);
        upstream.offered.clear();
        upstream.banner = None;
        let (host, ip) = (upstream.host.clone().unwrap_or_default(), upstream.ip.take());
        upstream.tried = vec![Tried { host, ip, port, stage, error: error.to_owned(), at_us: 5 }];
        it.outcome = Some(Outcome::of(State::Deferred, stage, Actor::Network, None, Some(error.to_owned())));
        it.ended = Ended { by: Actor::Network, stage, how: EndHow::ConnectFailure, commands: 0, detail: Some(error.to_owned()) };
    })
}

/// An ordinary record of mail that goes out through `main`, changed.
fn outwards(record: Record, change: impl FnOnce(Transaction) -> Option<Transaction>) -> Option<Record> {
    match record {
        Record::Transaction(it) if it.upstream.name == "main" => change(*it).map(|it| Record::Transaction(Box::new(it))),
        other => Some(other),
    }
}

/// The same for whatever knows the server `main`.
fn at_main(record: Record, change: impl FnOnce(&mut Upstream)) -> Option<Record> {
    let mut record = record;
    let upstream = match &mut record {
        Record::Transaction(it) => &mut it.upstream,
        Record::Session(it) => &mut it.upstream,
        _ => return Some(record),
    };
    // Sessions that never came as far know no host.
    if upstream.name == "main" && upstream.tls.is_some() {
        let kept: &mut Kept<Upstream> = Arc::make_mut(upstream);
        change(kept);
    }
    Some(record)
}

fn trouble(anomaly: Anomaly, name: &str, records: Vec<Record>) -> Situation {
    Situation::trouble(anomaly, name, records)
}

fn none(name: &str, records: Vec<Record>) -> Situation {
    Situation::none(name, records)
}
