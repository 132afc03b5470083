//! How much time an examination has, and what is said of a part that wasn't done in it.

use std::future::Future;
use std::time::{Duration, Instant};

use super::check::Check;
use super::report::{Report, Section};

/// Runs from when it is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    began: Instant,
    whole: Duration,
}

impl Limit {
    pub fn of(whole: Duration) -> Self {
        Self { began: Instant::now(), whole }
    }

    pub fn left(self) -> Duration {
        self.whole.saturating_sub(self.began.elapsed())
    }

    /// What a part of the examination found; or that it wasn't done in time.
    pub async fn section(self, title: &str, part: impl Future<Output = Vec<Check>>) -> Section {
        // Boxed: several parts run at once, and their sizes would add up on the stack.
        let checks = tokio::time::timeout(self.left(), Box::pin(part)).await.unwrap_or_else(|_| vec![self.too_late(title)]);
        Section { title: title.to_owned(), checks }
    }

    /// What is found of one target among several; or that it wasn't examined in time.
    pub async fn report(self, target: &str, examination: impl Future<Output = Report>) -> Report {
        let late = || Section { title: "not examined".to_owned(), checks: vec![self.too_late(target)] };
        let done = tokio::time::timeout(self.left(), Box::pin(examination)).await;
        done.unwrap_or_else(|_| Report::of(target, vec![late()]))
    }

    pub fn too_late(self, what: &str) -> Check {
        Check::asking("doctor.unfinished", what, "an answer that takes this long is too late for mail as well").took(self.whole).warn(
            format!("not done within {} s: servers that were asked don't answer", self.whole.as_secs_f64()),
            "See the checks of the name servers first, then ask for this alone.",
        )
    }
}
