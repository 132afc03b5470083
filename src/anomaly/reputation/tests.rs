//! Refusals that are a matter of reputation, and those that aren't.

use super::*;
use crate::anomaly::Seen;
use crate::anomaly::finding::Finding;
use crate::anomaly::samples::{MONDAY, Sample, mail};
use crate::anomaly::trial::{judge, one};
use crate::anomaly::window::{DAY, MINUTE, SECOND};
use crate::trace::*;

fn feed(detector: &mut dyn Detector, sample: Sample) {
    let record = sample.record();
    detector.observe(&Seen::of(&record));
}

#[test]
fn a_block_list_is_named_with_its_page() {
    let mut refusals = Refusals::new(&Options::default());
    let text = "5.7.1 Service unavailable; Client host [192.0.2.25] blocked using zen.spamhaus.org";
    let sample = mail(MONDAY, 1).refused(Stage::RcptTo, 554, text, Cause::Blocklisted);
    feed(&mut refusals, sample.clone().inbound());
    assert_eq!(judge(&mut refusals, MONDAY + SECOND), [], "strangers are refused every day");
    feed(&mut refusals, sample);
    let found = judge(&mut refusals, MONDAY + 10 * SECOND);
    let finding = one(&found, Anomaly::Blocklisted);
    assert_eq!(finding.about[0].value, "zen.spamhaus.org");
    assert!(finding.advice.contains("https://check.spamhaus.org/"), "{}", finding.advice);
    assert!(finding.summary.starts_with("Mail is refused because of Spamhaus (zen.spamhaus.org): 1 refusal since 00:00 UTC"));
    assert_eq!(judge(&mut refusals, MONDAY + 2 * DAY), []);
}

#[test]
fn sender_authentication_and_reverse_dns_have_their_own() {
    let mut refusals = Refusals::new(&Options::default());
    for no in 0..3 {
        let at = MONDAY + no * MINUTE;
        feed(&mut refusals, mail(at, no).refused(Stage::EndOfData, 550, "5.7.26 DMARC: not authenticated", Cause::SpfDkimDmarcFailure));
    }
    let found = judge(&mut refusals, MONDAY + 3 * MINUTE);
    let finding = one(&found, Anomaly::SenderAuthRefused);
    assert!(
        finding.summary.starts_with("x.example refuses mail of our.example because of SPF, DKIM or DMARC: 3 of 3"),
        "{}",
        finding.summary
    );
    let mut refusals = Refusals::new(&Options::default());
    for no in 0..2 {
        feed(&mut refusals, mail(MONDAY, no).refused(Stage::RcptTo, 550, "5.7.25 no PTR record", Cause::ReverseDnsMissing));
    }
    one(&judge(&mut refusals, MONDAY + MINUTE), Anomaly::ReverseDnsRefused);
}

#[test]
fn a_destination_that_suddenly_refuses_stands_out() {
    let mut ratio = Ratio::new(&Options::default());
    let refused = |at, no: u64| {
        let sample = mail(at, no).from(&format!("s{}@our.example", no % 7));
        sample.refused(Stage::RcptTo, 550, "5.7.1 refused by policy", Cause::PolicyRejected)
    };
    for no in 0..600 {
        let at = MONDAY + no * MINUTE;
        feed(&mut ratio, if no % 40 == 0 { refused(at, no) } else { mail(at, no) });
        assert_eq!(judge(&mut ratio, at), []);
    }
    let mut next = Ratio::new(&Options::default());
    assert!(next.restore(&ratio.keep()));
    let at = MONDAY + 601 * MINUTE;
    for no in 0..20 {
        feed(&mut next, refused(at + no * SECOND, 1_000 + no));
    }
    let found = judge(&mut next, at + 20 * SECOND);
    let finding = one(&found, Anomaly::RejectRatio);
    assert!(finding.summary.starts_with("x.example refuses far more than usual: 20 of 28 (71 %)"), "{}", finding.summary);
}

#[test]
fn a_destination_that_goes_on_refusing_stands_out_until_it_ends() {
    let mut ratio = Ratio::new(&Options::default());
    let of = |no: u64| mail(MONDAY + no * MINUTE / 2, no).from(&format!("s{}@our.example", no % 7));
    for no in 0..600 {
        feed(&mut ratio, of(no));
    }
    // Everything for a day, two a minute.
    for no in 600..600 + 2 * 60 * 24 {
        feed(&mut ratio, of(no).refused(Stage::RcptTo, 550, "5.7.1 refused by policy", Cause::PolicyRejected));
        let found = judge(&mut ratio, MONDAY + no * MINUTE / 2);
        if no > 620 && no < 620 + 2 * 60 * 8 {
            one(&found, Anomaly::RejectRatio);
        }
    }
    // It is accepted again, and what is usual has stayed what it was: the next time is told as well.
    let after = 600 + 2 * 60 * 24;
    for no in after..after + 600 {
        feed(&mut ratio, of(no));
    }
    assert_eq!(judge(&mut ratio, MONDAY + (after + 600) * MINUTE / 2), []);
}

