//! The relay engine.

pub mod options;
