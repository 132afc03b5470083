//! A program that runs beside the test, its output line by line, and its certain end.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::PATIENCE;
use super::programs::find;

/// What a program has printed so far, on either stream.
#[derive(Clone, Default)]
pub struct Output {
    shared: Arc<(Mutex<Lines>, Condvar)>,
}

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    /// Streams still open.
    open: usize,
}

impl Output {
    /// Adds the lines of a stream, as they come.
    pub fn follow(&self, stream: impl Read + Send + 'static) {
        locked(&self.shared.0).open += 1;
        let shared = self.shared.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                locked(&shared.0).lines.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                shared.1.notify_all();
                line.clear();
            }
            locked(&shared.0).open -= 1;
            shared.1.notify_all();
        });
    }

    /// The first line that `wanted` makes something of, once it is printed; `None` if the program closes its streams before.
    pub fn wait_for<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> Option<T> {
        let until = Instant::now() + PATIENCE;
        let mut seen = 0;
        let mut lines = locked(&self.shared.0);
        loop {
            if let Some(found) = lines.lines[seen..].iter().find_map(|line| wanted(line)) {
                return Some(found);
            }
            seen = lines.lines.len();
            if lines.open == 0 {
                return None;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(lines);
                panic!("no {what:?} within {PATIENCE:?}; printed so far:\n{}", self.text());
            }
            lines = self.shared.1.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a line that contains `words`.
    #[track_caller]
    pub fn expect(&self, words: &str) -> String {
        self.wait_for(words, |line| line.contains(words).then(|| line.to_owned()))
            .unwrap_or_else(|| panic!("the program ended without {words:?}:\n{}", self.text()))
    }

    /// Waits until so many lines contain `words`, and gives them.
    #[track_caller]
    pub fn expect_lines(&self, words: &str, wanted: usize) -> Vec<String> {
        let found = RefCell::new(Vec::new());
        let enough = self.wait_for(words, |line| {
            if line.contains(words) {
                found.borrow_mut().push(line.to_owned());
            }
            (found.borrow().len() >= wanted).then_some(())
        });
        assert!(enough.is_some(), "the program ended without {wanted} lines of {words:?}:\n{}", self.text());
        found.into_inner()
    }

    /// How many lines contain `words` by now.
    pub fn count(&self, words: &str) -> usize {
        locked(&self.shared.0).lines.iter().filter(|line| line.contains(words)).count()
    }

    pub fn text(&self) -> String {
        locked(&self.shared.0).lines.join("\n")
    }

    /// All of it, once the program has closed its streams.
    pub fn whole(&self) -> String {
        self.wait_for("end of output", |_| None::<()>);
        self.text()
    }
}

/// A running program. Dropping it ends it, whatever the test came to.
pub struct Process {
    child: Child,
    pub output: Output,
    group: bool,
}

impl Process {
    /// `group`: the program leads a process group of its own, which ends with it.
    pub fn start(mut command: Command, group: bool) -> Self {
        if let Some(setpriv) = find("setpriv") {
            // Dies with the test even if that is killed.
            let mut tied = Command::new(setpriv);
            tied.args(["--pdeathsig", "TERM", "--"]).arg(command.get_program()).args(command.get_args());
            command.get_current_dir().map(|dir| tied.current_dir(dir));
            command.get_envs().for_each(|(name, value)| match value {
                Some(value) => drop(tied.env(name, value)),
                None => drop(tied.env_remove(name)),
            });
            command = tied;
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let output = Output::default();
        output.follow(child.stdout.take().unwrap());
        output.follow(child.stderr.take().unwrap());
        Self { child, output, group }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        signal(name, &self.child.id().to_string());
    }

    /// To the program and its children, where it leads a group of its own.
    pub fn signal_group(&self, name: &str) {
        signal(name, &format!("-{}", self.child.id()));
    }

    /// `kill -9`: nothing of the program runs after this.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM, and its exit status.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "the program did not end within {PATIENCE:?}:\n{}", self.output.text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.group {
            // A mail server's children get the chance to go before they are made to.
            self.signal("TERM");
            let until = Instant::now() + Duration::from_secs(10);
            while Instant::now() < until && self.child.try_wait().is_ok_and(|it| it.is_none()) {
                std::thread::sleep(Duration::from_millis(5));
            }
            signal("KILL", &format!("-{}", self.child.id()));
        }
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- output of process {} ---\n{}", self.child.id(), self.output.text());
        }
    }
}

fn signal(name: &str, target: &str) {
    let _ = Command::new("kill").args([&format!("-{name}"), "--", target]).stderr(Stdio::null()).status();
}

/// Runs a program to its end: its exit code and what it printed on both streams.
pub fn run(command: &mut Command) -> (i32, String) {
    let done = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = [done.stdout, done.stderr].concat();
    (done.status.code().unwrap_or(-1), String::from_utf8_lossy(&text).into_owned())
}

/// A test that failed elsewhere must not hide why.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
