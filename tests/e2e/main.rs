//! End to end: the true binary between real mail servers, in directories and on ports of its own.
//!
//! What a test needs and the machine lacks is said in a line that begins with SKIPPED; `tests/run` installs it all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

#[allow(dead_code, reason = "shared with the scenarios, which use more of it")]
#[path = "../support/e2e/mod.rs"]
mod support;

mod activation;
mod anomalies;
mod auth;
mod bad_input;
mod broken_host;
mod broken_store;
mod crash;
mod doctor;
mod doctor_networks;
mod doctor_ways;
mod exact;
mod failing_disk;
mod handover;
mod health;
mod inbound;
mod interception;
mod journal;
mod lmtp;
mod metrics;
mod mx;
mod open_relay;
mod own_log;
mod passthrough;
mod postfix;
mod postfix_tools;
mod prometheus;
mod proxy_protocol;
mod reload;
mod secrecy;
mod stalls;
mod startup;
mod under_way;
mod webhook;
