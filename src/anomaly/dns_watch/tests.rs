//! Changes, alternations, and the failures that a change explains.

use super::*;
use crate::anomaly::finding::Finding;
use crate::anomaly::samples::{Sample, mail};
use crate::anomaly::window::DAY;
use crate::trace::{RecordId, Severity, Stage};

const NOW: WallMicros = 1_795_392_000_000_000;

fn watch() -> DnsWatch {
    let mut watch = DnsWatch::new(Options { addresses: vec!["192.0.2.25".parse().unwrap()], ..Options::default() });
    watch.passes("Example.org", NOW, false, |_| {});
    watch.passes("sender.example", NOW, true, |domain| domain.signs("mail", NOW));
    watch
}

fn mx(domain: &str) -> Question {
    Question { sort: Sort::Mx, of: domain.to_owned(), selector: None }
}

fn records(list: &[&str]) -> Published {
    Published::Records(list.iter().map(|&it| it.to_owned()).collect())
}

fn raised(watch: &mut DnsWatch, minute: u64) -> Vec<Finding> {
    let mut findings = Findings::default();
    watch.judge(NOW + minute * MINUTE, &mut findings);
    findings.raised
}

#[test]
fn what_is_asked_depends_on_who_the_domain_is() {
    let mut watch = watch();
    let asked = |it: &Question| match it.asked() {
        Asked::Name(name) => name,
        Asked::Reverse(ip) => ip.to_string(),
    };
    let mut names: Vec<(String, DnsType)> = watch.questions(NOW, 100).iter().map(|it| (asked(it), it.dns_type())).collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    let of = |kind| names.iter().filter(|it| it.1 == kind).map(|it| it.0.as_str()).collect::<Vec<_>>();
    assert_eq!(of(DnsType::Mx), ["example.org", "sender.example"]);
    assert_eq!(of(DnsType::Ns), ["example.org", "sender.example"]);
    assert_eq!(of(DnsType::Txt), ["_dmarc.sender.example", "mail._domainkey.sender.example", "sender.example"]);
    assert_eq!(of(DnsType::Ptr), ["192.0.2.25"]);
    assert_eq!(watch.questions(NOW, 100), [], "not twice");
}

#[test]
fn a_change_is_told_once_with_before_and_after() {
    let mut watch = watch();
    watch.answered(&mx("example.org"), records(&["20 mx2.example.org.", "10 MX1.example.org."]), NOW);
    watch.answered(&mx("example.org"), records(&["10 mx1.example.org", "20 mx2.example.org"]), NOW + HOUR);
    assert_eq!(raised(&mut watch, 61), []);
    watch.answered(&mx("example.org"), records(&["10 mx.elsewhere.example"]), NOW + 2 * HOUR);
    let told = raised(&mut watch, 121);
    let [finding] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((finding.severity, finding.fresh), (Severity::Notice, 1));
    let change = finding.change.as_ref().unwrap();
    assert_eq!((change.before.as_str(), change.after.as_str()), ("10 mx1.example.org, 20 mx2.example.org", "10 mx.elsewhere.example"));
    assert!(finding.summary.starts_with("MX of example.org changed between "), "{}", finding.summary);
    assert_eq!(raised(&mut watch, 122)[0].fresh, 0);
    assert_eq!(raised(&mut watch, 121 + 24 * 60), []);
}

#[test]
fn servers_that_fail_or_alternate_are_no_change() {
    let mut watch = watch();
    watch.answered(&mx("example.org"), records(&["10 a.example"]), NOW);
    watch.answered(&mx("example.org"), Published::Unknown, NOW + HOUR);
    assert_eq!(raised(&mut watch, 61), []);
    watch.answered(&mx("example.org"), records(&["10 b.example"]), NOW + 2 * HOUR);
    assert_eq!(raised(&mut watch, 121).len(), 1);
    for hour in 3..50 {
        let answer = if hour % 2 == 0 { "10 b.example" } else { "10 a.example" };
        watch.answered(&mx("example.org"), records(&[answer]), NOW + hour * HOUR);
        assert_eq!(raised(&mut watch, hour * 60 + 1), [], "hour {hour}");
    }
}

