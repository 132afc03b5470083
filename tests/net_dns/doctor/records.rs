//! SPF as receivers evaluate it, and the records by which a domain vouches for its mail.

use relayscope::doctor::{DomainOptions, Report, Verdict, examine_domain};
use relayscope::net::spf::{Identity, Outcome, evaluate};

use super::{expect, options, told, zones};
use crate::support::certificates;
use crate::support::dns::{Dns, Zones};
use crate::support::place::Place;
use crate::support::programs::need;
use crate::{LONG, block_on, resolver};

/// Ten look-ups, and one more.
fn eleven(zones: Zones) -> Zones {
    let includes: Vec<String> = (0..11).map(|at| format!("include:s{at}.many.example")).collect();
    let zones = (0..11).fold(zones, |zones, at| zones.txt(&format!("s{at}.many.example"), &format!("v=spf1 ip4:198.18.{at}.0/24 -all")));
    let ten = includes[..10].join(" ");
    zones.txt("many.example", &format!("v=spf1 {} -all", includes.join(" "))).txt("ten.example", &format!("v=spf1 {ten} -all"))
}

fn spf_zones() -> Zones {
    eleven(zones())
        .txt("plain.example", "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all")
        .txt("soft.example", "v=spf1 a:host.soft.example/24 ~all")
        .a("host.soft.example", "192.0.2.200")
        .txt("mx.example", "v=spf1 mx -all")
        .mx("mx.example", 10, "a.mx.example")
        .a("a.mx.example", "192.0.2.7")
        .txt("include.example", "v=spf1 include:plain.example ?all")
        .txt("redirect.example", "v=spf1 redirect=plain.example")
        .txt("nothing.example", "v=spf1 include:norecord.example -all")
        .txt("norecord.example", "something else")
        .txt("two.example", "v=spf1 -all")
        .txt("two.example", "v=spf1 +all")
        .txt("broken.example", "v=spf1 ip4:192.0.2 -all")
        .txt("void.example", "v=spf1 a:n1.void.example a:n2.void.example a:n3.void.example ip4:192.0.2.7 -all")
        .txt("macro.example", "v=spf1 exists:%{ir}.%{l1r+-}._spf.%{d} -all")
        .a("7.2.0.192.user._spf.macro.example", "127.0.0.2")
        .txt("loop.example", "v=spf1 include:loop.example -all")
        .txt("dead-include.example", "v=spf1 include:dead.example -all")
        .dead("dead.example")
        .txt("open.example", "v=spf1 include:all.example -all")
        .txt("all.example", "v=spf1 +all")
        .txt("endless.example", "v=spf1 mx ptr")
        .txt("late.example", "v=spf1 -all ip4:192.0.2.7")
}

