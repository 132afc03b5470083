//! Passive health of smart hosts: one that has just failed is tried after those that have not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The hosts of one upstream, shared by all workers.
#[derive(Debug)]
pub struct HostHealth {
    began: Instant,
    /// For each host: ms since `began` until which it is put last; 0: healthy.
    unwell_until: Vec<AtomicU64>,
}

/// How long a failure counts.
const PENALTY: Duration = Duration::from_secs(30);

impl HostHealth {
    pub fn new(hosts: usize) -> Self {
        Self { began: Instant::now(), unwell_until: (0..hosts).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Places of all hosts, in the order to try: as configured, those that failed lately last.
    pub fn order(&self) -> Vec<usize> {
        let now = self.now_ms();
        let unwell = |place: &usize| self.unwell_until.get(*place).is_some_and(|until| until.load(Ordering::Relaxed) > now);
        let (well, ill): (Vec<usize>, Vec<usize>) = (0..self.unwell_until.len()).partition(|place| !unwell(place));
        [well, ill].concat()
    }

    pub fn failed(&self, host: usize) {
        if let Some(until) = self.unwell_until.get(host) {
            until.store(self.now_ms() + PENALTY.as_millis() as u64, Ordering::Relaxed);
        }
    }

    pub fn succeeded(&self, host: usize) {
        if let Some(until) = self.unwell_until.get(host)
            && until.load(Ordering::Relaxed) != 0
        {
            until.store(0, Ordering::Relaxed);
        }
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_host_is_tried_last() {
        let health = HostHealth::new(3);
        assert_eq!(health.order(), [0, 1, 2]);
        health.failed(0);
        assert_eq!(health.order(), [1, 2, 0]);
        health.succeeded(0);
        assert_eq!(health.order(), [0, 1, 2]);
    }
}
