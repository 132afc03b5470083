//! `relayscope run`: the proxy itself.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use super::own_log::OwnLog;
use crate::app::{self, Inherited, StartError};
use crate::config::{self, ConfigErrors, Loaded, Overrides};
use crate::net::listen::BindError;
use crate::net::passed;
use clap::Args;

/// How long jobs that are still under way may take at the end.
const LAST_JOBS: Duration = Duration::from_secs(5);

/// Which configuration to run with.
#[derive(Debug, Clone, Args)]
pub struct Source {
    /// Configuration file [default: config/relayscope.toml, then /etc/relayscope/relayscope.toml, if there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Listen here instead of what the file says [default: 127.0.0.1:2525]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// Relay to this smart host instead of what the file says; enough to start without a file
    #[arg(long, value_name = "HOST:PORT")]
    pub smart_host: Option<String>,
    /// Keep the traces in this directory [default: ./relayscope-store]
    #[arg(long, value_name = "DIR")]
    pub store: Option<PathBuf>,
    /// Serve the HTTP API on this loopback address, or `off` [default: 127.0.0.1:8025]
    #[arg(long, value_name = "ADDR")]
    pub http: Option<String>,
    /// Take listening sockets and store over from the relayscope that runs with the same store, if one does: no connection is refused
    /// meanwhile. It serves on if this one can't start
    #[arg(long)]
    pub take_over: bool,
}

impl Source {
    /// Loads it; what is wrong is printed, all at once.
    pub fn load(&self) -> Result<Loaded, ExitCode> {
        self.read().map_err(|errors| {
            eprintln!("{errors}");
            ExitCode::from(2)
        })
    }

    /// The same, and nothing is printed.
    pub fn read(&self) -> Result<Loaded, ConfigErrors> {
        let overrides = Overrides {
            listen: self.listen.clone(),
            smart_host: self.smart_host.clone(),
            store: self.store.clone(),
            http: self.http.clone(),
        };
        config::load(self.config.as_deref(), &overrides)
    }
}

/// Runs the proxy until it is told to stop.
pub fn run(source: &Source) -> ExitCode {
    // Before there are threads, and before the file may be exchanged.
    let (passed, program) = (passed::from_service_manager(), std::env::current_exe());
    let loaded = match source.load() {
        Ok(loaded) => loaded,
        Err(exit) => return exit,
    };
    let log = RefCell::new(OwnLog::start(loaded.log.clone()));
    warn_of(&loaded);
    let mut inherited = Inherited { take_over: source.take_over, ..Inherited::default() };
    for socket in passed {
        match socket {
            Ok(socket) => inherited.passed.push(socket),
            Err(error) => tracing::error!("{error}"),
        }
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("relayscope: the operating system refuses a runtime: {error}");
            return ExitCode::from(3);
        }
    };
    let entered = runtime.enter();
    let running = match app::start_as(loaded, inherited) {
        Ok(running) => running,
        Err(error) => {
            log.borrow().settle();
            eprintln!("relayscope: {error}");
            return ExitCode::from(match error {
                StartError::Store(_) | StartError::HandOver(_) | StartError::System { .. } => 3,
                // An address may come late at boot, and who holds it may go: whoever watches over the service tries again.
                StartError::Bind { source: BindError::InUse { .. } | BindError::NotOurs { .. }, .. } => 3,
                _ => 2,
            });
        }
    };
    let successor = || match &program {
        Ok(program) => Some(successor(program, source)),
        Err(error) => {
            tracing::error!(%error, "this program's file isn't known: no successor can be started, only `run --take-over` by hand");
            None
        }
    };
    // Whoever started this process may be gone, and standard error with it: only the log may be told.
    let reload = || {
        let read = source.read();
        let read = read.inspect_err(|errors| errors.problems.iter().for_each(|problem| tracing::error!("{problem}")));
        Some(read.map_err(|errors| refused(&errors)))
    };
    let reloaded = |loaded: &Loaded| {
        log.borrow_mut().reload(&loaded.log);
        warn_of(loaded);
    };
    runtime.block_on(running.wait(reload, reloaded, successor));
    drop(entered);
    // Dropped, it would wait for a disk that stands still for as long as that does.
    runtime.shutdown_timeout(LAST_JOBS);
    ExitCode::SUCCESS
}

/// What an audit record keeps of it: the first mistakes; the log has them all.
fn refused(errors: &ConfigErrors) -> String {
    const SHOWN: usize = 3;
    let shown = errors.problems.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    match errors.problems.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

fn warn_of(loaded: &Loaded) {
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
}

/// The same command once more, to take over.
fn successor(program: &Path, source: &Source) -> Command {
    let mut command = Command::new(program);
    command.args(std::env::args_os().skip(1)).stdin(Stdio::null());
    if !source.take_over {
        command.arg("--take-over");
    }
    // What the service manager said to this process by its id.
    command.env_remove("LISTEN_FDNAMES").env_remove("WATCHDOG_PID");
    command
}
