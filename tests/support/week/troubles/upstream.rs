//! Upstreams: down, coming and going, slow, closing, full, behind a blocked port, without DNS; and a restart that is none of it.

use relayscope::trace::{Lookup, LookupOutcome, UpstreamKind};

use super::*;

const REFUSED: &str = "198.51.100.25:587 refused the connection (nothing listens there, or a firewall rejects it)";
const TIMED_OUT: &str = "connecting to 198.51.100.25:25 timed out after 30 s (host down, or a firewall drops the packets)";
const NO_DNS: &str = "DNS did not answer for second.example.net within 5 s";

fn down(upstream: &'static str) -> impl Fn(WallMicros, u64) -> Record {
    move |at, no| unreachable(at, no, upstream, 587, Stage::Connect, REFUSED)
}

/// Two hosts that take no connection on port 25.
fn blocked(at: WallMicros, no: u64) -> Record {
    let Record::Session(mut it) = unreachable(at, no, "second", 25, Stage::Connect, TIMED_OUT) else { unreachable!() };
    let tried = &mut Arc::make_mut(&mut it.upstream).tried;
    let mut other = tried[0].clone();
    (other.host, other.ip) = ("third.example.net".to_owned(), Some([198, 51, 100, 26].into()));
    tried.push(other);
    Record::Session(it)
}

