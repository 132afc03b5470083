//! `relayscope import FORMAT FILE…`: what other mail servers' logs say, as records among the proxy's own.

mod follow;
mod sink;
mod summary;

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Traces;
use super::failure::{Failure, Status};
use super::progress::Progress;
use crate::import::source::{self, PIECE, Source};
use crate::import::{Counts, DateOrder, Format, Identified, Options, Reader, format};
use crate::path::when::{self, Edge};
use sink::Sink;
use summary::Summary;

/// Octets of a file in which a format is recognised.
const HEAD: usize = 256 << 10;
/// Where a path that is no file leads.
const STANDARD_INPUT: &str = "/dev/stdin";

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  relayscope import postfix /var/log/mail.log.2.gz /var/log/mail.log.1 /var/log/mail.log\n  relayscope import postfix --follow /var/log/mail.log\n  relayscope import exchange --follow '/srv/tracking/MSGTRK2*.LOG'\n  journalctl -u postfix -o export | relayscope import postfix -\nA line that was imported before adds nothing, however often its file is read."
)]
pub struct Logs {
    #[command(flatten)]
    traces: Traces,
    /// The server that wrote the logs: postfix, exchange, exim, sendmail, courier, hmailserver, domino, james; auto looks at the lines
    #[arg(value_name = "FORMAT", value_parser = parse_format)]
    format: Chosen,
    /// Logs, plain or packed (gzip, xz, zstd), oldest first; - is standard input. With --follow the file that grows, or a quoted pattern with one *
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// Go on as the files grow, through rotation, and from where it was left when it is started again
    #[arg(long, short)]
    follow: bool,
    /// Leave out what is older: 2h, today, 2026-11-23, 2026-11-23T10:02
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Zone of times that name none: Europe/Berlin, UTC, +02:00 [default: this machine's]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    timezone: Option<TimeZone>,
    /// What comes first in dates with slashes, day (dmy) or month (mdy) [default: as the lines show]
    #[arg(long, value_name = "ORDER", value_parser = parse_dates)]
    dates: Option<DateOrder>,
    /// Name of the server, where the lines don't tell it
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Store nothing: count, and with --json print the records
    #[arg(long)]
    dry_run: bool,
}

/// A format, or whichever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chosen {
    Auto,
    One(Format),
}

fn parse_format(text: &str) -> Result<Chosen, String> {
    if text == "auto" {
        return Ok(Chosen::Auto);
    }
    Format::from_word(text).map(Chosen::One).ok_or_else(|| {
        let known: Vec<&str> = Format::ALL.iter().map(|format| format.word()).collect();
        format!("known are {} and auto", known.join(", "))
    })
}

fn parse_zone(text: &str) -> Result<TimeZone, String> {
    let offset = || jiff::fmt::strtime::parse("%:z", text).ok()?.offset();
    match offset() {
        Some(offset) => Ok(TimeZone::fixed(offset)),
        None => TimeZone::get(text).map_err(|_| "neither a name such as Europe/Berlin nor an offset such as +02:00".to_owned()),
    }
}

fn parse_dates(text: &str) -> Result<DateOrder, String> {
    DateOrder::from_word(text).ok_or_else(|| "neither dmy (day first) nor mdy (month first)".to_owned())
}

impl Logs {
    pub fn run(self) -> Result<Status, Failure> {
        let options = self.options()?;
        if self.follow { follow::run(&self, options) } else { self.once(&options) }
    }

    /// With a format yet to be found, where that is left to us.
    fn options(&self) -> Result<Options, Failure> {
        let zone = self.timezone.clone().unwrap_or_else(TimeZone::system);
        let now = Timestamp::now();
        let since = self.since.as_deref().map(|text| when::parse(text, Edge::Since, now, &TimeZone::system())).transpose();
        let since = since.map_err(|error| Failure::usage(format!("--since: {error}")))?;
        let format = match self.format {
            Chosen::One(format) => format,
            Chosen::Auto => Format::Postfix,
        };
        Ok(Options { host: self.host.clone(), since, dates: self.dates, ..Options::new(format, zone) })
    }

    fn once(&self, options: &Options) -> Result<Status, Failure> {
        // Every file is opened before the first record: a misspelt name is told at once.
        let mut logs = Vec::new();
        for path in &self.files {
            logs.push(self.open(path, options)?);
        }
        one_order(&mut logs);
        let mut sink = Sink::open(&self.traces, self.dry_run)?;
        let (mut summary, mut progress) = (Summary::default(), Progress::new("read"));
        let mut readers = Vec::new();
        let read = logs.into_iter().try_for_each(|log| log.read(&mut readers, &mut sink, &mut summary, &mut progress));
        progress.end();
        let done = sink.finish();
        // What was read is in, whatever came then.
        let taken = done?;
        read?;
        summary.show(taken, self.dry_run, self.traces.json)
    }

