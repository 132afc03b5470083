//! How legs are closed, and what time does: the engine's deadlines, writes that stall, clients that linger.

use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::io::ReadBuf;

use super::super::dial::micros;
use super::super::leg::AfterFlush;
use super::{BUFFER, LINGER, Session};
use crate::trace;

impl Session {
    /// Everything is sent: close the leg.
    pub(super) fn close(&mut self, side: trace::Leg, cx: &mut TaskContext<'_>) -> bool {
        let now = self.now();
        let quit = self.machine.ended_by_quit();
        let leg = self.leg(side);
        if leg.stream.is_none() || leg.poll_shutdown(cx).is_pending() {
            return false;
        }
        leg.after_flush = AfterFlush::Nothing;
        if side == trace::Leg::Client && !quit {
            self.lingering = Some(now);
        } else {
            leg.abort();
        }
        true
    }

    /// Reads and drops what a closed client still sends, for a while.
    pub(super) fn linger(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let Some(stream) = &mut self.legs.client.stream else { return false };
        let over = BUFFER.with_borrow_mut(|buffer| {
            loop {
                let mut read = ReadBuf::new(buffer);
                match stream.poll_read(cx, &mut read) {
                    Poll::Ready(Ok(())) if !read.filled().is_empty() => {}
                    Poll::Ready(_) => return true,
                    Poll::Pending => return false,
                }
            }
        });
        let late = self.lingering.is_some_and(|since| micros(self.began) > since + LINGER.as_micros() as u64);
        if over || late {
            self.legs.client.abort();
        }
        over || late
    }

    /// The engine's deadline, a write that makes no progress, or the linger's end, whichever is first.
    pub(super) fn due(&mut self) -> Option<u64> {
        let written = self.legs.client.written.wrapping_add(self.legs.upstream.written);
        self.write_stalled = match self.write_stalled {
            _ if !self.legs.client.is_busy() && !self.legs.upstream.is_busy() => None,
            Some((since, before)) if before == written => Some((since, before)),
            _ => Some((micros(self.began), written)),
        };
        let limits = &self.context.options.limits.timeouts;
        let write = self.write_stalled.map(|(since, _)| since + limits.write.as_micros() as u64);
        let linger = self.lingering.map(|since| since + LINGER.as_micros() as u64 + 1);
        [self.machine.deadline(), write, linger].into_iter().flatten().min()
    }

    /// The timer is armed once and moved only when it fires or must fire earlier: deadlines mostly move away.
    pub(super) fn poll_timer(&mut self, cx: &mut TaskContext<'_>) -> bool {
        let Some(due) = self.due() else { return false };
        if due < self.timer_due || self.timer.is_none() {
            self.arm(due);
        }
        let mut fired = false;
        while let Some(timer) = &mut self.timer {
            if timer.as_mut().poll(cx).is_pending() {
                break;
            }
            fired = true;
            let now = self.now();
            if self.write_stalled.is_some_and(|(since, _)| now >= since + self.context.options.limits.timeouts.write.as_micros() as u64) {
                self.write_stalled = None;
                if self.legs.client.is_busy() {
                    self.legs.client.abort();
                    self.machine.client_lost(now, &mut self.legs);
                } else {
                    self.legs.upstream.abort();
                    self.machine.upstream_stalled(now, &mut self.legs);
                }
            }
            if let Some((_, since)) = self.held
                && self.machine.deadline().is_some_and(|due| now >= due)
            {
                self.held = None;
                self.context.counters.replies_before_record.fetch_add(1, Ordering::Relaxed);
                self.count_latency(since);
            }
            if !self.legs.upstream.is_clear() {
                self.machine.client_held_back(now);
            }
            self.machine.tick(now, &mut self.legs);
            self.timer_due = u64::MAX;
            match self.due() {
                Some(due) => self.arm(due.max(now + 1_000)),
                None => self.timer = None,
            }
        }
        fired
    }

    pub(super) fn arm(&mut self, due: u64) {
        let at = tokio::time::Instant::from_std(self.began) + Duration::from_micros(due);
        self.timer_due = due;
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(at))),
        }
    }
}
