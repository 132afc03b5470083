//! Those who come for something else than mail; and holes in the trace.

use relayscope::trace::{Flag, Gap};

use super::*;

fn refused_at_the_door(at: WallMicros, no: u64, ip: &str) -> Record {
    of(session(at, no), |it| {
        it.client = samples::client(ip);
        (it.ended.by, it.ended.how, it.ended.stage) = (Actor::Proxy, EndHow::Refused, Stage::Connect);
        let said = reply(554, "relayscope: this client is not allowed to send mail here");
        it.outcome = Some(Outcome::of(State::Aborted, Stage::Connect, Actor::Proxy, Some(said), None));
    })
}

fn foreign(at: WallMicros, no: u64) -> Record {
    of(session(at, no), |it| {
        it.client = samples::client("192.0.2.99");
        it.flags.push(Flag::ForeignProtocol);
        it.ended.how = EndHow::Protocol;
    })
}

fn silent(at: WallMicros, no: u64, ip: &str) -> Record {
    of(session(at, no), |it| {
        it.client = samples::client(ip);
        it.ended.commands = 0;
    })
}

fn injected(at: WallMicros, no: u64, by: Actor) -> Record {
    of(session(at, no), |it| {
        it.flags.push(Flag::TlsInjection);
        it.ended.by = by;
    })
}

pub fn situations(at: WallMicros) -> Vec<Situation> {
    let bare = |at, no| mail(at, no).client("10.0.0.60").from("machine10@our.example").flag(Flag::BareNewline);
    let gap =
        |lost| vec![Record::Gap(Gap { id: id(at, 1 << 42), from: at, until: at + SECOND, records_lost: lost, why: "no space".to_owned() })];
    let relays = |at, no| {
        let to = ["a@elsewhere.example", "b@elsewhere.example", "c@elsewhere.example"];
        let probe = mail(at, no).inbound().client("192.0.2.98").to(&to);
        probe.refused(Stage::RcptTo, 550, "5.7.1 not here", Cause::RelayDenied).record()
    };
    vec![
        trouble(
            Anomaly::SmugglingAttempts,
            "one message with a lone dot between bare line ends",
            each(at, 1, SECOND, |at, no| {
                mail(at, no).client("203.0.113.9").inbound().flag(Flag::BareNewline).flag(Flag::SmugglingGuard).record()
            }),
        ),
        trouble(
            Anomaly::SmugglingAttempts,
            "a machine begins to write bare newlines",
            each(at, 3, 20 * SECOND, move |at, no| bare(at, no).record()),
        ),
        trouble(Anomaly::TlsInjection, "by a client", each(at, 1, SECOND, |at, no| injected(at, no, Actor::Client))),
        trouble(Anomaly::TlsInjection, "on the way to the upstream", each(at, 1, SECOND, |at, no| injected(at, no, Actor::Upstream))),
        trouble(
            Anomaly::OpenRelayProbes,
            "three refusals at the door",
            each(at, 3, 20 * SECOND, |at, no| refused_at_the_door(at, no, "192.0.2.97")),
        ),
        trouble(Anomaly::OpenRelayProbes, "three foreign recipients", each(at, 1, SECOND, relays)),
        trouble(
            Anomaly::OpenRelayProbes,
            "a machine that nobody allowed",
            each(at, 60, 5 * SECOND, |at, no| refused_at_the_door(at, no, "10.0.0.201")),
        ),
        trouble(Anomaly::Scanner, "other protocols", each(at, 12, 10 * SECOND, foreign)),
        trouble(Anomaly::Scanner, "says nothing, hundreds of times", each(at, 200, SECOND, |at, no| silent(at, no, "192.0.2.96"))),
        trouble(Anomaly::TracingGap, "a dozen records lost", gap(12)),
        trouble(Anomaly::TracingGap, "very many", gap(100_000)),
        none("two bare newlines", each(at, 2, 20 * SECOND, move |at, no| bare(at, no).record())),
        none("two refusals at the door", each(at, 2, 20 * SECOND, |at, no| refused_at_the_door(at, no, "192.0.2.97"))),
        none("nine sessions in another protocol", each(at, 9, 10 * SECOND, foreign)),
        none("monitoring every ten seconds", each(at, 50, 10 * SECOND, |at, no| silent(at, no, "10.0.0.6"))),
    ]
}
