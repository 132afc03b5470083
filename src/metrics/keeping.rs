//! The trace store, and the incidents that are open.

use super::page::{Labels, Page, seconds};
use super::sources::Sources;
use crate::store::{Health, StoreStats};
use crate::trace::{Anomaly, Severity};

pub(super) fn add(page: &mut Page, sources: &Sources, stats: Option<&StoreStats>) {
    let alone = |number: u64| [(Labels::new(), number as f64)];
    let health = sources.store.health();
    page.gauge("relayscope_store_up", "1 while records are stored, 0 while they are lost", alone(u64::from(health.is_ok())));
    let since = match health {
        Health::Ok => None,
        Health::Failed { since, .. } => Some((Labels::new(), seconds(since))),
    };
    page.gauge("relayscope_store_failing_since_timestamp_seconds", "Since when records are lost; absent while they are not", since);
    let lost = sources.store.records_lost();
    page.counter("relayscope_store_records_lost", "Records that could not be stored", [(Labels::new(), lost)]);
    page.gauge("relayscope_store_stats_up", "1 if the store's files could be looked at in time", alone(u64::from(stats.is_some())));
    if let Some(it) = stats {
        page.counter("relayscope_store_written_bytes", "Octets written to the journal", [(Labels::new(), it.octets_written)]);
        page.counter("relayscope_store_batches", "Writes to the journal, each of one or many records", [(Labels::new(), it.batches)]);
        page.counter("relayscope_store_syncs", "Times that the journal was synced to the disk", [(Labels::new(), it.syncs)]);
        page.gauge("relayscope_store_records", "Records that are kept", alone(it.records));
        let oldest = it.oldest.map(|day| (Labels::new(), seconds(day.start())));
        page.gauge("relayscope_store_oldest_timestamp_seconds", "The beginning of the oldest day of which there are records", oldest);
        let part = |name: &str, octets: u64| (vec![("part", name.to_owned())], octets as f64);
        let records = it.journal_octets.saturating_sub(it.dialogue_octets);
        let parts = [part("records", records), part("dialogues", it.dialogue_octets), part("index", it.index_octets)];
        page.gauge("relayscope_store_bytes", "Octets of the store on the disk", parts);
        page.gauge(
            "relayscope_store_unindexed_records",
            "Records that are written and can't be searched for quickly yet",
            alone(it.unindexed),
        );
    }

    let open = sources.incidents.load();
    let of = |&anomaly: &Anomaly| {
        let open = open.clone();
        Severity::ALL.iter().filter_map(move |&severity| {
            let count = open.get(&(anomaly, severity)).copied().unwrap_or_default();
            let labels = vec![("anomaly", anomaly.word().to_owned()), ("severity", severity.word().to_owned())];
            (count > 0).then_some((labels, count as f64))
        })
    };
    let by_kind: Vec<_> = Anomaly::ALL.iter().flat_map(of).collect();
    page.gauge("relayscope_incidents_open", "Incidents that are open, by what they are; absent where there is none", by_kind);
    let by_severity = Severity::ALL.iter().map(|&severity| {
        let count: u64 = open.iter().filter(|((_, it), _)| *it == severity).map(|(_, count)| count).sum();
        (vec![("severity", severity.word().to_owned())], count as f64)
    });
    page.gauge("relayscope_incidents_open_by_severity", "Incidents that are open, by how bad they are", by_severity);
}
