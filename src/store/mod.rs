//! The trace store.

pub mod options;

pub use options::{Durability, Options};
