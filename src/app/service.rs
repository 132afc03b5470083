//! What the service manager is told (sd_notify(3)). Without one, nothing is said.

use std::time::Duration;

use sd_notify::NotifyState::{self, MainPid, Ready, Reloading, Status, Stopping, Watchdog};

/// The proxy serves.
pub(super) fn ready(listeners: usize) {
    tell(&[Ready, Status(&format!("serving {listeners} listeners"))]);
}

/// The configuration is being read anew; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[Reloading, now]),
        Err(error) => tracing::debug!(%error, "no clock for the service manager"),
    }
}

pub(super) fn stopping(sessions: usize) {
    tell(&[Stopping, Status(&format!("draining: {sessions} sessions are open"))]);
}

/// Another process serves from now on.
pub(super) fn handed_over(pid: u32) {
    // Its time until it must say that it is alive begins anew, too.
    tell(&[Watchdog, MainPid(pid)]);
}

/// The service manager is to know that this process is alive.
pub(super) fn alive() {
    tell(&[Watchdog]);
}

/// How often it is to be told, if at all: three times in the time after which it would think us dead.
pub(super) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|limit| limit / 3).filter(|pause| !pause.is_zero())
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}
