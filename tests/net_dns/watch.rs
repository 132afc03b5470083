//! The watch on DNS, against zones that change: a change is one incident, trouble with DNS is none, and what failed because of a change
//! is shown with it.

use relayscope::anomaly::{Book, Options, Watch};
use relayscope::app::ask_dns;
use relayscope::cli::locate;
use relayscope::trace::*;

use crate::stories::golden::{ask, look};
use crate::stories::{Shelf, Tale, at, origin};
use crate::support::dns::{Dns, Zones};
use crate::support::place::Place;
use crate::support::programs::need;
use crate::{block_on, resolver};

const PTR: &str = "25.0.18.198.in-addr.arpa";

/// The zones as they are at first.
fn zones() -> Zones {
    parts(
        ["10 mx1.dest.example.", "v=spf1 ip4:198.18.0.25 -all", "v=DKIM1; p=AAAA", "v=DMARC1; p=none", "mail.home.example."],
        "10 a.alt.example.",
    )
}

fn parts([mx, spf, dkim, dmarc, ptr]: [&str; 5], alternating: &str) -> Zones {
    Zones::new()
        .uncached()
        .zone("18.198.in-addr.arpa")
        .record("dest.example", &format!("MX {mx}"))
        .record("home.example", "TXT \"some-site-verification=1\"")
        .txt("home.example", spf)
        .txt("s1._domainkey.home.example", dkim)
        .txt("_dmarc.home.example", dmarc)
        .record(PTR, &format!("PTR {ptr}"))
        .record("lost.example", "MX 10 mx.lost.example.")
        .record("alt.example", &format!("MX {alternating}"))
}

/// The watch, and what it has said.
struct Watched {
    watch: Watch,
    entries: Vec<Incident>,
    records: Vec<Record>,
}

impl Watched {
    fn new() -> Self {
        let mut options = Options::default();
        options.dns.addresses = vec!["198.18.0.25".parse().unwrap()];
        let watch = Watch::new(&options, Book::new(options.book.clone(), origin()));
        Self { watch, entries: Vec::new(), records: Vec::new() }
    }

    fn pass(&mut self, tale: Tale) {
        let record = tale.record();
        self.watch.observe(&record, &mut self.entries);
        self.records.push(record);
    }

    /// Everything that is due is asked, of a resolver that keeps nothing.
    fn look(&mut self, dns: &Dns, clock: &str) -> usize {
        let resolver = resolver(dns);
        let questions = self.watch.dns.questions(at(clock), 1_000);
        for question in &questions {
            let published = block_on(ask_dns(&resolver, question));
            self.watch.dns.answered(question, published, at(clock));
        }
        self.watch.tick(at(clock) + 11_000_000, &mut self.entries);
        questions.len()
    }

    /// The newest entry of each incident about DNS: of what, before and after, the sentence.
    fn changes(&self) -> Vec<(String, String, String, String)> {
        let mut newest: Vec<&Incident> = Vec::new();
        for entry in self.entries.iter().filter(|it| it.anomaly == Anomaly::DnsChanged) {
            newest.retain(|it| it.incident != entry.incident);
            newest.push(entry);
        }
        newest.sort_by_key(|it| it.about.clone());
        let told = |it: &&Incident| {
            let change = it.change.as_ref().unwrap();
            let of = format!("{} of {}", change.what, it.about[0].value);
            (of, change.before.clone(), change.after.clone(), it.summary.clone())
        };
        newest.iter().map(told).collect()
    }
}

fn tale(number: u64, clock: &str, to: &str) -> Tale {
    Tale::new(number, clock, "alice@home.example")
        .with(|it| {
            it.message.signatures = vec![relayscope::message::dkim::Signature { domain: "home.example".into(), selector: "s1".into() }];
        })
        .to(to, "250 2.1.5 Ok")
}

fn passes(number: u64, clock: &str, to: &str) -> Tale {
    tale(number, clock, to).end_of_data("250 2.0.0 Ok", None)
}

/// Refused at end of data, for a cause that the diagnosis found.
fn refused(number: u64, clock: &str, to: &str, reply: &str, cause: Cause) -> Tale {
    tale(number, clock, to).end_of_data(reply, None).with(|it| {
        it.outcome.cause = Some(cause);
        it.envelope.recipients.iter_mut().for_each(|recipient| recipient.cause = Some(cause));
    })
}

