//! Forwarding by OTLP and as GELF, against strict receivers: one built from the protocol's own messages, and small ones that check frames.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

#[allow(dead_code, unused_macros, unused_imports, reason = "shared with the end-to-end tests, which use it all")]
#[path = "../support/e2e/mod.rs"]
mod support;

mod gelf;
mod grpc;
mod grpc_server;
#[allow(dead_code, reason = "shared with the other tests of exports")]
#[path = "../exports/mail.rs"]
mod mail;
mod metrics;
mod otlp;
mod otlp_server;
