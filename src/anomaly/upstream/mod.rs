//! What is wrong with an upstream, or on the way to it.
//!
//! [`attempts`] reads out of a record which hosts could be had; [`health`] makes of it that one is down, comes and goes, or that a port is
//! blocked; [`dns`] tells a resolver's trouble from a domain's; [`slow`] compares each phase with what is usual there; [`closing`] counts
//! sessions that the upstream ends.

pub mod attempts;
pub mod closing;
pub mod dns;
pub mod health;
mod host;
pub mod options;
pub mod slow;
mod telling;
#[cfg(test)]
mod tests;

use super::detector::Detector;

pub use closing::Closing;
pub use dns::Dns;
pub use health::Health;
pub use options::Options;
pub use slow::Slow;

/// Those of this group.
pub fn detectors(options: &Options) -> Vec<Box<dyn Detector>> {
    vec![Box::new(Health::new(options)), Box::new(Dns::new(options)), Box::new(Slow::new(options)), Box::new(Closing::new(options))]
}

/// Whether a reply speaks of too many connections, not of too much mail.
pub fn names_connections(words: &str) -> bool {
    const CONNECTION: &[&str] = &["connection", "session", "verbindungen", "connexions"];
    const TOO_MANY: &[&str] = &["too many", "limit", "exceed", "maximum", "max ", "concurrent", "simultaneous", "zu viele", "trop de"];
    let has = |known: &&str| contains(words, known);
    CONNECTION.iter().any(has) && TOO_MANY.iter().any(has)
}

/// Without regard to case, and without a copy.
fn contains(words: &str, known: &str) -> bool {
    words.as_bytes().windows(known.len()).any(|it| it.eq_ignore_ascii_case(known.as_bytes()))
}
