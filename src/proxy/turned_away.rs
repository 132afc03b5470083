//! Clients that aren't let in hear why and are recorded, as long as they are few: they hold no place among the sessions, and a stranger who
//! connects without pause must not take the descriptors, nor fill the journal.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::meters::RefusedFor;

/// How many of one address are told at once.
const MOST_OF_CLIENT: usize = 32;
/// Of all addresses one in so many of the sessions that may be open, and never fewer than [`LEAST`].
const SHARE: usize = 10;
const LEAST: usize = 16;
/// How long a stranger counts at least, however soon it goes.
const COUNTS: Duration = Duration::from_secs(1);
/// However many are dropped, it is said no more often than this.
const SAID_AGAIN: Duration = Duration::from_secs(60);

/// Process-wide.
#[derive(Debug, Default)]
pub(super) struct TurnedAway {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    told: usize,
    by_client: HashMap<IpAddr, usize>,
    /// Strangers that have gone, and until when they count; in order.
    gone: VecDeque<(Instant, IpAddr)>,
    /// Dropped without a word since it was said last.
    dropped: u64,
    said: Option<Instant>,
}

/// One that is being told; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Told {
    turned_away: Arc<TurnedAway>,
    client: IpAddr,
    is_stranger: bool,
}

impl TurnedAway {
    /// `None`: there are too many already, the connection is to be dropped without a word. `sessions`: how many may be open.
    pub fn tell(self: &Arc<Self>, client: IpAddr, is_stranger: bool, sessions: usize, now: Instant) -> Option<Told> {
        let mut inner = self.inner();
        while let Some((_, client)) = inner.gone.pop_front_if(|(until, _)| *until <= now) {
            inner.leave(client);
        }
        let of_client = inner.by_client.get(&client).copied().unwrap_or(0);
        if inner.told >= LEAST.max(sessions / SHARE) || of_client >= MOST_OF_CLIENT {
            return None;
        }
        inner.told += 1;
        inner.by_client.insert(client, of_client + 1);
        Some(Told { turned_away: self.clone(), client, is_stranger })
    }

    /// Counts one that was dropped, and says so from time to time.
    pub fn dropped(&self, client: IpAddr, reason: RefusedFor, now: Instant) {
        let mut inner = self.inner();
        inner.dropped += 1;
        if inner.said.is_none_or(|said| now.saturating_duration_since(said) >= SAID_AGAIN) {
            let dropped = std::mem::take(&mut inner.dropped);
            inner.said = Some(now);
            drop(inner);
            tracing::warn!(%client, reason = reason.word(), dropped, "too many clients that aren't let in: dropped without a word or a record");
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn leave(&mut self, client: IpAddr) {
        self.told = self.told.saturating_sub(1);
        if let Some(of_client) = self.by_client.get_mut(&client) {
            *of_client = of_client.saturating_sub(1);
            if *of_client == 0 {
                self.by_client.remove(&client);
            }
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let mut inner = self.turned_away.inner();
        if self.is_stranger {
            inner.gone.push_back((Instant::now() + COUNTS, self.client));
        } else {
            inner.leave(self.client);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn one_address_does_not_take_the_others_word_and_all_have_a_bound() {
        let (all, now) = (Arc::new(TurnedAway::default()), Instant::now());
        let ask = |last| all.tell(client(last), false, 500, now);
        let first: Vec<Told> = (0..40).filter_map(|_| ask(1)).collect();
        assert_eq!(first.len(), MOST_OF_CLIENT);
        let others: Vec<Told> = (0..40).filter_map(|_| ask(2)).collect();
        assert_eq!(first.len() + others.len(), 500 / SHARE);
        drop(first);
        assert!(ask(1).is_some());
        assert!((0..LEAST).all(|_| all.tell(client(3), false, 1, now).is_none()), "a smaller bound counts at once");
        drop(others);
        let few: Vec<Told> = (0..40).filter_map(|_| all.tell(client(3), false, 1, now)).collect();
        assert_eq!(few.len(), LEAST);
    }

    #[test]
    fn a_stranger_counts_for_a_while_however_soon_it_goes() {
        let all = Arc::new(TurnedAway::default());
        let told = (0..100).filter_map(|_| all.tell(client(1), true, 10_000, Instant::now())).count();
        assert_eq!(told, MOST_OF_CLIENT);
        let later = Instant::now() + COUNTS;
        assert!(all.tell(client(1), true, 10_000, later).is_some());
        assert_eq!(all.inner().told, 1);
    }
}