#[test]
fn records_are_evaluated_as_the_rfc_says() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let dns = Dns::start(&place, &spf_zones());
    let resolver = resolver(&dns);
    let cases = [
        ("plain.example", "192.0.2.7", Outcome::Pass, "`ip4:192.0.2.0/24`"),
        ("plain.example", "2001:db8::7", Outcome::Pass, "`ip6:2001:db8::/32`"),
        ("plain.example", "::ffff:192.0.2.7", Outcome::Pass, "`ip4:192.0.2.0/24`"),
        ("plain.example", "198.51.100.7", Outcome::Fail, "`-all`"),
        ("soft.example", "192.0.2.7", Outcome::Pass, "`a:host.soft.example/24`"),
        ("soft.example", "198.51.100.7", Outcome::SoftFail, "`~all`"),
        ("mx.example", "192.0.2.7", Outcome::Pass, "`mx`"),
        ("include.example", "192.0.2.7", Outcome::Pass, "`include:plain.example`"),
        ("include.example", "198.51.100.7", Outcome::Neutral, "`?all`"),
        ("redirect.example", "192.0.2.7", Outcome::Pass, "in the record of plain.example"),
        ("redirect.example", "198.51.100.7", Outcome::Fail, "in the record of plain.example"),
        ("norecord.example", "192.0.2.7", Outcome::None, "no SPF record"),
        ("nowhere.good.example", "192.0.2.7", Outcome::None, "no SPF record"),
        ("nothing.example", "192.0.2.7", Outcome::PermError, "norecord.example has no SPF record"),
        ("two.example", "192.0.2.7", Outcome::PermError, "2 SPF records"),
        ("broken.example", "192.0.2.7", Outcome::PermError, "`ip4:192.0.2` (octet 7)"),
        ("void.example", "192.0.2.7", Outcome::PermError, "more than 2 look-ups found nothing"),
        ("macro.example", "192.0.2.7", Outcome::Pass, "`exists:"),
        ("macro.example", "192.0.2.8", Outcome::Fail, "`-all`"),
        ("loop.example", "192.0.2.7", Outcome::PermError, "more than 10 look-ups"),
        ("dead-include.example", "192.0.2.7", Outcome::TempError, "dead.example can't be looked up"),
        ("ten.example", "198.18.9.1", Outcome::Pass, "`include:s9.many.example`"),
        ("many.example", "198.18.10.1", Outcome::PermError, "`include:s10.many.example`"),
        ("late.example", "192.0.2.7", Outcome::Fail, "`-all`"),
        ("bogus.example", "192.0.2.7", Outcome::TempError, "bogus"),
    ];
    for (domain, ip, outcome, words) in cases {
        let sender = format!("user-tag@{domain}");
        let identity = Identity { ip: ip.parse().unwrap(), sender: &sender, helo: "client.example" };
        let found = block_on(evaluate(&resolver, domain, &identity, LONG));
        assert!(found.outcome == outcome && found.why.contains(words), "{domain} {ip}: {found:?}");
    }
}

#[test]
fn what_is_wrong_with_a_record_is_found_whoever_sends() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let certificates = certificates::make(&place, "mail", &["mx.example"]);
    let dns = Dns::start(&place, &spf_zones());
    let (resolver, options) = (resolver(&dns), options(&dns, 25, &certificates));
    let cases = [
        ("plain.example", "spf.lookups", Verdict::Ok, "0 of 10"),
        ("ten.example", "spf.lookups", Verdict::Warn, "10 of 10"),
        ("many.example", "spf.lookups", Verdict::Fail, "11 of 10 (`include:s0.many.example` 1"),
        ("norecord.example", "spf.record", Verdict::Warn, "there is none"),
        ("two.example", "spf.record", Verdict::Fail, "2 SPF records"),
        ("broken.example", "spf.syntax", Verdict::Fail, "wrong at octet 7: \"192.0.2\" is no IPv4 address"),
        ("nothing.example", "spf.include", Verdict::Fail, "norecord.example"),
        ("void.example", "spf.void", Verdict::Fail, "3 names"),
        ("loop.example", "spf.loop", Verdict::Fail, "without end"),
        ("open.example", "spf.all", Verdict::Fail, "everybody on the internet"),
        ("include.example", "spf.all", Verdict::Warn, "`?all`"),
        ("endless.example", "spf.all", Verdict::Warn, "neither `all` nor"),
        ("endless.example", "spf.ptr", Verdict::Warn, "`ptr`"),
        ("late.example", "spf.unreachable", Verdict::Warn, "behind `all`"),
        ("dead-include.example", "spf.include", Verdict::Fail, "SERVFAIL"),
    ];
    for (domain, name, verdict, words) in cases {
        expect(&block_on(examine_domain(&resolver, &options, domain)), name, verdict, words);
    }
}

