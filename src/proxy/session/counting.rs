//! What a session counts, in its worker's own meters.

use std::sync::atomic::Ordering::Relaxed;

use super::Session;
use crate::trace::Record;

impl Session {
    pub(super) fn count(&self, record: &Record) {
        let meters = &self.context.meters;
        match record {
            Record::Transaction(transaction) => {
                self.context.counters.transactions_total.fetch_add(1, Relaxed);
                transaction.flags.iter().for_each(|&flag| meters.flags.add(flag as usize, 1));
                // The machine may have gone on to another upstream.
                if let Some(reach) = self.context.reach(&transaction.upstream.name).or_else(|| self.reach()) {
                    reach.meters.count(transaction);
                }
            }
            Record::Session(session) => meters.ended.add(session.ended.how as usize, 1),
            _ => {}
        }
    }

    /// A final reply that was kept for its record goes out.
    pub(super) fn count_latency(&self, since: u64) {
        if let Some(reach) = self.reach() {
            reach.meters.latency.add(self.now().saturating_sub(since));
        }
    }

    pub(super) fn count_replies(&mut self) {
        let replies = self.machine.reply_counts();
        if replies == [0; 4] {
            return;
        }
        if let Some(reach) = self.reach() {
            (0..).zip(replies).filter(|&(_, count)| count > 0).for_each(|(at, count)| reach.meters.replies.add(at, u64::from(count)));
        }
    }

    pub(super) fn count_unreached(&self) {
        if let Some(reach) = self.dialled_reach() {
            reach.meters.unreached.fetch_add(1, Relaxed);
        }
    }
}