    fn open(&self, path: &Path, options: &Options) -> Result<Opened, Failure> {
        let named = |error: std::io::Error| Failure::usage(format!("{}: {error}", path.display()));
        let file = if path == Path::new("-") { Path::new(STANDARD_INPUT) } else { path };
        let mut source = Source::open(file, 0).map_err(named)?;
        let turns = if source.is_pipe { 0 } else { source::turns(file, 0).map_err(named)? };
        let (format, head) = match self.format {
            Chosen::One(format) => (format, Vec::new()),
            Chosen::Auto => {
                let head = first_of(&mut source).map_err(named)?;
                (format::recognise(&head).ok_or_else(|| unrecognised(path))?, head)
            }
        };
        let mut options = Options { format, until: source.modified, turns, ..options.clone() };
        if !source.is_pipe {
            options.dates = source::dates(file, &options).map_err(named)?;
        }
        Ok(Opened { path: path.to_owned(), options, source, head })
    }
}

/// What one file of a server shows of its dates holds for its others.
fn one_order(logs: &mut [Opened]) {
    let shown: Vec<_> = logs.iter().filter_map(|log| Some((log.options.format, log.options.dates?))).collect();
    for options in logs.iter_mut().map(|log| &mut log.options) {
        let by_another = shown.iter().find(|(format, _)| *format == options.format).map(|(_, order)| *order);
        options.dates = options.dates.or(by_another);
    }
}

/// The first octets; of a pipe what comes first, because more may be long in coming.
fn first_of(source: &mut Source) -> std::io::Result<Vec<u8>> {
    let mut head = vec![0; HEAD];
    if source.is_pipe {
        let read = source.read(&mut head)?;
        head.truncate(read);
    } else {
        head.clear();
        source.take(HEAD as u64).read_to_end(&mut head)?;
    }
    Ok(head)
}

fn unrecognised(path: &Path) -> Failure {
    Failure::usage(format!("{}: none of the known servers' logs is recognised in its first {} KiB", path.display(), HEAD >> 10))
        .advise("name the server instead of auto")
}

/// A log whose first octets were looked at.
struct Opened {
    path: PathBuf,
    options: Options,
    source: Source,
    head: Vec<u8>,
}

impl Opened {
    /// `readers`: one for each format so far. What a file says of a message holds for the next file, to which the log was rotated.
    fn read(
        mut self,
        readers: &mut Vec<(Format, Reader)>,
        sink: &mut Sink,
        summary: &mut Summary,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let format = self.options.format;
        let known = readers.iter().position(|(of, _)| *of == format);
        let at = known.unwrap_or_else(|| {
            readers.push((format, Reader::new(self.options.clone())));
            readers.len() - 1
        });
        let Some((_, reader)) = readers.get_mut(at) else { return Ok(()) };
        reader.go_on(&self.options);
        let forgotten = reader.counts().forgotten;
        let (mut entries, mut buffer) = (Vec::new(), vec![0; PIECE]);
        reader.feed(&std::mem::take(&mut self.head), &mut entries);
        loop {
            hand_on(&mut entries, format, sink, progress)?;
            if self.source.is_pipe {
                sink.hand_in()?;
            }
            let read = self.source.read(&mut buffer);
            let read = read.map_err(|error| Failure::failed(anyhow::anyhow!("{}: {error}", self.path.display())))?;
            if read == 0 {
                break;
            }
            reader.feed(buffer.get(..read).unwrap_or_default(), &mut entries);
        }
        reader.finish(&mut entries);
        hand_on(&mut entries, format, sink, progress)?;
        let (unreadable, counts) = (reader.take_unreadable(), reader.counts());
        reader.forget_counts();
        let path = if self.path == Path::new("-") { Path::new("standard input") } else { &self.path };
        summary.add(path, format, &Counts { forgotten: counts.forgotten - forgotten, ..counts }, unreadable);
        Ok(())
    }
}

fn hand_on(entries: &mut Vec<Identified>, format: Format, sink: &mut Sink, progress: &mut Progress) -> Result<(), Failure> {
    progress.add(entries.len() as u64);
    entries.drain(..).try_for_each(|entry| sink.add(entry.into_record(format)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_names_or_offsets() {
        assert_eq!(parse_zone("+02:00").map(|it| it.to_fixed_offset().map(|it| it.seconds()).ok()), Ok(Some(7_200)));
        assert_eq!(parse_zone("UTC"), Ok(TimeZone::UTC));
        for text in ["", "Mars/Olympus", "2"] {
            assert!(parse_zone(text).is_err(), "{text}");
        }
    }

    #[test]
    fn formats_are_servers_or_auto() {
        assert_eq!(parse_format("auto"), Ok(Chosen::Auto));
        assert_eq!(parse_format("hmailserver"), Ok(Chosen::One(Format::HMailServer)));
        assert!(parse_format("qmail").is_err_and(|error| error.contains("postfix, exchange")));
    }
}
