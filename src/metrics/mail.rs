//! Sessions and transactions, as the workers counted them.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use super::page::{Labels, Page};
use crate::proxy::{Counters, MailPhase, Meters, RefusedFor, Spread, UpstreamMeters};
use crate::trace::{Cause, EndHow, Flag, Stage, State};

pub(super) fn add(page: &mut Page, counters: &Counters) {
    let meters = counters.meters.all();
    sessions(page, &meters, counters);
    let ways: Vec<(&Meters, _)> = meters.iter().flat_map(|of| of.upstreams().into_iter().map(|upstream| (&**of, upstream))).collect();
    transactions(page, &ways);
    times(page, &ways);
}

/// Sums over workers.
pub(super) fn summed(samples: impl IntoIterator<Item = (Labels, u64)>) -> BTreeMap<Labels, u64> {
    let mut sums = BTreeMap::new();
    samples.into_iter().for_each(|(labels, count)| *sums.entry(labels).or_insert(0) += count);
    sums
}

fn spreads(samples: impl IntoIterator<Item = (Labels, Spread)>) -> BTreeMap<Labels, Spread> {
    let mut sums: BTreeMap<Labels, Spread> = BTreeMap::new();
    for (labels, spread) in samples {
        match sums.get_mut(&labels) {
            Some(sum) => sum.add(&spread),
            None => drop(sums.insert(labels, spread)),
        }
    }
    sums
}

fn listener(meters: &Meters) -> Labels {
    vec![("listener", meters.listener.clone()), ("direction", meters.direction.word().to_owned())]
}

fn way(meters: &Meters, upstream: &UpstreamMeters) -> Labels {
    let mut labels = listener(meters);
    labels.push(("upstream", upstream.upstream.clone()));
    labels
}

fn and(mut labels: Labels, name: &'static str, word: &str) -> Labels {
    labels.push((name, word.to_owned()));
    labels
}

fn sessions(page: &mut Page, meters: &[std::sync::Arc<Meters>], counters: &Counters) {
    let all = meters.iter().map(|it| (listener(it), it.sessions.load(Relaxed)));
    page.counter("relayscope_sessions", "Connections of clients, let in or not", summed(all));
    let open = meters.iter().map(|it| (listener(it), it.sessions_open.load(Relaxed)));
    let open = summed(open).into_iter().map(|(labels, open)| (labels, open as f64));
    page.gauge("relayscope_sessions_open", "Connections of clients that are open", open);
    let refused = meters
        .iter()
        .flat_map(|it| RefusedFor::ALL.iter().map(|&reason| (and(listener(it), "reason", reason.word()), it.refused.at(reason as usize))));
    page.counter("relayscope_sessions_refused", "Connections of clients that were not let in, by reason", summed(refused));
    let ended =
        meters.iter().flat_map(|it| EndHow::ALL.iter().map(|&how| (and(listener(it), "how", how.word()), it.ended.at(how as usize))));
    let help = "Sessions that ended without a transaction, or otherwise than by QUIT";
    page.counter("relayscope_sessions_ended", help, summed(ended));
    let flags =
        meters.iter().flat_map(|it| Flag::ALL.iter().map(|&flag| (and(listener(it), "flag", flag.word()), it.flags.at(flag as usize))));
    page.counter("relayscope_transaction_flags", "Transactions with a peculiarity worth finding again", summed(flags));
    let late = counters.replies_before_record.load(Relaxed);
    page.counter("relayscope_replies_before_record", "Final replies that were relayed before their record was stored", [(vec![], late)]);
}

type Way<'a> = (&'a Meters, std::sync::Arc<UpstreamMeters>);

fn transactions(page: &mut Page, ways: &[Way<'_>]) {
    let by_state = ways.iter().flat_map(|(of, it)| {
        State::ALL.iter().map(|&state| {
            let count = Stage::ALL.iter().map(|&stage| it.transactions(state, stage)).sum();
            (and(way(of, it), "state", state.word()), count)
        })
    });
    page.counter("relayscope_transactions", "Mail transactions, by what became of them", summed(by_state));
    let by_stage = ways.iter().flat_map(|(of, it)| {
        let failed = State::ALL.iter().filter(|&&state| state != State::Accepted);
        failed.flat_map(move |&state| {
            let count = move |&stage: &Stage| {
                let labels = and(and(way(of, it), "state", state.word()), "stage", stage.word());
                (labels, it.transactions(state, stage))
            };
            Stage::ALL.iter().map(count).filter(|(_, count)| *count > 0)
        })
    });
    page.counter(
        "relayscope_unaccepted_transactions",
        "Mail transactions that were not accepted, by the stage that decided",
        summed(by_stage),
    );
    let causes = ways.iter().flat_map(|(of, it)| {
        let count =
            |&cause: &Cause| (and(and(way(of, it), "cause", cause.word()), "act", cause.act().word()), it.causes.at(cause as usize));
        Cause::ALL.iter().map(count).filter(|(_, count)| *count > 0).collect::<Vec<_>>()
    });
    page.counter("relayscope_transaction_causes", "Mail transactions that were not accepted, by cause and who must act", summed(causes));
    let recipients = ways
        .iter()
        .flat_map(|(of, it)| State::ALL.iter().map(|&state| (and(way(of, it), "state", state.word()), it.recipients.at(state as usize))));
    page.counter("relayscope_recipients", "Recipients of mail transactions, by what became of them", summed(recipients));
    let replies = ways.iter().flat_map(|(of, it)| {
        (0..4).zip(["2xx", "3xx", "4xx", "5xx"]).map(|(at, class)| (and(way(of, it), "class", class), it.replies.at(at)))
    });
    page.counter("relayscope_replies", "Replies of upstreams, by the class of their code", summed(replies));
    let octets = ways.iter().map(|(of, it)| (way(of, it), it.octets.load(Relaxed)));
    page.counter("relayscope_message_bytes", "Octets of messages that were accepted", summed(octets));
}

fn times(page: &mut Page, ways: &[Way<'_>]) {
    let durations = ways.iter().map(|(of, it)| (way(of, it), it.durations.spread()));
    page.histogram("relayscope_transaction_duration_seconds", "From MAIL FROM to the end of a transaction", spreads(durations));
    // Over all listeners: there are many buckets.
    let phases = ways.iter().flat_map(|(_, it)| {
        let of = vec![("upstream", it.upstream.clone())];
        MailPhase::ALL.iter().zip(&it.phases).map(move |(phase, durations)| (and(of.clone(), "phase", phase.word()), durations.spread()))
    });
    page.histogram("relayscope_phase_duration_seconds", "How long the phases of transactions took", spreads(phases));
    let latency = ways.iter().map(|(_, it)| (vec![("upstream", it.upstream.clone())], it.latency.spread()));
    let help = "How long final replies were kept until their record was stored: what tracing costs a message";
    page.histogram("relayscope_relay_latency_seconds", help, spreads(latency));
}
