//! `relayscope import --follow`: logs read on as they grow, handed to the running proxy, until somebody says stop.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::sink::{self, Batch};
use super::summary::{self, Summary};
use super::{Chosen, HEAD, Logs, unrecognised};
use crate::cli::client::{Client, Place};
use crate::cli::failure::{Failure, Status};
use crate::cli::screen::{Look, Screen, show_json, visible};
use crate::diagnose::Rules;
use crate::import::{Cursor, Follower, News, Options, follow, format, source};
use crate::trace::diagnosis::diagnose;
use crate::trace::{Record, json};
use crate::wording::number;

/// Between two looks at logs that don't grow.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two attempts to hand records in.
const RETRY: Duration = Duration::from_secs(2);
/// Unreadable lines that are shown; further ones are only counted.
const SHOWN: usize = 10;

/// What comes of an attempt that may be cut short.
enum Went {
    On,
    Stopped,
}

pub(super) fn run(logs: &Logs, options: Options) -> Result<Status, Failure> {
    let mut stop = Stop::new()?;
    let (mut target, folder) = if logs.dry_run {
        (Target::Nowhere { prints: logs.traces.json }, None)
    } else {
        let socket = sink::socket(&logs.traces)?;
        let folder = socket.parent().map(Path::to_owned);
        (Target::Proxy { batch: Box::new(Batch::new(Client::new(Place::Unix(socket.clone()), None)?)), socket, is_away: false }, folder)
    };
    let followed: Result<Vec<_>, _> = logs.files.iter().map(|path| Followed::start(path, logs, &options, folder.as_deref())).collect();
    let (mut followed, mut shown) = (followed?, 0);
    loop {
        let mut is_more = false;
        for log in &mut followed {
            match log.step(&mut target, &mut stop)? {
                (_, Went::Stopped) => return end(followed, target, logs),
                (more, Went::On) => is_more |= more,
            }
            log.show_unreadable(&mut shown);
        }
        if stop.is_told_within(if is_more { Duration::from_millis(1) } else { PAUSE }) {
            return end(followed, target, logs);
        }
    }
}

fn end(followed: Vec<Followed>, target: Target, logs: &Logs) -> Result<Status, Failure> {
    let mut summary = Summary::default();
    followed.iter().for_each(|log| summary.add(&log.path, log.options.format, &log.follower.counts(), Vec::new()));
    let taken = match target {
        Target::Proxy { batch, .. } => batch.taken,
        Target::Nowhere { .. } => sink::Taken::default(),
    };
    summary.show(taken, logs.dry_run, logs.traces.json)?;
    Ok(Status::Done)
}

/// A log, and how far what it says is stored.
struct Followed {
    path: PathBuf,
    options: Options,
    follower: Follower,
    /// Where the cursor is kept.
    file: Option<PathBuf>,
    kept: Option<Cursor>,
    /// The last trouble that was told.
    trouble: Option<String>,
}

impl Followed {
    fn start(path: &Path, logs: &Logs, options: &Options, folder: Option<&Path>) -> Result<Self, Failure> {
        let named = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
        // The cursor's name is the log's, from wherever it is followed.
        let path = &std::path::absolute(path).map_err(named)?;
        let mut options = options.clone();
        if logs.format == Chosen::Auto {
            let head = match follow::newest(path).map_err(named)? {
                Some(newest) => source::head(&newest, HEAD).map_err(named)?,
                None => Vec::new(),
            };
            options.format = format::recognise(&head).ok_or_else(|| unrecognised(path))?;
        }
        let file = folder.map(|folder| Cursor::file(folder, path));
        let kept = match &file {
            Some(file) => Cursor::load(file).unwrap_or_else(|error| {
                tell(&format!("{}: the place to go on can't be read ({error}): the log is read from its beginning", file.display()));
                None
            }),
            None => None,
        };
        let mut news = Vec::new();
        let follower = Follower::start(path, options.clone(), kept.clone(), &mut news).map_err(named)?;
        let this = Self { path: path.clone(), options, follower, file, kept, trouble: None };
        this.tell(news);
        Ok(this)
    }

    /// Reads a piece, has it stored, and keeps the place; whether there is more.
    fn step(&mut self, target: &mut Target, stop: &mut Stop) -> Result<(bool, Went), Failure> {
        let (mut entries, mut news) = (Vec::new(), Vec::new());
        let is_more = match self.follower.read(&mut entries, &mut news) {
            Ok(is_more) => {
                self.trouble = None;
                is_more
            }
            Err(error) => {
                self.trouble(&format!("{}: {error}; it is tried again", self.path.display()));
                false
            }
        };
        self.tell(news);
        for entry in entries {
            if let Went::Stopped = target.add(entry.into_record(self.options.format), stop)? {
                return Ok((false, Went::Stopped));
            }
        }
        if let Went::Stopped = target.flush(stop)? {
            return Ok((false, Went::Stopped));
        }
        self.keep();
        Ok((is_more, Went::On))
    }

