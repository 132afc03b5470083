//! The proxy's own health: store, disk, gaps, exports, limits of the process, certificates of its listeners, configuration, clock.
//!
//! Everything here reads files and the store: not for threads that serve sockets.

mod changes;
mod disk;
mod exports;
mod life;
mod limits;
mod listeners;

use super::options::Options;
use super::{Report, Section, clock, queue};
use crate::store::{Store, StoreError};
use crate::trace::RecordKind;

/// `running`: this process is the proxy, so that its own limits are those that count.
///
/// # Errors
/// The store can't be read.
pub fn examine_own(options: &Options, store: &Store, running: bool) -> Result<Report, StoreError> {
    let now = store.now();
    let mut traces = Section::new("trace store");
    traces.checks.extend(disk::checks(options, store, now)?);
    traces.checks.extend(life::checks(&options.store.dir, store, now, running)?);
    let audits = life::since(store, RecordKind::Audit, now)?;
    traces.checks.extend(exports::checks(options, store, &audits, now)?);
    let mut process = Section::new("proxy");
    process.checks.extend(life::absence(&audits, running));
    process.checks.extend(changes::checks(options, store, running)?);
    process.checks.extend(listeners::checks(options));
    process.checks.extend(limits::check(options, running));
    process.push(clock::synchronised());
    let mut sections = vec![traces, process];
    let queues = queue::examine(store, now)?;
    if !queues.is_empty() {
        sections.push(Section { title: "queues of mail servers".to_owned(), checks: queues });
    }
    Ok(Report::of("self", sections))
}
