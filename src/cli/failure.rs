//! How a command ends: its exit status, and what the admin is told on standard error.

use std::process::ExitCode;

use super::screen::visible;
use crate::path::NotUnderstood;

/// Exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done, found, healthy.
    Done = 0,
    /// Not found, or a check found trouble.
    NotFound = 1,
    /// Wrong usage or configuration.
    Usage = 2,
    /// The store or the network failed.
    Failed = 3,
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        Self::from(status as u8)
    }
}

/// Why a command could not be carried out, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    pub status: Status,
    pub error: anyhow::Error,
    /// A line of its own: the next step.
    pub advice: Option<String>,
    /// What was typed and the column that is wrong in it.
    pub place: Option<(String, usize)>,
}

impl Failure {
    pub fn usage(message: impl Into<String>) -> Self {
        Self { status: Status::Usage, error: anyhow::anyhow!(message.into()), advice: None, place: None }
    }

    pub fn failed(error: impl Into<anyhow::Error>) -> Self {
        Self { status: Status::Failed, error: error.into(), advice: None, place: None }
    }

    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// A question that can't be understood, with a mark under the place.
    pub fn question(text: &str, error: NotUnderstood) -> Self {
        let place = Some((text.to_owned(), error.column));
        let advice = Some("`relayscope where --help` lists the fields".to_owned());
        Self { status: Status::Usage, error: error.into(), advice, place }
    }

    /// Says it on standard error.
    pub fn report(&self) -> ExitCode {
        eprintln!("relayscope: {}", visible(&format!("{:#}", self.error)));
        if let Some((text, column)) = &self.place {
            // What is hostile takes more columns when visible, so the mark is set by what stands before it.
            let before: String = text.chars().take(column.saturating_sub(1)).collect();
            eprintln!("  {}\n  {}^", visible(text), " ".repeat(super::screen::columns(&visible(&before))));
        }
        if let Some(advice) = &self.advice {
            eprintln!("  {}", visible(advice));
        }
        self.status.into()
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::failed(error)
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::failed(error)
    }
}
