//! What was sent over a connection on which nothing is acknowledged: how far to go back when it breaks.
//!
//! Syslog over TCP tells the sender nothing (RFC 6587 §4). What TCP has acknowledged is in the receiver's kernel, or was read and waits in
//! its memory; both are lost with the receiver. When it closes in order, it has read all that came (a kernel resets a connection that is
//! closed with something unread), so only what it may not have put away yet is sent again: the last seconds. When the connection is reset,
//! as much as a kernel buffers is sent again beside. Receivers tell what comes twice by the record's id.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::store::Cursor;

/// A receiver has put away what it read so long ago.
const WINDOW: Duration = Duration::from_secs(10);
/// What kernels on both sides hold at most: Linux lets a receive buffer grow to 6 MiB.
const BUFFERED: u64 = 8 << 20;
/// What is sent within so long is one stretch, up to so many octets.
const TOGETHER: Duration = Duration::from_millis(20);
const STRETCH: u64 = 256 << 10;
/// Stretches that are told apart.
const ENTRIES: usize = 4_096;

/// Where each stretch began that was sent lately.
#[derive(Debug)]
pub struct Trail {
    entries: VecDeque<Entry>,
    /// Octets sent in all.
    total: u64,
    /// Up to here everything was sent, at least once.
    sent: Cursor,
    /// So many octets more, and what was sent again after an orderly end is behind us: a receiver that always ends gets it no third time.
    repeating: u64,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    before: Cursor,
    /// When the first and the last of it were sent.
    began: Instant,
    sent_at: Instant,
    /// Octets sent before it.
    offset: u64,
}

impl Trail {
    /// Begins at a place that everything before is safe of.
    pub fn starts_at(at: Cursor) -> Self {
        Self { entries: VecDeque::new(), total: 0, sent: at, repeating: 0 }
    }

    /// Notes what was handed to the kernel.
    pub fn sent(&mut self, before: Cursor, after: Cursor, octets: u64, now: Instant) {
        self.prune(now);
        if let Some(last) = self.entries.back_mut()
            && octets > 0
            && now.duration_since(last.began) < TOGETHER
            && self.total + octets - last.offset <= STRETCH
        {
            last.sent_at = now;
            self.total += octets;
        } else if octets > 0 {
            if self.entries.len() >= ENTRIES {
                self.coarsen();
            }
            self.entries.push_back(Entry { before, began: now, sent_at: now, offset: self.total });
            self.total += octets;
        }
        self.sent = after;
    }

    /// Each two neighbours become one: more is sent again than need be, never less. What is old is so told apart less and less finely.
    fn coarsen(&mut self) {
        let all: Vec<Entry> = self.entries.drain(..).collect();
        self.entries.extend(all.chunks(2).filter_map(|pair| {
            let (first, last) = (pair.first()?, pair.last()?);
            Some(Entry { sent_at: last.sent_at, ..*first })
        }));
    }

    fn prune(&mut self, now: Instant) {
        let total = self.total;
        let is_past = |entry: &Entry, next: u64| now.duration_since(entry.sent_at) > WINDOW && total.saturating_sub(next) > BUFFERED;
        while let (Some(first), Some(second)) = (self.entries.front(), self.entries.get(1))
            && is_past(first, second.offset)
        {
            self.entries.pop_front();
        }
    }

    /// Up to where the receiver surely has everything by now, in ordinary circumstances.
    pub fn safe(&self, now: Instant) -> Cursor {
        let recent = self.recent(now).and_then(|place| self.entries.get(place));
        recent.map_or(self.sent, |entry| entry.before)
    }

    /// Where to go on after the receiver closed in order.
    pub fn after_close(&mut self, now: Instant) -> Cursor {
        if self.total < self.repeating {
            // It ended before it had all of it a second time: the rest is still due.
            self.repeating -= self.total;
            return self.restart(self.sent);
        }
        let ends = self.entries.iter().skip(1).map(|next| next.offset).chain([self.total]);
        let first_sent = ends.into_iter().position(|end| end > self.repeating);
        let recent = self.recent(now);
        let again = first_sent.zip(recent).and_then(|(first_sent, recent)| self.entries.get(first_sent.max(recent)));
        let (target, offset) = again.map_or((self.sent, self.total), |entry| (entry.before, entry.offset));
        self.repeating = self.total - offset;
        self.restart(target)
    }

    /// The first entry that is younger than the window.
    fn recent(&self, now: Instant) -> Option<usize> {
        self.entries.iter().position(|entry| now.duration_since(entry.sent_at) <= WINDOW)
    }

    /// Where to go on after the connection was reset, or nothing came back for too long.
    pub fn after_reset(&mut self, now: Instant) -> Cursor {
        let total = self.total;
        let mut ends = self.entries.iter().skip(1).map(|next| next.offset).chain([total]);
        let unread = ends.position(|end| total.saturating_sub(end) <= BUFFERED);
        let recent = self.recent(now);
        // By their places in the trail: which of two cursors comes first is the store's to say.
        let first = unread.into_iter().chain(recent).min().and_then(|place| self.entries.get(place));
        let target = first.map_or(self.sent, |entry| entry.before);
        // Any of it may have been lost unread, and counts as never sent.
        self.repeating = 0;
        self.restart(target)
    }

    /// The receiver has read everything and said so by ending after us.
    pub fn all_read(&mut self) {
        self.entries.clear();
    }

