//! Too much mail, and none: spikes, silence; and what is within the usual.

use super::*;
use crate::week::{HOUR, SHOP};

fn client_is(record: &Record, ip: &str) -> bool {
    matches!(record, Record::Transaction(it) if it.client.ip.to_string() == ip)
}

pub fn situations(at: WallMicros, moment: Moment) -> Vec<Situation> {
    let person = |count, pause, failing: u64| {
        each(at, count, pause, |at, no| {
            let address = format!("stranger{no}@far{}.example", no % 50);
            let sample = mail(at, no).client("10.0.1.7").user("p7@our.example", "succeeded").from("p7@our.example").to(&[&address]);
            if failing > 0 && no.is_multiple_of(failing) {
                sample.refused(Stage::RcptTo, 550, "5.1.1 no such user", Cause::RecipientUnknown).record()
            } else {
                sample.record()
            }
        })
    };
    let known = |count, pause| {
        each(at, count, pause, |at, no| {
            let address = format!("stranger{no}@far{}.example", no % 50);
            mail(at, no).client("10.0.1.9").user("u8", "succeeded").from("u8@our.example").to(&[&address]).record()
        })
    };
    let machine = |count, pause| {
        each(at, count, pause, |at, no| {
            mail(at, no).client("10.0.0.60").from("machine10@our.example").to(&[&format!("alarm{no}@d{}.example", no % 300)]).record()
        })
    };
    let mut all = vec![
        // An account of which nothing is known may be a new newsletter: told from thousands on.
        trouble(Anomaly::VolumeSpike, "a new account sends thousands", person(5_200, SECOND / 20, 3)).beside(&[Anomaly::SpamVerdicts]),
        trouble(Anomaly::VolumeSpike, "a known account sends hundreds", known(400, SECOND)),
        trouble(Anomaly::VolumeSpike, "a known account sends thousands", known(3_000, SECOND / 10)),
        trouble(Anomaly::VolumeSpike, "a machine repeats itself", machine(500, SECOND)),
        none("a user writes to sixty people", known(60, 4 * SECOND)),
        none("an account of which nothing is known writes almost two hundred times", person(190, SECOND, 0)),
        none("an ordinary hour", Vec::new()).hour(at),
    ];
    let silent = |name: &str, ip: &'static str| {
        trouble(Anomaly::Silence, name, Vec::new()).hour(at).instead(move |record| (!client_is(&record, ip)).then_some(record))
    };
    all.push(silent("the shop's mail stops", SHOP));
    all.push(trouble(Anomaly::Silence, "nothing comes in any more", Vec::new()).hour(at).instead(|record| match &record {
        Record::Transaction(it) if it.listener == "inbound" => None,
        _ => Some(record),
    }));
    if moment == Moment::Busy {
        all.push(silent("one machine of forty stops", "10.0.0.89"));
        all.push(
            none("a machine with five messages an hour pauses", Vec::new())
                .hour(at)
                .instead(|record| (!client_is(&record, "10.0.0.50")).then_some(record)),
        );
        all.push(none("half of the people are at a meeting", Vec::new()).hour(at).instead(|record| match &record {
            Record::Transaction(it) if it.client.auth.is_some() && (it.at / SECOND).is_multiple_of(2) => None,
            _ => Some(record),
        }));
    }
    debug_assert!(all.iter().all(|it| it.until <= at + 3 * HOUR));
    all
}
