//! What to do, in a line: by cause, and by provider where one has words and pages of its own.

use std::collections::HashMap;

use super::Cause;

/// Advice by cause and provider number; without a provider it holds for all.
#[derive(Debug, Default)]
pub(super) struct Advice(HashMap<(Cause, Option<usize>), String>);

impl Advice {
    pub(super) fn add(&mut self, cause: Cause, provider: Option<usize>, text: String) {
        self.0.insert((cause, provider), text);
    }

    pub(super) fn of(&self, cause: Cause, provider: Option<usize>) -> &str {
        let special = provider.and_then(|number| self.0.get(&(cause, Some(number))));
        special.or_else(|| self.0.get(&(cause, None))).map_or("", String::as_str)
    }
}
