//! A rules file as it is written: its keys, and what is wrong with it, by line.

use std::collections::BTreeMap;

use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use crate::smtp::Stage;

use super::rule::{CodeMask, EnhancedMask};
use super::words::nearest;
use super::{Act, Cause, Permanence};

/// What is wrong with a rules file, and where.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("{file}:{line}: {message}")]
pub struct RulesError {
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

/// One file. Each part may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    /// Word lists: name → words.
    #[serde(default)]
    pub words: BTreeMap<String, Vec<String>>,
    /// Domains that stay in the text as evidence.
    #[serde(default)]
    pub known_hosts: Vec<String>,
    #[serde(default)]
    pub provider: Vec<WrittenProvider>,
    #[serde(default)]
    pub advice: Vec<WrittenAdvice>,
    #[serde(default)]
    pub rule: Vec<WrittenRule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenProvider {
    pub id: Spanned<String>,
    pub name: String,
    /// Server software rather than a company: others may run it, so it is named last.
    #[serde(default)]
    pub software: bool,
    /// Other names, in small letters.
    #[serde(default)]
    pub aliases: Vec<String>,
    #[serde(default)]
    pub hosts: Vec<String>,
    #[serde(default)]
    pub banner: Vec<Spanned<String>>,
    #[serde(default)]
    pub text: Vec<Spanned<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenAdvice {
    pub cause: Spanned<String>,
    pub provider: Option<Spanned<String>>,
    pub text: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenRule {
    pub id: Spanned<String>,
    pub cause: Spanned<String>,
    #[serde(default)]
    pub text: Vec<Spanned<String>>,
    #[serde(default)]
    pub also: Vec<Spanned<String>>,
    #[serde(default)]
    pub unless: Vec<Spanned<String>>,
    #[serde(default)]
    pub code: Vec<Spanned<String>>,
    #[serde(default)]
    pub enhanced: Vec<Spanned<String>>,
    #[serde(default)]
    pub stage: Vec<Spanned<String>>,
    #[serde(default)]
    pub provider: Vec<Spanned<String>>,
    pub rank: Option<i32>,
    pub act: Option<Spanned<String>>,
    pub permanence: Option<Spanned<String>>,
    pub advice: Option<String>,
}

/// A file's name and text, to say where something stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub name: &'a str,
    pub text: &'a str,
}

impl Source<'_> {
    pub(super) fn read(&self) -> Result<Written, RulesError> {
        toml::from_str(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.error(at, error.message().lines().collect::<Vec<_>>().join(" "))
        })
    }

    pub(super) fn error(&self, at: usize, message: impl Into<String>) -> RulesError {
        let before = self.text.as_bytes().get(..at).unwrap_or(self.text.as_bytes());
        let line = before.iter().filter(|&&octet| octet == b'\n').count() + 1;
        RulesError { file: self.name.to_owned(), line, message: message.into() }
    }

    pub(super) fn wrong<T>(&self, written: &Spanned<T>, message: impl Into<String>) -> RulesError {
        self.error(written.span().start, message)
    }

    fn word<T: Copy>(&self, written: &Spanned<String>, what: &str, all: &[T], word: impl Fn(T) -> &'static str) -> Result<T, RulesError> {
        let found = all.iter().copied().find(|&known| word(known) == written.get_ref());
        found.ok_or_else(|| {
            let near = nearest(written.get_ref(), all.iter().map(|&known| word(known)));
            let hint = near.map_or_else(
                || format!("known are {}", all.iter().map(|&known| word(known)).collect::<Vec<_>>().join(", ")),
                |near| format!("did you mean `{near}`?"),
            );
            self.wrong(written, format!("`{}` is no {what}; {hint}", shown(written.get_ref())))
        })
    }

    pub(super) fn cause(&self, written: &Spanned<String>) -> Result<Cause, RulesError> {
        self.word(written, "cause", Cause::ALL, Cause::word)
    }

    pub(super) fn act(&self, written: &Spanned<String>) -> Result<Act, RulesError> {
        self.word(written, "one who can act", Act::ALL, Act::word)
    }

    pub(super) fn permanence(&self, written: &Spanned<String>) -> Result<Permanence, RulesError> {
        self.word(written, "permanence", Permanence::ALL, Permanence::word)
    }

    pub(super) fn stage(&self, written: &Spanned<String>) -> Result<Stage, RulesError> {
        self.word(written, "stage", Stage::ALL, Stage::word)
    }

    pub(super) fn code(&self, written: &Spanned<String>) -> Result<CodeMask, RulesError> {
        CodeMask::read(written.get_ref()).ok_or_else(|| {
            self.wrong(written, format!("`{}` is no reply code: write \"550\", \"55x\" or \"5xx\"", shown(written.get_ref())))
        })
    }

    pub(super) fn enhanced(&self, written: &Spanned<String>) -> Result<EnhancedMask, RulesError> {
        EnhancedMask::read(written.get_ref()).ok_or_else(|| {
            let text = shown(written.get_ref());
            self.wrong(written, format!("`{text}` is no enhanced status code: write \"5.1.1\", \"x.1.1\", \"5.1.x\" or \"4.7.5xx\""))
        })
    }
}

/// A word from a file, fit for a message.
fn shown(word: &str) -> String {
    word.chars().take(60).map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect()
}
