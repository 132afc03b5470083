//! What an administrator installs: units for systemd, the Debian package, the container file.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

#[allow(dead_code, reason = "it serves all end-to-end tests")]
#[path = "../support/e2e/mod.rs"]
mod support;

mod container;
mod machine;
mod package;
mod runtime;
mod setup;
mod units;
mod upgrade;
