//! Holes in the trace.

use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{HOUR, MINUTE, Sliding};
use crate::trace::{Act, Anomaly, Gap, Record, RecordId, Severity, WallMicros};
use crate::wording::{clock, number, quoted, span};

const ADVICE: &str = "Look at the disk of the store: space, file system, speed, permissions (`relayscope store check`). `where` answers for that time with a warning.";

/// The store can't be written, so that what it costs isn't recorded either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    pub since: WallMicros,
    pub why: String,
}

/// What is wrong while records are being lost.
pub fn at_present(loss: &Loss, now: WallMicros) -> Finding {
    let summary = format!("records are being lost since {}, while mail flows on", clock(loss.since, now));
    let arithmetic = format!("the store can't be written for {}: {}", span(now.saturating_sub(loss.since)), quoted([&loss.why]));
    Finding::new(Anomaly::TracingGap, Severity::Critical, summary, arithmetic)
        .advising(Act::LocalAdmin, ADVICE)
        .evidence(loss.since, now, 0, Vec::new())
        .lasting(HOUR)
}

/// What was lost within the last hour.
#[derive(Debug)]
pub struct Gaps {
    lost: Sliding,
    latest: Option<Gap>,
    since: WallMicros,
    fresh: u64,
    samples: Vec<RecordId>,
}

impl Default for Gaps {
    fn default() -> Self {
        Self { lost: Sliding::new(6, 10 * MINUTE), latest: None, since: 0, fresh: 0, samples: Vec::new() }
    }
}

impl Detector for Gaps {
    fn name(&self) -> &'static str {
        "tracing_gap"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        let Record::Gap(gap) = seen.record else { return };
        if self.lost.count_at(seen.at) == 0 {
            (self.since, self.samples) = (gap.from, Vec::new());
        }
        self.lost.add(seen.at, gap.records_lost.max(1));
        self.fresh += gap.records_lost.max(1);
        if self.samples.len() < 6 {
            self.samples.push(seen.id);
        }
        self.latest = Some(gap.clone());
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let Some(gap) = &self.latest else { return };
        let lost = self.lost.count(now);
        if lost == 0 {
            self.latest = None;
            return;
        }
        let summary =
            format!("the trace has a hole: {} records were lost since {}, while mail flowed on", number(lost), clock(self.since, now));
        let arithmetic = format!(
            "{} lost within the last hour; the latest hole from {} for {}: {}",
            number(lost),
            clock(gap.from, now),
            span(gap.until.saturating_sub(gap.from)),
            quoted([&gap.why])
        );
        let finding = Finding::new(Anomaly::TracingGap, Severity::Critical, summary, arithmetic)
            .advising(Act::LocalAdmin, ADVICE)
            .evidence(self.since, gap.until, std::mem::take(&mut self.fresh), self.samples.clone());
        findings.raise(finding.lasting(HOUR));
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &(&self.lost, &self.latest, self.since, self.fresh, &self.samples))
    }

    fn restore(&mut self, kept: &[u8]) -> bool {
        let Some((lost, latest, since, fresh, samples)) = kept::read(1, kept) else { return false };
        *self = Self { lost, latest, since, fresh, samples };
        true
    }

    fn forgotten(&self) -> u64 {
        0
    }
}
