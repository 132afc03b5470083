//! Processes of the bench: started, spoken to, looked at through /proc, and always stopped.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// What must go when the bench is interrupted.
static LEFTOVERS: Mutex<Vec<Leftover>> = Mutex::new(Vec::new());

#[derive(PartialEq)]
enum Leftover {
    Process(u32),
    Dir(PathBuf),
}

fn leftovers(change: impl FnOnce(&mut Vec<Leftover>)) {
    change(&mut LEFTOVERS.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Has everything stopped and removed at SIGINT, SIGTERM and SIGHUP. (At a normal end, `Drop` does.)
pub fn clean_up_when_interrupted() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            let (Ok(mut int), Ok(mut term), Ok(mut hup)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()), signal(SignalKind::hangup()))
            else {
                return;
            };
            tokio::select! { _ = int.recv() => {}, _ = term.recv() => {}, _ = hup.recv() => {} }
            leftovers(|all| {
                for leftover in all.drain(..).rev() {
                    match leftover {
                        Leftover::Process(pid) => drop(Command::new("kill").args(["-KILL", &pid.to_string()]).status()),
                        Leftover::Dir(dir) => drop(fs::remove_dir_all(dir)),
                    }
                }
            });
            std::process::exit(130);
        });
    });
    Ok(())
}

/// A directory of its own that goes with the value.
#[derive(Debug)]
pub struct OwnDir(tempfile::TempDir);

impl OwnDir {
    pub fn new(parent: &std::path::Path) -> Result<Self> {
        fs::create_dir_all(parent)?;
        let dir = tempfile::Builder::new().prefix("relayscope-bench-").tempdir_in(parent)?;
        leftovers(|all| all.push(Leftover::Dir(dir.path().to_owned())));
        Ok(Self(dir))
    }

    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }
}

impl Drop for OwnDir {
    fn drop(&mut self) {
        let gone = Leftover::Dir(self.0.path().to_owned());
        leftovers(|all| all.retain(|leftover| *leftover != gone));
    }
}

/// A process of the bench. Dropping it ends it.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this program in another role, to be spoken to line by line.
    pub fn role(arguments: &[String]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        Self::start(command)
    }

    pub fn start(mut command: Command) -> Result<Self> {
        let mut child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        leftovers(|all| all.push(Leftover::Process(child.id())));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Ok(Self { child, stdin, stdout })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    pub fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("no way to speak to the process")?;
        writeln!(stdin, "{line}")?;
        Ok(stdin.flush()?)
    }

    /// The next line it prints.
    pub fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let stdout = self.stdout.as_mut().context("no way to hear the process")?;
        if stdout.read_line(&mut line)? == 0 {
            bail!("the process ended (what it said is above)");
        }
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = self.child.id();
        // It may have ended by itself; waited for it must be either way.
        let _ = self.child.kill();
        let _ = self.child.wait();
        leftovers(|all| all.retain(|leftover| *leftover != Leftover::Process(pid)));
    }
}

/// CPU time and memory of a process and its descendants at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub cpu_ns: u64,
    /// Of the CPU time, in ticks of 10 ms.
    pub user_ticks: u64,
    pub system_ticks: u64,
    pub resident_kib: u64,
    pub peak_resident_kib: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Self {
        let mut usage = Self::default();
        for pid in tree(pid) {
            usage.add(pid);
        }
        usage
    }

    fn add(&mut self, pid: u32) {
        // The scheduler's own count, in ns: the ticks in `stat` are too coarse for short runs.
        let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let scheduled: u64 = threads.filter_map(|thread| first_number(&fs::read_to_string(thread.path().join("schedstat")).ok()?)).sum();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<u64> = stat.rsplit(')').next().unwrap_or_default().split(' ').map(|field| field.parse().unwrap_or(0)).collect();
        let (user, system) = (fields.get(12).copied().unwrap_or(0), fields.get(13).copied().unwrap_or(0));
        // Threads that have ended are only in the ticks.
        let ticks_ns = (user + system) * 10_000_000;
        let lost = ticks_ns.saturating_sub(scheduled);
        self.cpu_ns += if lost > 30_000_000 + ticks_ns / 50 { ticks_ns } else { scheduled };
        self.user_ticks += user;
        self.system_ticks += system;
        self.resident_kib += field_kib(&format!("/proc/{pid}/smaps_rollup"), "Rss:").unwrap_or(0);
        self.peak_resident_kib += field_kib(&format!("/proc/{pid}/status"), "VmHWM:").unwrap_or(0);
    }

    /// Has the peak count from now on.
    pub fn forget_peak(pid: u32) {
        for pid in tree(pid) {
            // Without the right to, the peak is that of the whole life, and what it adds reads 0: seen at once.
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }
}

fn tree(root: u32) -> Vec<u32> {
    let mut all = vec![root];
    let mut at = 0;
    while let Some(&pid) = all.get(at) {
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            all.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
        }
        at += 1;
    }
    all
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn field_kib(path: &str, name: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.lines().find_map(|line| first_number(line.strip_prefix(name)?))
}
