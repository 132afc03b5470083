//! Relayscope's own troubles: receivers of exports.

use relayscope::trace::{Anomaly, Audit, AuditEvent, Record, WallMicros};

use super::{Situation, none, trouble};
use crate::samples::{id, origin};
use crate::week::MINUTE;

fn audit(at: WallMicros, event: AuditEvent) -> Record {
    let (who, detail) = (Some("siem".to_owned()), Some("siem.example can't be reached".to_owned()));
    Record::Audit(Box::new(Audit { id: id(at, 1 << 43), at, origin: origin(), event, who, since: Some(at - MINUTE), detail }))
}

pub fn situations(at: WallMicros) -> Vec<Situation> {
    vec![
        trouble(Anomaly::ExportFailing, "a receiver takes nothing", vec![audit(at, AuditEvent::ExportFailed)]),
        trouble(Anomaly::ExportSkipping, "records are left out", vec![audit(at, AuditEvent::ExportSkipped)]),
        none("an export is set back", vec![audit(at, AuditEvent::ExportReplayed)]),
    ]
}
