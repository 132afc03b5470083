//! Forwarding, against real receivers: rsyslog and syslog-ng as Debian has them, and strict servers of HTTP's kinds.
//!
//! What a test needs and the machine lacks is said in a line that begins with SKIPPED; `tests/run` installs it all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

#[allow(dead_code, unused_macros, unused_imports, reason = "shared with the end-to-end tests, which use it all")]
#[path = "../support/e2e/mod.rs"]
mod support;

mod command;
mod file;
mod mail;
mod replay;
mod syslog;
mod web;
mod web_server;
