//! What mail needs of DNS, against real servers: Knot serves and signs the zones, Unbound resolves and validates.
//!
//! What a test needs and the machine lacks is said in a line that begins with SKIPPED; `tests/run` installs it all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

#[allow(dead_code, reason = "shared with the end-to-end tests, which use it all")]
#[path = "../support/e2e/mod.rs"]
mod support;

#[path = "../stories/mod.rs"]
mod stories;

mod dane;
mod doctor;
mod exchangers;
mod failures;
mod mta_sts;
mod watch;

use std::future::Future;
use std::time::Duration;

use relayscope::net::resolve::{Options, Resolver, TrustAd};

use support::dns::Dns;

/// For each question; a test that comes to it fails.
const LONG: Duration = Duration::from_secs(60);

/// A resolver as a proxy would have it, with this server alone.
fn resolver(dns: &Dns) -> Resolver {
    Resolver::new(&Options { servers: vec![dns.resolver_address()], hosts_file: false, trust_ad: TrustAd::Loopback })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
