//! Octets off the sockets, into the engine: as many as it wants, and only while the other leg has room for them.

use std::io;
use std::task::{Context as TaskContext, Poll};

use tokio::io::ReadBuf;

use super::super::dial::micros;
use super::super::leg::AfterFlush;
use super::{BUFFER, Session};
use crate::relay::Closed;
use crate::relay::options::OnStoreFailure;

impl Session {
    /// Reads once from the leg if the engine wants it and the other leg has taken all it was sent.
    pub(super) fn read_upstream(&mut self, cx: &mut TaskContext<'_>) -> bool {
        if self.upstream_waits
            || !self.machine.wants_upstream()
            || !self.legs.client.is_clear()
            || self.legs.upstream.after_flush != AfterFlush::Nothing
        {
            return false;
        }
        BUFFER.with_borrow_mut(|buffer| {
            let Some(stream) = &mut self.legs.upstream.stream else { return false };
            let mut read = ReadBuf::new(buffer);
            let Poll::Ready(outcome) = stream.poll_read(cx, &mut read) else {
                self.upstream_waits = true;
                return false;
            };
            let now = micros(self.began);
            match outcome {
                Ok(()) if read.filled().is_empty() => self.machine.upstream_closed(now, Closed::Orderly, &mut self.legs),
                Ok(()) => self.machine.upstream_octets(now, read.filled(), &mut self.legs),
                Err(error) => self.machine.upstream_closed(now, closed_by(&error), &mut self.legs),
            }
            self.count_replies();
            true
        })
    }

    pub(super) fn read_client(&mut self, cx: &mut TaskContext<'_>) -> bool {
        if self.lingering.is_some() {
            return self.linger(cx);
        }
        if self.client_waits
            || !self.machine.wants_client()
            || !self.legs.upstream.is_clear()
            || self.legs.client.after_flush != AfterFlush::Nothing
        {
            return false;
        }
        BUFFER.with_borrow_mut(|buffer| {
            let Some(stream) = &mut self.legs.client.stream else { return false };
            let mut read = ReadBuf::new(buffer);
            let Poll::Ready(outcome) = stream.poll_read(cx, &mut read) else {
                self.client_waits = true;
                return false;
            };
            let now = micros(self.began);
            if self.context.options.on_store_failure == OnStoreFailure::Defer {
                self.machine.set_store_failed(!self.context.desk.is_healthy());
            }
            self.machine.set_exhausted(&self.context.exhausted.load());
            if let Some(ticket) = self.mark
                && self.context.desk.is_stored(ticket)
            {
                self.mark = None;
                self.machine.mark_stored(now, true, &mut self.legs);
            }
            match outcome {
                Ok(()) if read.filled().is_empty() => self.machine.client_closed(now, Closed::Orderly, &mut self.legs),
                Ok(()) => self.machine.client_octets(now, read.filled(), &mut self.legs),
                Err(error) => self.machine.client_closed(now, closed_by(&error), &mut self.legs),
            }
            true
        })
    }
}

/// TLS without close_notify is a cut, never an end (RFC 8446 §6.1), but nobody has reset anything.
fn closed_by(error: &io::Error) -> Closed {
    if error.kind() == io::ErrorKind::UnexpectedEof { Closed::Cut } else { Closed::Reset }
}
