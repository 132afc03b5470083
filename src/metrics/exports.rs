//! Exports: what was sent, what waits, and what never will be.

use super::page::{Labels, Page, seconds};
use crate::export::{Handle, Snapshot, State};

type Pick = fn(&Snapshot) -> u64;

const COUNTERS: [(&str, &str, Pick); 6] = [
    ("relayscope_export_sent_events", "Events, or points of metrics, that the receiver has", |it| it.sent),
    ("relayscope_export_sent_bytes", "Octets of what the receiver has", |it| it.octets),
    ("relayscope_export_filtered_records", "Records that are not for this receiver", |it| it.filtered),
    ("relayscope_export_refused_events", "Events, or points of metrics, that the receiver refused for good", |it| it.refused),
    ("relayscope_export_expired_records", "Records that retention removed before they were sent", |it| it.expired),
    ("relayscope_export_failures", "Attempts to send that failed", |it| it.failures),
];

pub(super) fn add(page: &mut Page, handles: &[Handle]) {
    let snapshots: Vec<(Labels, Snapshot)> = handles
        .iter()
        .map(|handle| handle.status.snapshot())
        .map(|it| (vec![("export", it.name.clone()), ("kind", it.kind.to_owned())], it))
        .collect();
    for (name, help, pick) in COUNTERS {
        page.counter(name, help, snapshots.iter().map(|(labels, it)| (labels.clone(), pick(it))));
    }
    let gauge = |pick: fn(&Snapshot) -> f64| snapshots.iter().map(move |(labels, it)| (labels.clone(), pick(it))).collect::<Vec<_>>();
    let up = gauge(|it| f64::from(u8::from(!matches!(it.state, State::Failing { .. }))));
    page.gauge("relayscope_export_up", "0 while the receiver takes nothing", up);
    page.gauge("relayscope_export_backlog_records", "Records that wait to be sent", gauge(|it| it.backlog as f64));
    page.gauge("relayscope_export_lag_seconds", "Age of the oldest record that waits", gauge(|it| seconds(it.lag_us)));
    let last = snapshots.iter().filter_map(|(labels, it)| Some((labels.clone(), seconds(it.last_sent_at?))));
    page.gauge("relayscope_export_last_sent_timestamp_seconds", "When the receiver last took something", last);
}
