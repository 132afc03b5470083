//! What receivers think of this machine and its senders: block lists, reverse DNS, sender authentication, spam verdicts, and how much they refuse.
//!
//! Only mail that goes out counts: that the server behind refuses strangers for the same reasons is its daily work.

pub mod lists;
pub mod options;
pub mod ratio;
pub mod refusals;
#[cfg(test)]
mod tests;

use super::detector::Detector;

pub use options::Options;
pub use ratio::Ratio;
pub use refusals::Refusals;

/// Those of this group.
pub fn detectors(options: &Options) -> Vec<Box<dyn Detector>> {
    vec![Box::new(Refusals::new(options)), Box::new(Ratio::new(options))]
}
