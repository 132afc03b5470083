//! Exports: whether their receivers have what is recorded.

use std::collections::BTreeMap;

use super::super::Check;
use super::super::options::Options;
use crate::export::{Place, known_places};
use crate::store::{Store, StoreError};
use crate::trace::json::{self, Time};
use crate::trace::{Audit, AuditEvent, Record, WallMicros};
use crate::wording::{several, span};

/// A receiver that is so far behind is behind; beyond the second, retention may come first. µs.
const BEHIND: u64 = 5 * 60_000_000;
const LATE: u64 = 86_400_000_000;

/// One check for each export that has a place in the store. `audits`: the last week's, newest first.
pub(super) fn checks(options: &Options, store: &Store, audits: &[Record], now: WallMicros) -> Result<Vec<Check>, StoreError> {
    let (said, dir) = (said(audits), options.store.dir.as_path());
    let mut checks = Vec::new();
    for name in known_places(dir) {
        let check = Check::asking(
            "own.export",
            format!("how far the receiver of export {name} is"),
            "what retention removes before it is sent is never sent",
        );
        checks.push(match Place::read(dir, &name) {
            Ok(Some(place)) if options.exports_off.contains(&name) => {
                let (waiting, lag) = waiting(store, &place, now)?;
                let waits = if waiting == 0 { "nothing waits".to_owned() } else { waits(waiting, lag) };
                check.skipped(format!("switched off by `enabled = false`; {waits}"))
            }
            Ok(Some(place)) => judged(check, store, &place, said.get(name.as_str()).copied(), now)?,
            Ok(None) => continue,
            Err(error) => check
                .fail(error.to_string(), "Nothing is sent there. Remove the file and `relayscope export replay` what the receiver lacks."),
        });
    }
    Ok(checks)
}

/// What each export said last. One that begins anew, after a start or a reload, says again what still fails, and nothing of what is over.
fn said(audits: &[Record]) -> BTreeMap<&str, &Audit> {
    let mut said: BTreeMap<&str, &Audit> = BTreeMap::new();
    for record in audits {
        let Record::Audit(audit) = record else { continue };
        match (audit.event, audit.who.as_deref()) {
            (AuditEvent::Started | AuditEvent::Reloaded, _) => break,
            (AuditEvent::ExportFailed | AuditEvent::ExportResumed, Some(who)) => {
                said.entry(who).or_insert(audit);
            }
            _ => {}
        }
    }
    said
}

/// Records that its receiver hasn't got, and how long the oldest of them has waited, in µs.
fn waiting(store: &Store, place: &Place, now: WallMicros) -> Result<(u64, u64), StoreError> {
    let waiting: u64 = store.places_from(place.at)?.iter().map(|(_, records)| records).sum();
    let oldest = store.first_from(place.at)?.map_or(now, |record| json::Record::from(&record).at().0);
    Ok((waiting, now.saturating_sub(oldest)))
}

fn waits(waiting: u64, lag: u64) -> String {
    format!("{}, the oldest for {}", several(waiting, "record waits", "records wait"), span(lag))
}

fn judged(check: Check, store: &Store, place: &Place, said: Option<&Audit>, now: WallMicros) -> Result<Check, StoreError> {
    let (waiting, lag) = waiting(store, place, now)?;
    let fix =
        "`relayscope export list` says what goes wrong. If it isn't configured any more and won't come back: `relayscope export forget`.";
    let waits = || waits(waiting, lag);
    Ok(match said.filter(|audit| audit.event == AuditEvent::ExportFailed) {
        said if waiting == 0 || (said.is_none() && lag < BEHIND) => {
            check.ok(if waiting == 0 { "it has everything".to_owned() } else { waits() })
        }
        Some(audit) => {
            let since = Time(audit.since.unwrap_or(audit.at));
            check.fail(format!("{}; it takes nothing since {since}: {}", waits(), audit.detail.as_deref().unwrap_or_default()), fix)
        }
        None if lag >= LATE => check.fail(waits(), fix),
        None => check.warn(waits(), fix),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::{self, Verdict};
    use crate::store::{Cursor, Day, Options, samples};
    use crate::trace::Gap;

    #[test]
    fn a_receiver_that_is_behind_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(Options::new(dir.path())).unwrap().store;
        let now = store.now();
        let mut options = doctor::options::Options::bare("relay.example", Options::new(dir.path()));
        assert!(checks(&options, &store, &[], now).unwrap().is_empty());
        let at = now.saturating_sub(2 * BEHIND);
        let gap = Gap { id: store.record_id(), from: at, until: at, records_lost: 1, why: "a test".to_owned() };
        store.appender().append(&Record::Gap(gap)).unwrap();
        let end = store.end().unwrap();
        let place = |at| Place { at, since: None, written_at: now };
        place(Cursor::at_start_of(Day::of(now))).write(dir.path(), "siem").unwrap();
        let told = checks(&options, &store, &[], now).unwrap();
        assert!(told[0].verdict == Verdict::Warn && told[0].answer.contains("1 record waits"), "{told:?}");
        // One that rests on purpose isn't to be forgotten.
        options.exports_off = vec!["siem".to_owned()];
        let told = checks(&options, &store, &[], now + LATE).unwrap();
        assert!(told[0].verdict == Verdict::Skipped && told[0].fix.is_none(), "{told:?}");
        assert!(told[0].answer.starts_with("switched off by `enabled = false`; 1 record waits"), "{told:?}");
        options.exports_off.clear();
        place(end).write(dir.path(), "siem").unwrap();
        let told = checks(&options, &store, &[], now).unwrap();
        assert!(told[0].verdict == Verdict::Ok && told[0].answer == "it has everything", "{told:?}");
        store.close();
    }

    #[test]
    fn what_was_said_before_a_start_or_a_reload_no_longer_counts() {
        let said_last = |events: &[AuditEvent]| {
            let audit = |event: &AuditEvent| {
                let Record::Audit(audit) = samples::audit(1) else { unreachable!() };
                Record::Audit(Box::new(Audit { event: *event, who: Some("siem".to_owned()), ..*audit }))
            };
            let audits: Vec<Record> = events.iter().map(audit).collect();
            said(&audits).get("siem").map(|audit| audit.event)
        };
        let failed = AuditEvent::ExportFailed;
        assert_eq!(said_last(&[failed, AuditEvent::ExportResumed, AuditEvent::Started]), Some(failed));
        for anew in [AuditEvent::Started, AuditEvent::Reloaded] {
            assert_eq!(said_last(&[anew, failed]), None, "{anew:?}");
            assert_eq!(said_last(&[failed, anew, failed]), Some(failed), "{anew:?}");
        }
    }
}
