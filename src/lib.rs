//! Relayscope: an inline SMTP proxy that traces every mail transaction.
//!
//! The modules stand in floors; each imports only from lower ones (held by `tests/architecture.rs`, told in ARCHITECTURE.md).

pub mod anomaly;
pub mod app;
pub mod cli;
pub mod config;
pub mod diagnose;
pub mod doctor;
pub mod export;
pub mod http;
pub mod import;
pub mod message;
pub mod metrics;
pub mod net;
pub mod path;
pub mod proxy;
pub mod relay;
mod replace;
pub mod route;
pub mod smtp;
pub mod store;
pub mod trace;
mod vocabulary;
mod wording;
