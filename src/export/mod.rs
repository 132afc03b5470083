//! Forwards traces to other systems: what an event looks like there, and how it gets there.

pub mod format;
