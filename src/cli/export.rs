//! `relayscope store export [QUERY]`: records as NDJSON, oldest first, for programs and for another store.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;

use super::Traces;
use super::backend::Backend;
use super::client::whole_lines;
use super::failure::{Failure, Status};
use super::progress::Progress;
use super::screen::harmless_json;
use crate::path::export::Export as Records;

#[derive(Debug, Args)]
#[command(after_help = crate::path::what::GRAMMAR)]
pub struct Export {
    #[command(flatten)]
    traces: Traces,
    /// Only what matches: free words and field:value terms
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Write to this file, which appears when it is whole [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Export {
    pub fn run(self) -> Result<Status, Failure> {
        let what = super::search::question_of_lists(&self.query, Timestamp::now())?;
        let backend = Backend::open(&self.traces)?;
        let mut target = Target::open(self.output.as_deref())?;
        let name = self.output.as_deref().filter(|path| *path != Path::new("-"));
        let name = name.map_or_else(|| "standard output".to_owned(), |path| path.display().to_string());
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{name}: {error}"));
        let mut progress = Progress::new("exported");
        let mut write = |lines: &[u8]| {
            target.write(lines).map_err(named)?;
            progress.add(lines.iter().filter(|octet| **octet == b'\n').count() as u64);
            Ok(())
        };
        match backend {
            Backend::Api(client) => client.stream("/api/v1/store/export", &[("q", &what.canonical())], &mut write)?,
            Backend::Store(traces) => {
                let mut records = Records::begin(traces, &what, &|| true).map_err(Failure::failed)?;
                while let Some(lines) = records.next_lines().map_err(Failure::failed)? {
                    write(&lines)?;
                }
            }
        }
        let exported = progress.end();
        target.finish().map_err(named)?;
        Ok(if exported == 0 && !what.canonical().is_empty() { Status::NotFound } else { Status::Done })
    }
}

/// What a terminal shows of what has come: whole lines.
fn shown(unread: &mut Vec<u8>, octets: &[u8]) -> String {
    unread.extend_from_slice(octets);
    harmless(&whole_lines(unread))
}

fn harmless(lines: &[u8]) -> String {
    harmless_json(&String::from_utf8_lossy(lines))
}

/// Where the lines go.
enum Target {
    Output,
    /// `unread`: the line that isn't whole yet.
    Terminal {
        unread: Vec<u8>,
    },
    /// A device or a pipe.
    Device(File),
    File {
        out: BufWriter<File>,
        partial: Partial,
        path: PathBuf,
    },
}

/// A file in the making, removed if it doesn't come to its end: it would hold what nobody asked to keep.
struct Partial(Option<PathBuf>);

impl Partial {
    fn becomes(&mut self, path: &Path) -> io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |partial| fs::rename(partial, path))?;
        self.0 = None;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(partial) = self.0.take() {
            let _ = fs::remove_file(partial);
        }
    }
}

impl Target {
    fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            return Ok(if io::stdout().is_terminal() { Self::Terminal { unread: Vec::new() } } else { Self::Output });
        };
        // Through a link, what it leads to is written; a device or a pipe is written to, and never replaced.
        let path = &fs::canonicalize(path).unwrap_or(path.to_owned());
        if fs::metadata(path).is_ok_and(|it| !it.is_file() && !it.is_dir()) {
            let named = |error: io::Error| Failure::failed(anyhow::anyhow!("{}: {error}", path.display()));
            return Ok(Self::Device(File::options().write(true).open(path).map_err(named)?));
        }
        if path.is_dir() {
            return Err(Failure::usage(format!("{}: is a directory: name the file to write", path.display())));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let named = |error: io::Error| Failure::failed(anyhow::anyhow!("{}: {error}", partial.display()));
        let out = File::create(&partial).map_err(named)?;
        Ok(Self::File { out: BufWriter::with_capacity(256 << 10, out), partial: Partial(Some(partial)), path: path.to_owned() })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = match self {
            Self::File { out, .. } => return out.write_all(lines),
            Self::Device(out) => return out.write_all(lines),
            Self::Output => io::stdout().lock().write_all(lines),
            Self::Terminal { unread } => io::stdout().lock().write_all(shown(unread, lines).as_bytes()),
        };
        match written {
            // A reader that has gone (`| head`) is no failure.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
            written => written,
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            Self::Output => io::stdout().lock().flush(),
            Self::Terminal { unread } => {
                let mut out = io::stdout().lock();
                out.write_all(harmless(&unread).as_bytes())?;
                out.flush()
            }
            Self::Device(mut out) => out.flush(),
            Self::File { out, mut partial, path } => {
                out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
                partial.becomes(&path)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_that_comes_in_two_pieces_stays_a_letter() {
        let lines = "{\"subject\":\"Bücher\"}\n{\"subject\":\"漢字\"}\n";
        for cut in 0..=lines.len() {
            let (before, after) = lines.as_bytes().split_at(cut);
            let mut unread = Vec::new();
            let told = [before, after].map(|piece| shown(&mut unread, piece)).concat();
            assert_eq!((told.as_str(), unread.as_slice()), (lines, &b""[..]), "cut at {cut}");
        }
    }
}
