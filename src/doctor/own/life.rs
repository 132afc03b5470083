//! Holes in the traces: records that were lost, and times at which the proxy wasn't there.

use std::path::Path;

use super::super::Check;
use crate::store::{Health, PageRequest, Query, Store, StoreError, Term, is_open_to_others};
use crate::trace::json::Time;
use crate::trace::{AuditEvent, Record, RecordKind, WallMicros};

const WEEK_US: u64 = 7 * 86_400_000_000;
/// Records that are looked at.
const MOST: usize = 1_000;

pub(super) fn checks(dir: &Path, store: &Store, now: WallMicros, running: bool) -> Result<Vec<Check>, StoreError> {
    let why = "what isn't recorded can't be found: an answer from a time with a hole in it may be wrong";
    let mut checks = vec![writing(dir, store, running)];
    let check = Check::asking("own.gaps", "records lost within the last 7 days", why);
    let gaps = since(store, RecordKind::Gap, now)?;
    let lost: u64 = gaps.iter().map(|record| if let Record::Gap(gap) = record { gap.records_lost } else { 0 }).sum();
    let losing = matches!(store.health(), Health::Failed { .. });
    checks.push(match gaps.first() {
        // What is lost now is recorded as a gap when the store can be written again.
        _ if losing => check.fail(
            format!("those of the hole that is being made, and {lost} in {} gaps before it", gaps.len()),
            "Mend what keeps the store from being written, above: what passes until then can't be found.",
        ),
        Some(Record::Gap(newest)) => check.warn(
            format!("{lost} records in {} gaps; the last until {}: {}", gaps.len(), Time(newest.until), newest.why),
            "Mail flowed meanwhile, untraced. Look at the disk's room and errors at that time (`journalctl -k`).",
        ),
        _ => check.ok("none"),
    });
    let check = Check::asking("own.crashes", "ends without a word within the last 7 days", why);
    let lives = since(store, RecordKind::Audit, now)?;
    let crashes: Vec<_> = lives
        .iter()
        .filter_map(|record| match record {
            Record::Audit(audit) if audit.event == AuditEvent::Crashed => Some(audit),
            _ => None,
        })
        .collect();
    checks.push(match crashes.first() {
        Some(newest) => {
            let last = newest.since.map_or_else(|| "at a time unknown".to_owned(), |since| format!("after {}", Time(since)));
            check.warn(
                format!("{}; the last {last}, found at the start at {}", crashes.len(), Time(newest.at)),
                "`journalctl -u relayscope` around that time says why: out of memory (`journalctl -k | grep -i oom`), kill -9, a power cut, or \
                 a fault of the program, which is worth a report.",
            )
        }
        None => check.ok("none"),
    });
    Ok(checks)
}

/// That no proxy runs, of which the store says nothing until the next one starts. `audits`: newest first.
pub(super) fn absence(audits: &[Record], running: bool) -> Option<Check> {
    if running {
        return None;
    }
    let check =
        Check::asking("own.running", "whether a proxy adds to this store", "mail that passes by it isn't traced, or doesn't pass at all");
    let course = |event: AuditEvent| matches!(event, AuditEvent::Started | AuditEvent::Stopped);
    let last = audits.iter().find_map(|record| match record {
        Record::Audit(audit) if course(audit.event) => Some(audit),
        _ => None,
    });
    let start = "Start it: `systemctl start relayscope`, or `relayscope run`.";
    Some(match last {
        Some(audit) if audit.event == AuditEvent::Started => check.fail(
            format!("none does: the one that was started at {} has ended without a word", Time(audit.at)),
            format!("{start} `journalctl -u relayscope` says why it ended, and `journalctl -k | grep -i oom` whether memory was short."),
        ),
        Some(audit) => check.warn(format!("none does since {}", Time(audit.at)), start),
        None => check.warn("none does", start),
    })
}

fn writing(dir: &Path, store: &Store, running: bool) -> Check {
    let check = Check::asking("own.store", "whether the store can be written", "a trace that isn't written is lost");
    // A stopped proxy's store that can't be written is read from a copy, which says nothing of it.
    let is_read_only = rustix::fs::statvfs(dir).is_ok_and(|found| found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    let may_write = running || !matches!(rustix::fs::access(dir, rustix::fs::Access::WRITE_OK), Err(rustix::io::Errno::ACCESS));
    match store.health() {
        Health::Ok if is_read_only => check.fail(
            format!("the file system of {} is mounted read-only", dir.display()),
            "Look why (`journalctl -k`: errors of the disk have it remounted so), and remount it: `mount -o remount,rw`.",
        ),
        // Nothing is known of the rights of whom the service runs as.
        Health::Ok if !may_write => check.skipped("this user may not write there: ask as root, or as the user that the service runs as"),
        Health::Ok if is_open_to_others(dir) => check.warn(
            format!("it can; and every user of this machine can enter {}, and read what was made there without care", dir.display()),
            format!("Traces tell who writes to whom: `chmod o-rwx {}`.", dir.display()),
        ),
        Health::Ok => check.ok("it can"),
        Health::Failed { since, why, records_lost } => check.fail(
            format!("not since {}: {why}; {records_lost} records are lost", Time(since)),
            "Make room or mend the disk: writing is tried again every second, no restart is needed.",
        ),
    }
}

/// What of that kind was recorded within a week, newest first.
pub(super) fn since(store: &Store, kind: RecordKind, now: WallMicros) -> Result<Vec<Record>, StoreError> {
    let query = Query { since: Some(now.saturating_sub(WEEK_US)), ..Query::of(Term::Kind(kind)) };
    Ok(store.query(&query, &PageRequest::newest(MOST))?.records)
}
