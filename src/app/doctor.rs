//! The doctor of a running proxy: what it is told of the configuration in effect, and that configuration kept for later comparison.

use std::sync::Arc;

use super::build::Built;
use crate::config::Loaded;
use crate::doctor::examine::Doctor;
use crate::doctor::kept;
use crate::http::Running;

impl Built {
    /// With the addresses that are truly listened on, where the configuration leaves the port to the system.
    pub(super) fn doctor(&self, loaded: &Loaded) -> Doctor {
        let mut options = loaded.doctor();
        options.listen_on(&self.listening());
        Doctor { options: Arc::new(options), resolver: self.resolver() }
    }

    /// For commands that examine what this process goes by.
    pub(super) fn running(&self, loaded: &Loaded) -> Running {
        let flags = loaded.flags.clone();
        Running {
            config: loaded.source.as_ref().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone())),
            listen: flags.listen,
            smart_host: flags.smart_host,
            store: flags.store,
            http: flags.http,
            digest: loaded.digest.clone(),
            listeners: self.listening(),
        }
    }
}

/// Keeps what is in effect from now on, on a thread where a disk that stands still holds up nothing else. Without it the doctor can only
/// say that something changed, not what.
pub(super) fn keep_configuration(loaded: &Loaded) {
    let (store, digest, text) = (loaded.store.dir.clone(), loaded.digest.clone(), loaded.canonical());
    tokio::task::spawn_blocking(move || {
        if let Err(error) = kept::keep(&store, &digest, &text) {
            tracing::debug!(%error, "the configuration can't be kept in the store's directory");
        }
    });
}
