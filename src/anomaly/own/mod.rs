//! Relayscope's own troubles, from what it records of itself.

mod exports;

use crate::anomaly::detector::Detector;

/// All detectors of this group.
pub fn detectors() -> Vec<Box<dyn Detector>> {
    vec![Box::new(exports::Exports::default())]
}
