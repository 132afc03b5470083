//! Sends all numbers to a receiver of OTLP again and again. What couldn't be sent is not sent later: the next numbers have it in them.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::scrape::Scrape;
use super::sources::Sources;
use crate::export::transport::otlp::{Collector, Options, Rejected, Signal};
use crate::export::transport::{Failure, Target};
use crate::export::{Backoff, Status};

/// A receiver that is slow at the end isn't waited for.
const AT_THE_END: Duration = Duration::from_secs(2);

/// What its status is told as.
pub const KIND: &str = "otlp_metrics";

/// Metrics on their way to one receiver.
#[derive(Debug)]
pub struct Push {
    every: Duration,
    scrape: Scrape,
    collector: Collector,
    status: Arc<Status>,
    stopped: watch::Receiver<bool>,
    backoff: Backoff,
    /// Nothing is taken, and that was said.
    is_failing: bool,
}

impl Push {
    /// `None` if no metrics are to be sent there. `name`: of the export that is configured so.
    pub fn new(name: &str, target: &Target, sources: Sources, stopped: watch::Receiver<bool>) -> Option<(Self, Arc<Status>)> {
        let Target::Otlp(options @ Options { metrics_every: Some(every), .. }) = target else { return None };
        let status = Arc::new(Status::new(name.to_owned(), KIND, target.to()));
        let push = Self {
            every: *every,
            scrape: Scrape::new(sources),
            collector: Collector::new(options.clone()),
            status: status.clone(),
            stopped,
            backoff: Backoff::default(),
            is_failing: false,
        };
        Some((push, status))
    }

    /// Sends at once and then every so often, until it is told to stop; then a last time, if the receiver took the ones before.
    pub async fn run(mut self) {
        let mut stopped = self.stopped.clone();
        loop {
            let pause = tokio::select! {
                pause = self.push() => pause,
                _ = stopped.wait_for(|stopped| *stopped) => break,
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        if !self.is_failing {
            let _ = tokio::time::timeout(AT_THE_END, self.push()).await; // what comes of it nobody will ask any more
        }
    }

    /// Sends them once; how long to wait before the next time.
    async fn push(&mut self) -> Duration {
        let now = self.scrape.sources.store.now();
        let (families, points) = self.scrape.page().await.otlp(self.scrape.sources.started, now);
        let octets: usize = families.iter().map(Vec::len).sum();
        match self.collector.send(Signal::Metrics, families.iter().map(Vec::as_slice)).await {
            Ok(rejected) => self.took(points, octets as u64, rejected),
            Err(failure) => return self.failed(failure),
        }
        self.every
    }

    fn took(&mut self, points: u64, octets: u64, rejected: Option<Rejected>) {
        let name = &self.status.name;
        if std::mem::take(&mut self.is_failing) {
            tracing::info!(export = name, "metrics are taken again");
        }
        self.backoff.reset();
        let refused = rejected.as_ref().map_or(0, |it| it.count.min(points));
        self.status.took(points - refused, octets, self.scrape.sources.store.now());
        self.status.recovered();
        if let Some(Rejected { why, .. }) = rejected {
            // The next numbers will be refused like these.
            if self.status.snapshot().last_refusal.is_none() {
                tracing::warn!(export = name, to = self.status.to, why, "some metrics are refused, and will be the next times");
            }
            self.status.were_refused(refused, why);
        }
    }

    /// Never sooner than it would be anyway, and no later than the receiver asks for.
    fn failed(&mut self, failure: Failure) -> Duration {
        if !std::mem::replace(&mut self.is_failing, true) {
            let (export, to, every_s) = (&self.status.name, &self.status.to, self.every.as_secs());
            tracing::warn!(export, to, why = failure.why, every_s, "metrics aren't taken; the next ones are tried");
        }
        self.status.failed(failure.why, self.scrape.sources.store.now());
        self.backoff.next(failure.retry_after).max(self.every)
    }
}
