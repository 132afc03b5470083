//! Relayscope: an inline SMTP proxy that traces every mail transaction.
//!
//! The modules stand in floors; each imports only from lower ones (held by `tests/architecture.rs`, told in ARCHITECTURE.md).

pub mod trace;

pub mod relay;
#[allow(dead_code)]
pub mod store;

pub mod path;
