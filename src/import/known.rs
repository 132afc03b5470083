//! What earlier lines said of the messages that are still in a server's queue: a table of bounded size and age.

use hashbrown::HashMap;

use crate::trace::WallMicros;

/// Ids of one generation; two are kept.
const GENERATION: usize = 50_000;
/// How long an id that no line mentions is kept at least: a queue gives up after five days, as a rule.
const AGE_US: u64 = 6 * 86_400 * 1_000_000;

/// Facts by queue id. Those that no line has mentioned for the longest time go first, and are counted.
#[derive(Debug)]
pub struct Known<T> {
    young: HashMap<String, T>,
    old: HashMap<String, T>,
    most: usize,
    /// When the young generation began.
    since: Option<WallMicros>,
    forgotten: u64,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), most: GENERATION, since: None, forgotten: 0 }
    }
}

impl<T: Default> Known<T> {
    /// How many ids had to go while their messages may have been in the queue.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// What is known of an id, to be added to.
    pub fn of(&mut self, id: &str, now: WallMicros) -> &mut T {
        if !self.young.contains_key(id) {
            let facts = self.old.remove(id).unwrap_or_default();
            self.turn(now);
            self.young.insert(id.to_owned(), facts);
        }
        self.young.entry_ref(id).or_default()
    }

    /// What is known of an id, if anything is.
    pub fn get(&mut self, id: &str) -> Option<&mut T> {
        if self.young.contains_key(id) {
            return self.young.get_mut(id);
        }
        let (id, facts) = self.old.remove_entry(id)?;
        Some(self.young.entry(id).or_insert(facts))
    }

    /// The message has left the queue.
    pub fn take(&mut self, id: &str) -> Option<T> {
        self.young.remove(id).or_else(|| self.old.remove(id))
    }

    fn turn(&mut self, now: WallMicros) {
        // A clock that jumps backwards starts the time anew.
        let since = self.since.filter(|since| *since <= now).unwrap_or(now);
        self.since = Some(since);
        if self.young.len() >= self.most || now - since > AGE_US {
            self.forgotten += self.old.len() as u64;
            self.old = std::mem::take(&mut self.young);
            self.since = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_bounded_and_counts() {
        let mut known = Known::<u32> { most: 2, ..Known::default() };
        for (number, id) in ["a", "b", "c", "d", "a", "e"].iter().enumerate() {
            *known.of(id, 1) += number as u32 + 1;
        }
        // a was still there when it was mentioned again; b and c went when e came.
        assert_eq!((known.get("a").copied(), known.get("b").copied(), known.get("e").copied()), (Some(6), None, Some(6)));
        assert!(known.forgotten() >= 1);
        assert_eq!((known.take("a"), known.take("a")), (Some(6), None));
    }

    #[test]
    fn what_is_old_goes() {
        let mut known = Known::<u32>::default();
        *known.of("a", 1_000) = 1;
        known.of("b", 1_000 + 2 * AGE_US);
        known.of("c", 1_000 + 4 * AGE_US);
        assert_eq!((known.get("a").copied(), known.forgotten()), (None, 1));
        known.of("d", 5);
    }
}
