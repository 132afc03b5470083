//! What the end-to-end tests stand on: the true binary, real mail servers, and own peers where octets must be exact.

pub mod api;
pub mod certificates;
pub mod client;
pub mod disk;
#[allow(dead_code, reason = "not every story needs each record type")]
pub mod dns;
pub mod dovecot;
pub mod haproxy;
pub mod log_server;
pub mod message;
pub mod mount;
pub mod netns;
pub mod packed;
pub mod place;
pub mod ports;
pub mod postfix;
pub mod process;
pub mod programs;
pub mod prometheus;
pub mod receiver;
pub mod records;
pub mod relayscope;
pub mod sink;
pub mod swaks;

use std::time::Duration;

/// How long anything is waited for before the test fails. Nothing is ever waited for without a reason to end earlier.
pub const PATIENCE: Duration = Duration::from_secs(90);