    /// What was sent is sent again from there on, because nobody knows whether it was read. Once it is known of the same octets that they
    /// were, they have come twice already.
    pub fn unread_from(&mut self, at: Cursor) {
        let sent = self.total.max(self.repeating);
        self.restart(at);
        self.repeating = sent;
    }

    /// The same, if that isn't where it goes on anyway.
    pub fn goes_on_at(&mut self, at: Cursor) {
        if self.sent != at {
            self.restart(at);
        }
    }

    fn restart(&mut self, at: Cursor) -> Cursor {
        self.entries.clear();
        (self.total, self.sent) = (0, at);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: u32) -> Cursor {
        format!("2026-11-27.{number}").parse().unwrap()
    }

    #[test]
    fn an_orderly_end_repeats_the_last_seconds_once() {
        let now = Instant::now();
        let mut trail = Trail::starts_at(at(0));
        trail.sent(at(0), at(1), 100, now);
        trail.sent(at(1), at(2), 100, now + WINDOW);
        let later = now + WINDOW + Duration::from_secs(1);
        assert_eq!(trail.safe(later), at(1));
        assert_eq!(trail.after_close(later), at(1));
        trail.sent(at(1), at(2), 100, later);
        assert_eq!(trail.after_close(later), at(2), "a receiver that always closes gets on");
        trail.sent(at(2), at(3), 100, later);
        assert_eq!(trail.after_close(later), at(2));
    }

    #[test]
    fn what_was_never_sent_again_is_not_passed_over() {
        let now = Instant::now();
        let mut trail = Trail::starts_at(at(0));
        (0..20).for_each(|number| trail.sent(at(number), at(number + 1), 1 << 20, now));
        assert_eq!(trail.after_close(now), at(0));
        // The second connection ends in order in the middle: the other half has been sent once.
        (0..10).for_each(|number| trail.sent(at(number), at(number + 1), 1 << 20, now));
        assert_eq!(trail.after_close(now), at(10));
        // The third is reset, and the fourth ends in order after its first batch.
        (10..15).for_each(|number| trail.sent(at(number), at(number + 1), 1 << 20, now));
        assert_eq!(trail.after_reset(now), at(10));
        trail.sent(at(10), at(11), 1 << 20, now);
        assert_eq!(trail.after_close(now), at(10));
        trail.sent(at(10), at(11), 1 << 20, now);
        assert_eq!(trail.after_close(now), at(11), "a receiver that always closes gets on");
    }

    #[test]
    fn a_reset_repeats_what_kernels_may_hold() {
        let now = Instant::now();
        let mut trail = Trail::starts_at(at(0));
        for number in 0..40 {
            trail.sent(at(number), at(number + 1), 1 << 20, now);
        }
        let later = now + 2 * WINDOW;
        assert_eq!(trail.safe(later), at(40));
        // The ninth last ended exactly 8 MiB before the end: some of it may be unread.
        assert_eq!(trail.after_reset(later), at(31));
        let mut calm = Trail::starts_at(at(0));
        calm.sent(at(0), at(1), 100, now);
        assert_eq!(calm.after_reset(later), at(0));
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_forgotten_that_may_be_lost() {
        let now = Instant::now();
        let mut trail = Trail::starts_at(at(0));
        for number in 0..100_000 {
            trail.sent(at(number), at(number + 1), 1, now + TOGETHER * number);
        }
        assert!(trail.entries.len() <= ENTRIES);
        assert_eq!(trail.after_reset(now), at(0));
    }

    #[test]
    fn small_batches_over_weeks_are_not_all_sent_again() {
        let now = Instant::now();
        let mut trail = Trail::starts_at(at(0));
        let second = Duration::from_secs(1);
        for number in 0..30_000 {
            trail.sent(at(number), at(number + 1), 1_000, now + second * number);
        }
        assert_eq!(trail.safe(now + second * 29_999), at(29_989), "ten seconds are told apart however much came before");
        let resumed = trail.after_reset(now + second * 30_000);
        // 8 MiB are 8,388 of them, and as much as one stretch has beyond.
        assert!(resumed < at(30_000 - 8_388) && resumed > at(30_000 - 8_388 - 128), "{resumed}");
    }

    #[test]
    fn what_is_sent_at_once_is_one_stretch_and_as_young_as_its_last() {
        let now = Instant::now();
        let mut trail = Trail::starts_at(at(0));
        for number in 0..100 {
            trail.sent(at(number), at(number + 1), 10, now + TOGETHER / 100 * number);
        }
        assert_eq!(trail.entries.len(), 1);
        assert_eq!(trail.safe(now + WINDOW + TOGETHER / 2), at(0), "its last was sent less long ago");
        assert_eq!(trail.safe(now + WINDOW + TOGETHER), at(100));
        trail.sent(at(100), at(101), STRETCH, now + TOGETHER / 2);
        assert_eq!(trail.entries.len(), 2, "what may be unread is told by octets");
    }

    #[test]
    fn what_is_left_out_moves_the_place() {
        let now = Instant::now();
        let mut trail = Trail::starts_at(at(0));
        trail.sent(at(0), at(500), 0, now);
        assert_eq!(trail.safe(now), at(500));
        trail.all_read();
        assert_eq!(trail.safe(now), at(500));
    }
}