#[test]
fn each_change_is_an_incident_with_before_and_after_and_the_failures_that_it_explains() {
    need!("knotd", "knotc", "keymgr", "unbound", "unbound-control");
    let place = Place::new();
    let dns = Dns::start(&place, &zones());
    let mut watched = Watched::new();
    for (number, to) in ["bob@dest.example", "bob@lost.example", "bob@alt.example"].into_iter().enumerate() {
        watched.pass(passes(number as u64 + 1, "01:00:00", to));
    }
    // MX and NS of four domains, what vouches for the sender, and the name of the own address.
    assert_eq!(watched.look(&dns, "01:01:00"), 4 * 2 + 3 + 1);
    assert_eq!(watched.look(&dns, "02:02:00"), 12);
    assert_eq!(watched.changes(), []);

    dns.replace(
        &parts(
            ["10 mx9.dest.example.", "v=spf1 -all", "v=DKIM1; p=BBBB", "v=DMARC1; p=reject", "dyn-25.isp.example."],
            "10 b.alt.example.",
        )
        .record("dest.example", "NS ns9.dest.example."),
    );
    dns.lose("lost.example");
    watched.look(&dns, "03:03:00");
    let found: Vec<(String, String, String)> = watched.changes().into_iter().map(|(of, before, after, _)| (of, before, after)).collect();
    let expected = [
        ("PTR of 198.18.0.25", "mail.home.example", "dyn-25.isp.example"),
        ("MX of alt.example", "10 a.alt.example", "10 b.alt.example"),
        ("MX of dest.example", "10 mx1.dest.example", "10 mx9.dest.example"),
        ("NS of dest.example", "ns.dest.example", "ns.dest.example, ns9.dest.example"),
        ("DKIM key s1 of home.example", "v=DKIM1; p=AAAA", "v=DKIM1; p=BBBB"),
        ("DMARC of home.example", "v=DMARC1; p=none", "v=DMARC1; p=reject"),
        ("SPF of home.example", "v=spf1 ip4:198.18.0.25 -all", "v=spf1 -all"),
    ];
    assert_eq!(found, expected.map(|(of, before, after)| (of.to_owned(), before.to_owned(), after.to_owned())));

    // Mail fails: each change is told beside the failures that it explains, and beside no others.
    watched.pass(refused(11, "03:15:00", "bob@dest.example", "550 5.7.1 We do not relay", Cause::RelayDenied));
    watched.pass(refused(12, "03:16:00", "bob@elsewhere.example", "550 5.7.23 SPF validation failed", Cause::SpfDkimDmarcFailure));
    watched.pass(refused(13, "03:17:00", "bob@picky.example", "550 5.7.25 No reverse DNS", Cause::ReverseDnsMissing));
    watched.pass(refused(14, "03:18:00", "bob@full.example", "552 5.2.2 Mailbox full", Cause::MailboxFull));
    watched.look(&dns, "03:20:00");
    for (of, minutes) in [("MX of dest.example", 12), ("NS of dest.example", 12), ("SPF of home.example", 13), ("PTR of 198.18.0.25", 14)] {
        let (.., summary) = watched.changes().into_iter().find(|it| it.0 == of).unwrap();
        assert!(summary.contains(&format!("; {minutes} min before the first failure")), "{summary}");
    }
    let alternating = watched.changes().into_iter().find(|it| it.0 == "MX of alt.example").unwrap();
    assert!(!alternating.3.contains("failure"), "{}", alternating.3);

    let mut records = watched.records.clone();
    records.extend(watched.entries.iter().cloned().map(|it| Record::Incident(Box::new(it))));
    let shelf = Shelf { records, running: true };
    let beside = |to: &str| {
        let answer = ask(&shelf, &format!("to:{to} state:rejected"));
        println!("{}", locate::render(&answer, false, &look(Some(110))).as_str());
        answer.messages[0].incidents.iter().filter_map(|it| it.relation.clone()).collect::<Vec<_>>()
    };
    let said = |what: &str, minutes: u64| format!("{what} changed {minutes} min before the first failure");
    let mut of_dest = beside("bob@dest.example");
    of_dest.sort();
    assert_eq!(of_dest, [said("MX of dest.example", 12), said("NS of dest.example", 12)]);
    let mut of_elsewhere = beside("bob@elsewhere.example");
    of_elsewhere.sort();
    let expected = ["DKIM key s1 of home.example", "DMARC of home.example", "SPF of home.example"];
    assert_eq!(of_elsewhere, expected.map(|what| said(what, 13)));
    assert_eq!(beside("bob@picky.example"), [said("PTR of 198.18.0.25", 14)]);
    assert_eq!(beside("bob@full.example"), Vec::<String>::new(), "no change of DNS fills a mailbox");
}

#[test]
fn dns_that_fails_or_alternates_changes_nothing() {
    need!("knotd", "knotc", "keymgr", "unbound", "unbound-control");
    let place = Place::new();
    let dns = Dns::start(&place, &zones());
    let mut watched = Watched::new();
    watched.pass(passes(1, "01:00:00", "bob@lost.example"));
    watched.pass(passes(2, "01:00:30", "bob@alt.example"));
    watched.look(&dns, "01:01:00");
    let alternated = |host: &str| {
        parts(["10 mx1.dest.example.", "v=spf1 ip4:198.18.0.25 -all", "v=DKIM1; p=AAAA", "v=DMARC1; p=none", "mail.home.example."], host)
    };
    let clocks = ["02:02:00", "03:03:00", "04:04:00", "05:05:00", "06:06:00"];
    for (round, clock) in clocks.into_iter().enumerate() {
        dns.replace(&alternated(if round % 2 == 0 { "10 b.alt.example." } else { "10 a.alt.example." }));
        if round % 2 == 0 {
            dns.lose("lost.example");
            let failed = block_on(resolver(&dns).look_up("lost.example", relayscope::net::resolve::Kind::Mx, crate::LONG));
            assert!(failed.answer.failure.as_ref().is_some_and(|failure| !failure.is_denial()), "{:?}", failed.answer.failure);
        }
        assert!(watched.look(&dns, clock) > 0);
    }
    let found: Vec<String> = watched.changes().into_iter().map(|it| it.0).collect();
    assert_eq!(found, ["MX of alt.example"], "the first turn, before it is known to alternate; nothing of the zone that was away");
    let opened = watched.entries.iter().filter(|it| it.anomaly == Anomaly::DnsChanged && it.step == IncidentStep::Opened).count();
    assert_eq!(opened, 1);
    // What is gone for good is a change: the name is there, and publishes nothing.
    dns.replace(
        &Zones::new()
            .uncached()
            .zone("18.198.in-addr.arpa")
            .txt("lost.example", "no mail")
            .txt("home.example", "x")
            .txt("alt.example", "x"),
    );
    watched.look(&dns, "07:07:00");
    let (_, before, after, summary) = watched.changes().into_iter().find(|it| it.0 == "MX of lost.example").unwrap();
    assert_eq!((before.as_str(), after.as_str()), ("10 mx.lost.example", "nothing"), "{summary}");
}
