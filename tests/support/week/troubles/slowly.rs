//! What takes hours to show: a mailbox that stays full, a nightly batch that doesn't come; and holidays, changed clocks, batches that are late.

use super::*;
use crate::week::{HOUR, NEWSLETTER, Traffic, an_hour_earlier, an_hour_later, holiday};

/// When it begins: at midnight before Monday, or at one in the morning on Tuesday.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    Monday,
    Tuesday,
}

/// A situation, when it begins, and what is otherwise in ordinary mail.
pub struct Slowly {
    pub begin: Begin,
    pub situation: Situation,
    pub traffic: fn(&mut Traffic),
}

fn is_newsletter(record: &Record) -> bool {
    matches!(record, Record::Transaction(it) if it.client.ip.to_string() == NEWSLETTER)
}

fn later(record: Record, by: WallMicros) -> Record {
    match record {
        Record::Transaction(mut it) => {
            it.at += by;
            Record::Transaction(it)
        }
        other => other,
    }
}

pub fn slowly(monday: WallMicros) -> Vec<Slowly> {
    let tuesday = monday + 25 * HOUR;
    let lasting = |situation: Situation, from, hours: u64| Situation { from, until: from + hours * HOUR, ..situation };
    let batch = |situation: Situation| Slowly { begin: Begin::Tuesday, situation: lasting(situation, tuesday, 5), traffic: |_| {} };
    let otherwise =
        |name, traffic, hours| Slowly { begin: Begin::Monday, situation: lasting(none(name, Vec::new()), monday, hours), traffic };
    let full = each(monday + HOUR, 6, 5 * HOUR, |at, no| {
        mail(at, no).to(&["stays@d1.example"]).refused(Stage::RcptTo, 452, "4.2.2 Mailbox full", Cause::MailboxFull).record()
    });
    vec![
        Slowly { begin: Begin::Monday, situation: trouble(Anomaly::MailboxStaysFull, "for more than a day", full), traffic: |_| {} },
        batch(trouble(Anomaly::Silence, "the nightly batch doesn't come", Vec::new()).instead(|it| (!is_newsletter(&it)).then_some(it))),
        batch(
            none("the nightly batch is 40 min late", Vec::new())
                .instead(|it| if is_newsletter(&it) { Some(later(it, 40 * MINUTE)) } else { Some(it) }),
        ),
        batch(none("the nightly batch is half as large", Vec::new()).instead(|it| {
            (!is_newsletter(&it) || matches!(&it, Record::Transaction(mail) if (mail.at / SECOND).is_multiple_of(2))).then_some(it)
        })),
        otherwise("a holiday", |it| it.office = holiday, 20),
        otherwise("clocks were set forward: all come an hour earlier", |it| it.office = an_hour_earlier, 20),
        otherwise("clocks were set back: all come an hour later", |it| it.office = an_hour_later, 20),
    ]
}
