//! The same families as OpenTelemetry has them: sums, gauges and histograms, each encoded by itself.
//!
//! A name's parts are separated by points where a part of the house begins, and its unit is a field of its own (UCUM, or what is counted, in
//! braces). A Prometheus behind the receiver that translates names as OpenTelemetry's specification says ("Prometheus and OpenMetrics
//! Compatibility") comes to those of `/metrics` again, so that the same rules and dashboards hold. Attributes are the labels.

use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ScopeMetrics, Sum, metric, number_data_point,
};
use prost::Message;

use super::page::{Family, Labels, Page, Value, seconds};
use crate::trace::WallMicros;

/// Parts of the house, whose families belong together.
const PARTS: [&str; 5] = ["config", "export", "listener", "store", "upstream"];

/// What is counted, by a word of the name.
const COUNTED: [(&str, &str); 17] = [
    ("addresses", "{address}"),
    ("batches", "{batch}"),
    ("causes", "{transaction}"),
    ("events", "{event}"),
    ("failures", "{failure}"),
    ("fds", "{file}"),
    ("flags", "{transaction}"),
    ("incidents", "{incident}"),
    ("lookups", "{lookup}"),
    ("probes", "{probe}"),
    ("recipients", "{recipient}"),
    ("records", "{record}"),
    ("replies", "{reply}"),
    ("sessions", "{session}"),
    ("syncs", "{sync}"),
    ("transactions", "{transaction}"),
    ("unreached", "{attempt}"),
];

/// From when to when the numbers were counted.
#[derive(Debug, Clone, Copy)]
struct Span {
    from_ns: u64,
    to_ns: u64,
}

impl Page {
    /// Each family as the field of `ScopeMetrics` that it is, and how many points they are. Counters began at `from`.
    pub fn otlp(&self, from: WallMicros, now: WallMicros) -> (Vec<Vec<u8>>, u64) {
        let span = Span { from_ns: from.saturating_mul(1_000), to_ns: now.max(from).saturating_mul(1_000) };
        let families = self.families().filter(|family| !family.samples.is_empty());
        let metrics: Vec<Vec<u8>> = families.map(|family| encoded(of_family(family, span))).collect();
        (metrics, self.families().map(|family| family.samples.len() as u64).sum())
    }
}

fn encoded(metric: Metric) -> Vec<u8> {
    ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }.encode_to_vec()
}