#[test]
fn keys_and_policies_of_each_kind() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let certificates = certificates::make(&place, "mail", &["mx.example"]);
    let zones = zones()
        .txt("revoked._domainkey.good.example", "v=DKIM1; p=")
        .txt("cut._domainkey.good.example", "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3")
        .txt("twice._domainkey.good.example", "v=DKIM1; p=MIGf")
        .txt("twice._domainkey.good.example", "v=DKIM1; p=")
        .txt("default._domainkey.good.example", "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
        .cname("hosted._domainkey.good.example", "key.service.example")
        .txt("key.service.example", "k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=; t=y")
        .txt("_dmarc.good.example", "v=DMARC1; p=quarantine; sp=reject; rua=mailto:a@service.example,mailto:b@rude.example")
        .txt("good.example._report._dmarc.service.example", "v=DMARC1")
        .mx("service.example", 10, "mx.service.example")
        .null_mx("rude.example")
        .txt("_dmarc.strict.example", "v=DMARC1; p=strict")
        .txt("_dmarc.double.example", "v=DMARC1; p=none")
        .txt("_dmarc.double.example", "v=DMARC1; p=reject")
        .txt("_dmarc.idle.example", "v=DMARC1; p=none")
        .txt("_dmarc.near.example", "v=dmarc1; p=none")
        .txt("_dmarc.family.example", "v=DMARC1; p=none")
        .txt("_dmarc.mail.family.example", "v=DMARC1; p=none; rua=mailto:a@reports.family.example,mailto:b@own.family.example")
        .txt("_dmarc.own.family.example", "v=DMARC1; p=none; psd=n")
        .mx("reports.family.example", 10, "mx.service.example")
        .mx("own.family.example", 10, "mx.service.example")
        .txt("*.wild.example", "v=spf1 -all")
        .record("sub.good.example", "TXT \"x\"");
    let dns = Dns::start(&place, &zones);
    let resolver = resolver(&dns);
    let of = |domain: &str, selectors: &[&str], seen: &[&str]| -> Report {
        let owned = |list: &[&str]| list.iter().map(|it| (*it).to_owned()).collect();
        let options = DomainOptions { selectors: owned(selectors), seen_selectors: owned(seen), ..options(&dns, 25, &certificates) };
        block_on(examine_domain(&resolver, &options, domain))
    };
    let good = of("good.example", &["revoked", "cut", "twice", "hosted"], &["lost"]);
    expect(&good, "dkim.key", Verdict::Fail, "the key is revoked");
    expect(&good, "dkim.key", Verdict::Fail, "p= holds no RSA key");
    expect(&good, "dkim.key", Verdict::Fail, "there are 2 records");
    expect(&good, "dkim.key", Verdict::Warn, "lost._domainkey.good.example: there is no key, which signatures in the traces name");
    expect(&good, "dkim.key", Verdict::Ok, "default._domainkey.good.example: an Ed25519 key");
    expect(&good, "dkim.key", Verdict::Warn, "in test mode (t=y)");
    expect(&good, "dmarc.record", Verdict::Ok, "p=quarantine");
    expect(&good, "dmarc.reports", Verdict::Ok, "service.example takes reports about good.example");
    expect(&good, "dmarc.reports", Verdict::Warn, "rude.example doesn't say");
    expect(&good, "dmarc.reports", Verdict::Warn, "takes no mail (null MX)");

    expect(&of("sub.good.example", &[], &[]), "dmarc.record", Verdict::Ok, "that of good.example holds, with reject for subdomains");
    expect(&of("strict.example", &[], &[]), "dmarc.record", Verdict::Fail, "p=strict is none of");
    expect(&of("double.example", &[], &[]), "dmarc.record", Verdict::Fail, "2 records");
    expect(&of("idle.example", &[], &[]), "dmarc.record", Verdict::Warn, "nobody tells you");
    expect(&of("near.example", &[], &[]), "dmarc.record", Verdict::Warn, "doesn't begin with v=DMARC1");
    let family = of("mail.family.example", &[], &[]);
    expect(&family, "dmarc.reports", Verdict::Warn, "own.family.example doesn't say");
    assert!(!told(&family).contains("reports.family.example doesn't say"), "a sibling needs to say nothing");
    let wild = of("wild.example", &[], &[]);
    expect(&wild, "dkim.key", Verdict::Warn, "under none of them");
    assert!(!told(&wild).contains("default._domainkey.wild.example:"), "a wildcard is no key");
}
