//! What changed in the configuration, and when.

use std::time::UNIX_EPOCH;

use super::super::options::Options;
use super::super::{Check, drift, kept};
use crate::store::{PageRequest, Query, Store, StoreError, Term};
use crate::trace::json::Time;
use crate::trace::{Audit, AuditEvent, Record, RecordKind, WallMicros};

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
    let mut checks = vec![last_change(options, &starts, running)];
    checks.extend(edited(options, &starts, running));
    checks.extend(refused(&page.records, &starts));
    Ok(checks)
}

/// A reload that was refused, and nothing taken over since.
fn refused(audits: &[Record], starts: &[&Audit]) -> Option<Check> {
    let newest = audits.iter().find_map(|record| match record {
        Record::Audit(audit) if audit.event == AuditEvent::ReloadRefused => Some(audit),
        _ => None,
    })?;
    if starts.first().is_some_and(|start| start.at >= newest.at) {
        return None;
    }
    let why = "what was meant to change has not, and the next start fails by the same";
    let check = Check::asking("own.reload", "whether the last reload was taken over", why);
    let said = newest.detail.as_deref().unwrap_or("the log says why");
    let answer = format!("it was refused at {}, and the configuration before goes on: {said}", Time(newest.at));
    Some(check.warn(answer, "Mend what is named, then `relayscope config check` and `systemctl reload relayscope` (SIGHUP)."))
}

/// Addresses are bound at the start: a reload brings them into the configuration, and not into effect.
fn takes_a_restart(change: &str) -> bool {
    change.split_once(": ").is_some_and(|(option, _)| option.starts_with("listener.") && option.ends_with(".listen"))
}

/// Addresses that were bound at the last start and are otherwise in the configuration of now, and when that start was.
fn unbound(starts: &[&Audit], text: impl Fn(&str) -> Option<String>) -> Option<(WallMicros, Vec<String>)> {
    let (newest, started) = (starts.first()?, starts.iter().find(|audit| audit.event == AuditEvent::Started)?);
    let text = |audit: &Audit| text(&audit.origin.config_digest);
    let mut changes = drift::all_changes(&text(started)?, &text(newest)?)?;
    changes.retain(|change| takes_a_restart(change));
    (!changes.is_empty()).then_some((started.at, changes))
}

/// The last start or reload that brought another configuration.
fn last_change(options: &Options, starts: &[&Audit], running: bool) -> Check {
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
    let told = format!("at {} (digest {old} -> {now}): {what}", Time(changed_at));
    match unbound(starts, text).filter(|_| running) {
        None => check.ok(told),
        Some((started, changes)) => check.warn(
            format!("{told}. Changed by a reload since the start at {}, and not in effect: {}", Time(started), changes.join("; ")),
            "`listen` takes a restart: until then the addresses are those from before.",
        ),
    }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::samples;

    #[test]
    fn addresses_are_those_of_the_last_start() {
        let text = |digest: &str| {
            let (port, workers) = digest.split_once('w')?;
            Some(format!("workers = {workers}\n[[listener]]\nname = \"main\"\nlisten = [\"127.0.0.1:{port}\"]\n"))
        };
        let unbound = |oldest_first: &[(AuditEvent, &str)]| {
            let audit = |(event, digest): &(AuditEvent, &str)| {
                let Record::Audit(audit) = samples::audit(1) else { unreachable!() };
                let mut audit = Audit { event: *event, ..*audit };
                let origin = crate::trace::Origin { config_digest: (*digest).to_owned(), ..(**audit.origin).clone() };
                audit.origin = Arc::new(origin.into());
                audit
            };
            let audits: Vec<Audit> = oldest_first.iter().rev().map(audit).collect();
            super::unbound(&audits.iter().collect::<Vec<_>>(), text).map(|(_, changes)| changes)
        };
        use AuditEvent::{Reloaded, Started};
        let changed = Some(vec!["listener.main.listen: [\"127.0.0.1:25\"] -> [\"127.0.0.1:26\"]".to_owned()]);
        assert_eq!(unbound(&[(Started, "25w1"), (Reloaded, "26w1")]), changed);
        assert_eq!(unbound(&[(Started, "25w1"), (Reloaded, "26w1"), (Reloaded, "26w2")]), changed, "another reload binds nothing");
        assert_eq!(unbound(&[(Started, "25w1"), (Reloaded, "26w1"), (Reloaded, "25w1")]), None, "it was taken back");
        assert_eq!(unbound(&[(Started, "25w1"), (Reloaded, "26w1"), (Started, "26w1")]), None);
    }

    #[test]
    fn only_addresses_take_a_restart() {
        assert!(takes_a_restart("listener.main.listen: [\"127.0.0.1:21525\"] -> [\"127.0.0.1:21526\"]"));
        assert!(!takes_a_restart("listener.main.allow: [] -> [\"127.0.0.0/8\"]"));
        assert!(!takes_a_restart("upstream.listen: a -> b"));
    }
}