fn of_family(family: &Family, span: Span) -> Metric {
    let (name, unit) = named(family.name);
    let temporality = AggregationTemporality::Cumulative.into();
    let points = || family.samples.iter();
    let data = match family.samples.first() {
        Some((_, Value::Spread(_))) => metric::Data::Histogram(Histogram {
            data_points: points().filter_map(|(labels, value)| of_spread(labels, value, span)).collect(),
            aggregation_temporality: temporality,
        }),
        Some((_, Value::Count(_))) => metric::Data::Sum(Sum {
            data_points: points().map(|(labels, value)| of_number(labels, value, span)).collect(),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        _ => metric::Data::Gauge(Gauge { data_points: points().map(|(labels, value)| of_number(labels, value, span)).collect() }),
    };
    Metric { name, description: family.help.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

fn of_number(labels: &Labels, value: &Value, span: Span) -> NumberDataPoint {
    let (value, from_ns) = match value {
        Value::Count(count) => (Some(number_data_point::Value::AsInt(i64::try_from(*count).unwrap_or(i64::MAX))), span.from_ns),
        // A gauge has no beginning.
        Value::Gauge(number) => (Some(number_data_point::Value::AsDouble(*number)), 0),
        Value::Spread(_) => (None, 0),
    };
    NumberDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: from_ns,
        time_unix_nano: span.to_ns,
        value,
        ..NumberDataPoint::default()
    }
}

fn of_spread(labels: &Labels, value: &Value, span: Span) -> Option<HistogramDataPoint> {
    let Value::Spread(spread) = value else { return None };
    Some(HistogramDataPoint {
        attributes: attributes(labels),
        start_time_unix_nano: span.from_ns,
        time_unix_nano: span.to_ns,
        count: spread.total(),
        sum: Some(seconds(spread.sum_us)),
        bucket_counts: spread.counts.clone(),
        explicit_bounds: spread.bounds.iter().map(|&us| seconds(us)).collect(),
        ..HistogramDataPoint::default()
    })
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    let of = |(name, value): &(&'static str, String)| KeyValue {
        key: (*name).to_owned(),
        value: Some(AnyValue { value: Some(any_value::Value::StringValue(value.clone())) }),
        ..KeyValue::default()
    };
    labels.iter().map(of).collect()
}

/// Name and unit; a family that counts nothing has none ("1" would make Prometheus call it a ratio).
fn named(name: &str) -> (String, &'static str) {
    let units = [("_timestamp_seconds", "_timestamp", "s"), ("_seconds", "", "s"), ("_bytes", "", "By")];
    let with_unit = units.into_iter().find_map(|(end, kept, unit)| Some((format!("{}{kept}", name.strip_suffix(end)?), unit)));
    let (name, unit) = with_unit.unwrap_or_else(|| {
        let counted = name.split('_').find_map(|word| COUNTED.iter().find(|(counted, _)| *counted == word));
        // Whether it is so, and when it was, are no counts.
        let is_count = !name.ends_with("_up");
        (name.to_owned(), counted.filter(|_| is_count).map_or("", |(_, unit)| unit))
    });
    let Some((house, rest)) = name.split_once('_') else { return (name, unit) };
    match rest.split_once('_') {
        Some((part, rest)) if PARTS.contains(&part) => (format!("{house}.{part}.{rest}"), unit),
        _ => (format!("{house}.{rest}"), unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::Spread;

    #[test]
    fn names_have_their_units_beside_them_and_are_found_again_in_prometheus() {
        for (name, expected, unit) in [
            ("relayscope_transactions", "relayscope.transactions", "{transaction}"),
            ("relayscope_transaction_duration_seconds", "relayscope.transaction_duration", "s"),
            ("relayscope_store_bytes", "relayscope.store", "By"),
            ("relayscope_store_written_bytes", "relayscope.store.written", "By"),
            ("relayscope_store_stats_up", "relayscope.store.stats_up", ""),
            ("relayscope_export_sent_events", "relayscope.export.sent_events", "{event}"),
            ("relayscope_export_last_sent_timestamp_seconds", "relayscope.export.last_sent_timestamp", "s"),
            ("relayscope_upstream_host_up", "relayscope.upstream.host_up", ""),
            ("relayscope_config_last_reload_successful", "relayscope.config.last_reload_successful", ""),
            ("process_resident_memory_bytes", "process.resident_memory", "By"),
            ("process_start_time_seconds", "process.start_time", "s"),
        ] {
            assert_eq!(named(name), (expected.to_owned(), unit), "{name}");
            let suffix = match unit {
                "s" => "_seconds",
                "By" => "_bytes",
                _ => "",
            };
            assert_eq!(format!("{}{suffix}", expected.replace('.', "_")), name);
        }
    }

    #[test]
    fn counters_and_histograms_count_from_the_beginning_and_gauges_are_of_now() {
        let mut page = Page::default();
        page.counter(
            "relayscope_sessions",
            "Sessions",
            [(vec![("listener", "smtp".to_owned())], 3), (vec![("listener", "b".to_owned())], 0)],
        );
        page.gauge("relayscope_empty", "Nobody has it", []);
        page.gauge("relayscope_draining", "Whether", [(vec![], 1.0)]);
        let spread = Spread { bounds: &[10, 1_000_000], counts: vec![1, 2, 3], sum_us: 2_500_000 };
        page.histogram("relayscope_phase_duration_seconds", "How long", [(vec![], spread)]);
        let (families, points) = page.otlp(7, 9);
        assert_eq!((families.len(), points), (3, 4));
        let decoded = |octets: &Vec<u8>| ScopeMetrics::decode(&octets[..]).unwrap().metrics.remove(0);
        let metrics: Vec<Metric> = families.iter().map(decoded).collect();
        let Some(metric::Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
        assert!(sum.is_monotonic && sum.aggregation_temporality() == AggregationTemporality::Cumulative);
        let first = &sum.data_points[0];
        assert_eq!((first.start_time_unix_nano, first.time_unix_nano), (7_000, 9_000));
        assert_eq!((first.value, first.attributes[0].key.as_str()), (Some(number_data_point::Value::AsInt(3)), "listener"));
        let Some(metric::Data::Gauge(gauge)) = &metrics[1].data else { panic!("{metrics:?}") };
        assert_eq!((gauge.data_points[0].start_time_unix_nano, gauge.data_points[0].time_unix_nano), (0, 9_000));
        let Some(metric::Data::Histogram(histogram)) = &metrics[2].data else { panic!("{metrics:?}") };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum, &point.bucket_counts[..]), (6, Some(2.5), &[1, 2, 3][..]));
        assert_eq!((&point.explicit_bounds[..], point.start_time_unix_nano), (&[0.000_01, 1.0][..], 7_000));
    }
}
