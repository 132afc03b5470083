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
    /// The worst of all checks. `skipped` where all are or there is none: nothing could be examined, and the conclusion says so.
    pub verdict: Verdict,
    /// One sentence: what is wrong first, or that nothing is, or that nothing could be examined.
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
        if !is_examined(&sections) {
            let skipped = sections.iter().flat_map(|section| &section.checks).next();
            let why = skipped.map(|check| format!(": {}: {}", check.asked, check.answer)).unwrap_or_default();
            let conclusion = format!("nothing could be examined{why}");
            return Self { target: target.into(), verdict: Verdict::Skipped, conclusion, sections };
        }
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

    /// Whether any check learnt something.
    pub fn is_examined(&self) -> bool {
        is_examined(&self.sections)
    }
}

/// Whether any check of these learnt something.
pub fn is_examined(sections: &[Section]) -> bool {
    sections.iter().flat_map(|section| &section.checks).any(|check| check.verdict != Verdict::Skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_could_be_examined_nothing_is_called_well() {
        let check = |name| Check::asking(name, name, "");
        let of = |checks| Report::of("upstream mx", vec![Section::new("empty"), Section { title: "mx".to_owned(), checks }]);
        let skipped = of(vec![check("hosts").skipped("there is no list"), check("login").skipped("no login")]);
        assert_eq!((skipped.verdict, skipped.is_examined()), (Verdict::Skipped, false));
        assert_eq!(skipped.conclusion, "nothing could be examined: hosts: there is no list");
        let empty = of(Vec::new());
        assert_eq!((empty.verdict, empty.conclusion.as_str()), (Verdict::Skipped, "nothing could be examined"));
        let partly = of(vec![check("hosts").skipped("there is no list"), check("login").ok("235")]);
        assert_eq!((partly.is_examined(), partly.conclusion.as_str()), (true, "nothing is wrong"));
    }
}