#[test]
fn a_change_explains_the_failures_that_follow() {
    let mut watch = watch();
    watch.answered(&mx("example.org"), records(&["10 a.example"]), NOW);
    watch.answered(&mx("example.org"), Published::Nothing, NOW + 30_000_000);
    let id = RecordId::from_parts(1, 1);
    watch.passes("example.org", NOW + 13 * MINUTE, false, |domain| domain.fails(NOW + 13 * MINUTE, id));
    let told = raised(&mut watch, 14);
    assert_eq!((told[0].severity, told[0].samples.as_slice()), (Severity::Warning, &[id][..]));
    assert!(told[0].summary.contains("; 12 min before the first failure (00:13 UTC"), "{}", told[0].summary);
    assert!(told[0].summary.contains("10 a.example is now nothing"), "{}", told[0].summary);
}

#[test]
fn a_domain_that_begins_to_fail_is_looked_at_again() {
    let mut watch = watch();
    for question in watch.questions(NOW, 100) {
        watch.answered(&question, records(&["10 a.example"]), NOW);
    }
    assert_eq!(watch.questions(NOW + 10 * MINUTE, 100), []);
    watch.passes("example.org", NOW + 10 * MINUTE, false, |domain| domain.fails(NOW + 10 * MINUTE, RecordId::from_parts(1, 1)));
    let asked = watch.questions(NOW + 10 * MINUTE, 100);
    assert_eq!(asked.len(), 2);
    for question in asked {
        watch.answered(&question, records(&["10 a.example"]), NOW + 10 * MINUTE);
    }
    // And again and again as long as it fails, but less and less often.
    let mut looks = 0;
    for second in (0..50 * 60).step_by(5) {
        let now = NOW + 10 * MINUTE + second * 1_000_000;
        watch.passes("example.org", now, false, |domain| domain.fails(now, RecordId::from_parts(1, 1)));
        let asked = watch.questions(now, 100);
        looks += asked.len();
        for question in asked {
            watch.answered(&question, records(&["10 a.example"]), now);
        }
    }
    assert!((16..=32).contains(&looks), "{looks}");
    assert_eq!(watch.questions(NOW + 61 * MINUTE, 100).len(), 6, "the others once an hour");
}

#[test]
fn refusals_of_senders_and_addresses_are_explained_too() {
    let mut watch = watch();
    let spf = Question { sort: Sort::Spf, of: "our.example".to_owned(), selector: None };
    let ptr = Question { sort: Sort::Ptr, of: "192.0.2.25".to_owned(), selector: None };
    let mail = |no: u64| mail(NOW + no * MINUTE, no);
    let observe = |watch: &mut DnsWatch, sample: Sample| watch.observe(&Seen::of(&sample.record()));
    observe(&mut watch, mail(0));
    watch.answered(&spf, records(&["v=spf1 include:_spf.provider.example -all"]), NOW);
    watch.answered(&ptr, records(&["mail.our.example."]), NOW);
    watch.answered(&spf, records(&["v=spf1 -all"]), NOW + 5 * MINUTE);
    watch.answered(&ptr, Published::Nothing, NOW + 5 * MINUTE);
    observe(&mut watch, mail(6).refused(Stage::EndOfData, 550, "5.7.23 SPF", Cause::SpfDkimDmarcFailure));
    observe(&mut watch, mail(7));
    observe(&mut watch, mail(8).refused(Stage::RcptTo, 550, "5.7.25 no PTR", Cause::ReverseDnsMissing));
    let told = raised(&mut watch, 9);
    let of = |sort: &str| told.iter().find(|it| it.summary.starts_with(sort)).map(|it| it.summary.as_str()).unwrap_or_default();
    assert!(of("SPF of our.example").contains("; 1 min before the first failure (00:06 UTC; 1 failure since)"), "{told:?}");
    assert!(of("PTR of 192.0.2.25").contains("; 3 min before the first failure (00:08 UTC; 1 failure since)"), "{told:?}");
    assert!(of("PTR of 192.0.2.25").contains("mail.our.example is now nothing"), "{told:?}");
}

