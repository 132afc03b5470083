//! An export that has a full store before it: it is sent back to the beginning, and asked how far it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::filled;
use super::process::OwnDir;

/// Name of the export that catches up.
pub const EXPORT: &str = "first";
/// How long it may take to begin anew.
const PATIENCE: Duration = Duration::from_secs(30);

/// A store that each peer gets a copy of.
#[derive(Debug)]
pub struct Stored {
    dir: OwnDir,
}

impl Stored {
    pub fn fill(parent: &Path, records: u64) -> Result<Self> {
        println!("filling a store with {records} records");
        let dir = OwnDir::new(parent)?;
        let store = filled::filled(&dir.path().join("store"), records);
        while store.stats()?.unindexed > 0 {
            std::thread::sleep(Duration::from_millis(50));
        }
        store.close();
        Ok(Self { dir })
    }

    pub fn copy_to(&self, to: &Path) -> Result<()> {
        copy(&self.dir.path().join("store"), to)
    }
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A relayscope that exports.
pub struct Catching {
    pub program: PathBuf,
    pub store: PathBuf,
}

/// How its export stands.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Progress {
    pub sent: u64,
    pub backlog: u64,
}

impl Catching {
    /// Has everything sent again, and returns when that has begun.
    pub fn begin_anew(&self) -> Result<Progress> {
        let before = self.progress()?;
        self.export(&["replay", "--sink", EXPORT, "--since", "2000-01-01"])?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let now = self.progress()?;
            if now.sent > before.sent && now.backlog > before.backlog {
                return Ok(now);
            }
            if Instant::now() > deadline {
                bail!("the export doesn't begin anew: {now:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn progress(&self) -> Result<Progress> {
        let said = self.export(&["list", "--json"])?;
        serde_json::from_str(&said).with_context(|| format!("an export says {said:?}"))
    }

    fn export(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.arg("export").args(arguments).arg("--store").arg(&self.store).stdin(Stdio::null());
        let done = command.output()?;
        if !done.status.success() {
            bail!("relayscope export {}: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr).trim_end());
        }
        Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
    }
}
