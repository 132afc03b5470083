//! Examines an address that mail is sent from: its name, the name it gives itself, and what others think of it.

mod generic;
mod name;
mod options;

use std::net::IpAddr;

pub use options::SenderOptions;

use super::report::{Report, Section};
use crate::net::resolve::Resolver;

/// Examines `address` as the sender of mail. Never takes longer than [`SenderOptions::limit`].
pub async fn examine_sender(resolver: &Resolver, options: &SenderOptions, address: IpAddr) -> Report {
    let address = address.to_canonical();
    let mut names = Section::new("Its name");
    names.checks = name::examine(resolver, options, address).await;
    Report::of(format!("sender {address}"), vec![names])
}
