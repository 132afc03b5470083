//! From what a server said to why it said so, who must act, and what to do. Pure: no I/O, no clock.
//!
//! [`Rules`] holds the knowledge, which is data (`rules/*.toml`). A reply is made comparable ([`normal`]), what it quotes is unwrapped ([`wrapped`]), who
//! spoke is recognised, and of all rules that match the one with the highest rank decides. ARCHITECTURE.md tells how to write one.

mod advice;
mod cause;
mod classify;
mod diagnosing;
mod explained;
mod facts;
mod file;
mod greeted;
mod mailbox;
mod normal;
mod patterns;
mod provider;
mod reported;
mod rule;
mod rules;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails says where")]
mod tests;
mod words;
mod wrapped;

pub use cause::{Act, Cause, Permanence};
pub use diagnosing::Diagnosing;
pub use explained::{Explained, Matched};
pub use facts::{Facts, Verdict};
pub use file::RulesError;
pub use rules::Rules;
