//! What a detector says when it judges: this is wrong, or this is over.

use crate::trace::{About, AboutKind, Act, Anomaly, Cause, Change, RecordId, Severity, WallMicros};

/// Something is wrong. Said again at each judgement as long as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub anomaly: Anomaly,
    /// What it concerns; together with the anomaly its identity, so nothing that varies while it lasts.
    pub about: Vec<About>,
    pub severity: Severity,
    /// What happens, in one sentence, with its numbers.
    pub summary: String,
    /// The numbers, the threshold, and what was made of them: "37 of 40 refused (92 %) in 10 min; usual 2 %; threshold 30 % of at least 20".
    pub arithmetic: String,
    /// What is usual, where that is known.
    pub baseline: Option<String>,
    pub cause: Option<Cause>,
    pub act: Act,
    pub advice: String,
    /// The first and the last event that count in this judgement.
    pub since: WallMicros,
    pub last: WallMicros,
    /// Events since the judgement before: the incident's own count is the sum.
    pub fresh: u64,
    /// Records that show it, oldest first; a handful.
    pub samples: Vec<RecordId>,
    pub change: Option<Change>,
    /// The incident is over by itself when this was not said again for so long, in µs. Absent: for half an hour.
    pub quiet_after_us: Option<u64>,
}

impl Finding {
    /// A finding with what every one has; the rest is filled in by `with_…` or field by field.
    pub fn new(anomaly: Anomaly, severity: Severity, summary: impl Into<String>, arithmetic: impl Into<String>) -> Self {
        Self {
            anomaly,
            about: Vec::new(),
            severity,
            summary: summary.into(),
            arithmetic: arithmetic.into(),
            baseline: None,
            cause: None,
            act: Act::LocalAdmin,
            advice: String::new(),
            since: 0,
            last: 0,
            fresh: 0,
            samples: Vec::new(),
            change: None,
            quiet_after_us: None,
        }
    }

    #[must_use]
    pub fn about(mut self, kind: AboutKind, value: impl Into<String>) -> Self {
        self.about.push(About { kind, value: value.into() });
        self
    }

    /// Why, and who must act where the cause alone says it.
    #[must_use]
    pub fn caused(self, cause: Cause) -> Self {
        Self { cause: Some(cause), act: cause.act(), ..self }
    }

    #[must_use]
    pub fn advising(self, act: Act, advice: impl Into<String>) -> Self {
        Self { act, advice: advice.into(), ..self }
    }

    /// The events that count: the first, the last, how many since the judgement before, and some of their records.
    #[must_use]
    pub fn evidence(self, since: WallMicros, last: WallMicros, fresh: u64, samples: Vec<RecordId>) -> Self {
        Self { since, last, fresh, samples, ..self }
    }

    /// It is over by itself when it wasn't said again for so long, in µs.
    #[must_use]
    pub fn lasting(self, quiet_after_us: u64) -> Self {
        Self { quiet_after_us: Some(quiet_after_us), ..self }
    }
}

/// What all detectors say in one judgement.
#[derive(Debug, Default)]
pub struct Findings {
    pub(super) raised: Vec<Finding>,
    pub(super) cleared: Vec<Cleared>,
}

/// Something is over, as far as its detector can tell.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cleared {
    pub anomaly: Anomaly,
    pub about: Vec<About>,
    /// In one sentence.
    pub why: String,
}

impl Findings {
    pub fn raise(&mut self, finding: Finding) {
        self.raised.push(finding);
    }

    /// Says that it is over; nothing happens if it never was.
    pub fn clear(&mut self, anomaly: Anomaly, about: Vec<About>, why: impl Into<String>) {
        self.cleared.push(Cleared { anomaly, about, why: why.into() });
    }

    /// What was raised, for tests of a single detector.
    pub fn raised(&self) -> &[Finding] {
        &self.raised
    }
}
