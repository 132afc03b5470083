//! Where a worker's sessions hand in their records, and wait for them together.
//!
//! Waking another thread is what a small message pays most for. Where records are staged nobody waits. Otherwise the sessions that one turn of the worker's loop serves wake the
//! store's writer once, and the writer's word wakes the worker once; the desk's own task does both.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::store::{AppendError, Appender, Ticket};
use crate::trace::{MarkView, Record};

/// One per worker.
#[derive(Debug)]
pub struct Desk {
    appender: Appender,
    /// Never contended: only the worker's own thread takes it.
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: Vec<(Ticket, Waker)>,
    /// The latest record that somebody waits for and the writer may not know of.
    newest: Option<Ticket>,
    task: Option<Waker>,
}

impl Desk {
    pub fn new(appender: Appender) -> Self {
        Self { appender, inner: Mutex::default() }
    }

    pub fn is_healthy(&self) -> bool {
        self.appender.is_healthy()
    }

    /// Hands in a record. Unless it is staged, the writer hears of it at the end of this turn at the latest.
    pub fn append(&self, record: &Record) -> Result<Ticket, AppendError> {
        let ticket = self.appender.append_staged(record)?;
        if !ticket.is_staged() {
            self.hurry(ticket);
        }
        Ok(ticket)
    }

    /// Hands in a mark. Unless hurried it can wait for the next record's wake-up.
    pub fn append_mark(&self, mark: &MarkView<'_>, hurried: bool) -> Result<Ticket, AppendError> {
        let ticket = self.appender.append_mark(mark)?;
        if hurried && !ticket.is_staged() {
            self.hurry(ticket);
        }
        Ok(ticket)
    }

    pub fn is_stored(&self, ticket: Ticket) -> bool {
        self.appender.is_stored(ticket)
    }

    /// Ready once the record is stored (true) or could not be (false).
    pub fn poll_stored(&self, ticket: Ticket, cx: &Context<'_>) -> Poll<bool> {
        if let Some(stored) = self.appender.outcome(ticket) {
            return Poll::Ready(stored);
        }
        let mut inner = self.inner();
        if !inner.waiting.iter().any(|(waiting, waker)| *waiting == ticket && waker.will_wake(cx.waker())) {
            inner.waiting.push((ticket, cx.waker().clone()));
            drop(inner);
            self.hurry(ticket);
        }
        Poll::Pending
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hurry(&self, ticket: Ticket) {
        let mut inner = self.inner();
        inner.newest = inner.newest.max(Some(ticket));
        if let Some(task) = inner.task.take() {
            task.wake();
        }
    }

    /// The desk's task: to be spawned once on the worker, and dropped with it.
    pub async fn serve(&self) {
        std::future::poll_fn(|cx| self.poll_serve(cx)).await
    }

    fn poll_serve(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut inner = self.inner();
            let mut at = 0;
            while let Some((ticket, _)) = inner.waiting.get(at) {
                if self.appender.outcome(*ticket).is_some() {
                    inner.waiting.swap_remove(at).1.wake();
                } else {
                    at += 1;
                }
            }
            inner.task = Some(cx.waker().clone());
            let Some(newest) = inner.newest else { return Poll::Pending };
            drop(inner);
            if self.appender.poll_stored(newest, cx).is_pending() {
                return Poll::Pending;
            }
            let mut inner = self.inner();
            if inner.newest == Some(newest) {
                inner.newest = None;
            }
        }
    }
}
