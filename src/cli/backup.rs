//! `relayscope store backup DIR`: a copy of the store, made by the running proxy or from the stopped one's files.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::Traces;
use super::backend::{Backend, must_be_store, store_dir};
use super::client::Answered;
use super::failure::{Failure, Status};
use super::screen::{Look, Screen, Style, show_json};
use crate::path::clock::octets;
use crate::path::words;
use crate::store::{BackupError, BackupReport};

#[derive(Debug, Args)]
#[command(
    after_help = "A running proxy makes the backup itself: DIR must be writable for its user. A stopped proxy's store is backed up by this command."
)]
pub struct Backup {
    /// Directory to make: empty, or not there yet. On the store's own file system it takes almost no room
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    #[command(flatten)]
    traces: Traces,
}

impl Backup {
    pub fn run(self) -> Result<Status, Failure> {
        let dir = std::path::absolute(&self.dir).map_err(|error| Failure::usage(format!("{}: {error}", self.dir.display())))?;
        if self.traces.api.is_none() {
            must_be_store(&store_dir(&self.traces)?)?;
        }
        let report = match Backend::open(&self.traces)? {
            Backend::Api(client) => {
                let Some(name) = dir.to_str() else { return Err(Failure::usage("a running proxy takes only names in UTF-8")) };
                match client.post("/api/v1/store/backup", &[("dir", name)])? {
                    Answered::Done(report) => report,
                    Answered::Refused(why) | Answered::NotFound(why) => return Err(Failure::usage(why)),
                    Answered::Unknown => {
                        return Err(Failure::usage("a backup is made only through the store's api.sock: name it with --store DIR"));
                    }
                }
            }
            Backend::Store(traces) => traces.store().backup(&dir).map_err(failure)?,
        };
        if self.traces.json {
            let mut shown = json!(report);
            if let Some(shown) = shown.as_object_mut() {
                shown.insert("dir".to_owned(), dir.display().to_string().into());
            }
            show_json(&shown)?;
        } else {
            render(&report, &dir, &Look::of_stdout(Timestamp::now())).show()?;
        }
        Ok(Status::Done)
    }
}

fn failure(error: BackupError) -> Failure {
    if error.is_refusal() { Failure::usage(error.to_string()) } else { Failure::failed(error) }
}

fn render(report: &BackupReport, dir: &Path, look: &Look) -> Screen {
    let files = |count: u64| words::count(usize::try_from(count).unwrap_or(usize::MAX), "file");
    let mut screen = Screen::new(look);
    screen.styled(Style::Good, &format!("{} is a backup of the store.", dir.display())).newline();
    screen.line(&format!(
        "Linked: {}, {}. They take no room until the store removes them.",
        files(report.linked),
        octets(report.linked_octets)
    ));
    screen.line(&format!("Copied: {}, {}.", files(report.copied), octets(report.copied_octets)));
    if report.index_files == 0 {
        screen.line("The index is not in it: it is made anew when the backup is first opened.");
    }
    screen.line(&format!("Check it: relayscope store check --store {}", quoted(dir)));
    screen
}

/// As a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+:@%".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_pasted_into_a_shell() {
        assert_eq!(quoted(Path::new("/var/backup-1")), "/var/backup-1");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
