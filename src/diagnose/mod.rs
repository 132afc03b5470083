//! From what a server said to why it said so, who must act, and what to do. Pure: no I/O, no clock.

mod cause;

pub use cause::{Act, Cause, Permanence};
