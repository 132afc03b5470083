//! Sending limits: how much of a quota is used, when it will be used up, and what the provider says when it is.
//!
//! [`counted`] counts what went out by upstream and account, [`said`] reads limits out of refusals, [`account`] learns them, [`forecast`]
//! says when a quota ends, [`refusals`] keeps what providers refused, and [`detector`] makes findings of it.

pub mod account;
pub mod counted;
pub mod detector;
pub mod forecast;
pub mod options;
pub mod refusals;
pub mod said;
#[cfg(test)]
mod tests;

pub use account::{Exhausted, Use};
pub use detector::Limits;
pub use options::{Configured, Counts, DayBoundary, Options, Period};
