//! The life of incidents.

use super::*;
use crate::trace::{Cause, Change, Mute};

const NOW: WallMicros = 1_795_392_000_000_000;

fn book() -> Book {
    let origin = Origin { node: "relay1".to_owned(), proxy_version: "0".to_owned(), config_digest: "0".to_owned() };
    Book::new(Options::default(), Arc::new(origin.into()))
}

fn down(upstream: &str, fresh: u64) -> Finding {
    let finding = Finding::new(Anomaly::UpstreamDown, Severity::Critical, format!("{upstream} is down"), "3 of 3");
    finding.about(AboutKind::Upstream, upstream).evidence(NOW, NOW, fresh, vec![RecordId::from_parts(fresh, 1)])
}

/// What is entered at that minute.
#[track_caller]
fn enter(book: &mut Book, minute: u64, raised: Vec<Finding>) -> Vec<Incident> {
    let (mut entries, mut findings) = (Vec::new(), Findings { raised, cleared: Vec::new() });
    book.enter(NOW + minute * MINUTE, &mut findings, &mut entries);
    entries
}

fn steps(entries: &[Incident]) -> Vec<IncidentStep> {
    entries.iter().map(|entry| entry.step).collect()
}

#[test]
fn nine_hundred_findings_are_one_incident() {
    let mut book = book();
    let mut entries = Vec::new();
    for second in 0..900 {
        let mut findings = Findings { raised: vec![down("main", 1)], cleared: Vec::new() };
        book.enter(NOW + second * 10_000_000, &mut findings, &mut entries);
    }
    // Two hours and a half: written at 0, 15, 45 and 105 minutes.
    assert_eq!(steps(&entries), [IncidentStep::Opened, IncidentStep::Changed, IncidentStep::Changed, IncidentStep::Changed]);
    assert!(entries.iter().all(|entry| entry.incident == entries[0].id), "{entries:?}");
    let mut ids: Vec<RecordId> = entries.iter().map(|entry| entry.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    assert_eq!(book.open()[0].count, 900);
    assert!(entries.iter().all(|entry| entry.samples.len() <= SAMPLES));
}

#[test]
fn an_incident_ends_when_it_is_quiet_and_comes_back_as_the_same() {
    let mut book = book();
    let opened = enter(&mut book, 0, vec![down("main", 1)]);
    assert_eq!(enter(&mut book, 29, vec![]), []);
    let ended = enter(&mut book, 30, vec![]);
    assert_eq!(steps(&ended), [IncidentStep::Resolved]);
    assert_eq!(ended[0].note.as_deref(), Some("not seen again for 30 min"));
    let again = enter(&mut book, 45, vec![down("main", 1)]);
    assert_eq!((steps(&again), again[0].incident, again[0].count), (vec![IncidentStep::Reopened], opened[0].id, 2));
    // Last seen at 45, over at 80: the hour counts from there.
    enter(&mut book, 80, vec![]);
    assert_eq!(steps(&enter(&mut book, 139, vec![down("main", 1)])), [IncidentStep::Reopened]);
    enter(&mut book, 170, vec![]);
    let later = enter(&mut book, 230, vec![down("main", 1)]);
    assert_eq!(steps(&later), [IncidentStep::Opened]);
    assert_ne!(later[0].incident, opened[0].id);
}

#[test]
fn what_a_detector_clears_is_over_at_once() {
    let mut book = book();
    enter(&mut book, 0, vec![down("main", 1)]);
    let mut findings = Findings::default();
    findings.clear(Anomaly::UpstreamDown, vec![About { kind: AboutKind::Upstream, value: "main".to_owned() }], "it answers again");
    findings.clear(Anomaly::UpstreamDown, vec![About { kind: AboutKind::Upstream, value: "other".to_owned() }], "it never was");
    let mut entries = Vec::new();
    book.enter(NOW + MINUTE, &mut findings, &mut entries);
    assert_eq!((steps(&entries), entries[0].note.as_deref()), (vec![IncidentStep::Resolved], Some("it answers again")));
    assert!(book.open().is_empty());
}

#[test]
fn many_of_a_kind_are_one_together() {
    let mut book = book();
    let entries = enter(&mut book, 0, (0..100).map(|no| down(&format!("u{no}"), 1)).collect());
    assert_eq!(entries.len(), 21);
    assert_eq!(book.open().len(), 21);
    let together = book.open().into_iter().find(|entry| entry.about.is_empty()).cloned().unwrap();
    assert_eq!((together.count, together.summary.as_str()), (80, "Several at once; the latest: u99 is down"));
}

#[test]
fn many_together_are_not_written_at_each_judgement() {
    let mut book = book();
    let of = |no: u32| {
        let severity = if no.is_multiple_of(2) { Severity::Critical } else { Severity::Warning };
        let (before, after) = (format!("a{no}"), format!("b{no}"));
        let change = Some(Change { what: "MX".to_owned(), before, after, last_before: None });
        Finding { severity, change, fresh: 0, ..down(&format!("u{no}"), 0) }
    };
    let all = || (0..40).map(of).collect::<Vec<_>>();
    enter(&mut book, 0, all());
    for minute in 1..15 {
        assert_eq!(enter(&mut book, minute, all()), [], "minute {minute}");
    }
    let together = book.open().into_iter().find(|entry| entry.about.is_empty()).unwrap();
    assert_eq!(together.severity, Severity::Critical);
}

#[test]
fn a_severity_is_told_when_it_rises_above_what_was_told() {
    let mut book = book();
    let of = |severity| vec![Finding { severity, ..down("main", 0) }];
    enter(&mut book, 0, of(Severity::Warning));
    assert_eq!(steps(&enter(&mut book, 1, of(Severity::Critical))), [IncidentStep::Changed]);
    for minute in 2..20 {
        let severity = if minute % 2 == 0 { Severity::Warning } else { Severity::Critical };
        assert_eq!(enter(&mut book, minute, of(severity)), [], "minute {minute}");
        let mut back = super::tests::book();
        assert!(back.restore(&book.keep()));
        book = back;
    }
}

#[test]
fn what_outlives_its_explanation_is_told() {
    let mut book = book();
    let slow = |upstream: &str| {
        let finding = Finding::new(Anomaly::UpstreamSlow, Severity::Warning, "slow", "");
        vec![finding.about(AboutKind::Upstream, upstream)]
    };
    let wide = enter(&mut book, 0, vec![down("main", 1)]);
    assert_eq!(enter(&mut book, 1, slow("main"))[0].part_of, Some(wide[0].incident));
    assert_eq!(enter(&mut book, 29, slow("main")), []);
    assert_eq!(steps(&enter(&mut book, 30, vec![])), [IncidentStep::Resolved]);
    let told = enter(&mut book, 31, slow("main"));
    assert_eq!((steps(&told), told[0].part_of), (vec![IncidentStep::Changed], None));
    assert_eq!(enter(&mut book, 32, slow("main")), []);
    // One that comes back is explained by what is wrong then.
    enter(&mut book, 62, vec![]);
    let back = enter(&mut book, 70, slow("main"));
    assert_eq!((steps(&back), back[0].part_of), (vec![IncidentStep::Reopened], None));
    enter(&mut book, 100, vec![]);
    let both = enter(&mut book, 110, [vec![down("main", 1)], slow("main")].concat());
    assert_eq!((both[1].step, both[1].part_of), (IncidentStep::Reopened, Some(both[0].incident)));
}

#[test]
fn many_together_are_explained_only_if_each_is() {
    let mut book = book();
    let slow = |no: u32| Finding::new(Anomaly::UpstreamSlow, Severity::Warning, "slow", "").about(AboutKind::Upstream, format!("u{no}"));
    enter(&mut book, 0, vec![down("u20", 1)]);
    let opened = enter(&mut book, 1, (0..21).map(slow).collect());
    assert!(opened.iter().all(|entry| entry.part_of.is_some() == entry.about.is_empty()), "{opened:?}");
    let told = enter(&mut book, 2, (0..22).map(slow).collect());
    assert_eq!((steps(&told), told[0].part_of), (vec![IncidentStep::Changed], None));
    assert_eq!(enter(&mut book, 3, (0..22).map(slow).collect()), []);
}

#[test]
fn the_narrower_is_part_of_the_wider() {
    let mut book = book();
    let wide = enter(&mut book, 0, vec![down("main", 1)]);
    let slow = |upstream: &str| Finding::new(Anomaly::UpstreamSlow, Severity::Warning, "slow", "").about(AboutKind::Upstream, upstream);
    let narrow = enter(&mut book, 1, vec![slow("main"), slow("other")]);
    assert_eq!(narrow.iter().map(|entry| entry.part_of).collect::<Vec<_>>(), [Some(wide[0].incident), None]);
    // In whatever order they are found, and a domain's refusals by what they say.
    let of = |anomaly, cause, kind, value: &str| Finding::new(anomaly, Severity::Warning, "", "").about(kind, value).caused(cause);
    let ratio = |domain: &str, cause| of(Anomaly::RejectRatio, cause, AboutKind::Domain, domain);
    let spam = of(Anomaly::SpamVerdicts, Cause::SpamDetected, AboutKind::Upstream, "main");
    let found = vec![ratio("x.example", Cause::SpamDetected), ratio("y.example", Cause::PolicyRejected), spam];
    let entries = enter(&mut book, 2, found);
    let [spam, x, y] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!((spam.anomaly, x.part_of, y.part_of), (Anomaly::SpamVerdicts, Some(spam.incident), None));
}

#[test]
fn one_host_or_many_others_explain_nothing_of_the_rest() {
    let mut book = book();
    let of = |anomaly, host: &str| {
        Finding::new(anomaly, Severity::Warning, "", "").about(AboutKind::Upstream, "mx").about(AboutKind::Host, host)
    };
    let whole = Finding::new(Anomaly::UpstreamClosing, Severity::Critical, "", "").about(AboutKind::Upstream, "mx");
    let one = enter(&mut book, 0, vec![of(Anomaly::UpstreamDown, "a.example")]);
    let found = vec![of(Anomaly::UpstreamSlow, "a.example"), of(Anomaly::UpstreamSlow, "b.example"), whole];
    let explained: Vec<_> = enter(&mut book, 1, found).iter().map(|entry| entry.part_of).collect();
    assert_eq!(explained, [Some(one[0].incident), None, None]);
    // A name that can't be looked up is that of a host.
    let name = Finding::new(Anomaly::DnsFailing, Severity::Critical, "", "");
    enter(&mut book, 2, vec![name.about(AboutKind::Upstream, "main").about(AboutKind::Domain, "smtp.example")]);
    let slow = Finding::new(Anomaly::UpstreamSlow, Severity::Warning, "", "").about(AboutKind::Upstream, "main");
    assert!(enter(&mut book, 2, vec![slow.about(AboutKind::Host, "smtp.example")])[0].part_of.is_some());

    let mut book = super::tests::book();
    let domain = |no: u32| Finding::new(Anomaly::DnsFailing, Severity::Notice, "", "").about(AboutKind::Domain, format!("d{no}.example"));
    let many = enter(&mut book, 0, (0..25).map(domain).collect());
    assert_eq!(many.len(), 21);
    assert_eq!(enter(&mut book, 1, vec![down("main", 1)])[0].part_of, None);
    // The resolver's failure is an incident of its own, and explains all.
    let resolver = || Finding::new(Anomaly::DnsFailing, Severity::Critical, "DNS fails", "");
    let mut back = super::tests::book();
    assert!(back.restore(&book.keep()));
    let told = enter(&mut back, 2, vec![resolver(), down("other", 1)]);
    let [all, other] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((all.step, all.summary.as_str(), other.part_of), (IncidentStep::Opened, "DNS fails", Some(all.incident)));
    assert!(many.iter().all(|entry| entry.incident != all.incident));
    let ids = enter(&mut super::tests::book(), 0, (0..25).map(domain).chain([resolver()]).collect());
    assert_eq!(ids.iter().map(|entry| entry.incident).collect::<std::collections::HashSet<_>>().len(), 22);
}

#[test]
fn a_mute_is_learned_from_the_journal_and_ends() {
    let mut book = book();
    let opened = enter(&mut book, 0, vec![down("main", 1)]);
    let mute = Some(Mute { who: "alice".to_owned(), until: NOW + 20 * MINUTE });
    book.learn(&Incident { step: IncidentStep::Muted, mute: mute.clone(), ..opened[0].clone() });
    assert_eq!(enter(&mut book, 16, vec![down("main", 1)])[0].mute, mute);
    assert_eq!(enter(&mut book, 50, vec![])[0].mute, None);
}

#[test]
fn what_is_kept_comes_back() {
    let mut book = book();
    enter(&mut book, 0, vec![down("main", 3), down("other", 1)]);
    enter(&mut book, 20, vec![down("main", 3)]);
    enter(&mut book, 31, vec![down("main", 1)]);
    let mut back = super::tests::book();
    assert!(back.restore(&book.keep()));
    assert_eq!(back.open(), book.open());
    assert_eq!(steps(&enter(&mut back, 40, vec![down("other", 1)])), [IncidentStep::Reopened]);
    assert!(!back.restore(&[9, 9]) && !back.restore(&[]));
    // The form before, without the severity that was told.
    let kept = Kept1 { open: book.open.values().cloned().collect(), ended: Vec::new() };
    assert!(back.restore(&postcard::to_extend(&kept, vec![1]).unwrap()));
    assert_eq!(back.open(), book.open());
}

#[test]
fn what_people_were_told_of_is_remembered_to_its_end() {
    let mut book = book();
    let of = |upstream: &str, severity| Finding { severity, ..down(upstream, 1) };
    let opened = enter(&mut book, 0, vec![of("main", Severity::Warning), of("other", Severity::Notice)]);
    let (main, other) = (opened[0].incident, opened[1].incident);
    enter(&mut book, 1, vec![of("main", Severity::Notice), of("other", Severity::Notice)]);
    let mut back = super::tests::book();
    assert!(back.restore(&book.keep()));
    let ended = enter(&mut back, 40, vec![]);
    assert_eq!((ended.len(), ended[0].severity), (2, Severity::Notice));
    assert!(back.was_told(main) && !back.was_told(other));
    // Back as what nobody is told of: nor of that end.
    assert_eq!(steps(&enter(&mut back, 45, vec![of("main", Severity::Notice)])), [IncidentStep::Reopened]);
    assert!(!back.was_told(main));
    // From its entries alone, as after a crash.
    let mut learned = super::tests::book();
    opened.iter().for_each(|entry| learned.learn(entry));
    assert!(learned.was_told(main) && !learned.was_told(other));
    // The form before this one knew the severity alone.
    let kept = Kept1 { open: book.open.values().cloned().collect(), ended: Vec::new() };
    let told: Vec<Option<Severity>> = kept.open.iter().map(|open| Some(open.entry.severity.max(Severity::Warning))).collect();
    let mut former = super::tests::book();
    assert!(former.restore(&postcard::to_extend(&(kept, told), vec![2]).unwrap()));
    assert!(former.was_told(main) && former.open().len() == 2);
}
