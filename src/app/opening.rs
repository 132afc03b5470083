//! Opens the trace store at the start, and says what its recovery found.

use std::path::Path;
use std::time::{Duration, Instant};

use super::StartError;
use crate::config::Loaded;
use crate::store::{RecoveryReport, Store, is_open_to_others};

/// A command most often wants no more; mail waits no longer for its traces.
const COMMAND_PATIENCE: Duration = Duration::from_secs(3);

/// Waits so long for whoever has it. A store whose disk fails, or that a command keeps, is given all the same: it is tried again.
pub(super) fn open_store(loaded: &Loaded, patience: Duration) -> Result<Store, StartError> {
    let (until, of_command) = (Instant::now() + patience, Instant::now() + COMMAND_PATIENCE);
    let opened = loop {
        match Store::open(loaded.store.clone()) {
            Err(error) if error.is_in_use() && (Instant::now() < until || error.may_pass() && Instant::now() < of_command) => {
                std::thread::sleep(Duration::from_millis(50));
            }
            opened => break opened,
        }
    };
    match opened {
        Ok(opened) => {
            report(&opened.report);
            warn_of_readers(&loaded.store.dir);
            Ok(opened.store)
        }
        // Promise 2: tracing never fails mail. What can't be opened is tried again, loudly.
        Err(error) if error.may_pass() => {
            tracing::error!(%error, "the trace store can't be opened; mail flows untraced until it can");
            Ok(Store::unavailable(loaded.store.clone(), &error))
        }
        Err(error) => Err(error.into()),
    }
}

fn warn_of_readers(dir: &Path) {
    if is_open_to_others(dir) {
        tracing::warn!(
            dir = %dir.display(),
            "every user of this machine can enter the store's directory, and read what was made there without care: `chmod o-rwx` it"
        );
    }
}

/// Says what recovery found, if there is anything to say.
fn report(found: &RecoveryReport) {
    for (path, octets) in &found.torn {
        tracing::warn!(file = %path.display(), octets, "the last frame of a journal file was torn and has been cut off");
    }
    for damage in &found.damage {
        tracing::error!(?damage, "a journal file is damaged; `relayscope store check` tells more");
    }
    for (path, why) in &found.unreadable {
        tracing::error!(file = %path.display(), why, "a file of the store can't be read and is left alone");
    }
    if found.staged > 0 {
        tracing::warn!(
            records = found.staged,
            "relayscope had ended before these records were in the journal: they were taken in from memory, none is lost"
        );
    }
    for day in &found.rebuilt {
        tracing::warn!(%day, "the index of a day was lost or broken and is made anew from the journal");
    }
    if found.in_doubt > 0 {
        tracing::warn!(
            transactions = found.in_doubt,
            "relayscope had ended between end-of-data and its reply: recorded as `unknown` (`relayscope search state:unknown`)"
        );
    }
    tracing::info!(records = found.records, replayed = found.replayed, "trace store open");
}
