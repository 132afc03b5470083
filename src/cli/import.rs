//! `relayscope store import FILE…`: NDJSON, as an export has it, into the store of a stopped proxy.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::Traces;
use super::backend;
use super::failure::{Failure, Status};
use super::progress::Progress;
use super::screen::{print, show_json};
use crate::store::{self, ImportError, OpenError};
use crate::trace::json::{self as shape, BadLine};
use crate::trace::{Record, RecordKind};
use crate::wording::number;

/// No record is as long in JSON.
const LONGEST: usize = 16 << 20;

#[derive(Debug, Args)]
#[command(
    after_help = "Records go to the day of their own time: the proxy removes those older than it keeps (`keep_days` in [store]) when it starts."
)]
pub struct Import {
    #[command(flatten)]
    traces: Traces,
    /// Files that `store export` wrote; - is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// Why an import ends before its input.
enum Ended {
    /// Line from 1.
    BadLine(PathBuf, u64, BadLine),
    Unreadable(PathBuf, io::Error),
    Store(ImportError),
}

impl Import {
    pub fn run(self) -> Result<Status, Failure> {
        let dir = store_dir(&self.traces)?;
        // Every file is opened before the first record: a misspelt name is told at once.
        let mut inputs = Vec::new();
        for path in &self.files {
            inputs.push((path.clone(), open(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?));
        }
        let mut import = store::Import::begin(backend::options(&dir)).map_err(not_begun)?;
        let mut progress = Progress::new("read");
        let ended = inputs.into_iter().try_for_each(|(path, input)| take_in(&mut import, &path, input, &mut progress));
        progress.end();
        if let Err(Ended::Store(error)) = ended {
            // What could be written is in; the rest comes with the next attempt.
            return Err(Failure::failed(error).advise("import it again when that is mended: what is in the store already is skipped"));
        }
        let report = import.finish().map_err(Failure::failed)?;
        if self.traces.json {
            show_json(&json!({"added": report.added, "known": report.known, "whole": ended.is_ok()}))?;
        } else {
            print(&format!("{} records added, {} were there already.\n", number(report.added), number(report.known)))?;
        }
        match ended {
            Ok(()) => Ok(Status::Done),
            Err(Ended::BadLine(path, line, bad)) => {
                let column = bad.column.map(|column| format!(":{column}")).unwrap_or_default();
                let failure = Failure::usage(format!("{}:{line}{column}: {}", path.display(), bad.what));
                Err(failure.advise("what stands before that line is in the store; nothing after it was read"))
            }
            Err(Ended::Unreadable(path, error)) => Err(Failure::failed(anyhow::anyhow!("{}: {error}", path.display()))),
            Err(Ended::Store(error)) => Err(Failure::failed(error)),
        }
    }
}

fn take_in(import: &mut store::Import, path: &Path, mut input: impl BufRead, progress: &mut Progress) -> Result<(), Ended> {
    let mut line = Vec::new();
    for number in 1u64.. {
        line.clear();
        let read = input.by_ref().take(LONGEST as u64 + 1).read_until(b'\n', &mut line);
        if read.map_err(|error| Ended::Unreadable(path.to_owned(), error))? == 0 {
            break;
        }
        let bad = |bad| Ended::BadLine(path.to_owned(), number, bad);
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let record = record(text, line.len()).map_err(bad)?;
        match import.add(&record) {
            Ok(_) => progress.add(1),
            Err(error) if error.is_of_record() => return Err(bad(BadLine { column: None, what: error.to_string() })),
            Err(error) => return Err(Ended::Store(error)),
        }
    }
    Ok(())
}

fn record(text: &[u8], octets: usize) -> Result<Record, BadLine> {
    if octets > LONGEST {
        return Err(BadLine { column: None, what: format!("the line is longer than {} octets: no record is", number(LONGEST as u64)) });
    }
    let read = shape::read(text)?;
    if let shape::Record::Mark(_) = read {
        return Err(BadLine { column: None, what: format!("records of kind {} are not imported", RecordKind::Mark) });
    }
    Record::try_from(read).map_err(|error| BadLine { column: None, what: error.to_string() })
}

fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let input: Box<dyn Read> = if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    Ok(Box::new(BufReader::with_capacity(256 << 10, input)))
}

/// An import may make the store that is named.
pub fn store_dir(traces: &Traces) -> Result<PathBuf, Failure> {
    let new = traces
        .store
        .as_ref()
        .filter(|dir| !dir.exists() && dir.parent().is_some_and(|parent| parent.as_os_str().is_empty() || parent.is_dir()));
    match new {
        Some(dir) => Ok(dir.clone()),
        None => {
            let dir = backend::store_dir(&backend::on_disk(traces.clone())?)?;
            // An empty directory may become a store; one that is something else must not.
            if std::fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some()) {
                backend::must_be_store(&dir)?;
            }
            Ok(dir)
        }
    }
}

pub fn not_begun(error: ImportError) -> Failure {
    match error {
        ImportError::Open(error @ (OpenError::InUse { .. } | OpenError::InUseBySomebody { .. })) => Failure::failed(error)
            .advise("stop the proxy first, or import into another store (--store DIR) and ask that: mail must not wait for an import"),
        ImportError::Open(error) => backend::not_opened(error),
        other => Failure::failed(other),
    }
}
