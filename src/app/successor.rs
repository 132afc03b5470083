//! SIGUSR2: starts the program as it is on the disk now; it takes over by itself, or this process serves on.

use std::io;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Pid, test_kill_process};

/// How often it is asked whether a successor that isn't our child is still there.
const LOOK: Duration = Duration::from_millis(250);

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
        if std::env::var_os("NOTIFY_SOCKET").is_some() {
            match as_the_managers_child(&command) {
                Ok(pid) => {
                    tracing::info!(program, pid = pid.as_raw_nonzero(), "started a successor");
                    return self.watch_from_afar(pid);
                }
                Err(error) => tracing::warn!(%error, "no shell to start a successor with: the service manager won't know it well"),
            }
        }
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

    fn watch_from_afar(&self, pid: Pid) {
        let lives = self.lives.clone();
        let watching = std::thread::Builder::new().name("successor".to_owned()).spawn(move || {
            while test_kill_process(pid).is_ok() {
                std::thread::sleep(LOOK);
            }
            lives.store(false, Ordering::SeqCst);
            tracing::error!(pid = pid.as_raw_nonzero(), "the successor has ended; what it said stands above");
        });
        if let Err(error) = watching {
            tracing::warn!(%error, "nobody watches the successor");
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

/// Starts it so that it is a child of the service manager, not ours: only of its own children does systemd learn at once that they have
/// ended, and wait for their end at a stop. A shell starts it in the background, and goes.
fn as_the_managers_child(command: &Command) -> io::Result<Pid> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", r#""$@" >&2 & echo $!"#, "sh"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    let said = shell.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let pid = String::from_utf8_lossy(&said.stdout).trim().parse().ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("the shell doesn't say which process it has started"))
}
