//! SIGUSR2: starts the program as it is on the disk now; it takes over by itself, or this process serves on.

use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The one successor there may be at a time.
#[derive(Debug, Default)]
pub(super) struct Successor {
    lives: Arc<AtomicBool>,
}

impl Successor {
    pub fn start(&self, mut command: Command) {
        if self.lives.swap(true, Ordering::SeqCst) {
            return tracing::warn!("a successor has been started already and has not ended");
        }
        let program = command.get_program().to_string_lossy().into_owned();
        match command.spawn() {
            Ok(child) => {
                tracing::info!(program, pid = child.id(), "started a successor");
                self.watch(child);
            }
            Err(error) => {
                self.lives.store(false, Ordering::SeqCst);
                tracing::error!(program, %error, "no successor could be started: this process serves on");
            }
        }
    }

    /// Waits for its end, which comes at once if it can't start, and otherwise long after ours.
    fn watch(&self, mut child: Child) {
        let lives = self.lives.clone();
        let waiting = std::thread::Builder::new().name("successor".to_owned()).spawn(move || {
            let ended = child.wait();
            lives.store(false, Ordering::SeqCst);
            match ended {
                Ok(status) => tracing::error!(pid = child.id(), %status, "the successor has ended; what it said stands above"),
                Err(error) => tracing::error!(pid = child.id(), %error, "nothing is known of the successor"),
            }
        });
        if let Err(error) = waiting {
            tracing::warn!(%error, "nobody waits for the successor");
        }
    }
}
