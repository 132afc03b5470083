//! What goes wrong in the life of a mail server, as it really happens: each of the ten causes of mail trouble is brought about with real
//! servers, mail passes through the true binary meanwhile, and Relayscope must name the cause within 60 seconds, and nothing that isn't true.
//!
//! What a situation needs and the machine lacks is said in a line that begins with SKIPPED; `tests/run` installs it all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that can't go on should stop where it is

#[allow(dead_code, reason = "shared with the end-to-end tests, which use more of it")]
#[path = "../support/e2e/mod.rs"]
mod support;

mod addresses;
mod blocks;
mod dns_changes;
mod firewall;
mod history;
mod hosts;
mod logins;
mod mailboxes;
mod own;
mod peers;
mod quotas;
mod receiver;
mod report;
mod resolver;
mod reverse;
mod scene;
mod smart_host;
mod spam;
mod stopped;
mod strangers;
mod traffic;
mod volume;
mod ways;

use report::Situation;

/// By the ten causes.
const SITUATIONS: &[&[Situation]] = &[
    dns_changes::SITUATIONS,
    firewall::SITUATIONS,
    spam::SITUATIONS,
    stopped::SITUATIONS,
    resolver::SITUATIONS,
    addresses::SITUATIONS,
    mailboxes::SITUATIONS,
    quotas::SITUATIONS,
    hosts::SITUATIONS,
    reverse::SITUATIONS,
    blocks::SITUATIONS,
];

/// What is named beside those.
const OTHERS: &[&[Situation]] =
    &[logins::SITUATIONS, strangers::SITUATIONS, ways::SITUATIONS, peers::SITUATIONS, volume::SITUATIONS, own::SITUATIONS];

#[test]
fn the_ten_causes_of_mail_trouble_are_named() {
    play(SITUATIONS);
}

#[test]
fn other_anomalies_are_named() {
    play(OTHERS);
}

fn play(situations: &[&[Situation]]) {
    let only = std::env::var("RELAYSCOPE_SCENARIO").unwrap_or_default();
    let chosen: Vec<Situation> = situations.concat().into_iter().filter(|it| it.to_string().contains(&only)).collect();
    let report = report::play(&chosen);
    println!("{report}");
    report.judge();
}