/// Mail to an exchanger whose name no resolver could look up.
fn unanswered(at: WallMicros, no: u64, name: &str, outcome: LookupOutcome) -> Record {
    let lookup = Lookup {
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
    let sample = through("internet", at, no).upstream(|it| (it.kind, it.lookups) = (UpstreamKind::Mx, vec![lookup]));
    let sample = sample.upstream(|it| (it.host, it.ip) = (None, None)).to(&[&format!("ann@{name}")]);
    sample.refused(Stage::RcptTo, 451, "4.4.3 relayscope: DNS did not answer", Cause::DnsFailure).record()
}

/// Down for a minute, up for two, so often.
fn flapping(at: WallMicros, times: u64) -> Vec<Record> {
    let round = |round: u64| {
        let at = at + round * 3 * MINUTE;
        let mut records = each(at, 4, 15 * SECOND, |at, no| down("second")(at, no + round * 10));
        records.extend(each(at + 70 * SECOND, 4, 20 * SECOND, |at, no| through("second", at, no + round * 10 + 5).record()));
        records
    };
    (0..times).flat_map(round).collect()
}

pub fn situations(at: WallMicros) -> Vec<Situation> {
    let closes =
        |at, no, name: &str| through(name, at, no).refused(Stage::MailFrom, 421, "4.3.2 Service shutting down", Cause::RemoteSystemError);
    let full = |at, no, upstream| {
        unreachable(at, no, upstream, 587, Stage::Banner, "198.51.100.25:587 greeted with 421 4.7.0 Too many concurrent SMTP connections")
    };
    let slow = |change: fn(&mut Transaction)| {
        move |record| {
            outwards(record, |mut it| {
                change(&mut it);
                Some(it)
            })
        }
    };
    let some = |count| each(at, count, 30 * SECOND, |at, no| mail(at, no).with(|it| it.phases.end_of_data_us = Some(9 * SECOND)).record());
    let connects = each(at, 20, 20 * SECOND, |at, no| mail(at, no).with(|it| it.phases.connect_us = Some(4 * SECOND)).record());
    let stopped = |record| outwards(record, |_| None);
    let dns = |at, no: u64| unanswered(at, no, &format!("n{no}.example"), LookupOutcome::Timeout);
    vec![
        trouble(Anomaly::UpstreamDown, "all tries refused", each(at, 5, 10 * SECOND, down("main"))).instead(stopped),
        trouble(
            Anomaly::UpstreamDown,
            "two tries, half a minute apart, of an upstream that is new",
            each(at, 2, 30 * SECOND, down("second")),
        ),
        trouble(
            Anomaly::UpstreamDown,
            "the server behind takes no connection",
            each(at, 6, 10 * SECOND, |at, no| {
                let Record::Session(mut it) = down("behind")(at, no) else { unreachable!() };
                Arc::make_mut(&mut it.upstream).kind = UpstreamKind::Fixed;
                Record::Session(it)
            }),
        )
        .instead(|record| if matches!(&record, Record::Transaction(it) if it.upstream.name == "behind") { None } else { Some(record) }),
        trouble(Anomaly::UpstreamFlapping, "down and up again four times", flapping(at, 4)).beside(&[Anomaly::UpstreamDown]),
        trouble(Anomaly::UpstreamSlow, "end-of-data takes nine seconds", some(20))
            .instead(slow(|it| it.phases.end_of_data_us = it.phases.end_of_data_us.map(|_| 9 * SECOND))),
        trouble(Anomaly::UpstreamSlow, "connecting takes four seconds", connects)
            .instead(slow(|it| it.phases.connect_us = it.phases.connect_us.map(|_| 4 * SECOND))),
        trouble(
            Anomaly::UpstreamClosing,
            "every transaction ends with 421",
            each(at, 10, 10 * SECOND, move |at, no| closes(at, no, "main").record()),
        )
        .instead(|record| {
            outwards(record, |it| Some(Sample(it).refused(Stage::MailFrom, 421, "4.3.2 Service shutting down", Cause::RemoteSystemError).0))
        })
        .beside(&[Anomaly::RejectRatio]),
        trouble(
            Anomaly::UpstreamClosing,
            "three of three on a quiet upstream",
            each(at, 3, 20 * SECOND, move |at, no| closes(at, no, "second").record()),
        ),
        trouble(Anomaly::ConnectionLimit, "three greetings refuse", each(at, 3, 15 * SECOND, move |at, no| full(at, no, "main"))),
        trouble(Anomaly::ConnectionLimit, "most greetings refuse", each(at, 100, 2 * SECOND, move |at, no| full(at, no, "main"))),
        trouble(Anomaly::PortBlocked, "no host answers on port 25", each(at, 2, 30 * SECOND, blocked)),
        trouble(
            Anomaly::DnsFailing,
            "a smart host's name can't be looked up",
            each(at, 3, 15 * SECOND, |at, no| unreachable(at, no, "second", 587, Stage::Connect, NO_DNS)),
        ),
        trouble(Anomaly::DnsFailing, "the resolver doesn't answer, few ask", each(at, 3, 20 * SECOND, dns)),
        trouble(Anomaly::DnsFailing, "the resolver doesn't answer, many ask", each(at, 100, 2 * SECOND, dns)),
        none("the smart host restarts within 20 s", {
            let mut records = each(at, 7, SECOND, move |at, no| closes(at, no, "main").record());
            records.extend(each(at + 8 * SECOND, 12, SECOND, down("main")));
            records.extend(each(at + 20 * SECOND, 20, SECOND, |at, no| mail(at, no).record()));
            records
        })
        .instead({
            let over = at + 20 * SECOND;
            move |record| if super::super::end(&record) < over { outwards(record, |_| None) } else { Some(record) }
        }),
        none(
            "one slow message in twenty",
            each(at, 5, MINUTE, |at, no| mail(at, no).with(|it| it.phases.end_of_data_us = Some(60 * SECOND)).record()),
        ),
        none(
            "one domain's DNS doesn't answer",
            each(at, 8, 30 * SECOND, |at, no| unanswered(at, no, "broken.example", LookupOutcome::ServerFailure)),
        ),
        none(
            "an idle session is closed with 421",
            each(at, 6, 20 * SECOND, |at, no| {
                refused(at, no, Stage::MailFrom, 421, "4.4.2 Timeout, closing connection", Cause::RemoteSystemError)
            }),
        ),
    ]
}
