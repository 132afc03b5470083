//! Receivers of exports that take nothing, and records that never reached one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::anomaly::detector::Detector;
use crate::anomaly::finding::{Finding, Findings};
use crate::anomaly::kept;
use crate::anomaly::seen::Seen;
use crate::anomaly::window::{DAY, HOUR};
use crate::trace::{About, AboutKind, Act, Anomaly, Audit, AuditEvent, Record, RecordId, Severity, WallMicros};
use crate::wording::{clock, quoted, several, span};

/// Exports that are looked at: a configuration has fewer.
const MOST: usize = 64;
/// An outage that lasts longer is urgent: what retention removes meanwhile is never sent.
const URGENT: WallMicros = DAY;

/// How each export stands.
#[derive(Debug, Default)]
pub struct Exports {
    by_name: BTreeMap<String, Export>,
    /// What was said of those that take again.
    over: Vec<String>,
    /// Those that failed and are tried anew. Not kept: what is lost in the few seconds until it is said ends by itself.
    anew: Vec<String>,
    forgotten: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Export {
    /// Since when nothing is taken, the last reason, and the record that says so.
    failing: Option<(WallMicros, String, RecordId)>,
    /// Records that were left out: the entries that say so, the first and the last, and what the last said.
    skipped: Option<Skipped>,
    fresh: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Skipped {
    since: WallMicros,
    last: WallMicros,
    said: String,
    entries: u64,
    samples: Vec<RecordId>,
}

impl Exports {
    fn note(&mut self, audit: &Audit) {
        let Some(name) = &audit.who else { return };
        if self.by_name.len() >= MOST && !self.by_name.contains_key(name) {
            self.forgotten += 1;
            return;
        }
        let export = self.by_name.entry(name.clone()).or_default();
        let detail = audit.detail.clone().unwrap_or_default();
        match audit.event {
            AuditEvent::ExportFailed => {
                export.failing = Some((audit.since.unwrap_or(audit.at), detail, audit.id));
                export.fresh += 1;
            }
            AuditEvent::ExportResumed if export.failing.take().is_some() => self.over.push(name.clone()),
            AuditEvent::ExportSkipped => {
                let fresh = Skipped { since: audit.at, last: audit.at, said: String::new(), entries: 0, samples: Vec::new() };
                let skipped = export.skipped.get_or_insert(fresh);
                (skipped.last, skipped.said) = (audit.at, detail);
                skipped.entries += 1;
                if skipped.samples.len() < 6 {
                    skipped.samples.push(audit.id);
                }
                export.fresh += 1;
            }
            _ => {}
        }
    }
}

impl Detector for Exports {
    fn name(&self) -> &'static str {
        "exports"
    }

    fn observe(&mut self, seen: &Seen<'_>) {
        if let Record::Audit(audit) = seen.record {
            // Another process begins with an opinion of its own, and so do exports after a reload: what still fails is said again.
            if matches!(audit.event, AuditEvent::Started | AuditEvent::Reloaded) {
                let failing = self.by_name.iter().filter(|(_, export)| export.failing.is_some());
                self.anew.extend(failing.map(|(name, _)| name.clone()));
                self.by_name.values_mut().for_each(|export| export.failing = None);
            }
            self.note(audit);
        }
    }

    fn judge(&mut self, now: WallMicros, findings: &mut Findings) {
        let over = std::mem::take(&mut self.over).into_iter().map(|name| (name, "the receiver takes events again"));
        let anew =
            std::mem::take(&mut self.anew).into_iter().map(|name| (name, "the export began anew; if it still fails, it is told again"));
        for (name, why) in over.chain(anew) {
            findings.clear(Anomaly::ExportFailing, vec![About { kind: AboutKind::Export, value: name }], why);
        }
        for (name, export) in &mut self.by_name {
            if let Some((since, why, id)) = &export.failing {
                let lasts = now.saturating_sub(*since);
                let severity = if lasts >= URGENT { Severity::Critical } else { Severity::Warning };
                let summary = format!("the receiver of export {name} takes nothing since {}", clock(*since, now));
                let arithmetic = format!("for {}; the last attempt: {}", span(lasts), quoted([why]));
                let advice = "Look at the receiver and the way to it; `relayscope export list` says what waits. Nothing is lost as long as the records are kept.";
                let finding = Finding::new(Anomaly::ExportFailing, severity, summary, arithmetic)
                    .about(AboutKind::Export, name.clone())
                    .advising(Act::LocalAdmin, advice)
                    .evidence(*since, now, std::mem::take(&mut export.fresh), vec![*id]);
                findings.raise(finding);
            }
            if let Some(skipped) = &export.skipped {
                if now.saturating_sub(skipped.last) > HOUR {
                    export.skipped = None;
                    continue;
                }
                let summary = format!("export {name} has left records out since {}", clock(skipped.since, now));
                let arithmetic =
                    format!("{}, the last: {}", several(skipped.entries, "entry says so", "entries say so"), quoted([&skipped.said]));
                let advice = "What is refused doesn't fit the receiver: look at its log, its mapping and its limits, or at `format` and `max_event`. What retention removed needs more room in the store ([store] keep_days, keep_size).";
                let finding = Finding::new(Anomaly::ExportSkipping, Severity::Warning, summary, arithmetic)
                    .about(AboutKind::Export, name.clone())
                    .advising(Act::LocalAdmin, advice)
                    .evidence(skipped.since, skipped.last, std::mem::take(&mut export.fresh), skipped.samples.clone());
                findings.raise(finding.lasting(HOUR));
            }
        }
    }

    fn keep(&self) -> Vec<u8> {
        kept::write(1, &(&self.by_name, &self.over))
    }

    fn restore(&mut self, octets: &[u8]) -> bool {
        let Some((by_name, over)) = kept::read(1, octets) else { return false };
        (self.by_name, self.over) = (by_name, over);
        true
    }

    fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::anomaly::samples::{MONDAY, id, origin};
    use crate::anomaly::window::{MINUTE, SECOND};

    fn audit(at: WallMicros, event: AuditEvent, detail: &str) -> Record {
        let (who, detail) = (Some("siem".to_owned()), Some(detail.to_owned()));
        Record::Audit(Box::new(Audit { id: id(at, 1), at, origin: Arc::clone(&origin()), event, who, since: None, detail }))
    }

    fn judged(detector: &mut Exports, now: WallMicros, records: &[Record]) -> Findings {
        records.iter().for_each(|record| detector.observe(&Seen::of(record)));
        let mut findings = Findings::default();
        detector.judge(now, &mut findings);
        findings
    }

    #[test]
    fn a_receiver_that_takes_nothing_is_told_until_it_takes_again() {
        let mut detector = Exports::default();
        let failed = audit(MONDAY, AuditEvent::ExportFailed, "siem.example can't be reached\u{1b}[2J");
        let found = judged(&mut detector, MONDAY + 10 * SECOND, &[failed]);
        let [finding] = found.raised.as_slice() else { panic!("{found:?}") };
        assert_eq!((finding.anomaly, finding.severity), (Anomaly::ExportFailing, Severity::Warning));
        assert_eq!(finding.summary, "the receiver of export siem takes nothing since 00:00 UTC");
        assert!(finding.arithmetic.contains("siem.example can't be reached") && !finding.arithmetic.contains('\u{1b}'), "{finding:?}");
        let later = judged(&mut detector, MONDAY + DAY + MINUTE, &[]);
        assert_eq!(later.raised.first().map(|finding| finding.severity), Some(Severity::Critical));
        let found = judged(&mut detector, MONDAY + DAY + 2 * MINUTE, &[audit(MONDAY + DAY, AuditEvent::ExportResumed, "")]);
        assert!(found.raised.is_empty() && found.cleared.len() == 1, "{found:?}");
    }

    #[test]
    fn a_reload_ends_what_the_exports_before_it_said() {
        let mut detector = Exports::default();
        judged(&mut detector, MONDAY + 10 * SECOND, &[audit(MONDAY, AuditEvent::ExportFailed, "refused")]);
        let found = judged(&mut detector, MONDAY + MINUTE, &[audit(MONDAY + 50 * SECOND, AuditEvent::Reloaded, "")]);
        assert!(found.raised.is_empty() && found.cleared.len() == 1, "{found:?}");
        assert!(found.cleared.iter().all(|it| it.why.starts_with("the export began anew")), "{found:?}");
        // The new export finds that it still fails.
        let found = judged(&mut detector, MONDAY + 3 * MINUTE, &[audit(MONDAY + 2 * MINUTE, AuditEvent::ExportFailed, "refused")]);
        assert!(found.raised.len() == 1 && found.cleared.is_empty(), "{found:?}");
    }

    #[test]
    fn records_that_were_left_out_are_told_for_an_hour() {
        let mut detector = Exports::default();
        let skipped = audit(MONDAY, AuditEvent::ExportSkipped, "12 records were removed by retention before they were sent");
        let found = judged(&mut detector, MONDAY + 10 * SECOND, &[skipped]);
        let [finding] = found.raised.as_slice() else { panic!("{found:?}") };
        assert!(finding.anomaly == Anomaly::ExportSkipping && finding.arithmetic.contains("12 records were removed"), "{finding:?}");
        assert!(judged(&mut detector, MONDAY + 2 * HOUR, &[]).raised.is_empty());
    }
}
