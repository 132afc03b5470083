//! What receivers think of us: block lists, reverse DNS, sender authentication, much refused, much called spam.

use super::*;

/// Refused as spam, in all directions.
fn spam(at: WallMicros, no: u64, from: &str) -> Record {
    let sample = mail(at, no).from(from).to(&[&format!("p{no}@d{}.example", no % 400)]);
    sample.refused(Stage::EndOfData, 550, "5.7.1 Message looks like spam", Cause::SpamDetected).record()
}

pub fn situations(at: WallMicros) -> Vec<Situation> {
    let listed = |at, no| {
        let text = "5.7.1 Service unavailable; Client host [192.0.2.25] blocked using zen.spamhaus.org";
        refused(at, no, Stage::RcptTo, 554, text, Cause::Blocklisted)
    };
    let unnamed = |at, no| refused(at, no, Stage::RcptTo, 550, "5.7.1 Your address is on our block list", Cause::Blocklisted);
    let no_ptr = |at, no| refused(at, no, Stage::RcptTo, 550, "5.7.25 no PTR record", Cause::ReverseDnsMissing);
    let dmarc = |at, no| {
        let sample = mail(at, no).to(&["bob@strict.example"]);
        sample.refused(Stage::EndOfData, 550, "5.7.26 DMARC: not authenticated", Cause::SpfDkimDmarcFailure).record()
    };
    let policy = |at, no: u64, senders: u64| {
        let sample = mail(at, no).from(&format!("u{}@our.example", no % senders)).to(&[&format!("person{no}@d5.example")]);
        sample.refused(Stage::RcptTo, 550, "5.7.1 refused by our policy of today", Cause::PolicyRejected).record()
    };
    // So many that it is a twentieth of what goes out within an hour.
    let many = 250;
    vec![
        trouble(Anomaly::Blocklisted, "one refusal that names the list", each(at, 1, SECOND, listed)),
        trouble(Anomaly::Blocklisted, "hundreds that name it", each(at, 300, SECOND, listed)),
        trouble(Anomaly::Blocklisted, "two that name none", each(at, 2, 30 * SECOND, unnamed)),
        trouble(Anomaly::ReverseDnsRefused, "two refusals", each(at, 2, 30 * SECOND, no_ptr)),
        trouble(Anomaly::ReverseDnsRefused, "many", each(at, 100, SECOND, no_ptr)),
        trouble(Anomaly::SenderAuthRefused, "three of three", each(at, 3, 20 * SECOND, dmarc)),
        trouble(Anomaly::SenderAuthRefused, "many", each(at, 100, SECOND, dmarc)),
        trouble(
            Anomaly::RejectRatio,
            "a destination refuses everybody, a dozen",
            each(at, 12, 15 * SECOND, move |at, no| policy(at, no, 7)),
        ),
        trouble(Anomaly::RejectRatio, "a destination refuses everybody, hundreds", each(at, 200, SECOND, move |at, no| policy(at, no, 50))),
        trouble(Anomaly::SpamVerdicts, "one sender's mail is called spam", each(at, many, SECOND, |at, no| spam(at, no, "u9@our.example")))
            // It is a spike of that sender, too.
            .beside(&[Anomaly::VolumeSpike]),
        trouble(
            Anomaly::SpamVerdicts,
            "everybody's is",
            each(at, many + 50, SECOND, |at, no| spam(at, no, &format!("u{}@our.example", no % 90))),
        ),
        none("one whom a destination refuses ten times", each(at, 10, 20 * SECOND, move |at, no| policy(at, no, 1))),
        none("four verdicts of spam", each(at, 4, 20 * SECOND, |at, no| spam(at, no, "u9@our.example"))),
        none("one refusal for DMARC, of a forward", each(at, 1, SECOND, dmarc)),
        none("one refusal of a server with a list of its own", each(at, 1, SECOND, unnamed)),
    ]
}
