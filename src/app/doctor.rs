//! The doctor of a running proxy: what it is told of the configuration in effect, and that configuration kept for later comparison.

use std::net::SocketAddr;
use std::sync::Arc;

use super::build::Built;
use crate::config::Loaded;
use crate::doctor::examine::Doctor;
use crate::doctor::kept;
use crate::relay::options::{ListenerOptions, SessionOptions};

impl Built {
    /// With the addresses that are truly listened on, where the configuration leaves the port to the system.
    pub(super) fn doctor(&self, loaded: &Loaded) -> Doctor {
        let mut options = loaded.doctor();
        options.sessions = options.sessions.iter().map(|session| bound(session, self.addresses(&session.listener.name))).collect();
        Doctor { options: Arc::new(options), resolver: self.resolver() }
    }
}

fn bound(session: &Arc<SessionOptions>, addresses: Vec<SocketAddr>) -> Arc<SessionOptions> {
    if addresses.is_empty() || session.listener.listen == addresses {
        return session.clone();
    }
    let listener = Arc::new(ListenerOptions { listen: addresses, ..(*session.listener).clone() });
    Arc::new(SessionOptions { listener, ..(**session).clone() })
}

/// Keeps what is in effect from now on. Without it the doctor can only say that something changed, not what.
pub(super) fn keep_configuration(loaded: &Loaded) {
    if let Err(error) = kept::keep(&loaded.store.dir, &loaded.digest, &loaded.canonical()) {
        tracing::debug!(%error, "the configuration can't be kept in the store's directory");
    }
}
