//! Whether a mail server's queue grows, by the lines of its log that were imported.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::Check;
use crate::store::{PageRequest, Query, Store, StoreError, Term};
use crate::trace::{Log, LogEvent, Record, RecordKind, WallMicros};
use crate::wording::span;

const HOUR: u64 = 3_600_000_000;
const HOURS: usize = 24;
/// Lines that are looked at; the newest count.
const MOST_LINES: usize = 200_000;
const PAGE: usize = 2_000;
/// Entries that wait are no backlog below this.
const FEW: i64 = 20;
/// A queue in which something waits longer than this is worth a look.
const OLD: u64 = 4 * HOUR;

/// One message in one server's queue.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    came: Option<WallMicros>,
    /// The last line that may have been its end.
    went: Option<WallMicros>,
    removed: bool,
}

/// What one server's log says of its queue.
#[derive(Debug, Default)]
struct Server {
    format: String,
    entries: HashMap<String, Entry>,
    deferred_last_hour: u64,
    newest: WallMicros,
    /// Its log says when an entry leaves the queue; otherwise the last delivery counts.
    says_removed: bool,
}

/// One check for each server whose log is imported; none where there is none.
///
/// # Errors
/// The store can't be read.
pub fn examine(store: &Store, now: WallMicros) -> Result<Vec<Check>, StoreError> {
    let began = Instant::now();
    let query = Query { since: Some(now.saturating_sub(HOURS as u64 * HOUR)), ..Query::of(Term::Kind(RecordKind::Log)) };
    let (mut servers, mut lines, mut before) = (BTreeMap::new(), 0, None);
    loop {
        let page = store.query(&query, &PageRequest { limit: PAGE, before })?;
        for record in &page.records {
            if let Record::Log(log) = record {
                take(&mut servers, log, now);
                lines += 1;
            }
        }
        before = page.next;
        if before.is_none() || lines >= MOST_LINES {
            break;
        }
    }
    let cut = before.is_some();
    Ok(servers.into_iter().map(|(host, server)| server.check(&host, now, cut).took(began.elapsed())).collect())
}

fn take(servers: &mut BTreeMap<String, Server>, log: &Log, now: WallMicros) {
    let host = log.host.clone().unwrap_or_else(|| "(unnamed)".to_owned());
    let server = servers.entry(host).or_default();
    server.format.clone_from(&log.format);
    server.newest = server.newest.max(log.at);
    if log.event == LogEvent::Deferred && log.at + HOUR > now {
        server.deferred_last_hour += 1;
    }
    let Some(id) = &log.queue_id else { return };
    let entry = server.entries.entry(id.clone()).or_default();
    match log.event {
        LogEvent::Received | LogEvent::Queued | LogEvent::Submitted => {
            entry.came = Some(entry.came.map_or(log.at, |came| came.min(log.at)))
        }
        LogEvent::Removed => {
            server.says_removed = true;
            entry.removed = true;
            entry.went = Some(log.at);
        }
        LogEvent::Sent | LogEvent::Delivered | LogEvent::Bounced | LogEvent::Expired | LogEvent::Discarded | LogEvent::Quarantined
            if !entry.removed =>
        {
            entry.went = entry.went.max(Some(log.at));
        }
        _ => {}
    }
}

impl Server {
    /// Messages that came and went in each hour, oldest first, and when those came that still wait.
    fn hours(&self, now: WallMicros) -> (Vec<(i64, i64)>, Vec<WallMicros>) {
        let mut hours = vec![(0, 0); HOURS];
        let place = |at: WallMicros| HOURS.checked_sub(1 + usize::try_from(now.saturating_sub(at) / HOUR).unwrap_or(HOURS));
        let mut waiting = Vec::new();
        for entry in self.entries.values() {
            let Some(came) = entry.came else { continue };
            let went = entry.went.filter(|_| entry.removed || !self.says_removed);
            if let Some(hour) = place(came).and_then(|it| hours.get_mut(it)) {
                hour.0 += 1;
            }
            match went {
                Some(went) => {
                    if let Some(hour) = place(went).and_then(|it| hours.get_mut(it)) {
                        hour.1 += 1;
                    }
                }
                None => waiting.push(came),
            }
        }
        (hours, waiting)
    }

