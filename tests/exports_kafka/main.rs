//! Forwarding to Kafka: a broker that speaks its protocol (Tansu), read with librdkafka; before it a door that adds TLS, logins and troubles.
//!
//! What a test needs and the machine lacks is said in a line that begins with SKIPPED; `tests/run` installs it all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

#[allow(dead_code, unused_macros, unused_imports, reason = "shared with the end-to-end tests, which use it all")]
#[path = "../support/e2e/mod.rs"]
mod support;

mod broker;
mod cluster;
mod delivery;
mod door;
mod login;
#[allow(dead_code, reason = "shared with the other tests of exports")]
#[path = "../exports/mail.rs"]
mod mail;
mod scene;
mod trouble;