#[test]
fn sudden_verdicts_of_spam_name_the_sender() {
    let mut ratio = Ratio::new(&Options::default());
    for no in 0..200 {
        feed(&mut ratio, mail(MONDAY + no * MINUTE, no));
    }
    let at = MONDAY + 200 * MINUTE;
    for no in 0..12 {
        let sample = mail(at + no * SECOND, 500 + no).from("bob@our.example");
        feed(&mut ratio, sample.refused(Stage::EndOfData, 550, "5.7.1 message looks like spam", Cause::SpamDetected));
    }
    let found = judge(&mut ratio, at + MINUTE);
    let finding = one(&found, Anomaly::SpamVerdicts);
    assert!(finding.summary.contains("from bob@our.example"), "{}", finding.summary);
}

/// An hour of a newsletter: so many messages of one sender, to 40 destinations; before it, hours of others' mail.
fn newsletter_hour(ratio: &mut Ratio, count: u64) -> WallMicros {
    for no in 0..1_200 {
        let sample =
            mail(MONDAY + no * MINUTE / 4, no).from(&format!("u{}@our.example", no % 4)).to(&[&format!("p{no}@d{}.example", no % 4)]);
        feed(ratio, sample);
    }
    let at = MONDAY + 300 * MINUTE;
    for no in 0..count {
        let sample = mail(at + no * SECOND, 5_000 + no).from("news@our.example").to(&[&format!("p{no}@d{}.example", 4 + no % 40)]);
        feed(ratio, sample);
    }
    at + count * SECOND
}

fn refused_as_spam(ratio: &mut Ratio, at: WallMicros, count: u64, of: impl Fn(u64) -> (String, String)) -> Vec<Finding> {
    for no in 0..count {
        let (from, to) = of(no);
        let sample = mail(at + no * SECOND, 9_000 + no).from(&from).to(&[&to]);
        feed(ratio, sample.refused(Stage::EndOfData, 550, "5.7.1 message looks like spam", Cause::SpamDetected));
    }
    judge(ratio, at + count * SECOND)
}

#[test]
fn verdicts_of_spam_are_named_beside_a_newsletter_too() {
    // A destination calls our people's mail spam: a hundredth of what goes out in this hour, and all of what goes there.
    let mut ratio = Ratio::new(&Options::default());
    let at = newsletter_hour(&mut ratio, 3_000);
    let found = refused_as_spam(&mut ratio, at, 30, |no| (format!("u{}@our.example", no % 4), format!("q{no}@d2.example")));
    // That the destination refuses more than usual is part of it, in the book of incidents.
    let of_spam = found.iter().find(|it| it.anomaly == Anomaly::SpamVerdicts);
    let finding = of_spam.unwrap_or_else(|| panic!("{found:?}"));
    assert_eq!((finding.about[0].kind, finding.about[0].value.as_str()), (AboutKind::Domain, "d2.example"));
    assert!(finding.summary.starts_with("Mail for d2.example is suddenly refused as spam: 30 of"), "{}", finding.summary);

    // One sender's mail is, everywhere.
    let mut ratio = Ratio::new(&Options::default());
    let at = newsletter_hour(&mut ratio, 3_000);
    let found = refused_as_spam(&mut ratio, at, 30, |no| ("u1@our.example".to_owned(), format!("q{no}@e{no}.example")));
    let finding = one(&found, Anomaly::SpamVerdicts);
    assert_eq!((finding.about[0].kind, finding.about[0].value.as_str()), (AboutKind::Sender, "u1@our.example"));

    // Without the newsletter it is the upstream's, and told once.
    let mut ratio = Ratio::new(&Options::default());
    let at = newsletter_hour(&mut ratio, 0);
    let found = refused_as_spam(&mut ratio, at, 30, |no| ("u1@our.example".to_owned(), format!("q{no}@d2.example")));
    assert_eq!(one(&found, Anomaly::SpamVerdicts).about[0].kind, AboutKind::Upstream);
}

#[test]
fn few_verdicts_beside_a_newsletter_are_none() {
    // As many as a newsletter always gets, here and there.
    let mut ratio = Ratio::new(&Options::default());
    let at = newsletter_hour(&mut ratio, 3_000);
    let found = refused_as_spam(&mut ratio, at, 30, |no| ("news@our.example".to_owned(), format!("q{no}@d{}.example", 4 + no % 40)));
    assert_eq!(found, []);
    // A sender and a destination that nobody knows yet: there is nothing to compare with.
    let mut ratio = Ratio::new(&Options::default());
    let at = newsletter_hour(&mut ratio, 3_000);
    let found = refused_as_spam(&mut ratio, at, 30, |_| ("new@our.example".to_owned(), "bob@first.example".to_owned()));
    assert_eq!(found, []);
}
