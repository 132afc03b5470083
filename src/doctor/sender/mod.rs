//! Examines an address that mail is sent from: its name, the name it gives itself, and what others think of it.

mod blocklists;
mod generic;
mod lists;
mod name;
mod options;

use std::net::IpAddr;

pub use options::SenderOptions;

use super::check::Check;
use super::dns::spf;
use super::limit::Limit;
use super::report::Report;
use crate::net::resolve::Resolver;

/// Domains whose SPF records are evaluated.
const MOST_DOMAINS: usize = 10;

/// Examines `address` as the sender of mail. Never takes longer than [`SenderOptions::limit`].
pub async fn examine_sender(resolver: &Resolver, options: &SenderOptions, address: IpAddr) -> Report {
    let address = address.to_canonical();
    let limit = Limit::of(options.limit);
    let (names, spf, lists) = tokio::join!(
        limit.section("Its name", name::examine(resolver, options, address)),
        limit.section("Whether domains let it send (SPF)", may_send(resolver, options, address)),
        limit.section("Blocklists", blocklists::examine(resolver, options, address)),
    );
    let sections = [names, spf, lists].into_iter().filter(|section| !section.checks.is_empty());
    Report::of(format!("sender {address}"), sections.collect())
}

async fn may_send(resolver: &Resolver, options: &SenderOptions, address: IpAddr) -> Vec<Check> {
    let mut checks = Vec::new();
    for domain in options.domains.iter().take(MOST_DOMAINS) {
        checks.push(spf::sender(resolver, domain, address, &options.helo, options.patience).await);
    }
    checks
}
