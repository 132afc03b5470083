//! How a background thread sleeps, and is woken without being run off its feet.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::locks::locked;

/// One sleeper, many who ring. Ringing while nobody sleeps costs an uncontended lock.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rung: bool,
    hurried: bool,
    closed: bool,
    sleeping: bool,
}

impl Bell {
    /// There is work: ends a [`Bell::wait`], not a [`Bell::rest`].
    pub fn ring(&self) {
        let mut state = locked(&self.state);
        state.rung = true;
        if state.sleeping {
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Somebody waits for the work: ends a rest as well.
    pub fn hurry(&self) {
        let mut state = locked(&self.state);
        state.rung = true;
        state.hurried = true;
        drop(state);
        self.wake.notify_one();
    }

    pub fn close(&self) {
        locked(&self.state).closed = true;
        self.wake.notify_all();
    }

    /// Takes the end back.
    pub fn open(&self) {
        locked(&self.state).closed = false;
    }

    pub fn is_closed(&self) -> bool {
        locked(&self.state).closed
    }

    /// Sleeps until there is work; false once closed.
    pub fn wait(&self) -> bool {
        let mut state = locked(&self.state);
        while !state.rung && !state.closed {
            state.sleeping = true;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.sleeping = false;
        state.rung = false;
        !state.closed
    }

    /// Sleeps until there is work, so long at most; false once closed.
    pub fn wait_at_most(&self, patience: Duration) -> bool {
        let mut state = locked(&self.state);
        state.sleeping = true;
        let waited = self.wake.wait_timeout_while(state, patience, |state| !state.rung && !state.closed);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.sleeping = false;
        state.rung = false;
        !state.closed
    }

    /// Sleeps that long, so that work gathers, unless hurried; false once closed.
    pub fn rest(&self, pause: Duration) -> bool {
        let state = locked(&self.state);
        let waited = self.wake.wait_timeout_while(state, pause, |state| !state.hurried && !state.closed);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.hurried = false;
        !state.closed
    }
}
