//! What is wrong with a configuration, and where in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Everything that is wrong, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}", .problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors {
    pub problems: Vec<Problem>,
}

/// One thing that is wrong: where, what, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub location: Location,
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Location::Nowhere => f.write_str(&self.text),
            location => write!(f, "{location}: {}", self.text),
        }
    }
}

/// Where a value comes from. The order is that in which problems are told.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Location {
    /// Neither file nor flag says anything about it.
    Nowhere,
    /// Of the command line.
    Flag(&'static str),
    File(PathBuf),
    /// Lines and columns count from 1.
    Line {
        file: PathBuf,
        line: usize,
        column: usize,
    },
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => f.write_str("default"),
            Self::Flag(flag) => f.write_str(flag),
            Self::File(file) => file.display().fmt(f),
            Self::Line { file, line, column } => write!(f, "{}:{line}:{column}", file.display()),
        }
    }
}

/// Which option stands where. An option's path is `upstream.0.auth.user`.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    file: Option<PathBuf>,
    /// Offsets at which the lines begin.
    lines: Vec<usize>,
    text: String,
    offsets: BTreeMap<String, usize>,
    flags: BTreeMap<String, &'static str>,
}

impl Places {
    pub(super) fn of_file(file: &Path, text: &str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file: Some(file.to_owned()), lines, text: text.to_owned(), ..Self::default() }
    }

    pub(super) fn found(&mut self, path: &str, offset: usize) {
        self.offsets.insert(path.to_owned(), offset);
    }

    /// A flag says this instead of the file, and all that is in it.
    pub(super) fn overridden(&mut self, path: &str, flag: &'static str) {
        let inside = format!("{path}.");
        self.offsets.retain(|option, _| !option.starts_with(&inside));
        self.flags.insert(path.to_owned(), flag);
    }

    /// Whether file or flag say this very option, be it well or badly.
    pub(super) fn is_given(&self, path: &str) -> bool {
        self.flags.contains_key(path) || self.offsets.contains_key(path)
    }

    /// Where an option is said; for one that isn't, where its table is.
    pub(super) fn of(&self, path: &str) -> Location {
        let mut path = path;
        loop {
            if let Some(flag) = self.flags.get(path) {
                return Location::Flag(flag);
            }
            if let Some(&offset) = self.offsets.get(path) {
                return self.at(offset);
            }
            match path.rsplit_once('.') {
                Some((outer, _)) => path = outer,
                None => return self.file.clone().map_or(Location::Nowhere, Location::File),
            }
        }
    }

    /// Where a value comes from, `Nowhere` being the default.
    pub(super) fn of_value(&self, path: &str) -> Location {
        if self.is_given(path) { self.of(path) } else { Location::Nowhere }
    }

    pub(super) fn at(&self, offset: usize) -> Location {
        let Some(file) = self.file.clone() else { return Location::Nowhere };
        let line = self.lines.partition_point(|&begin| begin <= offset);
        let begin = line.checked_sub(1).and_then(|before| self.lines.get(before)).copied().unwrap_or(0);
        let column = 1 + self.text.get(begin..offset).map_or(0, |before| before.chars().count());
        Location::Line { file, line, column }
    }
}

/// Collects problems (which forbid to start) and warnings (which don't).
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub places: Places,
    pub problems: Vec<Problem>,
    pub warnings: Vec<Problem>,
    /// Paths of options that could not be read, so that nobody takes them for missing.
    broken: BTreeSet<String>,
}

impl Findings {
    pub(super) fn broken(&mut self, path: &str) {
        self.broken.insert(path.to_owned());
    }

    /// Whether this option, something in it, or all of the file could not be read.
    pub(super) fn is_broken(&self, path: &str) -> bool {
        let inside = format!("{path}.");
        self.is_lost(path) || self.broken.range(inside.clone()..).next().is_some_and(|next| next.starts_with(&inside))
    }

    /// Whether all of this option, or of the file, could not be read.
    pub(super) fn is_lost(&self, path: &str) -> bool {
        self.broken.contains("") || self.broken.contains(path)
    }

    pub(super) fn refuse(&mut self, path: &str, text: impl Into<String>) {
        self.problems.push(Problem { location: self.places.of(path), text: text.into() });
    }

    pub(super) fn refuse_at(&mut self, offset: usize, text: impl Into<String>) {
        self.problems.push(Problem { location: self.places.at(offset), text: text.into() });
    }

    pub(super) fn warn(&mut self, path: &str, text: impl Into<String>) {
        self.warnings.push(Problem { location: self.places.of(path), text: text.into() });
    }

    /// All that was found, in the order of the file, if anything was.
    pub(super) fn into_result(mut self) -> Result<(Places, Vec<Problem>), ConfigErrors> {
        self.warnings.sort_by(|a, b| a.location.cmp(&b.location));
        self.problems.sort_by(|a, b| a.location.cmp(&b.location));
        self.problems.dedup();
        if self.problems.is_empty() { Ok((self.places, self.warnings)) } else { Err(ConfigErrors { problems: self.problems }) }
    }
}
