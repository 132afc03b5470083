//! The mail exchangers of a domain, in every shape a domain may have them.

use relayscope::net::resolve::{Destination, Dnssec, ExchangerOptions, MailExchangers, NoExchanger, destination};

use crate::support::dns::{Dns, Zones};
use crate::support::place::Place;
use crate::support::programs::need;
use crate::{LONG, block_on, resolver};

fn options() -> ExchangerOptions {
    ExchangerOptions { timeout: LONG, ..ExchangerOptions::default() }
}

/// Each as "preference host".
fn hosts(found: &MailExchangers) -> Vec<String> {
    let hosts = found.outcome.as_ref().unwrap_or_else(|error| panic!("{}: {error}", found.domain));
    hosts.iter().map(|it| format!("{} {}", it.preference, it.host)).collect()
}

fn zones() -> Zones {
    let zones = Zones::new()
        .signed("a.example")
        .mx("a.example", 20, "mx3.a.example")
        .mx("a.example", 10, "mx1.a.example")
        .mx("a.example", 10, "mx2.a.example")
        .mx("a.example", 10, "mx4.a.example")
        .aaaa("mx1.a.example", "::1")
        .a("mx1.a.example", "127.1.2.3")
        .a("mx2.a.example", "127.1.2.4")
        .cname("mx3.a.example", "real.b.example")
        .a("real.b.example", "127.1.2.5")
        .a("implicit.example", "127.1.2.6")
        .null_mx("null.example")
        .record("empty.example", "TXT nothing")
        .cname("www.alias.example", "a.example")
        .mx("xn--bcher-kva.example", 5, "mx1.a.example")
        .null_mx("mixed.example")
        .mx("mixed.example", 10, "mx1.a.example")
        .record("mixed.example", "MX 20 192.0.2.1.")
        .record("mixed.example", "MX 30 localhost.")
        .record("mixed.example", "MX 40 bad\\032name.mixed.example.")
        .record("broken.example", "MX 10 192.0.2.1.")
        .dead("dead.example")
        .bogus("bogus.example")
        .mx("bogus.example", 10, "mx.bogus.example");
    (0..300).fold(zones, |zones, at| zones.mx("many.example", 300 - at, &format!("mx-{at}.many.example")))
}

#[test]
fn exchangers_of_every_kind() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let dns = Dns::start(&place, &zones());
    let resolver = resolver(&dns);
    let of = |domain: &str| block_on(resolver.mail_exchangers(domain, &options()));

    let found = of("a.example");
    let listed = hosts(&found);
    let mut equals = listed[..3].to_vec();
    equals.sort();
    assert_eq!(equals, ["10 mx1.a.example", "10 mx2.a.example", "10 mx4.a.example"]);
    assert_eq!((listed[3].as_str(), found.dnssec, found.implicit), ("20 mx3.a.example", Dnssec::Secure, false));
    let orders: std::collections::HashSet<_> = (0..100).map(|_| hosts(&of("a.example"))).collect();
    assert!(orders.len() > 1, "equals are shuffled");
    let seeded = || hosts(&block_on(resolver.mail_exchangers("a.example", &ExchangerOptions { seed: Some(7), ..options() })));
    assert_eq!(seeded(), seeded());

    let implicit = of("implicit.example");
    assert_eq!((hosts(&implicit), implicit.implicit), (vec!["0 implicit.example".to_owned()], true));
    assert_eq!(implicit.lookups.len(), 3, "MX, AAAA, A");

    let alias = of("www.alias.example");
    assert_eq!((hosts(&alias).len(), alias.canonical_name.as_deref()), (4, Some("a.example")));

    let Ok(Destination::Domain(ascii)) = destination("bücher.example") else { panic!("a domain") };
    assert_eq!(hosts(&of(&ascii)), ["5 mx1.a.example"]);

    let domain = |name: &str| name.to_owned();
    assert_eq!(of("null.example").outcome, Err(NoExchanger::NullMx { domain: domain("null.example") }));
    assert_eq!(of("nowhere.a.example").outcome, Err(NoExchanger::NoSuchDomain { domain: domain("nowhere.a.example") }));
    assert_eq!(of("empty.example").outcome, Err(NoExchanger::NoMailHost { domain: domain("empty.example") }));
    let broken = of("broken.example").outcome.unwrap_err();
    assert_eq!(
        broken.to_string(),
        "none of the 1 MX records of broken.example names a host: it is an address (or ends in a number), not a name"
    );
    assert!(!broken.is_temporary());
    for (name, word) in [("dead.example", "servfail"), ("bogus.example", "bogus")] {
        let error = of(name).outcome.unwrap_err();
        assert!(matches!(&error, NoExchanger::Dns { failure, .. } if failure.as_str() == word) && error.is_temporary(), "{error:?}");
    }
}

#[test]
fn records_that_name_no_host_are_skipped_with_a_reason() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let dns = Dns::start(&place, &zones());
    let found = block_on(resolver(&dns).mail_exchangers("mixed.example", &options()));
    assert_eq!(hosts(&found), ["10 mx1.a.example"]);
    let mut skipped: Vec<_> = found.skipped.iter().map(|it| (it.preference, it.why)).collect();
    skipped.sort_unstable();
    assert_eq!(
        skipped,
        [
            (0, "it is the null MX, which counts only alone (RFC 7505)"),
            (20, "it is an address (or ends in a number), not a name"),
            (30, "it is the name of this machine (RFC 6761 6.3)"),
            (40, "a label has other characters than letters, digits and hyphens"),
        ]
    );
}

#[test]
fn three_hundred_exchangers_come_over_tcp_and_are_cut() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let dns = Dns::start(&place, &zones());
    let found = block_on(resolver(&dns).mail_exchangers("many.example", &options()));
    let listed = hosts(&found);
    assert_eq!((listed.len(), found.cut, listed[0].as_str()), (20, 280, "1 mx-299.many.example"));
    let answer = &found.lookups[0].answer;
    assert_eq!((answer.tcp, answer.records.len(), answer.records_beyond), (true, 50, 250));
}

#[test]
fn addresses_come_in_both_families_and_through_an_alias() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let dns = Dns::start(&place, &zones());
    let resolver = resolver(&dns);
    let of = |host: &str| block_on(resolver.host_addresses(host, LONG));

    let both = of("mx1.a.example");
    let mut addresses: Vec<String> = both.addresses.iter().map(ToString::to_string).collect();
    addresses.sort();
    assert_eq!((addresses, both.dnssec()), (vec!["127.1.2.3".to_owned(), "::1".to_owned()], Dnssec::Secure));

    let four = of("mx2.a.example");
    let failures: Vec<_> = four.lookups.iter().map(|it| it.failure().map(|it| it.as_str())).collect();
    assert_eq!((failures, four.dnssec()), (vec![Some("nodata"), None], Dnssec::Secure));

    let alias = of("mx3.a.example");
    assert_eq!((alias.canonical_name(), alias.dnssec()), (Some("real.b.example"), Dnssec::Insecure));
    assert_eq!(alias.addresses, ["127.1.2.5".parse::<std::net::IpAddr>().unwrap()]);

    let none = of("mx9.a.example");
    assert_eq!(none.failure.unwrap().to_string(), "no such name in DNS: mx9.a.example");
}
