//! Flags what is going wrong, from the records as they come: incidents, each with its arithmetic.
//!
//! [`Watch`] is the whole, without I/O and without a clock: records and times go in, entries of incidents come out, so that a week can be
//! replayed in seconds. [`seen`] is what detectors look at, [`finding`] what they say, [`book`] makes incidents of it: opened once, grown,
//! resolved, reopened, muted. A detector counts as records pass and judges every ten seconds; it never waits, and its memory is bounded.
//!
//! ```text
//! journal ─► Watch::observe ─► Seen ─► each Detector counts
//!   clock ─► Watch::tick ─► each Detector judges ─► Finding ─► Book ─► Incident ─► journal, log, webhook, command
//! ```

pub mod auth;
pub mod book;
pub mod detector;
pub mod dns_watch;
pub mod finding;
pub mod flow;
mod kept;
pub mod limits;
pub mod options;
pub mod own;
pub mod pair;
pub mod peers;
pub mod protocol;
mod recent;
pub mod reputation;
mod room;
#[cfg(test)]
pub mod samples;
pub mod seen;
#[cfg(test)]
mod trial;
pub mod upstream;
pub mod volume;
mod watch;
pub mod window;

pub use book::Book;
pub use detector::Detector;
pub use dns_watch::DnsWatch;
pub use finding::{Finding, Findings};
pub use options::Options;
pub use protocol::gap::Loss;
pub use seen::Seen;
pub use watch::Watch;
