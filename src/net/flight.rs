//! One flight per key: who asks for what is being fetched already waits for that, instead of fetching it too.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

/// What is under way. The first to ask does the work in its own task; if it gives up, the next in line begins anew.
pub(super) struct Flights<K, V> {
    running: Mutex<HashMap<K, Arc<OnceCell<V>>>>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self { running: Mutex::default() }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Flights<K, V> {
    /// The outcome of `work`, or of the same work that somebody else has begun.
    pub async fn join(&self, key: &K, work: impl Future<Output = V>) -> V {
        let cell = Arc::clone(self.running().entry(key.clone()).or_default());
        let seat = Seat { flights: self, key, cell };
        seat.cell.get_or_init(|| work).await.clone()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<K, Arc<OnceCell<V>>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the flight off the board once it has landed, or once nobody waits for it any more.
struct Seat<'a, K: Hash + Eq + Clone, V: Clone> {
    flights: &'a Flights<K, V>,
    key: &'a K,
    cell: Arc<OnceCell<V>>,
}

impl<K: Hash + Eq + Clone, V: Clone> Drop for Seat<'_, K, V> {
    fn drop(&mut self) {
        let mut running = self.flights.running();
        let is_ours = running.get(self.key).is_some_and(|cell| Arc::ptr_eq(cell, &self.cell));
        let is_last = Arc::strong_count(&self.cell) <= 2; // the board's and ours
        if is_ours && (self.cell.initialized() || is_last) {
            running.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn the_work_is_done_once_and_the_board_is_clear_afterwards() {
        let flights: Flights<&str, usize> = Flights::default();
        let (done, gate) = (AtomicUsize::new(0), Notify::new());
        let work = || async {
            gate.notified().await;
            done.fetch_add(1, Ordering::Relaxed)
        };
        let open = async { gate.notify_one() };
        let (first, second, ()) = tokio::join!(flights.join(&"a", work()), flights.join(&"a", work()), open);
        assert_eq!((first, second, done.load(Ordering::Relaxed)), (0, 0, 1));
        assert!(flights.running().is_empty());
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_work_to_the_next() {
        let flights: Flights<&str, usize> = Flights::default();
        {
            let never = flights.join(&"a", std::future::pending());
            tokio::pin!(never);
            assert!(futures_poll(never.as_mut()).await);
        }
        assert!(flights.running().is_empty(), "nobody waits any more");
        assert_eq!(flights.join(&"a", async { 7 }).await, 7);
    }

    /// Polls once; whether it is still waiting.
    async fn futures_poll<F: Future + Unpin>(mut future: F) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(std::pin::Pin::new(&mut future).poll(cx).is_pending())).await
    }
}
