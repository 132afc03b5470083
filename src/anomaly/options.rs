//! Thresholds and bounds of all detectors, with sound defaults.

/// How anomalies are found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    pub book: super::book::Options,
    pub limits: super::limits::Options,
    pub upstream: super::upstream::Options,
}
