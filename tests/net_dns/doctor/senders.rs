//! Senders: names that lead back or don't, and blocklists that list, refuse, are broken or closed.

use std::net::IpAddr;

use relayscope::doctor::{Report, SenderOptions, Verdict, examine_sender};
use relayscope::net::resolve::Resolver;

use super::{expect, told};
use crate::support::dns::{Dns, Zones};
use crate::support::place::Place;
use crate::support::programs::need;
use crate::{LONG, block_on, resolver};

fn options() -> SenderOptions {
    SenderOptions { helo: "mail.good.example".to_owned(), patience: LONG, limit: LONG, ..SenderOptions::default() }
}

fn examine(resolver: &Resolver, options: &SenderOptions, address: &str) -> Report {
    block_on(examine_sender(resolver, options, address.parse::<IpAddr>().unwrap()))
}

#[test]
fn names_lead_back_or_they_do_not() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let zones = Zones::new()
        .zone("18.198.in-addr.arpa")
        .record("7.0.18.198.in-addr.arpa", "PTR mail.good.example.")
        .record("8.0.18.198.in-addr.arpa", "PTR away.good.example.")
        .record("9.0.18.198.in-addr.arpa", "PTR 198-18-0-9.dyn.isp.example.")
        .record("10.0.18.198.in-addr.arpa", "PTR a.good.example.")
        .record("10.0.18.198.in-addr.arpa", "PTR b.good.example.")
        .a("mail.good.example", "198.18.0.7")
        .a("away.good.example", "198.18.0.7")
        .a("198-18-0-9.dyn.isp.example", "198.18.0.9")
        .a("b.good.example", "198.18.0.10")
        .txt("good.example", "v=spf1 a:mail.good.example -all");
    let dns = Dns::start(&place, &zones);
    let resolver = resolver(&dns);
    let options = SenderOptions { domains: vec!["good.example".to_owned()], ..options() };

    let good = examine(&resolver, &options, "::ffff:198.18.0.7");
    for name in ["sender.ptr", "sender.fcrdns", "sender.ptr_generic", "sender.helo", "spf.sender"] {
        expect(&good, name, Verdict::Ok, "");
    }
    let away = examine(&resolver, &options, "198.18.0.8");
    expect(&away, "sender.fcrdns", Verdict::Fail, "they are 198.18.0.7, not 198.18.0.8");
    expect(&away, "sender.helo", Verdict::Warn, "its addresses are 198.18.0.7");
    expect(&away, "spf.sender", Verdict::Fail, "fail: `-all`");
    expect(&examine(&resolver, &options, "198.18.0.9"), "sender.ptr_generic", Verdict::Warn, "it holds the address and the word \"dyn\"");
    let several = examine(&resolver, &options, "198.18.0.10");
    expect(&several, "sender.ptr", Verdict::Warn, "2 names");
    expect(&several, "sender.fcrdns", Verdict::Fail, "a.good.example");
    expect(&several, "sender.fcrdns", Verdict::Ok, "b.good.example");
    expect(&examine(&resolver, &options, "198.18.0.11"), "sender.ptr", Verdict::Fail, "it has no name");
    for (helo, verdict, words) in [
        ("localhost", Verdict::Fail, "no full name"),
        ("nowhere.good.example", Verdict::Fail, "no such name"),
        ("[198.18.0.7]", Verdict::Warn, "in brackets"),
        ("", Verdict::Skipped, "isn't known"),
    ] {
        let options = SenderOptions { helo: helo.to_owned(), ..options.clone() };
        expect(&examine(&resolver, &options, "198.18.0.7"), "sender.helo", verdict, words);
    }
    expect(&examine(&resolver, &options, "10.0.0.1"), "sender.blocklist", Verdict::Skipped, "an inner address");
}

#[test]
fn only_a_listing_is_a_listing() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let zones = Zones::new()
        // A list as it should be.
        .a("2.0.0.127.zen.spamhaus.org", "127.0.0.2")
        .a("7.0.18.198.zen.spamhaus.org", "127.0.0.10")
        .txt("7.0.18.198.zen.spamhaus.org", "https://www.spamhaus.org/query/ip/198.18.0.7")
        .a("2.0.0.127.bl.spamcop.net", "127.0.0.2")
        // It refuses, and says so by a code.
        .a("*.dnsbl.dronebl.org", "127.255.255.254")
        // It lists everybody.
        .a("*.dnsbl-1.uceprotect.net", "127.0.0.2")
        // Its zone was sold.
        .a("*.psbl.surriel.com", "203.0.113.5")
        // It can't be asked.
        .dead("b.barracudacentral.org")
        // Domains.
        .a("dbltest.com.dbl.spamhaus.org", "127.0.1.2")
        .a("bad.example.dbl.spamhaus.org", "127.0.1.102")
        .a("2.0.0.127.own.example", "127.0.0.2")
        .a("7.0.18.198.own.example", "127.0.0.9");
    let dns = Dns::start(&place, &zones);
    let resolver = resolver(&dns);
    let options = SenderOptions {
        domains: vec!["bad.example".to_owned(), "fine.example".to_owned()],
        more_lists: vec!["own.example".to_owned(), "dnsbl.sorbs.net".to_owned()],
        lists_off: vec!["Mailspike".to_owned()],
        ..options()
    };
    let report = examine(&resolver, &options, "198.18.0.7");
    let is = |verdict, words| expect(&report, "sender.blocklist", verdict, words);
    is(Verdict::Fail, "listed (asked by most mail servers of the world): 127.0.0.10, PBL");
    is(Verdict::Fail, "it says: https://www.spamhaus.org/query/ip/198.18.0.7");
    is(Verdict::Ok, "198.18.0.7 at SpamCop (7.0.18.198.bl.spamcop.net): not listed");
    is(Verdict::Skipped, "at DroneBL (7.0.18.198.dnsbl.dronebl.org): no answer, but 127.255.255.254");
    is(Verdict::Skipped, "at UCEPROTECT level 1 (7.0.18.198.dnsbl-1.uceprotect.net): the list is broken: it lists what no list may list");
    is(Verdict::Skipped, "it answers 203.0.113.5, as no blocklist does");
    is(Verdict::Skipped, "at Barracuda (7.0.18.198.b.barracudacentral.org): the DNS server answered SERVFAIL");
    is(Verdict::Skipped, "at GBUdb Truncate (7.0.18.198.truncate.gbudb.net): the list is broken, closed");
    is(Verdict::Fail, "bad.example at Spamhaus DBL (bad.example.dbl.spamhaus.org): listed: 127.0.1.102, a good domain, abused for spam");
    is(Verdict::Ok, "fine.example at Spamhaus DBL");
    is(Verdict::Warn, "at own.example (7.0.18.198.own.example): listed: 127.0.0.9");
    is(Verdict::Warn, "SORBS has been closed since June 2024");
    assert!(!told(&report).contains("mailspike"), "a list that is switched off isn't asked");
    // Another address is on none of them.
    let other = examine(&resolver, &options, "198.18.0.8");
    expect(&other, "sender.blocklist", Verdict::Ok, "198.18.0.8 at Spamhaus ZEN (8.0.18.198.zen.spamhaus.org): not listed");
}