#[test]
fn dead_domains_do_not_keep_others_from_being_asked() {
    let mut watch = watch();
    for no in 0..100 {
        watch.passes(&format!("dead{no}.example"), NOW, false, |_| {});
    }
    let (mut asked, mut of_dead) = (Vec::new(), 0);
    // Eight a minute, and those of dead domains are never answered.
    for minute in 0..60 {
        let now = NOW + minute * MINUTE;
        for question in watch.questions(now, 8) {
            let is_dead = question.of.starts_with("dead");
            of_dead += usize::from(is_dead);
            watch.answered(&question, if is_dead { Published::Unknown } else { records(&["10 a.example"]) }, now);
            asked.push(question);
        }
        if minute == 0 {
            assert_eq!(asked.first().map(|it| it.sort), Some(Sort::Ptr), "the own address first: {asked:?}");
        }
    }
    for of in ["example.org", "sender.example"] {
        assert!(asked.iter().any(|it| it.of == of), "{of}");
    }
    assert!(of_dead < 100 * 2 * 4, "{of_dead}: less and less often");
}

#[test]
fn what_waits_for_its_answer_is_not_asked_again() {
    let mut watch = watch();
    assert_eq!(watch.questions(NOW, 100).len(), 8);
    watch.passes("example.org", NOW + MINUTE, false, |domain| domain.fails(NOW + MINUTE, RecordId::from_parts(1, 1)));
    assert_eq!(watch.questions(NOW + 2 * MINUTE, 100), []);
    assert_eq!(watch.questions(NOW + 5 * MINUTE, 100).len(), 8, "unless the answer is lost");
}

#[test]
fn a_key_that_signs_no_more_is_watched_no_more() {
    let mut watch = watch();
    let dkim = |selector: &str| Question { sort: Sort::Dkim, of: "sender.example".to_owned(), selector: Some(selector.to_owned()) };
    watch.answered(&dkim("mail"), records(&["v=DKIM1; p=a"]), NOW);
    // Others sign, more than are watched: the newest are.
    for no in 0..9 {
        watch.passes("sender.example", NOW + 8 * DAY + no, true, |domain| domain.signs(&format!("s{no}"), NOW + 8 * DAY + no));
    }
    let asked = watch.questions(NOW + 8 * DAY + 9, 100);
    assert!(asked.contains(&dkim("s8")) && !asked.contains(&dkim("s0")) && !asked.contains(&dkim("mail")), "{asked:?}");
    watch.answered(&dkim("mail"), Published::Nothing, NOW + 8 * DAY + MINUTE);
    assert_eq!(raised(&mut watch, 8 * 24 * 60 + 2), []);
}

#[test]
fn who_signs_is_no_sender_of_ours() {
    let mut watch = watch();
    watch.passes("list.example", NOW, false, |domain| domain.signs("k", NOW));
    let asked = watch.questions(NOW, 100);
    assert!(asked.iter().filter(|it| it.of == "list.example").all(|it| matches!(it.sort, Sort::Mx | Sort::Ns)), "{asked:?}");
}

#[test]
fn what_is_watched_is_bounded_and_kept() {
    let mut watch = DnsWatch::new(Options { domains: 100, ..Options::default() });
    for no in 0..1_000 {
        watch.passes(&format!("d{no}.example"), NOW + no, false, |_| {});
    }
    assert!(watch.domains.len() <= 100 && watch.domains.contains_key("d999.example"));
    for odd in ["[192.0.2.1]", "192.0.2.1", "localhost", "a b.example", "ü.example", ""] {
        watch.passes(odd, NOW, false, |_| {});
        assert!(!watch.domains.contains_key(odd), "{odd}");
    }
    watch.answered(&mx("d999.example"), records(&["10 a.example"]), NOW);
    let mut back = DnsWatch::new(Options { domains: 100, ..Options::default() });
    assert!(back.restore(&watch.keep()));
    back.answered(&mx("d999.example"), records(&["10 b.example"]), NOW + HOUR);
    assert_eq!(raised(&mut back, 61).len(), 1);
    assert!(!back.restore(&[1]) && !back.restore(&[2]) && !back.restore(&[3]) && !back.restore(&[]));
}
