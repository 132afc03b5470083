//! Each kind of answer and failure apart, with what the record keeps of it.

use std::net::UdpSocket;
use std::time::Duration;

use relayscope::net::resolve::{Dnssec, Failure, Kind, Lookup, Options, Resolver, TrustAd};

use crate::support::dns::{Dns, Zones};
use crate::support::place::Place;
use crate::support::programs::need;
use crate::{LONG, block_on, resolver};

fn zones() -> Zones {
    Zones::new()
        .signed("secure.example")
        .mx("secure.example", 10, "mx.secure.example")
        .a("mx.secure.example", "192.0.2.1")
        .txt("secure.example", "v=spf1 \t-all")
        .cname("alias.secure.example", "nowhere.secure.example")
        .cname("long.secure.example", "alias2.secure.example")
        .cname("alias2.secure.example", "secure.example")
        .cname("leaves.secure.example", "plain.example")
        .mx("plain.example", 10, "mx.plain.example")
        .bogus("bogus.example")
        .mx("bogus.example", 10, "mx.bogus.example")
        .dead("dead.example")
}

async fn mx(resolver: &Resolver, name: &str) -> Lookup {
    resolver.look_up(name, Kind::Mx, LONG).await
}

#[test]
fn each_answer_has_its_name_and_its_dnssec_status() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let dns = Dns::start(&place, &zones());
    let resolver = resolver(&dns);
    block_on(async {
        let cases = [
            ("secure.example", None, Dnssec::Secure),
            ("plain.example", None, Dnssec::Insecure),
            ("nowhere.secure.example", Some("nxdomain"), Dnssec::Secure),
            ("mx.secure.example", Some("nodata"), Dnssec::Secure),
            ("nowhere.plain.example", Some("nxdomain"), Dnssec::Insecure),
            ("nowhere.invented", Some("nxdomain"), Dnssec::Insecure),
            // An alias to nothing is a name that doesn't exist (RFC 6604).
            ("alias.secure.example", Some("nxdomain"), Dnssec::Secure),
            ("bogus.example", Some("bogus"), Dnssec::Bogus),
            ("dead.example", Some("servfail"), Dnssec::Insecure),
            ("leaves.secure.example", None, Dnssec::Insecure),
        ];
        for (name, failure, dnssec) in cases {
            let lookup = mx(&resolver, name).await;
            assert_eq!((lookup.failure().map(Failure::as_str), lookup.dnssec()), (failure, dnssec), "{name}: {lookup:?}");
            assert_eq!(lookup.answer.server, Some(dns.resolver_address()), "{name}");
        }
        let bogus = mx(&resolver, "bogus.example").await;
        assert!(bogus.failure().unwrap().to_string().contains("extended error"), "{bogus:?}");
    });
}

#[test]
fn the_record_has_aliases_and_records_with_their_ttl() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let dns = Dns::start(&place, &zones());
    let resolver = resolver(&dns);
    block_on(async {
        let lookup = mx(&resolver, "Long.Secure.Example.").await;
        let kept: Vec<_> = lookup.answer.records.iter().map(|it| (it.record_type, it.ttl, it.text.as_str())).collect();
        assert_eq!(
            kept,
            [("CNAME", 300, "alias2.secure.example."), ("CNAME", 300, "secure.example."), ("MX", 300, "10 mx.secure.example.")]
        );
        assert_eq!(lookup.answer.name, "long.secure.example");
        assert_eq!(lookup.answer.canonical_name.as_deref(), Some("secure.example"));
        let text = resolver.look_up("secure.example", Kind::Txt, LONG).await;
        assert_eq!(text.answer.records[0].text, r#""v=spf1 \t-all""#);
    });
}

#[test]
fn a_resolver_that_is_not_trusted_can_not_vouch() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let dns = Dns::start(&place, &zones());
    let options = Options { servers: vec![dns.resolver_address()], hosts_file: false, trust_ad: TrustAd::No };
    let lookup = block_on(mx(&Resolver::new(&options), "secure.example"));
    assert_eq!((lookup.failure(), lookup.dnssec()), (None, Dnssec::Unchecked));
}

/// What the resolver at the other end has been asked, by its own count.
fn questions(dns: &Dns) -> u64 {
    let statistics = dns.statistics();
    let line = statistics.lines().find_map(|line| line.strip_prefix("total.num.queries=")).unwrap();
    line.parse().unwrap()
}

#[test]
fn what_was_answered_once_is_not_asked_again() {
    need!("knotd", "keymgr", "unbound");
    let place = Place::new();
    let dns = Dns::start(&place, &zones());
    let resolver = resolver(&dns);
    block_on(async {
        for name in ["secure.example", "nowhere.secure.example", "mx.secure.example", "bogus.example"] {
            assert_eq!(mx(&resolver, name).await.cached_for, None, "{name}");
        }
        let before = questions(&dns);
        for name in ["secure.example", "nowhere.secure.example", "mx.secure.example", "bogus.example"] {
            assert!(mx(&resolver, name).await.cached_for.is_some(), "{name}");
        }
        assert_eq!(questions(&dns), before);
        resolver.forget();
        assert_eq!(mx(&resolver, "secure.example").await.cached_for, None);
        assert_eq!(questions(&dns), before + 1);
        // Many at once are one question.
        resolver.forget();
        let before = questions(&dns);
        let all = (0..50).map(|_| {
            let resolver = resolver.clone();
            tokio::spawn(async move { mx(&resolver, "secure.example").await.failure().cloned() })
        });
        for one in all.collect::<Vec<_>>() {
            assert_eq!(one.await.unwrap(), None);
        }
        assert_eq!(questions(&dns), before + 1);
    });
}

#[test]
fn a_silent_server_is_a_time_out_of_the_length_asked_for() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolver = Resolver::from_server(silent.local_addr().unwrap());
    let after = Duration::from_millis(50);
    let lookup = block_on(resolver.look_up("a.example", Kind::Mx, after));
    assert_eq!(lookup.failure(), Some(&Failure::TimedOut { after }));
    assert_eq!(lookup.answer.server, None);
}
