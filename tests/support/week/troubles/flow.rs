//! Mail that goes wrong ways; and lists, greylisting and typing errors that don't.

use relayscope::trace::{Digest, Flag};

use super::*;

fn again(sample: Sample, hops: u64) -> Sample {
    sample.with(|it| {
        it.message.message_id = Some("round@our.example".to_owned());
        it.message.received_count = 1 + hops as u32;
    })
}

/// The same octets to the same recipient.
fn same(at: WallMicros, no: u64, state: State) -> Sample {
    mail(at, no).to(&["boss@partner.example"]).with(|it| {
        it.message.message_id = Some("doubt@our.example".to_owned());
        it.message.body_digest = Some(Digest([7; 32]));
        it.outcome.state = state;
        it.envelope.recipients.iter_mut().for_each(|recipient| recipient.state = state);
        if state == State::Unknown {
            it.flags.push(Flag::InDoubt);
        }
    })
}

fn bounce(at: WallMicros, no: u64, to: &str) -> Record {
    let client = format!("198.51.100.{}", no % 200);
    mail(at, no)
        .inbound()
        .with(|it| it.upstream = super::super::server("behind"))
        .client(&client)
        .from("")
        .to(&[to])
        .flag(Flag::Report)
        .record()
}

fn unknown(at: WallMicros, no: u64, address: &str) -> Sample {
    mail(at, no).to(&[address]).refused(Stage::RcptTo, 550, "5.1.1 no such user", Cause::RecipientUnknown)
}

pub fn situations(at: WallMicros) -> Vec<Situation> {
    let harvest = |at, no: u64| {
        let sample = unknown(at, no, &format!("guess{no}@our.example")).inbound().client("203.0.113.66").from("x@evil.example");
        sample.with(|it| it.upstream = super::super::server("behind")).record()
    };
    vec![
        trouble(
            Anomaly::MailLoop,
            "a message comes back with more lines",
            each(at, 6, MINUTE, |at, no| again(mail(at, no).to(&["list@round.example"]), no % 1_000 * 3).record()),
        ),
        trouble(
            Anomaly::MailLoop,
            "one with thirty Received lines",
            each(at, 1, MINUTE, |at, no| again(mail(at, no).to(&["list@round.example"]), 30).record()),
        ),
        trouble(
            Anomaly::MailLoop,
            "a server that counts too many hops",
            each(at, 1, MINUTE, |at, no| refused(at, no, Stage::EndOfData, 554, "5.4.6 Too many hops", Cause::MailLoop)),
        ),
        trouble(Anomaly::DirectoryHarvest, "forty guesses", each(at, 40, SECOND, harvest)),
        trouble(Anomaly::DirectoryHarvest, "two thousand guesses", each(at, 2_000, SECOND / 10, harvest)).beside(&[Anomaly::VolumeSpike]),
        trouble(
            Anomaly::BounceWave,
            "sixty bounces to one who sent nothing",
            each(at, 60, SECOND, |at, no| bounce(at, no, "p3@our.example")),
        ),
        trouble(Anomaly::BounceWave, "a thousand", each(at, 1_000, SECOND / 4, |at, no| bounce(at, no, "p3@our.example"))),
        trouble(
            Anomaly::Duplicates,
            "taken again five minutes after no reply came",
            vec![same(at, 1 << 41, State::Unknown).record(), same(at + 5 * MINUTE, 1 << 41 | 1, State::Accepted).record()],
        ),
        trouble(
            Anomaly::AddressUnknown,
            "four messages to an address with a typing error",
            each(at, 4, MINUTE, |at, no| unknown(at, no, "persno1@d1.example").record()),
        ),
        none("three to such an address", each(at, 3, MINUTE, |at, no| unknown(at, no, "persno2@d1.example").record())),
        none(
            "a mailing list's message to sixty people, one id",
            each(at, 60, SECOND, |at, no| {
                again(mail(at, no).to(&[&format!("person{no}@d{}.example", no % 300)]), 3)
                    .with(|it| it.message.body_digest = Some(Digest([9; 32])))
                    .record()
            }),
        ),
        none("one that writes the same every minute", each(at, 9, MINUTE, |at, no| again(mail(at, no), 0).record())),
        none("the same message taken twice, with no doubt between", {
            vec![same(at, 1 << 41, State::Accepted).record(), same(at + MINUTE, 1 << 41 | 1, State::Accepted).record()]
        }),
        none(
            "a partner's old list: fifteen unknown of sixty",
            each(at, 60, 2 * SECOND, |at, no| {
                let sample = if no.is_multiple_of(4) {
                    unknown(at, no, &format!("old{no}@our.example"))
                } else {
                    mail(at, no).to(&["u5@our.example"])
                };
                sample.inbound().client("198.51.100.9").with(|it| it.upstream = super::super::server("behind")).record()
            }),
        ),
        none("thirty bounces", each(at, 30, 2 * SECOND, |at, no| bounce(at, no, "p4@our.example"))),
        none(
            "a mailbox full for ten minutes",
            each(at, 5, 2 * MINUTE, |at, no| {
                mail(at, no).to(&["brief@d1.example"]).refused(Stage::RcptTo, 452, "4.2.2 Mailbox full", Cause::MailboxFull).record()
            }),
        ),
    ]
}
