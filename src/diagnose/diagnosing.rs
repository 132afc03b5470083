//! The rules in force, shared by whoever diagnoses.

use std::sync::Arc;

use super::{Facts, Rules};

/// By which rules failures are diagnosed: the built-in ones, unless others are given.
#[derive(Debug, Clone, Default)]
pub struct Diagnosing(Option<Arc<Rules>>);

impl Diagnosing {
    pub fn by(rules: Arc<Rules>) -> Self {
        Self(Some(rules))
    }

    /// Has all compiled that the first diagnosis would wait for: some tenths of a second.
    pub fn make_ready(&self) {
        let text = "host mx.example[192.0.2.1] said: 550 5.1.1 <somebody@x.example>: nothing (in reply to RCPT TO command)";
        let facts = Facts { text, host: Some("mx.example"), banner: Some("mx.example ESMTP"), ..Facts::default() };
        self.rules().classify(&facts);
    }

    pub fn rules(&self) -> &Rules {
        self.0.as_deref().unwrap_or_else(|| Rules::builtin())
    }
}
