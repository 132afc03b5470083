//! How detectors are tried: a record is shown, a judgement asked for, one finding expected.

use super::{Detector, Finding, Findings, Seen};
use crate::trace::{Anomaly, Record, WallMicros};

pub fn feed(detector: &mut dyn Detector, record: &Record) {
    detector.observe(&Seen::of(record));
}

/// What is raised at that time.
pub fn judge(detector: &mut dyn Detector, now: WallMicros) -> Vec<Finding> {
    let mut findings = Findings::default();
    detector.judge(now, &mut findings);
    findings.raised().to_vec()
}

/// The one finding there is.
#[track_caller]
pub fn one(found: &[Finding], anomaly: Anomaly) -> &Finding {
    let [finding] = found else { panic!("{found:#?}") };
    assert_eq!(finding.anomaly, anomaly, "{finding:#?}");
    finding
}
