//! `[diagnose]`: the administrator's own rules, read from a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Findings;
use super::raw::Raw;
use crate::diagnose::Rules;
use crate::relay::options::Diagnosing;

/// How failures are diagnosed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(inline)]
pub struct Diagnose {
    /// Folder with rules of your own (`*.toml`), asked before the built-in ones. Default: `rules` beside this file, if it is there.
    pub rules_dir: Option<PathBuf>,
}

/// Where own rules are looked for if the file doesn't say: beside it.
const BESIDE: &str = "rules";
/// Octets of a rules file; what is larger is none.
const LARGEST: u64 = 1 << 20;

/// The rules by which failures are diagnosed. `source` is the configuration file.
pub(super) fn diagnosing(source: Option<&Path>, raw: &Raw, findings: &mut Findings) -> Diagnosing {
    let named = raw.diagnose.rules_dir.clone();
    let beside = || source.and_then(Path::parent).map(|parent| parent.join(BESIDE)).filter(|dir| dir.is_dir());
    let Some(dir) = named.or_else(beside) else { return Diagnosing::default() };
    match read(&dir).and_then(|files| Rules::with_own(&files).map_err(|error| error.to_string())) {
        Ok(rules) => Diagnosing::by(Arc::new(rules)),
        Err(text) => {
            findings.refuse("diagnose.rules_dir", text);
            Diagnosing::default()
        }
    }
}

/// The `*.toml` files of a folder, by name.
fn read(dir: &Path) -> Result<Vec<(String, String)>, String> {
    let failed = |path: &Path, error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => format!("{}: no such folder", path.display()),
        io::ErrorKind::InvalidData => format!("{}: not UTF-8", path.display()),
        _ => format!("{}: {error}", path.display()),
    };
    let entries = fs::read_dir(dir).map_err(|error| failed(dir, error))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let file = |path: &PathBuf| {
        let octets = fs::metadata(path).map_err(|error| failed(path, error))?.len();
        if octets > LARGEST {
            return Err(format!("{}: {octets} octets are too many for a rules file ({LARGEST} at most)", path.display()));
        }
        Ok((path.display().to_string(), fs::read_to_string(path).map_err(|error| failed(path, error))?))
    };
    paths.iter().map(file).collect()
}
