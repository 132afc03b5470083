//! `doctor message ID`: only what can explain why that message stopped, and one sentence at the end.
//!
//! [`plan`] is pure: from what is on record to what is worth examining.

mod facts;
mod plan;
mod sum;

pub use facts::{Stopped, Stranger};
pub use plan::{Look, plan};
pub use sum::sum_up;