    fn keep(&mut self) {
        let (Some(file), Some(cursor)) = (&self.file, self.follower.cursor()) else { return };
        if self.kept.as_ref() == Some(&cursor) {
            return;
        }
        match cursor.save(file) {
            Ok(()) => self.kept = Some(cursor),
            Err(error) => {
                let text = format!("{}: {error}: after a restart lines are read again (and found to be there)", file.display());
                self.trouble(&text);
            }
        }
    }

    /// Says it, unless it was the last that was said.
    fn trouble(&mut self, text: &str) {
        if self.trouble.as_deref() != Some(text) {
            tell(text);
            self.trouble = Some(text.to_owned());
        }
    }

    fn tell(&self, news: Vec<News>) {
        for it in news {
            tell(&match it {
                News::Began { path, at: 0 } => format!("following {} from its beginning", path.display()),
                News::Began { path, at } => format!("following {} from octet {} on", path.display(), number(at)),
                News::Rest { path, at: 0 } => format!("reading {}, which came meanwhile", path.display()),
                News::Rest { path, at } => format!("reading the rest of {} from octet {} on", path.display(), number(at)),
                News::Missed { at } => format!(
                    "{}: the file that was being read is gone, and what it held behind octet {} is missed; import it, if it is elsewhere",
                    self.path.display(),
                    number(at)
                ),
                News::Rotated { path } => format!("{}: another file is in its place", path.display()),
                News::Truncated { path } => format!("{}: it was emptied", path.display()),
                News::Gone { path } => {
                    format!("{}: it is gone before it was read, and what it held is missed; import it, if it is elsewhere", path.display())
                }
                News::Packed { path, why } => format!("{}: what it held is missed, for {why}", path.display()),
                News::Returned { path } => format!(
                    "{}: {} grows again, which was left for a newer file, and what is added to it is missed; a pattern must fit one sequence of files only",
                    self.path.display(),
                    path.display()
                ),
                News::Absent => format!("{}: there is no such file yet; waiting for it", self.path.display()),
            });
        }
    }

    fn show_unreadable(&mut self, shown: &mut usize) {
        for (path, line) in self.follower.unreadable() {
            if *shown == SHOWN {
                return;
            }
            *shown += 1;
            let look = Look { colours: false, width: None, ..Look::of_stdout(Timestamp::now()) };
            let mut screen = Screen::new(&look);
            screen.line("relayscope: a line could not be read:");
            summary::unreadable(&mut screen, &path, &line, &look);
            if *shown == SHOWN {
                screen.line("relayscope: further ones are only counted");
            }
            eprint!("{}", screen.as_str());
        }
    }
}

/// Where records go.
enum Target {
    Nowhere { prints: bool },
    Proxy { batch: Box<Batch>, socket: PathBuf, is_away: bool },
}

impl Target {
    fn add(&mut self, mut record: Record, stop: &mut Stop) -> Result<Went, Failure> {
        match self {
            Self::Nowhere { prints: false } => {}
            Self::Nowhere { prints: true } => {
                diagnose(&mut record, Rules::builtin());
                show_json(&json::Record::from(&record))?;
            }
            Self::Proxy { batch, .. } => {
                batch.push(&record)?;
                if batch.is_full() {
                    return self.flush(stop);
                }
            }
        }
        Ok(Went::On)
    }

    /// Hands in what there is, as often as it takes.
    fn flush(&mut self, stop: &mut Stop) -> Result<Went, Failure> {
        let Self::Proxy { batch, socket, is_away } = self else { return Ok(Went::On) };
        loop {
            match batch.send() {
                Ok(()) => {
                    if std::mem::take(is_away) {
                        tell("the proxy takes records again");
                    }
                    return Ok(Went::On);
                }
                Err(failure) if failure.status == Status::Usage => return Err(failure),
                Err(failure) => {
                    if !std::mem::replace(is_away, true) {
                        let why = format!("{:#}", failure.error);
                        tell(&format!(
                            "the proxy at {} takes no records at present ({why}); it is tried again, and nothing is lost",
                            socket.display()
                        ));
                    }
                }
            }
            if stop.is_told_within(RETRY) {
                return Ok(Went::Stopped);
            }
        }
    }
}

/// SIGINT and SIGTERM.
struct Stop {
    runtime: Runtime,
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    fn new() -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        drop(entered);
        Ok(Self { runtime, interrupt, terminate })
    }

    fn is_told_within(&mut self, pause: Duration) -> bool {
        let Self { runtime, interrupt, terminate } = self;
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => true,
                _ = terminate.recv() => true,
                () = tokio::time::sleep(pause) => false,
            }
        })
    }
}

fn tell(text: &str) {
    eprintln!("relayscope: {}", visible(text));
}
