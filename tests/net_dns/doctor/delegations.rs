//! Zones whose servers disagree: with the zone above, with each other, or about whether they hold the zone at all.

use std::net::SocketAddr;

use relayscope::doctor::{DomainOptions, Report, Verdict, examine_domain};

use super::{expect, options, told, trouble, zones};
use crate::support::certificates;
use crate::support::dns::{Authority, Dns};
use crate::support::place::Place;
use crate::support::programs::need;
use crate::{block_on, resolver};

const FIRST: &str = "127.0.1.1";
const SECOND: &str = "127.0.1.2";
/// Runs a server that doesn't hold the zone.
const LAME: &str = "127.0.1.3";

/// What the zone says: its servers, and where its mail goes.
fn records(servers: &[&str], exchanger: &str) -> String {
    let ns: String = servers.iter().map(|name| format!("child.par.example. 300 NS {name}.child.par.example.\n")).collect();
    format!(
        "{ns}ns1.child.par.example. 300 A {FIRST}\nns2.child.par.example. 300 A {SECOND}\nold.child.par.example. 300 A {LAME}\n\
         child.par.example. 300 MX 10 {exchanger}.\n"
    )
}

/// The zone above hands it to `delegated`; the resolver finds it at `reached`; each of `held` has the zone so: address, serial, records.
fn examined(delegated: &[&str], reached: &[&str], held: &[(&str, u32, String)]) -> Report {
    let place = Place::new();
    let certificates = certificates::make(&place, "mail", &["mx.example"]);
    let mut zones = zones().zone("par.example").elsewhere("child.par.example", reached);
    for name in delegated {
        zones = zones.record("child.par.example", &format!("NS {name}.child.par.example."));
    }
    for (name, address) in [("ns1", FIRST), ("ns2", SECOND), ("old", LAME)] {
        zones = zones.a(&format!("{name}.child.par.example"), address);
    }
    let dns = Dns::start(&place, &zones);
    let on = |address: &str| SocketAddr::new(address.parse().unwrap(), dns.authority_address().port());
    let mut servers: Vec<Authority> = held
        .iter()
        .map(|(address, serial, records)| Authority::start(&place, on(address), &[("child.par.example", *serial, records)]))
        .collect();
    // It knows another zone, and is asked for this one.
    servers.push(Authority::start(&place, on(LAME), &[("other.example", 1, "other.example. 300 NS ns.other.example.")]));
    let options = DomainOptions { smtp_port: 1, ..options(&dns, 1, &certificates) };
    block_on(examine_domain(&resolver(&dns), &options, "child.par.example"))
}

/// Trouble with name servers alone; the mail host of these tests isn't there.
fn ns_trouble(report: &Report) -> Vec<&str> {
    trouble(report).into_iter().filter(|name| name.starts_with("ns.")).collect()
}

#[test]
fn servers_that_agree_with_the_zone_above_and_each_other() {
    need!("knotd", "keymgr", "unbound");
    let zone = || records(&["ns1", "ns2"], "mx.child.par.example");
    let report = examined(&["ns1", "ns2"], &[FIRST, SECOND], &[(FIRST, 7, zone()), (SECOND, 7, zone())]);
    expect(&report, "ns.records", Verdict::Ok, "ns1.child.par.example, ns2.child.par.example");
    expect(&report, "ns.delegation", Verdict::Ok, "NS of child.par.example in par.example: the same as in the zone itself");
    expect(&report, "ns.server", Verdict::Ok, "ns1.child.par.example [127.0.1.1]: serial 7");
    expect(&report, "ns.server", Verdict::Ok, "ns2.child.par.example [127.0.1.2]: serial 7");
    expect(&report, "ns.serial", Verdict::Ok, "the same everywhere");
    expect(&report, "ns.mx", Verdict::Ok, "the same everywhere");
    // They are in one network, on purpose of this machine.
    assert_eq!(ns_trouble(&report), ["ns.apart"], "{}", told(&report));
}

#[test]
fn a_server_that_only_the_registrar_knows_is_asked_too() {
    need!("knotd", "keymgr", "unbound");
    // Moved to new servers, and the registrar still names an old one.
    let zone = || records(&["ns1", "ns2"], "mx.child.par.example");
    let report = examined(&["ns1", "old"], &[FIRST, SECOND], &[(FIRST, 7, zone()), (SECOND, 7, zone())]);
    expect(
        &report,
        "ns.delegation",
        Verdict::Warn,
        "only in par.example: old.child.par.example; only in the zone itself: ns2.child.par.example",
    );
    expect(&report, "ns.server", Verdict::Fail, "old.child.par.example [127.0.1.3]: lame: the DNS server answered REFUSED");
    expect(&report, "ns.server", Verdict::Ok, "ns2.child.par.example [127.0.1.2]: serial 7");
    expect(&report, "ns.serial", Verdict::Ok, "the same everywhere");
}

#[test]
fn a_secondary_that_was_left_behind_shows_by_its_serial_and_its_mx() {
    need!("knotd", "keymgr", "unbound");
    let zone = |exchanger| records(&["ns1", "ns2"], exchanger);
    let held = [(FIRST, 2_026_112_702, zone("new.child.par.example")), (SECOND, 2_026_112_701, zone("before.child.par.example"))];
    let report = examined(&["ns1", "ns2"], &[FIRST, SECOND], &held);
    expect(&report, "ns.delegation", Verdict::Ok, "the same as in the zone itself");
    let serials = "2026112701 at ns2.child.par.example; 2026112702 at ns1.child.par.example";
    expect(&report, "ns.serial", Verdict::Warn, serials);
    expect(&report, "ns.mx", Verdict::Fail, "10 before.child.par.example. at ns2.child.par.example");
    // The serial alone, as for the minutes of a transfer: the mail goes where it should.
    let same = || zone("new.child.par.example");
    let report = examined(&["ns1", "ns2"], &[FIRST, SECOND], &[(FIRST, 8, same()), (SECOND, 7, same())]);
    expect(&report, "ns.serial", Verdict::Warn, "7 at ns2.child.par.example; 8 at ns1.child.par.example");
    expect(&report, "ns.mx", Verdict::Ok, "the same everywhere");
}

#[test]
fn a_zone_that_none_of_its_servers_holds_is_named_with_them() {
    need!("knotd", "keymgr", "unbound");
    let report = examined(&["old"], &[LAME], &[]);
    expect(&report, "mx.records", Verdict::Fail, "SERVFAIL");
    let words = "nobody answers for it (the DNS server answered SERVFAIL";
    expect(&report, "ns.records", Verdict::Fail, words);
    expect(&report, "ns.records", Verdict::Fail, "although par.example hands it to old.child.par.example");
    expect(&report, "ns.server", Verdict::Fail, "old.child.par.example");
}
