//! What changed in the configuration, and when.

use std::time::UNIX_EPOCH;

use super::super::options::Options;
use super::super::{Check, drift, kept};
use crate::store::{PageRequest, Query, Store, StoreError, Term};
use crate::trace::json::Time;
use crate::trace::{Audit, AuditEvent, Record, RecordKind};

/// Starts and reloads that are looked back at.
const MOST: usize = 500;

pub(super) fn checks(options: &Options, store: &Store, running: bool) -> Result<Vec<Check>, StoreError> {
    let page = store.query(&Query::of(Term::Kind(RecordKind::Audit)), &PageRequest::newest(MOST))?;
    let starts: Vec<&Audit> = page
        .records
        .iter()
        .filter_map(|record| match record {
            Record::Audit(audit) if matches!(audit.event, AuditEvent::Started | AuditEvent::Reloaded) => Some(&**audit),
            _ => None,
        })
        .collect();
    let mut checks = vec![last_change(options, &starts)];
    checks.extend(edited(options, &starts, running));
    Ok(checks)
}

/// The last start or reload that brought another configuration.
fn last_change(options: &Options, starts: &[&Audit]) -> Check {
    let why = "what broke this morning was often changed last night";
    let check = Check::asking("own.configuration", "the last change of the configuration in effect", why);
    let Some(newest) = starts.first() else { return check.skipped("no start of the proxy is on record") };
    let now = &newest.origin.config_digest;
    let Some(before) = starts.iter().position(|audit| audit.origin.config_digest != *now) else {
        let oldest = starts.last().map_or(newest.at, |audit| audit.at);
        return check.ok(format!("the same since {} (digest {now})", Time(oldest)));
    };
    let changed_at = before.checked_sub(1).and_then(|it| starts.get(it)).map_or(newest.at, |audit| audit.at);
    let old = starts.get(before).map(|audit| audit.origin.config_digest.clone()).unwrap_or_default();
    let text = |digest: &str| kept::read(&options.store.dir, digest);
    let what = match text(&old).zip(text(now)).and_then(|(old, new)| drift::changes(&old, &new)) {
        Some(changes) if changes.is_empty() => "in its form only".to_owned(),
        Some(changes) => changes.join("; "),
        None => "its text is no longer kept".to_owned(),
    };
    check.ok(format!("at {} (digest {old} -> {now}): {what}", Time(changed_at)))
}

/// The file was edited, and nobody told the proxy.
fn edited(options: &Options, starts: &[&Audit], running: bool) -> Option<Check> {
    let (source, newest) = (options.source.as_ref()?, starts.first()?);
    if !running {
        return None;
    }
    let why = "a change that isn't in effect yet comes into effect at the next restart, when nobody thinks of it";
    let check = Check::asking("own.configuration_file", format!("whether {} is as it was read", source.display()), why);
    let modified = std::fs::metadata(source).and_then(|found| found.modified()).ok()?;
    let modified = u64::try_from(modified.duration_since(UNIX_EPOCH).ok()?.as_micros()).ok()?;
    Some(match modified > newest.at {
        true => check.warn(
            format!("it was changed at {}, after the proxy read it at {}", Time(modified), Time(newest.at)),
            "`relayscope config check`, then `systemctl reload relayscope` (SIGHUP).",
        ),
        false => check.ok(format!("unchanged since {}", Time(newest.at))),
    })
}
