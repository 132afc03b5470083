//! How a question was answered, as programs and people read it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::clock::span;
use crate::store;
use crate::wording::{number, several};

/// What the index was asked, and what had to be read besides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explained {
    /// How the question was read: "the fields", "a queue id", …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reading: String,
    pub finds: Vec<Find>,
    /// Parts of the index that were asked, and those passed by because of their times.
    pub runs_asked: u64,
    pub runs_passed_by: u64,
    /// Records that the index named, and records that were read.
    pub candidates: u64,
    pub records_read: u64,
    /// Records gone through one by one, because no index could say anything of them.
    pub records_gone_through: u64,
    pub took_us: u64,
}

/// One thing that was looked for in the index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Find {
    pub what: String,
    /// Parts of the index that were asked for it, and entries that they had.
    pub runs: u64,
    pub entries: u64,
}

impl From<&store::Explained> for Explained {
    fn from(it: &store::Explained) -> Self {
        let find = |it: &store::Find| Find { what: it.what.clone(), runs: it.runs, entries: it.records };
        Self {
            reading: String::new(),
            finds: it.finds.iter().map(find).collect(),
            runs_asked: it.runs_asked,
            runs_passed_by: it.runs_passed_by,
            candidates: it.candidates,
            records_read: it.records_read,
            records_gone_through: it.records_gone_through,
            took_us: u64::try_from(it.took.as_micros()).unwrap_or(u64::MAX),
        }
    }
}

impl Explained {
    /// The same in words, a line each.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.reading.is_empty() {
            lines.push(format!("read as {}", self.reading));
        }
        for find in &self.finds {
            lines.push(match find.runs {
                0 => format!("{}: not needed", find.what),
                runs => {
                    format!("{}: {} in {} of the index", find.what, several(find.entries, "entry", "entries"), several(runs, "run", "runs"))
                }
            });
        }
        let passed = match self.runs_passed_by {
            0 => String::new(),
            some => format!(" ({} passed by: other times)", number(some)),
        };
        lines.push(format!(
            "{} asked{passed}; they named {}",
            several(self.runs_asked, "run", "runs"),
            several(self.candidates, "record", "records")
        ));
        let through = match self.records_gone_through {
            0 => String::new(),
            some => format!(", {} of them one after the other", number(some)),
        };
        lines.push(format!("{} read{through}; {} in all", several(self.records_read, "record", "records"), span(self.took_us)));
        lines
    }
}
