//! The rules in force, shared by whoever diagnoses.

use std::sync::Arc;

use super::Rules;

/// By which rules failures are diagnosed: the built-in ones, unless others are given.
#[derive(Debug, Clone, Default)]
pub struct Diagnosing(Option<Arc<Rules>>);

impl Diagnosing {
    pub fn by(rules: Arc<Rules>) -> Self {
        Self(Some(rules))
    }

    pub fn rules(&self) -> &Rules {
        self.0.as_deref().unwrap_or_else(|| Rules::builtin())
    }
}
