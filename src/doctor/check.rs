//! One check: what was asked, what came back, what that means, why it matters, how to put it right.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a check found, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    #[default]
    Ok,
    /// Nothing could be learned: the question doesn't apply, or nobody could answer it.
    Skipped,
    /// It works, and will give trouble.
    Warn,
    Fail,
}

impl Verdict {
    /// As it is shown.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check and its result. Texts may hold what others sent: whoever shows them escapes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// Its name, for programs: "mx.preference", "upstream.starttls", … Stable.
    pub name: String,
    /// What was asked, of whom: "MX of example.org at 127.0.0.53".
    pub asked: String,
    /// What came back, shortened where it is long.
    pub answer: String,
    pub verdict: Verdict,
    /// Why it matters, in one sentence.
    pub why: String,
    /// What to do; absent where nothing need be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
    /// µs from question to answer.
    pub took_us: u64,
}

/// Octets of an answer that are kept.
const MOST_TEXT: usize = 1_000;

impl Check {
    /// A check with its question; it has no answer yet.
    pub fn asking(name: &str, asked: impl Into<String>, why: &str) -> Self {
        Self {
            name: name.to_owned(),
            asked: asked.into(),
            answer: String::new(),
            verdict: Verdict::Ok,
            why: why.to_owned(),
            fix: None,
            took_us: 0,
        }
    }

    #[must_use]
    pub fn ok(self, answer: impl Into<String>) -> Self {
        self.answered(Verdict::Ok, answer)
    }

    /// Says why nothing could be learned.
    #[must_use]
    pub fn skipped(self, answer: impl Into<String>) -> Self {
        self.answered(Verdict::Skipped, answer)
    }

    #[must_use]
    pub fn warn(self, answer: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self.answered(Verdict::Warn, answer) }
    }

    #[must_use]
    pub fn fail(self, answer: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self.answered(Verdict::Fail, answer) }
    }

    #[must_use]
    pub fn took(self, took: Duration) -> Self {
        Self { took_us: u64::try_from(took.as_micros()).unwrap_or(u64::MAX), ..self }
    }

    fn answered(self, verdict: Verdict, answer: impl Into<String>) -> Self {
        let mut answer = answer.into();
        if answer.len() > MOST_TEXT {
            let end = (0..=MOST_TEXT).rev().find(|&at| answer.is_char_boundary(at)).unwrap_or_default();
            answer.truncate(end);
            answer.push('…');
        }
        Self { verdict, answer, ..self }
    }
}