    fn check(&self, host: &str, now: WallMicros, cut: bool) -> Check {
        let why = "a queue that grows is the first sign that mail doesn't flow, hours before users call";
        let check = Check::asking("behind.queue", format!("queue of {host}, by its {} log of the last {HOURS} h", self.format), why);
        let (hours, waiting) = self.hours(now);
        let (came, went) = hours.iter().fold((0, 0), |sum, hour| (sum.0 + hour.0, sum.1 + hour.1));
        let late = now.saturating_sub(self.newest);
        if late > HOUR {
            return check.skipped(format!(
                "its newest line is {} h old: nothing came since, or its log isn't followed any more (`relayscope import --follow`)",
                late / HOUR
            ));
        }
        let oldest = waiting.iter().min().map_or(0, |came| now.saturating_sub(*came));
        let recent: Vec<i64> = hours.iter().rev().take(6).rev().map(|(came, went)| came - went).collect();
        let shown: Vec<String> = recent.iter().map(|it| format!("{it:+}")).collect();
        let mut answer = format!("{came} came, {went} went, {} wait", waiting.len());
        if !waiting.is_empty() {
            answer.push_str(&format!(" (the oldest for {})", span(oldest)));
        }
        answer.push_str(&format!("; the last six hours: {}; {} deferrals in the last hour", shown.join(" "), self.deferred_last_hour));
        if cut {
            answer.push_str(&format!("; only the newest {MOST_LINES} lines were looked at"));
        }
        let last: Vec<i64> = recent.iter().rev().take(3).copied().collect();
        let grown: i64 = last.iter().sum();
        let grows =
            last.iter().all(|it| *it > 0) && grown >= FEW && grown * 5 >= hours.iter().rev().take(3).map(|hour| hour.0).sum::<i64>();
        if grows {
            return check.fail(
                answer,
                format!(
                    "The queue grows: {grown} more came than went within three hours. `relayscope stats --by cause \"event:deferred\" --over 3h` and \
                     `relayscope search event:deferred` say why; on the server `postqueue -p` (Exim: `exim -bp`; Exchange: `Get-Queue`)."
                ),
            );
        }
        if oldest > OLD && i64::try_from(waiting.len()).unwrap_or(i64::MAX) >= FEW {
            return check.warn(answer, "It doesn't grow, but old messages wait: `relayscope search event:deferred` shows for what.");
        }
        check.ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::trace::RecordId;

    const NOW: WallMicros = 1_700_000_000_000_000;

    fn log(id: &str, at: WallMicros, event: LogEvent) -> Log {
        Log {
            host: Some("mx.example".to_owned()),
            queue_id: Some(id.to_owned()),
            ..Log::of(RecordId::from_parts(at / 1_000, 1), at, "postfix", event)
        }
    }

    /// `each`: messages an hour, of which so many leave within a minute.
    fn check(each: usize, leave: impl Fn(u64) -> usize) -> Check {
        let mut servers = BTreeMap::new();
        for hour in 0..HOURS as u64 {
            for number in 0..each {
                let (id, at) = (format!("{hour}-{number}"), NOW - hour * HOUR - 60_000_000 * (number as u64 % 50 + 2));
                take(&mut servers, &log(&id, at, LogEvent::Received), NOW);
                if number < leave(hour) {
                    take(&mut servers, &log(&id, at + 1_000_000, LogEvent::Sent), NOW);
                    take(&mut servers, &log(&id, at + 1_000_000, LogEvent::Removed), NOW);
                }
            }
        }
        servers.remove("mx.example").unwrap().check("mx.example", NOW, false)
    }

    #[test]
    fn a_queue_that_grows_is_told_from_one_that_flows() {
        let flowing = check(100, |_| 100);
        assert_eq!(flowing.verdict, Verdict::Ok, "{}", flowing.answer);
        assert!(flowing.answer.starts_with("2400 came, 2400 went, 0 wait"), "{}", flowing.answer);
        let growing = check(100, |hour| if hour < 4 { 30 } else { 100 });
        assert_eq!(growing.verdict, Verdict::Fail, "{}", growing.answer);
        assert!(growing.answer.contains("280 wait (the oldest for 3 h); the last six hours: +0 +0 +70 +70 +70 +70"), "{}", growing.answer);
        let old = check(100, |hour| if hour == 12 { 50 } else { 100 });
        assert_eq!(old.verdict, Verdict::Warn, "{}", old.answer);
    }
}
