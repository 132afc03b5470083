//! What all checks of a target say together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::{Check, Verdict};
use crate::trace::json::schema_of;

/// The result of an examination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// What was examined: "dns example.org", "upstream main", …
    pub target: String,
    /// The worst of all checks.
    pub verdict: Verdict,
    /// One sentence: what is wrong first, or that nothing is.
    pub conclusion: String,
    pub sections: Vec<Section>,
}

/// Checks that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Section {
    pub title: String,
    pub checks: Vec<Check>,
}

impl Section {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), checks: Vec::new() }
    }

    pub fn push(&mut self, check: Check) {
        self.checks.push(check);
    }

    pub fn verdict(&self) -> Verdict {
        self.checks.iter().map(|check| check.verdict).max().unwrap_or_default()
    }
}

impl Report {
    /// The JSON Schema of a report: `config/doctor.schema.json` is this, written down.
    pub fn schema() -> schemars::Schema {
        schema_of::<Self>()
    }

    /// Sums up: the conclusion is of the first of the worst checks.
    pub fn of(target: impl Into<String>, sections: Vec<Section>) -> Self {
        let verdict = sections.iter().map(Section::verdict).max().unwrap_or_default();
        let worst = sections.iter().flat_map(|section| &section.checks).find(|check| check.verdict == verdict);
        let conclusion = match (verdict, worst) {
            (Verdict::Warn | Verdict::Fail, Some(check)) => {
                let fix = check.fix.as_deref().map(|fix| format!(" {fix}")).unwrap_or_default();
                format!("{}: {}.{fix}", check.asked, check.answer.trim_end_matches('.'))
            }
            _ => "nothing is wrong".to_owned(),
        };
        Self { target: target.into(), verdict, conclusion, sections }
    }
}
