//! Families of numbers, and how they are written: Prometheus' text format 0.0.4, or OpenMetrics 1.0.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::proxy::Spread;

pub(super) type Labels = Vec<(&'static str, String)>;

/// What a scraper may want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    /// What of an `Accept` header is understood best: OpenMetrics only where it is asked for by name, and not refused (`q=0`).
    pub fn of_accept(accept: &str) -> Self {
        let weight = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |weight| weight.parse::<f32>().ok());
            (name, weight.unwrap_or(0.0))
        };
        let ranges: Vec<(String, f32)> = accept.split(',').map(weight).collect();
        let best = |names: &[&str]| {
            let of = ranges.iter().filter(|(name, _)| names.contains(&name.as_str()));
            of.map(|&(_, weight)| weight).fold(0.0, f32::max)
        };
        let open = best(&["application/openmetrics-text"]);
        if open > 0.0 && open >= best(&["text/plain"]) { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// All families at one moment.
#[derive(Debug, Default)]
pub struct Page(Vec<Family>);

#[derive(Debug)]
pub(super) struct Family {
    /// Without `_total`.
    pub name: &'static str,
    pub help: &'static str,
    kind: MetricType,
    pub samples: Vec<(Labels, Value)>,
}

#[derive(Debug)]
pub(super) enum Value {
    Count(u64),
    Gauge(f64),
    Spread(Spread),
}

impl Page {
    /// Something that only grows; `_total` is put behind its name.
    pub(super) fn counter(&mut self, name: &'static str, help: &'static str, samples: impl IntoIterator<Item = (Labels, u64)>) {
        let samples = samples.into_iter().map(|(labels, count)| (labels, Value::Count(count)));
        self.add(name, help, MetricType::Counter, samples.collect());
    }

    pub(super) fn gauge(&mut self, name: &'static str, help: &'static str, samples: impl IntoIterator<Item = (Labels, f64)>) {
        let samples = samples.into_iter().map(|(labels, number)| (labels, Value::Gauge(number)));
        self.add(name, help, MetricType::Gauge, samples.collect());
    }

    /// Durations; told in seconds.
    pub(super) fn histogram(&mut self, name: &'static str, help: &'static str, samples: impl IntoIterator<Item = (Labels, Spread)>) {
        let samples = samples.into_iter().map(|(labels, spread)| (labels, Value::Spread(spread)));
        self.add(name, help, MetricType::Histogram, samples.collect());
    }

    fn add(&mut self, name: &'static str, help: &'static str, kind: MetricType, samples: Vec<(Labels, Value)>) {
        self.0.push(Family { name, help, kind, samples });
    }

    pub(super) fn families(&self) -> impl Iterator<Item = &Family> {
        self.0.iter()
    }

    /// The page as text.
    pub fn text(self, format: Format) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        match format {
            Format::Prometheus => prometheus_text::encode(&mut text, &registry)?,
            Format::OpenMetrics => text::encode(&mut text, &registry)?,
        }
        Ok(text)
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.0.iter().filter(|family| !family.samples.is_empty()) {
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for (labels, value) in &family.samples {
                let mut metric = metric.encode_family(labels)?;
                match value {
                    Value::Count(count) => metric.encode_counter::<NoLabelSet, _, f64>(count, None)?,
                    Value::Gauge(number) => metric.encode_gauge(number)?,
                    Value::Spread(spread) => {
                        let bounds = spread.bounds.iter().map(|&us| seconds(us)).chain([f64::INFINITY]);
                        let buckets: Vec<(f64, u64)> = bounds.zip(spread.counts.iter().copied()).collect();
                        metric.encode_histogram::<NoLabelSet>(seconds(spread.sum_us), spread.total(), &buckets, None)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Microseconds as seconds.
pub(super) fn seconds(us: u64) -> f64 {
    us as f64 / 1_000_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("", Format::Prometheus),
            ("*/*", Format::Prometheus),
            ("text/plain, application/openmetrics-text;q=0.5", Format::Prometheus),
            ("application/openmetrics-text;q=0, text/plain;q=0.1", Format::Prometheus),
            ("application/openmetrics-text;q=junk", Format::Prometheus),
            (",;,;q=,", Format::Prometheus),
        ] {
            assert_eq!(Format::of_accept(accept), format, "{accept}");
        }
    }

    #[test]
    fn both_formats_escape_what_a_name_may_hold() {
        let page = || {
            let mut page = Page::default();
            let name = "a\"b\\c\nd} 1".to_owned();
            page.counter("relayscope_test", "What counts", [(vec![("listener", name)], 3)]);
            page.gauge("relayscope_empty", "Nobody has it", []);
            page.histogram(
                "relayscope_test_seconds",
                "How long",
                [(vec![], Spread { bounds: &[10, 1_000_000], counts: vec![1, 2, 3], sum_us: 2_500_000 })],
            );
            page
        };
        let escaped = r#"relayscope_test_total{listener="a\"b\\c\nd} 1"} 3"#;
        let text = page().text(Format::Prometheus).unwrap();
        let expected = format!(
            "# HELP relayscope_test_total What counts\n# TYPE relayscope_test_total counter\n{escaped}\n# HELP relayscope_test_seconds How long\n\
             # TYPE relayscope_test_seconds histogram\nrelayscope_test_seconds_bucket{{le=\"1e-05\"}} 1\n\
             relayscope_test_seconds_bucket{{le=\"1\"}} 3\nrelayscope_test_seconds_bucket{{le=\"+Inf\"}} 6\nrelayscope_test_seconds_sum 2.5\n\
             relayscope_test_seconds_count 6\n"
        );
        assert_eq!(text, expected);
        let text = page().text(Format::OpenMetrics).unwrap();
        assert!(text.contains(escaped) && text.contains("# TYPE relayscope_test counter\n") && text.ends_with("# EOF\n"), "{text}");
    }
}
